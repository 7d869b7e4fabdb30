"""Checks side by side, each with a deadline of its own: one that hangs holds up nobody, the process's end included."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .finding import Finding, bad, warn


@dataclass(frozen=True)
class Check:
    """`look` may block, and is abandoned after `within_s`. Without the variables it `needs` it is left out."""

    name: str
    look: Callable[[], list[Finding]]
    within_s: float
    late_advice: str
    needs: frozenset[str] = frozenset()


def carry_out(checks: Sequence[Check], unusable: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Findings in the order of the checks, each as soon as it and those before it are there."""
    running = [_Running(check) if not check.needs & unusable else check for check in checks]
    for each in running:
        if isinstance(each, _Running):
            yield from each.findings()
        else:
            missing = ", ".join(sorted(each.needs & unusable))
            yield warn(each.name, f"not looked at: {missing} cannot be used", "mend the settings first, see above")


class _Running:
    def __init__(self, check: Check) -> None:
        self._check = check
        self._deadline = time.monotonic() + check.within_s
        self._result: queue.SimpleQueue[list[Finding]] = queue.SimpleQueue()
        # A daemon: it may be stuck in the kernel, on a disk that does not answer, and must not keep us from ending.
        threading.Thread(target=self._look, name=f"check {check.name}", daemon=True).start()

    def findings(self) -> list[Finding]:
        try:
            return self._result.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except queue.Empty:
            found = f"no answer within {self._check.within_s:g} s"
            return [bad(self._check.name, found, self._check.late_advice)]

    def _look(self) -> None:
        try:
            self._result.put(self._check.look())
        except Exception as error:  # a mistake in one check must not take the others' findings away
            found = f"the check itself failed: {type(error).__name__}: {error}"
            self._result.put([bad(self._check.name, found, "this is a mistake in the program: report it")])
