"""Archives encrypted with SESSION_ENCRYPTION_KEY: authenticated, streamed, the key named but not told.

STREAM over AES-256-GCM. Header: magic, version, id of the master key, salt. Then chunks of 256 KiB, each with its tag.
The archive's own key is HKDF-SHA256 of master key and salt, so a nonce need only be unique within the archive: a
counter, and a flag in the last chunk. Chunks can be neither altered, moved, dropped nor added to; the header is
authenticated with every one of them.
"""

import base64
import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from .errors import BadArchive, NewerFormat, WrongKey
from .pieces import PIECE, Pieces

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from typing_extensions import Buffer

MAGIC = b"\x89WACRYPT"
VERSION = 1
CHUNK = 256 * 1024

_KEY = 32
_KEY_ID = 8
_SALT = 32
_TAG = 16
_HEADER = len(MAGIC) + 1 + _KEY_ID + _SALT

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")


class Keyring:
    """The keys of SESSION_ENCRYPTION_KEY: the first encrypts, all decrypt. Without any, archives are plain."""

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        self._keys = {_key_id(key): key for key in keys}

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """One or several keys separated by commas. Raises ValueError, which tells a bad key's position only."""
        if text is None or not text.strip():
            return cls()
        parts = text.split(",")
        return cls(tuple(_parse_key(part.strip(), f"key {n} of {len(parts)}") for n, part in enumerate(parts, 1)))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Names of the keys, in hex, fit to be shown."""
        return tuple(key_id.hex() for key_id in self._keys)

    @property
    def encrypts_with(self) -> str | None:
        """Name of the key that new archives are encrypted with."""
        return next(iter(self.key_ids), None)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.key_ids)})"

    @contextlib.contextmanager
    def encrypting(self, out: BinaryIO) -> Iterator[BinaryIO]:
        """Writes to `out` what is written to it. Left by an exception, what is in `out` is no valid archive.

        Without a key it is `out` itself.
        """
        if not self._keys:
            yield out
            return
        key_id, key = next(iter(self._keys.items()))
        writer = _Encrypting(out, MAGIC + bytes([VERSION]) + key_id + os.urandom(_SALT), key)
        yield cast(BinaryIO, writer)
        writer.finish()

    def decrypting(self, source: BinaryIO) -> BinaryIO:
        """Reads the plain archive in `source`, encrypted or not. No byte of an encrypted one is given out unproven.

        Raises WrongKey now, and BadArchive now or while it is read. It reads ahead and does not close `source`.
        """
        pieces = Pieces(source)
        if pieces.peek(len(MAGIC)) == MAGIC:
            header = pieces.take(_HEADER)
            read = _decrypted(pieces, header, self._key_for(header))
        else:
            read = iter(lambda: pieces.take(PIECE), b"")
        return io.BufferedReader(_Reader(read), PIECE)

    def _key_for(self, header: bytes) -> bytes:
        if len(header) < _HEADER:
            raise BadArchive("the archive is truncated within its encryption's header")
        if (version := header[len(MAGIC)]) != VERSION:
            raise NewerFormat(f"the archive has encryption version {version}; this version reads {VERSION}")
        key_id = header[len(MAGIC) + 1 :][:_KEY_ID]
        if key_id not in self._keys:
            ours = f"has {', '.join(self.key_ids)}" if self._keys else "is not set"
            raise WrongKey(f"the archive is encrypted with key {key_id.hex()}; SESSION_ENCRYPTION_KEY {ours}")
        return self._keys[key_id]


def _parse_key(text: str, which: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.urlsafe_b64decode(text.rstrip("=").replace("+", "-").replace("/", "_") + "=")
    raise ValueError(
        f"SESSION_ENCRYPTION_KEY: {which} is not {_KEY} bytes in base64 or {2 * _KEY} hexadecimal digits;"
        " make one with: openssl rand -base64 32"
    )


def _key_id(key: bytes) -> bytes:
    if len(key) != _KEY:
        raise ValueError(f"a key has {_KEY} bytes")
    return hashlib.sha256(b"whatsapp-container key id" + key).digest()[:_KEY_ID]


def _cipher(header: bytes, key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    own = HKDF(algorithm=SHA256(), length=_KEY, salt=header[-_SALT:], info=b"whatsapp-container archive 1").derive(key)
    return AESGCM(own)


def _nonce(counter: int, *, last: bool) -> bytes:
    return bytes(7) + counter.to_bytes(4, "big") + bytes([last])


class _Encrypting(io.RawIOBase):
    def __init__(self, out: BinaryIO, header: bytes, key: bytes) -> None:
        self._out = out
        self._header = header
        self._cipher = _cipher(header, key)
        self._held = bytearray()
        self._counter = 0
        out.write(header)

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer", /) -> int:
        self._held += data
        while len(self._held) > CHUNK:  # a full one is held back: it may be the last
            self._seal(last=False)
        return memoryview(data).nbytes

    def finish(self) -> None:
        self._seal(last=True)

    def _seal(self, *, last: bool) -> None:
        chunk = bytes(self._held[:CHUNK])
        del self._held[:CHUNK]
        self._out.write(self._cipher.encrypt(_nonce(self._counter, last=last), chunk, self._header))
        self._counter += 1


def _decrypted(pieces: Pieces, header: bytes, key: bytes) -> Iterator[bytes]:
    from cryptography.exceptions import InvalidTag

    cipher = _cipher(header, key)
    counter, last = 0, False
    while not last:
        sealed = pieces.take(CHUNK + _TAG)
        last = not pieces.peek(1)
        try:
            if len(sealed) < _TAG:
                raise InvalidTag
            chunk = cipher.decrypt(_nonce(counter, last=last), sealed, header)
        except InvalidTag:
            raise BadArchive(f"the archive was altered or cut: chunk {counter} is not authentic") from None
        yield chunk
        counter += 1


class _Reader(io.RawIOBase):
    """Once it has failed it fails again: a second read must not take the failure for the end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")
        self._failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        if self._failure is not None:
            raise self._failure
        try:
            while not self._held:
                self._held = memoryview(next(self._pieces))
        except StopIteration:
            return 0
        except Exception as error:
            self._failure = error
            raise
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(self._held))
        target[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
