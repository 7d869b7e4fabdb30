"""All that the agent says of itself, put together for the status hash."""

import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from whatsapp_contract.status import Status

if TYPE_CHECKING:
    from .agent import BrowserAgent


def status_of(agent: "BrowserAgent") -> Status:
    """As it is now."""
    facts = agent.facts()
    assessment = agent.assess(facts)
    page, chromium, newest = agent.keeper.page, agent.keeper.chromium, agent.session.newest
    saved = agent.session.last_saved
    return Status(
        **facts.model_dump(exclude={"observed_at"}),
        session_id=agent.settings.session_id,
        instance=agent.settings.instance_id,
        pid=os.getpid(),
        epoch=agent.epoch,
        started_at=agent.started_at,
        heartbeat_at=facts.observed_at,
        verdict=assessment.verdict,
        verdict_reason=assessment.reason,
        operation=agent.operation,
        browser_pid=chromium.pid if chromium else None,
        memory_limit_bytes=agent.memory.limit_bytes,
        session_store=agent.session.store,
        session_generation=newest.id if newest else None,
        session_saved_at=newest.created_at if newest else None,
        session_verified_at=newest.verified_at if newest else None,
        session_bytes=newest.stored_bytes if newest else None,
        session_save_took_ms=saved.took_ms if saved else None,
        session_stood_still_ms=saved.stood_still_ms if saved else None,
        session_problem=agent.session.problem,
        refused_commands=agent.refused_commands,
        dropped_events=agent.event_log.dropped,
        service_version=version("whatsapp-container"),
        browser_version=chromium.version if chromium else None,
        wa_js_version=page.snapshot.wa_js if page else None,
        whatsapp_web_version=page.snapshot.version if page else None,
    )
