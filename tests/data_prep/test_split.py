"""Splits of the paper's sizes, the same every time, and no subject on both sides when asked."""

import random
from collections import Counter

import pytest

from data_prep.split import VAL, Rated, lite_size, shared_subjects, split, val_in_train
from storm.datasets import DATASETS, DatasetFacts, Sizes, as_is, equal_width
from storm.scales import IQA

PAPER = (
    *("spaq", "challengedb", "koniq", "aesthetics", "tad66k", "ava", "adience", "cacd", "morph", "utk", "eyepacs"),
    *("deepdr", "aptos", "hci"),
)


def dataset(**changes) -> DatasetFacts:
    texts = dict.fromkeys(("title", "url", "terms", "download", "domain"), "")
    plain = {"name": "toy", "scale": IQA, "label": as_is, "sizes": Sizes(0, 0, 0), "rows": 0, "test": 10}
    return DatasetFacts(**(texts | plain | changes))


def rated(count: int, labels: dict[int, int] | None = None, people: int = 0, parts: tuple[str, ...] = ("",)) -> list:
    of_class = [label for label, n in (labels or {0: count}).items() for _ in range(n)]
    return [
        Rated(f"{i:06d}", f"{i}.jpg", of_class[i], 0.0, f"p{i % people}" if people else "", parts[i % len(parts)])
        for i in range(count)
    ]


@pytest.mark.parametrize("which", DATASETS.values(), ids=lambda d: d.name)
def test_the_papers_sizes_come_out_of_the_rules(which):
    sizes = which.sizes
    if which.test is not None and not which.per_class:
        assert sizes.test == (sizes.train + sizes.test) // which.test
    if sizes.lite is None:
        assert which.lite == "none"
    else:
        assert sizes.lite == lite_size(which.lite, sizes.train)


def test_tables_6_and_7_add_up():
    papers = [DATASETS[name].sizes for name in PAPER]
    trained = [sizes for sizes in papers if sizes.lite is not None]
    assert sum(sizes.test for sizes in papers) == 80_382
    assert sum(s.train for s in trained) == 527_520
    assert sum(s.lite for s in trained) == 123_179


def test_every_row_is_in_one_split_and_input_order_does_not_matter():
    rows = rated(1_005)
    first = split(dataset(lite="ninth"), rows, "paper")
    shuffled = random.Random(1).sample(rows, len(rows))
    assert split(dataset(lite="ninth"), shuffled, "paper") == first
    assert (len(first.train), len(first.lite), len(first.test)) == (905, 101, 100)
    assert sorted(first.train + first.test) == rows
    assert first.lite == first.train[:101]
    assert [row.id for row in first.test[:4]] == ["000439", "000985", "000160", "000606"]  # seed 0, on every machine


def test_eyepacs_comes_out_class_by_class():
    classes = {0: 25_810, 1: 2_443, 2: 5_292, 3: 873, 4: 708}
    divided = split(dataset(per_class=True, lite="train"), rated(35_126, classes), "paper")
    assert (len(divided.train), len(divided.test)) == (31_599, 3_527)
    assert Counter(row.label for row in divided.test) == {0: 2_581, 1: 247, 2: 531, 3: 90, 4: 78}
    assert len({row.label for row in divided.test[:50]}) > 1, "classes are mixed"
    assert len({row.label for row in divided.train[:50]}) > 1, "in train, too"


def test_the_owners_split_is_kept():
    divided = split(dataset(test=None), rated(90, parts=("train", "train", "test")), "paper")
    assert {row.part for row in divided.train} == {"train"} and {row.part for row in divided.test} == {"test"}
    assert (len(divided.train), len(divided.test)) == (60, 30)


def test_subjects_are_shared_in_the_papers_split_and_in_no_other():
    rows = rated(1_000, people=50)
    paper, subject = (split(dataset(), rows, protocol) for protocol in ("paper", "subject"))
    assert len(shared_subjects(paper)) > 40
    assert shared_subjects(subject) == set()
    assert len(subject.test) == 100 and len(subject.train) == 900


def test_a_subject_on_both_sides_of_an_owners_split_is_refused_by_name():
    rows = rated(10, people=2, parts=("train",)) + [Rated("x", "x.jpg", 0, 0.0, "p1", "test")]
    with pytest.raises(ValueError, match="toy: subject 'p1' is in train and in test"):
        split(dataset(test=None), rows, "subject")
    assert shared_subjects(split(dataset(test=None), rows, "paper")) == {"p1"}


def test_equal_width_closes_its_last_level():
    assert [equal_width(score, 0, 10) for score in (0, 1.99, 2, 5, 7.99, 8, 10)] == [0, 0, 1, 2, 3, 4, 4]
    assert equal_width(3, 3, 3) == 0


def test_a_grade_must_be_whole():
    assert as_is(3.0, 0, 4) == 3
    with pytest.raises(ValueError, match="2.5 is not a whole number"):
        as_is(2.5, 0, 4)


def ids(rows: list[Rated]) -> set[str]:
    return {row.id for row in rows}


def test_validation_rows_are_train_rows_outside_of_lite_and_sizes_stay_the_papers():
    rows = rated(30_000)
    before = split(dataset(lite="ninth"), rows, "paper", val=0)
    divided = split(dataset(lite="ninth"), rows, "paper")
    assert divided[:3] == before[:3] and before.val == []
    assert len(divided.val) == VAL and ids(divided.val) <= ids(divided.train) - ids(divided.lite)
    assert val_in_train(divided) and not val_in_train(before)
    assert ids(split(dataset(lite="none"), rated(500), "paper").val) == ids(
        split(dataset(lite="none"), rated(500), "paper").train
    ), "a dataset that the paper does not train on: all of train"


def test_there_are_no_validation_rows_where_lite_is_all_of_train():
    assert split(dataset(lite="train"), rated(1_000), "paper").val == []


@pytest.mark.parametrize("lite", ["train", "ninth", "none"])
def test_a_share_of_train_is_taken_out(lite):
    rows = rated(1_000, {0: 700, 1: 300})
    divided = split(dataset(lite=lite), rows, "paper", val=0.1)
    assert [len(part) for part in (divided.train, divided.val, divided.test)] == [810, 90, 100]
    assert ids(divided.train) | ids(divided.val) | ids(divided.test) == ids(rows) and not val_in_train(divided)
    assert ids(divided.lite) <= ids(divided.train) and len(divided.lite) == lite_size(lite, 810)
    assert divided.test == split(dataset(lite=lite), rows, "paper").test, "test rows never depend on it"
    shuffled = random.Random(1).sample(rows, len(rows))
    assert split(dataset(lite=lite), shuffled, "paper", val=0.1) == divided
    by_class = split(dataset(lite=lite, per_class=True), rows, "paper", val=0.1)
    assert Counter(row.label for row in by_class.val) == {0: 63, 1: 27}


@pytest.mark.parametrize("lite", ["quarter", "none"])
@pytest.mark.parametrize("val", [None, 0.2])
def test_by_subject_no_subject_is_in_two_of_lite_val_and_test(lite, val):
    divided = split(dataset(lite=lite), rated(8_000, people=400), "subject", val)
    people = [{row.subject for row in part} for part in (divided.lite, divided.val, divided.test)]
    assert people[1] and people[2] and (people[0] or lite == "none")
    assert not people[0] & people[1] and not people[1] & people[2] and not people[0] & people[2]
    assert val_in_train(divided) == (val is None)
    if val:
        assert not people[1] & {row.subject for row in divided.train}


def test_of_an_owners_split_without_shared_subjects_whole_subjects_are_taken_out():
    rows = [
        row._replace(part="test" if place >= 80 else "train", subject=f"p{place // 2}")
        for place, row in enumerate(rated(100))
    ]
    divided = split(dataset(test=None), rows, "paper", val=0.25)
    assert len(divided.val) == 20 and not {row.subject for row in divided.val} & {row.subject for row in divided.train}


def test_a_share_of_too_few_rows_takes_none_and_never_all():
    divided = split(dataset(), rated(5), "subject", val=0.1)
    assert divided.val == [] and len(divided.train) == 5


def test_the_validation_rows_of_an_owner_are_kept_and_checked():
    rows = rated(90, parts=("train", "val", "test"))
    divided = split(dataset(test=None), rows, "subject", val=0.1)
    assert [{row.part for row in part} for part in (divided.train, divided.val, divided.test)] == [
        {"train"}, {"val"}, {"test"}
    ]  # fmt: skip
    rows = [row._replace(subject="me" if row.part in ("train", "val") else "") for row in rows]
    with pytest.raises(ValueError, match="subject 'me' is in train and in val"):
        split(dataset(test=None), rows, "subject", val=0.1)
