"""eval/serving/batching.py with a stand-in for the rater: what is rated together, and what a fault does."""

import threading
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from eval.serving.admission import Refused
from eval.serving.batching import Batcher, Job
from eval.serving.metrics import Metrics
from storm.custom_scale import read
from storm.rows import Example
from storm.scales import HDE, IQA

SIZE, MOST = 4, 12


class Rater:
    """Answers with the image's number; what it was given is in `blocks`. It waits until `open` is set."""

    def __init__(self):
        self.blocks, self.open, self.begun = [], threading.Event(), threading.Event()
        prompts: dict = {}
        self.tries, self.loaded = {}, SimpleNamespace(prompts=prompts)
        self.loaded.key = lambda question, size: (question, size)
        self.loaded.forget = lambda question: [prompts.pop(key) for key in list(prompts) if key[0] == question]
        self.settings = SimpleNamespace(cutoff_len=1000)

    def answers(self, examples, images):
        self.begun.set()
        assert self.open.wait(30)
        self.blocks.append([(example.scale.name, image.number) for example, image in zip(examples, images)])
        scales = {(example.scale, example.strategy) for example in examples}
        assert len(scales) == 1, "one question at a time"
        self.tries |= dict.fromkeys(scales)
        self.loaded.prompts |= {(e.question, i.size): [0] * 7 for e, i in zip(examples, images)}
        if any(image.number is None for image in images):
            raise RuntimeError("CUDA error")
        return [{"probs": [1.0], "mass": image.number} for image in images]


def job(number, scale=IQA) -> Job:
    return Job(Example("", "", "", scale.lo, scale, "cot"), SimpleNamespace(number=number, size=(8, 8)))


@pytest.fixture
def batcher():
    one = Batcher(Rater(), (IQA, HDE), SIZE, MOST, Metrics())
    yield one
    one.rater.open.set()
    one.stop()
    assert not one.thread.is_alive()


def busy(batcher) -> Job:
    """The model is rating this job, and waits."""
    first = job(0)
    batcher.submit([first])
    assert batcher.rater.begun.wait(30)
    return first


def test_equal_questions_are_rated_together_the_oldest_first(batcher):
    first = busy(batcher)
    jobs = [job(number, IQA if number % 2 else HDE) for number in range(1, 12)]
    for one in jobs:
        batcher.submit([one])
    batcher.rater.open.set()
    assert [one.answer.result(30)["mass"] for one in (first, *jobs)] == list(range(12))
    names = [(block[0][0], [number for _, number in block]) for block in batcher.rater.blocks]
    assert names[1:] == [("iqa", [1, 3, 5, 7]), ("hde", [2, 4, 6, 8]), ("iqa", [9, 11]), ("hde", [10])]
    assert first.answer.result()["tokens"] == 7


def test_what_comes_within_a_moment_is_one_batch(batcher):
    batcher.rater.open.set()
    jobs = [job(number) for number in range(SIZE)]
    for one in jobs:
        batcher.submit([one])
    [one.answer.result(30) for one in jobs]
    assert len(batcher.rater.blocks) < SIZE


def test_a_full_queue_refuses_all_questions_of_a_request(batcher):
    busy(batcher)
    batcher.submit([job(number) for number in range(MOST - 1)])
    with pytest.raises(Refused) as refused:
        batcher.submit([job(1), job(2)])
    assert (refused.value.status, len(batcher.jobs)) == (429, MOST - 1) and refused.value.retry_after >= 1


def test_a_fault_of_one_image_leaves_its_neighbors(batcher, capsys):
    busy(batcher)
    jobs = [job(1), job(None), job(2)]
    batcher.submit(jobs)
    batcher.rater.open.set()
    assert [jobs[0].answer.result(30)["mass"], jobs[2].answer.result(30)["mass"]] == [1, 2]
    with pytest.raises(Refused) as refused:
        jobs[1].answer.result(30)
    assert refused.value.status == 500 and "CUDA" not in str(refused.value)
    assert "CUDA error" in capsys.readouterr().err


def test_a_number_that_is_none_is_no_answer(batcher):
    batcher.rater.open.set()
    one = job(float("nan"))
    batcher.submit([one])
    with pytest.raises(Refused):
        one.answer.result(30)


def test_a_prompt_that_would_be_cut_off_is_no_answer(batcher):
    batcher.rater.settings.cutoff_len = 7
    batcher.rater.open.set()
    one = job(1)
    batcher.submit([one])
    with pytest.raises(Refused):
        one.answer.result(30)


def test_who_has_gone_is_not_rated(batcher):
    busy(batcher)
    gone, stays = job(1), job(2)
    batcher.submit([gone, stays])
    gone.answer.cancel()
    batcher.rater.open.set()
    assert stays.answer.result(30)["mass"] == 2
    assert batcher.rater.blocks[1] == [("iqa", 2)]
    with pytest.raises(CancelledError):
        gone.answer.result(0)


def test_the_end_answers_what_is_queued(batcher):
    busy(batcher)
    jobs = [job(number) for number in range(10)]
    batcher.submit(jobs)
    threading.Timer(0.1, batcher.rater.open.set).start()
    batcher.stop()
    assert [one.answer.result(0)["mass"] for one in jobs] == list(range(10))


def test_questions_of_clients_are_forgotten(batcher):
    batcher.rater.open.set()
    for number in range(5):
        own = read(f"{{name: request, rates: x{number}, levels: [Low, High]}}").scale
        one = job(number, own)
        batcher.submit([one, other := job(number)])
        one.answer.result(30), other.answer.result(30)
    time.sleep(0.05)
    assert set(batcher.rater.tries) == {(IQA, "cot")} and len(batcher.rater.loaded.prompts) == 1
