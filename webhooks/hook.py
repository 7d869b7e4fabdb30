"""What is known of one webhook from the settings."""

from dataclasses import dataclass, field

from whatsapp_contract import webhook_settings
from whatsapp_contract.settings import Settings
from whatsapp_contract.webhooks import group_of


@dataclass(frozen=True)
class Hook:
    """One address. It is a secret: in logs it is its `host`, in Redis its `id`."""

    url: str = field(repr=False)
    events: frozenset[str]
    private_hosts: frozenset[str]
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def id(self) -> str:
        return webhook_settings.hook_id(self.url)

    @property
    def host(self) -> str:
        return webhook_settings.shown(self.url)

    @property
    def group(self) -> str:
        return group_of(self.id)


def hooks(settings: Settings) -> list[Hook]:
    """All that WEBHOOK_URL names."""
    keys = tuple(filter(None, map(webhook_settings.secret_bytes, settings.webhook_secrets)))
    return [
        Hook(
            url,
            frozenset(settings.webhook_events),
            frozenset(host.lower() for host in settings.webhook_private_hosts),
            keys,
        )
        for url in settings.webhook_urls
    ]
