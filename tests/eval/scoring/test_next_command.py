"""The last line of a score or report is the next command, with the options of the prediction."""

import shlex
from pathlib import Path

from eval.inference.settings import Settings, command
from eval.scoring.next_command import after_report, after_score
from storm import provenance

PREDICTED = Settings("m o/del", media=Path("my photos"), adapter="saves/x", scale=Path("s.yaml"), out=Path("o"))


def predictions(folder: Path) -> Path:
    facts = {"data": {}, "versions": {}, "commit": None}
    provenance.write(folder, facts | {"command": command(PREDICTED)})
    return folder


def test_the_report_gets_the_image_root_and_the_page_the_model(tmp_path):
    folder, scale = predictions(tmp_path), Path("data/my scale.yaml")
    report = shlex.split(after_score([folder], scale))
    assert report[:3] == ["python", "eval/report.py", str(folder)]
    assert report[3:] == ["--scale", str(scale), "--media", "my photos", "--out", f"{folder}/report.html"]
    page = shlex.split(after_report([folder / "appeal_test.jsonl"], scale))
    assert page[:6] == ["python", "eval/app.py", "--model", "m o/del", "--adapter", "saves/x"]
    assert page[-2:] == ["--scale", str(scale)] and "--image-max-pixels" in page


def test_of_predictions_by_other_programs_only_the_report_is_known(tmp_path):
    assert (
        after_score([tmp_path / "p.jsonl"], None)
        == f"python eval/report.py {tmp_path}/p.jsonl --out {tmp_path}/report.html"
    )
    assert after_report([tmp_path / "p.jsonl"], None) == ""
