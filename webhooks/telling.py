"""What a person is told: the alerts of webhooks, and their words."""

from datetime import UTC, datetime

from whatsapp_contract.events import AlertData

from .hook import Hook


def unreachable(hook: Hook, error: str, since: float) -> AlertData:
    """For ten minutes nothing got through."""
    at = datetime.fromtimestamp(since, UTC)
    return AlertData(
        code="webhook_unreachable",
        message=(
            f"The webhook {hook.host} ({hook.id}) has taken no event since {at:%Y-%m-%d %H:%M} UTC: {error}. Its "
            "events wait, up to EVENTS_MAXLEN, and it is tried again. `whatsapp-container doctor` looks at it."
        ),
    )


def dead_letters(hook: Hook, reason: str) -> AlertData:
    """The first one of a series."""
    return AlertData(
        code="webhook_dead_letters",
        message=(
            f"The webhook {hook.host} ({hook.id}) refuses events, the first one of which it {reason}. They are kept "
            "as dead letters: `whatsapp-container webhooks dead` shows them, `webhooks replay` has them tried again."
        ),
    )


def letters_lost(hook: Hook, at_most: int) -> AlertData:
    """The first one of a series that had to make room."""
    return AlertData(
        code="webhook_letters_lost",
        message=(
            f"The webhook {hook.host} ({hook.id}) has more than {at_most} dead letters, and the oldest go. Mend what "
            "refuses them, then `whatsapp-container webhooks replay --all`."
        ),
    )
