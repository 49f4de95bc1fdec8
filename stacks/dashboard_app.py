"""ZenML's server, for the pages that it serves itself and no others.

It asks nobody who they are, so any web page that a person has open could read and delete all that
it holds. Browsers tell where a page that wants to do so came from (`Origin`) and which name it used
for us (`Host`); a foreign name is one whose owner made it lead to this machine.
"""

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def create() -> ASGIApp:
    """Return the application for `uvicorn --factory`; the environment holds ZenML's settings."""
    from zenml.zen_server.zen_server_api import app  # reads them, and configures logging

    return TrustedHostMiddleware(_same_origin_only(app), allowed_hosts=("127.0.0.1", "localhost"))


def _same_origin_only(app: ASGIApp) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        answer = app
        if scope["type"] != "lifespan" and _is_foreign(Headers(scope=scope)):
            answer = PlainTextResponse("Foreign origin", status_code=403)
        await answer(scope, receive, send)

    return guarded


def _is_foreign(headers: Headers) -> bool:
    return headers.get("origin") not in (None, f"http://{headers['host']}")
