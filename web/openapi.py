"""The API's own description: /openapi.json, and /docs, where it can be tried out."""

import gzip
import re
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from . import page_files
from .guards import DOCS_POLICY
from .here import Here
from .problems import MEDIA_TYPE, Problem, ProblemDocument

PAGE = Path(__file__).parent / "page"
VERSION = "1"
_SWAGGER_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
# What any closed path may answer, and what those may that ask the agent or take a body besides.
_ANY = {401: "no token", 403: "not with this token", 429: "asked too often", 503: "Redis or the agent is away"}
_OF_ARGUMENTS = {422: "bad arguments"}
_OF_BODIES = {400: "no JSON", 408: "it did not come", 413: "too large"}
_OF_THE_AGENT = {404: "not found", 409: "not now", 502: "the page failed", 504: "not in time"}
# Those of the store are answered by a process of its own, with the same codes.
_ASKS_THE_AGENT = re.compile(r"/api/(commands/|messages/|chats|groups|media/|sessions)")


def install(app: FastAPI, here: Here) -> None:
    """Add the routes, closed as all the rest."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
    closed = [Depends(here.gate.view)]

    @app.get("/openapi.json", include_in_schema=False, dependencies=closed)
    async def openapi_json() -> Response:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        """A person without a session is led to the form."""
        if "text/html" in request.headers.get("Accept", "") and not await here.gate.is_known(request):
            return RedirectResponse("/", status_code=303)
        await here.gate.identify(request)
        return FileResponse(PAGE / "docs.html", headers={"Content-Security-Policy": DOCS_POLICY})

    @app.get("/docs/{name}", include_in_schema=False, dependencies=closed)
    async def docs_file(request: Request, name: str) -> Response:
        """Of the package swagger-ui-dist."""
        packed = _swagger(here.settings.swagger_ui_path, name)
        if packed is None:
            raise Problem(404, "not_found", "there is no such file, or swagger-ui-dist is not installed: `npm ci`")
        headers = {"Cache-Control": "private, max-age=86400"}
        return page_files.packed_or_not(request, packed, _SWAGGER_FILES[name], headers)


def document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 with every answer that a path may give."""
    made = get_openapi(
        title="WhatsApp container",
        version=VERSION,
        description="One WhatsApp Web session. Errors are problem+json (RFC 9457) with the contract's codes.",
        routes=app.routes,
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = ProblemDocument.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            if path in ("/healthz", "/readyz"):
                continue
            for status, words in _may_fail_with(path, operation).items():
                operation["responses"].setdefault(str(status), _problem(words))
    return made


def _may_fail_with(path: str, operation: dict[str, Any]) -> dict[int, str]:
    found = dict(_ANY)
    if operation.get("parameters") or "requestBody" in operation:
        found |= _OF_ARGUMENTS
    if "requestBody" in operation:
        found |= _OF_BODIES
    if _ASKS_THE_AGENT.match(path) and "/messages/{" not in path:
        found |= _OF_THE_AGENT
    if "{" in path or path in ("/api/qr", "/api/qr.png"):
        found |= {404: "not found"}
    if path == "/api/agent/restart":
        found |= {409: "asked for already"}
    return found


def _problem(words: str) -> dict[str, Any]:
    return {"description": words, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


@cache
def _swagger(folder: Path, name: str) -> bytes | None:
    """A file of Swagger UI, packed once."""
    file = folder / name
    return gzip.compress(file.read_bytes(), 9) if name in _SWAGGER_FILES and file.is_file() else None
