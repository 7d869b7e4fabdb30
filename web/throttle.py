"""How often somebody may ask, and how often guess."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST_ADDRESSES = 10_000

FREE_GUESSES = 10
FIRST_LOCK_S = 1.0
LONGEST_LOCK_S = 60.0
FORGOTTEN_AFTER_S = 600.0
TRUSTED_FOR_S = 3600.0


def who(address: str | None) -> str:
    """By what a caller is counted: its address; of IPv6 the network, since each machine has as many as it likes."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if ip.version == 4 or ip.ipv4_mapped is not None:
        return str(getattr(ip, "ipv4_mapped", None) or ip)
    return str(ipaddress.ip_network((int(ip), 64), strict=False))


@dataclass
class _Guesser:
    failures: int = 0
    failed_at: float = 0.0
    locked_until: float = 0.0
    right_at: float = float("-inf")


@dataclass
class Guesses:
    """Wrong tokens, by address. After FREE_GUESSES each further one locks the address out for twice as long as the one
    before, so that a token cannot be guessed. Where the right token came from within the last hour, it keeps opening:
    behind a proxy one address is everybody's, and a stranger must not lock the owner out."""

    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, _Guesser] = field(default_factory=OrderedDict)

    def locked_for_s(self, address: str) -> float:
        """For how long nothing more is looked at; 0 where it is."""
        guesser, now = self._known.get(address), self.clock()
        if guesser is None or now - guesser.right_at < TRUSTED_FOR_S:
            return 0.0
        return max(0.0, guesser.locked_until - now)

    def note_right(self, address: str) -> None:
        self._of(address).right_at = self.clock()

    def note_wrong(self, address: str) -> float:
        """For how long the address is locked out now."""
        guesser, now = self._of(address), self.clock()
        if now - guesser.failed_at > FORGOTTEN_AFTER_S:
            guesser.failures = 0
        guesser.failures, guesser.failed_at = guesser.failures + 1, now
        excess = guesser.failures - FREE_GUESSES
        lock_s = 0.0 if excess <= 0 else min(FIRST_LOCK_S * 2 ** min(excess - 1, 20), LONGEST_LOCK_S)
        guesser.locked_until = now + lock_s
        return lock_s

    def _of(self, address: str) -> _Guesser:
        guesser = self._known.pop(address, None) or _Guesser()
        self._known[address] = guesser
        while len(self._known) > _MOST_ADDRESSES:
            self._known.popitem(last=False)
        return guesser


@dataclass
class RateLimit:
    """A bucket for each address: `burst` requests at once, `per_s` in the long run."""

    per_s: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # tokens left, as of when

    def wait_s(self, address: str) -> float:
        """Takes one and answers 0; else the time after which there is one."""
        now = self.clock()
        left, at = self._buckets.pop(address, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.per_s)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, now)
        while len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self.per_s
