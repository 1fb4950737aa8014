"""The forms in which tools write predictions, one row each: which keys hold the answer, the label and the image.

A row of a form that nobody here knows is read by the usual names of its keys (NAMES), or by those of --keys.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.scoring.answer_text import FIX, SPECIAL, text_of, whole_letters
from eval.scoring.records import records
from storm.files import Line
from storm.text import printable

if TYPE_CHECKING:
    from eval.scoring.predictions import Predictions

PREDICT = "eval/predict.py"  # the form of what it writes


class Form(NamedTuple):
    """How one tool writes a row. A name of a key is "" where the tool has none; "*" is the whole row."""

    name: str  # as it is printed
    has: tuple[frozenset[str], ...]  # the keys of which all are in its rows; one of several sets
    predict: str  # the key of the answer
    label: str = ""
    id: str = ""
    question: str = ""
    image: str = ""
    server: bool = False  # a row of a server, whose "id" is that of the request


def _keys(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(name.split()) for name in names)


# The first that fits is taken. Sources: the tools' code, ms-swift 2 to 4 (infer), VLMEvalKit (VQA results), lmms-eval
# 0.4 to 0.7 (--log_samples), OpenAI's Batch API and vLLM's run-batch, LLaVA (model_vqa), lmdeploy (Response).
FORMS = (
    Form(PREDICT, _keys("predict label scale strategy id dataset"), "predict", "label", "id"),
    Form("LLaMA-Factory", _keys("prompt predict label"), "predict", "label", question="prompt"),
    Form("OpenAI Batch or vLLM run-batch", _keys("custom_id response"), "response", id="custom_id", server=True),
    Form("Anthropic batch", _keys("custom_id result"), "result", id="custom_id", server=True),
    Form("ms-swift", _keys("response labels"), "response", "labels", "id", "messages"),
    Form("ms-swift", _keys("response messages", "response history"), "response", "label", "id", "messages"),
    Form("lmms-eval", _keys("doc_id target filtered_resps"), "filtered_resps", "target", "doc_id", "input"),
    Form("lmms-eval", _keys("doc_id target resps"), "resps", "target", "doc_id", "input"),
    Form("VLMEvalKit", _keys("index answer prediction", "question answer prediction"), "prediction", "answer", "index",
         "question"),
    Form("LLaVA", _keys("question_id text"), "text", "label", "question_id", "prompt"),
    Form("lmdeploy", _keys("text generate_token_len", "text input_token_len"), "text", "label", "id"),
    Form("chat completions", _keys("choices"), "*", "label", "custom_id", server=True),
)  # fmt: skip

COUNTERS = ("index", "docid", "idx")  # keys that count the rows
# The usual names of keys, in small letters and without signs. A name of a later group counts where an earlier has none.
NAMES = {
    "predict": (
        "predict prediction predicted pred predictions predictedtext predictiontext response output outputs outputtext "
        "generatedtext generation generated modeloutput modelresponse modelanswer modelprediction completion "
        "llmoutput llmresponse ypred rawresponse rawoutput",
        "answer",
        "text",
    ),
    "label": (
        "label labels target targets gt groundtruth groundtruths gtanswer gtlabel reference references truelabel "
        "ytrue truth expected expectedanswer gold solution",
        "answer",
    ),
    "id": ("id customid questionid imageid sampleid uid key itemid", " ".join(COUNTERS)),
    "image": ("image images imagepath imgpath img imagefile imagefilename filename filepath file path imagename",),
    "question": ("question prompt query messages instruction",),
}
AUTHORS = {"label", "answer"}  # keys of the files of the authors' test scripts
EMPTY_THOUGHT = re.compile(r"\s*<think>\s*</think>\s*")


class Answer(NamedTuple):
    """A row of any form."""

    form: str
    text: str  # the model's
    none: str  # why there is no text: "no answer", "refusal", "error", "cut off" or "too long"
    label: str | None  # None: the row has none
    id: str | None
    image: str | None
    question: Any
    facts: Mapping  # what else the row says: dataset, scale, strategy, probs, error
    server: bool = False  # the answer of a server, which says no label
    counts: bool = False  # whether the name of the id's key says that it counts the rows: index, idx, doc_id


def is_known(row: Mapping) -> bool:
    """Whether an object is a row of predictions, by its keys."""
    try:
        return bool(form_of(tuple(row)))
    except (ValueError, TypeError):
        return False


def answers(path: Path, keys: Mapping[str, str] | None = None, parts: Sequence[Path] = ()) -> Iterator[Line]:
    """The rows of a predictions file, each with an Answer, or the fault for which it cannot be read.

    keys: of --keys, our name -> the file's. parts: more files of it, whose lines count on. Raises OSError, or
    ValueError naming the file.
    """
    chosen, before, number = tuple(sorted((keys or {}).items())), 0, 0
    for file in (path, *parts):
        before, number = before + number, 0
        for line in _answers(file, chosen):
            number = line.number
            fault = f"{file.name}, line {number}: {line.fault}" if line.fault and file != path else line.fault
            yield Line(before + number, line.row, fault)


def texts_of(run: "Predictions", lines: Collection[int]) -> dict[int, Answer]:
    """What the files of a run say in some of its lines. A damaged file, which was said before, ends early."""
    matches: dict[int, Answer] = {}
    with suppress(ValueError):
        for line in answers(run.path, run.keys, run.parts):
            if line.row and line.number in lines:
                matches[line.number] = line.row
    return matches


def _answers(path: Path, chosen: tuple[tuple[str, str], ...]) -> Iterator[Line]:
    for line in records(path, lambda row: bool(chosen) or is_known(row)):
        try:
            if line.fault:
                raise ValueError(line.fault)
            yield Line(line.number, answer_of(line.row, chosen))
        except ValueError as error:
            yield Line(line.number, None, str(error))
        except RecursionError:
            yield Line(line.number, None, "nested too deeply")


def answer_of(row: object, chosen: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Raises ValueError, in one line."""
    if not isinstance(row, dict):
        raise ValueError(f"not an object with keys but {str(row)[:60]!r}")
    form = form_of(tuple(row), chosen)
    text, none = text_of(row if form.predict == "*" else _at(row, form.predict))
    if none == "no answer" and row.get("error"):
        none = "error"
    by_predict = form.name == PREDICT
    doc = row.get("doc")
    facts = doc | row if isinstance(doc, dict) and not by_predict else row  # lmms-eval hands our row through in "doc"
    id_key = form.id if by_predict or form.server or not isinstance(facts.get("id"), str | int) else "id"
    id = _at(facts, id_key) if id_key else None  # an "id" beside an index is ours, which the tool handed through
    label = _label_of(_at(row, form.label)) if form.label else None
    image_key = form.image or (_usual("image", tuple(doc), ()) if isinstance(doc, dict) else "")
    image = _image_of(_at(facts, image_key)) if image_key else None
    question = _at(row, form.question) if form.question else None
    return Answer(
        form.name,
        text,
        none,
        label,
        None if id is None else whole_letters(str(id)),
        image,
        question,
        facts,
        form.server,
        _plain(id_key) in COUNTERS,
    )


@lru_cache(maxsize=1000)
def form_of(keys: tuple[str, ...], chosen: tuple[tuple[str, str], ...] = ()) -> Form:
    """The form of a row with these keys; chosen: what --keys says, which is of no row of ours, and of no row that has
    none of these keys. Raises ValueError, with the fix, if the answer or the label could be in several keys, the answer
    is in none, or some of the chosen keys are missing."""
    form = next((form for form in FORMS if any(has <= set(keys) for has in form.has)), None)
    given = {} if form and form.name == PREDICT else dict(chosen)
    missing = [key for key in given.values() if key.split(".")[0] not in keys and key not in keys]
    have = printable(", ".join(map(str, keys)))[:200] or "none"
    if missing and len(missing) < len(given):
        raise ValueError(f"--keys: no key {printable(missing[0])!r} (keys: {have})")
    given = {} if missing else given
    image = _usual("image", keys, ())
    if form and not given:
        return form._replace(image=image)
    predict = given.get("predict") or (form.predict if form else _usual("predict", keys, ()))
    if not predict:
        raise ValueError(f"key 'predict' is missing (keys: {have}); {FIX}")
    names = {name: given.get(name) or (getattr(form, name) if form else "") for name in ("label", "id", "question")}
    for name in names:
        names[name] = names[name] or _usual(name, keys, (predict, *names.values()))
    title = f"other (prediction: {printable(predict)}, label: {printable(names['label']) or 'none'})"
    title = "the authors' test scripts" if set(keys) == AUTHORS else title
    title = "--keys" if given else form.name if form else title
    return Form(title, (), predict, image=given.get("image") or image, **names)


def _usual(what: str, keys: tuple[str, ...], taken: tuple[str, ...]) -> str:
    """The one key with a usual name, "" if there is none. Raises ValueError if there are several."""
    plain = {key: _plain(key) for key in keys if isinstance(key, str) and key not in taken}
    for names in NAMES[what]:
        matches = [key for key in plain if plain[key] in names.split()]
        if len(matches) > 1 and what in ("predict", "label"):
            what = "prediction" if what == "predict" else what
            raise ValueError(f"several keys may be the {what}: {printable(', '.join(matches))}; {FIX}")
        if matches:
            return matches[0]
    return ""


def _plain(key: str) -> str:
    """A key for comparing: small letters and digits."""
    return re.sub(r"[^a-z0-9]", "", key.casefold())


def _at(row: Mapping, key: str) -> Any:
    """The value of a key, or of a path of keys with points ("response.text"); None if there is none."""
    if key in row or "." not in key:
        return row.get(key)
    value: Any = row
    for part in key.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _label_of(value: Any) -> str | None:
    """A label as text, None if there is none. Raises ValueError for what is neither a text nor a whole number."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value != value:
        return None
    if isinstance(value, str):
        value = EMPTY_THOUGHT.sub("", SPECIAL.sub("", value) if "<|" in value or "</s>" in value else value, 1)
        value = value.strip()
        return (value[:-2] if re.fullmatch(r"\d+\.0+", value) else value) or None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and value == int(value):
        return str(int(value))
    raise ValueError(f"the label is {printable(str(value))[:60]!r}, neither a text nor a whole number; {FIX}")


def _image_of(value: Any) -> str | None:
    """The path of the one image: a text, or as datasets and ms-swift write it; None of several."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("path") or value.get("url") or value.get("image_url")
    return whole_letters(value) if isinstance(value, str) and len(value) < 4096 else None
