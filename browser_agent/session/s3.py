"""Sessions in S3, or in what speaks like it. GetObject, PutObject and DeleteObject are all the rights it needs."""

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from whatsapp_contract.logs import get_logger

from .errors import Conflict, NotInStore, ObjectRefused, StoreRefused, StoreUnavailable
from .keys import checked
from .store import Document

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.exceptions import ClientError
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_T = TypeVar("_T")

log = get_logger(__name__)

PROBE = "probe"
# The same bytes for all: two agents that probe at the same moment must not contradict each other.
PROBE_DATA = b"whatsapp-container may put, get and delete here\n"
PROBE_ATTEMPTS = 3
WRONG_ETAG = f'"{"0" * 32}"'
BUFFER = 1 << 18
_NONE: Mapping[str, str] = MappingProxyType({})

_CREDENTIALS = "check BUCKET_STATE_ACCESS_KEY and BUCKET_STATE_SECRET_KEY, or what boto3 finds without them"
_RIGHTS = "grant s3:GetObject, s3:PutObject and s3:DeleteObject on the bucket's objects"
_TOO_LARGE = "it takes no object of this size"
_REGION = "the bucket is in another region, or S3_ENDPOINT_URL is another server's: check AWS_REGION"
# What a person must do about an answer of S3's; all other answers may pass by themselves.
_ADVICE = {
    "NoSuchBucket": "there is no such bucket: create it, or check BUCKET_STATE_NAME",
    "InvalidBucketName": "no bucket can have this name: check BUCKET_STATE_NAME",
    "InvalidAccessKeyId": f"the access key is unknown: {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret key is not the access key's: {_CREDENTIALS}",
    "AuthFailure": _CREDENTIALS,
    "ExpiredToken": "the credentials have expired: renew them",
    "InvalidToken": f"the credentials are not valid: {_CREDENTIALS}",
    "TokenRefreshRequired": "the credentials have expired: renew them",
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": "the bucket is closed: ask who runs it",
    "AccountProblem": "the account is closed: ask who runs it",
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "EntityTooLarge": _TOO_LARGE,
    "MaxMessageLengthExceeded": _TOO_LARGE,
    "413": _TOO_LARGE,
    "InvalidObjectState": "the object was moved to an archive: restore it there",
}
# Exceptions of botocore's that come without an answer, and do not pass by themselves.
_MISCONFIGURED = {
    "NoCredentialsError": f"there are no credentials: {_CREDENTIALS}",
    "PartialCredentialsError": "BUCKET_STATE_ACCESS_KEY and BUCKET_STATE_SECRET_KEY must be given together",
    "CredentialRetrievalError": f"the credentials cannot be fetched: {_CREDENTIALS}",
    "TokenRetrievalError": f"the credentials cannot be fetched: {_CREDENTIALS}",
    "NoAuthTokenError": f"there are no credentials: {_CREDENTIALS}",
    "ProfileNotFound": "AWS_PROFILE names a profile that does not exist",
    "ConfigParseError": "boto3's configuration file cannot be read",
    "ConfigNotFound": "boto3's configuration file cannot be read",
    "ParamValidationError": "no bucket can have this name: check BUCKET_STATE_NAME",
    "InvalidRegionError": "there is no such region: check AWS_REGION",
    "EndpointResolutionError": "there is no such server: check AWS_REGION and S3_ENDPOINT_URL",
    "UnsupportedS3ArnError": "no bucket can have this name: check BUCKET_STATE_NAME",
    "ValueError": "this is not an address: check S3_ENDPOINT_URL",
}


class S3Store:
    """boto3 is imported and asked for credentials with the first request: what never makes one stays small."""

    def __init__(
        self,
        bucket: str,
        region: str,
        endpoint_url: str | None,
        access_key: str | None,
        secret_key: str | None,
        prefix: str = "",
        *,
        connect_timeout_s: float = 3.0,
        read_timeout_s: float = 15.0,
        attempts: int = 3,
        connections: int = 10,
    ) -> None:
        self._bucket = bucket
        self._region = region
        self._endpoint_url = endpoint_url
        self._access_key = access_key
        self._secret_key = secret_key
        self._prefix = f"{checked(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._attempts = attempts
        self._connections = connections
        self._encrypts = True
        self._told_unconditional = False
        self._proven = False
        self.location = f"s3://{bucket}/{self._prefix}".rstrip("/")

    def read(self, key: str) -> Document | None:
        try:
            version, stream = self._get(key)
        except NotInStore:
            return None
        with stream:
            return Document(stream.read(), version)

    def write(self, key: str, data: bytes, *, replacing: str | None) -> str:
        """After a request that was retried, Conflict may be our own success: whoever can tell must look."""
        condition = {"IfNoneMatch": "*"} if replacing is None else {"IfMatch": replacing}
        try:
            return self._put(key, data, condition)
        except _Answer as answer:
            if answer.is_conflict:
                raise Conflict(key) from answer
            if answer.status != 501:
                raise self._refusal(answer) from answer
        # Encryption was left out before, so it must be the condition that it does not know.
        if not self._told_unconditional:
            log.warning("the store has no conditional writes", store=self.location)
            self._told_unconditional = True
        return self._put_always(key, data)

    def upload(self, key: str, source: Path, content_type: str | None = None) -> None:
        with source.open("rb") as file:
            self._put_always(key, file, {"ContentType": content_type} if content_type else {})

    def address(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._name(key)}"

    def signed_url(self, name: str, expires_in_s: int) -> str:
        """A link to the object of this whole name, for whoever has it. Nothing is asked of S3: it may not be there."""
        return self._ask(
            lambda s3: s3.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": name}, ExpiresIn=expires_in_s
            )
        )

    @contextlib.contextmanager
    def download(self, key: str) -> Iterator[BinaryIO]:
        _, stream = self._get(key)
        with stream:
            yield stream

    def delete(self, key: str) -> None:
        name = self._name(key)
        try:
            self._ask(lambda s3: s3.delete_object(Bucket=self._bucket, Key=name))
        except _Answer as answer:
            if answer.code != "NoSuchKey":
                raise self._refusal(answer) from answer

    def fences(self) -> bool:
        self._prove()
        refused = all(self._refuses(wrong) for wrong in ({"IfMatch": WRONG_ETAG}, {"IfNoneMatch": "*"}))
        self.delete(PROBE)
        return refused

    def _prove(self) -> None:
        """That we may put and get, so that 403 on a key can only mean that it is not there."""
        for _ in range(PROBE_ATTEMPTS):  # another agent may delete the probe under our hands
            self._put_always(PROBE, PROBE_DATA)
            try:
                _, stream = self._open(PROBE)
            except _Answer as answer:
                if not (answer.means_absent or answer.may_mean_absent):
                    raise self._refusal(answer) from answer
                continue
            with stream:
                if stream.read() == PROBE_DATA:
                    self._proven = True
                    return
        raise StoreRefused(f"{self.location} does not give back what was put: {_RIGHTS}")

    def _refuses(self, condition: Mapping[str, str]) -> bool:
        try:
            self._put(PROBE, PROBE_DATA, condition)
        except _Answer as answer:
            if answer.is_conflict:
                return True
            if answer.status != 501:
                raise self._refusal(answer) from answer
        return False

    def _get(self, key: str) -> "tuple[str, io.BufferedReader[_Stream]]":
        try:
            return self._open(key)
        except _Answer as answer:
            if answer.may_mean_absent and not self._proven:
                self._prove()
            if answer.means_absent or answer.may_mean_absent:
                raise NotInStore(key) from answer
            raise self._refusal(answer) from answer

    def _open(self, key: str) -> "tuple[str, io.BufferedReader[_Stream]]":
        """An object's ETag and its bytes. Raises _Answer."""
        name = self._name(key)
        answer = self._ask(lambda s3: s3.get_object(Bucket=self._bucket, Key=name))
        stream = io.BufferedReader(_Stream(answer["Body"], self._failure), BUFFER)
        if "ContentLength" not in answer or "ETag" not in answer:
            stream.close()
            # Without a length the end and a lost connection are the same.
            raise StoreUnavailable(f"{self.location} answers without length or ETag")
        return answer["ETag"], stream

    def _put_always(self, key: str, body: bytes | BinaryIO, headers: Mapping[str, str] = _NONE) -> str:
        try:
            return self._put(key, body, headers)
        except _Answer as answer:
            raise self._refusal(answer) from answer

    def _put(self, key: str, body: bytes | BinaryIO, headers: Mapping[str, str]) -> str:
        """One PutObject; again without encryption where the server has none. Raises _Answer."""
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Key": self._name(key), "Body": body, **headers}
        parameters["ContentLength"] = len(body) if isinstance(body, bytes) else body.seek(0, io.SEEK_END)
        for encryption in ({"ServerSideEncryption": "AES256"}, {}) if self._encrypts else ({},):
            if not isinstance(body, bytes):
                body.seek(0)
            try:
                answer = self._put_object({**parameters, **encryption})
            except _Answer as refusal:
                if not encryption or not refusal.may_mean_encryption:
                    raise
                continue
            if self._encrypts and not encryption:
                log.warning("the store has no server-side encryption", store=self.location)
                self._encrypts = False
            return answer
        raise AssertionError("unreachable")

    def _put_object(self, parameters: dict[str, Any]) -> str:
        answer = self._ask(lambda s3: s3.put_object(**parameters))
        if "ETag" not in answer:
            raise StoreUnavailable(f"{self.location} answers without ETag")
        return answer["ETag"]

    def _name(self, key: str) -> str:
        return self._prefix + checked(key)

    def _ask(self, request: "Callable[[S3Client], _T]") -> _T:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            return request(self._client)
        except ClientError as error:
            raise _Answer(error) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise self._failure(error) from error

    @cached_property
    def _client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=self._connect_timeout_s,
            read_timeout=self._read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            max_pool_connections=self._connections,
            signature_version="s3v4",  # links, too
            s3={"addressing_style": "path" if self._endpoint_url else "auto"},
            # Servers that are not Amazon's do not all know the newer checksums. The body is signed all the same.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            client = boto3.session.Session().client(
                "s3",
                region_name=self._region,
                endpoint_url=self._endpoint_url,
                aws_access_key_id=self._access_key,
                aws_secret_access_key=self._secret_key,
                config=config,
            )
        except ValueError as error:
            raise self._failure(error) from error
        client.meta.events.register_first("before-call.s3.HeadBucket", _region_untold)
        return client

    def _failure(self, error: Exception) -> StoreUnavailable:
        """For want of an answer. botocore's own words would have the whole address in them."""
        name = type(error).__name__
        if name in _MISCONFIGURED:
            return StoreRefused(f"{self.location}: {_MISCONFIGURED[name]}")
        return StoreUnavailable(f"{self.location} does not answer as it should ({name})")

    def _refusal(self, answer: "_Answer") -> StoreUnavailable:
        advice = _ADVICE.get(answer.code) or (_RIGHTS if answer.status in {401, 403} else None)
        told = f"{answer.operation} is answered {answer.code}"
        if answer.message:
            told += f", {self._without_keys(answer.message)[:300]!r}"
        if advice:
            kind = ObjectRefused if advice is _TOO_LARGE else StoreRefused
            return kind(f"{self.location}: {advice} ({told})")
        return StoreUnavailable(f"{self.location}: {told}")

    def _without_keys(self, text: str) -> str:
        for key in (self._access_key, self._secret_key):
            text = text.replace(key, "[hidden]") if key else text
        return text


def _region_untold(**_: object) -> None:
    """When a redirect does not tell the region, botocore asks the bucket: we may not, and it would without end."""
    from botocore.exceptions import ClientError

    raise ClientError({"ResponseMetadata": {"HTTPHeaders": {}}}, "HeadBucket")  # type: ignore[typeddict-item]  # only what is read of it


class _Answer(Exception):
    """S3 has answered, but not with success."""

    def __init__(self, error: "ClientError") -> None:
        super().__init__(str(error))
        told: Mapping[str, Any] = error.response.get("Error", {})
        self.operation = error.operation_name
        self.status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        self.code = str(told.get("Code", self.status))
        self.message = str(told.get("Message", ""))
        self._words = " ".join(str(word) for word in told.values()).lower()

    @property
    def is_conflict(self) -> bool:
        # NoSuchKey: the version that was to be replaced is gone.
        return self.status == 412 or self.code in {"ConditionalRequestConflict", "PreconditionFailed", "NoSuchKey"}

    @property
    def means_absent(self) -> bool:
        return self.code == "NoSuchKey"

    @property
    def may_mean_absent(self) -> bool:
        """403 without the right to list; 404 without a word, as any other server would answer, too."""
        if self.status == 403:
            # The object is there, only its key is not for us.
            return self.code in {"AccessDenied", "403"} and "kms" not in self._words
        return self.code == "404"

    @property
    def may_mean_encryption(self) -> bool:
        if self.code in {"InvalidRequest", "InvalidArgument"}:
            return "encrypt" in self._words
        return self.status == 501


class _Stream(io.RawIOBase):
    """The body of an answer: a cut connection is an error, not an end, and every error is the store's."""

    def __init__(self, body: "StreamingBody", failure: Callable[[Exception], StoreUnavailable]) -> None:
        self._body = body
        self._failure = failure

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        view = memoryview(buffer)
        try:
            piece = self._body.read(len(view))
        except (BotoCoreError, HTTPError, OSError) as error:
            raise self._failure(error) from error
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._body.close()
        super().close()
