"""The two forms of a request.

OpenAI's decisions: the types of the openai SDK (openai/types/decision*.py, 3.57). systemone: TypeSafe's form, as vLLM
0.32 has it (vllm/entrypoints/generate/structured_decisions). Keys that neither knows are refused: a setting that we do
not have must not be ignored in silence. Keys that change no answer (prompt caches, priorities, ids) are accepted,
and so is the state of our own client (eval/servers), which says no more than that there is an image.
"""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from eval.servers.decisions import STATE
from eval.serving.admission import LEVELS, bad
from eval.serving.questions import Option
from storm.text import printable

STRICT = ConfigDict(extra="forbid", strict=True)
PARTS = 16  # of a message, and messages of a request; our choice: an image and some texts


class TextPart(BaseModel):
    model_config = STRICT
    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: dict | None = None


class ImagePart(BaseModel):
    model_config = STRICT
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto"] | None = None  # the image is made as small as in training
    prompt_cache_breakpoint: dict | None = None


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    model_config = STRICT
    role: Literal["user", "developer", "system"]
    content: str | Annotated[list[Part], Field(max_length=PARTS)]
    type: Literal["message"] = "message"


class Level(BaseModel):
    model_config = STRICT
    label: str
    description: str = ""


class Choice(BaseModel):
    model_config = STRICT
    value: StrictStr | StrictBool
    description: str = ""


class Score(BaseModel):
    model_config = STRICT
    type: Literal["score"]
    instructions: str | Annotated[list[TextPart], Field(max_length=PARTS)]
    levels: list[Level] = Field(min_length=2, max_length=LEVELS)
    name: str | None = None


class Choose(BaseModel):
    model_config = STRICT
    type: Literal["choice"]
    instructions: str | Annotated[list[TextPart], Field(max_length=PARTS)]
    choices: list[Choice] = Field(min_length=2, max_length=LEVELS)
    name: str | None = None


class Decisions(BaseModel):
    """The body of POST /v1/decisions."""

    model_config = STRICT
    model: str
    input: str | Annotated[list[Message], Field(max_length=PARTS)]
    questions: list[Annotated[Score | Choose, Field(discriminator="type")]] = Field(min_length=1, max_length=400)
    prompt_cache_key: str | None = None
    prompt_cache_options: dict | None = None
    safety_identifier: str | None = None


class Spec(BaseModel):
    model_config = STRICT
    type: Literal["score", "choice"]
    instructions: str = ""
    criteria: (
        Annotated[list[str], Field(min_length=2, max_length=LEVELS)]
        | Annotated[dict[str, str | None], Field(min_length=2, max_length=LEVELS)]
    )


class SystemOne(BaseModel):
    """The body of POST /v1/systemone."""

    model_config = STRICT
    model: str | None = None
    state: str | None
    instructions: str | None = None
    images: list[str] = Field(min_length=1, max_length=PARTS)
    questions: dict[str, Spec] = Field(min_length=1, max_length=400)
    cache_salt: str | None = None
    priority: int = 0
    request_id: str | None = None


class Question(NamedTuple):
    """One question of either form."""

    name: str | None  # as the request calls it
    ordered: bool  # score, else choice
    instructions: str
    options: tuple[Option, ...]
    values: tuple[str | bool, ...]  # of the options, as the request writes them


class Body(NamedTuple):
    """What either form asks."""

    model: str | None
    images: list[str]  # data URLs or web addresses
    text: str  # beside the image
    questions: list[Question]


def read(form: type[Decisions] | type[SystemOne], body: bytes) -> Body:
    """Raises Refused with one fault, and where it is."""
    try:
        request = form.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        # Of a text or a list of parts, that in the parts.
        fault = max(faults, key=lambda one: (one["type"] == "too_long", len(one["loc"])))
        # Without the names of our types: "input.0.content" and not "input.list[...].0.content.list[...]".
        place = ".".join(str(part) for part in fault["loc"] if "[" not in str(part))[:100]
        what = fault["msg"]
        if fault["type"] == "too_long" and not place.startswith("questions"):
            what = f"{fault['ctx']['actual_length']} of them; send one image a request, several are rated together"
        raise bad(printable(f"{place}: {what}" if place else what)[:300]) from None
    return _decisions(request) if isinstance(request, Decisions) else _systemone(request)


def _decisions(request: Decisions) -> Body:
    images, texts = [], []
    for message in [] if isinstance(request.input, str) else request.input:
        if isinstance(message.content, str):
            texts.append(message.content)
            continue
        images += [part.image_url for part in message.content if isinstance(part, ImagePart)]
        texts += [part.text for part in message.content if isinstance(part, TextPart)]
    texts += [request.input] if isinstance(request.input, str) else []
    questions = []
    for row in request.questions:
        if isinstance(row, Score):
            options = [(level.label, level) for level in row.levels]
        else:
            options = [(choice.value, choice) for choice in row.choices]
        # A truth value is asked by its word.
        words = tuple(Option(str(value), level.description) for value, level in options)
        values = tuple(value for value, _ in options)
        questions.append(Question(row.name, isinstance(row, Score), _joined(row.instructions), words, values))
    return Body(request.model, images, "\n".join(filter(str.strip, texts)), questions)


def _joined(instructions: str | list[TextPart]) -> str:
    return instructions if isinstance(instructions, str) else "\n".join(part.text for part in instructions)


def _systemone(request: SystemOne) -> Body:
    questions = []
    for name, spec in request.questions.items():
        score = spec.type == "score"
        if not name or isinstance(spec.criteria, list) != score:
            need = "a list of levels, lowest first" if score else "an object, option to description or null"
            place = f"questions.{printable(name)[:60]}"
            raise bad(f"{place}: criteria of a {spec.type} must be {need}, and its id not empty")
        options = [(label, None) for label in spec.criteria] if score else spec.criteria.items()
        words = tuple(Option(label, description or "") for label, description in options)
        questions.append(Question(name, score, spec.instructions, words, tuple(row.label for row in words)))
    state = "" if request.state in (None, STATE) else request.state
    texts = filter(str.strip, (request.instructions or "", state))
    return Body(request.model, request.images, "\n".join(texts), questions)
