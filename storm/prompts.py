"""The four prompt strategies (Table 4) as rows, the question that asks for a scale, and the one answer for a label.

The words are in scales.py; parse.py reads answers back. A fifth strategy is one more row of `STRATEGIES`.
"""

from dataclasses import dataclass

from num2words import num2words

from storm.scales import Candidate, Scale, coarse_of


@dataclass(frozen=True)
class Strategy:
    """How a question is asked."""

    name: str  # in a row's "strategy", a command's --strategy, a folder's name
    paper: str  # the row of the paper's Table 4
    form: str  # which spelling of a Candidate is used: "both", "number" or "word"
    coarse: bool  # whether a coarse prediction is asked for before the fine one
    suffix: str  # at the end of the names of its files, datasets and recipes


STRATEGIES = {
    row.name: row
    for row in (
        Strategy("cot", "Num. + Text", form="both", coarse=True, suffix=""),
        Strategy("num", "Only Num.", form="number", coarse=True, suffix="_num"),
        Strategy("text", "Only Text", form="word", coarse=True, suffix="_text"),
        Strategy("direct", "w/o CoT", form="both", coarse=False, suffix="_direct"),
    )
}


def strategy_of(name: str) -> Strategy:
    """The strategy in the name of a dataset, file or recipe, by its suffix: storm_spaq_test_num -> num."""
    plain = next(row for row in STRATEGIES.values() if not row.suffix)
    return next((row for row in STRATEGIES.values() if row.suffix and name.endswith(row.suffix)), plain)


def shown(candidate: Candidate, strategy: str) -> str:
    """The candidate as questions and answers of this strategy write it. Raises KeyError for an unknown strategy."""
    return getattr(candidate, STRATEGIES[strategy].form)


def question(scale: Scale, strategy: str) -> str:
    """The user's turn, `<image>` first. Raises KeyError for an unknown strategy."""
    steps = scale.steps if STRATEGIES[strategy].coarse else ""
    return "<image> " + _filled(scale.role + steps, scale, strategy)


def task(scale: Scale, strategy: str) -> str:
    """The question without `<image>` and without a coarse step, for whatever does not answer by text."""
    return _filled(scale.role, scale, strategy)


def _filled(text: str, scale: Scale, strategy: str) -> str:
    row, names = STRATEGIES[strategy], [shown(c, strategy) for c in scale.fine]
    if scale.counted:  # E.3 gives the range, not 62 candidates
        lo, hi = (num2words(y) if row.form == "word" else y for y in (scale.lo, scale.hi))
        fine = f"from {lo} to {hi} {scale.suffix}"
    else:
        fine = ", ".join(names[:-1]) + scale.last_comma + names[-1]
    return text.format(coarse=", ".join(shown(c, strategy) for c in scale.coarse), fine=fine)


def answer(scale: Scale, strategy: str, label: int) -> str:
    """The assistant's turn for a label; exactly one text per label. Raises ValueError off the scale."""
    group = coarse_of(scale, label)
    fine = shown(scale.fine[label - scale.lo], strategy)
    if not STRATEGIES[strategy].coarse:
        return fine
    return scale.final.format(coarse=shown(group, strategy), fine=fine)


def answers(scale: Scale, strategy: str) -> dict[str, int]:
    """The closed set of valid answers, text -> label, in order of the labels."""
    return {answer(scale, strategy, label): label for label in range(scale.lo, scale.hi + 1)}
