"""Webhooks: whether their hosts may be spoken to from here, and how each stands."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from whatsapp_contract import public_addresses
from whatsapp_contract.reading import carry_out
from whatsapp_contract.redis_connection import connect, is_outage
from whatsapp_contract.settings import Settings
from whatsapp_contract.webhook_settings import hook_id, shown
from whatsapp_contract.webhooks import WebhookState, states

from .finding import Finding, bad, ok, warn

WITHIN_S = 20.0

_NAME = "webhooks"
_LETTERS = "whatsapp-container webhooks dead shows them, webhooks replay has them tried again"


def look(settings: Settings, *, runs: bool) -> list[Finding]:
    """Nothing is posted."""
    private_hosts = frozenset(host.lower() for host in settings.webhook_private_hosts)
    found = [finding for url in settings.webhook_urls if (finding := reach(url, private_hosts)) is not None]
    try:
        with connect(settings.redis_url.get_secret_value()) as redis:
            stand = carry_out(redis, states(settings.names))
    except Exception as error:
        if not is_outage(error):
            raise
        return found or [warn(_NAME, "how they stand is not known: Redis cannot be asked", "see `redis`")]
    named = {hook_id(url): shown(url) for url in settings.webhook_urls}
    found += judge(stand, named, datetime.now(UTC), runs=runs)
    return found or [ok(_NAME, "all work" if named else "WEBHOOK_URL is not set: none are posted to")]


def reach(url: str, private_hosts: frozenset[str]) -> Finding | None:
    """What keeps a webhook from being spoken to, as far as its name says."""
    parts = urlsplit(url)
    host, where = str(parts.hostname), shown(url)
    try:
        public_addresses.resolve(host, parts.port or (443 if parts.scheme == "https" else 80), private_hosts)
    except public_addresses.NotPublic:
        advice = f"where that is meant, name it: WEBHOOK_PRIVATE_HOSTS={host}"
        return bad(_NAME, f"{where} is not a public address, and nothing is posted there", advice)
    except (public_addresses.NoSuchHost, public_addresses.NoNameServer, UnicodeError):
        return bad(_NAME, f"the name of {where} is not known", "check WEBHOOK_URL, and this machine's DNS")
    return None


def judge(stand: Sequence[WebhookState], named: dict[str, str], now: datetime, *, runs: bool) -> list[Finding]:
    """By what is told of them; `named` is what WEBHOOK_URL names."""
    found = []
    for state in stand:
        if state.id not in named:
            if not state.is_served_at(now):
                advice = f"its place keeps the stream long; if it is not used any more: webhooks forget {state.id}"
                found.append(warn(_NAME, f"{state.host} ({state.id}) is not in WEBHOOK_URL any more", advice))
            continue
        if state.failing_since is not None:
            since = f"{state.failing_since:%Y-%m-%d %H:%M} UTC"
            advice = "its events wait, and are tried again; see that its receiver runs and can be reached from here"
            found.append(bad(_NAME, f"{state.host} has taken nothing since {since}: {state.error}", advice))
        if runs and not state.is_served_at(now):
            advice = "is the program `webhooks` running? The log says what keeps it"
            found.append(bad(_NAME, f"nobody delivers to {state.host}", advice))
        if state.dead:
            found.append(warn(_NAME, f"{state.host} has {state.dead} dead letters", _LETTERS))
    known = {state.id for state in stand}
    if runs:
        found += [
            warn(_NAME, f"nobody has delivered to {host} yet", "wait some seconds; else see the log")
            for hook, host in named.items()
            if hook not in known
        ]
    return found
