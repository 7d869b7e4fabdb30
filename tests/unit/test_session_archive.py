"""One archive of a session: written and read as a stream, refused unless it is, to the byte, what it says it is."""

import hashlib
import io
import os
import resource
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from browser_agent.session.archive import pack, unpack
from browser_agent.session.errors import BadArchive, StoreUnavailable
from browser_agent.session.manifest import FileEntry, Manifest, check_stores, describe

DATABASE = "profile/Default/IndexedDB/https_web.whatsapp.com_0.indexeddb.leveldb"
STORE = {
    f"{DATABASE}/CURRENT": b"MANIFEST-000001\n",
    f"{DATABASE}/MANIFEST-000001": b"edits",
    f"{DATABASE}/000003.log": b"written ahead " * 50,
}
Files = dict[str, bytes]
Members = list[tuple[tarfile.TarInfo, bytes]]


def write(folder: Path, files: Files) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def entry(path: str, data: bytes) -> FileEntry:
    return FileEntry(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def manifest_of(files: Files | tuple[FileEntry, ...], **changes: Any) -> Manifest:
    facts: dict[str, Any] = {
        "session_id": "s1",
        "epoch": 3,
        "created_at": datetime(2026, 11, 23, tzinfo=UTC),
        "cause": "interval",
        "browser_version": "156.0.1",
        "wa_js_version": None,
        "service_version": "0.1.0",
        "storage": {"indexeddb": "leveldb", "local_storage": "leveldb"},
        "files": files if isinstance(files, tuple) else tuple(entry(path, files[path]) for path in sorted(files)),
    }
    return Manifest(**facts | changes)


def packed(folder: Path, manifest: Manifest | None = None) -> bytes:
    out = io.BytesIO()
    pack(folder, manifest or manifest_of(describe(folder)), out)
    return out.getvalue()


def refusal(data: bytes, into: Path | None = None, **limits: int) -> str:
    """Why it is refused, verified only and written; nothing may be left of it."""
    with pytest.raises(BadArchive) as verified:
        unpack(io.BytesIO(data), None, **limits)
    with tempfile.TemporaryDirectory() as folder:
        target = into or Path(folder) / "into"
        with pytest.raises(BadArchive) as written:
            unpack(io.BytesIO(data), target, **limits)
        assert not target.exists()
    assert str(written.value) == str(verified.value)
    return str(verified.value)


# -- archives of our own making --------------------------------------------------------------------------------------


def member(name: str, data: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode, info.size = 0o600, len(data)
    for field, value in changes.items():
        setattr(info, field, value)
    return info, data


def members_of(files: Files, manifest: Manifest | bytes | None = None) -> Members:
    described = manifest if isinstance(manifest, bytes) else (manifest or manifest_of(files)).to_json()
    return [member("manifest.json", described), *(member(path, files[path]) for path in sorted(files))]


def header(info: tarfile.TarInfo) -> bytes:
    """With device numbers of zero in digits, as ours are; versions of tarfile differ in that."""
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[329:345] = 2 * b"0000000\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_of(members: Members, end: bytes = bytes(1024)) -> bytes:
    return b"".join(header(info) + data + bytes(-len(data) % 512) for info, data in members) + end


def compressed(tar: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(tar)


def archive_of(members: Members) -> bytes:
    return compressed(tar_of(members))


def test_what_these_tests_make_is_accepted_as_long_as_it_is_right() -> None:
    assert unpack(io.BytesIO(archive_of(members_of(STORE))), None) == manifest_of(STORE)


# -- there and back --------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=60)
names = names.filter(lambda name: name not in {".", "..", "CURRENT"})
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "profile/" + "/".join(parts))
contents = st.binary(max_size=1500) | st.integers(0, 300_000).map(lambda size: b"\x07" * size)


def fits(files: Files) -> bool:
    return not any(one.startswith(other + "/") for one in files for other in files)


trees = st.dictionaries(paths, contents, max_size=8).filter(lambda files: fits(STORE | files))


@settings(max_examples=50)
@given(files=trees, local_storage=st.none() | st.binary(max_size=100))
def test_whatever_was_packed_comes_back(files: Files, local_storage: bytes | None) -> None:
    files = STORE | files | ({} if local_storage is None else {"local-storage.json": local_storage})
    with tempfile.TemporaryDirectory() as folder:
        source, into = write(Path(folder) / "source", files), Path(folder) / "into"
        manifest = manifest_of(files)
        assert describe(source) == manifest.files
        data = packed(source, manifest)
        assert unpack(io.BytesIO(data), None) == manifest
        assert unpack(io.BytesIO(data), into) == manifest
        assert {
            path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()
        } == files


def test_files_are_ours_alone_whatever_they_were(tmp_path: Path) -> None:
    source = write(tmp_path / "source", STORE)
    for path in source.rglob("*"):
        path.chmod(0o755)
    unpack(io.BytesIO(packed(source)), tmp_path / "into")
    modes = {
        stat.S_ISDIR(path.stat().st_mode): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("into/**/*")
    }
    assert modes == {True: 0o700, False: 0o600}
    assert stat.S_IMODE((tmp_path / "into").stat().st_mode) == 0o700


def test_other_programs_read_it_too(tmp_path: Path) -> None:
    files = STORE | {"local-storage.json": b"{}", "profile/" + "n" * 120: b"long", "profile/ä\n".strip(): b"no ascii"}
    data = packed(write(tmp_path, files))
    tar = io.BytesIO(zstandard.ZstdDecompressor().stream_reader(data).read())
    with tarfile.open(fileobj=tar, mode="r:") as read:
        found = read.getmembers()
        assert [info.name for info in found] == ["manifest.json", *sorted(files)]
        assert {(info.mode, info.mtime, info.uid, info.gid, info.isreg()) for info in found} == {
            (0o600, 0, 0, 0, True)
        }
        for info in found[1:]:
            file = read.extractfile(info)
            assert file is not None
            assert file.read() == files[info.name]


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", STORE), write(tmp_path / "other", dict(reversed(STORE.items())))
    assert packed(one) == packed(other)


def test_a_source_that_gives_little_at_a_time_will_do(tmp_path: Path) -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1)

    data = packed(write(tmp_path, STORE))
    assert unpack(Dripping(data), None).session_id == "s1"


def test_memory_stays_flat_whatever_the_size(tmp_path: Path) -> None:
    program = """
import os, re, sys
from pathlib import Path
import cryptography.hazmat.primitives.kdf.hkdf, cryptography.hazmat.primitives.ciphers.aead, zstandard
from browser_agent.session.archive import pack, unpack
from browser_agent.session.encryption import Keyring
from browser_agent.session.manifest import Manifest, describe

def peak_kb():  # not ru_maxrss, which begins with the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

source, archive, keyring, before = Path(sys.argv[1]), Path(sys.argv[2]), Keyring.parse("5a" * 32), peak_kb()
manifest = Manifest.parse(sys.stdin.buffer.read()).model_copy(update={"files": describe(source)})
with archive.open("wb") as file, keyring.encrypting(file) as out:
    pack(source, manifest, out)
with archive.open("rb") as file:
    unpack(keyring.decrypting(file), archive.with_name("into"))
print(archive.stat().st_size, peak_kb() - before)
"""
    source = write(tmp_path / "source", STORE)
    with (source / "profile/large").open("wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
        file.truncate(200 << 20)
    run = [sys.executable, "-c", program, str(source), str(tmp_path / "archive")]
    told = subprocess.run(run, input=manifest_of({}).to_json(), capture_output=True, check=True)
    stored, peak_kb = map(int, told.stdout.split())
    assert stored > 100 << 20
    assert peak_kb < 24 * 1024
    (tmp_path / "archive").unlink()
    (source / "profile/large").unlink()
    (tmp_path / "into/profile/large").unlink()


# -- what packing refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [b"longer than it was", b"short", b""])
def test_a_file_that_changes_its_size_while_it_is_packed(tmp_path: Path, now: bytes) -> None:
    source = write(tmp_path, STORE | {"profile/changing": b"as it was"})
    manifest = manifest_of(describe(source))
    (source / "profile/changing").write_bytes(now)
    out = io.BytesIO()
    with pytest.raises(BadArchive, match="changed while it was packed: 'profile/changing'"):
        pack(source, manifest, out)
    refusal(out.getvalue())


def test_a_file_that_changes_within_its_size_is_found_by_verifying(tmp_path: Path) -> None:
    source = write(tmp_path, STORE | {"profile/changing": b"as it was"})
    manifest = manifest_of(describe(source))
    (source / "profile/changing").write_bytes(b"otherwise")
    assert refusal(packed(source, manifest)) == "another content than the manifest says: 'profile/changing'"


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_folder_link(path: Path) -> None:
    path.symlink_to("/etc")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [make_link, make_folder_link, os.mkfifo, make_socket])
def test_only_regular_files_are_described(tmp_path: Path, make: Callable[[Path], None]) -> None:
    source = write(tmp_path, STORE)
    make(source / "profile/odd")
    with pytest.raises(BadArchive, match="not a regular file: 'profile/odd'"):
        describe(source)


@pytest.mark.parametrize("name", [b"new\nline", b"back\\slash", b"not utf-8 \xff", b"\x7f"])
def test_names_that_no_archive_may_have_are_not_described(tmp_path: Path, name: bytes) -> None:
    write(tmp_path, STORE)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/profile/" + name)).touch()
    with pytest.raises(BadArchive, match="cannot be kept"):
        describe(tmp_path)


# -- the manifest ----------------------------------------------------------------------------------------------------


def test_the_content_is_the_same_whenever_and_wherever_it_was_kept() -> None:
    one = manifest_of(STORE)
    other = manifest_of(
        STORE, epoch=4, session_id="s2", cause="stop", created_at=datetime.now(UTC), browser_version=None
    )
    assert one.content_sha256 == other.content_sha256
    assert one.content_bytes == sum(map(len, STORE.values()))


@pytest.mark.parametrize(
    "files",
    [STORE | {"profile/new": b""}, STORE | {f"{DATABASE}/MANIFEST-000001": b"Edits"}, dict(list(STORE.items())[1:])],
)
def test_other_content_is_other_content(files: Files) -> None:
    assert manifest_of(files).content_sha256 != manifest_of(STORE).content_sha256


def test_a_manifest_survives_its_json_and_tells_utc() -> None:
    manifest = manifest_of(STORE, created_at=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert Manifest.parse(manifest.to_json()) == manifest
    assert b'"created_at":"2026-01-01T10:00:00Z"' in manifest.to_json()


BAD_PATHS = {
    "absolute": "/profile/x",
    "absolute elsewhere": "/etc/passwd",
    "dot dot": "profile/../../x",
    "dot dot first": "../profile/x",
    "dot": "profile/./x",
    "empty": "",
    "empty component": "profile//x",
    "a folder": "profile/x/",
    "the profile itself": "profile",
    "backslash": "profile\\..\\x",
    "nul": "profile/x\0",
    "line feed": "profile/x\n",
    "escape": "profile/\x1b[2J",
    "delete": "profile/\x7f",
    "next line": "profile/\x85",
    "a long name": "profile/" + "ä" * 128,
    "a long path": "profile/" + "x/" * 600 + "x",
    "elsewhere": "other/x",
    "beside": "profilex/x",
    "below the dump": "local-storage.json/x",
    "the manifest": "manifest.json",
}


@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
def test_a_path_that_leads_elsewhere(path: str) -> None:
    listed: Any = {"path": path, "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    with pytest.raises(ValidationError):
        manifest_of((FileEntry(**listed),))
    files = STORE | {"profile/stand-in": b"x"}
    escaped = str(path.encode("unicode_escape"), "ascii").replace("\\\\", "\\u005c").replace("\\x", "\\u00")
    described = manifest_of(files).to_json().replace(b"profile/stand-in", escaped.encode())
    members = members_of(files, described)
    members[-1] = member(path.encode("ascii", "replace").decode()[:90], b"x")
    assert refusal(archive_of(members)).startswith("the manifest is not valid: files")


def changed(old: str, new: str) -> bytes:
    described = manifest_of(STORE).to_json().decode()
    assert old in described
    return described.replace(old, new, 1).encode()


ENTRY = entry(f"{DATABASE}/CURRENT", STORE[f"{DATABASE}/CURRENT"]).model_dump_json()
BAD_MANIFESTS = {
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "no object": b"[]",
    "a number": b"1" * 5000,
    "deep": b"[" * 100_000,
    "no fields": b"{}",
    "an unknown field": changed('"epoch"', '"more":1,"epoch"'),
    "a field of a file": changed('"size"', '"mode":1,"size"'),
    "a time without a zone": changed("T00:00:00Z", "T00:00:00"),
    "a negative epoch": changed('"epoch":3', '"epoch":-3'),
    "a negative size": changed('"size":16', '"size":-16'),
    "a huge size": changed('"size":16', '"size":8589934592'),
    "a size that is text": changed('"size":16', '"size":"16"'),
    "a digest that is none": changed('"sha256":"', '"sha256":"x'),
    "half a surrogate": changed("CURRENT", "\\ud800"),
    "a file twice": changed(ENTRY, f"{ENTRY},{ENTRY}"),
    "files in disorder": changed(ENTRY + ",", "").replace(b"]}", f",{ENTRY}]}}".encode()),
    "a file that is a folder": changed('"files":[', '"files":[' + ENTRY.replace("/CURRENT", "") + ","),
}


@pytest.mark.parametrize("described", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS)
def test_a_manifest_that_is_none(described: bytes) -> None:
    assert refusal(archive_of(members_of(STORE, described))).startswith("the manifest is not valid: ")


@pytest.mark.parametrize("found", [0, 2])
def test_a_format_of_another_time_is_named(found: int) -> None:
    described = changed('"format":1', f'"format":{found},"new":[]')
    assert refusal(archive_of(members_of(STORE, described))) == (
        f"the manifest has format {found}; this version reads format 1"
    )


def test_a_manifest_over_its_limit_is_not_read() -> None:
    data = archive_of([member("manifest.json", size=32 * 1024 * 1024 + 1)])
    assert refusal(data) == "the manifest has 33554433 bytes, of 33554432 allowed"


# -- archives that are not what the manifest says --------------------------------------------------------------------


def with_member(at: int, new: tuple[tarfile.TarInfo, bytes] | None) -> bytes:
    members = members_of(STORE)
    members[at : at + 1] = [] if new is None else [new]
    return archive_of(members)


def in_place_of_the_log(**changes: Any) -> bytes:
    """Another member where the manifest has the log (the first file, as it sorts)."""
    path = f"{DATABASE}/000003.log"
    return with_member(1, member(path, STORE[path], **changes))


LOG = STORE[f"{DATABASE}/000003.log"]
LIES = {
    "a shorter file": with_member(1, member(f"{DATABASE}/000003.log", LOG[1:])),
    "a longer file": with_member(1, member(f"{DATABASE}/000003.log", LOG + b"x")),
    "other content": with_member(1, member(f"{DATABASE}/000003.log", b"X" + LOG[1:])),
    "another name": with_member(1, member(f"{DATABASE}/000004.log", LOG)),
    "a file missing": with_member(1, None),
    "the last file missing": with_member(3, None),
    "only the manifest": archive_of(members_of(STORE)[:1]),
    "a file more": archive_of([*members_of(STORE), member("profile/more", b"x")]),
    "a file twice": archive_of([*members_of(STORE), members_of(STORE)[3]]),
    "files in disorder": archive_of([members_of(STORE)[at] for at in (0, 2, 1, 3)]),
    "a second manifest": archive_of([*members_of(STORE), members_of(STORE)[0]]),
    "an absolute path": with_member(1, member("/" + f"{DATABASE}/000003.log"[:99], LOG)),
    "a hard link": in_place_of_the_log(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a symbolic link": in_place_of_the_log(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a character device": in_place_of_the_log(type=tarfile.CHRTYPE),
    "a block device": in_place_of_the_log(type=tarfile.BLKTYPE),
    "a pipe": in_place_of_the_log(type=tarfile.FIFOTYPE),
    "a folder": in_place_of_the_log(type=tarfile.DIRTYPE),
    "a contiguous file": in_place_of_the_log(type=tarfile.CONTTYPE),
    "a sparse file": in_place_of_the_log(type=tarfile.GNUTYPE_SPARSE),
    "an unknown type": in_place_of_the_log(type=b"Z"),
    "a pax header": with_member(1, member("pax", b"20 path=/etc/passwd\n", type=tarfile.XHDTYPE)),
    "a global pax header": with_member(1, member("pax", b"20 path=/etc/passwd\n", type=tarfile.XGLTYPE)),
    "a long name of GNU's": with_member(1, member("././@LongLink", b"/etc/passwd\0", type=tarfile.GNUTYPE_LONGNAME)),
    "another mode": in_place_of_the_log(mode=0o4755),
    "an owner": in_place_of_the_log(uid=1000),
    "a time": in_place_of_the_log(mtime=1),
    "a name of an owner": in_place_of_the_log(uname="root"),
}


@pytest.mark.parametrize("data", LIES.values(), ids=LIES)
def test_an_archive_that_is_not_as_its_manifest_says(data: bytes) -> None:
    assert refusal(data).startswith(("where '", "another content than", "the archive has a member that the manifest"))


def test_what_is_found_instead_is_named() -> None:
    where = f"where '{DATABASE}/000003.log' of 700 bytes should be, the archive has "
    assert refusal(LIES["a symbolic link"]) == where + f"the symbolic link '{DATABASE}/000003.log'"
    assert refusal(LIES["only the manifest"]) == where + "no member"
    assert refusal(LIES["a sparse file"]) == where + f"the sparse file '{DATABASE}/000003.log'"


TAR = tar_of(members_of(STORE))
FOREIGN = {
    "text": b"hello, this is not an archive at all",
    "a zip": b"PK\x03\x04" + bytes(100),
    "a plain tar": TAR,
    "compressed text": compressed(b"hello " * 500),
    "compressed nothing": compressed(b""),
    "compressed zeros": compressed(bytes(100_000)),
    "a tar without a manifest": archive_of(members_of(STORE)[1:]),
    "a manifest that comes late": archive_of([*members_of(STORE)[1:], members_of(STORE)[0]]),
    "a manifest that is a link": archive_of([member("manifest.json", linkname="/etc/passwd", type=tarfile.SYMTYPE)]),
    "a manifest below": archive_of([member("./manifest.json", b"{}")]),
    "an empty manifest": archive_of([member("manifest.json")]),
    "a manifest of negative size": compressed(TAR[:124] + b"-0000000001\0" + TAR[136:]),
    "a manifest of a size that is none": compressed(TAR[:124] + b"\x80" + bytes(11) + TAR[136:]),
    "an empty tar": compressed(bytes(10_240)),
    "no end": compressed(TAR[:-1024]),
    "half an end": compressed(TAR[:-512]),
    "a tar cut within a file": compressed(TAR[:2000]),
    "a tar with more zeros": compressed(TAR + bytes(512)),
    "a tar with more": compressed(TAR + b"x"),
    "padding that is not zero": compressed(TAR[:-1025] + b"x" + TAR[-1024:]),
    "no checksum": zstandard.ZstdCompressor(write_checksum=False).compress(TAR),
    "a frame header alone": compressed(TAR)[:6],
    "a magic number alone": compressed(TAR)[:4],
    "two frames": compressed(TAR[:1024]) + compressed(TAR[1024:]),
    "an empty frame after it": compressed(TAR) + compressed(b""),
    "a frame to be skipped before it": b"\x50\x2a\x4d\x18\x04\0\0\0skip" + compressed(TAR),
    "a frame to be skipped after it": compressed(TAR) + b"\x50\x2a\x4d\x18\x04\0\0\0skip",
    "a byte after it": compressed(TAR) + b"\0",
    "itself after it": compressed(TAR) * 2,
    "made with a dictionary": zstandard.ZstdCompressor(
        write_checksum=True, dict_data=zstandard.ZstdCompressionDict(TAR, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    ).compress(TAR[:1024] * 9),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_archive_of_a_session(data: bytes) -> None:
    refusal(data)


def test_an_empty_object_is_named_so() -> None:
    assert refusal(b"") == "the archive is empty"


# -- damage ----------------------------------------------------------------------------------------------------------

WHOLE = archive_of(members_of(STORE))


@pytest.mark.parametrize("part", range(4))
def test_an_archive_cut_anywhere(part: int) -> None:
    for end in range(part, len(WHOLE), 4):
        with pytest.raises(BadArchive):
            unpack(io.BytesIO(WHOLE[:end]), None)


@settings(max_examples=400)
@given(bit=st.integers(0, len(WHOLE) * 8 - 1))
def test_one_bit_changed_anywhere_is_never_other_content(bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    # zstandard has bits that mean nothing (in the descriptor, in the padding of its tables).
    try:
        assert unpack(io.BytesIO(damaged), None) == manifest_of(STORE)
    except BadArchive:
        pass


@settings(max_examples=200)
@given(data=st.binary(max_size=300), kept=st.integers(0, len(WHOLE)))
def test_garbage_after_a_good_beginning(data: bytes, kept: int) -> None:
    if WHOLE[:kept] + data != WHOLE:
        with pytest.raises(BadArchive):
            unpack(io.BytesIO(WHOLE[:kept] + data), None)


@settings(max_examples=200)
@given(at=st.integers(0, len(TAR) - 1), data=st.binary(min_size=1, max_size=40))
def test_garbage_within_the_tar(at: int, data: bytes) -> None:
    damaged = TAR[:at] + data + TAR[at + len(data) :]
    if damaged[: len(TAR)] == TAR:
        return
    try:
        read = unpack(io.BytesIO(compressed(damaged)), None)
    except BadArchive:
        return
    assert read.files == manifest_of(STORE).files  # another cause or epoch: nothing here can know better


# -- bombs -----------------------------------------------------------------------------------------------------------


def test_more_bytes_than_allowed_are_refused_unread(tmp_path: Path) -> None:
    data = packed(write(tmp_path, STORE))
    total = sum(map(len, STORE.values()))
    assert unpack(io.BytesIO(data), None, max_bytes=total, max_files=3)
    assert refusal(data, max_bytes=total - 1) == f"the archive has {total} bytes, of {total - 1} allowed"


def test_more_files_than_allowed_are_refused_unread(tmp_path: Path) -> None:
    assert refusal(packed(write(tmp_path, STORE)), max_files=2) == "the archive has 3 files, of 2 allowed"


def bomb(start: bytes) -> bytes:
    """A gigabyte of zeros in a few ten thousand bytes, after a good beginning."""
    out = io.BytesIO()
    writer = zstandard.ZstdCompressor(level=1, write_checksum=True).stream_writer(out, closefd=False)
    writer.write(start)
    for _ in range(256):
        writer.write(bytes(4 << 20))
    writer.flush(zstandard.FLUSH_FRAME)
    return out.getvalue()


@pytest.mark.parametrize(
    "start",
    [
        TAR,
        TAR[:-1024],
        tar_of([member("manifest.json", size=1 << 30)], b""),
        tar_of([member("manifest.json", b"{" + b" " * 500, size=30 << 20)], b""),
        tar_of([*members_of(STORE)[:1], member(f"{DATABASE}/000003.log", size=1 << 30)], b""),
    ],
    ids=["after the end", "in place of the end", "a manifest too large", "a manifest", "a file larger than announced"],
)
def test_a_bomb_is_refused_before_it_goes_off(start: bytes) -> None:
    data = io.BytesIO(bomb(start))
    assert len(data.getvalue()) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(BadArchive):
            unpack(data, None)
        assert tracemalloc.get_traced_memory()[1] < 70 << 20  # the largest manifest allowed, in its pieces and as one
    finally:
        tracemalloc.stop()


def test_a_window_that_takes_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27, write_checksum=True)
    out = io.BytesIO()
    writer = zstandard.ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False)
    writer.write(TAR)
    writer.flush(zstandard.FLUSH_FRAME)
    assert refusal(out.getvalue()) == "not an archive of a session: compressed in another way"


def test_a_block_larger_than_zstandard_allows_is_refused_unread() -> None:
    block = (0x1FFFFF << 3 | 2 << 1).to_bytes(3, "little")
    assert "a block is too large" in refusal(zstandard.FRAME_HEADER + b"\x04\x58" + block + bytes(100))


# -- where it is written ---------------------------------------------------------------------------------------------


def test_an_empty_folder_is_filled_and_taken_away_again_on_failure(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir(mode=0o755)
    unpack(io.BytesIO(WHOLE), tmp_path / "into")
    assert describe(tmp_path / "into") == manifest_of(STORE).files
    assert stat.S_IMODE((tmp_path / "into").stat().st_mode) == 0o700
    (tmp_path / "other").mkdir()
    refusal(WHOLE[:-1], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"into/profile/kept": b"kept"})
    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(WHOLE), tmp_path / "into")
    assert (tmp_path / "into/profile/kept").read_bytes() == b"kept"


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "into").symlink_to("elsewhere")
    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(WHOLE), tmp_path / "into")
    assert not any((tmp_path / "elsewhere").iterdir())


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Writing fails in the midst of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_no_bad_archive(tmp_path: Path, small_files_only: None) -> None:
    files = STORE | {"profile/large": bytes(200_000)}
    data = archive_of(members_of(files))
    assert unpack(io.BytesIO(data), None).files
    with pytest.raises(OSError, match="large"):
        unpack(io.BytesIO(data), tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), OSError("network"), KeyboardInterrupt()], ids=repr)
def test_what_the_source_raises_comes_through(tmp_path: Path, failure: BaseException) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if piece := super().read(200):
                return piece
            raise failure

    with pytest.raises(type(failure)) as raised:
        unpack(Failing(WHOLE[:-1]), tmp_path / "into")
    assert raised.value is failure
    assert not (tmp_path / "into").exists()


# -- the databases within --------------------------------------------------------------------------------------------

LOCAL_STORAGE = "profile/Default/Local Storage/leveldb"
BAD_STORES: dict[str, tuple[Files, str]] = {
    "names another": (
        {f"{DATABASE}/CURRENT": b"MANIFEST-000002\n"},
        "names MANIFEST-000002, which is missing or empty",
    ),
    "names an empty one": ({f"{DATABASE}/MANIFEST-000001": b""}, "names MANIFEST-000001, which is missing or empty"),
    "is empty": ({f"{DATABASE}/CURRENT": b""}, "names no MANIFEST"),
    "has no line's end": ({f"{DATABASE}/CURRENT": b"MANIFEST-000001"}, "names no MANIFEST"),
    "has two lines": ({f"{DATABASE}/CURRENT": b"MANIFEST-000001\n\n"}, "names no MANIFEST"),
    "has few digits": ({f"{DATABASE}/CURRENT": b"MANIFEST-1\n"}, "names no MANIFEST"),
    "names another folder's": ({f"{DATABASE}/CURRENT": b"../MANIFEST-000001\n"}, "names no MANIFEST"),
    "is garbage": ({f"{DATABASE}/CURRENT": b"\xff\0" * 5000}, "names no MANIFEST"),
    "of another": ({f"{LOCAL_STORAGE}/CURRENT": b"MANIFEST-000001\n"}, "which is missing or empty"),
    "of a file at the top": ({"profile/CURRENT": b"x"}, "names no MANIFEST"),
}


@pytest.mark.parametrize(("files", "problem"), BAD_STORES.values(), ids=BAD_STORES)
def test_a_current_that_leads_nowhere(tmp_path: Path, files: Files, problem: str) -> None:
    source = write(tmp_path, STORE | files)
    told = refusal(packed(source))
    assert told.startswith("a store is not whole: ")
    assert told.endswith(problem)
    with pytest.raises(BadArchive) as raised:
        check_stores(source)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"profile/Default/Preferences": b"{}"},
        {"local-storage.json": b"{}"},
        {f"{LOCAL_STORAGE}/CURRENT": b"MANIFEST-000001\n", f"{LOCAL_STORAGE}/MANIFEST-000001": b"x"},
        {"profile/Default/IndexedDB/CURRENT": b"MANIFEST-000001\n", "profile/Default/IndexedDB/MANIFEST-000001": b"x"},
        {f"{DATABASE}/MANIFEST-000001": b"x", f"{DATABASE}/000003.log": b"x"},
    ],
    ids=["nothing", "preferences", "the dump", "local storage", "no leveldb", "no current"],
)
def test_a_profile_without_its_indexeddb(tmp_path: Path, files: Files) -> None:
    source = write(tmp_path / "source", files)
    source.mkdir(exist_ok=True)
    assert refusal(packed(source)) == "a store is not whole: no LevelDB below profile/Default/IndexedDB/"
    with pytest.raises(BadArchive, match="no LevelDB below"):
        check_stores(source)


def test_a_whole_profile_on_the_disk_may_have_what_no_archive_may(tmp_path: Path) -> None:
    source = write(tmp_path, STORE | {"lock": b""})
    (source / "profile/SingletonLock").symlink_to("host-123")
    check_stores(source)
    (source / "profile").rename(source / "profile.before")
    check_stores(source, "profile.before")


def test_several_broken_stores_are_counted(tmp_path: Path) -> None:
    source = write(tmp_path, {f"{DATABASE}/CURRENT": b"", f"{LOCAL_STORAGE}/CURRENT": b""})
    with pytest.raises(BadArchive, match=r"names no MANIFEST \(and 1 more\)$"):
        check_stores(source)
