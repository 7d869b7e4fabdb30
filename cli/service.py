"""What `whatsapp-container run` prepares before supervisord takes over: checks, folders, the lock, Redis."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from whatsapp_contract.settings import Settings, SettingsError, misspelled

PROJECT = Path(__file__).resolve().parent.parent
REDIS_PROBE_WITHIN_S = 1.0
SOCKET_PATH_BYTES = 107
OURS = ("lock", "api-token", "redis", "sessions", "store", "run")  # in DATA_DIR
FOREIGN_DEPTH = 2  # as deep as a session's own folders


class CannotStart(Exception):
    """Why the service cannot start, and what to do about it; one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def start(environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by supervisord with the service. Raises CannotStart, having changed nothing but folders."""
    settings = checked_settings(environ)
    for given, meant in misspelled(environ).items():
        sys.stderr.write(f"whatsapp-container: {given} is no variable of this service: is {meant} meant?\n")
    make_folders(settings)
    lock = take_lock(settings)
    refuse_taken_port(settings)
    embedded = embeds_redis(settings)
    if embedded:
        write_redis_config(settings)
    os.set_inheritable(lock, True)  # it must outlive the exec
    sys.stderr.write(f"whatsapp-container: {redis_in_words(settings, embedded=embedded)}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os.execve(  # noqa: S606  # no shell is wanted
        sys.executable,
        [sys.executable, "-m", "cli.pid1", str(PROJECT / "supervisord.conf")],
        {
            **environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT), environ.get("PYTHONPATH")))),
            "PYTHONUNBUFFERED": "1",
            "TZ": "UTC",
            "LOG_ON_TERMINAL": "1" if sys.stdout.isatty() and not environ.get("NO_COLOR") else "",
            "DATA_DIR": str(settings.data_dir.absolute()),
            "RUN_DIR": str(settings.run_dir),
            "SERVICE_STARTED_AT": f"{time.time():.3f}",
            "REDIS_AUTOSTART": "true" if embedded else "false",
            "WEBHOOKS_AUTOSTART": "true" if settings.webhook_urls else "false",
        },
    )


def checked_settings(environ: Mapping[str, str]) -> Settings:
    """Raises CannotStart naming everything that is wrong at once."""
    settings, problems = usable_settings(environ)
    if not settings.wa_js_path.is_file():
        way_out = f"start in {PROJECT}, or run 'npm ci' there"
        problems.append(f"WA_JS_PATH: there is no {settings.wa_js_path.absolute()}; {way_out}")
    if shutil.which("setpriv") is None:
        problems.append("setpriv is missing; run 'apt-get install util-linux'")
    problems += _browser_problems(settings)
    problems += _build_problems(settings)
    if problems:
        raise CannotStart(problems)
    return settings


def usable_settings(environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """The settings, and what is wrong with the variables: one sentence each, which begins with the variable's name.

    One that cannot be used has its default.
    """
    from scheduler.schedule import crons

    problems: list[str] = []
    try:
        settings = Settings.from_env(environ)
    except SettingsError as error:
        problems += error.problems
        # The others are looked at all the same.
        settings = Settings.from_env({k: v for k, v in environ.items() if k not in error.variables})
    try:
        crons(settings)
    except SettingsError as error:
        problems += error.problems
    problems += _key_problems(settings)
    if settings.redis_embedded == "on" and (settings.redis_host or settings.redis_url_given):
        problems.append("REDIS_EMBEDDED: 'on' excludes REDIS_HOST and REDIS_URL")
    if len(os.fsencode(settings.run_dir / "supervisor.sock.1234567")) > SOCKET_PATH_BYTES:  # as supervisord makes it
        problems.append(f"RUN_DIR: {settings.run_dir} is too long for a socket's path; choose another")
    return settings, problems


def _build_problems(settings: Settings) -> list[str]:
    """A build that is asked for has to be there: the site's own in its place would surprise whoever asked."""
    from browser_agent.whatsapp.kept_builds import KeptBuilds, NoSuchBuild

    if not settings.whatsapp_web_version:
        return []
    try:
        KeptBuilds(settings.wa_version_path).newest(settings.whatsapp_web_version).read()
    except NoSuchBuild as error:
        return [f"WHATSAPP_WEB_VERSION: {error}"]
    return []


def make_folders(settings: Settings) -> None:
    """Raises CannotStart where a folder cannot be made or written, as with a volume of another owner, or holds what
    another user left there."""
    for folder in (settings.data_dir, settings.data_dir / "redis", settings.run_dir):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "not writable", str(folder))
        except OSError as error:
            raise CannotStart([_unusable(folder, error, settings.data_dir)]) from None
    with contextlib.suppress(FileNotFoundError):  # another service may be at work here: take_lock will tell
        for path in _ours(settings.data_dir):
            if path.lstat().st_uid != os.getuid() and not os.access(path, os.W_OK, follow_symlinks=False):
                foreign = PermissionError(13, "another user's, and not writable", str(path))
                raise CannotStart([_unusable(path, foreign, settings.data_dir)])
    try:
        tempfile.TemporaryFile().close()
    except OSError as error:
        folder = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108  # where it was looked for first
        raise CannotStart([f"{folder} cannot be used: {error.strerror}; {_way_out(folder, folder, error)}"]) from None


def _ours(data_dir: Path) -> Iterator[Path]:
    """What of it is this service's, and not the file system's own, as `lost+found`."""
    for name in OURS:
        path = data_dir / name
        if path.exists():
            yield path
            if path.is_dir():
                yield from _first_levels(path, FOREIGN_DEPTH)


def _first_levels(folder: Path, depth: int) -> Iterator[Path]:
    if depth == 0 or not os.access(folder, os.R_OK | os.X_OK):
        return
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _first_levels(path, depth - 1)


def _unusable(path: Path, error: OSError, data_dir: Path) -> str:
    mend = data_dir if path.is_relative_to(data_dir) else path
    return f"{path} cannot be used: {error.strerror}; {_way_out(path, mend, error)}"


def _way_out(path: Path, mend: Path, error: OSError) -> str:
    user = f"{os.getuid()}:{os.getgid()}"
    if error.errno == errno.EROFS or (path.is_dir() and os.statvfs(path).f_flag & os.ST_RDONLY):
        mount = path if path.parent == Path("/") else path.parent
        return f"its file system is read-only: mount another there, in a container with --tmpfs {mount}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"make it writable for user {user}, as root with: chown -R {user} {mend}"
    return "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another"


def take_lock(settings: Settings) -> int:
    """One service per DATA_DIR. Answers the descriptor that holds the lock; raises CannotStart."""
    path = settings.data_dir / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotStart([_unusable(path, error, settings.data_dir)]) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotStart([f"another service runs on DATA_DIR {settings.data_dir}; stop it first"]) from None
    return descriptor


def refuse_taken_port(settings: Settings) -> None:
    """The web process would find out too late, and end the service. Raises CannotStart."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn
        try:
            probe.bind(("0.0.0.0", settings.port))  # noqa: S104  # as the web process
        except OSError as error:
            raise CannotStart([f"PORT: {settings.port} cannot be used: {error.strerror}; choose another"]) from None


def embeds_redis(settings: Settings) -> bool:
    """Whether supervisord is to run a Redis. Raises CannotStart where it would have to and cannot."""
    if settings.redis_embedded == "off" or settings.redis_host or settings.redis_url_given:
        return False
    answer = _who_listens(settings.redis_port)
    if answer == "a Redis that wants a password" and settings.redis_embedded == "auto" and not settings.redis_password:
        way_out = "give REDIS_PASSWORD, or another REDIS_PORT for a Redis of its own"
        raise CannotStart([f"REDIS_PASSWORD: the Redis found on port {settings.redis_port} wants one; {way_out}"])
    if answer is not None and "Redis" in answer and settings.redis_embedded == "auto":
        return False
    if answer is not None:
        raise CannotStart([f"REDIS_PORT: port {settings.redis_port} is taken by {answer}; choose another"])
    if shutil.which("redis-server") is None:
        raise CannotStart(["redis-server is missing; run 'apt-get install redis-server' or set REDIS_HOST"])
    return True


def write_redis_config(settings: Settings) -> None:
    """For this service alone: append-only file under DATA_DIR, outside loopback only with a password."""
    lines = [
        f"port {settings.redis_port}",
        f"dir {_quoted(str(settings.data_dir.absolute() / 'redis'))}",
        "appendonly yes",
        'save ""',
        "loglevel warning",
        f"bind {'* -::*' if settings.redis_password else '127.0.0.1'}",
    ]
    if settings.redis_password:
        lines.append(f"requirepass {_quoted(settings.redis_password.get_secret_value())}")
    path = settings.run_dir / "redis.conf"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def _quoted(text: str) -> str:
    """As redis.conf takes what holds spaces, quotes or line ends."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def redis_in_words(settings: Settings, *, embedded: bool) -> str:
    """Which one is used, and why; for the first line of the log."""
    place = urlsplit(settings.redis_url.get_secret_value())
    where = place.path if place.scheme == "unix" else f"{place.hostname}:{place.port or 6379}"
    if embedded:
        return f"Redis: its own, on {where}"
    if settings.redis_host or settings.redis_url_given or settings.redis_embedded == "off":
        return f"Redis: {where}"
    return f"Redis: one that was found on {where}; for one of its own set REDIS_EMBEDDED=on and another REDIS_PORT"


def _who_listens(port: int) -> Literal["a Redis", "a Redis that wants a password", "something else"] | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=REDIS_PROBE_WITHIN_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except ConnectionRefusedError:
        return None
    except OSError:
        return "something else"
    if answer.startswith(b"-NOAUTH"):
        return "a Redis that wants a password"
    return "a Redis" if answer.startswith((b"+PONG", b"-LOADING", b"-DENIED")) else "something else"


def _key_problems(settings: Settings) -> list[str]:
    from browser_agent.session.encryption import Keyring

    given = settings.session_encryption_key
    try:
        Keyring.parse(given.get_secret_value() if given else None)
    except ValueError as error:
        return [str(error)]
    return []


def _browser_problems(settings: Settings) -> list[str]:
    from browser_agent.whatsapp.executable import find_executable
    from whatsapp_contract.errors import BrowserGone

    try:
        find_executable(settings.browser_executable)
    except BrowserGone as error:
        return [str(error)]
    return []
