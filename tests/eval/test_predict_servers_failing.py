"""eval/predict.py --server when servers fail, hang, or answer oddly: nothing is lost, and all of it is counted."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from starlette.responses import Response

from eval import predict
from eval.inference import served
from eval.servers import connection, share
from storm.files import read_json
from tests.helpers.asked_servers import (
    ROWS,
    again_of,
    arguments,
    label,
    make_world,
    read,
    row_number,
)
from tests.helpers.stub_server import MODEL, chat, error, serving, truncated


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


def test_busy_and_broken_answers_are_tried_again_and_counted(world, tmp_path, capsys):
    asked_before = again_of()

    def busy(body, stub):
        number = row_number(body)
        again = asked_before(number)
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
    asked_before = again_of()

    def reply(body, stub):
        number = row_number(body)
        again = asked_before(number)
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


def test_half_a_character_in_an_answer_costs_no_row(world, tmp_path):
    spelt = Response(
        json.dumps(chat("rate3(Good)") | {}).replace("(Good)", "(Good)\\ud800"), media_type="application/json"
    )
    with serving(lambda body, stub: spelt) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url)) == 0
    assert len(read(tmp_path)) == ROWS and read(tmp_path)[0]["predict"] == "rate3(Good)?"
