"""eval/app_page/batch.py: many photographs, and their csv file."""

import csv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.app_page import batch
from eval.app_page.batch import csv_text, rate_batch
from eval.app_page.uploads import Photograph
from storm.custom_scale import load, read
from storm.prompts import STRATEGIES, answer, question
from storm.scales import IQA
from tests.helpers.paths import ROOT

APPEAL = load(ROOT / "examples/product_photos/scale.yaml").scale
PROBS = [0, 0.1, 0.2, 0.6, 0.1]  # on APPEAL: .22 + .6 + 2.28 + .46 = 3.56


def row(scale, strategy: str = "cot", probs: list[float] = PROBS, mass: float = 0.75) -> dict:
    label = scale.lo + probs.index(max(probs))
    return {"predict": answer(scale, strategy, label), "probs": probs, "entropy": 1.0889, "mass": mass}


class Reader:
    """A rater with one answer for whatever it can read; a photograph of the word "broken" it cannot."""

    def __init__(self, media: Path, mass: float = 0.75):
        self.settings, self.mass, self.blocks, self.questions = SimpleNamespace(media=media), mass, [], set()

    def rate(self, block):
        self.blocks.append([Path(example.image).read_text() for example in block])
        self.questions |= {example.question for example in block}
        return [self.one(example) for example in block]

    def one(self, example) -> dict:
        if Path(example.image).read_text() == "broken":
            return {"predict": "", "error": f"{example.image}: starts with b'broken'"}
        return row(example.scale, example.strategy, mass=self.mass)


def photos(folder: Path, **texts: str) -> list[Photograph]:
    """Uploads NAME.png of these texts, each in a file of another name, as Gradio's are."""
    for name, text in texts.items():
        (folder / f"upload_{name}.png").write_text(text)
    return [Photograph(f"{name}.png", str(folder / f"upload_{name}.png")) for name in texts]


def lines(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8-sig").splitlines()))


def quiet(done: int, count: int) -> None:
    pass


def test_a_csv_by_hand(tmp_path):
    reader = Reader(tmp_path)
    done = rate_batch(reader, photos(tmp_path, b="two", a="one", c="broken"), APPEAL, "cot", quiet)
    assert reader.questions == {question(APPEAL, "cot")}
    words = [f"p_{word}" for word in ("Repelling", "Dull", "Acceptable", "Attractive", "Irresistible")]
    rated = {"label": "3", "word": "Attractive", "value": "3.56", "coarse": "Sells", "error": ""}
    rated |= {"entropy": "1.0889", "mass": "0.75"}
    rated |= dict(zip(words, ["0", "0.1", "0.2", "0.6", "0.1"]))
    read = lines(done.csv)
    assert list(read[0]) == ["image", "label", "word", "value", "coarse", *words, "entropy", "mass", "error"]
    assert read[:2] == [{"image": "a.png"} | rated, {"image": "b.png"} | rated]
    assert read[2] == dict.fromkeys(read[0], "") | {"image": "c.png", "error": "starts with b'broken'"}
    assert done.rows == [
        ["a.png", "Attractive", "3.560", ""],
        ["b.png", "Attractive", "3.560", ""],
        ["c.png", "", "", "starts with b'broken'"],
    ]
    assert done.summary.startswith("2 of 3 photographs rated") and done.warning == ""
    assert Path(done.csv).name == "appeal_predictions.csv"


def test_what_is_counted_has_a_number_and_no_columns_of_levels(tmp_path):
    months = read("{name: baby, rates: the age of a baby, unit: months, range: [0, 36]}").scale
    probs = [0.0] * 23 + [0.6, 0.4] + [0.0] * 12
    [head, cells] = csv.reader(
        csv_text([Photograph("a.png", "")], [row(months, "cot", probs)], months, "cot").splitlines()
    )
    assert head == ["image", "label", "word", "value", "coarse", "entropy", "mass", "error"]
    assert cells == ["a.png", "23", "23 months", "23.4", "Middle", "1.0889", "0.75", ""]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words_are_the_same_in_every_strategy(strategy):
    text = csv_text([Photograph("a.png", "")], [row(IQA, strategy)], IQA, strategy)
    [line] = csv.DictReader(text.splitlines())
    coarse = "Above Fair" if STRATEGIES[strategy].coarse else ""
    assert (line["word"], line["value"], line["coarse"]) == ("Good", "2.7", coarse)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('=cmd|" /C calc"!A0.png', '\'=cmd|" /C calc"!A0.png'),
        ("+1.png", "'+1.png"),
        ("@SUM(A1).png", "'@SUM(A1).png"),
        ("-1.png", "'-1.png"),
        ("\t=1.png", "\\t=1.png"),
        ("a\r\n=1,2.png", "a\\r\\n=1,2.png"),
        ('a","=1.png', 'a","=1.png'),
        ("größe.png", "größe.png"),
        ("\ud800.png", "\\ud800.png"),
    ],
)
def test_hostile_names_are_one_cell(tmp_path, name, shown):
    [photo] = photos(tmp_path, a="one")
    done = rate_batch(Reader(tmp_path), [Photograph(name, photo.path)], APPEAL, "cot", quiet)
    text = Path(done.csv).read_text(encoding="utf-8-sig")
    [head, cells] = csv.reader(text.splitlines())
    assert cells[0] == shown and len(cells) == len(head)
    assert text.splitlines()[1].startswith('"') and text.splitlines()[1].count('","') >= len(head) - 1  # all are quoted


def test_blocks_and_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "BLOCK", 2)
    reader, told = Reader(tmp_path), []
    uploads = photos(tmp_path, a="1", b="2", c="3", d="4", e="5")
    rate_batch(reader, uploads, APPEAL, "cot", lambda *done: told.append(done))
    assert reader.blocks == [["1", "2"], ["3", "4"], ["5"]]
    assert told == [(0, 5), (2, 5), (4, 5)]


def test_a_zip_is_deleted_when_it_is_rated(tmp_path):
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("../../x.png", "one")
        archive.writestr("y.png", "broken")
        archive.writestr("notes.txt", "")
    done = rate_batch(Reader(tmp_path), [Photograph("z.zip", str(tmp_path / "z"))], APPEAL, "cot", quiet)
    assert [(line["image"], line["error"]) for line in lines(done.csv)] == [
        ("../../x.png", ""),
        ("y.png", "starts with b'broken'"),
    ]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "z", Path(done.csv)}
    assert "1 other" in done.summary
    (tmp_path / "z").write_text("not a zip")
    with pytest.raises(ValueError, match="^z.zip: "):
        rate_batch(Reader(tmp_path), [Photograph("z.zip", str(tmp_path / "z"))], APPEAL, "cot", quiet)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "z", Path(done.csv)}


def test_little_mass_is_a_warning(tmp_path):
    uploads = photos(tmp_path, a="one", b="two", c="broken")
    assert "2 of 2" in rate_batch(Reader(tmp_path, mass=0.49), uploads, APPEAL, "cot", quiet).warning
    assert not rate_batch(Reader(tmp_path, mass=0.5), uploads, APPEAL, "cot", quiet).warning


def test_photographs_of_one_name_are_said(tmp_path):
    """Browsers do not send the folders of a folder."""
    [one, two] = photos(tmp_path, a="one", b="two")
    done = rate_batch(Reader(tmp_path), [one, two._replace(name="a.png")], APPEAL, "cot", quiet)
    assert "2 are called a.png" in done.summary
    assert "called" not in rate_batch(Reader(tmp_path), [one, two], APPEAL, "cot", quiet).summary
