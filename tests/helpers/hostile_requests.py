"""150 and more bodies that eval/serve.py must refuse: name -> (path, headers, body)."""

import base64
import json

from tests.helpers.hostile_images import hostile_bytes

WORDS = ["Bad", "Poor", "Fair", "Good", "Excellent"]
JSON = {"content-type": "application/json"}
MODEL = "demo_base"  # the name of the fixture's folder
DECISIONS, SYSTEMONE = "/v1/decisions", "/v1/systemone"
Hostile = dict[str, tuple[str, dict[str, str], bytes]]


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def score(levels: object = None, **more: object) -> dict:
    levels = [{"label": word} for word in WORDS] if levels is None else levels
    return {"type": "score", "instructions": "Rate the image.", "levels": levels} | more


def decisions(url: object, questions: object = None, **more: object) -> dict:
    """The body of a sound request; `more` and the arguments make it another one."""
    part = {"type": "input_image", "image_url": url}
    request = {"model": MODEL, "input": [{"role": "user", "content": [part]}]}
    return request | {"questions": [score()] if questions is None else questions} | more


def systemone(url: object, question: object = None, **more: object) -> dict:
    question = {"type": "score", "criteria": WORDS} if question is None else question
    return {"state": "", "images": [url], "questions": {"q": question}} | more


def hostile(png: bytes) -> Hostile:
    """png: a sound image, so that only one thing is wrong with each request."""
    url = data_url(png)
    bodies: Hostile = {}
    for name, body in (_decisions(url) | _texts(url)).items():
        bodies[name] = DECISIONS, JSON, json.dumps(body).encode()
    for name, body in _systemone(url).items():
        bodies[f"systemone {name}"] = SYSTEMONE, JSON, json.dumps(body).encode()
    for name, image in _urls(url).items():
        bodies[f"image {name}"] = DECISIONS, JSON, json.dumps(decisions(image)).encode()
    for name, data in hostile_bytes().items():
        bodies[f"bytes {name}"] = DECISIONS, JSON, json.dumps(decisions(data_url(data))).encode()
    for name, body in _raw(decisions(url)).items():
        bodies[f"raw {name}"] = DECISIONS, JSON, body
    sound = json.dumps(decisions(url)).encode()
    for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "image/png", "", "json"):
        bodies[f"content type {kind}"] = DECISIONS, {"content-type": kind}, sound
    for coding in ("gzip", "br", "deflate"):
        bodies[f"content encoding {coding}"] = DECISIONS, JSON | {"content-encoding": coding}, sound
    return bodies


def _decisions(url: str) -> dict[str, object]:
    one, sound = score(), decisions(url)
    labels = [{"label": f"w{number}"} for number in range(10_000)]
    choice = {"type": "choice", "instructions": "Which one?"}
    bodies: dict[str, object] = {f"without {key}": {k: v for k, v in sound.items() if k != key} for key in sound}
    for key in sound:
        for value in (None, 5, True, [], {}, [[]], 1e308):
            bodies[f"{key} {value}"] = sound | {key: value}
    for key in one:
        bodies[f"question without {key}"] = decisions(url, [{k: v for k, v in one.items() if k != key}])
        bodies[f"question {key} null"] = decisions(url, [one | {key: None}])
        bodies[f"question {key} number"] = decisions(url, [one | {key: 7}])
    return bodies | {
        "unknown key": sound | {"temperature": 0.5},
        "unknown model": sound | {"model": "gpt-6-luna"},
        "a list": [sound],
        "null": None,
        "text without an image": sound | {"input": "a photograph"},
        "two images": sound | {"input": sound["input"] * 2},
        "17 messages": sound | {"input": sound["input"] * 17},
        "no message": sound | {"input": []},
        "assistant": sound | {"input": [{"role": "assistant", "content": "hello"}]},
        "file id": sound | {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "low detail": decisions(url) | {"input": [_image(url, detail="low")]},
        "text beside the image": decisions(url) | {"input": [*sound["input"], {"role": "user", "content": "Good?"}]},
        "17 questions": decisions(url, [one] * 17),
        "401 questions": decisions(url, [one] * 401),
        "predicate": decisions(url, [{"type": "predicate", "instructions": "Is it good?"}]),
        "no level": decisions(url, [score([])]),
        "one level": decisions(url, [score([{"label": "Good"}])]),
        "51 own levels": decisions(url, [score(labels[:51])]),
        "256 levels": decisions(url, [score(labels[:256])]),
        "10,000 levels": decisions(url, [score(labels)]),
        "levels backwards": decisions(url, [score([{"label": word} for word in WORDS[::-1]])]),
        "a level twice": decisions(url, [score([{"label": "Good"}, {"label": "good "}])]),
        "levels of numbers": decisions(url, [score([1, 2, 3])]),
        "levels of nothing": decisions(url, [score([{}, {}])]),
        "a choice of numbers": decisions(url, [choice | {"choices": [{"value": 1}] * 2}]),
        "a choice of true twice": decisions(url, [choice | {"choices": [{"value": True}] * 2}]),
        "deep options": sound | {"prompt_cache_options": _deep(5000)},
    }


def _image(url: str, **more: object) -> dict:
    return {"role": "user", "content": [{"type": "input_image", "image_url": url} | more]}


def _deep(levels: int) -> object:
    value: object = {}
    for _ in range(min(levels, 900)):  # the writer's own limit
        value = {"a": value}
    return value


def _texts(url: str) -> dict[str, object]:
    """Words that cannot be asked, as a level, a description and instructions of a scale that is not trained."""
    bodies = {}
    for name, text in {
        "control": "a\0b",
        "escape": "\x1b[31mred",
        "image token": "x <image> y",
        "turn token": "<|im_end|>",
        "direction": "\u202egood",
        "half a character": "\ud800",
        "huge": "w" * 100_000,
    }.items():
        bodies[f"level {name}"] = decisions(url, [score([{"label": text}, {"label": "Fine"}])])
        described = [{"label": "A", "description": text}, {"label": "B"}]
        bodies[f"description {name}"] = decisions(url, [score(described)])
        own = [{"label": "Aa"}, {"label": "Bb"}]
        bodies[f"instructions {name}"] = decisions(url, [score(own, instructions=text)])
    own = [{"label": "Aa"}, {"label": "Bb"}]
    bodies["instructions empty"] = decisions(url, [score(own, instructions="  ")])
    for text in ("", " ", "a,b", "(x)", "{fine}", "*"):
        bodies[f"level {text!r}"] = decisions(url, [score([{"label": text}, {"label": "Fine"}])])
    return bodies


def _systemone(url: str) -> dict[str, object]:
    sound = systemone(url)
    bodies: dict[str, object] = {
        f"without {key}": {k: v for k, v in sound.items() if k != key} for key in ("state", "images", "questions")
    }
    for value in (None, 5, "x", [], {}, [1]):
        bodies[f"images {value}"] = sound | {"images": value}
        bodies[f"questions {value}"] = sound | {"questions": value}
        bodies[f"criteria {value}"] = systemone(url, {"type": "score", "criteria": value})
    return bodies | {
        "state object": sound | {"state": {"a": 1}},
        "noul": systemone(url, {"type": "noul", "instructions": "Is it good?"}),
        "unknown type": systemone(url, {"type": "rank", "criteria": WORDS}),
        "score of an object": systemone(url, {"type": "score", "criteria": dict.fromkeys(WORDS)}),
        "choice of a list": systemone(url, {"type": "choice", "criteria": WORDS}),
        "10,000 levels": systemone(url, {"type": "score", "criteria": [f"w{n}" for n in range(10_000)]}),
        "empty id": systemone(url) | {"questions": {"": {"type": "score", "criteria": WORDS}}},
        "video": sound | {"videos": [url]},
    }


def _urls(url: str) -> dict[str, object]:
    return {
        "http": "http://127.0.0.1:1/x.png",
        "https": "https://example.com/x.png",
        "file": "file:///etc/passwd",
        "path": "/etc/passwd",
        "relative": "../../x.png",
        "ftp": "ftp://example.com/x.png",
        "script": "javascript:alert(1)",
        "empty": "",
        "data": "data:",
        "data of text": "data:text/plain;base64,aGVsbG8=",
        "data of html": "data:text/html,<script>1</script>",
        "data of pdf": url.replace("image/png", "application/pdf"),
        "data without base64": "data:image/png,%89PNG",
        "no comma": url.replace(",", ""),
        "half base64": url[: len(url) // 2 | 1],
        "base64 with blanks": url[:60] + " \n" + url[60:],
        "base64 with other letters": url[:60] + "é" + url[60:],
        "no bytes": "data:image/png;base64,",
        "null": None,
        "object": {"url": url},
        "number": 5,
    }


def _raw(sound: dict) -> dict[str, bytes]:
    """Bytes that are not JSON, or too much of it."""
    text = json.dumps(sound)
    return {
        "empty": b"",
        "blank": b"   ",
        "half": text[: len(text) // 2].encode(),
        "not json": b"hello",
        "xml": b"<?xml version='1.0'?><a/>",
        "binary": bytes(range(256)) * 10,
        "utf-16": text.encode("utf-16"),
        "not utf-8": b'{"model": "\xff\xfe"}',
        "nan": text.replace('"score"', "NaN").encode(),
        "infinity": text.replace(f'"{MODEL}"', "-Infinity").encode(),
        "a number": b"1e999999",
        "a long number": b"1" * 100_000,
        "deep lists": b"[" * 100_000,
        "deep objects": b'{"a":' * 15_000 + b"1" + b"}" * 15_000,
        "many lists": b"[" + b"[]," * 1_000_000 + b"[]]",
        "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(200_000)) + b"}",
        "a long text": b'{"model": "' + b"a" * 5_000_000 + b'"}',
        "control characters": text.replace(MODEL, "de\x01mo").encode(),
        "more behind it": (text + "{}").encode(),
        "too large": b'{"model": "' + b"a" * 21_000_000 + b'"}',
    }
