"""What both stores of sessions must do, on moto's S3 behind a proxy and on a folder; then what each may suffer."""

import errno
import fcntl
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from browser_agent.session.directory import DirectoryStore
from browser_agent.session.errors import Conflict, NotInStore, SessionError, StoreRefused, StoreUnavailable
from browser_agent.session.keys import checked
from browser_agent.session.s3 import S3Store
from browser_agent.session.store import SessionStore
from browser_agent.session.stores import open_store
from tests.harness.s3_proxy import (
    CONDITIONS,
    ENCRYPTION,
    NOT_IMPLEMENTED,
    Cut,
    Fault,
    Hang,
    LostAnswer,
    Status,
    Unconditional,
)
from tests.harness.s3_server import REGION, S3Server
from whatsapp_contract.settings import Settings

KEY = "someone/pointer"
ODD_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "a/../b",
    "a/..",
    "./a",
    "a//b",
    "a/",
    "a\\b",
    "a b",
    "a\0b",
    "ä",
    "~lock",
    "a\n",
]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(server: S3Server) -> S3Server:
    """An empty bucket whose requests do not fail."""
    server.reset()
    return server


def s3_store(server: S3Server, **changed: Any) -> S3Store:
    given: dict[str, Any] = {
        "bucket": server.bucket,
        "region": REGION,
        "endpoint_url": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "attempts": 1,
    }
    return S3Store(**given | changed)


@pytest.fixture(params=["s3", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    if request.param == "directory":
        return DirectoryStore(tmp_path / "not" / "yet" / "store", lock_timeout_s=60)
    return s3_store(request.getfixturevalue("s3"))


@pytest.fixture
def file_of_5_mb(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(os.urandom(5_000_000))
    return path


def downloaded(store: SessionStore, key: str) -> bytes:
    with store.download(key) as stream:
        return stream.read()


# What both do


def test_what_was_never_written_is_absent(store: SessionStore) -> None:
    assert store.read(KEY) is None
    with pytest.raises(NotInStore), store.download(KEY):
        pass


def test_what_was_written_is_read_with_its_version(store: SessionStore) -> None:
    version = store.write(KEY, b"one", replacing=None)
    document = store.read(KEY)
    assert document is not None
    assert (document.data, document.version) == (b"one", version)


def test_a_document_is_replaced_by_who_names_its_version(store: SessionStore) -> None:
    first = store.write(KEY, b"one", replacing=None)
    second = store.write(KEY, b"two", replacing=first)
    document = store.read(KEY)
    assert document is not None
    assert (document.data, document.version) == (b"two", second)
    assert second != first


def test_a_write_over_what_should_not_be_there_conflicts(store: SessionStore) -> None:
    store.write(KEY, b"theirs", replacing=None)
    with pytest.raises(Conflict):
        store.write(KEY, b"ours", replacing=None)
    assert downloaded(store, KEY) == b"theirs"


def test_a_write_that_names_an_old_version_conflicts(store: SessionStore) -> None:
    first = store.write(KEY, b"one", replacing=None)
    store.write(KEY, b"theirs", replacing=first)
    with pytest.raises(Conflict):
        store.write(KEY, b"ours", replacing=first)
    assert downloaded(store, KEY) == b"theirs"


def test_a_write_over_what_is_gone_conflicts(store: SessionStore) -> None:
    version = store.write(KEY, b"one", replacing=None)
    store.delete(KEY)
    with pytest.raises(Conflict):
        store.write(KEY, b"two", replacing=version)
    assert store.read(KEY) is None


def test_of_many_who_write_over_one_version_one_wins(store: SessionStore) -> None:
    version = store.write(KEY, b"before", replacing=None)
    won: list[bytes] = []

    def write(data: bytes) -> None:
        try:
            store.write(KEY, data, replacing=version)
        except Conflict:
            return
        won.append(data)

    in_threads([partial(write, b"%d" % number) for number in range(8)])
    assert len(won) == 1
    assert downloaded(store, KEY) == won[0]


def test_a_document_is_never_seen_half_written(store: SessionStore) -> None:
    versions = [b"a" * 300_000, b"b" * 200_000]
    version = store.write(KEY, versions[0], replacing=None)
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            document = store.read(KEY)
            assert document is not None
            seen.add(document.data)

    def write() -> None:
        nonlocal version
        try:
            for number in range(1, 20):
                version = store.write(KEY, versions[number % 2], replacing=version)
        finally:
            done.set()

    in_threads([read, write])
    assert seen <= set(versions)


def test_five_megabytes_come_back_as_they_went(store: SessionStore, file_of_5_mb: Path) -> None:
    store.upload("someone/generations/1", file_of_5_mb)
    expected = file_of_5_mb.read_bytes()
    assert downloaded(store, "someone/generations/1") == expected
    with store.download("someone/generations/1") as stream:
        pieces = list(iter(lambda: stream.read(70_001), b""))
    assert b"".join(pieces) == expected


def test_a_download_may_be_left_early(store: SessionStore, file_of_5_mb: Path) -> None:
    store.upload("archive", file_of_5_mb)
    with store.download("archive") as stream:
        head = stream.read(10)
    assert file_of_5_mb.read_bytes().startswith(head)
    assert stream.closed


def test_what_goes_wrong_with_the_reader_stays_its_own(store: SessionStore) -> None:
    store.write(KEY, b"one", replacing=None)
    with pytest.raises(OSError, match="disk of the reader's"), store.download(KEY):
        raise OSError(errno.ENOSPC, "disk of the reader's")


def test_an_empty_file_is_an_object(store: SessionStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    store.upload("empty", tmp_path / "empty")
    assert downloaded(store, "empty") == b""


def test_a_file_that_is_not_there_is_not_the_stores_fault(store: SessionStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.upload("archive", tmp_path / "nothing")


def test_deleting_twice_is_deleting(store: SessionStore) -> None:
    store.write(KEY, b"one", replacing=None)
    store.delete(KEY)
    store.delete(KEY)
    store.delete("never/there")
    assert store.read(KEY) is None


def test_the_store_fences_and_leaves_nothing_behind(store: SessionStore) -> None:
    assert store.fences()
    assert store.fences()
    assert store.read("probe") is None


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        checked(key)


def test_odd_keys_are_refused_by_every_method(store: SessionStore, file_of_5_mb: Path) -> None:
    def download() -> None:
        with store.download("../x"):
            pass

    methods: list[Callable[[], object]] = [
        lambda: store.read("../x"),
        lambda: store.write("../x", b"", replacing=None),
        lambda: store.upload("../x", file_of_5_mb),
        download,
        lambda: store.delete("../x"),
    ]
    for method in methods:
        with pytest.raises(ValueError, match="not a key"):
            method()


@pytest.mark.parametrize("key", ["a", "A-b_c.9", ".wwebjs_auth/RemoteAuth-x.zip", "a/b.c/d", "..a"])
def test_the_keys_that_are_used_are_none_of_them(key: str) -> None:
    assert checked(key) == key


# What S3 may do to us


def every_method(store: SessionStore, source: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "read", lambda: store.read(KEY)
    yield "write", lambda: store.write(KEY, b"one", replacing=None)
    yield "upload", lambda: store.upload("archive", source)
    yield "download", lambda: downloaded(store, KEY)
    yield "delete", lambda: store.delete(KEY)
    yield "fences", store.fences


UNAVAILABLE: list[Fault] = [
    Status(500),
    Status(503, "SlowDown"),
    Status(502, body=b"<html>Bad gateway</html>"),
    Status(400, "RequestTimeout"),
    Status(404, body=b"not even XML"),
    Hang(),
]


@pytest.mark.parametrize("fault", UNAVAILABLE, ids=str)
def test_a_server_that_fails_is_never_an_absent_session(s3: S3Server, tmp_path: Path, fault: Fault) -> None:
    store = s3_store(s3, read_timeout_s=0.2)
    (tmp_path / "source").write_bytes(b"archive")
    s3.faults.add(fault)
    for name, method in every_method(store, tmp_path / "source"):
        with pytest.raises(StoreUnavailable) as raised:
            method()
        assert not isinstance(raised.value, StoreRefused), name
        assert_no_secret(raised.value, s3)


REFUSED = [
    (Status(403, "InvalidAccessKeyId"), "BUCKET_STATE_ACCESS_KEY"),
    (Status(403, "SignatureDoesNotMatch"), "BUCKET_STATE_SECRET_KEY"),
    (Status(403, "AccessDenied"), "s3:PutObject"),
    (Status(403, body=b""), "s3:PutObject"),
    (Status(400, "ExpiredToken"), "renew"),
    (Status(403, "RequestTimeTooSkewed"), "clock"),
    (Status(404, "NoSuchBucket"), "BUCKET_STATE_NAME"),
    (Status(301, "PermanentRedirect"), "AWS_REGION"),
    (Status(301, body=b""), "S3_ENDPOINT_URL"),
    (Status(400, "AuthorizationHeaderMalformed"), "AWS_REGION"),
]


@pytest.mark.parametrize(("fault", "advice"), REFUSED, ids=str)
def test_a_server_that_refuses_us_says_what_to_do(s3: S3Server, tmp_path: Path, fault: Fault, advice: str) -> None:
    store = s3_store(s3)
    (tmp_path / "source").write_bytes(b"archive")
    s3.faults.add(fault)
    for _, method in every_method(store, tmp_path / "source"):
        with pytest.raises(StoreRefused, match=advice) as raised:
            method()
        assert_no_secret(raised.value, s3)
    assert {seen.method for seen in s3.faults.seen} == {"GET", "PUT", "DELETE"}


def test_a_key_that_the_server_shows_back_is_hidden(s3: S3Server) -> None:
    s3.faults.add(Status(403, "InvalidAccessKeyId", f"who is {s3.access_key} with {s3.secret_key}?"))
    with pytest.raises(StoreRefused, match=r"who is \[hidden\] with \[hidden\]") as raised:
        s3_store(s3).read(KEY)
    assert_no_secret(raised.value, s3)


def test_wrong_keys_are_refused_by_the_server_itself(s3: S3Server) -> None:
    with pytest.raises(StoreRefused, match="access key is unknown") as raised:
        s3_store(s3, access_key="AKIAXXXXXXXXXXXXXXXX").read(KEY)
    assert_no_secret(raised.value, s3)
    with pytest.raises(StoreRefused, match="secret key is not the access key's") as raised:
        s3_store(s3, secret_key="not-the-secret-key").read(KEY)
    assert "not-the-secret-key" not in f"{raised.value} {raised.value.__cause__}"


def test_a_bucket_that_is_not_ours_is_refused(s3: S3Server) -> None:
    with pytest.raises(StoreRefused):
        s3_store(s3, bucket="somebody-elses").read(KEY)


@pytest.mark.parametrize(
    ("changed", "advice"),
    [
        ({"bucket": "no bucket"}, "BUCKET_STATE_NAME"),
        ({"endpoint_url": "http://"}, "S3_ENDPOINT_URL"),
        ({"region": "no region!", "endpoint_url": None}, "AWS_REGION"),
        ({"secret_key": None}, "together"),
        ({"access_key": None, "secret_key": None}, "there are no credentials"),
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict[str, Any], advice: str
) -> None:
    without_credentials(monkeypatch, tmp_path)
    with pytest.raises(StoreRefused, match=advice) as raised:
        s3_store(s3, **changed).read(KEY)
    assert_no_secret(raised.value, s3)


def test_credentials_may_come_from_boto3s_own_chain(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    store = s3_store(s3, access_key=None, secret_key=None)
    assert store.fences()


def test_nobody_listening_is_unavailable(s3: S3Server) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        s3_store(s3, endpoint_url="http://127.0.0.1:9").read(KEY)
    assert not isinstance(raised.value, StoreRefused)
    assert_no_secret(raised.value, s3)


def test_403_means_absent_only_after_the_rights_were_proven_once(s3: S3Server) -> None:
    store = s3_store(s3)
    assert store.read(KEY) is None
    assert store.read(KEY) is None
    assert asked(s3) == [("GET", KEY), ("PUT", "probe"), ("GET", "probe"), ("GET", KEY)]


def test_403_is_a_refusal_when_the_probe_is_not_given_back(s3: S3Server) -> None:
    s3.faults.add(Status(403, "AccessDenied"), method="GET")
    with pytest.raises(StoreRefused, match="s3:GetObject"):
        s3_store(s3).read(KEY)


def test_403_for_the_key_of_the_encryption_is_a_refusal(s3: S3Server) -> None:
    store = s3_store(s3)
    store.fences()
    s3.faults.add(Status(403, "AccessDenied", "not authorized to perform: kms:Decrypt"), key=KEY)
    with pytest.raises(StoreRefused, match="kms:Decrypt"):
        store.read(KEY)


def test_a_probe_that_another_agent_deletes_is_put_again(s3: S3Server) -> None:
    s3.faults.add(Status(403, "AccessDenied"), method="GET", key="probe", times=1)
    assert s3_store(s3).fences()


def test_no_other_rights_are_used(s3: S3Server, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"archive")
    for _, method in every_method(s3_store(s3), tmp_path / "source"):
        method()
    assert {(seen.method, seen.query) for seen in s3.faults.seen} == {("GET", ""), ("PUT", ""), ("DELETE", "")}
    assert all(seen.key for seen in s3.faults.seen)


@pytest.mark.parametrize("fault", [Cut(), Hang(in_body=True)], ids=str)
def test_a_body_that_stops_in_the_middle_is_an_error(s3: S3Server, file_of_5_mb: Path, fault: Fault) -> None:
    s3_store(s3).upload("archive", file_of_5_mb)
    store = s3_store(s3, read_timeout_s=0.3, attempts=3)
    s3.faults.add(fault, method="GET")
    with pytest.raises(StoreUnavailable):
        store.read("archive")
    arrived = 0
    with pytest.raises(StoreUnavailable) as raised, store.download("archive") as stream:  # noqa: PT012
        while piece := stream.read(100_000):
            arrived += len(piece)
    assert arrived < 5_000_000
    assert_no_secret(raised.value, s3)


def test_an_upload_that_is_cut_is_tried_again_and_never_half_there(s3: S3Server, file_of_5_mb: Path) -> None:
    s3.faults.add(Cut(), method="PUT")
    with pytest.raises(StoreUnavailable):
        s3_store(s3).upload("archive", file_of_5_mb)
    assert s3.keys() == []
    s3.faults.clear()
    s3.faults.add(Cut(), method="PUT", times=1)
    s3_store(s3, attempts=3).upload("archive", file_of_5_mb)
    assert s3.get("archive") == file_of_5_mb.read_bytes()


def test_a_writer_that_died_half_way_does_not_hold_up_the_next(s3: S3Server, tmp_path: Path) -> None:
    address = urlsplit(s3.url)
    with socket.create_connection((address.hostname, address.port)) as dying:
        dying.sendall(f"PUT /{s3.bucket}/half HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf".encode())
    (tmp_path / "whole").write_bytes(b"whole")
    began = time.monotonic()
    s3_store(s3).upload("whole", tmp_path / "whole")
    assert time.monotonic() - began < 20
    assert s3.keys() == ["whole"]


def test_passing_failures_are_retried(s3: S3Server) -> None:
    store = s3_store(s3, attempts=3)
    s3.faults.add(Status(500), times=2)
    version = store.write(KEY, b"one", replacing=None)
    document = store.read(KEY)
    assert document is not None
    assert document.version == version


@pytest.mark.parametrize("fault", [LostAnswer(), Status(412, "PreconditionFailed", carried_out=True)], ids=str)
def test_a_write_whose_answer_was_lost_conflicts_with_itself(s3: S3Server, fault: Fault) -> None:
    store = s3_store(s3, attempts=3)
    first = store.write(KEY, b"one", replacing=None)
    s3.faults.add(fault, method="PUT", times=1)
    with pytest.raises(Conflict):
        store.write(KEY, b"two", replacing=first)
    assert s3.get(KEY) == b"two"


def test_a_conflicting_request_conflicts(s3: S3Server) -> None:
    s3.faults.add(Status(409, "ConditionalRequestConflict"), headers=CONDITIONS)
    with pytest.raises(Conflict):
        s3_store(s3).write(KEY, b"one", replacing=None)


def test_a_server_without_conditions_does_not_fence(s3: S3Server) -> None:
    s3.faults.add(Unconditional())
    assert not s3_store(s3).fences()
    assert s3.keys() == []


def test_a_server_that_refuses_conditions_is_written_to_without(s3: S3Server) -> None:
    store = s3_store(s3)
    s3.faults.add(NOT_IMPLEMENTED, headers=CONDITIONS)
    assert not store.fences()
    with capture_logs() as logged:
        first = store.write(KEY, b"one", replacing=None)
        store.write(KEY, b"two", replacing=first)
    assert s3.get(KEY) == b"two"
    assert s3.admin.head_object(Bucket=s3.bucket, Key=KEY)["ServerSideEncryption"] == "AES256"
    assert [entry["event"] for entry in logged] == ["the store has no conditional writes"]


def test_encryption_at_rest_is_asked_for(s3: S3Server, file_of_5_mb: Path) -> None:
    store = s3_store(s3)
    store.write(KEY, b"one", replacing=None)
    store.upload("archive", file_of_5_mb)
    for key in (KEY, "archive"):
        assert s3.admin.head_object(Bucket=s3.bucket, Key=key)["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize(
    "fault",
    [
        NOT_IMPLEMENTED,
        Status(400, "InvalidArgument", "Server Side Encryption is not enabled"),
        Status(400, "InvalidRequest", "unknown header x-amz-server-side-encryption"),
    ],
    ids=str,
)
def test_a_server_without_encryption_is_asked_once(s3: S3Server, file_of_5_mb: Path, fault: Fault) -> None:
    store = s3_store(s3)
    s3.faults.add(fault, headers=ENCRYPTION)
    with capture_logs() as logged:
        store.upload("archive", file_of_5_mb)
        first = store.write(KEY, b"one", replacing=None)
        store.write(KEY, b"two", replacing=first)
    with pytest.raises(Conflict):
        store.write(KEY, b"three", replacing=first)
    assert s3.get("archive") == file_of_5_mb.read_bytes()
    assert [seen.status for seen in s3.faults.seen] == [fault.status, 200, 200, 200, 412]  # type: ignore[union-attr]
    assert [entry["event"] for entry in logged] == ["the store has no server-side encryption"]


def test_another_invalid_request_is_not_about_encryption(s3: S3Server) -> None:
    s3.faults.add(Status(400, "InvalidRequest", "something else"), times=1)
    with pytest.raises(StoreUnavailable, match="something else"):
        s3_store(s3).write(KEY, b"one", replacing=None)


def test_a_server_with_neither_is_written_to(s3: S3Server) -> None:
    store = s3_store(s3)
    s3.faults.add(NOT_IMPLEMENTED, headers=CONDITIONS + ENCRYPTION)
    store.write(KEY, b"one", replacing=None)
    assert s3.get(KEY) == b"one"
    assert not store.fences()


def test_a_prefix_keeps_stores_apart(s3: S3Server) -> None:
    store = s3_store(s3, prefix="of/one/")
    store.write(KEY, b"one", replacing=None)
    assert s3.keys() == [f"of/one/{KEY}"]
    assert s3_store(s3).read(KEY) is None
    assert store.location == f"s3://{s3.bucket}/of/one"


def test_boto3_is_imported_by_the_first_request_only() -> None:
    script = (
        "import sys; from browser_agent.session.stores import open_store; "
        "from whatsapp_contract.settings import Settings; "
        "open_store(Settings.from_env({'SESSION_STORE': 's3'})); sys.exit('botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_the_settings_choose_the_store(s3: S3Server, tmp_path: Path) -> None:
    in_folder = open_store(Settings.from_env({"DATA_DIR": str(tmp_path)}))
    assert in_folder.location == str(tmp_path / "store")
    in_bucket = open_store(Settings.from_env(s3.settings()))
    assert in_bucket.location == f"s3://{s3.bucket}"
    assert in_bucket.read(KEY) is None
    unnamed = open_store(Settings.from_env({"SESSION_STORE": "s3"}))
    assert unnamed.location == "s3://shula-whatsapp-sessions"


# What a disk may do to us


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store", lock_timeout_s=0.1)


def test_nobody_else_may_look(folder: DirectoryStore, tmp_path: Path, file_of_5_mb: Path) -> None:
    folder.write(KEY, b"one", replacing=None)
    folder.upload("someone/generations/1", file_of_5_mb)
    for path in [tmp_path / "store", *(tmp_path / "store").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_full_disk_is_unavailable_and_changes_nothing(
    folder: DirectoryStore, tmp_path: Path, file_of_5_mb: Path
) -> None:
    first = folder.write(KEY, b"one", replacing=None)
    before = sorted((tmp_path / "store").rglob("*"))
    with files_of_at_most(1_000):
        for attempt in (
            lambda: folder.write(KEY, b"x" * 5_000, replacing=first),
            lambda: folder.upload("someone/archive", file_of_5_mb),
        ):
            with pytest.raises(StoreUnavailable, match="File too large") as raised:
                attempt()
            assert not isinstance(raised.value, StoreRefused)
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert downloaded(folder, KEY) == b"one"


def test_a_folder_that_is_not_ours_is_refused(folder: DirectoryStore, tmp_path: Path, file_of_5_mb: Path) -> None:
    folder.write(KEY, b"one", replacing=None)
    (tmp_path / "store").chmod(0)
    with as_nobody():
        for _, method in every_method(folder, Path("/etc/hostname")):
            with pytest.raises(StoreRefused, match="Permission denied"):
                method()


def test_a_file_in_the_folders_place_is_refused(folder: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StoreRefused, match="check the folder"):
        folder.write(KEY, b"one", replacing=None)
    with pytest.raises(StoreRefused, match="check the folder"):
        folder.fences()


def test_a_key_that_is_a_folder_is_absent(folder: DirectoryStore) -> None:
    folder.write(KEY, b"one", replacing=None)
    for key in ("someone", f"{KEY}/below"):
        assert folder.read(key) is None
        with pytest.raises(NotInStore), folder.download(key):
            pass
        folder.delete(key)
    assert downloaded(folder, KEY) == b"one"


def test_a_lock_that_is_held_is_unavailable(folder: DirectoryStore, tmp_path: Path) -> None:
    folder.fences()
    with (tmp_path / "store" / "~lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            folder.write(KEY, b"one", replacing=None)
    folder.write(KEY, b"one", replacing=None)


def test_a_killed_processs_remains_are_swept_and_a_living_ones_are_not(
    folder: DirectoryStore, tmp_path: Path, file_of_5_mb: Path
) -> None:
    folder.write(KEY, b"one", replacing=None)
    abandoned, fresh, in_use = ((tmp_path / "store" / "someone" / f"~{number}") for number in range(3))
    for path in (abandoned, fresh, in_use):
        path.write_bytes(b"half")
    for path in (abandoned, in_use):
        os.utime(path, (time.time() - 100, time.time() - 100))
    with in_use.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.upload("someone/archive", file_of_5_mb)
    assert [path.exists() for path in (abandoned, fresh, in_use)] == [False, True, True]


def test_a_process_killed_while_it_uploads_leaves_the_object_as_it_was(
    folder: DirectoryStore, tmp_path: Path, file_of_5_mb: Path
) -> None:
    folder.upload("archive", file_of_5_mb)
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    script = (
        "import sys; from pathlib import Path; from browser_agent.session.directory import DirectoryStore; "
        "DirectoryStore(Path(sys.argv[1])).upload('archive', Path(sys.argv[2]))"
    )
    uploads = [sys.executable, "-c", script, str(tmp_path / "store"), str(pipe)]
    with subprocess.Popen(uploads) as process, pipe.open("wb") as endless:
        endless.write(b"x" * 3_000_000)  # more than the pipe holds: it has begun to write
        process.kill()
    assert process.returncode < 0
    assert downloaded(folder, "archive") == file_of_5_mb.read_bytes()
    assert len(list((tmp_path / "store").glob("~*"))) == 1


def assert_no_secret(error: BaseException, server: S3Server) -> None:
    assert isinstance(error, SessionError)
    assert server.secret_key not in str(error)
    assert server.access_key not in str(error)


def asked(server: S3Server) -> list[tuple[str, str]]:
    return [(seen.method, seen.key) for seen in server.faults.seen]


def in_threads(functions: list[Callable[[], object]]) -> None:
    """Run them at once; what one raises is raised here."""
    failures: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The disk is full for a file after so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
