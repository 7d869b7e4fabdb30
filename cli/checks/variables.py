"""The settings, and the key that sessions are encrypted with."""

from collections.abc import Mapping, Sequence

from whatsapp_contract.settings import Settings, misspelled

from .finding import Finding, bad, ok, warn


def variables(problems: Sequence[str], environ: Mapping[str, str]) -> list[Finding]:
    """One line for each variable that cannot be used, or that is ours but for its spelling."""
    found = [
        bad("settings", problem, "correct this variable; the service does not start with it") for problem in problems
    ]
    for given, meant in misspelled(environ).items():
        found.append(warn("settings", f"{given} is no variable of this service", f"is {meant} meant?"))
    return found or [ok("settings", "every variable can be used")]


def encryption(settings: Settings) -> list[Finding]:
    """A key that is malformed is among the variables' problems."""
    from browser_agent.session.encryption import Keyring

    given = settings.session_encryption_key
    keyring = Keyring.parse(given.get_secret_value() if given else None)
    if not keyring:
        return [ok("encryption", "SESSION_ENCRYPTION_KEY is not set: sessions are stored as they are")]
    older = len(keyring.key_ids) - 1
    also = f", {older} older can decrypt" if older else ""
    return [ok("encryption", f"sessions are encrypted with the key named {keyring.encrypts_with}{also}")]
