"""Exact ratings by servers: decision APIs, and log-probabilities of answers. The servers are stubs."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openai.types.decision_create_params import DecisionCreateParams
from pydantic import TypeAdapter
from starlette.responses import Response

from eval import predict
from eval.servers import connection
from storm.datasets import SCALES
from storm.files import read_jsonl
from storm.prompts import answers
from storm.scales import IQA
from tests.helpers.asked_servers import PROBABILITIES, ROWS, arguments, make_world, of_decisions, read, row_number
from tests.helpers.stub_server import MODEL, chat, decision, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


@pytest.mark.parametrize("api", ["decisions", "systemone"])
def test_decisions_become_the_same_columns(world, tmp_path, api):
    def decide(body, stub):
        if api == "decisions":
            return decision(body, None if row_number(body) == 3 else PROBABILITIES)
        [name] = body["questions"]
        found = {"type": "score", "probabilities": {str(n): p for n, p in enumerate(PROBABILITIES)}, "confidence": 0.4}
        return {"answers": {name: found}, "diagnostics": {name: {"label_mass": 0.9}}, "usage": {}}

    with serving(decide) as stub:
        code = predict.main(arguments(world, tmp_path, stub.url, api=api, decode="exact", limit="8"))
    rows = read(tmp_path)
    assert code == (2 if api == "decisions" else 0)
    assert ["error" in row for row in rows] == [api == "decisions" and number == 3 for number in range(8)]
    row = rows[0]
    assert row["probs"] == PROBABILITIES and row["predict"] == "rate2(Fair)" and row["median"] == 2
    assert row["coarse"] == [0.3, 0.4, 0.3] and row["mean"] == pytest.approx(1.95)
    assert row["mass"] == (None if api == "decisions" else 0.9)
    body = stub.bodies[0]
    levels = ["rate0(Bad)", "rate1(Poor)", "rate2(Fair)", "rate3(Good)", "rate4(Excellent)"]
    if api == "decisions":
        TypeAdapter(DecisionCreateParams).validate_python(body)
        assert body["questions"][0]["levels"] == [{"label": level} for level in levels]
    else:
        assert body["questions"]["rating"]["criteria"] == levels


def _reversed_numbers(answer: dict) -> None:
    for key in ("legend", "probabilities"):
        answer[key] = {str(4 - int(number)): value for number, value in answer[key].items()}
    answer["score"] = 4 - answer["score"]


@pytest.mark.parametrize(
    ("api", "change", "mass"),
    [
        ("systemone", _reversed_numbers, 0.9),
        ("systemone", lambda answer: answer.update(label_mass=0.0), 0.0),
        ("decisions", lambda answer: answer["probabilities"].reverse(), None),
        ("decisions", lambda answer: answer.update(mass=0.75, trained=True, strategy="direct"), 0.75),
    ],
    ids=["legend", "no_mass", "order", "our_own"],
)
def test_levels_are_those_that_a_decision_names(world, tmp_path, api, change, mass):
    with serving(of_decisions(change, api)) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, api=api, decode="exact", limit="2")) == 0
    assert [(row["probs"], row["mass"]) for row in read(tmp_path)] == [(PROBABILITIES, mass)] * 2


def _untrained(answer: dict) -> None:
    answer.update(mass=0.0, trained=False, warning="mass less than 0.5: probably not trained")


def test_what_a_server_doubts_is_shown_and_counted(world, tmp_path, capfd):
    words = ["--images", str(world / "media"), "--scale", "spaq", "--out", str(tmp_path / "r.jsonl"), "--limit", "3"]
    with serving(of_decisions(_untrained)) as stub:
        words += ["--server", stub.url, "--served-model", MODEL, "--api", "decisions"]
        assert predict.main(words) == 0
    shown = capfd.readouterr()
    assert shown.err.count("not trained on these levels") == 1 and "median mass" in shown.err
    head, _, counts = (line.split() for line in shown.out.splitlines()[4:7])
    assert dict(zip(head, counts))["warning"] == "3"
    assert [line.row["mass"] for line in read_jsonl(tmp_path / "r.jsonl")] == [0.0] * 3


def test_photographs_without_a_rating(world, tmp_path):
    with serving(lambda body, _: decision(body, PROBABILITIES)) as stub:
        words = ["--images", str(world / "media"), "--scale", "spaq", "--out", str(tmp_path / "r.jsonl")]
        words += ["--server", stub.url, "--served-model", MODEL, "--api", "decisions"]
        assert predict.main(words) == 0
        assert predict.main(words) == 0
    rows = [line.row for line in read_jsonl(tmp_path / "r.jsonl")]
    assert len(rows) == len(stub.bodies) == ROWS
    assert rows[0]["mass"] is None and rows[0]["probs"] == PROBABILITIES and rows[0]["label"] == 2


def of_vllm(prompt: int, logp: dict[str, list[float]]) -> Callable:
    """A vLLM that knows the log-probabilities of the words of each answer; a word is a token, and one ends the turn."""
    ids: dict[str, int] = {}

    def reply(body: dict, stub) -> dict:
        turn = body["messages"][-1]
        words = ["p"] * (prompt + row_number(body))
        values = [-1.0] * len(words)
        if turn["role"] == "assistant":
            parts = [part for part in turn["content"].replace("(", " (").split(" ")]
            words += [*parts, "<|im_end|>", "\n"]
            values += [*logp[turn["content"]], -9.0]
        tokens = [ids.setdefault(word, len(ids)) for word in words]
        known = [{str(t): {"logprob": v, "rank": 1, "decoded_token": w}} for t, v, w in zip(tokens, values, words)]
        assert body["add_generation_prompt"] is (turn["role"] == "user") and body["prompt_logprobs"] == 0
        return chat("x") | {"prompt_token_ids": tokens, "prompt_logprobs": [None, *known[1:]]}

    return reply


def test_exact_is_the_sum_over_the_tokens_of_each_answer(world, tmp_path):
    rng = np.random.default_rng(0)
    texts = answers(IQA, "direct")
    logp = {text: list(-1 - rng.random(3)) for text in texts}  # rate0, (Bad), the end of the turn
    with serving(of_vllm(20, logp)) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, decode="exact", limit="6")) == 0
    whole = np.array([sum(logp[text]) for text in texts])
    for row in read(tmp_path):
        assert row["probs"] == pytest.approx(np.exp(whole) / np.exp(whole).sum(), abs=1e-6)
        assert row["mass"] == pytest.approx(np.exp(whole).sum(), abs=1e-6)
    assert len(stub.bodies) == 6 * 5 + 1


@pytest.mark.parametrize("odd", [math.nan, 3.0, -math.inf])
@pytest.mark.parametrize("first", [0, 2])
def test_logarithms_that_are_none_of_a_probability_end_the_run_at_the_first_row_else_are_an_error_of_the_row(
    world, tmp_path, odd, first
):
    """-inf for each answer: none of them has a probability."""
    broken = of_vllm(20, {text: [-2.0, -2.0, odd] for text in answers(IQA, "direct")})
    sound = of_vllm(20, {text: [-2.0, -2.0, -2.0] for text in answers(IQA, "direct")})

    def vllm(body: dict, stub) -> Response:
        reply = (broken if row_number(body) >= first else sound)(body, stub)
        return Response(json.dumps(reply), media_type="application/json")  # with NaN

    with serving(vllm) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, decode="exact", limit="4")) == 2
    if first:
        assert ["error" in row for row in read(tmp_path)] == [False, False, True, True]
    else:
        assert len(stub.bodies) <= 6 and not (tmp_path / "own_test.jsonl").exists()


def test_every_paper_scale_can_be_asked_of_a_decision_api():
    """OpenAI takes 2 to 255 levels with labels of their own."""
    from eval.servers.decisions import levels
    from eval.servers.reply import Question
    from storm.prompts import STRATEGIES

    for scale in SCALES.values():
        for strategy in STRATEGIES:
            words = levels(Question(scale, strategy, "", 1))
            assert 2 <= len(words) == len(set(words)) <= 255
