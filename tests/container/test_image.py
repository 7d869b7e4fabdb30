"""What is in the image, and what is not."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.harness.waiting import wait_until

from .container import Container
from .engine import Engine

PROFILE = Path(__file__).parents[2] / "deploy" / "seccomp" / "chromium-sandbox.json"
LABELS = {"title", "description", "licenses", "version", "revision"}


def run_once(engine: Engine, image: str, *command: str, user: str = "10001:10001") -> str:
    return engine.call("run", "--rm", "--network", "none", "--user", user, image, *command)


def test_it_says_what_it_is_made_of(engine: Engine, image: str) -> None:
    info = json.loads(run_once(engine, image, "cat", "/etc/build-info.json"))
    assert info["whatsapp-container"] == version("whatsapp-container")
    assert info["browser"].startswith(("Chromium ", "Google Chrome "))
    assert (
        info["wa-js"]
        == json.loads(run_once(engine, image, "cat", "/app/package.json"))["dependencies"]["@wppconnect/wa-js"]
    )
    told = run_once(engine, image, "whatsapp-container", "--version")
    assert all(info[name] in told for name in ("whatsapp-container", "browser", "wa-js"))
    labels = engine.config(image)["Labels"]
    assert {name.rpartition(".")[2] for name in labels if name.startswith("org.opencontainers")} >= LABELS
    assert labels["org.opencontainers.image.version"] == version("whatsapp-container")


def test_its_user_is_a_number_and_not_root(engine: Engine, image: str) -> None:
    assert engine.config(image)["User"] == "10001:10001"
    assert run_once(engine, image, "id", "-u").strip() == "10001"


@pytest.mark.parametrize("tool", ["node", "npm", "pip", "curl", "wget", "gcc"])
def test_what_only_building_needs_is_not_there(engine: Engine, image: str, tool: str) -> None:
    assert run_once(engine, image, "bash", "-c", f"type -P {tool} || true") == ""
    assert run_once(engine, image, "bash", "-c", "type -P python") != ""


def test_nothing_of_ours_can_be_written_by_its_user(engine: Engine, image: str) -> None:
    script = "find /app /opt/venv /etc /usr -writable ! -type l 2>/dev/null; test -d /app/web"
    assert run_once(engine, image, "bash", "-c", script) == ""


def test_the_licences_of_others_are_in_it(engine: Engine, image: str) -> None:
    text = run_once(engine, image, "cat", "/usr/share/doc/whatsapp-container/third-party.txt")
    assert all(
        name in text
        for name in ("pyppeteer 2.0.0: MIT", "redis ", "supervisor 4", "@wppconnect/wa-js", "Compressor.js")
    )
    assert run_once(engine, image, "cat", "/usr/share/doc/redis-server/copyright")


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "und-zsye"])
def test_there_is_a_font_for(engine: Engine, image: str, language: str) -> None:
    """und-zsye: emoji."""
    assert run_once(engine, image, "fc-list", f":lang={language}", "family").strip()


def test_no_secret_is_among_its_variables(engine: Engine, image: str) -> None:
    names = {pair.partition("=")[0] for pair in engine.config(image)["Env"]}
    assert not {name for name in names if any(word in name for word in ("TOKEN", "SECRET", "PASSWORD", "KEY"))} - {
        "GPG_KEY"
    }


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("chown 0:0 /data", "/data"),
        ("install -m 0600 /dev/null /data/lock", "/data/lock"),
        ("install -d -m 0700 /data/redis", "/data/redis"),
        ("install -d -m 0700 -o 10001 /data/sessions && install -d -m 0700 /data/sessions/one", "/data/sessions/one"),
    ],
)
def test_what_root_left_on_a_volume_is_named_with_the_way_out(
    another: Container, engine: Engine, image: str, script: str, named: str
) -> None:
    as_root = ["--rm", "--network", "none", "--user", "0", "--volume", f"{another.name}:/data"]
    engine.call("run", *as_root, image, "bash", "-c", script)
    with another:
        assert another.wait_exit(60) == 2
        assert f"{named} cannot be used" in another.log()
        assert "chown -R 10001:10001 /data\n" in another.log()


def test_what_a_file_system_keeps_for_itself_on_a_volume_does_not_matter(
    another: Container, engine: Engine, image: str
) -> None:
    as_root = ["--rm", "--network", "none", "--user", "0", "--volume", f"{another.name}:/data"]
    engine.call("run", *as_root, image, "install", "-d", "-m", "0700", "/data/lost+found")
    with another:
        another.wait_state("awaiting_scan")


@pytest.mark.parametrize(("folder", "named"), [("/run", "/run/whatsapp-container"), ("/tmp", "/tmp")])
def test_a_root_that_cannot_be_written_needs_two_folders_in_memory(
    another: Container, folder: str, named: str
) -> None:
    with another.without_option(f"--tmpfs={folder}"):
        assert another.wait_exit(60) == 2
        assert f"{named} cannot be used" in another.log()
        assert f"--tmpfs {folder}" in another.log()


def test_any_other_user_will_do(another: Container) -> None:
    """As orchestrators choose one; none of /etc/passwd."""
    with another.without_option(f"--volume={another.name}:/data").with_options(
        *("--user", "12345:12345", "--tmpfs", "/data")
    ):
        another.wait_state("awaiting_scan")


def test_our_profile_denies_what_docker_s_denies_but_for_what_a_sandbox_is_made_of(seccomp: Path | None) -> None:
    if seccomp is None:
        pytest.skip("DOCKER'S PROFILE WAS NOT COMPARED WITH: with Docker it is nowhere to be read")
    docker = json.loads(seccomp.read_text())["syscalls"]
    ours = json.loads(PROFILE.read_text())["syscalls"]
    named = {name for rule in docker for name in rule["names"]}
    free = [rule for rule in docker if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("includes", {}).get("caps")]
    allowed = {name for rule in free if not rule.get("args") for name in rule["names"]}
    denied = {name for rule in ours for name in rule["names"]}
    assert named - allowed - denied == {"clone", "clone3", "unshare", "chroot", "personality"}
    # It is stricter by these; later ones of Docker's deny the first three, too.
    stricter = {"io_uring_enter", "io_uring_register", "io_uring_setup", "ptrace", "clock_adjtime"}
    assert denied & allowed <= stricter


def test_chromium_has_its_own_sandbox_under_our_profile(another: Container) -> None:
    with another.with_seccomp(PROFILE).with_options(CHROMIUM_SANDBOX="on"):
        another.wait_state("awaiting_scan")
        assert "--no-sandbox" not in another.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        ours = another.shell("readlink /proc/self/ns/user")
        of_renderers = another.shell("for p in $(pgrep -f -- '--[t]ype=renderer'); do readlink /proc/$p/ns/user; done")
        assert of_renderers.split()
        assert ours.strip() not in of_renderers.split()
        assert "ok    sandbox" in another.exec("whatsapp-container", "doctor")


def test_under_docker_s_profile_the_doctor_says_that_it_cannot_have_one(another: Container) -> None:
    with another.with_options(CHROMIUM_SANDBOX="on"):
        wait_until(lambda: "scheduler started" in another.log(), 40, "the programs run", every_s=0.5)
        told = another.engine.tried("exec", another.name, "whatsapp-container", "doctor")
        assert told.returncode == 1
        [found] = [line for line in told.stdout.splitlines() if "sandbox" in line and line.startswith("bad")]
        assert "CHROMIUM_SANDBOX=off" in told.stdout, found
        assert another.state() == "starting"


def test_a_program_that_cannot_be_kept_running_ends_it(another: Container, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with another.with_options("--volume", f"{tmp_path}:/app/web:ro"):  # it has no program then
        assert another.wait_exit(120) == 70
        assert "web cannot be kept running" in another.log()
