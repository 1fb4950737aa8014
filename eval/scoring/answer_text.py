"""The text of an answer, however a tool or server wraps it; or why there is none."""

import re
from collections.abc import Mapping
from typing import Any

from storm.text import printable

FIX = "name them: --keys predict=KEY,label=KEY,id=KEY"
LONGEST = 1_000_000  # letters of an answer; our choice: longer ones are no answers, and would cost minutes to read
TEXTS = ("text", "output_text", "message")  # types of the parts of a message that are the answer, not the reasoning
# Where the answers of servers have their text, the outermost first.
INSIDE = (
    "body",
    "result",
    "response",
    "choices",
    "candidates",
    "message",
    "output",
    "content",
    "parts",
    "text",
    "generated_text",
    "value",
)
STOPPED = {"content_filter": "refusal", "safety": "refusal", "length": "cut off", "max_tokens": "cut off"}
SPECIAL = re.compile(r"<\|[\w ]{1,30}\|>|</?s>|<eos>|<pad>")  # tokens that are not left out
FAILED = re.compile(r"failed to obtain answer via api|^(?:api )?error code: \d{3}\b", re.IGNORECASE)


def text_of(value: Any) -> tuple[str, str]:
    """(the text of an answer, "" or why there is none), of a text, a number, a list of one, or what an API returns.

    Raises ValueError for several answers, or for what is none.
    """
    if value is None or value != value:  # nan
        return "", "no answer"
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, bool):
        raise ValueError(f"the prediction is {value}, not a text; {FIX}")
    if isinstance(value, int | float):
        return (str(int(value)) if value == int(value) else repr(value)) if abs(value) < 1e15 else repr(value), ""
    if isinstance(value, list):
        return _of_list(value)
    if isinstance(value, dict):
        return _of_response(value)
    raise ValueError(f"the prediction is {str(value)[:60]!r}, not a text; {FIX}")


def whole_letters(text: str) -> str:
    """A text without halves of letters, which JSON can hold and no file."""
    return text.encode("utf-8", "replace").decode()


def _plain_text(text: str) -> tuple[str, str]:
    if len(text) > LONGEST:
        return text[:200], "too long"
    text = whole_letters(text)
    text = SPECIAL.sub("", text).strip() if "<" in text else text.strip()
    if not text:
        return "", "no answer"
    text = text[:-2] if re.fullmatch(r"\d+\.0", text) else text  # as pandas writes a whole number
    return ("", "error") if FAILED.match(text) else (text, "")


def _of_list(values: list) -> tuple[str, str]:
    """Of parts of a message, the text; of a conversation, the last turn of the model; else the one answer."""
    if not values:
        return "", "no answer"
    if all(isinstance(part, dict) for part in values):
        turns = [part for part in values if part.get("role") == "assistant" or part.get("from") in ("gpt", "assistant")]
        if turns:
            return text_of(turns[-1].get("content", turns[-1].get("value")))
        if any("type" in part for part in values):
            texts = [part.get("text", part.get("content")) for part in values if part.get("type", "text") in TEXTS]
            if len(texts) < 2 or not all(isinstance(text, str) for text in texts):
                return text_of(texts[0] if texts else None)
            return _plain_text("".join(texts))
    read = [text_of(value) for value in values]
    if len(set(read)) > 1:
        raise ValueError(f"{len(values)} answers ({printable(str(values))[:80]}); leave one in each row")
    return read[0]


def _of_response(row: Mapping) -> tuple[str, str]:
    """Of an answer of a server: OpenAI (chat, responses, batch), vLLM, Anthropic, Gemini."""
    status = row.get("status_code", 200)
    if row.get("error") or row.get("type") == "error" or (isinstance(status, int) and status >= 400):
        return "", "error"
    if row.get("refusal"):
        return "", "refusal"
    key = next((key for key in INSIDE if row.get(key) is not None), "")
    if not key and not any(key in row for key in INSIDE):
        raise ValueError(
            f"the prediction is an object with the keys {printable(', '.join(map(str, row)))[:100]}; {FIX}"
        )
    text, none = text_of(row[key]) if key else ("", "no answer")
    if none == "no answer":  # why a server stopped stands beside what it wrote
        none = STOPPED.get(str(row.get("finish_reason") or row.get("finishReason") or "").lower(), none)
    return text, none
