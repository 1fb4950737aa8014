"""Twelve answers of SPAQ, and what tools and servers write of them."""

import json

import pandas

from storm.datasets import SCALES
from storm.prompts import answer, question

SCALE, STRATEGY = SCALES["spaq"], "direct"
LABELS = [1, 4, 4, 1, 2, 4, 3, 4, 0, 4, 0, 3]
SAID = [1, 3, 4, 1, 3, 3, 2, 4, 1, 4, 0, 3]
LOST = [1, 3, None, 1, 3, 3, 2, 4, 1, 4, 0, 3]  # without an answer to the third, which was right
LABEL = [answer(SCALE, STRATEGY, label) for label in LABELS]
TEXT = [answer(SCALE, STRATEGY, label) for label in SAID]
PAIR = {"label": LABEL, "predict": TEXT}
TABLE = pandas.DataFrame(PAIR)
LOST_TEXT = [said if lost is not None else None for said, lost in zip(TEXT, LOST)]
IDS = [f"a{n:04}" for n in range(12)]
IMAGES = [f"spaq/TestImage/a{n:04}.jpg" for n in range(12)]
ASKED = question(SCALE, STRATEGY)


def lines(**named) -> str:
    return "".join(json.dumps(dict(zip(named, row))) + "\n" for row in zip(*named.values()))


def table(delimiter=",", **named) -> str:
    return pandas.DataFrame(named).to_csv(sep=delimiter, index=False)


def chat(text, **more) -> dict:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]} | more


def refused() -> dict:
    return {"choices": [{"message": {"role": "assistant", "content": None, "refusal": "I cannot rate this."}}]}


def batch(texts, ids=IMAGES, body=chat) -> str:
    return "".join(
        json.dumps(
            {"id": f"b{n}", "custom_id": id, "response": {"status_code": 200, "body": body(text)}, "error": None}
        )
        + "\n"
        for n, (id, text) in enumerate(zip(ids, texts))
    )


def responses(text) -> dict:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"id": "resp_1", "output": [{"type": "reasoning", "summary": []}, said]}


def rows(make) -> str:
    return "".join(json.dumps(make(n)) + "\n" for n in range(12))


def written(folder, **files):
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
