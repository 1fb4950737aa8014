"""Pictures of the demo's predictions: `python -m demo.show` writes confusion.png and examples.png beside them."""

import sys
from pathlib import Path

import jsonlines
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay

from data_prep.parse import parse
from data_prep.scales import IQA
from demo.photographs import OUT as DATA

PREDICTIONS = Path("saves/demo_predict/generated_predictions.jsonl")
WORDS = [level.word for level in IQA.fine]
COLUMNS = 6  # examples of each true rating


def read(data: Path, predictions: Path) -> list[tuple[Path, int, int | None]]:
    """(image, true level, predicted level or None if unparsed) of each test row.

    LLaMA-Factory keeps the order of the test file but no ids: rows are joined by position, and every label must agree.
    Raises ValueError where the two files part.
    """
    rows = []
    with jsonlines.open(data / "demo_test.jsonl") as tests, jsonlines.open(predictions) as answers:
        for line, (test, row) in enumerate(zip(tests, answers, strict=True), 1):
            if row["label"].strip() != test["conversations"][1]["value"]:
                raise ValueError(f"{predictions}, line {line}: label {row['label']!r} is not that of {test['id']}")
            rating = parse(IQA, "cot", row["predict"])
            rows.append((data / test["images"][0], test["label"], rating.label if rating else None))
    return rows


def confusion(rows: list[tuple[Path, int, int | None]], path: Path) -> None:
    """True against predicted rating; answers that could not be parsed, if any, have a column of their own."""
    true = [WORDS[level] for _, level, _ in rows]
    said = ["unparsed" if level is None else WORDS[level] for _, _, level in rows]
    labels = [*WORDS, "unparsed"] if "unparsed" in said else WORDS
    figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(true, said, labels=labels, ax=axes, cmap="Blues", colorbar=False)
    axes.set_title(f"{len(rows)} crops of unseen photographs")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def examples(rows: list[tuple[Path, int, int | None]], path: Path) -> None:
    """A sheet of test crops, evenly spaced over the test file: a line for each true rating, predictions as titles."""
    figure, grid = plt.subplots(len(WORDS), COLUMNS, figsize=(COLUMNS * 1.5, len(WORDS) * 1.75), layout="constrained")
    for level, line in enumerate(grid):
        of_level = [row for row in rows if row[1] == level]
        chosen = [of_level[i] for i in np.linspace(0, len(of_level) - 1, COLUMNS).astype(int)]
        for axes, (image, _, predicted) in zip(line, chosen):
            axes.imshow(Image.open(image))
            colour = "tab:green" if predicted == level else "tab:red"
            axes.set_title("unparsed" if predicted is None else WORDS[predicted], color=colour, fontsize=10)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(WORDS[level], fontsize=12)
    figure.suptitle("True rating at the left, predicted above each crop")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    try:
        rows = read(DATA, PREDICTIONS)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error} (run `make demo`)")
    folder = PREDICTIONS.parent
    confusion(rows, folder / "confusion.png")
    examples(rows, folder / "examples.png")
    print(f"\nIn {folder}: confusion.png, examples.png, generated_predictions.jsonl, score.json")


if __name__ == "__main__":
    main()
