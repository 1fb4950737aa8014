"""eval/predict.py: resumes, survives faults, shares rows among processes, says what LLaMA-Factory's do_predict says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storm.prompts import STRATEGIES, suffix
from storm.scales import IQA
from storm.datasets import SCALES
from storm.rows import facts, turns
from storm.files import write_jsonl
from eval import predict

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
ROOT = Path(__file__).resolve().parent.parent
ROWS = 22  # not a multiple of the batch


@pytest.fixture(scope="module")
def world(tmp_path_factory, base) -> Path:
    """A tiny model (base), photographs (media) and test files: IQA in four strategies, ages, one with a lost image."""
    import numpy as np
    from PIL import Image

    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(base, folder / "base")
    (folder / "media").mkdir()
    rng = np.random.default_rng(0)
    for number in range(ROWS):
        size = rng.integers(40, 160, 2)
        pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "media" / f"{number}.png")

    def rows(scale, strategy, dataset):
        for number in range(ROWS):
            label = scale.lo + number % (scale.hi - scale.lo + 1)
            row = facts(id=f"{dataset}/{number}", dataset=dataset, image=f"{number}.png", label=label)
            yield turns(scale, strategy, label) | row

    for strategy in STRATEGIES:
        write_jsonl(folder / f"spaq_test{suffix(strategy)}.jsonl", rows(IQA, strategy, "spaq"))
    write_jsonl(folder / "utk_test.jsonl", rows(SCALES["utk"], "cot", "utk"))
    lost = list(rows(IQA, "cot", "spaq"))
    lost[5]["images"], lost[6]["images"], lost[7]["images"] = ["gone.png"], ["../base/config.json"], ["bad.png"]
    (folder / "media" / "bad.png").write_bytes(b"not an image")
    write_jsonl(folder / "lost_test.jsonl", lost)
    return folder


def arguments(world: Path, out: Path, *names: str, **more: str) -> list[str]:
    settings = {"--model": world / "base", "--out": out, "--media": world / "media", "--batch-size": 4} | {
        f"--{key.replace('_', '-')}": value for key, value in more.items()
    }
    settings = {"--image-max-pixels": 12544} | settings
    data = [str(world / f"{name}.jsonl") for name in names]
    return ["--data", *data, *(str(word) for pair in settings.items() for word in pair)]


def read(out: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(world) -> Path:
    """An unbroken run over all test files but the one with a lost image."""
    out = world / "whole"
    names = ["spaq_test", "spaq_test_num", "spaq_test_text", "spaq_test_direct", "utk_test"]
    assert predict.main(arguments(world, out, *names)) == 0
    return out


def test_every_row_is_answered_with_a_distribution(world, whole):
    from storm.parse import parse

    for path in sorted(whole.glob("*.jsonl")):
        rows, asked = read(whole, path.stem), [json.loads(line) for line in (world / path.name).open()]
        assert [row["id"] for row in rows] == [task["id"] for task in asked]
        strategy = next((s for s in STRATEGIES if s != "cot" and path.stem.endswith(s)), "cot")
        scale = SCALES[rows[0]["dataset"]]
        for row, task in zip(rows, asked):
            assert row["label"] == task["conversations"][1]["value"] and row["image"] == task["images"][0]
            assert sum(row["probs"]) == pytest.approx(1, abs=1e-4) and sum(row["coarse"]) == pytest.approx(1, abs=1e-4)
            assert len(row["probs"]) == scale.hi - scale.lo + 1 and len(row["coarse"]) == len(scale.coarse)
            said = parse(scale, strategy, row["predict"])
            assert said.label - scale.lo == max(range(len(row["probs"])), key=row["probs"].__getitem__)
            assert scale.lo <= row["median"] <= scale.hi and 0 <= row["mass"] <= 1


def test_score_reads_it(whole, capsys):
    from eval import score

    assert score.main([str(whole / "spaq_test.jsonl"), str(whole / "utk_test.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "spaq" in out and "utk" in out


def test_cut_short_anywhere_it_ends_as_an_unbroken_run(world, whole, tmp_path):
    expected = (whole / "spaq_test.jsonl").read_bytes()
    for cut in (0, 100, len(expected) // 2, len(expected) - 1):
        out = tmp_path / str(cut)
        out.mkdir()
        run = json.loads((whole / "run.json").read_text())
        (out / "run.json").write_text(json.dumps(run | {"data": {"spaq_test": run["data"]["spaq_test"]}}))
        (out / "spaq_test.jsonl").write_bytes(expected[:cut])
        assert predict.main(arguments(world, out, "spaq_test")) == 0
        assert (out / "spaq_test.jsonl").read_bytes() == expected


def test_killed_and_started_again(world, whole, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "eval" / "predict.py"), *arguments(world, out, "spaq_test", "utk_test")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.time() + 120
    while not (out / "spaq_test.jsonl").exists() and process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert predict.main(arguments(world, out, "spaq_test", "utk_test")) == 0
    for name in ("spaq_test", "utk_test"):
        assert (out / f"{name}.jsonl").read_bytes() == (whole / f"{name}.jsonl").read_bytes()


def test_two_processes_write_the_same_file(world, whole, tmp_path):
    command = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node", "2", "--master-port", "29653"]
    command += [str(ROOT / "eval" / "predict.py"), *arguments(world, tmp_path / "out", "spaq_test", "utk_test")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("spaq_test", "utk_test"):
        ours, expected = read(tmp_path / "out", name), read(whole, name)
        assert [(row["id"], row["predict"]) for row in ours] == [(row["id"], row["predict"]) for row in expected]
        for row, other in zip(ours, expected):
            assert row["probs"] == pytest.approx(other["probs"], abs=1e-4)
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_lost_image_is_a_row_with_an_error(world, whole, tmp_path, capsys):
    assert predict.main(arguments(world, tmp_path, "lost_test")) == 2
    rows = read(tmp_path, "lost_test")
    assert len(rows) == ROWS
    assert [n for n, row in enumerate(rows) if "error" in row] == [5, 6, 7]
    assert "gone.png: no such image" in rows[5]["error"] and "outside of" in rows[6]["error"]
    assert "bad.png: cannot be read" in rows[7]["error"] and rows[5]["predict"] == ""
    assert rows[8]["predict"] == read(whole, "spaq_test")[8]["predict"]


def test_out_of_memory_halves_the_batch(world, whole, tmp_path, monkeypatch, capsys):
    import torch

    from eval.inference import rater

    def small(model, inputs, answers):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return log_probabilities(model, inputs, answers)

    log_probabilities = rater.log_probabilities
    monkeypatch.setattr(rater, "log_probabilities", small)
    assert predict.main(arguments(world, tmp_path, "spaq_test", batch_size="8")) == 0
    assert capsys.readouterr().err.count("out of memory with") == 2  # 8 -> 4 -> 2, and stays there
    for row, other in zip(read(tmp_path, "spaq_test"), read(whole, "spaq_test"), strict=True):
        assert row["id"] == other["id"] and row["probs"] == pytest.approx(other["probs"], abs=1e-4)


def test_generate_says_what_do_predict_says(world, tmp_path):
    """The same rows through LLaMA-Factory's own do_predict, greedy, with the recipe's template and pixel limit."""
    from llamafactory.train.tuner import run_exp

    from data_prep.registry import stanza, write_info

    write_info(world / "dataset_info.json", {"spaq_test": stanza("spaq_test.jsonl")})
    theirs = tmp_path / "theirs"
    settings = {
        "model_name_or_path": str(world / "base"),
        "image_max_pixels": 12544,
        "stage": "sft",
        "do_predict": True,
    }
    settings |= {"predict_with_generate": True, "finetuning_type": "full", "eval_dataset": "spaq_test"}
    settings |= {"dataset_dir": str(world), "media_dir": str(world / "media"), "template": "qwen2_vl"}
    settings |= {"cutoff_len": 2048, "output_dir": str(theirs), "report_to": "none", "do_sample": False}
    run_exp(settings | {"max_new_tokens": 12, "per_device_eval_batch_size": 4, "use_cpu": True})
    expected = [json.loads(line)["predict"] for line in (theirs / "generated_predictions.jsonl").open()]
    ours = tmp_path / "ours"
    assert predict.main(arguments(world, ours, "spaq_test", decode="generate", max_new_tokens="12")) == 0
    assert [row["predict"] for row in read(ours, "spaq_test")] == expected
    assert len(set(expected)) > 1, "a test that cannot fail"


def test_the_image_is_where_training_put_it(world):
    """transformers 5.3 and later place image tokens as text unless told which they are; do_predict does not tell."""
    import torch

    from eval.inference.model import batch, load
    from storm.images import opened
    from storm.rows import tasks

    loaded = load(str(world / "base"), None, 12544, 2048, torch.device("cpu"))
    task = next(tasks(world / "spaq_test.jsonl"))
    inputs = batch(loaded, [task.question], [opened(world / "media", task.image)])
    seen = []
    loaded.model.model.language_model.rotary_emb.register_forward_pre_hook(
        lambda _, args, named: seen.append(named.get("position_ids", args[-1])), with_kwargs=True
    )
    loaded.model.generate(**inputs, max_new_tokens=1, do_sample=False)
    image = inputs["input_ids"][0] == loaded.model.config.image_token_id
    assert image.sum() > 1 and len(set(seen[0][0, 0, image].tolist())) == 1, "one moment in time"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decode": "generate"}, "holds predictions with decode exact, not generate: name another --out"),
        ({"image_max_pixels": "50000"}, "holds predictions with image_max_pixels 12544, not 50000"),
    ],
)
def test_results_of_two_runs_are_not_mixed(world, whole, capsys, change, said):
    assert predict.main(arguments(world, whole, "spaq_test", **change)) == 2
    assert said in capsys.readouterr().err


def test_changed_data_and_models_are_noticed(world, whole, tmp_path, capsys):
    data = tmp_path / "spaq_test.jsonl"
    data.write_text("".join((world / "spaq_test.jsonl").read_text().splitlines(keepends=True)[:3]))
    argv = arguments(world, whole, "spaq_test")
    assert predict.main([str(data) if word == str(world / "spaq_test.jsonl") else word for word in argv]) == 2
    assert "holds predictions of another spaq_test (data)" in capsys.readouterr().err
    other = tmp_path / "base"
    shutil.copytree(world / "base", other)
    with (other / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    assert predict.main(arguments(world, whole, "spaq_test", model=str(other))) == 2
    assert "holds predictions with model " in capsys.readouterr().err


def test_bad_input_is_one_line(world, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    bare = tmp_path / "bare"
    shutil.copytree(world / "base", bare)
    for path in bare.glob("*processor_config.json"):
        path.unlink()
    (tmp_path / "columns.jsonl").write_text('{"conversations": []}\n')
    row = json.loads((world / "spaq_test.jsonl").open().readline())
    row["conversations"][0]["value"] = "What is this?"
    (tmp_path / "question.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "spaq_test.jsonl").write_text("{}\n")
    cut = tmp_path / "cut"
    shutil.copytree(world / "base", cut)
    with (cut / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    spaq, out = str(world / "spaq_test.jsonl"), str(tmp_path / "out")
    base = str(world / "base")
    cases = [
        (base, str(tmp_path / "gone.jsonl"), out, "gone.jsonl"),
        (base, str(tmp_path / "columns.jsonl"), out, "columns.jsonl, line 1: "),
        (base, str(tmp_path / "question.jsonl"), out, "question.jsonl, line 1: no question of a known scale"),
        (base, spaq, str(tmp_path / "used"), "of unknown origin (no run.json)"),
        (str(tmp_path / "gone"), spaq, out, "no such model folder"),
        (str(tmp_path / "empty"), spaq, out, "no config.json in it"),
        (str(bare), spaq, out, "no preprocessor_config.json"),
        (str(cut), spaq, out, f"{cut}: damaged weights ("),
    ]
    for model, data, folder, said in cases:  # a run that answered nothing claims no folder
        assert predict.main(["--model", model, "--data", data, "--out", folder]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error and error.count("\n") == 1, error
