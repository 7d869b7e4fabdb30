"""One archive: a tar of manifest.json and the files it names, compressed with zstandard, written and read as a stream.

`tar --zstd -xf` reads it. We read more strictly: as the manifest says what follows, each header must be, byte for
byte, the one we would write ourselves. Links, devices, sparse files, other names and other sizes are no cases then.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .durable import sync
from .errors import BadArchive
from .manifest import CURRENT_BYTES, FileEntry, Manifest, open_regular, problems_of_stores, refuse_stores
from .pieces import PIECE, Pieces

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

MANIFEST = "manifest.json"
MAX_MANIFEST = 32 * 1024 * 1024

_LEVEL = 3
_MAX_WINDOW = 8 * 1024 * 1024  # of the decompressor's memory; level 3 needs 2 MiB
_MAX_BLOCK = 128 * 1024  # zstandard's, compressed or not
_TAR_BLOCK = 512
_TAR_END = bytes(2 * _TAR_BLOCK)


def pack(folder: Path, manifest: Manifest, out: BinaryIO) -> None:
    """Write the archive of the files that the manifest names, from below `folder`. `out` stays open.

    Raises BadArchive if a file has another size than the manifest says. Contents are not compared: verify with unpack.
    """
    import zstandard

    described = manifest.to_json()
    if len(described) > MAX_MANIFEST:
        raise BadArchive(f"the manifest would have {len(described)} bytes")
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    # Not as a context manager: that would end the frame of an archive that is not whole.
    tar = compressor.stream_writer(out, closefd=False)
    tar.write(_header(MANIFEST, len(described)) + described + _padding(len(described)))
    for entry in manifest.files:
        tar.write(_header(entry.path, entry.size))
        left = entry.size
        with open_regular(folder / entry.path) as file:
            while piece := file.read(PIECE):
                left -= len(piece)
                if left < 0:
                    break
                tar.write(piece)
        if left:
            raise BadArchive(f"changed while it was packed: {entry.path!a:.200}")
        tar.write(_padding(entry.size))
    tar.write(_TAR_END)
    tar.flush(zstandard.FLUSH_FRAME)


def unpack(source: BinaryIO, into: Path | None, *, max_bytes: int = 4 * 1024**3, max_files: int = 200_000) -> Manifest:
    """Verify all of an archive and, unless `into` is None, write its files there.

    `into` must not exist or be empty; its parent must exist. After any exception it is gone. Files are readable by us
    only, and on the disk when this returns; their folder's own entry is for the caller to make durable, as it will be
    renamed. Raises BadArchive for what must not be used, and what the disk or the source raise.
    """
    if into is None:
        return _read(source, None, max_bytes, max_files)
    with _folder_for(into):
        manifest = _read(source, into, max_bytes, max_files)
        _make_durable(into, manifest)
    return manifest


def _read(source: BinaryIO, into: Path | None, max_bytes: int, max_files: int) -> Manifest:
    tar = _Decompressed(source)
    manifest = _read_manifest(tar)
    if len(manifest.files) > max_files:
        raise BadArchive(f"the archive has {len(manifest.files)} files, of {max_files} allowed")
    if (announced := manifest.content_bytes) > max_bytes:
        raise BadArchive(f"the archive has {announced} bytes, of {max_bytes} allowed")
    currents: dict[str, bytes] = {}
    for entry in manifest.files:
        _expect_header(tar, entry.path, entry.size)
        with _created(into / entry.path if into else None) as file:
            beginning = _read_file(tar, entry, file)
        if entry.path.endswith("/CURRENT"):
            currents[entry.path] = beginning
        _expect(tar, _padding(entry.size), f"no zeros after {entry.path!a:.200}")
    _expect(tar, _TAR_END, "a member that the manifest does not name")
    tar.finish()
    refuse_stores(problems_of_stores({entry.path: entry.size for entry in manifest.files}, currents.__getitem__))
    return manifest


def _read_manifest(tar: "_Decompressed") -> Manifest:
    header = tar.exactly(_TAR_BLOCK)
    try:
        size = int(header[124:135], 8)
    except ValueError:
        size = 0
    if not 0 < size < 8**11 or header != _header(MANIFEST, size):
        raise BadArchive(f"the archive does not begin with {MANIFEST}, but with {_shown(header, MANIFEST)}")
    if size > MAX_MANIFEST:
        raise BadArchive(f"the manifest has {size} bytes, of {MAX_MANIFEST} allowed")
    manifest = Manifest.parse(tar.exactly(size))
    _expect(tar, _padding(size), "no zeros after the manifest")
    return manifest


def _read_file(tar: "_Decompressed", entry: FileEntry, file: BinaryIO | None) -> bytes:
    digest = hashlib.sha256()
    beginning = b""
    for piece in tar.pieces(entry.size):
        digest.update(piece)
        if file is not None:
            file.write(piece)
        if len(beginning) < CURRENT_BYTES:
            beginning += piece[: CURRENT_BYTES - len(beginning)]
    if digest.hexdigest() != entry.sha256:
        raise BadArchive(f"another content than the manifest says: {entry.path!a:.200}")
    return beginning


def _expect_header(tar: "_Decompressed", path: str, size: int) -> None:
    expected = _header(path, size)
    for at in range(0, len(expected), _TAR_BLOCK):
        found = tar.exactly(_TAR_BLOCK)
        if found != expected[at : at + _TAR_BLOCK]:
            raise BadArchive(f"where {path!a:.200} of {size} bytes should be, the archive has {_shown(found, path)}")


def _expect(tar: "_Decompressed", expected: bytes, otherwise: str) -> None:
    if tar.exactly(len(expected)) != expected:
        raise BadArchive(f"the archive has {otherwise}")


class _Decompressed:
    """One zstandard frame, block by block, so that a piece is never larger than a block and the end is exact: the
    library's own stream takes a truncated frame for a complete one, and its objects decompress without a limit."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = Pieces(source)
        self._held = memoryview(b"")
        self._complete = False
        self._frame = self._open_frame()

    def pieces(self, size: int) -> Iterator[memoryview]:
        """So many bytes, in pieces of at most a block."""
        while size:
            while not self._held:
                if self._complete:
                    raise BadArchive("the archive ends before its last member")
                self._held = memoryview(self._next_block())
            piece = self._held[:size]
            self._held = self._held[len(piece) :]
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def finish(self) -> None:
        """Nothing may follow, neither in the frame nor after it."""
        while not self._held and not self._complete:
            self._held = memoryview(self._next_block())
        if self._held or self._source.peek(1):
            raise BadArchive("the archive is followed by other data")

    def _open_frame(self) -> "ZstdDecompressionObj":
        import zstandard

        start = self._source.take(5)
        if not start:
            raise BadArchive("the archive is empty")
        if start[:4] != zstandard.FRAME_HEADER:
            raise BadArchive("not an archive of a session: it is not compressed with zstandard")
        try:
            header = start + self._take(zstandard.frame_header_size(start) - len(start))
            frame = zstandard.get_frame_parameters(header)
        except zstandard.ZstdError as error:
            raise BadArchive(f"the archive is damaged: {error}") from None
        if not frame.has_checksum or frame.dict_id or frame.window_size > _MAX_WINDOW:
            raise BadArchive("not an archive of a session: compressed in another way")
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._decompressor = decompressor.decompressobj()
        self._decompress(header)
        return self._decompressor

    def _next_block(self) -> bytes:
        header = self._take(3)
        bits = int.from_bytes(header, "little")
        last, kind, size = bits & 1, bits >> 1 & 3, bits >> 3
        if size > _MAX_BLOCK:
            raise BadArchive("the archive is damaged: a block is too large")
        block = header + self._take(1 if kind == 1 else size)  # one byte, repeated
        if last:
            block += self._take(4)  # the checksum
            self._complete = True
        data = self._decompress(block)
        if self._decompressor.eof != self._complete:
            raise BadArchive("the archive is damaged: its frame does not end where its blocks do")
        return data

    def _decompress(self, data: bytes) -> bytes:
        import zstandard

        try:
            return self._decompressor.decompress(data)
        except zstandard.ZstdError as error:
            raise BadArchive(f"the archive is damaged: {error}") from None

    def _take(self, size: int) -> bytes:
        taken = self._source.take(size)
        if len(taken) < size:
            raise BadArchive("the archive is truncated")
        return taken


def _header(path: str, size: int) -> bytes:
    """A file's, in ustar; a name that does not fit there comes before, as pax has it. Ours for good: archives are read
    by later versions, so it must not change with a library's habits."""
    if path.isascii() and len(path) <= 100:
        return _ustar(path.encode(), size, b"0")
    record = b" path=" + path.encode() + b"\n"
    length = len(record) + len(str(len(record)))
    length = len(record) + len(str(length))  # which counts its own digits
    record = str(length).encode() + record
    pax = _ustar(b"././@PaxHeader", len(record), b"x") + record + _padding(len(record))
    return pax + _ustar(path.encode("ascii", "replace")[-100:], size, b"0")


def _ustar(name: bytes, size: int, kind: bytes) -> bytes:
    start = name.ljust(100, b"\0") + b"0000600\0" + 2 * b"0000000\0" + b"%011o\0" % size + b"00000000000\0"
    end = kind + bytes(100) + b"ustar\x0000" + bytes(64) + 2 * b"0000000\0" + bytes(167)
    return start + b"%06o\0 " % (sum(start) + sum(end) + 8 * ord(" ")) + end


def _padding(size: int) -> bytes:
    return bytes(-size % _TAR_BLOCK)


_KINDS = {
    b"0": "file",
    b"\0": "file",
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": "folder",
    b"6": "pipe",
    b"S": "sparse file",
    b"x": "pax header",
}


def _shown(header: bytes, wanted: str) -> str:
    """A header that is not the wanted one, for people."""
    if not any(header):
        return "no member"
    if header[257:262] != b"ustar":
        return "no header of a tar"
    name = header[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    kind = _KINDS.get(header[156:157], "special file")
    if name == wanted and kind == "file":
        return "it with another size, mode, owner or time"
    return f"the {kind} {name!a}"


@contextlib.contextmanager
def _folder_for(into: Path) -> Iterator[None]:
    try:
        into.mkdir(mode=0o700)
    except FileExistsError:
        if into.is_symlink() or not into.is_dir() or any(into.iterdir()):
            raise
        into.chmod(0o700)
    try:
        yield
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)  # what went wrong first is what matters
        raise


@contextlib.contextmanager
def _created(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        _make_folders(path.parent)
        descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file


def _make_folders(folder: Path) -> None:
    # Not mkdir(parents=True), which gives the parents the umask's mode.
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700)


def _make_durable(into: Path, manifest: Manifest) -> None:
    # One by one, when all are written: 0.25 ms a file. Neither os.sync nor syncfs, which wait for everybody else's
    # writes on the same disk too.
    for entry in manifest.files:
        sync(into / entry.path)
    for folder, _, _ in os.walk(into):
        sync(Path(folder))
