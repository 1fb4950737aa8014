"""What a scale is, the question that asks for it, and the one right answer for a label.

The scales themselves, with the paper's prompts, are data in scales.py; parse.py reads answers back.
"""

from dataclasses import dataclass

from num2words import num2words

STRATEGIES = ("cot", "num", "text", "direct")  # Table 4: Num. + Text, Only Num., Only Text, w/o CoT


def suffix(strategy: str) -> str:
    """What stands behind a stanza's name for a strategy: nothing for cot."""
    return "" if strategy == "cot" else f"_{strategy}"


@dataclass(frozen=True)
class Candidate:
    """One thing the model may say, with or without its word. Covers the labels lo..hi, both included."""

    lo: int
    hi: int
    both: str  # "rate3-4(Above Fair)", strategies cot and direct
    number: str  # "rate3-4", strategy num
    word: str  # "Above Fair", strategy text

    def shown(self, strategy: str) -> str:
        """The candidate as questions and answers of this strategy write it."""
        return {"cot": self.both, "direct": self.both, "num": self.number, "text": self.word}[strategy]


@dataclass(frozen=True)
class Scale:
    """An ordinal scale and how to ask for it. Labels are the integers of `fine[0].lo` .. `fine[-1].hi`.

    `role` is the question up to the scale, `steps` the coarse-to-fine rest; in both, {coarse} and {fine}
    stand for the candidates. `final` is the answer line, with {coarse} and {fine} for the two parts.
    """

    name: str
    unit: str  # "level" or "years", of labels and of the mean absolute error
    fine: tuple[Candidate, ...]  # one per label, in order
    coarse: tuple[Candidate, ...]  # covers every label once, in order
    final: str
    role: str
    steps: str
    last_comma: str = ", "  # what joins the last two candidates in the question

    @property
    def lo(self) -> int:
        return self.fine[0].lo

    @property
    def hi(self) -> int:
        return self.fine[-1].hi


def coarse_of(scale: Scale, label: int) -> Candidate:
    """The coarse group that contains the label. Raises ValueError for a label off the scale."""
    for group in scale.coarse:
        if group.lo <= label <= group.hi:
            return group
    raise ValueError(f"label {label!r} is not on the scale {scale.name} ({scale.lo}..{scale.hi})")


def question(scale: Scale, strategy: str) -> str:
    """The user's turn, `<image>` first. Raises KeyError for an unknown strategy."""
    shown = [c.shown(strategy) for c in scale.fine]
    if scale.unit == "years":  # E.3 gives the range, not 62 candidates
        lo, hi = (num2words(y) if strategy == "text" else y for y in (scale.lo, scale.hi))
        fine = f"from {lo} to {hi} years old"
    else:
        fine = ", ".join(shown[:-1]) + scale.last_comma + shown[-1]
    coarse = ", ".join(c.shown(strategy) for c in scale.coarse)
    text = scale.role if strategy == "direct" else scale.role + scale.steps
    return "<image> " + text.format(coarse=coarse, fine=fine)


def answer(scale: Scale, strategy: str, label: int) -> str:
    """The assistant's turn for a label; exactly one text per label. Raises ValueError off the scale."""
    group = coarse_of(scale, label)
    fine = scale.fine[label - scale.lo].shown(strategy)
    if strategy == "direct":
        return fine
    return scale.final.format(coarse=group.shown(strategy), fine=fine)


def answers(scale: Scale, strategy: str) -> dict[str, int]:
    """The closed set of valid answers, text -> label, in order of the labels."""
    return {answer(scale, strategy, label): label for label in range(scale.lo, scale.hi + 1)}
