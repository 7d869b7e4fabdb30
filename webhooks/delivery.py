"""Delivering to one webhook: a reader, some that post, and a scribe, who meet in the lanes.

reader: stream -> lanes;  posters: lanes -> HTTP -> what follows (outcome.py);  scribe: acknowledges, counts, buries.
An event is acknowledged when it was taken or given up: what was under way when this process ended comes again.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from whatsapp_contract.logs import get_logger
from whatsapp_contract.names import SessionNames
from whatsapp_contract.webhooks import DeadLetter, letter_id

from .hook import Hook
from .lanes import Job, Lanes
from .lease import Lease
from .outcome import DEAD_IN_A_ROW, Outcome, Step, Verdict, answered, next_step, unanswered, wait_s
from .posting import NoAnswer, Poster
from .reader import Reader
from .scribe import Buried, Failed, Passed, Scribe, Taken
from .signing import headers

if TYPE_CHECKING:
    import redis

log = get_logger(__name__)

POSTERS = 8  # connections to one receiver, at most: one is used where events come one by one


class Delivery:
    """Of one webhook."""

    def __init__(
        self,
        redis: "redis.Redis",
        names: SessionNames,
        hook: Hook,
        instance: str,
        service_started_at: float | None = None,
    ) -> None:
        self._names, self._hook = names, hook
        self._lanes = Lanes()
        self._scribe = Scribe(redis, names, hook, self._lanes)
        self._lease = Lease(redis, names, hook, instance, self._taken_over)
        self._reader = Reader(
            redis,
            names,
            hook,
            self._lease,
            self._lanes,
            lambda ids: self._scribe.note(Passed(ids)),
            service_started_at,
        )
        self._deciding = threading.Lock()
        self._taken, self._dead_in_a_row, self._last_dead_at = 0, 0, time.monotonic()
        self._odd: set[str] = set()
        self._user_agent = f"whatsapp-container/{version('whatsapp-container')}"

    def threads(self) -> list[Callable[[], None]]:
        """Each is to run in a thread of its own; none returns."""
        return [self._lease.run, self._scribe.run, self._read, *(self._post for _ in range(POSTERS))]

    def end(self, within_s: float) -> None:
        """Post nothing any more, and have written down what got through: it need not come again."""
        self._lanes.end()
        self._scribe.wait_written(within_s)

    def _taken_over(self) -> None:
        self._lanes.drop()
        self._reader.start_over()

    def _read(self) -> None:
        self._dead_in_a_row = self._scribe.dead_in_a_row()
        self._reader.run()

    def _post(self) -> None:
        poster = Poster(self._hook.url, self._hook.private_hosts)
        while True:
            job = self._lanes.take()
            if job.is_gone:
                self._lanes.done(job)
                self._lanes.forget([job.key])
            elif self._lease.is_held():
                self._act(job, self._try(poster, job))
            else:
                self._lanes.later(job, 0.1)
                self._lease.wait()

    def _try(self, poster: Poster, job: Job) -> Outcome:
        job.attempts += 1
        told = headers(f"{self._names.session_id}_{job.entry}", int(time.time()), job.body, self._hook.secrets)
        told |= {"Content-Type": "application/json", "User-Agent": self._user_agent}
        try:
            answer = poster.post(job.body, told)
        except NoAnswer as error:
            return unanswered(str(error))
        except Exception as error:  # a bug, or an answer that nobody thought of: the other events must not pay for it
            return self._unforeseen(error)
        return answered(answer.status, answer.retry_after_s)

    def _unforeseen(self, error: Exception) -> Outcome:
        kind = type(error).__name__
        if kind not in self._odd:
            self._odd.add(kind)
            log.error("a post fails in a way that was not foreseen", webhook=self._hook.host, exc_info=True)
        return unanswered(f"it cannot be posted ({kind})")

    def _act(self, job: Job, outcome: Outcome) -> None:
        step = self._decide(job, outcome)
        if self._shows_that_it_works(job, outcome, step):
            self._lanes.go_on(job)
        if step is not Step.DONE:
            self._scribe.note(Failed(outcome.error, holds=step is Step.HOLD_ALL))
        match step:
            case Step.DONE:
                self._lanes.done(job)
                self._scribe.note(Taken(job.key, job.letter))
            case Step.HOLD_ALL:
                self._lanes.hold_all(job, outcome.retry_after_s)
            case Step.TRY_AGAIN:
                self._lanes.later(job, wait_s(job.history.refusals + job.history.lonely, outcome.retry_after_s))
            case Step.BURY:
                self._lanes.done(job)
                self._scribe.note(self._buried(job, outcome))

    def _shows_that_it_works(self, job: Job, outcome: Outcome, step: Step) -> bool:
        if outcome.verdict in (Verdict.AWAY, Verdict.BUSY) or step is Step.HOLD_ALL:
            return False
        # That a letter is refused once more says nothing: it was before.
        return step is Step.DONE or job.letter is None or self._dead_in_a_row < DEAD_IN_A_ROW

    def _decide(self, job: Job, outcome: Outcome) -> Step:
        with self._deciding:
            now = time.monotonic()
            since_last_dead_s = now - self._last_dead_at
            dead_in_a_row = 0 if job.letter else self._dead_in_a_row
            step = next_step(outcome.verdict, job.history, self._taken, dead_in_a_row, since_last_dead_s)
            if step is Step.DONE:
                self._taken, self._dead_in_a_row = self._taken + 1, 0
            elif step is Step.BURY and not job.letter:
                self._dead_in_a_row, self._last_dead_at = self._dead_in_a_row + 1, now
        return step

    def _buried(self, job: Job, outcome: Outcome) -> Buried:
        letter = DeadLetter(
            id=job.letter or letter_id(self._hook.id, job.entry),
            hook=self._hook.id,
            host=self._hook.host,
            body=job.body.decode(),
            reason=outcome.error,
            attempts=job.attempts,
            died_at=datetime.now(UTC),
        )
        return Buried(job.key, letter, "" if job.letter else job.entry)
