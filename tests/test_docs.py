"""What README and docs tell a user to type is run here, in a copy of the working tree, with few training steps."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import in_process
from tests.helpers.documented import FENCED, SWEEP, blocks, start
from tests.helpers.paths import ROOT
from train.docs import MARKED, fresh, main, pages, stale

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = {page: page.read_text(encoding="utf-8") for page in pages()}
TEXTS[ROOT / "bench/README.md"] = (ROOT / "bench/README.md").read_text(encoding="utf-8")
ELSEWHERE = ("make demo", "make test", "pytest -q", SWEEP)  # run by a test below, by CI, by test_sweep_demo.py
COMMANDS = ("-m data_prep", "-m data_prep own", "-m data_prep release", "-m data_prep export", "-m train.docs")
COMMANDS += (
    "eval/predict.py",
    "eval/score.py",
    "eval/report.py",
    "eval/app.py",
    "eval/serve.py",
    "train/preflight.py",
    "train/sweep.py",
    "train/card.py",
)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1000


def test_readme_shows_the_commands_that_this_file_and_ci_run():
    first = blocks("bash")[0][1].split("\n")
    assert first[:2] == ["make demo", "make test"]
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()
    assert any(SWEEP in text for _, text in blocks("bash"))


def test_commands_run_as_typed():
    """The environment is activated once; no command names .venv/bin again."""
    for _, text in blocks("bash"):
        assert ".venv/bin" not in text.replace("source .venv/bin/activate\n", "")
        assert "python" not in text or text.startswith("source .venv/bin/activate\n")


def test_every_generated_table_is_fresh():
    assert [name(page) for page in stale()] == [], "run: make docs"


def test_every_writer_has_a_place():
    from train.docs import WRITERS

    assert {table for text in TEXTS.values() for _, table, _ in MARKED.findall(text)} == set(WRITERS)


def test_no_cell_is_how_python_writes_an_object():
    from train.docs import WRITERS

    for name, write in WRITERS.items():
        shown = re.search(r"<(lambda|function|class|\w+ object)|Scale\(|DatasetFacts\(|\{'", write())
        assert not shown, f"{name}: {shown[0]}"


def test_a_stale_table_is_found_and_written(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("# Title\n<!-- table: strategies -->\nold\n<!-- end -->\nrest\n")
    monkeypatch.setattr("train.docs.ROOT", tmp_path)
    monkeypatch.setattr("train.docs.stale", lambda: stale(tmp_path))
    assert main(["--check"]) == 1 and "README.md" in capsys.readouterr().out
    assert "old" in page.read_text()
    assert main([]) == 0 and main(["--check"]) == 0
    assert "`direct`" in page.read_text() and page.read_text().endswith("<!-- end -->\nrest\n")


def test_a_marker_that_nothing_writes_is_named():
    with pytest.raises(ValueError, match="'planets'"):
        fresh("<!-- table: planets -->\n<!-- end -->\n")


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_every_path_that_a_page_names_exists(page):
    """Paths in our folders; not those with a placeholder (<suffix>, NAME), nor those of the owners' archives."""
    text = MARKED.sub("", TEXTS[page])
    folders = "storm|data_prep|demo|eval|train|recipes|tests|bench|examples|docs|ds_configs"
    paths = re.findall(rf"(?<![\w/.-])(?:{folders})/[\w./-]*\w(?![\w<*{{])", text)
    paths += re.findall(r"(?<![\w/])(?:pyproject\.toml|constraints\.txt|dataset_info\.json|LICENSE)\b", text)
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_every_link_between_pages_resolves(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, (
                target
            )


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, as its --help has them."""
    accepted = {}
    for command in COMMANDS:
        done = in_process.run(command, "--help")
        assert done.returncode == 0, f"{command}: {done.stderr[-500:]}"
        accepted[command] = set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    return accepted


@pytest.mark.slow
def test_every_option_in_a_command_is_one_of_its_options(options):
    shown = 0
    for place, text in blocks("bash") + blocks("console"):
        for line in text.replace("\\\n", " ").splitlines():
            line = line.partition(" #")[0]
            command = max((name for name in COMMANDS if re.search(rf"python {re.escape(name)}( |$)", line)), default="")
            if command:
                shown += 1
                assert set(re.findall(r"--[a-z][a-z-]*", line)) <= options[command], f"{place}: {line}"
    assert shown > 15


@pytest.mark.slow
@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_every_option_in_the_text_exists(page, options):
    existing = set().union(*options.values())
    # Of other programs.
    other = {"--num-cpus", "--help", "--mode", "--log", "--reuse", "--work-dir", "--allowed-local-media-path"}
    assert set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]*)", FENCED.sub("", TEXTS[page]))) <= existing | other


def test_every_recipe_in_a_command_exists():
    for place, text in blocks("bash") + blocks("console"):
        for stem in re.findall(r"recipes/(\w+)\.yaml", text) + re.findall(r"sweep\.py (?!table)(\w+)", text):
            assert stem == "demo" or (ROOT / "recipes" / f"{stem}.yaml").exists(), place


def kill_after(checkpoint: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 480
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint to interrupt after"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_make_demo_goes_on_after_kill_9_and_runs_twice(copy, tmp_path):
    log = tmp_path / "log"
    first = copy / "saves/demo/checkpoint-2/trainer_state.json"
    kill_after(first, start("make demo", copy, log))
    assert not (copy / "saves/demo/train_results.json").exists(), "killed too late to prove anything"
    half_written = copy / "saves/demo/checkpoint-9"
    half_written.mkdir()
    saved = first.stat().st_mtime_ns

    assert start("make demo", copy, log).wait() == 0, log.read_text()[-3000:]
    assert json.loads((copy / "saves/demo/trainer_state.json").read_text())["global_step"] == 6
    assert first.stat().st_mtime_ns == saved, "it went on from there, not from the start"
    assert not half_written.exists()

    printed = log.read_text()
    assert re.search(r"demo +cot +text +240 +240 +4 ", printed)
    predicted = copy / "saves/demo_predict"
    score = json.loads((predicted / "score.json").read_text())["scores"][0]
    assert (score["n"], score["scale"], score["constant_acc"], score["constant_mae"]) == (240, "iqa", 0.2, 1.2)
    assert "data:image/jpeg;base64," in (predicted / "report.html").read_text()
    assert "saves/demo_predict/report.html" in printed, "it names the report"

    [predictions] = predicted.glob("*.jsonl")
    before = predictions.stat().st_mtime_ns
    assert start("make demo", copy, log).wait() == 0, log.read_text()[-3000:]
    assert predictions.stat().st_mtime_ns == before, "nothing to train again"
    assert re.search(r"demo +cot +text +240 +240 +4 ", log.read_text())


@pytest.fixture(scope="module")
def demo(copy, warm, tmp_path_factory) -> Path:
    """The copy after `make demo`."""
    if not (copy / "saves/demo_predict/report.html").exists():
        log = tmp_path_factory.mktemp("demo") / "log"
        assert start("make demo", copy, log, **warm).wait() == 0, log.read_text()[-3000:]
    return copy


def left(text: str) -> str:
    """The commands of a block without those that run elsewhere."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(ELSEWHERE))


RUN_HERE = {place: left(text) for place, text in blocks("bash") if left(text)}


@pytest.mark.slow
@pytest.mark.parametrize("place", RUN_HERE)
def test_a_block_of_commands_runs(place, demo, warm, tmp_path):
    log = tmp_path / "log"
    assert start(RUN_HERE[place], demo, log, **warm).wait() == 0, log.read_text()[-3000:]
