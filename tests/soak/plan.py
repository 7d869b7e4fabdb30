"""What happens in a soak, drawn from a seed: messages, photos, sends, and faults, each at its time."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY

GROUPS = (FAMILY.id, "120363000000000002@g.us", "120363000000000003@g.us")
PEOPLE = (ANNA.phone, BRUNO.phone)
FAULTS = (
    "kill_agent",
    "freeze_agent_and_kill",
    "kill_browser",
    "reload_page",
    "drop_link",
    "half_open_link",
    "restart_redis",
    "kill_worker",
    "refuse_store",
)


@dataclass(frozen=True)
class Size:
    """How much of it there is."""

    seconds: float
    messages: int
    photos: int
    sends: int
    faults: int


SHORT = Size(seconds=20, messages=200, photos=30, sends=16, faults=6)
LONG = Size(seconds=600, messages=2000, photos=300, sends=120, faults=60)


@dataclass(frozen=True)
class Step:
    """`at_s` from the beginning on."""

    at_s: float
    what: str
    count: int = 1


@dataclass
class Plan:
    """The steps in their order; the same for the same seed and size."""

    seed: int
    size: Size
    steps: list[Step] = field(init=False)
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        steps = [*self._spread("text", self.size.messages - self.size.photos, most=40)]
        steps += self._spread("photo", self.size.photos, most=12)
        steps += self._spread("send", self.size.sends, most=3)
        # Every fault once before any comes again, so that a short soak has as many kinds as it can.
        kinds: list[str] = []
        while len(kinds) < self.size.faults:
            kinds += self.random.sample(FAULTS, len(FAULTS))
        every_s = self.size.seconds / self.size.faults
        for number, kind in enumerate(kinds[: self.size.faults]):
            steps.append(Step((number + self.random.uniform(0.1, 0.9)) * every_s, kind))
        self.steps = sorted(steps, key=lambda step: step.at_s)

    def photo(self) -> bytes:
        """Bytes of a photo; every sixth or so was seen before."""
        seed = self.random.randrange(6) if self.random.random() < 0.15 else self.random.getrandbits(32)
        return random.Random(seed).randbytes(random.Random(seed).randrange(2_000, 300_000))

    def _spread(self, what: str, count: int, most: int) -> list[Step]:
        """Mostly one by one, sometimes a burst."""
        steps = []
        while count > 0:
            burst = min(count, self.random.randint(2, most) if self.random.random() < 0.2 else 1)
            steps.append(Step(self.random.uniform(0, self.size.seconds), what, burst))
            count -= burst
        return steps
