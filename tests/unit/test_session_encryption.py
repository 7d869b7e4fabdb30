"""Archives under SESSION_ENCRYPTION_KEY: what comes out is what went in, or nothing that was not proven."""

import base64
import hashlib
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser_agent.session.archive import pack, unpack
from browser_agent.session.encryption import CHUNK, Keyring
from browser_agent.session.errors import BadArchive, SessionError, StoreUnavailable, WrongKey
from browser_agent.session.manifest import Manifest, describe

KEY, OTHER = bytes(range(32)), b"\xfb" * 16 + bytes(range(16))  # in base64 with + and /
KEYRING = Keyring((KEY,))
HEADER = 8 + 1 + 8 + 32
SEALED = CHUNK + 16


def encrypt(data: bytes, keyring: Keyring = KEYRING) -> bytes:
    out = io.BytesIO()
    with keyring.encrypting(out) as writer:
        writer.write(data)
    return out.getvalue()


def decrypt(data: bytes, keyring: Keyring = KEYRING) -> bytes:
    return keyring.decrypting(io.BytesIO(data)).read()


def content(size: int) -> bytes:
    return hashlib.shake_128(b"content").digest(size)


# -- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 77])
def test_what_went_in_comes_out(size: int) -> None:
    sealed = encrypt(content(size))
    assert decrypt(sealed) == content(size)
    assert len(sealed) == HEADER + size + 16 * max(1, -(-size // CHUNK))


@settings(max_examples=50)
@given(pieces=st.lists(st.integers(0, 300_000), max_size=6), read=st.integers(1, 400_000))
def test_however_it_is_written_and_read(pieces: list[int], read: int) -> None:
    whole = content(sum(pieces))
    out = io.BytesIO()
    at = 0
    with KEYRING.encrypting(out) as writer:
        for size in pieces:
            assert writer.write(memoryview(whole)[at : at + size]) == size
            at += size
    reader = KEYRING.decrypting(io.BytesIO(out.getvalue()))
    assert b"".join(iter(lambda: reader.read(read), b"")) == whole


def test_a_source_that_gives_little_at_a_time_will_do() -> None:
    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1000)

    sealed = encrypt(content(CHUNK + 5))
    assert KEYRING.decrypting(Dripping(sealed)).read() == content(CHUNK + 5)


@pytest.mark.parametrize("keyring", [Keyring(), KEYRING], ids=["no key", "a key"])
@pytest.mark.parametrize("size", [0, 3, 8, 1000, 600_000])
def test_what_is_plain_passes_through(keyring: Keyring, size: int) -> None:
    assert decrypt(content(size), keyring) == content(size)


def test_without_a_key_nothing_is_changed() -> None:
    out = io.BytesIO()
    with Keyring().encrypting(out) as writer:
        assert writer is out


def test_nothing_of_it_can_be_read_and_no_two_are_alike() -> None:
    one, other = encrypt(b"a secret of the account" * 100), encrypt(b"a secret of the account" * 100)
    assert b"secret" not in one
    assert one[:17] == other[:17]
    assert one[17:49] != other[17:49]
    assert one[49:70] != other[49:70]


def test_the_streams_given_stay_open() -> None:
    out = io.BytesIO()
    with KEYRING.encrypting(out) as writer:
        writer.write(b"x")
    source = io.BytesIO(out.getvalue())
    KEYRING.decrypting(source).close()
    assert not out.closed
    assert not source.closed


def test_what_was_left_half_written_is_not_valid() -> None:
    def failing(out: BinaryIO) -> None:
        with KEYRING.encrypting(out) as writer:
            writer.write(content(3 * CHUNK))
            raise OSError("disk full")

    out = io.BytesIO()
    with pytest.raises(OSError, match="disk full"):
        failing(out)
    with pytest.raises(BadArchive):
        decrypt(out.getvalue())


# -- keys ------------------------------------------------------------------------------------------------------------


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    before, rotated = Keyring((OTHER,)), Keyring((KEY, OTHER))
    assert decrypt(encrypt(b"old", before), rotated) == b"old"
    assert decrypt(encrypt(b"new", rotated), Keyring((KEY,))) == b"new"
    with pytest.raises(WrongKey):
        decrypt(encrypt(b"new", rotated), before)
    assert rotated.encrypts_with == rotated.key_ids[0] == Keyring((KEY,)).encrypts_with
    assert Keyring().encrypts_with is None


def test_a_wrong_key_is_told_at_once_by_its_name() -> None:
    sealed = io.BytesIO(encrypt(b"x"))
    with pytest.raises(WrongKey) as raised:
        Keyring((OTHER,)).decrypting(sealed)
    (wanted,), (ours,) = KEYRING.key_ids, Keyring((OTHER,)).key_ids
    assert str(raised.value) == f"the archive is encrypted with key {wanted}; SESSION_ENCRYPTION_KEY has {ours}"


def test_no_key_at_all_is_a_wrong_key() -> None:
    with pytest.raises(WrongKey, match=f"with key {KEYRING.encrypts_with}; SESSION_ENCRYPTION_KEY is not set"):
        Keyring().decrypting(io.BytesIO(encrypt(b"x")))


def test_a_key_that_only_has_the_right_name_opens_nothing() -> None:
    sealed = encrypt(b"x", Keyring((OTHER,)))
    with pytest.raises(BadArchive):
        decrypt(sealed[:9] + encrypt(b"")[9:17] + sealed[17:])


def test_a_key_is_named_by_a_digest_of_its_own() -> None:
    assert KEYRING.key_ids == (hashlib.sha256(b"whatsapp-container key id" + KEY).hexdigest()[:16],)


TEXTS = {
    "base64": base64.b64encode(OTHER).decode(),
    "without padding": base64.b64encode(OTHER).decode().rstrip("="),
    "urlsafe": base64.urlsafe_b64encode(OTHER).decode(),
    "hex": OTHER.hex(),
    "upper": OTHER.hex().upper(),
    "spaces": f" {OTHER.hex()}\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_keys_are_read_as_people_write_them(text: str) -> None:
    assert Keyring.parse(text).key_ids == Keyring((OTHER,)).key_ids


def test_several_keys_keep_their_order() -> None:
    assert Keyring.parse(f"{KEY.hex()}, {TEXTS['base64']}").key_ids == Keyring((KEY, OTHER)).key_ids


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_no_text_is_no_key(text: str | None) -> None:
    assert not Keyring.parse(text)
    assert Keyring.parse(KEY.hex())


@pytest.mark.parametrize(
    "bad",
    ["swordfish", "c2hvcnQ=", KEY.hex()[:-1], KEY.hex() + "00", "x" * 42, "ö" * 43, "é" * 64, "", "A" * 43 + "=="],
)
def test_a_bad_key_is_told_by_its_position_and_never_shown(bad: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as raised:
        Keyring.parse(f"{KEY.hex()},{bad}")
    assert str(raised.value).startswith("SESSION_ENCRYPTION_KEY: key 2 of 2 is not 32 bytes in base64")
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert not bad or bad not in str(raised.value)


def test_what_is_shown_of_a_keyring_is_names() -> None:
    assert repr(KEYRING) == f"Keyring({KEYRING.encrypts_with})"
    assert f"{Keyring()}" == "Keyring()"


# -- damage ----------------------------------------------------------------------------------------------------------

FOUR = encrypt(content(3 * CHUNK + 99))
CHUNKS = [FOUR[HEADER:][at : at + SEALED] for at in range(0, len(FOUR) - HEADER, SEALED)]
SAME_SIZE = encrypt(content(3 * CHUNK + 99)[::-1])


def chunks(*order: int) -> bytes:
    return FOUR[:HEADER] + b"".join(CHUNKS[at] for at in order)


DAMAGED = {
    "cut after the header": FOUR[:HEADER],
    "cut within the header": FOUR[: HEADER - 1],
    "cut after the magic": FOUR[:8],
    "cut after one chunk": chunks(0),
    "cut before the last chunk": chunks(0, 1, 2),
    "cut within a chunk": FOUR[: HEADER + SEALED + 1000],
    "cut within a tag": FOUR[:-1],
    "cut to less than a tag": FOUR[: HEADER + 3 * SEALED + 15],
    "a chunk dropped": chunks(0, 2, 3),
    "the first chunk dropped": chunks(1, 2, 3),
    "all but the last dropped": chunks(3),
    "chunks exchanged": chunks(1, 0, 2, 3),
    "a chunk twice": chunks(0, 1, 1, 2, 3),
    "the last chunk twice": chunks(0, 1, 2, 3, 3),
    "a byte more": FOUR + b"\0",
    "a chunk more": FOUR + CHUNKS[0],
    "another archive after it": FOUR + FOUR,
    "a chunk of another archive": FOUR[: -len(CHUNKS[3])] + SAME_SIZE[-len(CHUNKS[3]) :],
    "the header of another archive": SAME_SIZE[:HEADER] + FOUR[HEADER:],
    "another version": FOUR[:8] + b"\x02" + FOUR[9:],
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_found_and_what_was_read_before_it_was_genuine(data: bytes) -> None:
    read = b""
    with pytest.raises(BadArchive):  # noqa: PT012 (the reading before the failure is what is looked at)
        reader = KEYRING.decrypting(io.BytesIO(data))
        while piece := reader.read(CHUNK):
            read += piece
    assert content(3 * CHUNK + 99).startswith(read)
    assert len(read) % CHUNK == 0


def test_a_version_of_another_time_is_named() -> None:
    with pytest.raises(BadArchive, match="encryption version 2; this version reads 1"):
        decrypt(DAMAGED["another version"])


def test_a_failure_is_not_the_end_when_asked_again() -> None:
    reader = KEYRING.decrypting(io.BytesIO(chunks(0, 2, 3)))
    assert reader.read(CHUNK) == content(CHUNK)
    for _ in range(3):
        with pytest.raises(BadArchive):
            reader.read(1)


@pytest.mark.parametrize("start", [FOUR, content(CHUNK)], ids=["encrypted", "plain"])
def test_what_the_source_raises_comes_through_and_is_not_the_end(start: bytes) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if piece := super().read(100_000):
                return piece
            raise StoreUnavailable("away")

    reader = KEYRING.decrypting(Failing(start))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="away"):
            reader.read()


# -- an archive within -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archived() -> tuple[Manifest, bytes]:
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "profile/Default/IndexedDB/x.leveldb"
        store.mkdir(parents=True)
        (store / "CURRENT").write_bytes(b"MANIFEST-000001\n")
        (store / "MANIFEST-000001").write_bytes(content(CHUNK + 500))  # more than one chunk
        manifest = Manifest(
            session_id="s1",
            epoch=1,
            created_at=datetime(2026, 11, 23, tzinfo=UTC),
            cause="interval",
            browser_version="156.0.1",
            wa_js_version="3.19.4",
            service_version="0.1.0",
            storage={"indexeddb": "leveldb"},
            files=describe(Path(name)),
        )
        out = io.BytesIO()
        with KEYRING.encrypting(out) as writer:
            pack(Path(name), manifest, writer)
    return manifest, out.getvalue()


def test_an_archive_is_packed_encrypted_and_comes_back(archived: tuple[Manifest, bytes], tmp_path: Path) -> None:
    manifest, data = archived
    assert unpack(KEYRING.decrypting(io.BytesIO(data)), None) == manifest
    assert unpack(KEYRING.decrypting(io.BytesIO(data)), tmp_path / "into") == manifest
    assert describe(tmp_path / "into") == manifest.files


@settings(max_examples=150)
@given(bit=st.integers(0, (HEADER + 64) * 8) | st.integers(0, (CHUNK + 900) * 8), where=st.sampled_from([0, -1]))
def test_one_bit_changed_anywhere_is_refused(archived: tuple[Manifest, bytes], bit: int, where: int) -> None:
    _, data = archived
    damaged = bytearray(data)
    at = bit // 8 % len(data) if where == 0 else -1 - bit // 8 % len(data)
    damaged[at] ^= 1 << bit % 8
    in_key_id = 9 <= at % len(data) < 17
    with pytest.raises(WrongKey if in_key_id else BadArchive):
        unpack(KEYRING.decrypting(io.BytesIO(damaged)), None)


@settings(max_examples=100)
@given(cut=st.integers(0, 2 * HEADER) | st.integers(0, CHUNK + 900))
def test_an_archive_cut_anywhere_is_refused(archived: tuple[Manifest, bytes], cut: int) -> None:
    _, data = archived
    for cut_off in (data[:cut], data[: len(data) - 1 - cut]):
        with pytest.raises(BadArchive):
            unpack(KEYRING.decrypting(io.BytesIO(cut_off)), None)


def test_nothing_is_left_of_an_archive_whose_last_chunk_is_bad(
    archived: tuple[Manifest, bytes], tmp_path: Path
) -> None:
    _, data = archived
    with pytest.raises(SessionError):
        unpack(KEYRING.decrypting(io.BytesIO(data[:-1] + bytes([data[-1] ^ 1]))), tmp_path / "into")
    assert not (tmp_path / "into").exists()
