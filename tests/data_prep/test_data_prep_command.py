"""The command python -m data_prep: names, options, help."""

import gc
import json
import os
import shutil
import subprocess
import sys

import pytest

from data_prep import own_ratings, release
from data_prep.__main__ import arguments, main
from data_prep.build import no_collection
from data_prep.registry import dataset_info
from storm.datasets import DATASETS
from storm.files import locked
from tests.helpers.building import exists
from tests.helpers.paths import ROOT


@pytest.mark.parametrize(
    "wrong", [["--val", "0.9"], ["--val", "x"], ["--score-range", "5,1"], ["--images", "train_images"]]
)
def test_options_that_make_no_sense_are_refused(raw, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit) as stop:
        exists(raw, tmp_path / "out", "aptos", "hci", *wrong)
    assert stop.value.code == 2 and wrong[0] in capsys.readouterr().err


def test_unknown_names_and_an_empty_root_are_refused(tmp_path, capsys):
    for names in (["imagenet"], []):
        with pytest.raises(SystemExit) as stop:
            exists(tmp_path, tmp_path / "out", *names)
        assert stop.value.code == 2
        assert (names or [str(tmp_path)])[0] in capsys.readouterr().err


def test_folders_and_archives_that_look_like_a_dataset_are_named_with_the_fix(all_raw, tmp_path, capsys):
    (all_raw / "spaq").rename(all_raw / "SPAQ_x")
    (all_raw / "aptos").rename(all_raw / "my-aptos")
    shutil.rmtree(all_raw / "koniq")
    (all_raw / "koniq10k_512x384.zip").write_bytes(b"PK")
    (all_raw / "notes").mkdir()
    shutil.rmtree(all_raw / "eyepacs")
    (all_raw / "diabetic_retinopathy").mkdir()
    exists(all_raw, tmp_path / "out")
    lines = [line for line in capsys.readouterr().err.splitlines() if "not used" in line]
    assert [line.partition(":")[0] for line in lines] == [
        f"{all_raw}/{name}" for name in ("SPAQ_x", "diabetic_retinopathy", "koniq10k_512x384.zip", "my-aptos")
    ]
    assert "rename it to spaq" in lines[0] and f"unpack it into {all_raw}/koniq" in lines[2]
    assert exists(all_raw, tmp_path / "out", "spaq") == 1
    assert "SPAQ_x" in capsys.readouterr().err


def test_the_folder_of_a_dataset_as_image_root_is_told_from_its_parent(raw, tmp_path, capsys):
    with pytest.raises(SystemExit):
        exists(raw / "aptos", tmp_path / "out")
    assert f"--media {raw} if this is aptos" in capsys.readouterr().err


def test_dropping_leaks_without_looking_is_refused(raw, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        exists(raw, tmp_path / "out", "hci", "--drop-leaks")
    assert stop.value.code == 2 and "leave --check exists out" in capsys.readouterr().err


def test_options_by_their_old_names_warn_and_work(raw, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "--check", "exists"]
    assert main(["hci", "--raw", str(raw), *out, "--prompts", "cot", "direct"]) == 0
    warnings = capsys.readouterr().err
    assert "--media" in warnings and "--strategy" in warnings
    assert {path.parent.name for path in (tmp_path / "out").rglob("hci_test.jsonl")} == {"cot", "direct"}


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["spak"], "spaq"),
        (["relaese"], "release"),
        (["--strategy", "kot"], "cot"),
        (["--check", "exist"], "exists"),
        (["--split", "subjects"], "subject"),
        (["release", "a.jsonl", "--part", "tets"], "test"),
        (["--strateg=cot", "--medai=x"], "--media"),
    ],
)
def test_a_misspelled_name_is_answered_with_the_one_that_was_meant(tmp_path, capsys, arguments, meant):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--media", str(tmp_path)])
    assert stop.value.code == 2 and f"did you mean {meant}?" in capsys.readouterr().err


def test_two_builds_do_not_write_one_folder_at_once(raw, tmp_path, capsys):
    with locked(tmp_path / "out"):
        assert exists(raw, tmp_path / "out", "hci") == 1
    assert f"{tmp_path}/out" in capsys.readouterr().err and not list(tmp_path.rglob("*.jsonl"))


@pytest.mark.parametrize("command", [[], ["release"], ["csv"], ["registry"]])
def test_help_only_prints_help_at_once(command, tmp_path):
    code = (
        "import resource, sys; from data_prep.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'numpy', 'PIL', 'pandas', 'torch', 'scipy', 'openpyxl'} & set(sys.modules), sys.modules\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_utime < 0.5"
    )
    run = [sys.executable, "-c", code, *command, "--help"]
    shown = subprocess.run(
        run, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "usage: python -m data_prep" in shown.stdout and not list(tmp_path.iterdir())


@pytest.mark.parametrize("parser", [arguments, release.arguments, own_ratings.arguments])
def test_every_option_has_a_help_text(parser):
    assert [action.dest for action in parser()._actions if not action.help] == []


def test_the_registry_is_written_as_it_is_in_the_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("data_prep.registry.__file__", str(tmp_path / "data_prep" / "registry.py"))
    assert main(["registry"]) == 0
    written = (tmp_path / "dataset_info.json").read_bytes()
    assert written == (ROOT / "dataset_info.json").read_bytes(), "run: python -m data_prep registry"
    assert json.loads(written) == dataset_info() and str(tmp_path) in capsys.readouterr().out


def test_collection_of_garbage_stays_as_it_was():
    for switch in (gc.disable, gc.enable):
        switch()
        before = gc.isenabled()
        with no_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == before


def test_every_reader_has_facts():
    readers = {path.stem for path in (ROOT / "data_prep" / "sources").glob("*.py")} - {"__init__"}
    assert readers == set(DATASETS)
