"""One server and what is known of it: requests through the openai SDK, which waits and tries again by itself."""

import asyncio
import math
import os
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from eval.servers.faults import DEADLINE, Fault, faults, first_line, message_of
from eval.servers.options import HOSTS_OF_KEY, NONE, Servers, host_of, key_of
from storm.families import FAMILIES, Family

if TYPE_CHECKING:
    from openai import AsyncOpenAI

RETRIES = 4  # after 0.5, 1, 2 and 4 s, or what Retry-After says; our choice: a server that restarts takes longer
TIMEOUT = 300  # seconds for one answer, waiting behind others included; our choice
USAGE = {"tokens in": ("prompt_tokens", "input_tokens"), "tokens out": ("completion_tokens", "output_tokens")}
NAMED = 100  # letters of a model's name that are kept; our choice
MODELS = "/models"  # the list of models, which asks for nothing
CONNECT = 10  # seconds until there is a connection; our choice


@dataclass
class Server:
    """A server during one run."""

    url: str
    name: str  # for people: host and port
    model: str
    key: str | None
    family: Family | None
    client: "AsyncOpenAI"
    calls: asyncio.Semaphore  # how many requests it may still get at once
    counts: Counter = field(default_factory=Counter)  # of a file: requests, 429, 5xx, tokens in, tokens out, no usage
    models: Counter = field(default_factory=Counter)  # of a file: answers by the model that they say they are of
    tried: bool = False  # whether it has answered a question
    strikes: int = 0  # rows in a row that it did not answer at their first try
    refused: int = 0  # rows in a row that it refused
    late: int = 0  # requests that it did not answer in time
    silent: int = 0  # the same, since its last answer
    last: float = -math.inf  # when its last answer came, by the monotonic clock
    waiting: dict[object, float] = field(default_factory=dict)  # when each request that has no answer yet was sent
    left_out: str = ""  # why it is asked no more
    limit: str = "max_tokens"  # what it calls the most tokens of an answer
    greedy: bool = True  # whether it takes temperature 0
    tails: dict = field(default_factory=dict)  # see chat.py


def connect(servers: Servers) -> list[Server]:
    """The servers, none of them asked yet. Call it where their requests run: clients belong to an event loop."""
    return [_server(servers, url) for url in servers.server]


def _server(servers: Servers, url: str) -> Server:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

    counts: Counter = Counter()

    async def count(response: Any) -> None:
        status = response.status_code
        if response.request.url.path.endswith(MODELS):
            return
        counts["requests"] += 1
        counts["429"] += status == 429
        counts["5xx"] += status >= 500

    http = DefaultAsyncHttpxClient(
        follow_redirects=False,  # a redirect would take the images to another host
        trust_env=host_of(url) != "localhost",  # as would a proxy from the environment
        verify=_certificates(),
        timeout=Timeout(TIMEOUT, connect=CONNECT),
        event_hooks={"response": [count]},
    )
    key = key_of(servers, url)
    more = {"http_client": http, "max_retries": RETRIES, "timeout": Timeout(TIMEOUT, connect=CONNECT)}
    client = AsyncOpenAI(base_url=url, api_key=key or "none", **more)
    if host_of(url) not in HOSTS_OF_KEY:
        client.organization = client.project = None  # the SDK takes them from the environment: they are OpenAI's
    name = url.split("://")[1].split("/")[0]
    family = FAMILIES.get(servers.family or NONE)
    return Server(url, name, servers.served_model, key, family, client, asyncio.Semaphore(servers.concurrency), counts)


def _certificates() -> ssl.SSLContext | bool:
    """Which certificates are trusted: SSL_CERT_FILE and SSL_CERT_DIR, of this machine's servers, too, where trust_env
    would not have them read. Raises ValueError for a file or folder that cannot be read."""
    file, folder = (os.environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    try:
        return ssl.create_default_context(cafile=file, capath=folder) if file or folder else True
    except (OSError, ssl.SSLError) as error:
        which = f"SSL_CERT_FILE {file}" if file else f"SSL_CERT_DIR {folder}"
        raise ValueError(f"{which}: no certificates ({first_line(error)}); name a PEM file, or unset it") from None


async def post(server: Server, path: str, body: dict) -> dict:
    """Send one request; the answer is a JSON object, whose tokens are counted. Raises Fault."""
    async with server.calls:
        content = orjson.dumps(body)  # in 1 ms for an image of 2 MB, the SDK's in 19
        number = object()
        server.waiting[number] = time.monotonic()
        try:
            with faults(server.name, server.key, server.url.startswith("http:")):
                async with asyncio.timeout(DEADLINE):
                    answer = await server.client.post(path, content=content, cast_to=object)
        finally:
            del server.waiting[number]
    answer = _object(server, answer)
    if answer.get("error") and not answer.keys() & {"choices", "answers"}:
        text = f"{server.name} answers 200 with an error: {message_of(answer, '', server.key)}"
        raise Fault(f"{text}; see what the server printed, then start the same command again", "again")
    server.last, server.silent = time.monotonic(), 0
    usage = answer.get("usage")
    usage, silent = usage if isinstance(usage, dict) else {}, False
    for name, keys in USAGE.items():
        tokens = next((usage[key] for key in keys if type(usage.get(key)) is int), None)
        server.counts[name] += tokens or 0
        silent = silent or tokens is None
    server.counts["no usage"] += silent
    if isinstance(model := answer.get("model"), str):
        server.models[first_line(model, server.key)[:NAMED]] += 1
    return answer


def _object(server: Server, answer: object) -> dict:
    if isinstance(answer, dict):
        return answer
    html = str(answer).lstrip()[:1] == "<"
    what = "HTML" if html else f"{first_line(answer, server.key)[:60]!r}"
    fix = "--server is the URL up to and with /v1" if html else "is it a server of a model, and --api its form?"
    text = f"{server.name}: answers {what} where a JSON object belongs; {fix}"
    raise Fault(text, "again")


async def check_model(server: Server) -> None:
    """Ask which models there are. Raises Fault if ours is not one; a server that has no list is not asked again."""
    try:
        with faults(server.name, server.key, server.url.startswith("http:")):
            client = server.client.with_options(max_retries=1)
            answer = _object(server, await client.get(MODELS, cast_to=object))
    except Fault as fault:
        if fault.kind == "row" or " answers 404: " in str(fault):  # no list of models: the first question will tell
            return
        raise Fault(str(fault), "server") from None
    rows = answer.get("data")
    names = [str(row.get("id")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if names and server.model not in names:
        known = first_line(", ".join(names[:10]) + (" ..." if len(names) > 10 else ""))
        raise Fault(f"{server.name}: no model {server.model!r}; --served-model is one of {known}", "server")
