"""Blocks by tokens: small images in large batches, none larger than the budget, the same whatever the process."""

from types import SimpleNamespace

from PIL import Image

from eval.inference.blocks import WINDOW, of_rows, of_tokens, prompt_tokens
from storm.datasets import SCALES
from storm.rows import Example
from storm.scales import IQA


def rows(*sizes: int, scale=IQA, start: int = 0) -> list[Example]:
    """A row for each size, which its image's name says."""
    return [Example(str(start + n), "spaq", f"{size}.png", 0, scale, "cot") for n, size in enumerate(sizes)]


def size_of(row: Example) -> int:
    return int(row.image.removesuffix(".png"))


def sizes(blocks) -> list[list[int]]:
    return [[size_of(row) for row in block] for block in blocks]


def test_rows_times_the_longest_stay_below_the_budget():
    assert sizes(of_tokens(rows(10, 90, 10, 10, 80, 10), size_of, 200, 99)) == [[90, 80], [10, 10, 10, 10]]
    assert sizes(of_tokens(rows(10, 500, 10), size_of, 200, 99)) == [[500], [10, 10]], "one alone may be longer"
    assert sizes(of_tokens(rows(*[10] * 7), size_of, 200, 3)) == [[10] * 3, [10] * 3, [10]]


def test_rows_of_one_size_stay_in_order_and_no_row_is_lost():
    many = rows(*[7] * (WINDOW + 50))
    flat = [row.id for block in of_tokens(many, size_of, 70, 99) for row in block]
    assert flat == [row.id for row in many]
    mixed = rows(*[1 + n * 7 % 60 for n in range(2 * WINDOW)])
    blocks = list(of_tokens(mixed, size_of, 300, 99))
    assert sorted(int(row.id) for block in blocks for row in block) == list(range(2 * WINDOW))
    assert all(len(block) * max(map(size_of, block)) <= 300 for block in blocks)
    assert {int(row.id) for block in blocks[: len(blocks) // 2] for row in block} <= set(range(WINDOW + 20))


def test_a_block_has_one_question():
    both = rows(10, 10) + rows(10, scale=SCALES["utk"], start=2)
    assert [len(block) for block in of_tokens(both, size_of, 999, 99)] == [2, 1]
    assert [len(block) for block in of_rows(both, 9)] == [2, 1]


def test_tokens_are_counted_from_headers(tmp_path):
    """Of a file that says its size and then ends: nothing is decoded. One that cannot be read has none."""
    Image.new("RGB", (56, 28)).save(tmp_path / "1.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:60])
    loaded = SimpleNamespace(tokenizer=lambda text: {"input_ids": text.split()}, counts=lambda size: (1000 * size[0],))
    tokens = prompt_tokens(SimpleNamespace(loaded=loaded, settings=SimpleNamespace(media=tmp_path)))
    [row, gone] = rows(1, 2)
    text = len(row.question.split())
    assert (tokens(row), tokens(gone)) == (text + 56000, text)
