"""Test files as requests of OpenAI's Batch API, which vLLM's run-batch reads, too: one chat completion a row.

The form is that of the openai package 3.57.0 (types.chat.CompletionCreateParams; limits: types.BatchCreateParams).
"""

import base64
from collections.abc import Iterator
from urllib.parse import quote

import orjson

from data_prep.export_images import Picture
from data_prep.export_task import Open, Rows, Settings, Written, question_of
from storm.rows import Example, custom_id
from storm.text import command_line

REQUESTS, BYTES = 50_000, 200_000_000  # of one file


def write(task: str, rows: Rows, settings: Settings, open_: Open) -> Iterator[Written]:
    """<task>-1.jsonl, <task>-2.jsonl ..., each within OpenAI's limits. Raises ValueError for an image beyond them."""
    number, count, size, file = 0, 0, 0, None
    for _, row, picture in rows:
        line = orjson.dumps(_request(task, row, picture, settings), option=orjson.OPT_APPEND_NEWLINE)
        if len(line) > BYTES:
            raise ValueError(f"{row.id}: a request of {len(line):,} bytes, more than {BYTES:,}; use --resize 1003520")
        if file is None or count == REQUESTS or size + len(line) > BYTES:
            if file:
                yield Written(settings.out / f"{task}-{number}.jsonl", count)
            number, count, size = number + 1, 0, 0
            file = open_(settings.out / f"{task}-{number}.jsonl")
        file.write(line)
        count, size = count + 1, size + len(line)
    yield Written(settings.out / f"{task}-{number}.jsonl", count)


def _request(task: str, row: Example, picture: Picture, settings: Settings) -> dict:
    if settings.image_url is None:
        url = f"data:{picture.kind};base64,{base64.b64encode(picture.data).decode()}"
    elif ".." in row.image.split("/"):  # a copy of data_prep --resize
        raise ValueError(f"{row.image}: not below the image root, so it has no URL; leave --image-url out")
    else:
        url = settings.image_url + quote(row.image)
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question_of(row)}]
    body = {"model": settings.model, "messages": [{"role": "user", "content": content}], "temperature": 0}
    body |= {"max_tokens": settings.max_tokens} | settings.body
    body = {key: value for key, value in body.items() if value is not None}
    return {"custom_id": custom_id(task, row.id), "method": "POST", "url": "/v1/chat/completions", "body": body}


def run(files: list[Written], settings: Settings) -> list[str]:
    return [
        command_line(["vllm", "run-batch", "--model", settings.model, "-i", path, "-o", f"RESULTS/{path.name}"])
        for path, _ in files
    ]
