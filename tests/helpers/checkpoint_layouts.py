"""Checkpoints as transformers and DeepSpeed lay them out, made by hand, and which of their files are needed."""

import json
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def pickled(path: Path) -> None:
    """What torch.save makes: a zip archive, entries stored as they are."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"pickle")
        archive.writestr("archive/data/0", bytes(1000))


def weights(path: Path, *names: str) -> None:
    save_file({name: np.ones((3, 4), np.float32) for name in names}, path)


def plain(folder: Path) -> Path:
    """One process without DeepSpeed."""
    folder.mkdir(parents=True)
    weights(folder / "model.safetensors", "a", "b")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        pickled(folder / name)
    (folder / "trainer_state.json").write_text('{"global_step": 8}')
    (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    return folder


def parallel(folder: Path) -> Path:
    """Two processes without DeepSpeed."""
    (plain(folder) / "rng_state.pth").rename(folder / "rng_state_0.pth")
    pickled(folder / "rng_state_1.pth")
    return folder


def zero(folder: Path, stage: int) -> Path:
    """Two processes with DeepSpeed, in bf16."""
    (parallel(folder) / "optimizer.pt").unlink()
    states = folder / "global_step8"
    states.mkdir()
    (folder / "latest").write_text(states.name)
    for rank in range(2):
        pickled(states / f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        if stage == 3:
            pickled(states / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
    if stage < 3:
        pickled(states / "mp_rank_00_model_states.pt")
    return folder


def sharded(folder: Path) -> Path:
    (plain(folder) / "model.safetensors").unlink()
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, name in names.items():
        weights(folder / name, tensor)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    return folder


def lora(folder: Path) -> Path:
    (plain(folder) / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "config.json").rename(folder / "adapter_config.json")
    return folder


def fsdp(folder: Path, sharded: bool) -> Path:
    """Two processes with FSDP. In shards, transformers writes no model beside accelerate's."""
    (parallel(folder) / "optimizer.pt").unlink()
    if not sharded:
        pickled(folder / "optimizer.bin")
        pickled(folder / "pytorch_model_fsdp.bin")
        return folder
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    for name in ("optimizer_0", "pytorch_model_fsdp_0"):
        (folder / name).mkdir()
        (folder / name / ".metadata").write_bytes(b"pickle")
    return folder


LAYOUTS = {
    "plain": plain,
    "parallel": parallel,
    "zero2": lambda folder: zero(folder, 2),
    "zero3": lambda folder: zero(folder, 3),
    "sharded": sharded,
    "lora": lora,
    "fsdp": lambda folder: fsdp(folder, False),
    "fsdp_shards": lambda folder: fsdp(folder, True),
}
STATES = "trainer_state.json scheduler.pt rng_state_0.pth"
ZERO = f"{STATES} rng_state_1.pth latest model.safetensors global_step8/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"
NEEDED = {
    "plain": "model.safetensors config.json optimizer.pt scheduler.pt rng_state.pth trainer_state.json",
    "parallel": f"{STATES} optimizer.pt",
    "zero2": f"{ZERO} global_step8/mp_rank_00_model_states.pt",
    "zero3": f"{ZERO} global_step8/zero_pp_rank_0_mp_rank_00_model_states.pt",
    "sharded": "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json",
    "lora": "adapter_model.safetensors adapter_config.json",
    "fsdp": f"{STATES} optimizer.bin",
}
