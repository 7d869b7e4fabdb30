"""What is told of a request that could not be done: problem+json (RFC 9457), with the contract's code."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from whatsapp_contract.errors import ContractError
from whatsapp_contract.logs import get_logger
from whatsapp_contract.redis_connection import is_outage

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

# The contract's codes, as HTTP has them. What the agent calls a bug of its own is no failure of this process: 502.
STATUS_BY_CODE: Mapping[str, int] = {
    "bad_json": 400,
    "bad_command": 400,
    "unknown_command": 404,
    "bad_arguments": 422,
    "too_large": 413,
    "expired": 504,
    "busy": 409,
    "not_ready": 409,
    "refused": 409,
    "agent_unreachable": 503,
    "no_reply": 504,
    "page_timeout": 504,
    "page_crashed": 502,
    "browser_gone": 502,
    "reset_unproven": 502,
    "not_found": 404,
    "store_unavailable": 503,
    "internal": 502,
}


class ProblemDocument(BaseModel):
    """`code` is the contract's, or one of this door's own: `unauthorized`, `forbidden`, `rate_limited`, `redis_away`,
    `status_unreadable`, `method_not_allowed`. `retryable` says whether trying again can help."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    retryable: bool


class Problem(Exception):
    """Raised where a request ends."""

    def __init__(
        self, status: int, code: str, detail: str, *, retryable: bool = False, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.document = ProblemDocument(
            title=HTTPStatus(status).phrase, status=status, code=code, detail=detail, retryable=retryable
        )
        self.headers = dict(headers or {})

    @property
    def response(self) -> Response:
        body = json.dumps(self.document.model_dump())
        return Response(body, self.document.status, self.headers, media_type=MEDIA_TYPE)


def too_many(detail: str, wait_s: float) -> Problem:
    """429, and when it is worth trying again."""
    return Problem(
        429, "rate_limited", detail, retryable=True, headers={"Retry-After": str(max(1, math.ceil(wait_s)))}
    )


def of_contract(error: ContractError) -> Problem:
    """What a caller of a command is told."""
    return Problem(
        STATUS_BY_CODE.get(error.code, 502), error.code, str(error) or error.code, retryable=error.retryable
    )


def redis_away() -> Problem:
    return Problem(503, "redis_away", "Redis does not answer", retryable=True)


def install(app: FastAPI) -> None:
    """Have every error end as a problem."""

    async def of_problem(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response

    async def of_contract_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ContractError)
        return of_contract(error).response

    async def of_bad_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _bad_request(error, request.headers.get("Content-Type", "")).response

    async def of_http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        codes = {404: "not_found", 405: "method_not_allowed", 408: "expired", 413: "too_large", 400: "bad_json"}
        code = codes.get(error.status_code, "bad_command")
        return Problem(error.status_code, code, str(error.detail), headers=error.headers).response

    async def of_any(_request: Request, error: Exception) -> Response:
        if is_outage(error):
            return redis_away().response
        log.error("a request failed for a bug", exc_info=error)
        return Problem(500, "internal", "this process has a bug; its log has the traceback").response

    app.add_exception_handler(Problem, of_problem)
    app.add_exception_handler(ContractError, of_contract_error)
    app.add_exception_handler(RequestValidationError, of_bad_request)
    app.add_exception_handler(HTTPException, of_http)
    for kind in (RedisError, OSError, Exception):  # what is last is also raised again, for the server's own log
        app.add_exception_handler(kind, of_any)


def _bad_request(error: RequestValidationError, content_type: str) -> Problem:
    """Where and what, without the value: it may be a message's text or a number."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Problem(400, "bad_json", "the body is no JSON")
    if first["loc"] == ("body",) and "json" not in content_type:
        return Problem(400, "bad_json", "the body must be JSON, with Content-Type: application/json")
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    words = {"extra_forbidden": "no such argument", "missing": "is missing"}.get(first["type"], first["msg"])
    words = words.removeprefix("Value error, ")
    return Problem(422, "bad_arguments", f"{where}: {words}")
