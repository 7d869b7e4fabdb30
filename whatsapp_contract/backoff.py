"""How long to wait before the next try."""

import random


class Backoff:
    """Doubles from `first_s` to `most_s`, with a fifth of jitter so that many do not retry at once."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now; the next will be longer."""
        wait_s = self._next_s
        self._next_s = min(self._next_s * 2, self._most_s)
        return wait_s * random.uniform(0.8, 1.2)  # noqa: S311  # no secret

    def reset(self) -> None:
        """It worked: begin anew."""
        self._next_s = self._first_s
