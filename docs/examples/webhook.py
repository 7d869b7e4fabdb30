"""A receiver of webhooks in Python, with nothing but its standard library:

WEBHOOK_SECRET=... python docs/examples/webhook.py 8080
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def is_genuine(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether it is ours, whole, and of the last five minutes. `body` is what came, before anything reads it."""
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > 300:
        return False
    signed = f"{headers.get('webhook-id')}.{sent_at}.".encode() + body
    ours = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return any(hmac.compare_digest(ours, one) for one in headers.get("webhook-signature", "").split(" "))


done: set[str] = set()  # of yours it is rather a column with a unique index, written with the work itself


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the connection is kept

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not is_genuine(self.headers, body, os.environ["WEBHOOK_SECRET"]):  # type: ignore[arg-type]
            return self.answer(401)
        if self.headers["webhook-id"] not in done:  # what was answered too late comes again
            event = json.loads(body)
            print(event["type"], event["data"].get("key"), flush=True)
            done.add(self.headers["webhook-id"])
        self.answer(204)  # only now: what fails above comes again

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
