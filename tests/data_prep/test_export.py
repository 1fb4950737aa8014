"""What other tools read of our test files: the question without the label, the image, and an id that comes back."""

import base64
import csv
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data_prep import export_openai_batch, export_vlmevalkit
from data_prep.__main__ import main
from storm.custom_scale import load
from storm.datasets import SCALES
from storm.files import write_jsonl
from storm.rows import Example, custom_id, read_custom_id, task_name, to_row

LABELS = (1, 4, 0)
NAMES = ('a b\'s "é".jpg', "turned.jpg", "clear.png")


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """Three rows of SPAQ in two strategies: a JPEG, one that its EXIF data turn, and a transparent PNG."""
    folder = tmp_path / "data/raw/spaq"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (24, 16, 3), np.uint8)
    Image.fromarray(noise).save(folder / NAMES[0], "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(folder / NAMES[1], "JPEG", exif=exif)
    Image.fromarray(np.dstack([noise, noise[..., :1]])).save(folder / NAMES[2])
    for strategy in ("cot", "num"):
        build(tmp_path, strategy)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build(folder: Path, strategy: str, scale=SCALES["spaq"], dataset: str = "spaq") -> None:
    rows = [
        Example(f"00{number}", dataset, f"spaq/{name}", label, scale, strategy)
        for number, (name, label) in enumerate(zip(NAMES, LABELS))
    ]
    write_jsonl(folder / f"data/storm/{strategy}/{dataset}_test.jsonl", map(to_row, rows))


def export(*words: str) -> int:
    return main(["export", "spaq", *words])


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


ANSWER = "Overall: rate0-1\n\nrate1"  # of the stub, with a blank line, at which lmms-eval may cut
BATCH = ("--to", "openai-batch", "--model", "m")


@pytest.mark.parametrize("dataset", ("spaq", "my_test", "a_num"))
@pytest.mark.parametrize("strategy", ("cot", "num", "text", "direct"))
def test_the_id_names_dataset_part_strategy_and_row(dataset, strategy):
    id = custom_id(task_name(dataset, "val", strategy), "b/1")
    assert read_custom_id(id) == (dataset, "val", strategy, "b/1")


def test_other_ids_are_not_taken_for_ours():
    assert [read_custom_id(text) for text in ("spaq/1.jpg", "storm_spaq_test", "spaq_test/1", "storm_spaq/1", "")] == [
        None
    ] * 5


def test_vlmevalkit_table_has_paths_and_the_label_only_in_answer(work):
    assert export("--to", "vlmevalkit", "--strategy", "num") == 0
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv("data/export/vlmevalkit/storm_spaq_test_num.tsv", sep="\t")  # as VLMEvalKit reads it
    assert list(table["index"]) == [0, 1, 2]
    assert list(table["id"]) == [f"storm_spaq_test_num/00{number}" for number in range(3)]
    assert list(table["image_path"]) == [str(work / "data/raw/spaq" / name) for name in NAMES]
    row = to_row(Example("", "", "", 4, SCALES["spaq"], "num"))
    question, answer = (turn["value"] for turn in row["conversations"])
    assert set(table["question"]) == {question.replace("<image>", "")}
    assert table["answer"][1] == answer
    assert set(table["dataset"]) == {"spaq"} and set(table["strategy"]) == {"num"}


def test_embedded_images_show_what_llamafactory_shows_and_are_named_by_content(work):
    assert export("--to", "vlmevalkit", "--embed") == 0
    with open("data/export/vlmevalkit/storm_spaq_test.tsv", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    data = [base64.b64decode(row["image"]) for row in table]
    assert data[0] == (work / "data/raw/spaq" / NAMES[0]).read_bytes()
    for name, image in zip(NAMES, data):
        shown = np.asarray(Image.open(work / "data/raw/spaq" / name).convert("RGB"))
        assert (pixels(image) == shown).all()
        assert not Image.open(io.BytesIO(image)).getexif()
    assert len({row["image_path"] for row in table}) == 3
    assert all(row["image_path"].endswith(".png") for row in table)


def test_a_name_that_pandas_takes_for_an_empty_cell_is_refused(work, capsys):
    for name in ("nan", "tires"):
        text = f"name: {name}\nrates: the wear of a tire\nlevels: [None, Little, Much, More, Most]\n"
        (work / f"{name}.yaml").write_text(text)
        build(work, "cot", load(work / f"{name}.yaml").scale, name)
        more = ("--to", "vlmevalkit", "--scale", f"{name}.yaml", "--data", "data/storm")
        assert main(["export", name, *more]) == (1 if name == "nan" else 0)
    assert "--scale tires.yaml" in capsys.readouterr().out


def test_what_pandas_changes_in_a_cell_is_refused():
    for cell in ("rate1(Poor)", "2", "2.5", " a", 'a "b"\tc\nd'):
        export_vlmevalkit.refuse_changed_by_pandas(cell)
    for cell in ("None", "NA", "nan", "01", "1.50", "1e3"):
        with pytest.raises(ValueError):
            export_vlmevalkit.refuse_changed_by_pandas(cell)


def test_lmms_eval_task_is_safe_yaml_and_its_functions_work(work):
    assert export("--to", "lmms-eval", "--out", 'it\'s "é"', "--max-tokens", "50") == 0
    folder = work / 'it\'s "é"'
    text = (folder / "storm_spaq_test.yaml").read_text()
    task = yaml.safe_load(text.replace("!function ", ""))
    assert task["task"] == "storm_spaq_test"
    docs = lines(task["dataset_kwargs"]["data_files"][task["test_split"]])
    assert task["generation_kwargs"]["until"] == [] and task["generation_kwargs"]["do_sample"] is False
    assert task["generation_kwargs"]["max_new_tokens"] == 50
    spec = importlib.util.spec_from_file_location("utils", folder / "utils.py")
    spec.loader.exec_module(utils := importlib.util.module_from_spec(spec))
    [image] = utils.doc_to_visual(docs[0])
    assert (image.mode, image.size) == ("RGB", (16, 24))
    assert "rate1(Poor)" in utils.doc_to_target(docs[0])
    assert utils.doc_to_text(docs[0]).startswith(" You are")
    assert utils.process_results(docs[0], [docs[0]["answer"]])["same_text"] == 1
    assert utils.process_results(docs[0], [""])["id"] == "storm_spaq_test/000"


def test_lmms_eval_refuses_a_folder_that_its_loader_takes_for_a_pattern(work):
    assert export("--to", "lmms-eval", "--out", "a[1]") == 1
    assert not list(work.glob("a*/*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ("simple", "chat"))
def test_lmms_eval_runs_the_task_and_its_samples_name_the_rows(work, monkeypatch, model):
    """Real code, where it is installed (seen with 0.7.3); its stub model answers all questions alike."""
    pytest.importorskip("lmms_eval", reason="lmms-eval is not installed; docs/other-tools.md says how")
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.loggers import EvaluationTracker
    from lmms_eval.models.simple.dummy import Dummy
    from lmms_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HOME", str(work / "hf"))
    seen = []

    class Stub(Dummy):
        is_simple = model == "simple"

        def generate_until(self, requests):
            for request in requests:
                _, first, second, *_, task, split = request.args
                arguments, show = (first, second) if self.is_simple else (second, first)
                seen.append((arguments, show(self.task_dict[task][split][request.doc_id])))
            return [ANSWER] * len(requests)

    assert export("--to", "lmms-eval", "--strategy", "num", "--out", "out") == 0
    manager = TaskManager(include_path=str(work / "out"), include_defaults=False, model_name="stub")
    results = simple_evaluate(model=Stub(), tasks=["storm_spaq_test_num"], task_manager=manager, log_samples=True)
    tracker = EvaluationTracker(output_path=str(work / "results"))
    tracker.general_config_tracker.model_name_sanitized = "stub"
    tracker.date_id = "1"
    tracker.save_results_samples("storm_spaq_test_num", results["samples"]["storm_spaq_test_num"])
    [file] = work.glob("results/**/*samples*.jsonl")
    rows = lines(file)
    assert [row["id"] for row in rows] == [f"storm_spaq_test_num/00{number}" for number in range(3)]
    assert {row["filtered_resps"] for row in rows} == {ANSWER}
    assert "rate4" in rows[1]["target"] and "rate4" in rows[1]["input"]
    assert len(seen) == 3 and all(arguments["until"] == [] for arguments, _ in seen)
    if model == "simple":
        assert [image.size for _, [image] in seen] == [(16, 24)] * 3
    else:
        [message] = seen[0][1]
        assert [part["type"] for part in message["content"]] == ["image", "text"]


def test_batch_requests_have_the_image_first_and_no_label(work):
    assert export(*BATCH, "--strategy", "num", "--body", '{"seed": 7, "max_tokens": null}') == 0
    rows = lines("data/export/openai-batch/storm_spaq_test_num-1.jsonl")
    assert [row["custom_id"] for row in rows] == [f"storm_spaq_test_num/00{number}" for number in range(3)]
    assert {(row["method"], row["url"]) for row in rows} == {("POST", "/v1/chat/completions")}
    texts = set()
    for row in rows:
        assert row["body"].keys() == {"model", "messages", "temperature", "seed"}
        [message] = row["body"]["messages"]
        image, text = message["content"]
        texts.add(text["text"])
        assert image["image_url"]["url"].startswith(("data:image/jpeg;base64,", "data:image/png;base64,"))
    assert len(texts) == 1  # the same for every label


def test_batch_requests_are_those_of_the_openai_package(work):
    params = pytest.importorskip("openai.types.chat.completion_create_params", reason="openai is not installed")
    from pydantic import TypeAdapter, ValidationError

    check = TypeAdapter(params.CompletionCreateParamsNonStreaming).validate_python
    assert export(*BATCH) == 0

    def checked(body: dict) -> list:
        """pydantic looks into an Iterable only as it is read."""
        return [list(message["content"]) for message in check(body)["messages"]]

    for row in lines("data/export/openai-batch/storm_spaq_test-1.jsonl"):
        [parts] = checked(row["body"])
        assert [part["type"] for part in parts] == ["image_url", "text"]
    row["body"]["messages"][0]["content"][0]["image_url"] = "an address"
    with pytest.raises(ValidationError):
        checked(row["body"])


def test_batch_urls_are_quoted(work):
    assert export(*BATCH, "--image-url", "https://h/") == 0
    rows = lines("data/export/openai-batch/storm_spaq_test-1.jsonl")
    url = rows[0]["body"]["messages"][0]["content"][0]["image_url"]["url"]
    assert url == "https://h/spaq/a%20b%27s%20%22%C3%A9%22.jpg"


def test_resized_images_are_small_upright_jpegs(work):
    assert export(*BATCH, "--resize", "96") == 0
    rows = lines("data/export/openai-batch/storm_spaq_test-1.jsonl")
    urls = [row["body"]["messages"][0]["content"][0]["image_url"]["url"] for row in rows]
    sizes = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size for url in urls]
    assert sizes == [(8, 12), (12, 8), (8, 12)]


def test_batch_files_keep_the_limits_and_parts_of_an_earlier_export_go(work, monkeypatch):
    monkeypatch.setattr(export_openai_batch, "REQUESTS", 1)
    assert export(*BATCH) == 0
    files = sorted(Path("data/export/openai-batch").glob("*.jsonl"))
    assert [file.name for file in files] == [f"storm_spaq_test-{number}.jsonl" for number in (1, 2, 3)]
    assert [len(lines(file)) for file in files] == [1, 1, 1]
    sizes = [file.stat().st_size for file in files]
    monkeypatch.setattr(export_openai_batch, "REQUESTS", 9)
    monkeypatch.setattr(export_openai_batch, "BYTES", sizes[0] + sizes[1])
    assert export(*BATCH) == 0
    files = sorted(Path("data/export/openai-batch").glob("*.jsonl"))
    assert [len(lines(file)) for file in files] == [2, 1]
    monkeypatch.setattr(export_openai_batch, "BYTES", 100)
    assert export(*BATCH) == 1
    assert [len(lines(file)) for file in files] == [2, 1]  # the earlier export stays whole


@pytest.mark.parametrize("to", (("--to", "vlmevalkit"), ("--to", "lmms-eval"), BATCH))
def test_the_same_rows_give_the_same_bytes(work, to):
    folder = work / "out"
    texts = []
    for _ in range(2):
        assert export(*to, "--strategy", "num", "cot", "--out", "out") == 0
        texts.append({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})
    assert texts[0] == texts[1] and len(texts[0]) >= 3


@pytest.mark.parametrize("to", (("--to", "vlmevalkit"), ("--to", "lmms-eval"), BATCH))
def test_a_missing_image_is_named_and_refused_unless_its_row_may_be_left_out(work, capsys, to):
    (work / "data/raw/spaq" / NAMES[1]).unlink()
    assert export(*to, "--out", "out") == 1
    assert "1 of 3" in (error := capsys.readouterr().err) and NAMES[1] in error
    assert not [file for file in (work / "out").glob("storm*")]
    assert export(*to, "--out", "out", "--allow-missing") == 0
    assert NAMES[1] in (work / "out/quarantine/storm_spaq_test.csv").read_text()
    [file] = [*(work / "out").glob("storm*.tsv"), *(work / "out").glob("storm*.jsonl")]
    text = file.read_text()
    assert text.count("storm_spaq_test/") == 2 and "storm_spaq_test/001" not in text
    if "vlmevalkit" in to:  # the index is the place in the test file
        assert [line.split("\t")[0] for line in text.splitlines() if "storm_spaq_test/" in line] == ['"0"', '"2"']
    for name in NAMES:
        (work / "data/raw/spaq" / name).unlink(missing_ok=True)
    assert export(*to, "--out", "out", "--allow-missing") == 1
    assert file.read_text() == text


def test_an_image_that_cannot_be_decoded_is_refused_where_it_is_embedded(work):
    (work / "data/raw/spaq" / NAMES[0]).write_bytes(b"not an image")
    assert export(*BATCH) == 1
    assert export(*BATCH, "--allow-missing", "--limit", "2") == 0
    assert len(lines("data/export/openai-batch/storm_spaq_test-1.jsonl")) == 1


@pytest.mark.parametrize(
    "words",
    (
        ("--to", "openai-batch"),
        ("--to", "lmms-eval", "--model", "m"),
        ("--to", "vlmevalkit", "--resize", "100"),
        (*BATCH, "--image-url", "https://h/", "--resize", "100"),
        (*BATCH, "--embed"),
        (*BATCH, "--body", "[]"),
        (*BATCH, "--data", "data/storm/cot/spaq_test.jsonl"),
        (*BATCH, "--body", '{"messages": []}'),
        ("--to", "vlmeval"),
    ),
)
def test_options_that_cannot_go_together_end_the_command(work, words):
    with pytest.raises(SystemExit) as stop:
        export(*words)
    assert stop.value.code == 2 and not (work / "data/export").exists()


def test_what_is_not_built_is_named_with_the_command_and_the_others_are_written(work, capsys):
    assert main(["export", "koniq", "spaq", "spak", "--to", "lmms-eval"]) == 1
    output = capsys.readouterr()
    assert "python -m data_prep koniq" in output.err and "spaq?" in output.err
    assert (work / "data/export/lmms-eval/storm_spaq_test.yaml").exists()
    assert "--data data/storm/cot/spaq_test.jsonl" in output.out
