"""Other wordings of an answer, said again as the scale says them: spelled ages, ranges, tuples. Our choice."""

import re
from functools import lru_cache

from num2words import num2words

from storm.scales import Scale

_YEARS = (
    (r"\b\d{1,3}(?:\.\d{1,3})? ?(?:%|percent\b)", ""),  # how sure somebody is
    (r"\b(?:an?|one|\d{1,3}) years? and \d{1,3} months?\b", ""),
    (r"\bage (?:group|range|bracket)\b", "age"),
    (r"\b(\d{1,3})-years?-old", r"\1 years old"),
    (r"(?<!\d)(\d{1,3}) ?岁", r"\1 years old"),
    (r"\b(\d{1,3})(?: years)?(?: old)? (?:and|or) (?:older|above|over)\b", r"\1+ years old"),
    (r"\bbetween (\d{1,3}) and (\d{1,3})\b", r"\1-\2"),
)
_AGES = (
    (r"\b(\d{1,3}) years?(?:,| and|, and)? \d{1,2} months?\b(?: old| of age)?", r"\1 years old"),
    # Lengths and weights, which are no ages
    (
        r"(?<![\w.,/-])\d{1,4}(?:[.,]\d{1,3})?(?: ?(?:-|to|x) ?\d{1,4}(?:[.,]\d{1,3})?)? ?"
        r"(?:c?m|kgs?|lbs?|pounds|feet|foot|ft|inch(?:es)?|(?:centi)?met(?:er|re)s?|kilograms?|megapixels?|px|pixels)\b"
        r"(?: (?:tall|high|wide|away)\b)?",
        "",
    ),
)
_TOLERANCE = re.compile(
    r"[,;]? ?(?:give or take|plus or minus|plus/minus|\+/-|±) ?\d+(?: years?)?"
    r"|,? ?\(?\brange:? \d+ ?(?:-|to) ?\d+(?: years?)?\)?"
)
_ABOUT = re.compile(r"^(?:~|#|≈)(?= ?\d)")  # ~2, #2
_TUPLE = re.compile(r"[^\w(]*\( ?(\d{1,3}) ?, ?(\d{1,3}) ?\)\W*")  # (25, 32)


def as_a_range(text: str) -> str:
    """The two years of a tuple as a range, if the text is nothing else."""
    return _TUPLE.sub(r"\1-\2", text) if _TUPLE.fullmatch(text) else text


def with_ends(text: str) -> str:
    """A line that ends with an age, with a full stop, as clean() makes one line of the text."""
    return re.sub(r"(\byears?[ -]old\b|岁)([)\]}*_\"” ]*)\n", r"\1\2.\n", text)


def reworded(scale: Scale, spelled_out: bool, text: str, marked: bool) -> str:
    """The cleaned text with the scale's own wordings. spelled_out: its answers spell the numbers."""
    text = _ABOUT.sub("", text)
    if scale.unit == "years":
        if not spelled_out:
            text = _in_digits(text, marked)
        for pattern, words in _AGES:
            text = re.sub(pattern, words, text)
    for pattern, words in (*scale.aliases, *_YEARS):
        text = re.sub(pattern, words, text)
    return _TOLERANCE.sub("", text).strip()


@lru_cache(maxsize=1)
def _spelled() -> tuple[dict[str, str], re.Pattern, re.Pattern]:
    """Digits of the spelled numbers, and of the tens of years; the pattern of one; and of one that is an age."""
    digits = {re.sub(r"[ -]+", " ", num2words(n).replace(" and ", " ")): str(n) for n in range(121)}
    tens = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")
    digits |= {word: f"{n}0s" for n, word in enumerate(tens, 2)}
    words = sorted(digits, key=len, reverse=True)
    one = "|".join(word.replace("hundred ", "hundred (?:and )?").replace(" ", "[ -]+") for word in words)
    number = re.compile(rf"\b(?:{one})\b")
    return digits, number, re.compile(rf"\b(?:{one})(?:-| )(?:years?\b|yrs?\b)")


def _in_digits(text: str, marked: bool) -> str:
    """ "thirty-two years old" as "32 years old"; all numbers of the text, so that a range of ages stays one."""
    digits, number, age = _spelled()
    if not age.search(text) and not (marked and number.match(text)):
        return text
    found = number.sub(lambda match: digits[re.sub(r"[ -]+", " ", match[0].replace(" and ", " "))], text)
    return text if re.search(r"hundred|thousand|million|\d[ -]\d", found) else found
