"""The headers of one try, by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def headers(message_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """`timestamp` is this try's, in unix seconds. Signed with every secret, so that one can be changed for another
    while the receiver knows only one of them; without secrets nothing is signed."""
    told = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secrets:
        signed = f"{message_id}.{timestamp}.".encode() + body
        told["webhook-signature"] = " ".join(_signature(secret, signed) for secret in secrets)
    return told


def _signature(secret: bytes, signed: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
