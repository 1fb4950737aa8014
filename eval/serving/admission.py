"""What a request may hold, and reading its body within that. What is beyond is refused with a status, never cut off."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from fastapi import Request

HELD = 256_000_000  # bytes of all bodies that are being read or decoded; our choice: some large requests at once
SECONDS = 30  # for a body to arrive; our choice: 20 MB at 5 Mbit/s
LINGER = 2  # seconds for the rest of a refused body, which is thrown away: our choice, so that the answer arrives
VALUES = 20_000  # commas and brackets of a body; our choice: 400 questions need half, `[[],[],...` 20 times its bytes
PIXELS = 50_000_000  # of an image before it is made smaller; our choice: 150 MB decoded, more than most cameras have
LEVELS = 255  # of a question, OpenAI's limit
TEXT = 2000  # bytes of what a request says in a question; our choice: levels stand in it four times, so 8,000 tokens
CUTOFF = 16_384  # tokens of a prompt; more than the longest question and the largest image of our recipes


class Refused(Exception):  # noqa: N818, a request is refused, which is no error of ours
    """Why a request gets no answer: a status, a kind for the metrics, and one line for its sender."""

    def __init__(self, status: int, kind: str, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind
        self.retry_after = math.ceil(retry_after)  # seconds


def bad(message: str) -> Refused:
    return Refused(400, "bad_request", message)


@dataclass
class Admission:
    """Which requests are being answered now: as many as `most`, with bodies of HELD bytes together."""

    most: int  # requests
    body: int  # bytes of one body
    requests: int = 0
    held: int = 0  # bytes

    @contextmanager
    def entered(self, wait: float) -> Iterator[None]:
        """One more request, while the block runs. wait: seconds until there is room again. Raises Refused."""
        if self.requests >= self.most:
            raise full(f"{self.requests} requests are being answered", wait)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def holding(self) -> Iterator[bytearray]:
        """What a body is read into; its bytes count while the block runs."""
        body = bytearray()
        try:
            yield body
        finally:
            self.held -= len(body)

    def take(self, part: bytes, body: bytearray, wait: float) -> None:
        """Raises Refused if the body, or all of them together, would be too large with this part."""
        if len(body) + len(part) > self.body:
            raise too_large(self.body)
        if self.held + len(part) > HELD:
            raise full("the requests being read are too large together", wait)
        self.held += len(part)
        body += part


def full(what: str, wait: float) -> Refused:
    return Refused(429, "queue_full", f"{what}; try again after the seconds in Retry-After", max(1, wait))


def too_large(most: int) -> Refused:
    return Refused(413, "too_large", f"more than {most:,} bytes; send a smaller image (serve.py --max-body)")


def check_headers(request: Request, most: int) -> None:
    """Raises Refused for a body that is not JSON as it stands, or is announced as too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "media_type", "write the header Content-Type: application/json, and a JSON body")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "media_type", "a compressed body is not read; leave out Content-Encoding")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise too_large(most)


async def read_body(request: Request, admission: Admission, body: bytearray, wait: float) -> None:
    """Read the body within all limits. Raises Refused."""
    check_headers(request, admission.body)
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                if part:
                    admission.take(part, body, wait)
    except TimeoutError:
        raise Refused(408, "timeout", f"the body did not arrive within {SECONDS} seconds") from None
    request.state.read = True
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > VALUES:
        raise bad(f"the body holds more than {VALUES:,} values; send fewer questions, levels or photographs")


async def throw_away(request: Request) -> None:
    """Read on after a refusal, for LINGER seconds at most, so that a client that is still sending sees the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while not getattr(request.state, "read", False):
                message = await request.receive()
                request.state.read = message["type"] != "http.request" or not message.get("more_body", False)
