"""Test files that several tests join predictions to."""

import pytest

from eval.scoring import testsets
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, to_row
from tests.helpers.prediction_forms import IDS, IMAGES, LABELS, SCALE, STRATEGY


@pytest.fixture
def tests(tmp_path):
    rows = [Example(id, "spaq", image, label, SCALE, STRATEGY) for id, image, label in zip(IDS, IMAGES, LABELS)]
    write_jsonl(tmp_path / "data/direct/spaq_test.jsonl", map(to_row, rows))
    index, errors = testsets.index([tmp_path / "data"], SCALES)
    assert not errors
    return index
