"""What is asked, and what an answer says, whatever form a server speaks."""

from typing import NamedTuple

from storm.prompts import answers
from storm.scales import Scale

LONGEST = 100_000  # letters of an answer; our choice: a rating has 60, and 1 MB is not the answer of a model


class Question(NamedTuple):
    """A rating question about one image."""

    scale: Scale
    strategy: str
    image: str  # data URL
    max_new_tokens: int

    @property
    def answers(self) -> list[str]:
        """The valid answers, in order of the labels."""
        return list(answers(self.scale, self.strategy))


class Reply(NamedTuple):
    """A text, or the log-probability of each valid answer, in order of the labels."""

    text: str = ""
    logp: tuple[float, ...] | None = None
    normalized: bool = False  # whether exp(logp) sums to 1, so that only `mass` says the mass of all valid answers
    mass: float | None = None  # None: not known
    odd: str = ""  # "refusal", "content filter", "empty" or "cut off"; "" for an ordinary answer
    warning: str = ""  # why the server itself doubts the answer
