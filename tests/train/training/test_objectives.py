"""Objectives and targets against values worked out by hand."""

import math

import pytest

pytestmark = pytest.mark.slow  # imports torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def value(torch, name: str, probs: list[float], target: list[float], mass: float = 1.0) -> float:
    from train.training.objectives import OBJECTIVES

    logp = torch.tensor([mass * p for p in probs]).log()
    return float(OBJECTIVES[name].function(logp, torch.tensor(target)))


@pytest.mark.parametrize(
    ("name", "probs", "target", "expected"),
    [
        ("soft", [0.5, 0.25, 0.25], [1, 0, 0], math.log(2)),
        ("soft", [0.5, 0.25, 0.25], [0.5, 0.5, 0], 0.5 * math.log(2) + 0.5 * math.log(4)),
        ("expected", [0.5, 0.25, 0.25], [1, 0, 0], 0.375**2),  # expects level 0.75 of 2
        ("expected", [0.25, 0.5, 0.25], [0, 1, 0], 0),
        ("emd", [0.5, 0.25, 0.25], [1, 0, 0], (0.5**2 + 0.25**2) / 2),
        ("emd", [0.0, 0.0, 1.0], [1, 0, 0], 1),
        ("emd", [0.0, 1.0, 0.0], [1, 0, 0], 0.5),
    ],
)
def test_values(torch, name, probs, target, expected):
    assert value(torch, name, probs, target) == pytest.approx(expected, abs=1e-6)


def test_only_soft_moves_the_mass_of_other_texts(torch):
    probs, target = [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]
    assert value(torch, "soft", probs, target, 0.1) == pytest.approx(math.log(2) + math.log(10), abs=1e-6)
    for name in ("expected", "emd"):
        assert value(torch, name, probs, target, 0.1) == pytest.approx(value(torch, name, probs, target), abs=1e-6)


@pytest.mark.parametrize("name", ["soft", "expected", "emd"])
def test_the_target_has_the_least_value_and_gradients_lead_there(torch, name):
    from train.training.objectives import OBJECTIVES

    logits, target = torch.tensor([2.0, -1.0, 0.5], requires_grad=True), torch.tensor([0.2, 0.5, 0.3])
    for _ in range(4000):
        loss = OBJECTIVES[name].function(logits.log_softmax(0), target)
        [slope] = torch.autograd.grad(loss, logits)
        logits = (logits - slope).detach().requires_grad_()
    probs = logits.softmax(0)
    if name == "expected":
        assert float(probs @ torch.arange(3.0)) == pytest.approx(1.1, abs=0.02)
    else:
        assert probs.tolist() == pytest.approx(target.tolist(), abs=0.02)


def test_targets(torch):
    from train.training.objectives import TARGETS

    laplace, normal = TARGETS["laplace"](1, 4, 0.5, ()), TARGETS["normal"](1, 4, 0.5, ())
    assert (laplace[1] / laplace[0]).item() == pytest.approx(math.e**2, rel=1e-5)
    assert (laplace[1] / laplace[3]).item() == pytest.approx(math.e**4, rel=1e-5)
    assert (normal[1] / normal[3]).item() == pytest.approx(math.e**8, rel=1e-4)
    assert TARGETS["votes"](0, 3, 0.5, (0.2, 0.3, 0.5)).tolist() == pytest.approx([0.2, 0.3, 0.5])
    for name in ("laplace", "normal", "label"):
        assert TARGETS[name](1, 4, 0, ()).tolist() == [0, 1, 0, 0]
        assert TARGETS[name](1, 4, 0.7, ()).sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="storm.target=laplace"):
        TARGETS["votes"](0, 3, 0.5, ())
