"""The web program of eval/serve.py: two forms of one question, and what a monitor asks."""

import asyncio
import hmac
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from eval.serving import answers, forms
from eval.serving.admission import Admission, Refused, bad, read_body, throw_away
from eval.serving.batching import Batcher, Job
from eval.serving.images import data_of, decoded, fetched
from eval.serving.metrics import Metrics
from eval.serving.questions import Asked, Known, asked
from storm.prompts import question
from storm.rows import Example
from storm.text import printable

KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
OPEN = "/health"  # needs no key: a load balancer asks it
Respond = Callable[[Request], Awaitable[Response]]


class Serving(NamedTuple):
    """A rater that is served."""

    name: str  # of the model, in requests
    known: Known
    batcher: Batcher
    admission: Admission
    metrics: Metrics
    decoders: ThreadPoolExecutor
    questions: int  # of a request at most
    key: str = ""  # "" if none is asked for
    urls: bool = False  # whether images are fetched from the web


def create(serving: Serving) -> FastAPI:
    """The program. It stops the batcher when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(serving.batcher.stop)
        serving.decoders.shutdown()

    async def health(_: Request) -> JSONResponse:
        alive = serving.batcher.thread.is_alive()
        return JSONResponse({"status": "ok" if alive else "the model's thread has ended"}, 200 if alive else 503)

    async def metrics(_: Request) -> PlainTextResponse:
        now = {"queue_length": len(serving.batcher.jobs), "requests_in_flight": serving.admission.requests}
        return PlainTextResponse(serving.metrics.text(**now), media_type="text/plain; version=0.0.4")

    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [_model(serving)]})

    app = FastAPI(lifespan=lifespan, openapi_url=None)  # its page of documentation loads scripts of others
    for path, answer in {OPEN: health, "/metrics": metrics, "/v1/models": models}.items():
        app.get(path)(_counted(serving, path, answer))
    for path, answer in {
        "/v1/decisions": _decide(serving, forms.Decisions, answers.decision),
        "/v1/systemone": _decide(serving, forms.SystemOne, _named),
    }.items():
        app.post(path)(_counted(serving, path, answer))

    @app.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> JSONResponse:
        what = printable(f"{request.method} {request.url.path}")[:100]
        paths = ", ".join(route.path for route in app.routes)
        refused = Refused(error.status_code, "no_route", f"{what} is not served; there are {paths}")
        return _refusal(serving, "other", refused)

    return app


def _model(serving: Serving) -> dict:
    strategy = serving.known.strategy
    scales = [
        {"name": scale.name, "levels": [level.word for level in scale.fine], "question": question(scale, strategy)}
        for scale in serving.known.scales
    ]
    return {"id": serving.name, "object": "model", "created": 0, "owned_by": "storm", "scales": scales}


def _named(*parts: Any) -> dict:
    head = {"id": f"decision-{uuid.uuid4().hex}", "object": "structured_decision", "created": int(time.time())}
    return head | answers.systemone(*parts)


def _counted(serving: Serving, path: str, answer: Respond) -> Respond:
    async def counted(request: Request) -> Response:
        """Checks the key before anything is read; counts and times each request."""
        start = time.perf_counter()
        try:
            given = request.headers.get("authorization", "").encode()
            if serving.key and path != OPEN and not hmac.compare_digest(given, f"Bearer {serving.key}".encode()):
                raise Refused(401, "unauthorized", "the header Authorization: Bearer KEY is missing or wrong")
            response = await answer(request)
            serving.metrics.add("storm_requests_total", path=path, status=response.status_code)
        except Refused as refused:
            if request.method == "POST":
                await throw_away(request)
            response = _refusal(serving, path, refused)
            if not getattr(request.state, "read", False):
                response.headers["Connection"] = "close"  # else uvicorn reads the rest of the body, without end
        except ClientDisconnect:  # while its body was read
            response = _refusal(serving, path, Refused(499, "client_left", "the client closed the connection"))
        except Exception as error:  # a fault of ours must not show what is inside to the client
            traceback.print_exception(error)
            refused = Refused(500, "server", "the server failed on this request; its own output says why")
            response = _refusal(serving, path, refused)
        if request.method == "POST":
            serving.metrics.observe("storm_request_seconds", time.perf_counter() - start)
        return response

    return counted


def _refusal(serving: Serving, path: str, refused: Refused) -> JSONResponse:
    """OpenAI's form of an error, which vLLM has too."""
    serving.metrics.add("storm_requests_total", path=path, status=refused.status)
    serving.metrics.add("storm_errors_total", kind=refused.kind)
    kind = KINDS.get(refused.status, "invalid_request_error" if refused.status < 500 else "server_error")
    headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after else {}
    body = {"message": str(refused), "type": kind, "param": None, "code": refused.kind}
    return JSONResponse({"error": body}, refused.status, headers)


def _decide(serving: Serving, form: type, written: Callable[..., dict]) -> Respond:
    async def decide(request: Request) -> JSONResponse:
        batcher = serving.batcher
        with serving.admission.entered(batcher.wait()):
            with serving.admission.holding() as raw:
                await read_body(request, serving.admission, raw, batcher.wait())
                body = forms.read(form, bytes(raw))
                asks = _asked(serving, body)
                images = await _images(serving, body, {ask.upright for ask in asks})
            examples = [Example("", "request", "", ask.scale.lo, ask.scale, ask.strategy) for ask in asks]
            jobs = [Job(example, images[ask.upright]) for example, ask in zip(examples, asks, strict=True)]
            batcher.submit(jobs)
            rows = await _answered(request, jobs)
        return JSONResponse(written(serving.name, body.questions, rows, asks))

    return decide


def _asked(serving: Serving, body: forms.Body) -> list[Asked]:
    """The question to the model for each one of a request. Raises Refused."""
    if body.model not in (None, serving.name):
        name = printable(body.model)[:60]
        raise Refused(404, "model_not_found", f"model {name!r} is not served here; write {serving.name!r}")
    if len(body.images) != 1:
        raise bad(f"{len(body.images)} images; send one a request, several requests are rated together")
    if len(body.questions) > serving.questions:
        raise bad(f"{len(body.questions)} questions, more than {serving.questions}; send several requests")
    listed = []
    for one in body.questions:
        ask = asked(serving.known, one.options, "\n".join(filter(None, (body.text, one.instructions))), one.ordered)
        if ask.trained and body.text:
            raise bad(
                f"there is a text beside the image, for which the question of the scale {ask.scale.name} has no place; "
                "send the image alone, and the question as instructions"
            )
        listed.append(ask)
    return listed


async def _images(serving: Serving, body: forms.Body, upright: set[bool]) -> dict[bool, Any]:
    """The image as stored and as turned, as far as they are needed."""
    [url] = body.images
    loop, web = asyncio.get_running_loop(), url[:5].lower() != "data:"
    if web and not serving.urls:
        raise bad("image: write data:image/png;base64,...; others are read only with serve.py --allow-url-images")
    if web:
        data = await fetched(url, serving.admission.body)
    else:
        data = await loop.run_in_executor(serving.decoders, data_of, url)
    loaded = serving.batcher.rater.loaded
    return {turn: await loop.run_in_executor(serving.decoders, decoded, data, turn, loaded) for turn in upright}


async def _answered(request: Request, jobs: list[Job]) -> list[dict]:
    """The answers. Raises Refused if the client goes away before: nobody waits for what is still in the queue."""
    work = asyncio.gather(*(asyncio.wrap_future(job.answer) for job in jobs))
    gone = asyncio.create_task(request.receive())  # the body is read, so the next message is that the client left
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Refused(499, "client_left", "the client closed the connection")
        return work.result()
    finally:
        gone.cancel()
        work.cancel()
