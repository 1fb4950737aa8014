"""The table of what servers were asked and answered in a run."""

from collections.abc import Mapping, Sequence

from storm.text import Cell

TOKENS = ("tokens in", "tokens out")
# In this order. "429" and "5xx" are HTTP answers, after which the request was sent again; "given up" are rows.
COUNTS = ("requests", "429", "5xx", "refusal", "content filter", "empty", "cut off", "broken off", "warning")
COUNTS += ("not greedy", "given up", *TOKENS)

MOST = 3  # models and reasons that are named; our choice


def counts_table(files: Mapping[str, Mapping[str, int]], price: Sequence[float] | None) -> list[list[Cell]]:
    """Header and a row a file, with their sum, of the counts that are not all 0; [] if nothing was asked.

    price: of a million tokens read and written. A cost is empty if an answer did not say its tokens: notes() say so.
    """
    asked = {name: counts for name, counts in files.items() if counts.get("requests")}
    kinds = [kind for kind in COUNTS if any(counts.get(kind) for counts in asked.values())]
    if not kinds:
        return []
    sums = {kind: sum(counts.get(kind, 0) for counts in asked.values()) for kind in kinds}
    rows = asked | ({"all files": sums} if len(asked) > 1 else {})
    table: list[list[Cell]] = [["file", *kinds, *(["cost"] if price else [])]]
    for name, counts in rows.items():
        paid = [None if counts.get("no usage") else f"{cost(counts, price):.4f}"] if price else []
        table.append([name, *(counts.get(kind, 0) for kind in kinds), *paid])
    return table


def cost(counts: Mapping[str, int], price: Sequence[float]) -> float:
    """In the currency of the prices."""
    return sum(counts.get(kind, 0) * each for kind, each in zip(TOKENS, price, strict=True)) / 1e6


def notes(counts: Mapping[str, int], models: Mapping[str, int], reasons: Mapping[str, int], priced: bool) -> list[str]:
    """Lines behind the table: why a cost is empty, which models answered, and why rows have an error.

    counts, models, reasons: of all files; how many answers or rows.
    """
    lines = []
    if priced and (silent := counts.get("no usage")):
        lines.append(f"cost: not known, as {silent:,} answers do not say their tokens")
    if models:
        lines.append(f"answered by: {'; '.join(f'{name} ({count:,})' for name, count in _most(models))}")
    if reasons:
        lines += ["why rows have an error (the same command asks for them again):"]
        lines += [f"{count:>7,}  {reason}" for reason, count in _most(reasons)]
    return lines


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The MOST largest, and the others as one."""
    listed = sorted(counts.items(), key=lambda pair: -pair[1])
    rest = sum(count for _, count in listed[MOST:])
    return listed[:MOST] + ([("others", rest)] if rest else [])
