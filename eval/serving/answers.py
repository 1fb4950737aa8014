"""The JSON of answers in the two forms of forms.py, from rows of Rater.answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.inference.ratings import DOUBT, LITTLE, expected
from eval.serving.forms import Question
from eval.serving.questions import Asked
from storm.prompts import STRATEGIES, answers
from storm.scales import coarse_of

DIGITS = 6  # of a probability, as in the files of eval/predict.py


def more(row: Mapping[str, Any], asked: Asked) -> dict:
    """What we say beside either form, from a row of Rater.answers: see docs/serving.md."""
    scale = asked.scale
    label = answers(scale, asked.strategy)[row["predict"]]
    facts = {
        "scale": scale.name if asked.trained else None,
        "strategy": asked.strategy,
        "trained": asked.trained,
        "mass": row["mass"],
        "entropy": row["entropy"],
        "predict": row["predict"],
    }
    if STRATEGIES[asked.strategy].coarse:
        groups = [{"label": group.word, "probability": p} for group, p in zip(scale.coarse, row["coarse"], strict=True)]
        facts["coarse"] = {"label": coarse_of(scale, label).word, "probabilities": groups}
    if asked.trained:
        facts["value"] = round(expected(scale, row["probs"]), DIGITS)
    if row["mass"] < LITTLE:
        facts["warning"] = f"mass less than {LITTLE}: {DOUBT}"
    return facts


def _columns(row: Mapping[str, Any], asked: Asked) -> tuple[list[float], int, float]:
    """(probability of each option, the likeliest one, its probability among all texts)."""
    probs = [row["probs"][column] for column in asked.columns]
    label = answers(asked.scale, asked.strategy)[row["predict"]]
    top = asked.columns.index(label - asked.scale.lo)
    return probs, top, round(probs[top] * row["mass"], DIGITS)


def decision(model: str, questions: Sequence[Question], rows: Sequence[Mapping], asked: Sequence[Asked]) -> dict:
    """The answer of POST /v1/decisions."""
    replies = []
    for question, row, one in zip(questions, rows, asked, strict=True):
        probs, top, confidence = _columns(row, one)
        pairs = zip(question.values, probs, strict=True)
        if question.ordered:
            listed = [{"label": label, "value": place, "probability": p} for place, (label, p) in enumerate(pairs)]
            answer = {"type": "score", "name": question.name, "score": round(row["mean"] - one.scale.lo, DIGITS)}
        else:
            listed = [{"value": value, "probability": p} for value, p in pairs]
            answer = {"type": "choice", "name": question.name, "choice": question.values[top]}
        replies.append(answer | {"confidence": confidence, "probabilities": listed} | more(row, one))
    tokens = sum(row["tokens"] for row in rows)
    usage = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
    usage |= {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    return {
        "model": model,
        "answers": replies,
        "usage": usage | {"output_tokens_details": {"reasoning_tokens": 0}},
    }


def systemone(model: str, questions: Sequence[Question], rows: Sequence[Mapping], asked: Sequence[Asked]) -> dict:
    """The answer of POST /v1/systemone, without its id and time."""
    replies, diagnostics = {}, {}
    for question, row, one in zip(questions, rows, asked, strict=True):
        probs, top, confidence = _columns(row, one)
        if question.ordered:
            answer = {"type": "score", "score": round(row["mean"] - one.scale.lo, DIGITS)}
            answer |= {"legend": {str(place): label for place, label in enumerate(question.values)}}
            answer |= {"probabilities": {str(place): p for place, p in enumerate(probs)}}
        else:
            answer = {"type": "choice", "choice": question.values[top]}
            answer |= {"probabilities": dict(zip(question.values, probs, strict=True))}
        replies[question.name] = answer | {"confidence": confidence} | more(row, one)
        # No other text can be likelier than the answer: what we know without generating one.
        sure = confidence > 1 - row["mass"]
        diagnostics[question.name] = {"label_mass": row["mass"], "argmax_is_label": sure}
    usage = {"input_tokens": sum(row["tokens"] for row in rows), "output_tokens": 0}
    return {"model": model, "answers": replies, "usage": usage, "diagnostics": diagnostics}
