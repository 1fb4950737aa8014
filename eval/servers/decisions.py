"""Decision APIs: ordered levels in, a probability for each out.

/v1/decisions: OpenAI's form; the types of the openai SDK (openai/types/decision*.py) are the contract.
/v1/systemone: vLLM 0.32 (entrypoints/generate/structured_decisions), Ollama, llama.cpp and others; its "label_mass" is
the mass of all levels. What OpenAI's form does not say, the mass, is not known (null in the rows), unless the server
says more: eval/serve.py has "mass", "trained", "strategy" and "warning" in its answers (eval/serving/answers.py).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from eval.servers.connection import Server, post
from eval.servers.faults import Fault, first_line
from eval.servers.reply import Question, Reply
from storm.prompts import STRATEGIES, shown, task

NAME = "rating"  # of the one question
STATE = "The image."  # systemone wants a state; the image itself is in "images"
SUM = 0.01  # by how much probabilities may miss 1; our choice: servers round them
MISS = 0.01  # by how much of the scale's length a "score" may miss the mean of its probabilities; our choice: the same
ROUNDED = 1.001  # the most that a mass can be


def levels(asked: Question) -> list[str]:
    """The levels as the strategy spells them, lowest first."""
    return [shown(level, asked.strategy) for level in asked.scale.fine]


async def decisions(server: Server, asked: Question) -> Reply:
    """Raises Fault."""
    words = levels(asked)
    score = {"type": "score", "name": NAME, "instructions": task(asked.scale, asked.strategy)}
    score |= {"levels": [{"label": word} for word in words]}
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": asked.image}]}]
    answer = await post(server, "/decisions", {"model": server.model, "input": image, "questions": [score]})
    with _sound(server, answer):
        [decision] = answer["answers"]
        if decision.get("name", NAME) not in (NAME, None):
            raise ValueError("it answers another question")
        if decision["type"] == "refusal":
            return Reply(odd="refusal")
        rows = {row["label"]: row for row in decision["probabilities"]}
        if len(rows) != len(decision["probabilities"]) or set(rows) != set(words):
            raise KeyError
        if [rows[word].get("value", place) for place, word in enumerate(words)] != list(range(len(words))):
            raise ValueError("the values of its levels contradict their order")
        probabilities = [rows[word]["probability"] for word in words]
        return _reply(server, asked, decision, probabilities, range(len(words)), decision.get("mass"))


async def systemone(server: Server, asked: Question) -> Reply:
    """Raises Fault."""
    words = levels(asked)
    question = {"type": "score", "instructions": task(asked.scale, asked.strategy), "criteria": words}
    body = {"model": server.model, "state": STATE, "images": [asked.image], "questions": {NAME: question}}
    answer = await post(server, "/systemone", body)
    with _sound(server, answer):
        decision, diagnostics = answer["answers"][NAME], (answer.get("diagnostics") or {}).get(NAME) or {}
        if decision.get("type") == "refusal":
            return Reply(odd="refusal")
        given, numbers = decision["probabilities"], _numbers(decision.get("legend"), words)
        keys = [str(number) for number in numbers]
        by_number, by_word = set(given) == set(keys), set(given) == set(words)
        if by_number and by_word and keys != words and not decision.get("legend"):
            raise ValueError("its probabilities may be by number or by name")
        if not by_number:  # by the level's number in vLLM, by its name in others
            keys = words
        if len(given) != len(words):
            raise KeyError
        mass = diagnostics.get("label_mass")
        mass = decision.get("mass") if mass is None else mass
        return _reply(server, asked, decision, [given[key] for key in keys], numbers, mass)


def _numbers(legend: object, words: list[str]) -> Sequence[int]:
    """The number that the server gives each level: its "legend" {number: level}, else their order.

    Raises ValueError for a legend of other levels.
    """
    if not legend:
        return range(len(words))
    if not isinstance(legend, dict) or sorted(map(str, legend.values())) != sorted(words):
        raise ValueError("its legend is not of the levels that were asked")
    numbers = {str(word): int(number) for number, word in legend.items()}
    return [numbers[word] for word in words]


def _reply(
    server: Server, asked: Question, decision: Mapping[str, Any], probabilities: list, numbers: Sequence[int], mass: Any
) -> Reply:
    """The reply of a decision, after whatever it says beside its probabilities was checked.

    probabilities, numbers: of each level, lowest first; the server's numbers. Raises ValueError or TypeError for an
    answer that contradicts itself, Fault for a server that asks otherwise than it was told to.
    """
    if decision.get("type", "score") != "score":
        raise ValueError("it answers another type of question")
    logp, score = _logs(probabilities), decision.get("score")
    if score is not None:
        mean = sum(number * p for number, p in zip(numbers, probabilities, strict=True)) / sum(probabilities)
        if not abs(score - mean) <= MISS * len(numbers):
            raise ValueError(f"its score {score} is not the mean of its probabilities, {mean:.4g}")
    if mass is not None and (isinstance(mass, bool) or not 0 <= mass <= ROUNDED):
        raise ValueError(f"its mass {mass} is not a probability")
    strategy = decision.get("strategy")
    if strategy in STRATEGIES and strategy != asked.strategy:  # other servers may mean something else by the word
        fix = f"ask with --strategy {strategy} (--data: test files of it), or eval/serve.py --strategy {asked.strategy}"
        raise Fault(f"{server.name}: asks with the strategy {strategy}, not {asked.strategy}; {fix}", "server")
    warning = first_line(decision.get("warning") or "", server.key)
    if decision.get("trained") is False:
        warning = ": ".join(filter(None, ("not trained on these levels", warning)))
    return Reply(logp=logp, normalized=True, mass=mass, warning=warning)


def _logs(probabilities: list) -> tuple[float, ...]:
    """Their logarithms. Raises ValueError or TypeError if they are not probabilities that sum to 1."""
    if any(isinstance(p, bool) for p in probabilities):
        raise TypeError
    total = sum(probabilities)
    if not min(probabilities) >= 0 or not abs(total - 1) <= SUM:
        raise ValueError
    return tuple(math.log(p / total) if p else -math.inf for p in probabilities)


@contextmanager
def _sound(server: Server, answer: dict) -> Iterator[None]:
    """Turns what reading an answer raises into a Fault. A ValueError says what is odd, if it has a text."""
    try:
        yield
    except Fault:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = str(error) if isinstance(error, ValueError) else ""
        about = f"{what or 'the answer has no probability for each level'}: {first_line(answer, server.key)[:100]}"
        raise Fault(f"{server.name}: {about}; correct --api", "again") from None
