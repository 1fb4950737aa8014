"""A limit of the gradient that accumulation would change is a warning with the value to write."""

from types import SimpleNamespace

import pytest

from tests.helpers.tiny_recipe import the_one
from train.checks.clipping import check_clipping
from train.checks.finding import Finding
from train.checks.job import Job


def limited(norm: float, number: int, **keys) -> list[Finding]:
    args = SimpleNamespace(per_device_train_batch_size=1, gradient_accumulation_steps=number, max_grad_norm=norm)
    return check_clipping(Job({"do_train": True} | keys, parsed=SimpleNamespace(training=args)))[1]


@pytest.mark.parametrize(
    ("norm", "number", "keys", "value"),
    [
        (1.0, 16, {}, "0.0625"),
        (0.0625, 128, {}, "0.0078125"),
        (0.0625, 1, {}, "1"),
        (0.0625, 16, {"deepspeed": "zero2.json"}, "1"),
    ],
)
def test_a_limit_of_another_accumulation(norm, number, keys, value):
    findings = limited(norm, number, **keys)
    assert the_one(findings, "warning").endswith(f"max_grad_norm={value}")


@pytest.mark.parametrize(
    ("norm", "number", "keys"),
    [(0.333, 3, {}), (1.0, 1, {}), (5.0, 1, {}), (0, 16, {}), (1.0, 16, {"deepspeed": "zero2.json"})],
)
def test_a_limit_that_is_meant(norm, number, keys):
    assert limited(norm, number, **keys) == []
