"""How keeping a session can fail. None of it is ever answered by a new QR code over a session that may exist."""


class SessionError(Exception):
    """Base of everything below. `code` names the condition in alerts and in the status."""

    code = "session_error"


class StoreUnavailable(SessionError):
    """The store did not answer, or not in a way that can be used: wait, and try again."""

    code = "store_unavailable"


class StoreRefused(StoreUnavailable):
    """The store answers, but not to us: credentials, rights or the bucket are wrong. A person must act."""

    code = "store_refused"


class ObjectRefused(StoreRefused):
    """The store takes anything but this: it is too large for it."""

    code = "object_refused"


class Conflict(SessionError):
    """A conditional write was refused: somebody else has written meanwhile."""

    code = "store_conflict"


class NotInStore(SessionError):
    """There is no object of this key."""

    code = "not_in_store"


class Outrun(SessionError):
    """The store is claimed by a newer epoch: this agent may not save any more."""

    code = "outrun"


class BadArchive(SessionError):
    """An archive that must not be used, with what is wrong with it: truncated, changed, foreign, or a trap."""

    code = "bad_archive"


class NewerFormat(BadArchive):
    """A later version of this service has written it, in a form that this one does not know."""

    code = "newer_format"


class WrongKey(SessionError):
    """The archive is encrypted with a key that SESSION_ENCRYPTION_KEY does not have."""

    code = "wrong_key"


class NewerBrowser(SessionError):
    """The archive was made by a newer browser, whose stores this one may not be able to read."""

    code = "newer_browser"


class DiskTrouble(SessionError):
    """This machine's disk is full, or cannot be written."""

    code = "disk_trouble"
