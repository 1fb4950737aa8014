"""Rating files and photographs of a user's own, and what `data_prep own` makes of them."""

import csv
import io
import random
from functools import cache
from pathlib import Path

from PIL import Image

from data_prep.__main__ import main
from tests.helpers.downloads import write


@cache
def _photograph(name: str) -> bytes:
    picture, png = Image.frombytes("L", (16, 16), random.Random(name).randbytes(256)), io.BytesIO()
    picture.resize((64, 64)).convert("RGB").save(png, format="PNG")
    return png.getvalue()


def images(folder: Path, *names: str) -> None:
    """Photographs that no check takes for duplicates of each other."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(_photograph(name))


def own(folder: Path, *words: object) -> int:
    """The exit code of `data_prep own` on files of a folder, which is also the image root."""
    sources = [folder / word if isinstance(word, str) and (folder / word).is_file() else word for word in words]
    out = ["--media", folder, "--out", folder / "out", "--workers", 1, "--test", "0.2"]
    return main(["own", *map(str, [*sources, *out])])


def labels(folder: Path) -> dict[str, tuple[str, str]]:
    """Image -> (label, subject) as they were written."""
    [path] = (folder / "out/manifest").glob("*.csv")
    with path.open(newline="") as file:
        return {row["id"]: (row["label"], row["subject"]) for row in csv.DictReader(file)}


def refused(folder: Path, capsys, *words: object) -> str:
    assert own(folder, *words) == 1
    assert not list((folder / "out").rglob("*.jsonl"))
    return capsys.readouterr().err


def lines(rows: list[tuple], head: str = "image,rating") -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n"


def numbers(folder: Path, cells: list[str]) -> str:
    images(folder, *(f"{n}.png" for n in range(len(cells))))
    write(folder / "a.csv", lines([(f"{n}.png", f'"{cell}"') for n, cell in enumerate(cells)]))
    return "a.csv"
