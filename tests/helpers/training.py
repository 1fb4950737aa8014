"""How tests train with the real LLaMA-Factory, and what a checkpoint of DeepSpeed looks like on the disk.

LLaMA-Factory takes 20-30 s to import, so one process does that once and each training is a fork of it, which starts at
once.
"""

import faulthandler
import json
import multiprocessing
import os
import resource
import signal
import socket
import sys
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from storm.files import read_json, write_json, write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.paths import ROOT
from train.recipe import load

FORKSERVER = multiprocessing.get_context("forkserver")
# Imported once, for all trainings of a test session: 20-30 s, of which DeepSpeed (which transformers imports into
# every training where it is installed) has 5.
PRELOADED = ["llamafactory.train.tuner", "deepspeed", "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"]
# One thread: sums have one order, so equal trainings have equal bits. Read at import, hence not set by a training.
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ROWS = 40
PATIENCE = 300  # seconds until a training that hangs says where, and ends


def _base(folder: Path) -> None:
    from demo import model

    model.OUT = folder
    model.main([])


def make_inputs(folder: Path, cache: Path) -> Path:
    """A tiny model and ROWS rows in folder, for settings(). `cache` is where datasets keeps the rows it has read."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"HF_DATASETS_CACHE": str(cache)}).items():
            patch.setenv(name, value)
        FORKSERVER.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
    base = FORKSERVER.Process(target=_base, args=(folder / "base",))
    base.start()

    import numpy as np
    from PIL import Image

    rng, rows = np.random.default_rng(0), []
    for number in range(ROWS):
        name, label = f"{number}.png", number % 5
        Image.fromarray(rng.integers(0, 256, (56, 56, 3), dtype=np.uint8)).save(folder / name)
        rows.append(to_row(Example(str(number), "demo", name, label, IQA, "cot")))
    info = read_json(ROOT / "dataset_info.json")["demo_train"]
    write_jsonl(folder / "demo_train.jsonl", rows)
    write_json(folder / "dataset_info.json", {"demo_train": info | {"file_name": "demo_train.jsonl"}})
    base.join()
    assert base.exitcode == 0
    return folder


def settings(inputs: Path, out: Path, *more: str) -> dict:
    """storm_lite on the tiny model. The rate is 50 times higher: at its own, wrong gradients would hardly show."""
    return load(
        ROOT / "recipes" / "storm_lite.yaml",
        [
            f"model_name_or_path={inputs / 'base'}",
            "dataset=demo_train",
            f"dataset_dir={inputs}",
            f"media_dir={inputs}",
            f"output_dir={out}",
            "per_device_train_batch_size=4",
            "gradient_accumulation_steps=1",
            "bf16=false",
            "learning_rate=1e-3",
            "logging_steps=1",
            "plot_loss=false",
            "preprocessing_num_workers=1",
            "dataloader_num_workers=0",
            *more,
        ],
    )


def _train(recipe: dict, environment: dict[str, str], killed_after: int | None, largest_file: int | None) -> None:
    os.environ.update(environment)
    import deepspeed
    from llamafactory.train.tuner import run_exp
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **more):
            if state.global_step == killed_after:
                os.killpg(0, signal.SIGKILL)

    # An operator for inference, which DeepSpeed would compile for 40 s, or die of where there is no compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    if "storm" not in recipe:
        run_exp(recipe, [Kill()])
        return
    from train.training import block, host

    given = block.read(recipe) if recipe["storm"] else None
    host.train({key: value for key, value in recipe.items() if key != block.KEY}, given, [Kill()])


def _job(log: Path, processes: int, recipe: dict, *how) -> None:
    """What torchrun does: start the processes with their numbers in the environment; if one fails, end all."""
    os.setsid()
    with log.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    environment |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    running = {}
    for rank in map(str, range(processes)):
        environment |= {"RANK": rank, "LOCAL_RANK": rank}
        task = (recipe, environment if processes > 1 else {}, *how)
        process = multiprocessing.get_context("fork").Process(target=_train, args=task)
        process.start()
        running[process.sentinel] = process
    while running:
        ended = running.pop(wait(running)[0])
        ended.join()
        if ended.exitcode:
            for other in running.values():
                other.kill()
            sys.exit(1)


def train(
    recipe: dict, processes: int = 1, killed_after: int | None = None, largest_file: int | None = None
) -> tuple[int, str]:
    """Run a training in a process group of its own. Returns its exit code (-9: killed) and what it printed.

    A recipe with the key `storm` is run as train/run.py does; {} there is an empty block.

    killed_after: the whole group gets a SIGKILL at the end of this step. largest_file: bytes; writing more than that
    to a file fails.
    """
    log = Path(recipe["output_dir"] + ".log")
    job = FORKSERVER.Process(target=_job, args=(log, processes, recipe, killed_after, largest_file))
    job.start()
    job.join()
    return job.exitcode, log.read_text(encoding="utf-8", errors="replace")


def history(out: Path) -> list[dict[str, float]]:
    """Step, loss, gradient norm and learning rate of each step."""
    keys = ("step", "loss", "grad_norm", "learning_rate")
    logged = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [{key: line[key] for key in keys} for line in logged if "loss" in line]
