"""What a browser may load for the app's page: only what this server sends. Gradio's own page names three others.

The Content-Security-Policy stops scripts, fonts and requests. It does not stop the page's <link rel="preconnect"> to
Google's font servers: Connection-Allowlist does, in Chromium. Another browser may still open these two connections,
which tell Google the address of the visitor's machine, and nothing of the photographs.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

# Gradio runs inline scripts, compiles the chart's expressions (eval), and draws in blobs.
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; base-uri 'self'; object-src 'none'"
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"connection-allowlist", b"(response-origin)")]
Message = MutableMapping[str, Any]


class OnlyThisServer:
    """An ASGI middleware that sends HEADERS with every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable, send: Callable[[Message], Awaitable[None]]) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, send_with_headers)
