"""What can be wrong with a server or its answer, as one line each with what to do about it."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from storm.text import printable

FILTERED = ("content_filter", "content_policy_violation")  # codes of Azure and of OpenAI
DEADLINE = 600  # seconds for a request with all its tries: a server that hangs is left out after it; our choice
SHOWN = 200  # letters of a server's own message


class Fault(ValueError):
    """One line about a request that gave no answer, and what it means for the others.

    kind: "server": it can answer none; "row": it refuses this one; "again": it may answer it later (429, 5xx);
    "filtered": its content filter stopped this one.
    """

    def __init__(self, text: str, kind: str):
        super().__init__(text)
        self.kind = kind


@contextmanager
def faults(host: str, key: str | None) -> Iterator[None]:
    """Turns what the SDK raises for a request to a host into a Fault. key: is not shown."""
    import openai

    try:
        yield
    except (openai.APITimeoutError, TimeoutError):
        raise Fault(f"{host}: no answer in {DEADLINE} s; start it again, or lower --concurrency", "server") from None
    except openai.APIConnectionError as error:
        raise Fault(_unreachable(host, error), "server") from None
    except openai.APIStatusError as error:
        message = _said(error.body, error.response.text, key)
        raise Fault(*_status(host, error.status_code, getattr(error, "code", None), message)) from None
    except RecursionError:
        raise Fault(f"{host}: the answer is nested without end; correct --server", "again") from None
    except (json.JSONDecodeError, openai.APIError, UnicodeDecodeError) as error:
        raise Fault(f"{host}: the answer is not JSON ({first_line(error, key)}); is it cut off?", "again") from None


def first_line(text: object, key: str | None = None) -> str:
    """The beginning of a text in one line, without the key, of which no part may be left where it is cut."""
    text = str(text)
    return printable(" ".join((text.replace(key, "***") if key else text).split())[:SHOWN])


def _unreachable(host: str, error: BaseException) -> str:
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
    return f"{host}: no server answers ({why}); start it, or correct --server"


def _said(body: object, text: str, key: str | None) -> str:
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
    if "image input" in message or "multimodal" in message:
        return f"{about}; serve a model that takes images", "server"
    if status in (408, 409, 429):
        return f"{about}; lower --concurrency, or start the same command later", "again"
    if status >= 500:
        return f"{about}; see what the server printed, then start the same command again", "again"
    return about, "row"
