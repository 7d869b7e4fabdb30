"""python -m cli.notices: licences of what is installed here beside our own code, as one text for the image.

Python's packages by their metadata, the npm packages by theirs; of Debian's packages it says where their texts lie.
"""

import json
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from whatsapp_contract.settings import Settings

OURS = "whatsapp-container"
_TEXTS = ("licen", "copying", "notice", "authors")
_HEAD = """Third-party software in this image.

Debian's packages, Redis, Chromium and the fonts among them: /usr/share/doc/PACKAGE/copyright.
Google Chrome, where it is in the image: its terms are at chrome://terms.
Python: /usr/local/lib/python3.11/LICENSE.txt or /usr/share/doc/python3.11/copyright.
"""


class Notice(NamedTuple):
    """One package, and what its authors ask to be passed on."""

    name: str
    version: str
    licence: str
    texts: tuple[str, ...]


def main() -> int:
    """1 where a package does not say under which licence it is: that has to be looked at before it is shipped."""
    settings = Settings.from_env({})
    notices = sorted({*python_notices(), *npm_notices(settings.wa_js_path.parents[3])})
    sys.stdout.write(_HEAD)
    for notice in notices:
        sys.stdout.write(f"\n{'=' * 100}\n{notice.name} {notice.version}: {notice.licence or 'as follows'}\n")
        for text in notice.texts:
            sys.stdout.write(f"{'-' * 100}\n{text.rstrip()}\n")
    silent = [notice.name for notice in notices if not notice.licence and not notice.texts]
    if silent:
        sys.stderr.write(f"no licence is told by: {', '.join(silent)}\n")
    return 1 if silent else 0


def python_notices() -> Iterator[Notice]:
    """Of every package that Python finds, but for our own."""
    for package in distributions():
        name = package.metadata["Name"]
        if name != OURS:
            yield Notice(name, package.version, _licence(package), tuple(_texts(package)))


def npm_notices(node_modules: Path) -> Iterator[Notice]:
    """Of the packages in a node_modules folder."""
    for file in sorted([*node_modules.glob("*/package.json"), *node_modules.glob("@*/*/package.json")]):
        package = json.loads(file.read_text())
        licences = sorted(path for path in _files_of(file.parent) if any(part in path.name.lower() for part in _TEXTS))
        texts = tuple(path.read_text(errors="replace") for path in licences)
        yield Notice(package["name"], package["version"], str(package.get("license", "")), texts)


def _files_of(package: Path) -> Iterator[Path]:
    """Without those of packages within it. What a bundler put into a file is told beside it: `x.js.LICENSE.txt`."""
    for path in package.iterdir():
        if path.is_dir() and path.name != "node_modules":
            yield from _files_of(path)
        elif path.is_file() and path.suffix not in (".js", ".map", ".ts"):
            yield path


def _licence(package: Distribution) -> str:
    """The field of today, else the one of yesterday, else the classifiers."""
    metadata = package.metadata
    told = [value.strip() for name in ("License-Expression", "License") for value in metadata.get_all(name) or ()]
    short = next((value for value in told if value and "\n" not in value), "")
    classified = [value for value in metadata.get_all("Classifier") or () if value.startswith("License ::")]
    return short or "; ".join(value.rsplit(" :: ", 1)[-1] for value in classified)


def _texts(package: Distribution) -> Iterator[str]:
    for file in package.files or ():
        if file.suffix != ".py" and file.name.lower().startswith(_TEXTS) and ".dist-info" in str(file):
            yield Path(str(package.locate_file(file))).read_text(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
