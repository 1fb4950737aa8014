"""How own ratings are divided: by subject, evenly over the levels if wanted, or as the user says."""

from collections import Counter

import pytest

from data_prep.own_split import Shares, own_split
from data_prep.split import Rated


def rows(count: int, subjects: int = 0, part=lambda n: "") -> list[Rated]:
    """Rows with labels 0, 0, 0, 0, 1, again and again, of people in turn."""
    return [
        Rated(f"{n:04}", f"{n}.jpg", int(n % 5 == 4), float(n), f"p{n % subjects}" if subjects else "", part(n))
        for n in range(count)
    ]


def sizes(divided) -> list[int]:
    return [len(getattr(divided, part)) for part in ("train", "val", "test")]


def test_shares_of_images_without_subjects():
    divided = own_split(rows(100), Shares(test=0.2, val=0.1), [])
    assert sizes(divided) == [72, 8, 20]
    assert not {row.id for row in divided.test} & {row.id for row in [*divided.train, *divided.val]}


def test_the_seed_changes_the_draw_and_the_order_of_the_file_does_not():
    one, again = own_split(rows(100), Shares(), []), own_split(rows(100)[::-1], Shares(), [])
    assert one == again != own_split(rows(100), Shares(seed=1), [])


def test_no_subject_is_in_two_parts():
    divided = own_split(rows(300, subjects=30), Shares(test=0.2, val=0.2), [])
    parts = [{row.subject for row in part} for part in (divided.train, divided.val, divided.test)]
    assert all(sizes(divided)) and not parts[0] & parts[1] and not (parts[0] | parts[1]) & parts[2]


@pytest.mark.parametrize("seed", range(5))
def test_stratified_parts_have_the_same_share_of_each_level(seed):
    divided = own_split(rows(200), Shares(seed=seed, stratify=True), [])
    assert Counter(row.label for row in divided.test) == {0: 16, 1: 4}
    assert Counter(row.label for row in divided.val) == {0: 14, 1: 4}


def test_the_users_parts_win_and_missing_ones_are_drawn_from_train():
    divided = own_split(rows(100, part=lambda n: "test" if n < 30 else "train"), Shares(val=0.1), [])
    assert sizes(divided) == [63, 7, 30] and {row.part for row in divided.test} == {"test"}


def test_a_subject_in_two_parts_of_the_users_split_is_named_or_allowed():
    both = rows(20, subjects=5, part=lambda n: "test" if n < 3 else "train")
    with pytest.raises(ValueError, match="3 subjects are in train and in test .*p0, p1, p2.*--allow-shared-subjects"):
        own_split(both, Shares(val=0), [])
    notes: list[str] = []
    assert sizes(own_split(both, Shares(val=0, allow_shared_subjects=True), notes)) == [17, 0, 3]
    assert "p0, p1, p2" in notes[0]


def test_a_large_subject_takes_no_rows_from_the_share_of_another_level():
    """90 rows of level 0 by three people, ten of level 1 by as many."""
    large = [Rated(f"a{n:03}", f"{n}.jpg", 0, 0.0, f"p{n % 3}", "") for n in range(90)]
    small = [Rated(f"b{n:03}", f"{n}.jpg", 1, 1.0, "", "") for n in range(10)]
    divided = own_split([*large, *small], Shares(test=0.1, val=0, stratify=True), [])
    assert Counter(row.label for row in divided.test) == {0: 30, 1: 1}


def test_of_two_subjects_none_is_for_validation():
    notes: list[str] = []
    assert sizes(own_split(rows(20, subjects=2), Shares(), notes)) == [10, 0, 10]
    assert "no validation rows" in notes[0]
