"""The functions of an lmms-eval task that python -m data_prep export wrote. lmms-eval imports a copy of this file, so
it needs nothing of this repository. The scores are made by eval/score.py."""

from PIL import Image


def doc_to_visual(doc: dict) -> list:
    """The image as stored, in RGB, as LLaMA-Factory shows it to a model."""
    with Image.open(doc["image"]) as image:
        return [image.convert("RGB")]


def doc_to_text(doc: dict, lmms_eval_specific_kwargs: dict | None = None) -> str:
    return doc["question"]


def doc_to_target(doc: dict, model_specific_target_kwargs: dict | None = None) -> str:
    return doc["answer"]


def process_results(doc: dict, results: list) -> dict:
    """What stands in a row of the samples beside the answer: which row it is, and, as the one metric of the task,
    whether the answer is the label's text."""
    facts = {name: doc[name] for name in ("id", "dataset", "scale", "strategy")}
    return facts | {"same_text": float(results[0].strip() == doc["answer"])}
