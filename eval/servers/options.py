"""Which servers answer, how they are asked, and what may be sent to them. Sends nothing.

A server speaks OpenAI's chat form (vLLM, SGLang, llamafactory-cli api, hosted ones) or one of the two decision forms.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from storm.datasets import DATASETS
from storm.options import did_you_mean

KEY = "OPENAI_API_KEY"  # the environment's name of OpenAI's key
HOSTS_OF_KEY = ("api.openai.com",)  # which hosts get it unasked: a key must not go to another company
NONE = "none"  # --family of a model that is sent no system message
DECODES = {"chat": ("exact", "generate"), "decisions": ("exact",), "systemone": ("exact",)}  # --api -> what it can give


@dataclass(frozen=True)
class Servers:
    """The options of eval/predict.py that go with --server."""

    server: tuple[str, ...]  # their URLs, each up to and with /v1
    served_model: str  # as the servers call it
    api: str = "chat"
    concurrency: int = 32  # requests at once to each server
    api_key_env: str | None = None  # None: KEY, and only for HOSTS_OF_KEY
    price: tuple[float, float] | None = None  # of a million tokens in, and out
    allow_remote: bool = False
    i_may_send: tuple[str, ...] = ()  # datasets
    family: str | None = (
        None  # of storm/families.py, or NONE: how the model was asked in its training; None: by its name
    )


def url_of(text: str) -> str:
    """A server's URL up to and with the version, "http://127.0.0.1:8000/v1". Raises ValueError with the fix."""
    url = urlsplit(text.strip().rstrip("/"))
    try:
        port = url.port
    except ValueError:
        raise ValueError(f"{text}: the port is not a number from 0 to 65535") from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError(f"{text}: not a URL; write for example http://127.0.0.1:8000")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("a URL with a user, a password, ? or #; give a key by --api-key-env NAME instead")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}{f':{port}' if port else ''}{url.path or '/v1'}"


def host_of(url: str) -> str:
    """The host of a server: "localhost" for this machine, whatever it is called, else its name."""
    name = urlsplit(url).hostname or ""
    try:
        here = ipaddress.ip_address(name).is_loopback
    except ValueError:
        here = name == "localhost"
    return "localhost" if here else name


def hosts(servers: Servers) -> list[str]:
    """The hosts, sorted, each once. No ports: a server that starts again may have another one."""
    return sorted({host_of(url) for url in servers.server})


def remote(servers: Servers) -> list[str]:
    """The hosts that are not this machine."""
    return [host for host in hosts(servers) if host != "localhost"]


def key_of(servers: Servers, url: str) -> str | None:
    """The API key for a server, None for none. Raises ValueError naming the variable that is not set."""
    name = servers.api_key_env or (KEY if host_of(url) in HOSTS_OF_KEY else None)
    if name and not os.environ.get(name):
        raise ValueError(f"{host_of(url)}: no API key in the environment variable {name}: export {name}=...")
    return os.environ[name] if name else None


def check(servers: Servers, decode: str) -> None:
    """Raises ValueError in one line for options that cannot go together."""
    if decode not in DECODES[servers.api]:
        raise ValueError(
            f"--api {servers.api} gives probabilities and no text; write --decode {DECODES[servers.api][0]}"
        )
    if servers.api != "chat" and servers.family:
        raise ValueError(f"--family goes with --api chat: of {servers.api}, the server makes the prompt; leave it out")
    if twice := [url for url in servers.server if servers.server.count(url) > 1]:
        raise ValueError(f"--server: {twice[0]} is there twice; --concurrency sets how many requests it gets at once")
    for name in servers.i_may_send:
        if name not in DATASETS:
            raise ValueError(f"--i-may-send {name}: no such dataset; {did_you_mean(name, DATASETS)}")
    for url in servers.server:
        key_of(servers, url)
    if (away := remote(servers)) and not servers.allow_remote:
        raise ValueError(f"{away[0]} is not this machine, and would get the images: --allow-remote lets them go there")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("--server needs no torchrun: one process asks all servers (--server URL,URL)")


def refuse_closed(servers: Servers, datasets: Iterable[str]) -> None:
    """Raises ValueError for a dataset whose terms keep its images from a host that is not this machine."""
    away = remote(servers)
    for name in sorted(set(datasets)):
        row = DATASETS.get(name)  # else a user's own images
        if away and row and not row.may_pass_on and name not in servers.i_may_send:
            text = f"{name}: its terms ({row.terms}) do not let you pass images on to {away[0]}"
            raise ValueError(f"{text}; if yours do: --i-may-send {name}")
