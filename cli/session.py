"""The session in its store: list, backup, verify, restore, export, import, delete."""

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whatsapp_contract.names import InstanceNames
from whatsapp_contract.redis_connection import is_outage
from whatsapp_contract.status import SILENT_AFTER_S

from .output import Cli, Exit, json_option

if TYPE_CHECKING:
    from browser_agent.session.pointer import Generation, Pointer
    from browser_agent.session.vault import Progress, Vault

SHOW_AFTER_S = 1.0

generation_option = click.option("--generation", metavar="ID", help="Which one; the newest if not given.")


@click.group(short_help="The session in its store.")
def session() -> None:
    """The session in its store: generations of the browser's profile, each verified before it counts.

    Whoever has one has the account.
    """


@session.command("list")
@json_option
def list_generations(as_json: bool) -> None:
    """Show the generations that are kept, newest first."""
    cli = Cli(as_json)
    with _store(cli) as vault, cli.working("asking the store"):
        pointer = vault.pointer()
    document = {"store": vault.store.location, **pointer.model_dump(mode="json")}
    cli.show(document, _as_table(vault.store.location, pointer))


@session.command()
@click.option("--cause", default="cli", show_default=True, help="Goes into the event that tells of it.")
@json_option
def backup(cause: str, as_json: bool) -> None:
    """Have the running agent save the session now. Exit code 4 while no account is ready."""
    cli = Cli(as_json)
    with cli.working("saving the session"):
        result = cli.client.call("backup", {"cause": cause})
    saved = result.model_dump(mode="json")
    what = "saved as" if saved["is_new"] else "unchanged since"
    size, took_s = _bytes(saved["stored_bytes"]), saved["took_ms"] / 1000
    cli.show(saved, f"{what} {saved['generation']}, {size}, in {took_s:.1f} s")


@session.command()
@generation_option
@json_option
def verify(generation: str | None, as_json: bool) -> None:
    """Read a generation back from the store and open it. Exit code 1 when it cannot be used."""
    cli = Cli(as_json)
    with _progress(cli, "verifying") as progress, _store(cli, progress) as vault:
        wanted = _wanted(cli, vault.pointer(), generation)
        manifest = vault.check(wanted)
    document = {"generation": wanted.id, "files": len(manifest.files), "bytes": manifest.content_bytes}
    cli.show(document, f"{wanted.id} is whole: {len(manifest.files)} files, {_bytes(manifest.content_bytes)}")


@session.command(short_help="Go back to a generation.")
@generation_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def restore(generation: str | None, yes: bool, as_json: bool) -> None:
    """Go back to a generation: it becomes the newest, and the agent is restarted on it, where one runs."""
    cli = Cli(as_json)
    with _store(cli) as vault:
        wanted = _wanted(cli, vault.pointer(), generation)
    if not yes:
        cli.confirm(f"Restore {wanted.id} in place of the session as it is now?")
    with _progress(cli, "verifying") as progress, _store(cli, progress) as vault:
        promoted = vault.promote(wanted.id)
    restarted = _restart_if_running(cli)
    then = "the agent restarts on it" if restarted else "the next start uses it"
    cli.show({"generation": promoted.id, "epoch": promoted.epoch, "restarted": restarted}, f"{promoted.id}: {then}")


@session.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@generation_option
@json_option
def export(file: Path, generation: str | None, as_json: bool) -> None:
    """Write a generation to a file, decrypted. Whoever has the file has the account."""
    cli = Cli(as_json)
    if file.exists():
        cli.fail(Exit.FAILED, "exists", f"{file} is there already")
    aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with _progress(cli, "exporting") as progress, _store(cli, progress) as vault:
            wanted = _wanted(cli, vault.pointer(), generation)
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                vault.export(wanted, out)
        aside.rename(file)
    finally:
        aside.unlink(missing_ok=True)
    size_bytes = file.stat().st_size
    cli.show(
        {"generation": wanted.id, "file": str(file), "bytes": size_bytes},
        f"{wanted.id} is in {file}, {_bytes(size_bytes)}, readable by you alone: whoever has it has the account",
    )


@session.command("import", short_help="Take over a zip of whatsapp-web.js, or an export.")
@click.argument("file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from-store", is_flag=True, help="Find a whatsapp-web.js backup in this service's own bucket.")
@click.option("--client-id", help="The clientId that whatsapp-web.js had.")
@click.option("--remote-path", help="The remoteDataPath of wwebjs-aws-s3.")
@click.option("--data-path", help="The dataPath of whatsapp-web.js 1.34.5 and 1.34.6.")
@click.option("--yes", is_flag=True, help="Do not ask when there is a session already.")
@json_option
def import_session(
    file: Path | None,
    from_store: bool,
    client_id: str | None,
    remote_path: str | None,
    data_path: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Take a session over: a RemoteAuth zip of whatsapp-web.js, or what `export` wrote; told by the content.

    The service must be stopped. The source is never changed.
    """
    cli = Cli(as_json)
    if (file is None) is not from_store:
        cli.fail(Exit.BAD_SETTINGS, "usage", "name a file, or --from-store")
    _must_not_run(cli)
    from browser_agent.session import importing

    with (
        tempfile.TemporaryDirectory(prefix="import-", dir=_work_folder(cli)) as folder,
        _progress(cli, "importing") as progress,
        _store(cli, progress) as vault,
    ):
        found = Path(folder) / "found"
        source = file or importing.find_in_store(vault.store, found, client_id, remote_path, data_path)
        if source is None:
            cli.fail(Exit.FAILED, "not_found", f"there is no backup of whatsapp-web.js in {vault.store.location}")
        if vault.pointer().generations and not yes:
            cli.confirm("There is a session already; put this one before it?")
        generation = importing.import_archive(vault, source, Path(folder) / "session")
    cli.show(
        {"generation": generation.id, "files": generation.files, "bytes": generation.profile_bytes},
        f"imported as {generation.id}: {generation.files} files, {_bytes(generation.profile_bytes)}; "
        "the next start uses it",
    )


@session.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(yes: bool, as_json: bool) -> None:
    """Delete all generations for good. The phone still lists the device: `logout` unlinks it, too."""
    cli = Cli(as_json)
    _must_not_run(cli)
    if not yes:
        cli.confirm(f"Delete all of session {cli.settings.session_id} for good?")
    with _store(cli) as vault, cli.working("deleting"):
        pointer = vault.pointer()
        vault.bury(pointer.epoch + 1, "session delete")
    cli.show({"deleted": len(pointer.generations)}, f"{len(pointer.generations)} generations deleted")


# -- details ---------------------------------------------------------------------------------------------------------


@contextmanager
def _store(cli: Cli, progress: "Progress | None" = None) -> "Iterator[Vault]":
    """The session's vault; its errors are exit code 1."""
    from browser_agent.session.errors import SessionError
    from browser_agent.session.work import Work

    try:
        vault = Work(cli.settings).vault(progress or (lambda _done, _all: None))
        yield vault
    except SessionError as error:
        cli.fail(Exit.FAILED, error.code, str(error))
    except ValueError as error:  # SESSION_ENCRYPTION_KEY
        cli.fail(Exit.BAD_SETTINGS, "bad_settings", str(error))
    except OSError as error:
        cli.fail(Exit.FAILED, "disk_trouble", str(error))


@contextmanager
def _progress(cli: Cli, what: str) -> "Iterator[Progress]":
    """A bar on a terminal, once it has taken a second."""
    started = time.monotonic()
    with ExitStack() as stack:
        bars: list[Any] = []

        def show(done: int, total: int) -> None:
            if not bars and not cli.as_json and sys.stderr.isatty() and time.monotonic() - started > SHOW_AFTER_S:
                bars.append(stack.enter_context(click.progressbar(length=total, label=what, file=sys.stderr)))
            for bar in bars:
                bar.length = total
                bar.update(done - bar.pos)

        yield show


def _wanted(cli: Cli, pointer: "Pointer", generation_id: str | None) -> "Generation":
    if not pointer.generations:
        cli.fail(Exit.FAILED, "not_found", f"there is no generation of session {cli.settings.session_id}")
    if generation_id is None:
        return pointer.generations[0]
    found = pointer.generation(generation_id)
    if found is None:
        kept = ", ".join(each.id for each in pointer.generations)
        cli.fail(Exit.FAILED, "not_found", f"there is no generation {generation_id}; there are {kept}")
    return found


def _running_instance(cli: Cli) -> str | None:
    """The instance of an agent that beats; None where none does, or Redis cannot tell."""
    try:
        status = cli.client.status()
    except Exception as error:
        if not is_outage(error):
            raise
        click.echo("whatsapp-container: Redis does not answer: cannot tell whether an agent runs", err=True)
        return None
    return status.instance if status and status.age_s(datetime.now(UTC)) < SILENT_AFTER_S else None


def _must_not_run(cli: Cli) -> None:
    instance = _running_instance(cli)
    if instance is not None:
        cli.fail(Exit.FAILED, "running", f"an agent holds the session, on {instance}: stop it first")


def _restart_if_running(cli: Cli) -> bool:
    instance = _running_instance(cli)
    if instance is None:
        return False
    from workers.restart_request import restart_request

    names = InstanceNames(cli.settings.session_id, instance)
    # In any case: a restart that was asked for before may have come too early for what was restored.
    cli.client.redis.eval(*restart_request(names, "session restore", epoch=None))
    return True


def _work_folder(cli: Cli) -> Path:
    """Where the store's disk is: what is imported has the account in it, and must not lie in /tmp."""
    folder = cli.settings.session_dir
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _as_table(location: str, pointer: "Pointer") -> str:
    head = f"session {pointer.session_id} in {location}, epoch {pointer.epoch}"
    if pointer.tombstone:
        head += f"\nended {_age(pointer.tombstone.at)} ago: {pointer.tombstone.cause}"
    if not pointer.generations:
        return f"{head}\nno generation"
    rows = [["generation", "age", "verified", "stored", "profile", "cause", "browser", "wa-js", "key"]]
    for each in pointer.generations:
        ages = [_age(each.created_at), f"{_age(each.verified_at)} ago"]
        made_with = [each.browser_version or "unknown", each.wa_js_version or "unknown", each.encrypted_with or "none"]
        rows.append([each.id, *ages, _bytes(each.stored_bytes), _bytes(each.profile_bytes), each.cause, *made_with])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([head, "", *lines])


def _age(moment: datetime) -> str:
    seconds = max(0, round((datetime.now(UTC) - moment).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
