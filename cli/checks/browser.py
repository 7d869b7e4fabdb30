"""The browser and wa-js."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from datetime import datetime
from pathlib import Path

from whatsapp_contract.errors import BrowserGone
from whatsapp_contract.settings import Settings

from .finding import Finding, bad, ok, warn

VERSION_WITHIN_S = 10.0
WITHIN_S = VERSION_WITHIN_S + 5.0
SMALL_SHM_BYTES = 512 * 1024 * 1024
WA_JS_LEAST_BYTES = 10_000

_BANNER = re.compile(rb"wa-js v(\d+(?:\.\d+)+[\w.-]*)")


def browser(settings: Settings, version_within_s: float = VERSION_WITHIN_S) -> list[Finding]:
    """Found, runs and tells its version: that takes all its libraries. It is not started: the service does that."""
    from browser_agent.whatsapp.executable import find_executable

    name = "browser"
    try:
        executable = find_executable(settings.browser_executable)
    except BrowserGone as error:
        return [bad(name, str(error), "install Google Chrome or Chromium, or correct PUPPETEER_EXECUTABLE_PATH")]
    try:
        code, said = _version(executable, version_within_s)
    except subprocess.TimeoutExpired:
        found = f"{executable} --version says nothing within {version_within_s:g} s"
        return [bad(name, found, "the machine is overloaded, or the browser is broken: install it again")]
    except OSError as error:
        return [bad(name, f"{executable} cannot be run: {error.strerror}", "install the browser again")]
    if code != 0 or not re.search(r"\d+\.\d+", said):
        found = f"{executable} --version ends with code {code}: {said[-200:]!r}"
        return [bad(name, found, "install the browser again, with the libraries that it misses")]
    shm = " (/dev/shm is small, and passed by)" if _shm_is_small() else ""
    findings = [ok(name, f"{said} at {executable}{shm}")]
    if shutil.which("setpriv") is None:
        findings.append(bad(name, "setpriv, which starts it, is missing", "run: apt-get install util-linux"))
    if settings.chromium_sandbox == "on":
        findings.append(sandbox(is_root=os.geteuid() == 0, has_helper=_has_helper(executable), refusal=_refusal()))
    return findings


def sandbox(*, is_root: bool, has_helper: bool, refusal: str | None) -> Finding:
    """Whether Chromium could have its sandbox. `refusal` is what making namespaces as a user was answered with."""
    name, off = "sandbox", "set CHROMIUM_SANDBOX=off"
    if is_root:
        return bad(name, "Chromium has no sandbox as root", f"run the service as another user, or {off}")
    if refusal is None or has_helper:
        return ok(name, "possible")
    return bad(
        name,
        f"the kernel does not let us make namespaces ({refusal})",
        f"allow user namespaces (user.max_user_namespaces, the container's seccomp profile, AppArmor), or {off}",
    )


def wa_js(settings: Settings) -> list[Finding]:
    """There, readable, and what it should be."""
    name, path = "wa-js", settings.wa_js_path
    install = "run 'npm ci' in the project's folder, or correct WA_JS_PATH"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [bad(name, f"there is no {path}", install)]
    except OSError as error:
        return [bad(name, f"{path} cannot be read: {error.strerror}", "let the service's user read it")]
    if len(content) < WA_JS_LEAST_BYTES:
        return [bad(name, f"{path} has {len(content)} bytes only: it is cut, or something else", install)]
    banner = _BANNER.search(content[:2000])
    if banner is None:
        return [warn(name, f"{path} does not tell its version", "if the page does not come up, install it: npm ci")]
    return [ok(name, f"{banner.group(1).decode()} at {path}")]


def builds(settings: Settings, now: datetime) -> list[Finding]:
    """Builds of WhatsApp Web that the settings ask for; nothing to say where they ask for none."""
    from browser_agent.whatsapp.kept_builds import INSTALL, KeptBuilds, NoSuchBuild

    name, pin, kept = "builds", settings.whatsapp_web_version, KeptBuilds(settings.wa_version_path)
    if not pin:
        if settings.whatsapp_web_fallback == "off":
            return []
        if not (found := kept.all()):
            return [bad(name, f"WHATSAPP_WEB_FALLBACK has no build in {kept.folder}", INSTALL)]
        return [ok(name, f"{len(found)} to go back to, the newest is {found[-1].version}")]
    try:
        build = kept.newest(pin)
        build.read()
    except NoSuchBuild as error:
        return [bad(name, str(error), "correct WHATSAPP_WEB_VERSION, or see docs/versions.md")]
    expires_at = kept.expires_at(build.version)
    if expires_at is not None and expires_at < now:
        found_out = f"{build.version} is served, which WhatsApp takes until {expires_at:%Y-%m-%d} only"
        return [warn(name, found_out, "serve a newer one, or none: docs/versions.md")]
    return [ok(name, f"{build.version} is served")]


def _version(executable: Path, within_s: float) -> tuple[int, str]:
    with subprocess.Popen(
        [executable, "--version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            out, err = process.communicate(timeout=within_s)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, (out.strip() or err.strip())


def _shm_is_small() -> bool:
    shm = Path("/dev/shm")  # noqa: S108  # a mount, not a file
    return not shm.is_dir() or shutil.disk_usage(shm).total < SMALL_SHM_BYTES


def _has_helper(executable: Path) -> bool:
    """The sandbox of old: a program beside the browser that runs as root."""
    with contextlib.suppress(OSError):
        stat = (executable.parent / "chrome-sandbox").stat()
        return stat.st_uid == 0 and bool(stat.st_mode & 0o4000)
    return False


def _refusal() -> str | None:
    """Tried with a process of its own, which ends at once; None when it may."""
    try:
        done = subprocess.run(
            ["unshare", "--user", "--pid", "--net", "--fork", "true"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return None if done.returncode == 0 else done.stderr.strip()[-200:] or f"code {done.returncode}"
