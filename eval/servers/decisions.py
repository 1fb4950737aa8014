"""Decision APIs: ordered levels in, a probability for each out.

/v1/decisions: OpenAI's form; the types of the openai SDK (openai/types/decision*.py) are the contract.
/v1/systemone: vLLM 0.32 (entrypoints/generate/structured_decisions), Ollama, llama.cpp and others; its "label_mass" is
the mass of all levels. What OpenAI's form does not say, the mass, is not known (null in the rows).
"""

import math

from eval.servers.connection import Server, post
from eval.servers.faults import Fault, first_line
from eval.servers.reply import Question, Reply
from storm.prompts import shown, task

NAME = "rating"  # of the one question
SUM = 0.01  # by how much probabilities may miss 1; our choice: servers round them


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
    try:
        [decision] = answer["answers"]
        if decision["type"] == "refusal":
            return Reply(odd="refusal")
        rows = decision["probabilities"]
        if [row["label"] for row in rows] != words:
            raise ValueError
        return Reply(logp=_logs([row["probability"] for row in rows], len(words)), mass=False)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd(server, answer) from None


async def systemone(server: Server, asked: Question) -> Reply:
    """Raises Fault."""
    words = levels(asked)
    question = {"type": "score", "instructions": task(asked.scale, asked.strategy), "criteria": words}
    body = {"model": server.model, "state": "The image.", "images": [asked.image], "questions": {NAME: question}}
    answer = await post(server, "/systemone", body)
    try:
        decision, diagnostics = answer["answers"][NAME], (answer.get("diagnostics") or {}).get(NAME) or {}
        if decision.get("type") == "refusal":
            return Reply(odd="refusal")
        given = decision["probabilities"]
        keys = [str(number) for number in range(len(words))]
        if set(given) != set(keys):  # by the level's number in vLLM, by its name in others
            keys = words
        logp, mass = _logs([given[key] for key in keys], len(given)), diagnostics.get("label_mass")
        if mass is None:
            return Reply(logp=logp, mass=False)
        if not 0 < mass <= 1.001:
            raise ValueError
        return Reply(logp=tuple(value + math.log(mass) for value in logp))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd(server, answer) from None


def _logs(probabilities: list[float], count: int) -> tuple[float, ...]:
    """Their logarithms. Raises ValueError or TypeError if they are not `count` probabilities that sum to 1."""
    total = sum(probabilities)
    if len(probabilities) != count or not min(probabilities) >= 0 or not abs(total - 1) <= SUM:
        raise ValueError
    return tuple(math.log(p / total) if p else -math.inf for p in probabilities)


def _odd(server: Server, answer: dict) -> Fault:
    about = f"the answer has no probability for each level in order: {first_line(answer, server.key)[:100]}"
    return Fault(f"{server.name}: {about}; correct --api", "again")
