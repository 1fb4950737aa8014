"""eval/predict.py: resumes, survives faults, shares rows among processes, says what LLaMA-Factory's do_predict says."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eval import predict
from storm.datasets import SCALES
from storm.files import read_json, read_jsonl, write_json, write_jsonl
from storm.prompts import STRATEGIES
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
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
            yield to_row(Example(f"{dataset}/{number}", dataset, f"{number}.png", label, scale, strategy))

    for strategy in STRATEGIES.values():
        write_jsonl(folder / f"spaq_test{strategy.suffix}.jsonl", rows(IQA, strategy.name, "spaq"))
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
    return [line.row for line in read_jsonl(out / f"{name}.jsonl")]


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
        rows, built = read(whole, path.stem), read(world, path.stem)
        assert [row["id"] for row in rows] == [row["id"] for row in built]
        for row, source in zip(rows, built):
            assert [row[key] for key in ("dataset", "scale", "strategy")] == [
                source[key] for key in ("dataset", "scale", "strategy")
            ]
            assert row["label"] == source["conversations"][1]["value"] and row["image"] == source["images"][0]
            scale = SCALES[row["dataset"]]
            assert sum(row["probs"]) == pytest.approx(1, abs=1e-4) and sum(row["coarse"]) == pytest.approx(1, abs=1e-4)
            assert len(row["probs"]) == scale.hi - scale.lo + 1 and len(row["coarse"]) == len(scale.coarse)
            parsed = parse(scale, row["strategy"], row["predict"])
            assert parsed.label - scale.lo == max(range(len(row["probs"])), key=row["probs"].__getitem__)
            assert scale.lo <= row["median"] <= scale.hi and 0 <= row["mass"] <= 1


def test_nothing_of_the_host_is_printed(world, tmp_path):
    command = [sys.executable, str(ROOT / "eval" / "predict.py"), *arguments(world, tmp_path, "spaq_test", limit="4")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and [line.split()[0] for line in done.stdout.splitlines()[2:3]] == ["spaq_test"]
    assert len(done.stdout.splitlines()) == 5 and done.stdout.splitlines()[-1].startswith("python eval/score.py ")
    assert all(line.startswith("spaq_test:") for line in done.stderr.replace("\r", "\n").split("\n") if line.strip())
    assert "Loading weights" in (tmp_path / "output.log").read_text()


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
        facts = read_json(whole / "provenance.json")
        write_json(out / "provenance.json", facts | {"data": {"spaq_test": facts["data"]["spaq_test"]}})
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


def test_a_lost_image_is_a_row_with_an_error(world, whole, tmp_path):
    """Which files are refused, and for what reason: tests/eval/inference/test_rater.py."""
    assert predict.main(arguments(world, tmp_path, "lost_test")) == 2
    rows = read(tmp_path, "lost_test")
    assert len(rows) == ROWS
    assert [n for n, row in enumerate(rows) if "error" in row] == [5, 6, 7]
    for n, name in ((5, "gone.png"), (6, "../base/config.json"), (7, "bad.png")):
        assert rows[n]["error"].startswith(f"{world / 'media' / name}: ") and rows[n]["predict"] == ""
    assert rows[8]["predict"] == read(whole, "spaq_test")[8]["predict"]


def test_every_image_that_is_decoded_can_be_rated(world, tmp_path):
    """The smallest, the thinnest, and every mode of pixels: none of them may end a run in the host or the model."""
    from PIL import Image

    media = tmp_path / "media"
    media.mkdir()
    sizes = {f"{width}x{height}.png": (width, height) for width, height in ((1, 1), (1, 200), (200, 1), (3, 600))}
    for name, size in sizes.items():
        Image.new("RGB", size, (9, 99, 200)).save(media / name)
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        Image.new(mode, (40, 30)).save(media / f"{mode}.png")
    Image.new("CMYK", (40, 30)).save(media / "cmyk.jpg")
    Image.new("P", (40, 30)).save(media / "two.gif", save_all=True, append_images=[Image.new("P", (40, 30), 1)])
    names = sorted(path.name for path in media.iterdir())
    examples = [Example(name, "spaq", name, n % 5, IQA, "cot") for n, name in enumerate(names)]
    write_jsonl(tmp_path / "odd_test.jsonl", map(to_row, examples))
    for decode in ("exact", "generate"):
        more = {"media": str(media), "decode": decode, "max_new_tokens": "4"}
        assert predict.main(arguments(world, tmp_path / decode, str(tmp_path / "odd_test"), **more)) == 0
        assert [row["id"] for row in read(tmp_path / decode, "odd_test") if "error" not in row] == names


def test_out_of_memory_halves_the_batch(world, whole, tmp_path, monkeypatch):
    import torch

    from eval.inference import rater

    def small(model, inputs, answers):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return log_probabilities(model, inputs, answers)

    log_probabilities = rater.log_probabilities
    monkeypatch.setattr(rater, "log_probabilities", small)
    assert predict.main(arguments(world, tmp_path, "spaq_test", batch_size="8")) == 0
    log = (tmp_path / "output.log").read_text()
    assert log.count("out of memory with") == 2  # 8 -> 4 -> 2, and stays there
    for row, other in zip(read(tmp_path, "spaq_test"), read(whole, "spaq_test"), strict=True):
        assert row["id"] == other["id"] and row["probs"] == pytest.approx(other["probs"], abs=1e-4)
    # What goes on knows it, and so rounds as an unbroken run does.
    path = tmp_path / "spaq_test.jsonl"
    written = path.read_bytes()
    path.write_bytes(b"".join(written.splitlines(keepends=True)[:-5]))
    assert predict.main(arguments(world, tmp_path, "spaq_test", batch_size="8")) == 0
    assert path.read_bytes() == written and (tmp_path / "output.log").read_text().count("out of memory with") == 2


def test_blocks_by_tokens_give_the_same_file_in_the_order_of_the_data(world, whole, tmp_path, monkeypatch):
    from eval.inference import blocks, rater

    asked, start = [], rater.Rater.start
    monkeypatch.setitem(blocks.TOKENS, "cpu", 1000)
    monkeypatch.setattr(rater.Rater, "start", lambda self, block: asked.append(len(block)) or start(self, block))
    more = {"batch_size": "auto", "workers": "0"}
    assert predict.main(arguments(world, tmp_path, "spaq_test", **more)) == 0
    assert sum(asked) == ROWS and 1 < len(asked) < ROWS, "several blocks of several rows"
    for row, other in zip(read(tmp_path, "spaq_test"), read(whole, "spaq_test"), strict=True):
        assert row["id"] == other["id"] and row["probs"] == pytest.approx(other["probs"], abs=1e-4)
    path = tmp_path / "spaq_test.jsonl"
    written = path.read_bytes()
    for lines, workers in ((3, "0"), (9, "2")):
        path.write_bytes(b"".join(written.splitlines(keepends=True)[:lines]))
        assert predict.main(arguments(world, tmp_path, "spaq_test", **more | {"workers": workers})) == 0
        assert path.read_bytes() == written


def test_generate_says_what_do_predict_says(world, tmp_path):
    """The same rows through LLaMA-Factory's own do_predict, greedy, with the recipe's template and pixel limit."""
    from llamafactory.train.tuner import run_exp

    from data_prep.registry import stanza

    write_json(world / "dataset_info.json", {"spaq_test": stanza("spaq_test.jsonl")})
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
    expected = [row["predict"] for row in read(theirs, "generated_predictions")]
    ours = tmp_path / "ours"
    assert predict.main(arguments(world, ours, "spaq_test", decode="generate", max_new_tokens="12")) == 0
    assert [row["predict"] for row in read(ours, "spaq_test")] == expected
    assert len(set(expected)) > 1, "a test that cannot fail"


def test_the_image_is_where_training_put_it(world):
    """transformers 5.3 and later place image tokens as text unless told which they are; do_predict does not tell."""
    import torch

    from eval.inference.model import batch, load
    from eval.inference.settings import Settings
    from storm.images import load_rgb
    from storm.rows import read_examples

    loaded = load(Settings(model=str(world / "base"), image_max_pixels=12544), torch.device("cpu"))
    example = next(read_examples(world / "spaq_test.jsonl"))
    inputs = batch(loaded, [example.question], [load_rgb(world / "media" / example.image)])
    seen = []
    loaded.model.model.language_model.rotary_emb.register_forward_pre_hook(
        lambda _, args, named: seen.append(named.get("position_ids", args[-1])), with_kwargs=True
    )
    loaded.model.generate(**inputs, max_new_tokens=1, do_sample=False)
    image = inputs["input_ids"][0] == loaded.model.config.image_token_id
    assert image.sum() > 1 and len(set(seen[0][0, 0, image].tolist())) == 1, "one moment in time"


@pytest.mark.parametrize(("bf16", "kind"), [(True, "torch.bfloat16"), (False, "torch.float32")])
def test_weights_are_as_they_are_unless_bf16_is_asked_for(world, bf16, kind):
    import torch

    from eval.inference.model import load
    from eval.inference.settings import Settings

    loaded = load(Settings(model=str(world / "base"), bf16=bf16), torch.device("cpu"))
    assert str(next(loaded.model.parameters()).dtype) == kind


@pytest.mark.parametrize(
    ("change", "differs"),
    [({"decode": "generate"}, ("decode", "generate")), ({"image_max_pixels": "50000"}, ("image_max_pixels", "50000"))],
)
def test_results_of_two_settings_are_not_mixed(world, whole, capsys, change, differs):
    assert predict.main(arguments(world, whole, "spaq_test", **change)) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in differs) and f"mv {whole} {whole}.old" in error


def test_changed_data_and_models_are_noticed(world, whole, tmp_path, capsys):
    data = tmp_path / "spaq_test.jsonl"
    data.write_text("".join((world / "spaq_test.jsonl").read_text().splitlines(keepends=True)[:3]))
    argv = arguments(world, whole, "spaq_test")
    assert predict.main([str(data) if word == str(world / "spaq_test.jsonl") else word for word in argv]) == 2
    assert "data build (spaq_test)" in capsys.readouterr().err
    other = tmp_path / "base"
    shutil.copytree(world / "base", other)
    with (other / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    assert predict.main(arguments(world, whole, "spaq_test", model=str(other))) == 2
    assert "another model" in capsys.readouterr().err


@pytest.fixture(scope="module")
def bad(world) -> Path:
    """Files and model folders that a prediction cannot begin with."""
    folder = world / "bad"
    (folder / "empty").mkdir(parents=True)
    for name in ("bare", "cut", "strange", "weightless"):
        shutil.copytree(world / "base", folder / name)
    for path in (folder / "bare").glob("*processor_config.json"):
        path.unlink()
    with (folder / "cut" / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    write_json(folder / "strange" / "config.json", {"model_type": "gpt2"})
    (folder / "weightless" / "model.safetensors").unlink()
    (folder / "columns.jsonl").write_text('{"conversations": []}\n')
    row = read(world, "spaq_test")[0]
    row["conversations"][0]["value"] = "What is this?"
    write_jsonl(folder / "question.jsonl", [row])
    (folder / "used").mkdir()
    (folder / "used" / "spaq_test.jsonl").write_text("{}\n")
    return folder


@pytest.mark.parametrize(
    ("model", "data", "out", "place", "fix"),
    [
        ("base", "bad/gone.jsonl", "out", "bad/gone.jsonl: ", "python -m data_prep"),
        ("base", "bad/columns.jsonl", "out", "bad/columns.jsonl, line 1: ", "python -m data_prep"),
        ("base", "bad/question.jsonl", "out", "bad/question.jsonl, line 1: ", "python -m data_prep"),
        ("base", "spaq_test.jsonl", "bad/used", "bad/used ", "mv "),
        ("bad/gone", "spaq_test.jsonl", "out", "bad/gone: ", "hf download"),
        ("bad/empty", "spaq_test.jsonl", "out", "bad/empty: ", "config.json"),
        ("bad/bare", "spaq_test.jsonl", "out", "bad/bare: ", "copy it from the base model's folder"),
        ("bad/strange", "spaq_test.jsonl", "out", "bad/strange: ", "Qwen2.5-VL"),
        ("bad/cut", "spaq_test.jsonl", "out", "bad/cut: ", "download"),
        ("bad/weightless", "spaq_test.jsonl", "out", "bad/weightless: ", "out/output.log"),
    ],
)
def test_bad_input_is_one_line(world, bad, tmp_path, capsys, model, data, out, place, fix):
    folder = tmp_path / "out" if out == "out" else world / out
    argv = ["--model", str(world / model), "--data", str(world / data), "--out", str(folder)]
    argv += ["--media", str(world)]
    for _ in range(2):  # a run that answered nothing claims no folder
        assert predict.main(argv) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {world / place}") and fix in error and error.count("\n") == 1, error
