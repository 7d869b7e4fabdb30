"""Backups of whatsapp-web.js: where they lie, what they look like, and every way in which one may be bad."""

import errno
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_agent.session import remote_auth
from browser_agent.session.errors import BadArchive
from browser_agent.session.remote_auth import candidate_keys, extract, is_remote_auth

IDB = "IndexedDB/https_web.whatsapp.com_0.indexeddb.leveldb"
STORAGE = "Local Storage/leveldb"
NEEDED = {
    f"{IDB}/CURRENT": b"MANIFEST-000001\n",
    f"{IDB}/MANIFEST-000001": b"manifest of the database",
    f"{IDB}/000003.log": bytes(range(256)) * 40,
    "IndexedDB/https_web.whatsapp.com_0.indexeddb.blob/1/00/3": b"a photo",
    f"{STORAGE}/CURRENT": b"MANIFEST-000007\n",
    f"{STORAGE}/MANIFEST-000007": b"manifest of the storage",
    f"{STORAGE}/000008.ldb": b"last-wid-md" * 100,
}
LEFT_OUT = {
    f"{IDB}/LOCK": b"",
    f"{STORAGE}/LOCK": b"",
    "Singleton/SingletonLock": b"host-1",
    "IndexedDB/SingletonCookie": b"1",
    "Preferences": b"{}",
    "Cache/Cache_Data/index": b"cache",
    "Network/Network Persistent State": b"{}",
}


def under(root: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {root + name: content for name, content in files.items()}


GOOD = under("Default/", NEEDED)


def zipped(files: Mapping[str, bytes] | Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """A zip, deflated; an entry given as ZipInfo is written as that says."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_entry(name: str, content: bytes = b"x", *, mode: int = 0) -> bytes:
    """A good zip and one entry more; the name goes in as it is."""
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = mode << 16
    return zipped([*GOOD.items(), (info, content)])


def from_central_directory(data: bytes, name: str) -> int:
    """Where the directory's record of an entry begins."""
    return data.rindex(name.encode(), 0, len(data)) - 46


def patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "RemoteAuth-shula.zip"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "into"


def refused(source: Path, into: Path, data: bytes, why: str, **limits: int) -> None:
    """It is refused, for that reason; nothing is left behind and the source is as it was."""
    source.write_bytes(data)
    with pytest.raises(BadArchive, match=why):
        extract(source, into, **limits)
    assert list(source.parent.iterdir()) == [source]
    assert source.read_bytes() == data


# -- where it lies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (("shula", "sessions", None), ["sessions/RemoteAuth-shula.zip"]),
        ((None, "sessions/", None), ["sessions/RemoteAuth.zip"]),
        (("", "./", None), ["RemoteAuth.zip"]),
        ((None, None, None), ["RemoteAuth.zip"]),
        (("a", "x//y/../z", None), ["x/z/RemoteAuth-a.zip"]),
        (("a", "win\\dows", None), ["win/dows/RemoteAuth-a.zip"]),
        (("a", "s", "/app/.wwebjs_auth/"), ["s/RemoteAuth-a.zip", "s/app/.wwebjs_auth/RemoteAuth-a.zip"]),
        (("a", "s", "C:\\app\\auth"), ["s/RemoteAuth-a.zip", "s/C:/app/auth/RemoteAuth-a.zip"]),
        (("a", "/s", None), ["/s/RemoteAuth-a.zip", "s/RemoteAuth-a.zip"]),
        (
            ("a", None, "/app"),
            ["RemoteAuth-a.zip", "/app/RemoteAuth-a.zip", "app/RemoteAuth-a.zip"],
        ),
    ],
)
def test_the_keys_are_those_of_the_library(asked: tuple[str | None, str | None, str | None], keys: list[str]) -> None:
    assert candidate_keys(*asked) == tuple(keys)


def test_a_relative_data_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert candidate_keys("a", "s", "./auth")[1] == f"s{tmp_path}/auth/RemoteAuth-a.zip"


# -- what it looks like ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["Default/", "Default/Default/", ""])
def test_every_layout_becomes_a_profile_of_what_a_session_needs(source: Path, into: Path, root: str) -> None:
    folders = [("Default/", b""), (f"{root}IndexedDB/", b"")]
    source.write_bytes(zipped([*folders, *under(root, {**LEFT_OUT, **NEEDED}).items(), ("First Run", b"")]))

    assert is_remote_auth(io.BytesIO(source.read_bytes()))
    extract(source, into)

    assert tree(into) == under("profile/Default/", NEEDED)


def test_the_outermost_profile_is_taken(source: Path, into: Path) -> None:
    stale = dict.fromkeys(NEEDED, b"MANIFEST-000001\n")
    source.write_bytes(zipped({**under("Default/Default/", stale), **GOOD}))
    extract(source, into)
    assert tree(into) == under("profile/Default/", NEEDED)


def test_cookies_and_service_workers_are_kept_where_there_are_any(source: Path, into: Path) -> None:
    more = {
        "Default/Cookies": b"sqlite",
        "Default/Network/Cookies": b"sqlite",
        "Default/Network/Cookies-journal": b"",
        "Default/Service Worker/ScriptCache/index": b"index",
    }
    source.write_bytes(zipped({**GOOD, **more}))
    extract(source, into)
    assert tree(into) == under("profile/", {**GOOD, **more})


def test_only_we_can_read_it(source: Path, into: Path) -> None:
    info = zipfile.ZipInfo("Default/IndexedDB/readable")
    info.external_attr = (stat.S_IFREG | 0o4777) << 16
    source.write_bytes(zipped([*GOOD.items(), (info, b"")]))
    before = os.umask(0)
    try:
        extract(source, into)
    finally:
        os.umask(before)
    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in [into, *into.rglob("*")]}
    assert modes == {True: 0o700, False: 0o600}


def test_streamed_entries_as_the_library_writes_them_are_read(source: Path, into: Path) -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self, file: io.BufferedWriter) -> None:
            self.file = file

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return self.file.write(data)

    with source.open("wb") as file, zipfile.ZipFile(Unseekable(file), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
    with zipfile.ZipFile(source) as archive:
        assert archive.infolist()[0].flag_bits & 0x8
    extract(source, into)
    assert tree(into) == under("profile/", GOOD)


def test_an_existing_folder_keeps_what_is_in_it(source: Path, into: Path) -> None:
    into.mkdir()
    (into / "mine").write_bytes(b"1")
    source.write_bytes(b"no zip")
    with pytest.raises(BadArchive):
        extract(source, into)
    assert tree(into) == {"mine": b"1"}

    source.write_bytes(zipped(GOOD))
    extract(source, into)
    with pytest.raises(FileExistsError):
        extract(source, into)
    assert tree(into) == {"mine": b"1", **under("profile/", GOOD)}


def test_recognising_leaves_the_file_where_it_was() -> None:
    file = io.BytesIO(zipped(GOOD))
    file.seek(7)
    assert is_remote_auth(file)
    assert file.tell() == 7


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", b"no zip at all" * 100, zipped({}), zipped({"a.txt": b"a"}), zipped(GOOD)[:-1], zipped(GOOD)[:500]],
)
def test_other_files_are_not_recognised(data: bytes) -> None:
    assert not is_remote_auth(io.BytesIO(data))


# -- bad input: the file ---------------------------------------------------------------------------------------------


def test_an_empty_file(source: Path, into: Path) -> None:
    refused(source, into, b"", "empty")


def test_a_foreign_file(source: Path, into: Path) -> None:
    refused(source, into, b"\x28\xb5\x2f\xfd" + bytes(1000), "does not end as a zip")


@pytest.mark.parametrize("kept", [1, 21, 100, 1000, -1, -22, -100])
def test_a_truncated_zip(source: Path, into: Path, kept: int) -> None:
    refused(source, into, zipped(GOOD)[:kept], "does not end as a zip")


def test_bytes_missing_in_the_middle(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    refused(source, into, data[:200] + data[300:], "not where it says")


def test_bytes_before_the_zip(source: Path, into: Path) -> None:
    refused(source, into, b"#!/bin/sh\n" + zipped(GOOD), "not where it says")


def test_bytes_after_the_zip(source: Path, into: Path) -> None:
    refused(source, into, zipped(GOOD) + b"\n", "does not end as a zip")


def test_bytes_before_the_first_entry(source: Path, into: Path) -> None:
    data = zipped({"unlisted": b"1" * 50, **GOOD})
    unlisted = from_central_directory(data, "unlisted")
    at = struct.unpack("<L", data[-6:-2])[0]
    assert at == unlisted
    record = 46 + len("unlisted")
    end = struct.Struct("<4s4H2LH")
    sig, a, b, files, _, size, _, comment = end.unpack(data[-22:])
    rest = data[unlisted + record : -22]
    forged = data[:unlisted] + rest + end.pack(sig, a, b, files - 1, files - 1, size - record, at, comment)
    refused(source, into, forged, "before its first entry")


@pytest.mark.parametrize("content", [b"a", b"a" * 5000])
def test_a_changed_content(source: Path, into: Path, content: bytes) -> None:
    for unused in ("Default/IndexedDB/file", "Default/Cache/file"):  # also in what is left out
        info = zipfile.ZipInfo(unused)
        data = zipped([*GOOD.items(), (info, content)])  # stored
        at = data.index(unused.encode()) + len(unused) + len(content) // 2
        refused(source, into, patched(data, at, b"b"), "damaged: Bad CRC-32")


def test_a_flipped_bit_of_a_deflated_content(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    name = f"Default/{IDB}/000003.log"
    at = data.index(name.encode()) + len(name) + 20
    refused(source, into, patched(data, at, bytes([data[at] ^ 0x10])), "damaged")


def test_an_index_that_is_damaged(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    at = from_central_directory(data, f"Default/{STORAGE}/CURRENT")
    refused(source, into, patched(data, at, b"XX"), "index cannot be read")


def test_an_index_of_fewer_entries_than_it_says(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    refused(source, into, patched(data, len(data) - 12, struct.pack("<H", 3)), "says that they are 3")


def test_an_index_that_is_as_large_as_a_bomb(source: Path, into: Path) -> None:
    info = zipfile.ZipInfo("Default/IndexedDB/file")
    info.comment = bytes(60_000)
    refused(source, into, zipped([*GOOD.items(), (info, b"")]), "its index of 8 entries takes")


def test_a_broken_end_of_a_large_index(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data), 1)
    refused(source, into, data[:-22] + bytes(56) + locator + data[-22:], "end of its index is damaged")


def test_the_index_of_a_large_zip_is_understood(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    _, _, _, _, files, size, at, _ = struct.unpack("<4s4H2LH", data[-22:])
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, files, files, size, at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    source.write_bytes(data[:-22] + large + locator + end)
    extract(source, into)
    assert tree(into) == under("profile/", GOOD)


# -- bad input: names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        ("C:/Windows/x", "absolute"),
        ("../../outside", "leads elsewhere"),
        ("Default/../../outside", "leads elsewhere"),
        ("Default/IndexedDB/..", "leads elsewhere"),
        ("Default/./x", "leads elsewhere"),
        ("Default//x", "leads elsewhere"),
        ("..\\outside", "backslash"),
        ("Default\\IndexedDB\\x", "backslash"),
        ("Default/IndexedDB/line\nfeed", "not what it seems"),
        ("Default/IndexedDB/nu\0ll", "not what it seems"),
        ("Default/IndexedDB/" + "n" * 256, "too long"),
        ("Default/IndexedDB/" + "n/" * 600 + "n", "too long"),
    ],
)
def test_a_name_that_leads_elsewhere(source: Path, into: Path, name: str, why: str) -> None:
    refused(source, into, with_entry(name), why)


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFBLK, stat.S_IFCHR | 0o666, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_links_and_devices(source: Path, into: Path, mode: int) -> None:
    refused(source, into, with_entry("Default/IndexedDB/link", b"/etc/passwd", mode=mode), "a link, a device")


def test_a_folder_that_is_a_link(source: Path, into: Path) -> None:
    refused(source, into, with_entry("Default/IndexedDB/x/", b"", mode=stat.S_IFLNK | 0o777), "a link, a device")


def test_a_folder_with_content(source: Path, into: Path) -> None:
    refused(source, into, with_entry("Default/IndexedDB/x/", b"content"), "a folder with content")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(source: Path, into: Path) -> None:
    refused(source, into, with_entry(f"Default/{IDB}/CURRENT"), "two entries of one name")


def test_a_file_and_a_folder_of_one_name(source: Path, into: Path) -> None:
    refused(source, into, with_entry(f"Default/{IDB}/CURRENT/"), "two entries of one name|a folder with content")


def test_a_file_below_a_file(source: Path, into: Path) -> None:
    refused(source, into, with_entry(f"Default/{IDB}/CURRENT/x"), "a file that is a folder too")


# -- bad input: contents ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [0x1, 0x40])
def test_an_encrypted_entry(source: Path, into: Path, flag: int) -> None:
    data = zipped(GOOD)
    at = from_central_directory(data, f"Default/{IDB}/000003.log")
    refused(source, into, patched(data, at + 8, struct.pack("<H", flag)), "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression(source: Path, into: Path, method: int) -> None:
    info = zipfile.ZipInfo("Default/IndexedDB/file")
    info.compress_type = method
    refused(source, into, zipped([*GOOD.items(), (info, b"x")]), "compression")


def lying(content: bytes, says: int, *, deflated: bool, checksum_of: bytes) -> bytes:
    """A good zip and an entry that says another size, with the checksum that goes with the lie."""
    name = "Default/IndexedDB/liar"
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    data = zipped([*GOOD.items(), (info, content)])
    at = from_central_directory(data, name)
    data = patched(data, at + 16, struct.pack("<L", zlib.crc32(checksum_of)))
    return patched(data, at + 24, struct.pack("<L", says))


@pytest.mark.parametrize("deflated", [True, False])
def test_more_bytes_than_an_entry_says(source: Path, into: Path, deflated: bool) -> None:
    content = bytes(range(250)) * 4000
    for checksum_of in (content[:100], content[:101], content):
        data = lying(content, 100, deflated=deflated, checksum_of=checksum_of)
        refused(source, into, data, "damaged|more bytes than it says")


@pytest.mark.parametrize("deflated", [True, False])
def test_fewer_bytes_than_an_entry_says(source: Path, into: Path, deflated: bool) -> None:
    data = lying(b"short", 100, deflated=deflated, checksum_of=b"short")
    refused(source, into, data, "fewer bytes than it says")


def test_a_decompression_bomb(source: Path, into: Path) -> None:
    zeros = bytes(1 << 20)
    data = zipped({**GOOD, **{f"Default/IndexedDB/{number}": zeros for number in range(90)}})
    refused(source, into, data, "a decompression bomb")


def test_a_bomb_of_overlapping_entries(source: Path, into: Path) -> None:
    names = [f"Default/IndexedDB/{number}" for number in range(3)]
    data = zipped({**GOOD, **dict.fromkeys(names, b"1" * 100)})
    first = from_central_directory(data, names[0])
    second = from_central_directory(data, names[1])
    refused(source, into, patched(data, second + 42, data[first + 42 : first + 46]), "overlap")


def test_an_entry_that_reaches_beyond_the_end(source: Path, into: Path) -> None:
    data = zipped(GOOD)
    at = from_central_directory(data, list(GOOD)[-1])
    refused(source, into, patched(data, at + 20, struct.pack("<L", 1 << 30)), "reach beyond its end")


def test_more_bytes_than_are_allowed(source: Path, into: Path) -> None:
    total = sum(map(len, GOOD.values()))
    refused(source, into, zipped(GOOD), f"would take {total} bytes", max_bytes=total - 1)
    extract(source, into, max_bytes=total)


def test_more_files_than_are_allowed(source: Path, into: Path) -> None:
    refused(source, into, zipped(GOOD), "7 entries, more than 6", max_files=6)
    extract(source, into, max_files=7)


# -- bad input: stores -----------------------------------------------------------------------------------------------


def test_no_indexeddb(source: Path, into: Path) -> None:
    storage = {name: content for name, content in GOOD.items() if "Local Storage" in name}
    refused(source, into, zipped(storage), "no LevelDB of an IndexedDB")
    refused(source, into, zipped({**storage, "Default/IndexedDB/some.sqlite/CURRENT": b""}), "no LevelDB of an")


@pytest.mark.parametrize("store", [IDB, STORAGE])
def test_a_store_that_is_not_whole(source: Path, into: Path, store: str) -> None:
    current, manifest = f"Default/{store}/CURRENT", f"Default/{store}/MANIFEST-00000"
    for content in (b"", b"MANIFEST-000099\n", b"../../CURRENT\n", b"MANIFEST-000001", b"\xff" * 16):
        refused(source, into, zipped({**GOOD, current: content}), "a store is not whole")
    without = {name: content for name, content in GOOD.items() if not name.startswith(manifest)}
    refused(source, into, zipped(without), "a store is not whole")
    refused(source, into, zipped({**GOOD, **{n: b"" for n in GOOD if n.startswith(manifest)}}), "missing or empty")


def test_a_store_without_its_beginning(source: Path, into: Path) -> None:
    storage = f"Default/{STORAGE}/CURRENT"
    refused(source, into, zipped({name: c for name, c in GOOD.items() if name != storage}), "has no CURRENT")


# -- the rest --------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_as_such(source: Path, into: Path) -> None:
    with pytest.raises(FileNotFoundError):
        extract(source, into)
    assert not into.exists()


def test_a_full_disk_is_told_as_such_and_leaves_nothing(
    source: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write_bytes(zipped(GOOD))
    really = os.open
    written = []

    def full(path: str | Path, flags: int, mode: int = 0o777, **more: int | None) -> int:
        if flags & os.O_CREAT:
            written.append(path)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left") as caught:
        extract(source, into)
    assert caught.value.errno == errno.ENOSPC
    assert list(source.parent.iterdir()) == [source]


@given(st.data())
def test_whatever_the_bytes_are_it_is_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = bytearray(zipped(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "zip").write_bytes(good)
    is_remote_auth(io.BytesIO(good))
    try:
        extract(folder / "zip", folder / "into")
    except BadArchive:
        assert not (folder / "into").exists()
    else:
        # What a flipped bit can change at most: the name of something, which then is left out or lies elsewhere.
        assert set(tree(folder / "into").values()) <= set(GOOD.values())


def test_the_limits_are_those_of_a_large_profile() -> None:
    assert (remote_auth.MAX_BYTES, remote_auth.MAX_FILES) == (4 << 30, 200_000)
