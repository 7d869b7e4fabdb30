"""Exact pieces of a stream whose own reads may come short, as those of a network do."""

from typing import BinaryIO

PIECE = 256 * 1024


class Pieces:
    """Reads ahead of what was taken: nothing else may read the source after this. The source's errors come through."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._held = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """So many bytes; fewer at the end of the source only."""
        self._fill(size)
        taken = self._held[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def peek(self, size: int) -> bytes:
        """As take, and they are still there."""
        self._fill(size)
        return self._held[self._at : self._at + size]

    def _fill(self, size: int) -> None:
        while len(self._held) - self._at < size:
            piece = self._source.read(PIECE)
            if not piece:
                break
            self._held = self._held[self._at :] + piece
            self._at = 0
