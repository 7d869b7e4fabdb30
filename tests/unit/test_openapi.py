"""docs/openapi.json is what the service says of itself, and says all of it."""

import json

from tools.openapi import DOCUMENT, text


def test_the_committed_description_is_the_service_s_own() -> None:
    assert DOCUMENT.read_text() == text(), "run: make contract"


def test_every_operation_is_described_and_every_closed_one_says_what_it_may_refuse() -> None:
    document = json.loads(text())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description") or operation.get("summary"), (method, path)
            if path in ("/healthz", "/readyz"):
                continue
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), (method, path)
            assert operation["security"], (method, path)
            assert ("413" in operation["responses"]) == ("requestBody" in operation), (method, path)
