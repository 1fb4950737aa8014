"""What reaches Gradio: the few requests that its page sends, read and checked before.

LLaMA-Factory pins Gradio 5, so its faults are closed from outside. Mounted, it checks no path of a request's files
(processing_utils._check_allowed asks for has_launched); a file whose path is a URL is fetched, file=URL redirects; a
Range header sends the request's headers back; deep_link reads a state.json anywhere; uploads have no total, and leave
parts behind; errors are stack traces (debug=True). Proxies, streams, recordings, monitoring, code editing and direct
calls have routes that the page does not need: only those in READ, ASK, EVENTS, UPLOAD and FILE are answered.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import io
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect

from eval.app_page.arrivals import Arrivals, part_file
from eval.app_page.asked import FILE, SESSION, checked, own
from eval.serving.admission import Admission, Refused, bad, read_body, throw_away
from storm.text import printable

if TYPE_CHECKING:
    import gradio

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST = "500mb"  # of one file; a zip file: our choice
READ = re.compile(r"/|/theme\.css|/favicon\.ico|/(assets|static)/.+")  # the page and what it loads
ASK = ("/gradio_api/queue/join", "/gradio_api/run/predict")
EVENTS, UPLOAD = "/gradio_api/queue/data", "/gradio_api/upload"
# Headers that Gradio sees. It believes others: x-forwarded-host would be the address that the page asks.
HEADERS = {b"host", b"accept", b"accept-encoding", b"content-type", b"content-length", b"user-agent"}
HEADERS |= {b"if-none-match", b"if-modified-since"}
FAILED = "the server failed on this request; its own output says why"


@dataclass
class Guard:
    """The ASGI program before Gradio's. What it refuses gets a status and one line, without our paths."""

    page: Callable[[Message, Receive, Send], Awaitable[None]]
    arrivals: Arrivals
    inputs: dict[int, int]  # how many values the functions of the page take
    admission: Admission  # of bodies
    key: str  # "" if none is asked for
    ending: asyncio.Event  # set when the program ends

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        begun = dropped = whole = False

        async def passed(message: Message) -> None:
            nonlocal begun, dropped, whole
            if message["type"] == "http.response.start":
                dropped = message["status"] == 500  # we say it in our form
            if not dropped:
                begun, whole = True, "body" in message and not message.get("more_body", False)
                await send(message)

        request, refused = Request(scope, receive), Refused(500, "server", FAILED)
        try:
            await self._answer(request, passed)
        except Refused as error:
            refused = error
        except FormParserError:
            refused = bad("the form cannot be read")
        except ClientDisconnect:
            return
        except Exception as error:
            if scope["path"] == UPLOAD and isinstance(error, TypeError):
                refused = bad("the form holds something other than files")
            elif begun:  # of a stream that ended early, as when it asks for a session that is not there
                print(f"{printable(scope['path'])[:100]}: {type(error).__name__}", file=sys.stderr)
            else:
                traceback.print_exception(error)
        if not begun:
            await self._refuse(request, refused, send)
        elif scope["path"] == EVENTS and not whole:
            await send({"type": "http.response.body"})  # the end of a stream that was stopped

    async def _answer(self, request: Request, send: Send) -> None:
        """Pass a request on to Gradio, with nothing in it that was not checked. Raises Refused."""
        self._check_sender(request)
        path, get = request.scope["path"], request.method in ("GET", "HEAD")
        query, body = b"", None
        if get and path.startswith(FILE):
            if not own(self.arrivals.folders.uploads, path.removeprefix(FILE)):
                raise Refused(403, "file", "only uploads of this page are sent")
        elif get and path == EVENTS:
            session = parse_qs(request.url.query).get("session_hash", [""])[0]
            if not re.fullmatch(SESSION, session):
                raise bad("session_hash: write that of a page")
            query = f"session_hash={session}".encode()
        elif request.method == "POST" and path in ASK:
            with self.admission.holding() as raw:
                await read_body(request, self.admission, raw, 1)
                host = request.headers.get("host", "")
                body = await asyncio.to_thread(checked, bytes(raw), host, self.arrivals.folders.uploads, self.inputs)
        elif request.method == "POST" and path == UPLOAD:
            async with self.arrivals.counted(request, self._until_end(request)) as receive:
                await self._pass(request, send, receive)
            return
        elif not (get and READ.fullmatch(path)):
            what = printable(f"{request.method} {path}")[:100]
            raise Refused(404, "no_route", f"{what} is not served")
        await self._pass(request, send, self._until_end(request), query, body)

    def _check_sender(self, request: Request) -> None:
        """Raises Refused for a click on another site's page, and without the key."""
        origin = request.headers.get("origin")
        if request.method == "POST" and origin and origin.partition("://")[2] != request.headers.get("host"):
            raise Refused(403, "origin", "the request comes from another site")
        if not self.key:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":  # of a browser: any name, and the key as password
            with contextlib.suppress(binascii.Error, ValueError):
                given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            raise Refused(401, "unauthorized", "write the key as password, with any name")

    async def _pass(
        self, request: Request, send: Send, receive: Receive, query: bytes = b"", body: bytes | None = None
    ) -> None:
        headers = [(name, value) for name, value in request.scope["headers"] if name in HEADERS]
        if body is not None:
            headers = [(name, value) for name, value in headers if name != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            rest, parts = receive, [{"type": "http.request", "body": body}]

            async def receive() -> Message:
                return parts.pop() if parts else await rest()

        await self.page(dict(request.scope) | {"headers": headers, "query_string": query}, receive, send)

    def _until_end(self, request: Request) -> Receive:
        """What Gradio receives: after the program's end has begun, that the client left, so that no stream stays."""

        async def receive() -> Message:
            message = asyncio.ensure_future(request.receive())
            end = asyncio.ensure_future(self.ending.wait())
            try:
                await asyncio.wait({message, end}, return_when=asyncio.FIRST_COMPLETED)
                return message.result() if message.done() else {"type": "http.disconnect"}
            finally:
                message.cancel()
                end.cancel()

        return receive

    async def _refuse(self, request: Request, refused: Refused, send: Send) -> None:
        if request.method == "POST":
            await throw_away(request)
        headers = {"WWW-Authenticate": 'Basic realm="STORM", charset="UTF-8"'} if refused.status == 401 else {}
        if request.method == "POST" and not getattr(request.state, "read", False):
            headers["Connection"] = "close"  # else uvicorn reads the rest of the body, without end
        if request.url.path == UPLOAD:  # the page shows either form
            response: Response = PlainTextResponse(str(refused), refused.status, headers)
        else:
            response = JSONResponse({"detail": str(refused)}, refused.status, headers)
        await response(request.scope, request.receive, send)


def mount(app: FastAPI, blocks: "gradio.Blocks", arrivals: Arrivals, **more: Any) -> None:
    """Show a page of Gradio at all paths of the program that are not its own. more: of Guard."""
    import gradio as gr
    from gradio import route_utils

    none = {"show_api": False, "show_error": False, "ssr_mode": False, "mcp_server": False, "enable_monitoring": False}
    with contextlib.redirect_stdout(io.StringIO()):  # Gradio 5.50 prints "new /"
        gr.mount_gradio_app(app, blocks, "/", max_file_size=LARGEST, **none)
    blocks.has_launched = blocks.is_running = True  # so that Gradio, too, checks the paths of files
    if not hasattr(route_utils, "NamedTemporaryFile"):
        raise ImportError("this Gradio writes uploads in another way than 5.50; see constraints.txt")
    route_utils.NamedTemporaryFile = part_file  # there is no setting for its folder
    mounted = app.routes[-1]
    mounted.app.debug = False
    inputs = {number: len(function.inputs) for number, function in blocks.fns.items()}
    mounted.app = Guard(mounted.app, arrivals, inputs, **more)
