"""What README shows of a backend is what the tests run."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_backends_in_readme_are_the_examples() -> None:
    examples = [path.read_text() for path in (REPOSITORY / "docs/examples").iterdir() if path.is_file()]
    blocks = re.findall(r"^```\w+\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.M | re.S)
    for block in blocks:
        if "follow(group=" in block or "XREADGROUP" in block:
            assert any(block in example for example in examples), block


def test_what_docs_show_of_verifying_a_signature_is_in_the_examples() -> None:
    blocks = re.findall(r"^```(py|js)\w*\n(.*?)^```$", (REPOSITORY / "docs/webhooks.md").read_text(), re.M | re.S)
    assert [kind for kind, _ in blocks] == ["py", "js"]
    for kind, block in blocks:
        example = REPOSITORY / "docs/examples" / {"py": "webhook.py", "js": "webhook.mjs"}[kind]
        assert block in example.read_text()
