"""A server in a thread that speaks the forms of hosted APIs, with answers built from the openai SDK's types."""

import base64
import inspect
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from openai.types.chat import ChatCompletion
from openai.types.decision import Decision
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from storm.prompts import answer
from storm.scales import IQA
from tests.helpers.paths import ROOT

MODEL = "rater"
Reply = Callable[[dict, "Stub"], Response | dict]


class Stub:
    """What a stub server was asked: the bodies of its requests, and their headers."""

    def __init__(self, reply: Reply):
        self.reply, self.bodies, self.headers, self.url = reply, [], [], ""
        self.server: uvicorn.Server | None = None

    def app(self) -> Starlette:
        def models(_: Request) -> Response:
            return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        async def answer(request: Request) -> Response:
            self.headers.append(dict(request.headers))
            self.bodies.append(await request.json())
            found = self.reply(self.bodies[-1], self)
            if inspect.isawaitable(found):
                found = await found
            return found if isinstance(found, Response) else JSONResponse(found)

        paths = ("/v1/chat/completions", "/v1/decisions", "/v1/systemone")
        posts = [Route(path, answer, methods=["POST"]) for path in paths]
        return Starlette(routes=[Route("/v1/models", models), *posts])

    def stop(self) -> None:
        """As after a kill: open connections are cut."""
        self.server.force_exit = self.server.should_exit = True


@contextmanager
def serving(reply: Reply, app: Callable | None = None, port: int = 0, pem: str | None = None) -> Iterator[Stub]:
    """A stub that answers with reply(body, stub): a response, or the JSON of one. app: other than the stub's. port: 0
    for a free one. pem: a file with a key and a certificate, for https."""
    stub = Stub(reply)
    more = {"log_level": "critical", "lifespan": "off", "ssl_certfile": pem}
    stub.server = uvicorn.Server(uvicorn.Config(app or stub.app(), port=port, **more))
    thread = threading.Thread(target=stub.server.run, daemon=True)
    thread.start()
    while not stub.server.started:
        time.sleep(0.01)
    stub.url = f"http{'s' if pem else ''}://127.0.0.1:{stub.server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        stub.stop()
        thread.join(10)


@contextmanager
def doomed(last: int) -> Iterator[str]:
    """The URL of a stub in a process of its own, which answers so many requests as by_pixel() and then gets kill -9."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    words = [sys.executable, "-m", "tests.helpers.stub_server", str(port), str(last)]
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < end
            with socket.socket() as place:
                if not place.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        assert process.wait(60) == -signal.SIGKILL, "it was killed"
    finally:
        process.kill()


def by_pixel(body: dict, stub: Stub | None = None) -> dict:
    """A level of image quality as the direct answer: the image's first value, modulo 5."""
    return chat(answer(IQA, "direct", pixel(image_of(body))[0] % 5))


def main(port: str, last: str) -> None:
    def reply(body: dict, stub: Stub) -> dict:
        if len(stub.bodies) > int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return by_pixel(body)

    uvicorn.run(Stub(reply).app(), port=int(port), log_level="critical", lifespan="off")


def chat(text: str | None, finish: str = "stop", refusal: str | None = None) -> dict:
    """A chat completion, as OpenAI documents it."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    choice = {"index": 0, "finish_reason": finish, "message": message, "logprobs": None}
    row = {"id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": usage}
    return ChatCompletion.model_validate(row, strict=True).model_dump()


def decision(body: dict, probabilities: list[float] | None) -> dict:
    """A decision about the one question of a body; None: the model refuses."""
    [question] = body["questions"]
    answer: dict = {"name": question["name"], "type": "refusal"}
    if probabilities is not None:
        rows = [
            {"label": level["label"], "value": value, "probability": p}
            for value, (level, p) in enumerate(zip(question["levels"], probabilities, strict=True))
        ]
        score = sum(row["value"] * row["probability"] for row in rows)
        answer |= {"type": "score", "score": score, "confidence": max(probabilities), "probabilities": rows}
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 101,
    }
    return Decision.model_validate({"answers": [answer], "model": MODEL, "usage": usage}, strict=True).model_dump()


def error(status: int, message: str, code: str | None = None) -> Response:
    """An error in OpenAI's form. The SDK waits as long as it says before the next try."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return JSONResponse(body, status, headers={"retry-after-ms": "1"})


def truncated(body: dict) -> Response:
    return Response(json.dumps(body)[:-20], media_type="application/json")


def pixel(url: str) -> tuple[int, ...]:
    """The first pixel of an image in a data URL: by it tests tell images apart."""
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data))).getpixel((0, 0))


def image_of(body: dict) -> str:
    """The data URL in a request of any form."""
    if "images" in body:
        [url] = body["images"]
        return url
    turn = next(turn for turn in body.get("messages") or body["input"] if turn["role"] == "user")
    part = turn["content"][0]
    return part["image_url"]["url"] if isinstance(part["image_url"], dict) else part["image_url"]


if __name__ == "__main__":
    main(*sys.argv[1:])
