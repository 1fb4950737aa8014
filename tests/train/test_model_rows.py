"""A row of Tables 2 and 3 for a model behind servers, or for one on this machine, without a training."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from eval.servers import connection
from storm.datasets import SCALES
from storm.files import read_json, read_jsonl, write_jsonl
from storm.prompts import answer, question
from storm.rows import Example, to_row
from tests.helpers.fake_host import calls, fate
from tests.helpers.stub_server import MODEL, Stub, chat, decision, error, serving
from tests.train.test_sweep import cell
from train import sweep

RESULTS, OUT = Path("results/rater_direct_generate.json"), Path("saves/predict/rater_direct_generate")
STRATEGIES = ("direct", "cot")
ASKED = {
    question(scale, name).removeprefix("<image>"): (scale, name) for scale in SCALES.values() for name in STRATEGIES
}
ROWS, OTHERS = 12, 2  # of spaq, and of each other test set
ALL = ROWS + 13 * OTHERS


def asked(body: dict) -> tuple:
    """(scale, strategy) of a request."""
    return ASKED[body["messages"][-1]["content"][1]["text"]]


def lowest(body: dict, stub: Stub) -> dict:
    """The lowest label of the scale, which is that of most rows."""
    scale, strategy = asked(body)
    return chat(answer(scale, strategy, scale.lo))


@pytest.fixture
def paper(tree) -> Path:
    """A tree whose test sets have an image and the lowest label, but every second row of SPAQ."""
    Path("data/raw").mkdir()
    Image.new("RGB", (40, 30)).save("data/raw/x.png")
    for strategy in STRATEGIES:
        for name, scale in SCALES.items():
            spaq = name == "spaq"
            labels = [scale.lo + (n % 2 if spaq else 0) for n in range(ROWS if spaq else OTHERS)]
            rows = [Example(str(n), name, "x.png", label, scale, strategy) for n, label in enumerate(labels)]
            write_jsonl(Path(f"data/storm/{strategy}/{name}_test.jsonl"), map(to_row, rows))
    return tree


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(lowest) as stub:
        yield stub


def command(url: str, *more: str, name: str = MODEL) -> list[str]:
    return ["table2", "--server", url, "--served-model", name, *more]


def test_a_served_model_is_a_row_of_tables_2_and_3(paper, stub, capsys):
    assert sweep.main(command(stub.url, "--price", "1,1")) == 0
    out = capsys.readouterr().out
    acc, mae = cell(out, MODEL), cell(out, MODEL, 1)
    assert acc[0] == "0.500 (0.167, 0.833)" and acc[1:11] == ["1.000 (0.158, 1.000)"] * 10
    assert acc[-1].startswith(f"{(0.5 + 10) / 11:.3f} (") and mae[-1].startswith(f"{0.5 / 14:.3f} (")
    assert cell(out, "Qwen2.5-VL-3B Zero, paper")[-1] == "0.288", "beside the paper's"
    assert len(stub.bodies) == ALL and calls() == [], "nothing was trained"
    result = read_json(RESULTS)
    assert (result["model"], result["server"], result["api"]) == (MODEL, ["localhost"], "chat")
    assert (result["strategy"], result["decode"], len(result["data"])) == ("direct", "generate", 14)
    assert {"commit", "versions"} <= result.keys() and result["unanswered"] == {}
    assert stub.url not in RESULTS.read_text(), "ports change"
    assert sweep.main(["table2", "--show"]) == 0
    assert cell(capsys.readouterr().out, MODEL) == acc


def test_the_same_command_again_asks_nothing_and_writes_the_same(paper, stub):
    assert sweep.main(command(stub.url)) == 0
    stub.bodies.clear()
    before = {path: path.read_bytes() for path in (RESULTS, *OUT.glob("*.json*"))}
    assert sweep.main(command(stub.url)) == 0
    assert stub.bodies == [] and before == {path: path.read_bytes() for path in before} and len(before) == 16


def test_datasets_come_one_by_one_and_averages_need_all(paper, stub, capsys):
    assert sweep.main(command(stub.url, "--datasets", "spaq,koniq")) == 0
    out = capsys.readouterr().out
    row = cell(out, MODEL)
    assert row[0] and row[2] and not any(row[1:2] + row[3:])
    assert "not asked for, so empty, as are averages over them: challengedb, adience" in out
    assert sweep.main(command(stub.url, "--datasets", "challengedb")) == 0
    assert len(stub.bodies) == ROWS + 2 * OTHERS and set(read_json(RESULTS)["data"]) == {
        "spaq_test",
        "koniq_test",
        "challengedb_test",
    }
    row = cell(capsys.readouterr().out, MODEL)
    assert row[0] and row[1] and row[2] and not any(row[3:])


def test_two_models_and_another_strategy_are_rows_of_their_own(paper, stub, capsys):
    for words in (command(stub.url), command(stub.url, "--strategy", "cot"), command(stub.url, "--name", "Qwen/Q 3")):
        assert sweep.main([*words, "--datasets", "koniq,hci"]) == 0
    out = capsys.readouterr().out
    assert len(stub.bodies) == 6 * OTHERS and cell(out, "Qwen/Q 3") == cell(out, f"{MODEL} (cot)")
    assert {asked(body)[1] for body in stub.bodies[4:8]} == {"cot"}
    assert Path("results/Qwen--Q--3_direct_generate.json").exists()


def test_probabilities_of_a_decision_api_are_a_row_that_says_exact(paper, capsys):
    with serving(lambda body, _: decision(body, [0.6, 0.1, 0.1, 0.1, 0.1])) as stub:
        words = command(stub.url, "--api", "decisions", "--decode", "exact", "--datasets", "spaq,koniq")
        assert sweep.main(words) == 0
    row = cell(capsys.readouterr().out, f"{MODEL} (exact)")
    assert row[0].startswith("0.500 (") and row[2].startswith("1.000 (")
    assert read_json(Path("results/rater_direct_exact.json"))["api"] == "decisions"


@pytest.mark.parametrize("change", [["--image-max-pixels", "9999"], ["--max-new-tokens", "5"]])
def test_other_settings_under_the_same_name_are_refused(paper, stub, capsys, change):
    assert sweep.main(command(stub.url, "--datasets", "koniq")) == 0
    before = RESULTS.read_bytes()
    assert sweep.main(command(stub.url, *change)) == 2
    said = capsys.readouterr().err
    assert f"mv {OUT} {OUT}.old" in said and "--name" in said and said.count("\n") == 1
    assert len(stub.bodies) == OTHERS and RESULTS.read_bytes() == before


def test_a_part_of_each_test_set_is_scored_but_no_cell(paper, stub, capsys):
    assert sweep.main(command(stub.url, "--limit", "3")) == 0
    out = capsys.readouterr().out
    assert cell(out, MODEL)[0] == "" and "spaq 3 of 12" in out and "spaq     " in out
    assert sweep.main(command(stub.url)) == 0
    assert cell(capsys.readouterr().out, MODEL)[0] and len(stub.bodies) == ALL


def test_rows_without_an_answer_are_named_and_asked_again(paper, stub, capsys):
    stub.reply = lambda body, _: error(400, "too long") if asked(body)[0] is SCALES["hci"] else lowest(body, stub)
    assert sweep.main(command(stub.url)) == 1
    result = read_json(RESULTS)
    assert result["unanswered"] == {"hci": OTHERS}
    assert "rater: no answer, so unparsed" in capsys.readouterr().out
    stub.reply = lowest
    stub.bodies.clear()
    assert sweep.main(command(stub.url)) == 0
    assert len(stub.bodies) == OTHERS and cell(capsys.readouterr().out, MODEL)[10].startswith("1.000 (")


def test_a_server_that_stops_answering_keeps_what_is_done(paper, monkeypatch, capsys):
    monkeypatch.setattr(connection, "RETRIES", 0)
    full = error(403, "no credit")
    with serving(lambda body, stub: lowest(body, stub) if len(stub.bodies) <= 7 else full) as stub:
        assert sweep.main(command(stub.url, "--concurrency", "1")) == 1
        assert not RESULTS.exists() and "rater: " in capsys.readouterr().err
        stub.reply = lowest
        stub.bodies.clear()
        assert sweep.main(command(stub.url)) == 0
    assert len(stub.bodies) == ALL - 7


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["table4", "--server", "URL", "--served-model", "m"], "table2"),
        (["table2", "--server", "URL"], "--served-model"),
        (["table2", "--server", "URL", "--served-model", "m", "learning_rate=1"], "learning_rate=1"),
        (["table2", "--server", "URL", "--served-model", "m", "--only", "zero_qwen"], "--only"),
        (["table2", "--server", "URL", "--served-model", "m", "--gpus", "2"], "--gpus"),
        (["table2", "--server", "URL", "--served-model", "m", "--datasets", "spak"], "spaq"),
        (["table2", "--server", "URL", "--served-model", "m", "--api", "decisions"], "--decode exact"),
        (["table2", "--server", "URL", "--served-model", "///"], "--name"),
        (["table2", "--server", "http://192.0.2.1", "--served-model", "m"], "--allow-remote"),
        (["table2", "--server", "URL", "--served-model", "m", "--strategy", "num"], "--strategy num"),
        (["table2", "--limit", "3"], "--limit"),
        (["table2", "--served-model", "m"], "--served-model"),
    ],
)
def test_what_cannot_be_asked_is_one_line_at_once(paper, stub, capsys, words, fix):
    for path in Path("data/storm/num").glob("*_test.jsonl"):
        path.unlink()
    assert sweep.main([stub.url if word == "URL" else word for word in words]) == 2
    said = capsys.readouterr().err
    assert fix in said and said.count("\n") == 1 and stub.bodies == [] and not Path("saves").exists()


def test_datasets_that_may_not_leave_are_refused_at_a_remote_host(paper, capsys):
    words = ["table2", "--server", "http://192.0.2.1", "--served-model", "m", "--allow-remote"]
    assert sweep.main(words) == 1
    assert "--i-may-send" in capsys.readouterr().err and not list(Path("saves").rglob("*.jsonl"))


def test_a_model_here_predicts_all_test_sets_in_one_process(paper, capsys):
    assert sweep.main(["table2", "--model", "zoo/Qwen-X", "--name", "Qwen X", "--gpus", "1"]) == 0
    [call] = calls()
    assert [Path(word).stem for word in call["argv"] if word.endswith(".jsonl")] == [f"{name}_test" for name in SCALES]
    row = cell(capsys.readouterr().out, "Qwen X")
    assert row[0] == "1.000 (0.735, 1.000)" and row[-1].startswith("1.000")
    assert read_json(Path("results/Qwen--X_direct_generate.json"))["model"] == "zoo/Qwen-X"
    assert sweep.main(["table2", "--model", "zoo/Qwen-Y", "--name", "Qwen X", "--gpus", "1"]) == 2
    assert "another model (zoo/Qwen-X, now zoo/Qwen-Y)" in capsys.readouterr().err


def test_the_recipe_of_the_released_weights_predicts_as_storm_was_trained(paper, monkeypatch):
    monkeypatch.setattr(sweep, "visible_gpus", lambda: 1)
    assert sweep.main(["storm_released"]) == 0
    [call] = calls()
    words = call["argv"]
    assert words[words.index("--model") + 1] == "saves/storm_weights"
    assert [word for word in words if word.endswith(".jsonl")] == [
        f"data/storm/cot/{name}_test.jsonl" for name in SCALES
    ]
    assert len(read_json(Path("results/storm_released.json"))["scores"]) == 14


def test_a_model_here_that_dies_is_one_line_and_goes_on(paper, monkeypatch, capsys):
    words = ["table2", "--model", "zoo/m", "--gpus", "1"]
    fate(monkeypatch, **{"zoo--m_direct_generate": "killed"})
    assert sweep.main(words) == 1 and not Path("results").exists()
    fate(monkeypatch)
    assert sweep.main(words) == 0
    rows = [line.row["id"] for line in read_jsonl(Path("saves/predict/zoo--m_direct_generate/spaq_test.jsonl"))]
    assert rows == [str(n) for n in range(ROWS)]


def test_images_that_cannot_be_read_are_named_and_the_others_scored(paper, monkeypatch, capsys):
    scale = SCALES["koniq"]
    rows = [Example(str(n), "koniq", "x.png", label, scale, "direct") for n, label in enumerate((scale.lo, scale.hi))]
    write_jsonl(Path("data/storm/direct/koniq_test.jsonl"), map(to_row, rows))
    fate(monkeypatch, **{"zoo--m_direct_generate": "unreadable"})
    assert sweep.main(["table2", "--model", "zoo/m", "--gpus", "1"]) == 1
    said = capsys.readouterr()
    assert "zoo/m: no answer, so unparsed; the same command asks for them again: koniq 1." in said.out
    assert "koniq 1" in said.err and cell(said.out, "zoo/m")[2].startswith("0.500 (")


def test_dry_run_prints_the_command(paper, stub, capsys):
    assert sweep.main(command(f"{stub.url},http://localhost:1", "--dry-run", "--limit", "2")) == 0
    line = capsys.readouterr().out
    assert line.startswith("python eval/predict.py ") and "--served-model rater" in line and "--limit 2" in line
    assert stub.bodies == [] and line.count("\n") == 1


def test_a_model_here_runs_on_all_gpus_of_all_machines(paper, monkeypatch, capsys):
    monkeypatch.setenv("NNODES", "4")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert sweep.main(["table2", "--model", "zoo/m", "--gpus", "8", "--dry-run"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("srun --nodes=4 ") and "--nproc_per_node=8 eval/predict.py --model zoo/m " in line


def test_results_that_name_a_line_of_the_paper_do_not_stand_for_its_recipe(paper, stub, capsys):
    assert sweep.main(command(stub.url, "--name", "STORM-3B Lite", "--datasets", "koniq")) == 0
    out = capsys.readouterr().out
    assert cell(out, "STORM-3B Lite (as asked here)")[2].startswith("1.000") and set(
        cell(out, "STORM-3B Lite, ours")
    ) == {""}
    assert json.loads(Path("results/STORM-3B--Lite_direct_generate.json").read_text())["name"] == "STORM-3B Lite"
