"""Asks pip-audit and npm audit for known holes in what the locks bring. `make audit` runs this.

Ends with 1 where there are any, and with 2 where a source could not be asked for all of it: that is no good news.
"""

import json
import sys

from .supply import installed, npm, run

ANSWER_WITHIN_S = 180.0  # of a source, for one lock; it is asked for each package
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-node.lock", "requirements-supply.lock")


def main() -> None:
    found, unasked = 0, False
    for lock in LOCKS:
        holes, reached = _pip(lock)
        found, unasked = found + holes, unasked or not reached
    holes, reached = _npm()
    found, unasked = found + holes, unasked or not reached
    sys.exit(1 if found else 2 if unasked else 0)


def _pip(lock: str) -> tuple[int, bool]:
    """How many holes, and whether every package was asked for."""
    arguments = ["-r", lock, "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    done = run(installed("pip-audit"), *arguments, within_s=ANSWER_WITHIN_S)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{lock}: NOT AUDITED: {_last_line(done.stderr)}")
        return 0, False
    holes = [(package, hole) for package in packages for hole in package.get("vulns", [])]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{lock}: {package['name']} {package['version']}: {hole['id']}, mended by {fixed}")
    skipped = [package for package in packages if "skip_reason" in package]
    if skipped:
        print(f"{lock}: NOT AUDITED: {len(skipped)} of {len(packages)} packages: {skipped[0]['skip_reason']}")
    else:
        print(f"{lock}: {len(packages)} packages audited, {len(holes)} holes")
    return len(holes), not skipped


def _npm() -> tuple[int, bool]:
    done = run(npm(), "audit", "--json", "--audit=true", within_s=ANSWER_WITHIN_S)
    try:
        counts = json.loads(done.stdout)["metadata"]["vulnerabilities"]
    except (ValueError, KeyError):
        first = next((line for line in done.stderr.splitlines() if line.strip()), "npm audit gave no answer")
        print(f"package-lock.json: NOT AUDITED: {first}")
        return 0, False
    holes = int(counts["total"])
    print(f"package-lock.json: audited, {holes} holes{'; `npm audit` names them' if holes else ''}")
    return holes, True


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    main()
