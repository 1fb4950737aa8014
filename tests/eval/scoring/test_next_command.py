"""The last line of a score or report is the next command, with the options of the prediction."""

import shlex
from pathlib import Path

from eval.inference.settings import Settings, command
from eval.scoring.next_command import after_report, after_score
from storm import provenance
from storm.files import write_jsonl

PREDICTED = Settings("m o/del", media=Path("my photos"), adapter="saves/x", scale=Path("s.yaml"), out=Path("o"))


def predictions(folder: Path, strategy: str = "cot") -> Path:
    facts = {"data": {}, "versions": {}, "commit": None}
    provenance.write(folder, facts | {"command": command(PREDICTED)})
    write_jsonl(folder / "appeal_test.jsonl", [{"id": "1", "strategy": strategy}])
    return folder


def test_the_report_gets_the_image_root_and_the_page_the_model(tmp_path):
    folder, scale = predictions(tmp_path), Path("data/my scale.yaml")
    report = shlex.split(after_score([folder], scale, [Path("t.jsonl")]))
    assert report[:5] == ["python", "eval/report.py", str(folder), "--scale", str(scale)]
    assert report[5:] == ["--data", "t.jsonl", "--media", "my photos", "--out", f"{folder}/report.html"]
    folder_line, page = map(shlex.split, after_report([folder / "appeal_test.jsonl"], scale))
    assert page[:6] == ["python", "eval/app.py", "--model", "m o/del", "--adapter", "saves/x"]
    assert page[-2:] == ["--scale", str(scale)] and "--image-max-pixels" in page and "--strategy" not in page
    assert "--images" in folder_line and folder_line[-5:-4] == ["FOLDER"]


def test_the_page_asks_the_question_of_the_predictions(tmp_path):
    [page] = after_report([predictions(tmp_path, "num")], None)
    assert page.endswith("--strategy num")


def test_of_predictions_by_other_programs_only_the_report_is_known(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", [{"predict": "x"}])
    report = f"python eval/report.py {tmp_path}/p.jsonl --out {tmp_path}/report.html"
    assert after_score([tmp_path / "p.jsonl"], None) == report and after_report([tmp_path / "p.jsonl"], None) == []
