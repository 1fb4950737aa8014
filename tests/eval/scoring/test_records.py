"""Files that hold no predictions, or damaged ones: one line says what the file is, and what was read before counts."""

import gzip
import io
import json
import os
import pickle
import resource
import subprocess
import sys
import tarfile
import zipfile

import pytest

from eval.scoring.runs import load
from tests.helpers.paths import ROOT

ROW = {"label": "rate1(Poor)", "predict": "rate1(Poor)"}
GOOD = json.dumps(ROW) + "\n"
TABLE = "label,predict\nrate1(Poor),rate1(Poor)\n"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("spaq.jsonl", GOOD)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("spaq.jsonl"))
    return file.getvalue()


OTHERS = {
    "spaq.zip": (zipped(), "a zip archive"),
    "spaq_in_zip.jsonl": (zipped(), "a zip archive"),
    "spaq.tar": (tarred(), "a tar archive"),
    "spaq.pkl": (pickle.dumps([ROW]), "a pickle"),
    "spaq.png": (b"\x89PNG\r\n\x1a\n....", "an image"),
    "spaq_page.csv": (b"<!DOCTYPE html>\n<html>", "a web page"),
    "spaq_pointer.json": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "spaq_nul.csv": (b"label,predict\nrate1(Poor),\0\n", "a NUL byte"),
    "spaq_deep.json": (b"[" * 100_000, "not JSON"),
    "spaq_cut.json": (json.dumps([ROW, ROW]).encode()[:-9], "cut off"),
    "spaq_number.json": (b"5", "neither JSON nor a table"),
    "spaq_other.json": (b'{"accuracy": 0.5}', "--keys"),
    "spaq_twice.csv": (b"label,predict,predict\nx,y,z\n", "'predict' is there twice"),
    "spaq_quote.csv": (TABLE.encode() + b'rate1(Poor),"rate', "line 3"),
    "spaq_latin.csv": ("label,predict\nrate1(Poor),café\n".encode("latin-1"), "not UTF-8"),
    "spaq_one_line.csv": (b"a" * 3_000_000, "neither JSON nor a table"),
    "spaq_bomb.jsonl.gz": (gzip.compress(b"a" * 50_000_000), "neither JSON nor a table"),
    "spaq_empty.json": (b" \n", "is empty"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_without_predictions_is_named_in_one_line(name, tmp_path):
    content, said = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    found, errors = load([tmp_path / name])
    assert len(errors) == 1 and errors[0].startswith(str(tmp_path / name)) and said in errors[0]
    assert len(errors[0]) < 300 + len(str(tmp_path)) and "\n" not in errors[0]
    assert sum(len(run.label) for run in found) == (name == "spaq_quote.csv")


LINES = {
    "digits": ('{"label": "rate1(Poor)", "predict": ' + "9" * 6000 + "}\n", 2),
    "digits in a text": ('{"label": "rate1(Poor)", "predict": "' + "9" * 6000 + '"}\n', 3),
    "a long label": ('{"label": ' + "9" * 6000 + ', "predict": "x"}\n', 2),
    "nul": ("\0\0\n", 2),
    "deep": ("[" * 100_000 + "\n", 2),
    "half a letter": ('{"label": "rate1(Poor)", "predict": "\\ud800 rate1(Poor)"}\n', 3),
    "a list": ("[1, 2]\n", 2),
}


@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_costs_only_itself(case, tmp_path):
    text, kept = LINES[case]
    path = tmp_path / "spaq.jsonl"
    path.write_text(GOOD + text + GOOD)
    (run,), errors = load([path])
    assert len(run.label) == kept and len(errors) == (kept == 2)
    assert not errors or f"{path}, line 2: " in errors[0]


def test_rows_before_a_packed_file_ends_early_count(tmp_path):
    whole = gzip.compress("".join(json.dumps(ROW | {"n": os.urandom(9).hex()}) + "\n" for _ in range(5000)).encode())
    path = tmp_path / "spaq.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    (run,), errors = load([path])
    assert 0 < len(run.label) < 5000 and "cut off" in errors[0]


def test_a_cell_may_have_several_lines(tmp_path):
    path = tmp_path / "spaq.csv"
    path.write_text('label,predict\nrate1(Poor),"I think\nso, but\nAnswer: rate1(Poor)"\nrate1(Poor)\n')
    (run,), (error,) = load([path])
    assert run.pred.tolist() == [1] and "line 5: 1 cells for 2 columns" in error


@pytest.mark.slow
@pytest.mark.parametrize("place", ["first", "middle", "alone", "list"])
def test_a_line_of_100_mb(place, tmp_path):
    """At most 5 s and 400 MB. A row in the middle is left out; a first one is read, and its text is too long."""
    long = json.dumps(ROW | {"predict": "a " * 50_000_000})
    text = {"first": long + "\n" + GOOD, "middle": GOOD + long + "\n" + GOOD, "alone": long, "list": f"[{long}]"}[place]
    path = tmp_path / ("spaq.json" if place == "list" else "spaq.jsonl")
    path.write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    code = f"import eval.score; eval.score.main([{str(path)!r}])\n"
    code += "print('peak', *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) < 400_000  # kB
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5
    assert ("line 2: a line of more than 16 MB" in done.stderr) == (place == "middle")
