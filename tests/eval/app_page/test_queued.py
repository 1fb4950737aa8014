"""eval/app_page/queued.py: photographs of the page and questions of other clients wait in one queue."""

import threading
from types import SimpleNamespace

import pytest

from eval import app
from eval.app_page.queued import Queued
from eval.serving.batching import FAILED, Batcher
from eval.serving.metrics import Metrics
from storm.custom_scale import read
from storm.rows import Example
from storm.scales import IQA

TYPED = read("{name: own, rates: desks, levels: [Messy, Tidy]}").scale


class Rater:
    """Images are their names; the model fails on "huge", and "broken" cannot be read."""

    def __init__(self):
        self.tries, self.settings, self.open = {}, SimpleNamespace(cutoff_len=1000), threading.Event()
        self.loaded = SimpleNamespace(prompts={}, key=lambda question, size: question, forget=self.forgotten)
        self.threads, self.forgot = set(), []

    def forgotten(self, question):
        self.forgot.append(question)

    def images(self, block):
        errors = {e.id: {"predict": "", "error": f"/uploads/{e.image}: 0 bytes"} for e in block if e.image == "broken"}
        return {e.id: SimpleNamespace(name=e.image, size=(8, 8)) for e in block if e.image != "broken"}, errors

    def answers(self, block, images):
        self.threads.add(threading.current_thread().name)
        assert self.open.wait(30)
        self.tries |= {(example.scale, example.strategy): "a trie" for example in block}
        self.loaded.prompts |= {example.question: [0] for example in block}
        if any(image.name == "huge" for image in images):
            raise RuntimeError("CUDA out of memory")
        return [{"probs": [1.0], "mass": 0.5, "image": image.name} for image in images]


def examples(*names: str, scale=IQA) -> list[Example]:
    return [Example(str(number), "page", name, scale.lo, scale, "cot") for number, name in enumerate(names)]


@pytest.fixture
def queued():
    batcher = Batcher(Rater(), (IQA,), 4, 4, Metrics())
    yield Queued(batcher)
    batcher.rater.open.set()
    batcher.stop()


def test_rows_are_in_order_and_a_fault_costs_one(queued, capsys):
    queued.batcher.rater.open.set()
    rows = queued.rate(examples("a", "huge", "broken", "b"))
    assert [row.get("image") for row in rows] == ["a", None, None, "b"]
    assert rows[1]["error"] == FAILED and rows[2]["error"] == "/uploads/broken: 0 bytes"
    assert queued.batcher.rater.threads == {"model"}
    assert "CUDA out of memory" in capsys.readouterr().err  # for who runs the program
    with pytest.raises(ValueError, match=f"^a/huge: {FAILED}|^huge: {FAILED}"):
        app.rate(queued, "huge", IQA, "cot")
    with pytest.raises(ValueError, match="^broken: 0 bytes$"):  # without our folder
        app.rate(queued, "broken", IQA, "cot")


def test_a_full_queue_is_waited_for(queued):
    """A visitor sees no Retry-After; 8 photographs need 4 places twice."""
    done = []

    def visitor() -> None:
        done.append(queued.rate(examples("a", "b", "c", "d")))

    threads = [threading.Thread(target=visitor) for _ in range(3)]
    for thread in threads:
        thread.start()
    queued.batcher.rater.open.set()
    for thread in threads:
        thread.join(30)
    assert [[row["image"] for row in rows] for rows in done] == [["a", "b", "c", "d"]] * 3


def test_no_users_levels_stay_in_memory(queued):
    queued.batcher.rater.open.set()
    queued.rate(examples("a", scale=IQA))
    queued.rate(examples("a", scale=TYPED))
    assert list(queued.batcher.rater.tries) == [(IQA, "cot")]
    assert queued.batcher.rater.forgot == [examples("a", scale=TYPED)[0].question]


def test_a_batch_stops_when_the_program_ends(queued):
    queued.batcher.rater.open.set()
    queued.batcher.stop()
    with pytest.raises(ValueError, match="ending"):
        queued.rate(examples("a"))
