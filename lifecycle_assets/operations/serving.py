"""Serves a home's reports to browsers: read-only, and nothing of the home but the reports.

There is no log-in. On the machine's own address only its users can read; for others put a server that asks who they are in
front of it.
"""

import ipaddress
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from lifecycle_assets.errors import LifecycleError
from lifecycle_assets.operations.homes import Home

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
# Of pages only: browsers show PDF files in a page of their own, which it would cripple.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Files(StaticFiles):
    """A folder's files, the hidden ones left out. `?download=1` has the browser save a file, under a name that says whose
    report it is, instead of showing it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        parts = [part for part in Path(path).parts if part != "."]
        if any(part.startswith(".") for part in parts):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        if response.media_type == "text/html":
            response.headers["Content-Security-Policy"] = PAGE_POLICY
        if scope["query_string"] == b"download=1":
            response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote('_'.join(parts))}"
        return response


def serve_reports(home: Home, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted; port 0 takes a free one. Raises LifecycleError where there are no reports or the address
    cannot be had."""
    if not (home.reports / "index.html").exists():
        raise LifecycleError(f"no reports in {home.reports} yet: lifecycle run makes them")
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise LifecycleError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error
    with listening:
        port = listening.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        say(f"reports of {home.root} on http://{name}:{port}/  (Ctrl+C ends it)")
        if not _is_own(host):
            say("warning: there is no log-in; whoever reaches this address reads every report")
        config = uvicorn.Config(_app(home.reports, host), log_level="warning", server_header=False)
        uvicorn.Server(config).run(sockets=[listening])


def _app(folder: Path, host: str) -> Starlette:
    # A page elsewhere must not read reports by a name that it has made to lead here.
    allowed = [host, "localhost", "127.0.0.1", "[::1]"] if _is_own(host) else ["*"]
    return Starlette(
        routes=[Mount("/", Files(directory=folder, html=True))],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False)],
    )


def _is_own(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
