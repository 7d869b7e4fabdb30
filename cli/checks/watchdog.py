"""The watchdog: whether somebody looks at the agent. supervisord calls a worker that is frozen a running one."""

from whatsapp_contract.client import AgentClient
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings

from .finding import Finding, bad, ok, warn

WITHIN_S = 15.0
# Three of the longest pauses that HEALTH_CHECK_CRON may have.
LATE_AFTER_S = 90.0

_NAME = "watchdog"
_RESTART = "supervisorctl restart worker scheduler; if it comes again, read the service's log"


def look(settings: Settings, *, runs: bool) -> list[Finding]:
    """By what it remembers of its last look; nothing to say where no service runs here."""
    from workers.clock import machine_time
    from workers.holder import Holder
    from workers.remembering import LadderMemory

    if not runs:
        return []
    try:
        with connect(settings.redis_url.get_secret_value()) as redis:
            if Holder(AgentClient(redis, settings.session_id), settings.instance_names).is_another():
                return [ok(_NAME, "another container holds the session, whose watchdog looks at it")]
            memory = LadderMemory(redis, settings.names, settings.instance_names).read()
    except Exception as error:
        if not is_outage(error):
            raise
        return [warn(_NAME, "not known: Redis cannot be asked", "see `redis`")]
    return [judge(memory.watched_at, machine_time())]


def judge(watched_at: float | None, now: float) -> Finding:
    """Both in seconds of the machine's own clock."""
    if watched_at is None:
        return warn(_NAME, "it has not looked at the agent yet", f"wait half a minute, then look again; {_RESTART}")
    found = f"it looked at the agent {max(0.0, now - watched_at):.0f} s ago"
    return ok(_NAME, found) if now - watched_at < LATE_AFTER_S else bad(_NAME, found, _RESTART)
