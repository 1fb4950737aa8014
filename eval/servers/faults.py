"""What can be wrong with a server or its answer, as one line each with what to do about it."""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from storm.text import printable

FILTERED = ("content_filter", "content_policy_violation")  # codes of Azure and of OpenAI
DEADLINE = 600  # seconds for a request with all its tries; our choice
# How it looks when a server that speaks TLS is asked without: uvicorn closes, others send bytes that are no HTTP.
CLOSED = ("disconnected without", "reset by peer", "illegal", "status line")
# What servers say (vLLM, SGLang, LiteLLM, OpenAI), in lower case, what to do about it, and the kind. Not each message
# that names an image: one may be of a single image.
FIXES = (
    (r"https port", "write https:// in --server", "server"),
    (r"image input|multimodal|text[- ]only|not support\w* .*image|image\w* .*not support",
     "serve a model that takes images", "server"),
    (r"invalid model|model_not_found", "correct --served-model (curl URL/v1/models)", "server"),
    (r"context length|too long|max_model_len|maximum number of tokens",
     "lower --image-max-pixels, or serve the model with a longer context (vLLM: --max-model-len)", "row"),
)  # fmt: skip
SHOWN = 200  # letters of a server's own message


class Fault(ValueError):
    """One line about a request that gave no answer, and what it means for the others.

    kind: "server": it can answer none; "row": it refuses this one; "again": it may answer it later (429, 5xx);
    "late": no answer in DEADLINE, so it is stuck, or the row is; "filtered": its content filter stopped this one.
    """

    def __init__(self, text: str, kind: str):
        super().__init__(text)
        self.kind = kind


@contextmanager
def faults(host: str, key: str | None, plain: bool = False) -> Iterator[None]:
    """Turns what the SDK raises for a request to a host into a Fault. key: is not shown. plain: asked by http://."""
    import httpx
    import openai

    try:
        yield
    except (openai.APITimeoutError, TimeoutError) as error:
        if isinstance(error.__cause__, httpx.ConnectTimeout):
            raise Fault(f"{host}: no server answers (no connection in time); correct --server", "server") from None
        text = f"{host}: no answer in {DEADLINE} s; see what the server printed, or lower --concurrency"
        raise Fault(text, "late") from None
    except openai.APIConnectionError as error:
        raise Fault(_unreachable(host, error, plain), "server") from None
    except openai.APIStatusError as error:
        message = message_of(error.body, error.response.text, key)
        raise Fault(*_status(host, error.status_code, getattr(error, "code", None), message)) from None
    except RecursionError:
        raise Fault(f"{host}: the answer is nested without end; correct --server", "again") from None
    except (json.JSONDecodeError, openai.APIError, UnicodeDecodeError) as error:
        raise Fault(f"{host}: the answer is not JSON ({first_line(error, key)}); is it cut off?", "again") from None


def first_line(text: object, key: str | None = None) -> str:
    """The beginning of a text in one line, without the key, of which no part may be left where it is cut."""
    text = str(text)
    return printable(" ".join((text.replace(key, "***") if key else text).split())[:SHOWN])


def _unreachable(host: str, error: BaseException, plain: bool) -> str:
    """Why there is no connection: the last cause that says something."""
    causes, cause = [], error.__cause__
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    why = first_line(next((cause for cause in causes if str(cause)), error))
    if any(isinstance(cause, ssl.SSLError) for cause in causes) or "SSL" in why:
        if "WRONG_VERSION_NUMBER" in why or "record layer" in why:
            return f"{host}: does not speak TLS ({why}); write http:// and not https://"
        return f"{host}: TLS error ({why}); for a certificate of your own: export SSL_CERT_FILE=FILE.pem"
    if "peer closed" in why:
        return f"{host}: the connection broke in an answer ({why}); start the same command again"
    secure = ", or write https:// if it speaks TLS" if plain and any(sign in why for sign in CLOSED) else ""
    return f"{host}: no server answers ({why}); start it, or correct --server{secure}"


def message_of(body: object, text: str, key: str | None) -> str:
    """What a server's error says: OpenAI's form, FastAPI's "detail", or the beginning of the text."""
    if isinstance(body, dict):
        inner = body.get("error")
        body = inner.get("message") if isinstance(inner, dict) else body.get("message") or body.get("detail") or inner
    return first_line(body or text, key)


def _status(host: str, status: int, code: object, message: str) -> tuple[str, str]:
    """(line, kind) of an HTTP status that is not a success."""
    about = f"{host} answers {status}: {message}"
    if code in FILTERED:
        return about, "filtered"
    if status in (401, 403):
        return f"{about}; check the API key, in the variable that --api-key-env NAME names", "server"
    if status in (404, 405, 501):
        return f"{about}; correct --server, --served-model or --api", "server"
    if 300 <= status < 400:
        return f"{about}; redirects are not followed: name the URL itself", "server"
    if code == "insufficient_quota":
        return f"{about}; add credit", "server"
    if status in (408, 409, 429):
        return f"{about}; lower --concurrency, or start the same command later", "again"
    for signs, fix, kind in FIXES:
        if re.search(signs, message.lower()) and (kind == "server" or status < 500):
            return f"{about}; {fix}", kind
    if status >= 500:
        fix = "see what the server printed (does its model take images?), then start the same command again"
        return f"{about}; {fix}", "again"
    return about, "row"
