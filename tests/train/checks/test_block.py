"""What train/run.py would refuse of a `storm:` block is an error of preflight: spelling, files, votes, scale."""

import pytest

from storm.files import write_jsonl
from tests.helpers.tiny_recipe import row, the_one, tiny_job
from train.checks.block import check_block
from train.checks.data import check_datasets, check_rows
from train.checks.finding import Finding

pytestmark = pytest.mark.slow  # imports torch


def block(*settings: str) -> list[Finding]:
    job = tiny_job(*settings)
    for check in (check_datasets, check_rows):
        job, findings = check(job)
    return check_block(job)[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["storm.objectiv=emd"], "objective"),
        (["storm={}"], "storm=null"),
        (["storm.objective=soft", "storm.target=votes"], "storm.target=laplace"),
        (["storm.objective=soft", "storm.target=laplace", "storm.scale=nowhere.yaml"], "nowhere.yaml"),
        (["storm.evaluate.every=2"], "python -m demo.photographs"),
        (["storm.evaluate.every=2", "deepspeed.zero_optimization.stage=3"], "ZeRO-3"),
        (["storm.objective=soft", "storm.target=laplace", "storm.width=fit"], "python -m demo.photographs"),
    ],
)
def test_a_block_that_cannot_be_run(work, settings, words):
    assert words in the_one(block(*settings))


def test_val_rows_that_are_trained_on(work):
    write_jsonl(work / "data/demo/demo_val.jsonl", [row(number) for number in range(3, 8)])
    assert "3.png is trained on" in the_one(block("storm.evaluate.every=2"))


def test_a_block_that_can_be_run(work):
    write_jsonl(work / "data/demo/demo_val.jsonl", [row(number, images=["99.png"]) for number in range(8)])
    (work / "images/99.png").write_bytes((work / "images/0.png").read_bytes())
    assert block() == []
    [finding] = block("storm.objective=soft", "storm.target=laplace", "storm.evaluate.every=2")
    assert finding == Finding("ok", "block", "scores 8 rows of demo_val")
    assert block("storm.objective=emd", "storm.sft=1", "dataset=nowhere") == [], "nothing was looked at"
