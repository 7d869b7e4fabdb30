"""Writes build/sbom.cdx.json: what requirements.lock and package-lock.json bring, as one CycloneDX document.

Debian's packages in the image are not in it: `dpkg-query --show` there names them. `make sbom` runs this.
"""

import configparser
import json
import sys
import venv
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from .supply import REPOSITORY, installed, npm, run

BUILD = REPOSITORY / "build"
INSTALL_WITHIN_S = 600.0  # all packages of the lock are fetched
READ_WITHIN_S = 120.0
NPM_SBOM = ("sbom", "--sbom-format=cyclonedx", "--omit=dev", "--omit=optional", "--package-lock-only")


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    document, bundle = _python(), _npm()
    document["metadata"]["component"] = _ourselves()
    document["components"] += bundle["components"]
    # npm's own entry for the project is what its package.json depends on; the project is one thing here.
    bundled = [entry for entry in bundle["dependencies"] if entry["ref"] != bundle["metadata"]["component"]["bom-ref"]]
    document["dependencies"] = [*document.get("dependencies", []), *bundled]
    text = json.dumps(document, indent=2, sort_keys=True)
    problems = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problems is not None:
        sys.exit(f"the document is not valid CycloneDX: {problems}")
    out = BUILD / "sbom.cdx.json"
    out.write_text(f"{text}\n")
    print(f"{out.relative_to(REPOSITORY)}: {len(document['components'])} components, valid CycloneDX 1.6")


def _python() -> Any:
    """Read off an environment with nothing but the lock in it, for a lock does not know licences."""
    environment = BUILD / "sbom-environment"
    venv.create(environment, clear=True, with_pip=False)
    python = environment / "bin/python"
    quiet = ["--quiet", "--disable-pip-version-check"]
    lock = ["--require-hashes", "--no-deps", "-r", "requirements.lock"]
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    _printed(*pip, "install", *quiet, *lock, within_s=INSTALL_WITHIN_S)
    tool = installed("cyclonedx-py")
    return json.loads(_printed(tool, "environment", "--output-reproducible", str(python), within_s=READ_WITHIN_S))


def _npm() -> Any:
    return json.loads(_printed(npm(), *NPM_SBOM, within_s=READ_WITHIN_S))


def _ourselves() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    name, version = setup["metadata"]["name"], setup["metadata"]["version"]
    return {"type": "application", "bom-ref": name, "name": name, "version": version}


def _printed(*command: str, within_s: float) -> str:
    done = run(*command, within_s=within_s)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
