"""Writes build/sbom.cdx.json: what requirements.lock and package-lock.json bring, as one CycloneDX document.

Debian's packages in the image are not in it: `dpkg-query --show` there names them. `make sbom` runs this.
"""

import configparser
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

REPOSITORY = Path(__file__).parents[1]
BUILD = REPOSITORY / "build"
TOOLS = Path(sys.executable).parent
NPM_SBOM = ("sbom", "--sbom-format=cyclonedx", "--omit=dev", "--omit=optional", "--package-lock-only")


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    document, npm = _python(), _npm()
    document["metadata"]["component"] = _ourselves()
    document["components"] += npm["components"]
    # npm's own entry for the project is what its package.json depends on; the project is one thing here.
    bundled = [entry for entry in npm["dependencies"] if entry["ref"] != npm["metadata"]["component"]["bom-ref"]]
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
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *quiet, *lock)
    return json.loads(_run(str(TOOLS / "cyclonedx-py"), "environment", "--output-reproducible", str(python)))


def _npm() -> Any:
    npm = shutil.which("npm") or str(TOOLS / "npm")  # tools/setup has put it there, where the machine has none
    return json.loads(_run(npm, *NPM_SBOM))


def _ourselves() -> dict[str, str]:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    name, version = setup["metadata"]["name"], setup["metadata"]["version"]
    return {"type": "application", "bom-ref": name, "name": name, "version": version}


def _run(*command: str) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{TOOLS}"
    environ = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
