"""Rows, photographs and commands for tests of eval/predict.py --server, whose servers are stubs (stub_server.py)."""

import threading
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from storm.files import read_jsonl, write_jsonl
from storm.prompts import answer
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.stub_server import MODEL, chat, decision, image_of, pixel

ROWS = 40
PROBABILITIES = [0.1, 0.2, 0.4, 0.25, 0.05]


def make_world(folder: Path) -> Path:
    """Photographs of one color each, whose first value is the row's number, and test files; one has a lost image."""
    (folder / "media").mkdir()
    for number in range(ROWS):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / "media" / f"{number}.png")
    for name, dataset in (("own_test", "own"), ("spaq_test", "spaq")):
        rows = [Example(f"{n}", dataset, f"{n}.png", n % 5, IQA, "direct") for n in range(ROWS)]
        write_jsonl(folder / f"{name}.jsonl", map(to_row, rows))
    lost = [Example(f"{n}", "own", f"{n if n != 3 else 'gone'}.png", n % 5, IQA, "cot") for n in range(6)]
    write_jsonl(folder / "lost_test.jsonl", map(to_row, lost))
    return folder


def row_number(body: dict) -> int:
    return pixel(image_of(body))[0]


def label(body: dict, stub=None) -> dict:
    """The label of the image, as the direct answer."""
    return chat(answer(IQA, "direct", row_number(body) % 5))


def arguments(world: Path, out: Path, *urls: str, data: str = "own_test", **more: str | bool) -> list[str]:
    settings = {"server": ",".join(urls), "served_model": MODEL, "out": out, "media": world / "media"}
    settings |= {"decode": "generate", "data": world / f"{data}.jsonl"} | more
    words = [(f"--{name.replace('_', '-')}", value) for name, value in settings.items()]
    return [str(word) for name, value in words for word in ((name,) if value is True else (name, value))]


def read(out: Path, name: str = "own_test") -> list[dict]:
    return [line.row for line in read_jsonl(out / f"{name}.jsonl")]


def of_decisions(change: Callable[[dict], object], api: str = "decisions") -> Callable:
    """A server that answers with PROBABILITIES, after its answer was changed."""

    def decide(body: dict, stub) -> dict:
        if api == "decisions":
            whole = decision(body, PROBABILITIES)
            change(whole["answers"][0])
            return whole
        [(name, question)] = body["questions"].items()
        legend = {str(n): word for n, word in enumerate(question["criteria"])}
        found = {"type": "score", "legend": legend, "score": 1.95}
        found |= {"probabilities": {str(n): p for n, p in enumerate(PROBABILITIES)}}
        change(found)
        return {"answers": {name: found}, "diagnostics": {name: {"label_mass": found.pop("label_mass", 0.9)}}}

    return decide


def reversed_values(answer: dict) -> None:
    for row in answer["probabilities"]:
        row["value"] = 4 - row["value"]


def again_of() -> Callable[[int], bool]:
    """A function that says whether it was asked for this row's number before; for the threads of a stub."""
    lock, seen = threading.Lock(), set()

    def again(number: int) -> bool:
        with lock:
            before = number in seen
            seen.add(number)
        return before

    return again
