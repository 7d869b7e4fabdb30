"""From S3: only media, of the media bucket and of the sessions' own."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import SplitResult, unquote

from whatsapp_contract.errors import NotFound, Refused, StoreUnavailable
from whatsapp_contract.settings import Settings

from .content import Fetched, copy, described
from .rules import Rules

CONNECT_WITHIN_S = 5.0
ANSWER_WITHIN_S = 15.0


@dataclass(frozen=True)
class S3:
    """boto3's client, and what it raises."""

    client: "object"
    refused: type[Exception]
    away: type[Exception]


def check(parts: SplitResult, rules: Rules) -> None:
    """Raises Refused."""
    _place(parts, rules)


def fetch(parts: SplitResult, out: BinaryIO, rules: Rules, deadline: float, open_s3: Callable[[], S3]) -> Fetched:
    bucket, key = _place(parts, rules)
    s3 = open_s3()
    try:
        answer = s3.client.get_object(Bucket=bucket, Key=key)  # type: ignore[attr-defined]  # boto3 makes it
        with contextlib.closing(answer["Body"]) as body:
            size, head = copy(body.read, out, rules.max_bytes, answer["ContentLength"], deadline)
    except s3.refused as error:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "404"):
            raise NotFound("there is no such object") from None
        if code in ("AccessDenied", "403", "NoSuchBucket"):
            raise Refused(f"S3 answers {code}") from None
        raise StoreUnavailable(f"S3 answers {code or 'oddly'}") from None
    except s3.away as error:
        raise StoreUnavailable(f"S3 does not answer: {type(error).__name__}") from None
    except ValueError:  # also urllib3's LocationError
        raise Refused("S3 cannot be asked for this") from None
    return described(size, head, answer.get("ContentType"), key.rsplit("/", 1)[-1])


def _place(parts: SplitResult, rules: Rules) -> tuple[str, str]:
    bucket, key = parts.netloc, unquote(parts.path.removeprefix("/"))
    prefix = rules.buckets.get(bucket)
    # Some servers resolve `..`; none of our own keys has such a part.
    is_plain = key and not any(part in ("", ".", "..") for part in key.split("/")) and "\\" not in key
    if prefix is None or not is_plain or not key.startswith(prefix):
        raise Refused("of S3 only the media bucket may be sent from, and of the sessions' bucket only what is media")
    return bucket, key


def from_environment() -> S3:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    settings = Settings.from_env(os.environ)
    access_key, secret_key = settings.bucket_access_key, settings.bucket_secret_key
    client = boto3.session.Session().client(
        "s3",
        region_name=settings.aws_region,
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=access_key.get_secret_value() if access_key else None,
        aws_secret_access_key=secret_key.get_secret_value() if secret_key else None,
        config=Config(
            connect_timeout=CONNECT_WITHIN_S,
            read_timeout=ANSWER_WITHIN_S,
            retries={"max_attempts": 2, "mode": "standard"},
        ),
    )
    return S3(client, ClientError, BotoCoreError)
