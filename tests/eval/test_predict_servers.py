"""eval/predict.py --server: what is asked, what is kept, and what happens when servers fail. The servers are stubs."""

import asyncio
import ipaddress
import json
import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.decision_create_params import DecisionCreateParams
from PIL import Image
from pydantic import TypeAdapter
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from eval import predict
from eval.inference import served
from eval.servers import connection, share
from eval.servers.faults import SHOWN
from storm.datasets import SCALES
from storm.files import read_json, read_jsonl, write_jsonl
from storm.prompts import answer, answers
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.stub_server import MODEL, chat, decision, error, image_of, pixel, serving, truncated

ROWS = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Photographs of one color each, whose first value is the row's number, and test files; one has a lost image."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "media").mkdir()
    for number in range(ROWS):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(folder / "media" / f"{number}.png")
    for name, dataset in (("own_test", "own"), ("spaq_test", "spaq")):
        rows = [Example(f"{n}", dataset, f"{n}.png", n % 5, IQA, "direct") for n in range(ROWS)]
        write_jsonl(folder / f"{name}.jsonl", map(to_row, rows))
    lost = [Example(f"{n}", "own", f"{n if n != 3 else 'gone'}.png", n % 5, IQA, "cot") for n in range(6)]
    write_jsonl(folder / "lost_test.jsonl", map(to_row, lost))
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


def row_number(body: dict) -> int:
    return pixel(image_of(body))[0]


def label(body: dict, stub=None) -> dict:
    """The label of the image, as the direct answer."""
    return chat(answer(IQA, "direct", row_number(body) % 5))


def arguments(world: Path, out: Path, *urls: str, data: str = "own_test", **more: str | bool) -> list[str]:
    settings = {"server": ",".join(urls), "served_model": MODEL, "out": out, "media": world / "media"}
    settings |= {"decode": "generate", "data": world / f"{data}.jsonl"} | more
    words = [(f"--{name.replace('_', '-')}", value) for name, value in settings.items()]
    return [str(word) for name, value in words for word in ((name,) if value is True else (name, value))]


def read(out: Path, name: str = "own_test") -> list[dict]:
    return [line.row for line in read_jsonl(out / f"{name}.jsonl")]


def test_rows_are_as_of_a_model_here(world, tmp_path, capsys):
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, price="2,4")) == 0
    rows = read(tmp_path)
    assert [row["id"] for row in rows] == [str(number) for number in range(ROWS)]
    for row in rows:
        assert set(row) == {"id", "dataset", "scale", "strategy", "image", "label", "predict"}
        assert row["predict"] == row["label"]
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["own_test", "40", "4,000", "400", "0.0096"] in table  # without the request for the list of models
    facts = read_json(tmp_path / "provenance.json")
    assert (facts["model"], facts["server"], facts["api"]) == (MODEL, ["localhost"], "chat")
    assert facts["cutoff_len"] is None and facts["max_new_tokens"] == 96


def test_predictions_are_called_after_the_served_model_beside_the_papers_rows(world, tmp_path, monkeypatch, capsys):
    from eval import report, score

    monkeypatch.chdir(tmp_path)  # where no test files of the user are
    outs = [tmp_path / "a", tmp_path / "b"]
    with serving(label) as stub:
        for out in outs:
            assert predict.main(arguments(world, out, stub.url, data="spaq_test")) == 0
    data = ["--data", str(world / "spaq_test.jsonl")]
    capsys.readouterr()
    for paths, names in ((outs[:1], [MODEL]), (outs, [f"{MODEL} ({out})" for out in outs])):
        assert score.main([*map(str, paths), *data, "--table", "2"]) == 0
        lines = capsys.readouterr().out.splitlines()
        for name in names:
            assert [line for line in lines if line.startswith(f"ours: {name} direct text  ")], name
    assert any(line.startswith("Qwen2.5-VL-3B Zero ") for line in lines)
    assert report.main([str(outs[0]), *data, "--media", str(world / "media"), "--out", "report.html"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count(f"<bdi>{MODEL}</bdi>") > 2 and "Qwen2.5-VL-3B Zero <span" in page


def test_the_question_is_that_of_training(world, tmp_path):
    with serving(label) as stub:
        assert (
            predict.main(arguments(world, tmp_path, stub.url, limit="1", image_max_pixels="1200", family="qwen2_5_vl"))
            == 0
        )
    [body] = stub.bodies
    system, user = body["messages"]
    assert system == {"role": "system", "content": "You are a helpful assistant."}
    image, text = user["content"]
    assert text["text"].startswith(" You are now an advanced Image Quality Evaluator") and "<image>" not in text["text"]
    assert body["temperature"] == 0 and body["max_tokens"] == 96
    assert pixel(image["image_url"]["url"]) == (0, 0, 0)
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(body)


@pytest.mark.parametrize(
    ("family", "system", "kwargs"),
    [
        ("qwen3_vl", [], None),
        ("lfm2_vl", ["system"], None),
        ("qwen3_5", [], {"enable_thinking": False}),
        ("none", [], None),
    ],
)
def test_the_question_is_that_of_the_family(world, tmp_path, capsys, family, system, kwargs):
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="1", family=family)) == 0
        other = arguments(world, tmp_path, stub.url, family="qwen2_5_vl")
        assert predict.main(other) == 2, "answers to two questions in one file"
        assert "family" in capsys.readouterr().err
        assert predict.main(arguments(world, tmp_path, stub.url, limit="2")) == 0, "the rows that are there say it"
    body, second = stub.bodies
    assert [turn["role"] for turn in second["messages"]] == [*system, "user"]
    assert [turn["role"] for turn in body["messages"]] == [*system, "user"]
    assert body.get("chat_template_kwargs") == kwargs


def test_rows_of_earlier_versions_go_on_as_they_were_asked(world, tmp_path):
    """They sent every model the system message of Qwen2.5-VL, and their provenance says no family."""
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="1", family="qwen2_5_vl")) == 0
        facts = read_json(tmp_path / "provenance.json")
        assert facts.pop("family") is None
        (tmp_path / "provenance.json").write_text(json.dumps(facts))
        assert predict.main(arguments(world, tmp_path, stub.url, limit="2")) == 0
    first, second = (body["messages"][0] for body in stub.bodies)
    assert first == second and first["role"] == "system"


def test_without_a_family_the_name_says_it_and_the_screen_what_was_taken(world, tmp_path, capfd):
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="2")) == 0
    shown = capfd.readouterr().err
    assert shown.count("--family") == 1 and "no system message" in shown
    assert all([turn["role"] for turn in body["messages"]] == ["user"] for body in stub.bodies)


def test_a_key_goes_only_where_it_belongs(world, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-1")
    monkeypatch.setenv("OPENAI_ORG_ID", "secret-2")
    monkeypatch.setenv("MINE", "secret-3")
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path / "a", stub.url, limit="1")) == 0
        assert predict.main(arguments(world, tmp_path / "b", stub.url, limit="1", api_key_env="MINE")) == 0
    first, second = stub.headers
    assert "secret" not in json.dumps(first) and second["authorization"] == "Bearer secret-3"
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*.json*"))


def test_a_resumed_run_asks_only_for_what_is_left(world, tmp_path):
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path / "whole", stub.url)) == 0
        assert predict.main(arguments(world, tmp_path / "part", stub.url, limit="15")) == 0
        half = (tmp_path / "part" / "own_test.jsonl").read_bytes()
        (tmp_path / "part" / "own_test.jsonl").write_bytes(half[:-30])  # a line cut off by a kill
        stub.bodies.clear()
        assert predict.main(arguments(world, tmp_path / "part", stub.url)) == 0
        assert sorted(map(row_number, stub.bodies)) == list(range(14, ROWS))
        stub.bodies.clear()
        assert predict.main(arguments(world, tmp_path / "part", stub.url)) == 0
    assert stub.bodies == []
    assert (tmp_path / "part" / "own_test.jsonl").read_bytes() == (tmp_path / "whole" / "own_test.jsonl").read_bytes()


@pytest.mark.parametrize(
    "change", [{"api": "decisions", "decode": "exact"}, {"served_model": "x"}, {"decode": "exact"}]
)
def test_other_settings_are_not_mixed(world, tmp_path, capsys, change):
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="2")) == 0
        assert predict.main(arguments(world, tmp_path, stub.url, **change)) == 2
    assert f"mv {tmp_path} {tmp_path}.old" in capsys.readouterr().err
    assert len(stub.bodies) == 2


def test_busy_and_broken_answers_are_tried_again_and_counted(world, tmp_path, capsys):
    lock, seen = threading.Lock(), set()

    def busy(body, stub):
        number = row_number(body)
        with lock:
            again = number in seen
            seen.add(number)
        if number and not again and number % 10 == 0:
            return error(429, "slow down")
        if number and not again and number % 10 == 5:
            return error(503, "loading")
        if number == 7 and not again:
            return truncated(label(body))
        return label(body)

    with serving(busy) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    assert all(row["predict"] == row["label"] for row in read(tmp_path))
    head, _, counts = (line.split() for line in capsys.readouterr().out.splitlines()[4:7])
    assert head[:4] == ["file", "requests", "429", "5xx"] and counts[:4] == ["own_test", "48", "3", "4"]


@pytest.mark.slow
def test_a_server_that_hangs_does_not_hold_up_the_run(world, tmp_path, monkeypatch):
    for module in (connection, share):
        monkeypatch.setattr(module, "DEADLINE", 3)
    end = threading.Event()

    def hangs(body, stub):
        if len(stub.bodies) > 3:
            end.wait(60)
        return label(body)

    with serving(hangs) as bad, serving(label) as good:
        assert predict.main(arguments(world, tmp_path, bad.url, good.url, concurrency="4")) == 0
        end.set()
    assert len(read(tmp_path)) == ROWS and all(row["predict"] == row["label"] for row in read(tmp_path))


def test_a_row_that_is_stuck_at_two_servers_is_given_up_and_both_go_on(world, tmp_path, monkeypatch, capfd):
    for module in (connection, share):
        monkeypatch.setattr(module, "DEADLINE", 1)
    monkeypatch.setattr(served, "QUIET", 0.3)

    async def stuck(body, stub):
        await asyncio.sleep(4 if row_number(body) == 12 else 0)
        return label(body)

    with serving(stuck) as one, serving(stuck) as two:
        assert predict.main(arguments(world, tmp_path, one.url, two.url, concurrency="2", family="none")) == 2
    rows, shown = read(tmp_path), capfd.readouterr()
    assert [row["id"] for row in rows if "error" in row] == ["12"] and len(rows) == ROWS
    assert "left out" not in shown.err and "1 at 127.0.0.1:" in shown.err


def test_refusals_in_a_row_end_the_run(world, tmp_path, capfd):
    def refuses(body, stub):
        return error(400, "bad picture") if row_number(body) > 4 else label(body)

    with serving(refuses) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, concurrency="1", family="none")) == 2
    shown = capfd.readouterr().err
    assert len(stub.bodies) == 15 and "10 rows in a row" in shown and "the same command goes on" in shown
    assert ["error" in row for row in read(tmp_path)] == [False] * 5 + [True] * 10


def test_a_row_that_no_server_answers_is_a_row_with_an_error(world, tmp_path, capsys):
    broken = {12, 13, 14, 15, 20}

    def poison(body, stub):
        number = row_number(body)
        if number == 20 and broken:
            return error(400, "the prompt is too long")
        return error(500, "out of memory") if number in broken else label(body)

    with serving(poison) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, concurrency="1")) == 2
        broken.clear()
        left = [int(row["id"]) for row in read(tmp_path) if "error" in row]
        assert len(read(tmp_path)) == ROWS and "given up" in capsys.readouterr().out
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    assert left == [12, 13, 14, 15, 20]
    assert all(row["predict"] == row["label"] for row in read(tmp_path)) and len(read(tmp_path)) == ROWS


def test_the_last_lines_say_which_models_answered_why_rows_have_errors_and_that_a_cost_is_not_known(
    world, tmp_path, capfd
):
    def reply(body, stub):
        number = row_number(body)
        if number in (3, 4):
            return error(400, "the prompt is too long")
        model = "another" if number == 5 else MODEL
        return label(body) | {"model": model} | ({"usage": None} if number == 6 else {})

    with serving(reply) as stub:
        words = arguments(world, tmp_path, stub.url, limit="10", price="2,4")
        assert predict.main(words) == 2
        shown = capfd.readouterr()
        assert "'another'" in shown.err and f"{MODEL} (7); another (1)" in shown.out
        reasons = [line.split("  ")[-1] for line in shown.out.splitlines() if line.startswith("      2  ")]
        assert len(reasons) == 1 and "the prompt is too long" in reasons[0]
        head, row = (line.split() for line in shown.out.splitlines()[4:7:2])
        assert head[-1] == "cost" and row[-1] == "70", "tokens out are the last number: the cost is empty"
        assert read_json(tmp_path / "provenance.json")["answered_by"] == ["another", MODEL]
        assert predict.main(words) == 2, "other names tell no folders apart"
    assert read_json(tmp_path / "provenance.json")["answered_by"] == ["another", MODEL]


def test_an_answer_that_broke_off_is_asked_for_again_and_counts_as_none(world, tmp_path, capsys):
    lock, seen = threading.Lock(), set()

    def reply(body, stub):
        number = row_number(body)
        with lock:
            again = number in seen
            seen.add(number)
        if number == 6 or (number == 5 and not again):
            return chat("rate1(Poor)", "stop") | {"choices": [broken]}
        if number == 7 and not again:
            return Response("[" * 100_000, media_type="application/json")
        return label(body)

    broken = {"index": 0, "finish_reason": "abort", "message": {"role": "assistant", "content": "rate1(Poor)"}}
    with serving(reply) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="10")) == 2
    rows, out = read(tmp_path), capsys.readouterr().out
    assert [row["id"] for row in rows if "error" in row] == ["6"] and rows[6]["predict"] == ""
    assert all(row["predict"] == row["label"] for row in rows if row["id"] != "6")
    head, _, counts = (line.split("  ") for line in out.splitlines()[4:7])
    named = dict(zip(map(str.strip, filter(None, head)), map(str.strip, filter(None, counts))))
    assert (named["broken off"], named["given up"]) == ("4", "1")


def test_refusals_and_answers_that_are_none_are_counted_by_kind(world, tmp_path, capsys):
    odd = {
        1: ("refusal", chat(None, refusal="I cannot rate people")),
        2: ("content filter", chat(None, "content_filter")),
        3: ("empty", chat("")),
        4: ("cut off", chat("The image shows", "length")),
        5: ("content filter", error(400, "the image was filtered", "content_filter")),
    }
    with serving(lambda body, _: odd.get(row_number(body), ("", label(body)))[1]) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    rows = read(tmp_path)
    assert [row.get("odd") for row in rows[:7]] == [None, *(kind for kind, _ in odd.values()), None]
    assert [row["predict"] for row in rows[1:6]] == ["I cannot rate people", "", "", "The image shows", ""]
    out = capsys.readouterr().out
    assert all(kind in out for kind, _ in odd.values())
    from eval import score

    assert score.main([str(tmp_path)]) in (0, 1, 2) and "unparsed" in capsys.readouterr().out


def test_a_model_that_takes_no_temperature_is_said_to_be_not_greedy(world, tmp_path, capsys):
    def picky(body, stub):
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if "temperature" in body:
            return error(400, "Unsupported value: 'temperature' does not support 0 with this model.")
        return label(body)

    with serving(picky) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    assert all(row["predict"] == row["label"] for row in read(tmp_path)) and len(stub.bodies) == ROWS + 2
    assert stub.bodies[-1]["max_completion_tokens"] == 96 and "not greedy" in capsys.readouterr().out


def test_a_lost_image_is_a_row_with_an_error(world, tmp_path):
    with serving(lambda body, _: chat("rate2(Fair)")) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, data="lost_test")) == 2
    rows = read(tmp_path, "lost_test")
    assert [number for number, row in enumerate(rows) if "error" in row] == [3] and len(stub.bodies) == 5
    assert rows[3]["error"].startswith(str(world / "media" / "gone.png"))


PROBABILITIES = [0.1, 0.2, 0.4, 0.25, 0.05]


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


def of_decisions(change: Callable[[dict], object], api: str = "decisions") -> Callable:
    """A server that answers with PROBABILITIES, after its answer was changed."""

    def decide(body: dict, stub) -> dict:
        if api == "decisions":
            whole = decision(body, PROBABILITIES)
            change(whole["answers"][0])
            return whole
        [(name, question)] = body["questions"].items()
        legend = {str(n): word for n, word in enumerate(question["criteria"])}
        found = {"type": "score", "legend": legend, "score": 1.95}
        found |= {"probabilities": {str(n): p for n, p in enumerate(PROBABILITIES)}}
        change(found)
        return {"answers": {name: found}, "diagnostics": {name: {"label_mass": found.pop("label_mass", 0.9)}}}

    return decide


def _reversed_numbers(answer: dict) -> None:
    for key in ("legend", "probabilities"):
        answer[key] = {str(4 - int(number)): value for number, value in answer[key].items()}
    answer["score"] = 4 - answer["score"]


def _reversed_values(answer: dict) -> None:
    for row in answer["probabilities"]:
        row["value"] = 4 - row["value"]


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


def test_half_a_character_in_an_answer_costs_no_row(world, tmp_path):
    spelt = Response(
        json.dumps(chat("rate3(Good)") | {}).replace("(Good)", "(Good)\\ud800"), media_type="application/json"
    )
    with serving(lambda body, stub: spelt) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    assert len(read(tmp_path)) == ROWS and read(tmp_path)[0]["predict"] == "rate3(Good)?"


@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_a_server_repeats_is_in_no_file(world, tmp_path, monkeypatch, capsys, status):
    monkeypatch.setenv("MINE", "sk-secret-123456")
    text = "x" * (SHOWN - 12) + " sk-secret-123456" if status == 400 else "you sent sk-secret-123456"
    with serving(lambda body, stub: JSONResponse(text, status)) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="1", api_key_env="MINE")) == 2
    printed = capsys.readouterr()
    files = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("sk-secret" in text for text in (printed.out, printed.err, *files))


DECISIONS, SYSTEMONE = ({"api": api, "decode": "exact"} for api in ("decisions", "systemone"))
HTML = HTMLResponse("<!DOCTYPE html><title>Welcome</title>")


@pytest.mark.parametrize(
    ("reply", "more", "fix"),
    [
        (lambda *_: HTML, {}, "/v1"),
        (lambda body, _: truncated(label(body)), {}, "cut off"),
        (lambda *_: chat("x" * 1_000_000), {}, "1,000,000"),
        (lambda *_: error(400, "demo is not a multimodal model"), {}, "not a multimodal model"),
        (lambda *_: error(400, "Invalid model name passed in model=x"), {}, "--served-model"),
        (lambda *_: error(400, "image_url is not supported: text only"), {}, "takes images"),
        (lambda *_: error(400, "maximum context length is 10 tokens"), {}, "--image-max-pixels"),
        (lambda *_: error(400, "The plain HTTP request was sent to HTTPS port"), {}, "https://"),
        (lambda *_: error(500, "Internal Server Error"), {}, "images"),
        (lambda *_: {"error": {"message": "upstream busy"}}, {}, "upstream busy"),
        (lambda *_: error(401, "Incorrect API key"), {}, "--api-key-env"),
        (lambda *_: error(404, "no such model"), {}, "--served-model"),
        (lambda *_: error(429, "no credit", "insufficient_quota"), {}, "credit"),
        (lambda *_: RedirectResponse("http://192.0.2.1/v1/chat/completions"), {}, "redirect"),
        (lambda *_: {"object": "list"}, {}, "--api"),
        (label, {"decode": "exact"}, "--decode generate"),
        (label, DECISIONS, "--api"),
        (label, SYSTEMONE, "--api"),
        (of_decisions(lambda row: row.update(strategy="cot")), DECISIONS, "--strategy cot"),
        (of_decisions(lambda row: row.update(name="other")), DECISIONS, "another question"),
        (of_decisions(lambda row: row.update(score=77)), DECISIONS, "77"),
        (of_decisions(_reversed_values), DECISIONS, "values"),
        (of_decisions(lambda row: row.update(score=77), "systemone"), SYSTEMONE, "77"),
        (of_decisions(lambda row: row["legend"].update({"0": "Other"}), "systemone"), SYSTEMONE, "legend"),
        (label, {"served_model": "other"}, f"--served-model is one of {MODEL}"),
    ],
)
def test_a_server_that_cannot_rate_is_one_line_at_once(world, tmp_path, capfd, monkeypatch, reply, more, fix):
    monkeypatch.setattr(connection, "RETRIES", 0)
    with serving(reply) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, **more)) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"error: {stub.url.removeprefix('http://')}") and fix in said and said.count("\n") == 1, said
    assert len({row_number(body) for body in stub.bodies}) <= 1, "one row, before the others"
    assert len(stub.bodies) <= 1 and not (tmp_path / "own_test.jsonl").exists()


def test_no_server_and_no_tls_are_one_line(world, tmp_path, capfd):
    assert predict.main(arguments(world, tmp_path, "http://127.0.0.1:9")) == 2
    assert "127.0.0.1:9: no server answers" in capfd.readouterr().err
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url.replace("http:", "https:"))) == 2
    said = capfd.readouterr().err
    assert "http://" in said and said.count("\n") == 1 and stub.bodies == []


def test_a_certificate_of_ones_own_is_trusted_for_this_machine_and_http_is_told_from_https(
    world, tmp_path, monkeypatch, capfd
):
    pem = write_pem(tmp_path / "own.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with serving(label, pem=pem) as stub:
        words = arguments(world, tmp_path / "out", stub.url, limit="2")
        assert predict.main(words) == 2 and "SSL_CERT_FILE" in capfd.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", pem)
        assert predict.main(words) == 0
        capfd.readouterr()
        plain = arguments(world, tmp_path / "plain", stub.url.replace("https:", "http:"))
        assert predict.main(plain) == 2 and "https://" in capfd.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
        assert predict.main([*words, "--limit", "3"]) == 2 and "gone.pem" in capfd.readouterr().err


def write_pem(path: Path) -> str:
    """A key and a certificate of 127.0.0.1 that it signs itself, valid for an hour."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, address = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = certificate.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    certificate = certificate.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(
        key, hashes.SHA256()
    )
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(plain[0]))
    return str(path)


@pytest.mark.parametrize(
    ("data", "url", "more", "fix"),
    [
        ("own_test", "http://192.0.2.1:8000", {}, "--allow-remote"),
        ("spaq_test", "https://192.0.2.1", {"allow_remote": True}, "--i-may-send spaq"),
        ("own_test", "http://127.0.0.1:9", {"i_may_send": "spak"}, "spaq"),
        ("own_test", "http://127.0.0.1:9", {"api_key_env": "NO_SUCH_KEY"}, "export NO_SUCH_KEY="),
        ("own_test", "https://api.openai.com/v1", {"allow_remote": True}, "export OPENAI_API_KEY="),
        ("own_test", "http://127.0.0.1:9", {"api": "decisions"}, "exact"),
        ("own_test", "http://127.0.0.1:9", {"batch_size": "4"}, "--batch-size"),
        ("own_test", "http://127.0.0.1:9,http://127.0.0.1:9/v1", {}, "twice"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    world, tmp_path, capsys, monkeypatch, data, url, more, fix
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert predict.main(arguments(world, tmp_path / "out", url, data=data, **more)) == 2
    said = capsys.readouterr().err
    assert fix in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_options_of_servers_need_a_server(world, tmp_path, capsys):
    words = ["--model", "x", "--data", str(world / "own_test.jsonl"), "--out", str(tmp_path)]
    assert predict.main([*words, "--concurrency", "4"]) == 2
    assert "--concurrency goes with --server" in capsys.readouterr().err


def test_every_paper_scale_can_be_asked_of_a_decision_api():
    """OpenAI takes 2 to 255 levels with labels of their own."""
    from eval.servers.decisions import levels
    from eval.servers.reply import Question
    from storm.prompts import STRATEGIES

    for scale in SCALES.values():
        for strategy in STRATEGIES:
            words = levels(Question(scale, strategy, "", 1))
            assert 2 <= len(words) == len(set(words)) <= 255


def test_it_runs_where_an_event_loop_runs(world, tmp_path):
    """As in a notebook, or behind Playwright."""

    async def cell(url: str) -> int:
        return predict.main(arguments(world, tmp_path, url))

    with serving(label) as stub:
        assert asyncio.run(cell(stub.url)) == 0
    assert len(read(tmp_path)) == ROWS
