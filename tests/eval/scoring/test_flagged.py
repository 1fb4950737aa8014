"""Labels to look at again: planted errors are found, and the file says what is needed to look."""

import csv
from pathlib import Path

import numpy as np
import pytest

from eval.score import main
from eval.scoring.flagged import HEAD, doubt, least_likely
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, to_row
from tests.helpers.predictions import exact_predictions, line, predictions

PLANTED = 12


def posteriors(rng, dataset: str, n: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """(true labels, distributions around them) of a model that is off by `width`, and knows it."""
    scale = SCALES[dataset]
    levels = np.arange(scale.lo, scale.hi + 1)
    label = rng.integers(scale.lo, scale.hi + 1, n)
    center = label + rng.normal(0, width, n)
    probs = np.exp(-((levels - center[:, None]) ** 2) / (2 * width**2)) + 1e-7
    return label, probs / probs.sum(1, keepdims=True)


@pytest.mark.parametrize(("dataset", "width", "far"), [("spaq", 0.5, 2), ("morph", 4.0, 20)])
def test_planted_errors_are_among_the_least_likely(dataset, width, far):
    """12 of 400 labels are moved by 2 levels, or 20 years: most of them are among the 24 least likely ones."""
    rng, scale = np.random.default_rng(0), SCALES[dataset]
    shares = []
    for _ in range(20):
        label, probs = posteriors(rng, dataset, 400, width)
        wrong = rng.choice(400, PLANTED, replace=False)
        label[wrong] += np.where(label[wrong] + far <= scale.hi, far, -far)
        run = predictions(dataset, label, probs=probs)
        found = [at for _, at, _ in least_likely([run], 2 * PLANTED)]
        shares.append(len(set(found) & set(wrong.tolist())) / PLANTED)
    assert np.mean(shares) >= 0.8


def test_p_and_what_is_at_or_beyond_the_label():
    probs = np.array([[0.1, 0.2, 0.4, 0.25, 0.05]] * 5)
    found = doubt(predictions("spaq", [0, 1, 2, 3, 4], probs=probs))
    assert found.p.tolist() == [0.1, 0.2, 0.4, 0.25, 0.05]
    assert found.beyond.tolist() == pytest.approx([0.1, 0.3, 0.7, 0.3, 0.05])
    assert found.expected.tolist() == pytest.approx([1.95] * 5)


def test_of_equal_ones_the_furthest_comes_first_and_unreadable_images_are_left_out():
    probs = np.array([[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [np.nan] * 5])
    run = predictions("spaq", [1, 4, 2, 2], [2, 2, 2, -1], probs=probs)
    assert [at for _, at, _ in least_likely([run])] == [1, 0, 2]
    assert least_likely([run, exact_predictions("spaq", 5)], 2)[0][1] == 1


def write(folder: Path, name: str, exact: bool = True) -> Path:
    """Predictions of 30 rows, of which the seventh has a wrong label."""
    label, probs = posteriors(np.random.default_rng(3), "spaq", 30, 0.4)
    label[6] = (probs[6].argmax() + 3) % 5
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        line("spaq", int(y), int(p.argmax()), id=f"i{n}", dataset="spaq", image=f"photos/{n}.jpg")[:-2]
        + (f', "probs": {p.tolist()}}}\n' if exact else "}\n")
        for n, (y, p) in enumerate(zip(label, probs))
    ]
    (folder / name).write_text("".join(rows))
    examples = [Example(f"i{n}", "spaq", f"built/{n}.jpg", int(y), SCALES["spaq"], "cot") for n, y in enumerate(label)]
    write_jsonl(folder.parent / "data" / "spaq_test.jsonl", map(to_row, examples))
    return folder / name


def flagged(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "image"), [("spaq_test.jsonl", "built/6.jpg"), ("spaq_train.jsonl", "photos/6.jpg")])
def test_the_file_says_where_the_row_is(tmp_path, monkeypatch, name, image):
    """Of a test row the test file names the image; train rows are in no test file, the prediction names it."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "run", name)
    assert main([str(path), "--flag-labels", "flagged.csv", "--data", "data"]) == 0
    rows = flagged(Path("flagged.csv"))
    assert tuple(rows[0]) == HEAD and len(rows) == 30
    first = rows[0]
    assert (first["dataset"], first["line"], first["id"], first["image"]) == ("spaq", "7", "i6", image)
    assert first["label"] != first["prediction"] and first["lowest"] == first["highest"] == "", "nothing is calibrated"
    p = [float(row["p of label"]) for row in rows]
    assert p == sorted(p) and p[0] < 0.05
    assert float(first["label - expected"]) == pytest.approx(
        int(first["label"][4]) - float(first["expected"]), abs=1e-5
    ), "rate3(Good) is level 3"


def test_texts_have_no_probabilities(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, exact = write(tmp_path / "text", "spaq_test.jsonl", exact=False), write(tmp_path / "exact", "spaq_test.jsonl")
    assert main([str(text), "--flag-labels", "flagged.csv"]) == 2
    assert "--flag-labels" in capsys.readouterr().err and not Path("flagged.csv").exists()
    assert main([str(text), str(exact), "--flag-labels", "flagged.csv"]) == 2
    assert str(text) in capsys.readouterr().err and len(flagged(Path("flagged.csv"))) == 30


def test_a_link_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("flagged.csv").symlink_to("elsewhere.csv")
    assert main([str(write(tmp_path / "run", "spaq_test.jsonl")), "--flag-labels", "flagged.csv"]) == 2
    assert Path("flagged.csv").is_symlink() and not Path("elsewhere.csv").exists()
