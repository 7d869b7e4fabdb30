"""Files that are to be sent, from where the service keeps files itself; and nothing else of what lies there."""

import os
from pathlib import Path

import pytest

from browser_agent.sending.source.content import Fetched
from browser_agent.sending.source.fetching import check, fetch
from tests.harness.s3_server import REGION, S3Server
from tests.harness.sources import JPEG, got, rules
from whatsapp_contract.errors import ContractError, NotFound, Refused, TooLarge


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


# -- the disk --------------------------------------------------------------------------------------------------------


def test_files_below_the_two_folders(tmp_path: Path, target: Path) -> None:
    allowed = rules(tmp_path)
    outgoing, stored = tmp_path / "data/outgoing/a", tmp_path / "data/store/media/2026"
    for folder in (outgoing, stored):
        folder.mkdir(parents=True)
        (folder / "an image.jpg").write_bytes(JPEG)
    expected = Fetched(len(JPEG), "image/jpeg", "an image.jpg")
    assert got("a/an image.jpg", target, allowed) == expected
    assert got(str(outgoing / "an image.jpg"), target, allowed) == expected
    assert got(f"file://{stored}/an%20image.jpg", target, allowed) == expected
    with pytest.raises(NotFound):
        fetch("a/another.jpg", target, allowed, 5)


def test_what_may_not_be_read_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    allowed = rules(tmp_path, "10.0.0.1")
    outgoing = tmp_path / "data/outgoing"
    outgoing.mkdir(parents=True)
    (outgoing / "link").symlink_to(tmp_path)
    for bad in (
        *("/etc/passwd", "../api-token", "a/../../api-token", "file:///tmp/x.jpg", "link/x", "a\0b"),
        *("file://elsewhere/x.jpg", f"file://{outgoing}/%2e%2e/api-token"),
        *(
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://0x7f000001/x",
            "https://[::1]:8443/x",
            "https://10.0.0.2/",
        ),
        *(
            "https://169.254.169.254/latest",
            "https://localhost/x",
            "https://a.LOCALHOST./x",
            "https://[::ffff:10.0.0.2]/",
        ),
    ):
        with pytest.raises(Refused):
            check(bad, allowed)
    for good in (
        *("not there yet.jpg", str(outgoing / "a/b.jpg"), f"file://{outgoing}/a%20b.jpg"),
        *(str(tmp_path / "data/store/media/x"), "https://10.0.0.1/x", "http://10.0.0.1/x", "https://8.8.8.8/x"),
        *("https://[2606:4700::1111]/x", "https://example.com/x"),
    ):
        check(good, allowed)


def test_a_data_folder_behind_a_link_is_one(tmp_path: Path) -> None:
    (tmp_path / "real/outgoing").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "real")
    for path in ("x.jpg", str(tmp_path / "data/outgoing/x.jpg"), str(tmp_path / "real/outgoing/x.jpg")):
        check(path, rules(tmp_path))


def test_no_other_file_can_be_had(tmp_path: Path, target: Path) -> None:
    allowed = rules(tmp_path)
    data, outgoing = tmp_path / "data", tmp_path / "data/outgoing"
    outgoing.mkdir(parents=True)
    (data / "sessions").mkdir()
    for secret in (data / "api-token", data / "sessions/profile", data / "outgoing.txt", data / "dump.rdb"):
        secret.write_text("secret")
    (outgoing / "link").symlink_to(data / "api-token")
    (outgoing / "folder").symlink_to(data / "sessions")
    (outgoing / "inside").mkdir()
    os.mkfifo(outgoing / "pipe")
    for path in (
        *("../api-token", "link", "folder/profile", "../outgoing.txt", "../dump.rdb", "pipe", "inside", "", "a\0b"),
        *(str(data / "api-token"), f"file://{data}/api-token", f"file://{outgoing}/../api-token", "/etc/passwd"),
        *("file://elsewhere/etc/passwd", f"file://{outgoing}/%2e%2e/api-token", "/proc/self/environ", "/dev/zero"),
    ):
        with pytest.raises(ContractError) as error:
            fetch(path, target, allowed, 5)
        assert error.value.code in ("refused", "not_found")
        assert not target.exists() or target.stat().st_size == 0


# -- S3 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        *(
            "s3://sessions/sessions/s1/current",
            "s3://sessions/media/../sessions/s1",
            "s3://sessions/",
            "s3://sessions",
        ),
        *("s3://other/media/a", "s3:///media/a", "s3://sessions/media//a", "s3://sessions/media/%2e%2e/sessions/a"),
        *("s3://photos/", "s3://sessions/mediax/a"),
    ],
)
def test_of_s3_only_media_may_be_sent(tmp_path: Path, place: str) -> None:
    with pytest.raises(Refused):
        check(place, rules(tmp_path, BUCKET_STATE_NAME="sessions", MEDIA_BUCKET="photos"))


def test_one_bucket_for_both_keeps_the_sessions_to_itself(tmp_path: Path) -> None:
    allowed = rules(tmp_path, BUCKET_STATE_NAME="both", MEDIA_BUCKET="both")
    check("s3://both/media/s1/2026/11/25/abc.jpg", allowed)
    with pytest.raises(Refused):
        check("s3://both/sessions/s1/current", allowed)


def test_an_object_of_the_bucket(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(may_list=True) as server:
        server.admin.put_object(Bucket=server.bucket, Key="media/s1/ü 1.jpg", Body=JPEG, ContentType="image/jpeg")
        for name, value in {**server.settings(), "AWS_REGION": REGION}.items():
            monkeypatch.setenv(name, value)
        allowed = rules(tmp_path, BUCKET_STATE_NAME=server.bucket)
        place = f"s3://{server.bucket}/media/s1/%C3%BC%201.jpg"
        assert got(place, target, allowed, 20) == Fetched(len(JPEG), "image/jpeg", "ü 1.jpg")
        with pytest.raises(NotFound):
            fetch(f"s3://{server.bucket}/media/none.jpg", target, allowed, 20)
        with pytest.raises(TooLarge):
            fetch(place, target, rules(tmp_path, BUCKET_STATE_NAME=server.bucket, max_bytes=4000), 20)
        monkeypatch.setenv("BUCKET_STATE_SECRET_KEY", "wrong")
        with pytest.raises(ContractError):
            fetch(place, target, allowed, 20)
