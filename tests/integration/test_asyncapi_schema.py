"""docs/asyncapi.yaml against AsyncAPI's own schema of 3.0."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.harness.npm_packages import NotInstalled, install
from tools.asyncapi import DOCUMENT

PACKAGE = Path(__file__).parents[1] / "asyncapi_schema"


@pytest.fixture(scope="module")
def schema() -> Any:
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        pytest.skip("THE ASYNCAPI DOCUMENT WAS NOT CHECKED: npm is missing (Debian: apt install npm)")
    try:
        install(PACKAGE, npm)
    except NotInstalled as error:
        pytest.skip(f"THE ASYNCAPI DOCUMENT WAS NOT CHECKED: {error}")
    return json.loads((PACKAGE / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())


def test_the_document_is_an_asyncapi_document(schema: Any) -> None:
    document = yaml.safe_load(DOCUMENT.read_text())
    jsonschema.Draft7Validator(schema).validate(document)
    for change in (
        {"channels": {"commands": {"address": 7}}},
        {"operations": {"ping": {"action": "ask", "channel": {"$ref": "#/channels/commands"}}}},
        {"surprise": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft7Validator(schema).validate(document | change)
