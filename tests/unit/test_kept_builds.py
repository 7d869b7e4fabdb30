"""The builds that @wppconnect/wa-version keeps, read from a folder like its own."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from browser_agent.whatsapp.kept_builds import KeptBuilds, NoSuchBuild, is_later, matches, revision
from cli.checks.browser import builds
from cli.checks.finding import Level
from cli.service import CannotStart, checked_settings
from whatsapp_contract.settings import Settings, SettingsError

BUILDS = ["2.3000.1043565534-alpha", "2.3000.1048032155-alpha", "2.3000.999-alpha", "2.2413.51"]


@pytest.fixture
def kept(tmp_path: Path) -> KeptBuilds:
    (tmp_path / "html").mkdir()
    for version in BUILDS:
        (tmp_path / "html" / f"{version}.html").write_text(f"<title>{version}</title>")
    (tmp_path / "html" / "README.md").write_text("no build")
    listed = [{"version": BUILDS[1], "beta": False, "expire": "2026-11-21T19:16:29.762Z"}, {"version": BUILDS[0]}]
    (tmp_path / "versions.json").write_text(json.dumps({"currentBeta": None, "versions": listed}))
    return KeptBuilds(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "version"),
    [
        ("2.3000.1043565534-alpha", BUILDS[0]),
        ("2.3000.1043565534", BUILDS[0]),
        ("2.3000.x", BUILDS[1]),  # by number, not by text
        ("2.3000.x-alpha", BUILDS[1]),
        ("2.2413.x", BUILDS[3]),
        ("2.3000", BUILDS[1]),
        ("x", BUILDS[1]),
    ],
)
def test_a_pattern_stands_for_the_newest_that_matches(kept: KeptBuilds, pattern: str, version: str) -> None:
    build = kept.newest(pattern)
    assert (build.version, build.read()) == (version, f"<title>{version}</title>".encode())


def test_what_is_not_there_is_said_with_what_is(kept: KeptBuilds) -> None:
    with pytest.raises(NoSuchBuild, match=r"no build 2\.3000\.7; it has 4, from 2\.2413\.51 to 2\.3000\.1048032155-"):
        kept.newest("2.3000.7")


def test_a_missing_package_is_said_with_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(NoSuchBuild, match="npm ci --include=optional"):
        KeptBuilds(tmp_path / "none").newest("2.3000.x")


def test_a_page_tells_its_build_without_what_stands_behind_the_numbers(kept: KeptBuilds) -> None:
    build = kept.same_as("2.3000.1048032155")
    assert build is not None
    assert build.version == BUILDS[1]
    assert kept.same_as("2.3000.104803215") is None
    assert (revision(BUILDS[1]), revision("scripts-0badcafe")) == ("1048032155", None)


def test_when_a_build_expires_is_said_where_it_is_known(kept: KeptBuilds, tmp_path: Path) -> None:
    assert kept.expires_at(BUILDS[1]) == datetime(2026, 11, 21, 19, 16, 29, 762000, UTC)
    assert kept.expires_at(BUILDS[0]) is None
    (tmp_path / "versions.json").write_text("{")
    assert kept.expires_at(BUILDS[1]) is None


def test_a_suffix_that_is_asked_for_has_to_be_there() -> None:
    assert not matches("2.3000.x-beta", BUILDS[0])


@pytest.mark.parametrize(
    ("number", "version", "later"),
    [
        ("1043565535", BUILDS[0], True),
        ("1043565534", BUILDS[0], False),
        ("999", BUILDS[0], False),  # by number, not by text
        ("", BUILDS[0], False),
        ("1", "scripts-0badcafe", False),
    ],
)
def test_a_later_build_has_a_greater_number(number: str, version: str, later: bool) -> None:
    assert is_later(number, version) is later


@pytest.mark.parametrize("version", ["latest", "2.3000.*", "../2.3000.1", "2.3000.1048032155 -alpha", "2.3000.1.4"])
def test_what_is_no_version_is_refused_by_the_settings(version: str) -> None:
    with pytest.raises(SettingsError, match="WHATSAPP_WEB_VERSION"):
        Settings.from_env({"WHATSAPP_WEB_VERSION": version})


@pytest.mark.parametrize("version", ["", "2.3000.x", "2.3000.1048032155-alpha", "2.3000"])
def test_versions_and_patterns_are_taken_by_the_settings(version: str) -> None:
    assert Settings.from_env({"WHATSAPP_WEB_VERSION": version}).whatsapp_web_version == version


NOW = datetime(2026, 11, 1, tzinfo=UTC)


def settings(kept: KeptBuilds, **variables: str) -> Settings:
    return Settings.from_env({"WA_VERSION_PATH": str(kept.folder), **variables})


@pytest.mark.parametrize(
    ("variables", "now", "expected"),
    [
        ({}, NOW, []),
        ({"WHATSAPP_WEB_VERSION": "2.3000.x"}, NOW, [Level.OK]),
        ({"WHATSAPP_WEB_VERSION": "2.3000.x"}, NOW.replace(month=12), [Level.WARN]),  # WhatsApp takes it no more
        ({"WHATSAPP_WEB_VERSION": "2.3000.7"}, NOW, [Level.BAD]),
        ({"WHATSAPP_WEB_FALLBACK": "on"}, NOW, [Level.OK]),
        ({"WHATSAPP_WEB_FALLBACK": "on", "WA_VERSION_PATH": "/nowhere"}, NOW, [Level.BAD]),
        ({"WHATSAPP_WEB_VERSION": "2.3000.x", "WA_VERSION_PATH": "/nowhere"}, NOW, [Level.BAD]),
    ],
)
def test_the_doctor_looks_at_the_builds_that_are_asked_for(
    kept: KeptBuilds, variables: dict[str, str], now: datetime, expected: list[Level]
) -> None:
    assert [finding.level for finding in builds(settings(kept, **variables), now)] == expected


def test_the_service_does_not_start_without_the_build_that_is_asked_for(kept: KeptBuilds, tmp_path: Path) -> None:
    wa_js = tmp_path / "wa.js"
    wa_js.write_text("")
    given = {"WA_JS_PATH": str(wa_js), "DATA_DIR": str(tmp_path / "data"), "PUPPETEER_EXECUTABLE_PATH": "/bin/true"}
    pinned = {**given, "WHATSAPP_WEB_VERSION": "2.3000.x"}
    with pytest.raises(CannotStart, match=r"WHATSAPP_WEB_VERSION: the package .* 'npm ci --include=optional'"):
        checked_settings({**pinned, "WA_VERSION_PATH": str(tmp_path / "none")})
    assert checked_settings({**pinned, "WA_VERSION_PATH": str(kept.folder)}).whatsapp_web_version == "2.3000.x"
