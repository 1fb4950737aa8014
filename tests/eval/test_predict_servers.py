"""eval/predict.py --server: what is asked, and what is kept. The servers are stubs."""

import asyncio
import json
from pathlib import Path

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from eval import predict
from eval.servers import connection
from storm.files import read_json
from tests.helpers.asked_servers import (
    ROWS,
    arguments,
    label,
    make_world,
    read,
    row_number,
)
from tests.helpers.stub_server import MODEL, chat, error, pixel, serving


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


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


def test_it_runs_where_an_event_loop_runs(world, tmp_path):
    """As in a notebook, or behind Playwright."""

    async def cell(url: str) -> int:
        return predict.main(arguments(world, tmp_path, url))

    with serving(label) as stub:
        assert asyncio.run(cell(stub.url)) == 0
    assert len(read(tmp_path)) == ROWS
