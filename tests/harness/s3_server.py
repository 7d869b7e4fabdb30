"""An S3 server with rights: moto's, with a user who may get, put and delete objects of one bucket, behind a proxy."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode
from xml.etree import ElementTree

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.whatsapp_web import processes

from .ports import free_port
from .s3_proxy import Faults, S3Proxy
from .waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"
START_DEADLINE_S = 90.0


class S3Server:
    """A context manager. `url` is the proxy's, which `faults` are for; `admin` passes it by and may do everything."""

    def __init__(self, bucket: str = "sessions-of-a-test", *, may_list: bool = False) -> None:
        self.bucket = bucket
        self.may_list = may_list
        self.access_key = self.secret_key = ""
        self.admin_keys = ("", "")
        self._port = free_port()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            process = processes.start(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(processes.stop, process)
            wait_until(self._answers, START_DEADLINE_S, "moto answers")
            self._set_up()
            self._proxy = stack.enter_context(S3Proxy(self._port, may_list=self.may_list, resign=self._signed))
            stack.callback(lambda: self.__dict__.pop("admin").close() if "admin" in self.__dict__ else None)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return self._proxy.url

    @property
    def direct_url(self) -> str:
        """Past the proxy."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def faults(self) -> Faults:
        return self._proxy.faults

    def settings(self) -> dict[str, str]:
        """The environment of a service that keeps its sessions here."""
        return {
            "SESSION_STORE": "s3",
            "BUCKET_STATE_NAME": self.bucket,
            "AWS_REGION": REGION,
            "BUCKET_STATE_ACCESS_KEY": self.access_key,
            "BUCKET_STATE_SECRET_KEY": self.secret_key,
            "S3_ENDPOINT_URL": self.url,
        }

    @cached_property
    def admin(self) -> S3Client:
        """boto3's client, past the proxy."""
        import boto3

        return boto3.session.Session().client(
            "s3",
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self._port}",
            aws_access_key_id=self.admin_keys[0],
            aws_secret_access_key=self.admin_keys[1],
        )

    def keys(self) -> list[str]:
        """What is in the bucket, by name."""
        return [item["Key"] for item in self.admin.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def get(self, key: str) -> bytes:
        return self.admin.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def put(self, key: str, data: bytes) -> None:
        self.admin.put_object(Bucket=self.bucket, Key=key, Body=data)

    def reset(self) -> None:
        """No faults, an empty bucket."""
        self.faults.clear()
        for key in self.keys():
            self.admin.delete_object(Bucket=self.bucket, Key=key)

    def _set_up(self) -> None:
        """moto asks for no rights until it is told to."""
        self._http("PUT", f"/{self.bucket}", service="s3")
        actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        statements = [_allow(actions, f"arn:aws:s3:::{self.bucket}/*")]
        if self.may_list:
            statements.append(_allow(["s3:ListBucket"], f"arn:aws:s3:::{self.bucket}"))
        self.access_key, self.secret_key = self._user("agent", statements)
        self.admin_keys = self._user("admin", [_allow(["s3:*"], "*")])
        self._http("POST", "/moto-api/reset-auth", b"0")

    def _user(self, name: str, statements: list[dict[str, Any]]) -> tuple[str, str]:
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self._iam("CreateUser", UserName=name)
        self._iam("PutUserPolicy", UserName=name, PolicyName="only", PolicyDocument=policy)
        answer = ElementTree.fromstring(self._iam("CreateAccessKey", UserName=name))
        found = {element.tag.rpartition("}")[2]: element.text or "" for element in answer.iter()}
        return found["AccessKeyId"], found["SecretAccessKey"]

    def _iam(self, action: str, **parameters: str) -> bytes:
        form = urlencode({"Action": action, "Version": "2010-05-08", **parameters}).encode()
        return self._http("POST", "/", form, service="iam")

    def _http(self, method: str, path: str, data: bytes | None = None, service: str | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data=data, method=method)
        if service:
            # moto tells services apart by what was signed for; nobody checks it yet.
            scope = f"any/20260101/{REGION}/{service}/aws4_request"
            request.add_header(
                "Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
            )
        else:
            request.add_header("Content-Type", "text/plain")
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def _answers(self) -> bool:
        try:
            return bool(self._http("GET", "/moto-api/data.json"))
        except (urllib.error.URLError, OSError):
            return False

    def _signed(self, method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
        kept = {name: value for name, value in headers.items() if name not in {"authorization", "x-amz-date"}}
        request = AWSRequest(method=method, url=f"{self.url}{path}", headers=kept, data=body)
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", REGION).add_auth(request)
        return {name.lower(): value for name, value in request.headers.items()}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}
