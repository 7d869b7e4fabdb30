"""The settings, and the key that sessions are encrypted with."""

from collections.abc import Mapping, Sequence

from whatsapp_contract.settings import Settings, misspelled

from .finding import Finding, bad, ok, warn


def variables(problems: Sequence[str], environ: Mapping[str, str], follow_chats: Sequence[str]) -> list[Finding]:
    """One line for each variable that cannot be used, or that is ours but for its spelling, and for each rule of
    FOLLOW_CHATS that is a word but for its spelling."""
    from browser_agent.follow_rules import nearly_words

    found = [
        bad("settings", problem, "correct this variable; the service does not start with it") for problem in problems
    ]
    for given, meant in misspelled(environ).items():
        found.append(warn("settings", f"{given} is no variable of this service", f"is {meant} meant?"))
    for rule, word in nearly_words(follow_chats).items():
        advice = f"is {word} meant? A chat that is really called so can be given by its id"
        found.append(warn("settings", f"FOLLOW_CHATS: {rule!r} is taken for a chat's name", advice))
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
