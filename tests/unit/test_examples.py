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
