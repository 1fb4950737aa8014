"""What of a text is its answer, and what is prose: a number or word alone counts only where it is the whole clause."""

import re

from storm.mentions import Grammar, Mention

# What may stand before a number or word that is the answer.
_WORDS = (
    "the this my i id ill would will can it its he she his her they that there a an as at to be of in around about "
    "roughly circa approximately probably likely is are was am say rate give rating ratings estimate estimated guess "
    "think believe predict predicted prediction answer final overall fine coarse category level grade score stage "
    "phase decade age aged group quality aesthetic aesthetics image picture photo photograph fundus person man "
    "woman face look looks appear appears seem seems from rated patient class classified show shows has taken eye "
    "retina diagnosis severity so therefore thus hence us lets"
)
_LEAD = re.compile(rf"(?:\W|(?<!\w)(?:{'|'.join(_WORDS.split())})(?!\w))*")  # linear: each step takes a letter or word

_ASKED = re.compile(r"(?:based )?on (?:a|the|this) \d-(?:rate|level) scale")  # the question, said again
# What may stand behind a word up to the end.
_SEEN = re.compile(
    r"(?: (?:is|are|was|were))?(?: (?:visible|present|detected|seen|evident|found|observed))?"
    r"(?: (?:in|on) (?:this|the|his|her) (?:fundus |retinal )?(?:image|photograph|photo|picture|eye|retina))?\s?\.?\s?"
)

_HESITANT = re.compile(r"\W*(?:(?:about|around|maybe|perhaps|probably|roughly)\W*)?")

# An answer must begin within so many characters: several times the longest valid one, and noise is longer.
REACH = 500


def stands_alone(text: str, mention: Mention, mentions: list[Mention], marked: bool) -> bool:
    """Whether a number or a word alone is the answer: it is all of the region, or of its first clause, beside the
    coarse prediction and a few words such as "the rating is". In prose, neither is a rating."""
    if mention.start > REACH:
        return False
    before = text[: mention.start]
    for other in reversed([m for m in mentions if m.end <= mention.start]):
        if any(kind == "coarse" for kind, _ in other.names):
            before = before[: other.start] + before[other.end :]
    after, number = text[mention.end :], mention.forms == {"age"}
    denied = [m for m in mentions if "negated" in m.forms and m.end <= mention.start]
    if denied and not number and re.match(r" ?[;.,]", text[denied[-1].end : mention.start]):
        for other in reversed(denied):  # "Not from the 1930s; phase 3"
            before = before[: other.start] + before[other.end :]
    if _HESITANT.fullmatch(before) and re.fullmatch(r" ?\? ?", after):
        return True  # 45?
    if not marked and re.match(r" ?(?:!(?! ?$)|, (?:i|id|ill|im|let|lets|here|of course)\b)", after):
        return False  # "Excellent! I would be happy to help."
    ends = r" ?(?:$|[,;(!]| (?:years?\b|because\b|but\b|with\b|as\b|since\b|without\b|is present\b|due to\b"
    ends += r"|and not\b|rather than\b|- )"
    ends += r"|\.$)" if number and not marked else r"|[.:]|\n)"
    if not number and _SEEN.fullmatch(after):
        ends = ""  # "no signs of retinopathy are visible in this image."
    return bool(_LEAD.fullmatch(_ASKED.sub("", before))) and bool(re.match(ends, after))


def is_a_clause(text: str, mention: Mention) -> bool:
    """Whether a word is a clause of its own, as in "Good. Excellent." or "Noise: low."."""
    if mention.forms != {"word"}:
        return False
    before, after = text[: mention.start].rstrip(), text[mention.end :].lstrip()
    return (not before or before[-1] in ".,;:!?") and (not after or after[0] in ".,;!?")


def describes(text: str, mention: Mention, following: Mention | None) -> bool:
    """Whether a word of a group only describes a decade: "late 1940s" says nothing of the late ones."""
    if following is None or text[mention.end : following.start] != " ":
        return False
    return re.fullmatch(r"\d{4}s", text[following.start : following.end]) is not None


def without_lists(grammar: Grammar, text: str, mentions: list[Mention]) -> list[Mention]:
    """Without the levels of a list that names all of them, in order: the question again, not an answer."""
    count = grammar.hi - grammar.lo + 1
    if count > 50:
        return mentions
    for start in range(len(mentions) - count + 1):
        run = mentions[start : start + count]
        between = [text[one.end : other.start] for one, other in zip(run, run[1:])]
        if [label_of(m) for m in run] == list(range(grammar.lo, grammar.hi + 1)) and all(
            re.fullmatch(r"[ ,;/]*(?:and|or)?[ ,]*", gap) for gap in between
        ):
            return without_lists(grammar, text, mentions[:start] + mentions[start + count :])
    return mentions


def label_of(mention: Mention) -> int | None:
    """The label it names, or None if it names none, or several."""
    labels = [label for kind, label in mention.names if kind == "fine"]
    return labels[0] if len(labels) == 1 else None
