"""Hours, memory of the machine, and disk of the tokenized rows: what they are counted from."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.helpers.machines import A100, H100, RTX_4090, gpu
from tests.helpers.tiny_recipe import the_one
from train.checks import cache, host
from train.checks.data import Scan, Stanza
from train.checks.hours import check_hours, duration
from train.checks.job import Job
from train.checks.length import RowTokens
from train.checks.model import Count
from train.flops import Weights
from train.recipe import Zero

GB = host.GIB
ALL = 3_754_622_976
FULL = Count(ALL, ALL, Weights(3_085_938_688, 3_085_938_688), Weights(668_684_288, 668_684_288))
QWEN = SimpleNamespace(
    model_type="qwen2_5_vl",
    vision_config=SimpleNamespace(spatial_merge_size=2),
)


def job(recipe: dict | None = None, data: dict | None = None, **more) -> Job:
    """A training of 123,185 rows of 1,780 tokens on a Qwen2.5-VL-3B."""
    data = {"preprocessing_num_workers": 16, "streaming": False, "max_samples": None, "cutoff_len": 2048} | (data or {})
    parsed = SimpleNamespace(
        training=SimpleNamespace(dataloader_num_workers=4),
        model=SimpleNamespace(disable_gradient_checkpointing=False, cache_dir=None),
        data=SimpleNamespace(**{"tokenized_path": None} | data),
    )
    recipe = {"do_train": True, "bf16": True, "dataset": "a"} | (recipe or {})
    facts = {"parsed": parsed, "count": FULL, "config": QWEN, "samples": 123_185, "mean": RowTokens(1280, 500)}
    facts["mean_patches"] = 5120
    return Job(recipe, **facts | more)


def hours(**more) -> str:
    finding = check_hours(job(**more))[1][0]
    assert finding.level == "ok", "an estimate is never an error"
    return finding.text


def test_hours_of_the_paper():
    """8 FLOPs a weight and position (with recomputation) at 13% of 312 TFLOP/s on 32 GPUs."""
    flops = 8 * (1780 * 3_085_938_688 + 5120 * 668_684_288)
    expected = 123_185 * flops / (32 * 312e12 * 0.13) / 3600
    text = hours(processes=32)
    assert text.startswith("estimate, ") and f"{duration(expected)} on 32 A100 (the paper's; none is visible)" in text
    assert "123,185 rows of 71 TFLOP at 13% of 312 TFLOP/s" in text and 1.5 < expected < 2.5


def test_hours_of_these_gpus():
    assert "on 2 H100, " in hours(processes=2, devices=(H100, H100))
    assert "on 2 RTX 4090, " in hours(processes=2, devices=(H100, RTX_4090)), "the slowest sets the pace"
    assert hours(devices=(gpu("NVIDIA TITAN V", (7, 0), 10**10),)).endswith("no row for NVIDIA TITAN V")
    assert hours(recipe={"packing": True}) == "not estimated: rows are packed"
    assert check_hours(job(recipe={"bf16": False}))[1] == [], "on a CPU"


def test_durations():
    assert [duration(value) for value in (0.001, 0.5, 3, 100)] == ["2 minutes", "30 minutes", "3.0 hours", "4 days"]


@pytest.mark.parametrize(
    ("zero", "local", "processes", "bytes_"),
    [
        (Zero(), 1, 1, 4 * GB + 8 * GB),  # 16 processes that tokenize
        (Zero(3, gathers=True), 8, 8, 32 * GB + 16 * GB + 2 * ALL),  # 8 x 4 loaders
        (Zero(3, gathers=True), 8, 32, 32 * GB + 16 * GB + 2 * ALL),
        (Zero(3, offloads=True), 8, 16, 32 * GB + 16 * GB + 1.5 * 16 * ALL / 2),
        (Zero(3, offloads=True, offloads_weights=True), 8, 8, 32 * GB + 16 * GB + 1.5 * 18 * ALL),
    ],
)
def test_memory_of_a_machine(zero, local, processes, bytes_):
    assert sum(host.host_need(job(zero=zero, local=local, processes=processes))) == pytest.approx(bytes_)


@pytest.mark.parametrize(("free", "level"), [(100, "ok"), (60, "warning"), (40, "warning"), (6, "error")])
def test_a_machine_without_memory(monkeypatch, free, level):
    """A need of 55 GB, 7 of them for certain."""
    monkeypatch.setattr(host, "available", lambda: free * GB)
    planned = job(zero=Zero(3, gathers=True), local=8, processes=8, devices=(A100,) * 8)
    finding = host.check_host_memory(planned)[1][0]
    assert finding.level == level and finding.text.startswith(f"about 55 of {free} GB")
    assert level == "ok" or "--mem" in finding.text


def test_the_memory_of_another_machine_is_not_compared(monkeypatch):
    monkeypatch.setattr(host, "available", lambda: 0)
    elsewhere = host.check_host_memory(job(local=8, processes=8))[1][0]
    assert elsewhere.level == "ok" and elsewhere.text.startswith("about 48 GB on each machine")
    assert host.check_host_memory(job(recipe={"bf16": False}))[1] == [], "on a CPU"


def group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_what_a_control_group_leaves(tmp_path):
    stat = "anon 3000\nfile 500000\n"
    assert host._left(tmp_path) == float("inf"), "none"
    assert host._left(group(tmp_path / "a", memory__max="max\n", memory__stat=stat)) == float("inf")
    assert host._left(group(tmp_path / "b", memory__max="10000\n", memory__stat=stat)) == 7000, "the cache is dropped"
    version_1 = group(tmp_path / "c", memory__limit_in_bytes="10000\n", memory__stat="total_rss 4000\n")
    assert host._left(version_1) == 6000


def test_this_machine_has_memory():
    assert 10**8 < host.available() < 10**14


@pytest.fixture
def rows(tmp_path, monkeypatch) -> Path:
    """10,000 rows in a file of 11 MB; the cache lies beside it, with 250 MB free."""
    monkeypatch.setattr(cache, "cache_folder", lambda folder: tmp_path / "cache" / "datasets")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=250e6))
    with (tmp_path / "a.jsonl").open("wb") as file:
        file.truncate(11_000_000)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a.jsonl"


def tokenized(rows: Path, **more) -> Job:
    return job(scans=(Scan(Stanza("a", rows, "", "", {}), 10_000, {}, set()),), **more)


def test_disk_of_the_tokenized_rows(rows):
    assert cache.cache_bytes(tokenized(rows)) == pytest.approx(10_000 * (13 * 1780 + 36) + 1.8 * 11e6)
    twice = cache.cache_bytes(tokenized(rows, data={"tokenized_path": "x"}))
    assert twice == pytest.approx(2 * 10_000 * (13 * 1780 + 36) + 1.8 * 11e6)
    few = cache.cache_bytes(tokenized(rows, data={"max_samples": 10, "cutoff_len": 1000}))
    assert few == pytest.approx(10 * (13 * 1000 + 36) + 1.8 * 11e6)


def test_a_disk_without_room_for_both(rows):
    """251 MB of rows beside checkpoints on the same disk."""
    assert cache.check_cache(tokenized(rows, bytes_written=1e6))[1][0].level == "error"
    assert cache.check_cache(tokenized(rows, data={"cutoff_len": 1000}))[1][0].level == "ok"
    text = the_one(cache.check_cache(tokenized(rows, data={"cutoff_len": 1000}, bytes_written=200e6))[1])
    assert text.startswith(f"{rows.parent}: about 0.2 GB") and "HF_DATASETS_CACHE" in text
    beyond = tokenized(rows, bytes_written=1e12)
    assert cache.check_cache(beyond)[1][0].level == "ok", "the disk check says so"


@pytest.mark.slow  # imports datasets
def test_where_the_tokenized_rows_lie():
    from datasets import config

    assert cache.cache_folder(None) == Path(config.HF_DATASETS_CACHE)
    assert cache.cache_folder("elsewhere") == Path("elsewhere")
