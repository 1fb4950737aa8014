"""The six rating scales of STORM as data: levels, coarse groups, and the words of their prompts. prompts.py joins them.

Source: paper Appendix E (prompts, verbatim, typos included: released checkpoints depend on the exact words)
and section 3.2 (words, age ranges). Levels count from 0 as in Appendix E. What the paper leaves open says
"our choice". A new prompt scale is one more `Scale` here; which dataset uses it is in datasets.py.
"""

from dataclasses import dataclass

from num2words import num2words


@dataclass(frozen=True)
class Candidate:
    """One valid answer, or part of one, in its three spellings. Covers the labels lo..hi, both included.

    The names of the spellings are the values of `Strategy.form`.
    """

    lo: int
    hi: int
    both: str  # "rate3-4(Above Fair)"
    number: str  # "rate3-4"
    word: str  # "Above Fair"


@dataclass(frozen=True)
class Scale:
    """An ordinal scale and how to ask for it. Labels are the integers `fine[0].lo` .. `fine[-1].hi`.

    `role` is the question up to the scale, `steps` the coarse-to-fine rest; in both, {coarse} and {fine}
    stand for the candidates. `final` is the answer line, with {coarse} and {fine} for its two parts.
    """

    name: str  # in a row's "scale"; unique
    title: str  # for people
    unit: str  # of labels and of the mean absolute error: "level", or what is counted, such as "years"
    fine: tuple[Candidate, ...]  # one per label, in order
    coarse: tuple[Candidate, ...]  # covers every label once, in order
    final: str
    role: str
    steps: str
    last_comma: str = ", "  # what joins the last two candidates in the question
    aliases: tuple[tuple[str, str], ...] = ()  # other names in answers: (pattern, what it is called here), in order
    values: tuple[float, ...] = ()  # of a user's own scale: the rating that each level stands for, in the user's unit

    def __hash__(self) -> int:
        """By name: hashing all candidates would cost scoring 80,000 answers a second."""
        return hash(self.name)

    @property
    def counted(self) -> bool:
        """Whether each whole number of a unit is a level: the question names the range, not the levels."""
        return self.unit != "level"

    @property
    def own(self) -> bool:
        """Whether a user wrote the scale."""
        return bool(self.values)

    @property
    def rated(self) -> bool:
        """Whether the user's ratings are other numbers than the labels: neither counted, nor a plain list of words."""
        return self.own and self.values != tuple(range(self.lo, self.hi + 1))

    @property
    def suffix(self) -> str:
        """What stands behind a number that is counted: "years old"."""
        return self.fine[0].number.partition(" ")[2]

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


def _levels(noun: str, *words: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(i, i, f"{noun}{i}({word})", f"{noun}{i}", word) for i, word in enumerate(words))


def _groups(form: str, *rows: tuple[int, int, str, str]) -> tuple[Candidate, ...]:
    """Candidates from rows (lo, hi, number, word); `form` is how the paper writes the two together."""
    return tuple(Candidate(lo, hi, form.format(number=n, word=w), n, w) for lo, hi, n, w in rows)


# Appendix E.1. No space after "candidates:" and no full stop after the first step, as printed.
IQA = Scale(
    name="iqa",
    title="Image quality",
    unit="level",
    fine=_levels("rate", "Bad", "Poor", "Fair", "Good", "Excellent"),
    coarse=_groups(
        "{number}({word})",
        (0, 1, "rate0-1", "Below Fair"),
        (2, 2, "rate2", "Fair"),
        (3, 4, "rate3-4", "Above Fair"),
    ),
    final="{coarse}, {fine}",
    role="""\
You are now an advanced Image Quality Evaluator, and your task is to assess the quality of the provided image. \
Please evaluate the image's quality based on a 5-rate scale: {fine}.""",
    steps="""\
 Please provide the coarse category that can help you answer the question better. \
Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final rate prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates:{coarse}
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]""",
)

# Appendix E.2.
IAA = Scale(
    name="iaa",
    title="Image aesthetics",
    unit="level",
    fine=_levels("level", "Unacceptable", "Flawed", "Average", "Professional", "Excellent"),
    coarse=_groups(
        "{number}({word})",
        (0, 1, "level0-1", "Below Average"),
        (2, 2, "level2", "Average"),
        (3, 4, "level3-4", "Above Average"),
    ),
    final="{coarse}, {fine}",
    role="""\
You are now an advanced Aesthetic Evaluation Evaluator, and your task is to assess the aesthetic quality of the \
provided image. Please evaluate the image's aesthetic quality based on a 5-level scale: {fine}.""",
    steps="""\
 Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final level prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates:{coarse}.
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Final answer]""",
)

# Appendix E.3, whose steps the age groups of Adience share. In the age prompts a candidate without its word
# keeps its years ("25-47 years old"): the spelling of "Only Num." for ages is not in the paper, our choice.
_FACE = """\
You are an experienced facial analysis expert, and you need to estimate the age group of the person in the provided \
facial image based on their facial features. """
_FACE_STEPS = """\
 Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final age prediction. \
The final output should be in the format: Coarse Answer: [result], Predicted Age: [result]. \
The specific steps are as follows:
1. Make the coarse prediction with the candidates: {coarse}.
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted Age]"""
AGES = ((0, 7, "Baby"), (8, 24, "Teenager"), (25, 47, "Adult"), (48, 200, "Elder"))  # section 3.2, FAE


def years(lo: int, hi: int) -> Scale:
    """Every integer age lo..hi, with the coarse ages of section 3.2 cut to that range (Morph: E.3 verbatim)."""
    coarse = []
    for first, last, word in AGES:
        if first <= hi and last >= lo:
            span = f"{max(first, lo)}+ years old" if word == "Elder" else f"{max(first, lo)}-{min(last, hi)} years old"
            coarse.append((max(first, lo), min(last, hi), span, word))
    fine = [(age, age, f"{age} years old", f"{num2words(age)} years old") for age in range(lo, hi + 1)]
    return Scale(
        name=f"years_{lo}_{hi}",
        title=f"Age of the face, {lo} to {hi} years",
        unit="years",
        fine=_groups("{number}", *fine),
        coarse=_groups("{word}({number})", *coarse),
        final="Coarse Answer: {coarse}, Predicted Age: {fine}",
        role=_FACE + "The known age range of the image is {fine}.",
        steps=_FACE_STEPS,
    )


# E.3's frame with groups as candidates: our wording; words and ranges from section 3.2.
_GROUP_WORDS = ("infants", "preschoolers", "preteens", "teens", "adult", "midlifers", "matures", "seniors")
_GROUP_SPANS = ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60+")
_COARSE_GROUPS = ((0, 1, "Baby", "0-7"), (2, 3, "Teenager", "8-24"), (4, 5, "Adult", "25-47"), (6, 7, "Elder", "48+"))
AGE_GROUPS = Scale(
    name="age_groups",
    title="Age group of the face",
    unit="level",
    fine=tuple(
        Candidate(i, i, f"group{i}({word}, {span} years old)", f"group{i}({span} years old)", word)
        for i, (word, span) in enumerate(zip(_GROUP_WORDS, _GROUP_SPANS, strict=True))
    ),
    coarse=tuple(
        Candidate(lo, hi, f"{word}(group{lo}-{hi}, {span} years old)", f"group{lo}-{hi}({span} years old)", word)
        for lo, hi, word, span in _COARSE_GROUPS
    ),
    final="Coarse Answer: {coarse}, Predicted Age: {fine}",
    role=_FACE + "These are all the candidate groups: {fine}.",
    steps=_FACE_STEPS,
    last_comma=" and ",
    aliases=((r"^8-12$", "8-13"), (r"^60-100$", "60+")),  # as the files of Adience name two of the groups
)

# Appendix E.4.
MDG = Scale(
    name="mdg",
    title="Diabetic retinopathy (fundus photograph)",
    unit="level",
    fine=_levels("stage", "no retinopathy", "mild NPDR", "moderate NPDR", "severe NPDR", "PDR"),
    coarse=_groups(
        "{word}({number})",
        (0, 0, "stage0", "Normal"),
        (1, 2, "stage1-2", "Early"),
        (3, 4, "stage3-4", "Late"),
    ),
    final="{coarse}, {fine}",
    role="""\
You are an experienced ophthalmologist, and you need to perform disease grading on the provided fundus image. \
These are all the candidate stages: {fine}.""",
    steps="""\
 Please first coarsely categorise the fundus: {coarse}. \
Based on the coarse classification, proceed to make a final stage prediction. The specific steps are as follows:
1. Make the coarse prediction with the candidates: {coarse}.
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted grade]""",
    last_comma=" and ",
    # The long names of the International Clinical Diabetic Retinopathy scale.
    aliases=(
        (r"\bnon[ -]?proliferative (?:diabetic retinopathy|dr)\b(?: npdr\b)?", "npdr"),
        (r"\b(?:pdr )?proliferative (?:diabetic retinopathy|dr)\b(?: pdr\b)?", "pdr"),
        (
            r"\bno (?:(?:visible|apparent|clear|signs? of|evidence of) )*(?:diabetic retinopathy|retinopathy|dr)\b"
            r"(?: (?:is|was|are) (?:seen|present|visible|detected|found|evident|observed|apparent)\b)?",
            "no retinopathy",
        ),
        (r"\bgrade (?=[0-4]\b)", "stage "),
        # The words of Kaggle's labels, as a whole answer
        (r"^((?:(?:the )?(?:diagnosis|severity)(?::| is) )?)(mild|moderate|severe)(?= ?\.?$)", r"\1\2 npdr"),
    ),
)

# Appendix E.5.
HDE = Scale(
    name="hde",
    title="Decade of the photograph",
    unit="level",
    fine=_levels("phase", "1930s", "1940s", "1950s", "1960s", "1970s"),
    coarse=_groups(
        "{word}({number})",
        (0, 1, "phase0-phase1", "Early"),
        (2, 2, "phase2", "Mid"),
        (3, 4, "phase3-phase4", "Late"),
    ),
    final="Coarse Classification: {coarse}, Predicted Phase: {fine}",
    role="""\
You are now an advanced history researcher, and you need to grade the provided images by decade. \
These are all candidate categories: {fine}.""",
    steps="""\
 Please first coarsely categorise the image: {coarse}. \
Based on the coarse classification, proceed to make a final phase prediction. \
The final output should be in the format: Coarse Classification: [result], Predicted Phase: [result]. \
The specific steps are as follows:
1. Make the coarse prediction with the candidates: {coarse}.
2. Based on the coarse classification, proceed to make a final age prediction with the candidates: {fine}.
3. Please note that the coarse thoughts and the final answer should be consistent.
Answer: [Coarse answer], [Predicted Phase]""",
    last_comma=", and ",
    aliases=(
        *(
            (rf"\b{word}\b", decade)
            for word, decade in zip(
                ("thirties", "forties", "fifties", "sixties", "seventies"),
                ("1930s", "1940s", "1950s", "1960s", "1970s"),
            )
        ),
        (r"\b(?:between )?(19\d)\d ?(?:-|to|and|or) ?\1\d\b", r"\g<1>0s"),
        (r"\b(19\d)\d\b", r"\g<1>0s"),
        (r"(?:^|\b(?:the|early|late|mid)[ -])([3-7])0s\b", r"19\g<1>0s"),
    ),
)
