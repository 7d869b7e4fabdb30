"""The table of what our calls need, held against what the bridge uses of wa-js."""

import re
from itertools import chain

import pytest

from browser_agent.whatsapp import needs
from browser_agent.whatsapp.bridge import FILES, FOLDER

COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
SOURCE = COMMENT.sub("", "\n".join((FOLDER / name).read_text() for name in FILES))


def uses(source: str) -> set[str]:
    """As the table names them: `conn.isAuthenticated`, `whatsapp.Stream`, `whatsapp.functions.…`, `on:chat.…`."""
    # A destructured store, and names that are listened to in a loop.
    taken = {f"whatsapp.{name}" for name in chain(*map(_names, re.findall(r"\{([^{}]*)\} = WPP\.whatsapp;", source)))}
    looped = chain(*map(_texts, re.findall(r"for \(const name of \[([^\]]*)\]\) \{\s*WPP\.on\(name", source)))
    heard = {f"on:{name}" for name in chain(re.findall(r"WPP\.on\(\s*'([^']+)'", source), looped)}
    direct = re.findall(
        r"WPP\??\.((?:whatsapp\.functions\.\w+)|(?:whatsapp\.(?!functions\b)\w+)|\w+(?:\.\w+)?)", source
    )
    called = {name for name in direct if name not in ("on", "whatsapp")}
    return taken | heard | called


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _texts(text: str) -> list[str]:
    return re.findall(r"'([^']+)'", text)


def test_all_that_the_bridge_uses_is_in_the_table_and_nothing_else() -> None:
    assert uses(SOURCE) == set(needs.USES)


def test_no_use_is_written_in_a_way_that_this_test_does_not_see() -> None:
    mentions = len(re.findall(r"\bWPP\b", SOURCE))
    seen = len(re.findall(r"WPP\??\.\w+\.\w+|WPP\??\.on\(|WPP\??\.(?:isInjected|version)\b", SOURCE))
    # The rest is `= WPP.whatsapp;`, and the probe's own way in.
    others = len(re.findall(r"= WPP\.whatsapp;|, WPP\.whatsapp\)", SOURCE))
    assert mentions == seen + others


def test_a_use_that_is_not_in_the_table_is_found() -> None:
    more = SOURCE + "\nWPP.blocklist.all();\nWPP.whatsapp.functions.sendClear();\nWPP.on('chat.new_label', () => {});"
    assert uses(more) - set(needs.USES) == {"blocklist.all", "whatsapp.functions.sendClear", "on:chat.new_label"}


def test_every_use_that_needs_something_belongs_to_a_call_or_is_spared() -> None:
    of_calls = {use for entries in needs.CALLS.values() for entry in entries for use in entry.split("|")}
    assert of_calls <= set(needs.USES)
    assert {use for use, modules in needs.USES.items() if modules} - of_calls == needs.SPARED


@pytest.mark.parametrize(
    ("missing", "broken"),
    [
        ([], {}),
        (["LruMediaStore"], {}),
        (["GroupMetadataStore"], {"groups": ("GroupMetadataStore",)}),
        (["MediaPrep", "OpaqueData"], {"send_media": ("MediaPrep", "OpaqueData")}),
        (["functions.msgFindQuery"], {}),  # builds have that or the other
        (
            ["functions.msgFindQuery", "functions.msgFindByDirection"],
            {"history": ("functions.msgFindByDirection", "functions.msgFindQuery")},
        ),
        (["functions.queryAllGroups"], {"groups": ("functions.queryAllGroups",)}),  # the link has another question
        (
            ["functions.queryAllGroups", "functions.queryWidExists"],
            {
                "groups": ("functions.queryAllGroups",),
                "link_query": ("functions.queryAllGroups", "functions.queryWidExists"),
                "send": ("functions.queryWidExists",),
            },
        ),
    ],
)
def test_a_call_is_broken_by_what_it_cannot_do_without(missing: list[str], broken: dict[str, tuple[str, ...]]) -> None:
    assert needs.broken(missing) == broken
