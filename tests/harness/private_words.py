"""What must stand nowhere, and where it is looked for: logs, the command lines of a service's processes."""

import json
import re
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import psutil

BETWEEN_DIGITS = r"[\s().\[\]\u00a0\u2010-]{0,3}"  # as people write numbers


class PrivateWords:
    """Numbers are found in whichever way they are written, other words as they are and as JSON writes them."""

    def __init__(self) -> None:
        self._words: dict[str, re.Pattern[str]] = {}

    def numbers(self, *numbers: str) -> None:
        for number in numbers:
            digits = re.sub(r"\D", "", number)
            assert len(digits) > 6, number
            self._words[number] = re.compile(rf"(?<![1-9]){BETWEEN_DIGITS.join(digits)}(?!\d)")

    def words(self, *words: str) -> None:
        for word in words:
            assert len(word) > 5, word
            ways = {word, json.dumps(word)[1:-1], word.encode().hex()}
            self._words[word] = re.compile("|".join(re.escape(way) for way in sorted(ways)))

    def found_in(self, text: str) -> dict[str, str]:
        """Each that is in there, with what stands around it."""
        found = {word: pattern.search(text) for word, pattern in self._words.items()}
        return {word: text[max(0, hit.start() - 150) : hit.end() + 50] for word, hit in found.items() if hit}

    def planted(self, text: str) -> str:
        """The text with each of them in it."""
        return text + "".join(f'\n{{"event": "planted", "value": {json.dumps(word)}}}' for word in self._words)

    @property
    def all(self) -> set[str]:
        return set(self._words)


class CommandLines:
    """A context manager: the command lines of every process below one, looked at again and again meanwhile."""

    def __init__(self, pid: int) -> None:
        self.seen: set[str] = set()
        self.looks = 0
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            with_children: Iterable[psutil.Process] = ()
            try:
                root = psutil.Process(self._pid)
                with_children = [root, *root.children(recursive=True)]
            except psutil.Error:
                return
            for process in with_children:
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue
            self.looks += 1

    def until(self, part: str, within_s: float = 60) -> None:
        """Wait until one was seen that has this in it."""
        deadline = time.monotonic() + within_s
        while not any(part in line for line in set(self.seen)):
            assert time.monotonic() < deadline, f"no process with {part}: {self.seen}"
            time.sleep(0.05)
