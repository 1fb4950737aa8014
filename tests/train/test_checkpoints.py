"""A checkpoint that a training cannot go on from is named, with the reason, and put aside. The files are made by hand;
test_parallel.py takes real ones apart."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from storm.files import locked
from tests.helpers.checkpoint_layouts import LAYOUTS, NEEDED, lora, parallel, plain, weights, zero
from train.checkpoints import discard_broken, fault, main, wrong_start
from train.tensor_names import renamed_tensors


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_checkpoint_has_no_fault(layout, tmp_path):
    assert fault(LAYOUTS[layout](tmp_path / "checkpoint-8")) is None


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("harm", [Path.unlink, empty, cut])
@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout in NEEDED for name in NEEDED[layout].split()])
def test_a_missing_empty_or_cut_file_is_named(layout, name, harm, tmp_path):
    checkpoint = LAYOUTS[layout](tmp_path / "checkpoint-8")
    harm(checkpoint / name)
    reason = fault(checkpoint)
    if harm is Path.unlink and name in ("model.safetensors.index.json", "adapter_config.json"):
        name = "model.safetensors"
    assert reason.startswith(f"{Path(name).name} {'is missing' if harm is Path.unlink else '('}")
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model.safetensors", bytes(200), "damaged: Error while deserializing header: invalid JSON"),
        ("optimizer.pt", bytes(200), "(200 bytes) is damaged: File is not a zip file"),
        ("trainer_state.json", b"[]", "is damaged: list indices must be integers"),
        ("trainer_state.json", b"{}", "is damaged: 'global_step'"),
        ("trainer_state.json", b"\xff\x00", "is damaged: "),
        ("model.safetensors.index.json", b'{"weight_map": []}', "is damaged: 'list' object"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "x.safetensors"}}', "x.safetensors is missing"),
    ],
)
def test_a_file_with_other_content_is_named(name, content, reason, tmp_path):
    checkpoint = plain(tmp_path / "checkpoint-8")
    (checkpoint / name).write_bytes(content)
    assert reason in fault(checkpoint)


def test_a_process_whose_random_state_is_gone_is_missed_with_deepspeed(tmp_path):
    """Without, nothing else says that there was a second one."""
    for folder in (zero(tmp_path / "zero", 3), parallel(tmp_path / "parallel")):
        (folder / "rng_state_1.pth").unlink()
    assert fault(tmp_path / "zero") == "rng_state_1.pth is missing"
    assert fault(tmp_path / "parallel") is None


def test_one_process_with_deepspeed_has_one_random_state(tmp_path):
    folder = zero(tmp_path / "zero", 2)
    (folder / "rng_state_0.pth").rename(folder / "rng_state.pth")
    (folder / "rng_state_1.pth").unlink()
    (folder / "global_step8" / "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt").unlink()
    assert fault(folder) is None


def test_weights_longer_than_their_header_says_are_damaged(tmp_path):
    with (plain(tmp_path / "checkpoint-8") / "model.safetensors").open("ab") as file:
        file.write(b"more")
    assert "not fully covered" in fault(tmp_path / "checkpoint-8")


def test_a_tensor_without_numbers_is_a_fault(tmp_path):
    """ZeRO-3 leaves these where the weights of all processes were not gathered."""
    save_file({"a": np.ones((0, 4), np.float32)}, plain(tmp_path / "checkpoint-8") / "model.safetensors")
    assert "tensor a has no numbers" in fault(tmp_path / "checkpoint-8")


def test_an_optimizer_that_lost_its_beginning_is_damaged(tmp_path):
    path = plain(tmp_path / "checkpoint-8") / "optimizer.pt"
    path.write_bytes(path.read_bytes()[500:])
    assert "its directory does not fit its size" in fault(tmp_path / "checkpoint-8")


def test_broken_checkpoints_are_put_aside(tmp_path):
    for step in (4, 8, 12, 100):
        plain(tmp_path / f"checkpoint-{step}")
    cut(tmp_path / "checkpoint-100" / "optimizer.pt")
    (tmp_path / "checkpoint-12" / "trainer_state.json").unlink()
    shutil.copytree(tmp_path / "checkpoint-4", tmp_path / "broken-checkpoint-12" / "older")
    (tmp_path / "checkpoint-of-mine").mkdir()
    renamed = discard_broken(tmp_path)
    assert [path.name for path, _, _ in renamed] == ["checkpoint-12", "checkpoint-100"]
    assert [now.name for _, _, now in renamed] == ["broken-checkpoint-12.2", "broken-checkpoint-100"]
    assert [reason.split(" (")[0] for _, reason, _ in renamed] == ["trainer_state.json is missing", "optimizer.pt"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint-4",
        "checkpoint-8",
        "broken-checkpoint-12",
        "broken-checkpoint-12.2",
        "broken-checkpoint-100",
        "checkpoint-of-mine",
    }
    assert (tmp_path / "broken-checkpoint-12" / "older" / "optimizer.pt").exists(), "nothing is deleted"
    assert (tmp_path / "broken-checkpoint-12.2" / "model.safetensors").exists()
    assert discard_broken(tmp_path) == []


def test_a_finished_model_without_a_sound_checkpoint_is_refused(tmp_path):
    """LLaMA-Factory neither goes on nor starts over there (tests/test_resume.py)."""
    weights(tmp_path / "model.safetensors", "a")
    plain(tmp_path / "checkpoint-8")
    assert discard_broken(tmp_path) == []
    cut(tmp_path / "checkpoint-8" / "optimizer.pt")
    with pytest.raises(ValueError, match="holds model.safetensors but no sound checkpoint: mv "):
        discard_broken(tmp_path)
    assert (tmp_path / "broken-checkpoint-8").is_dir()


@pytest.mark.parametrize("layout", ["plain", "parallel", "zero3", "fsdp"])
def test_the_last_sound_checkpoint_gets_the_names_of_tensors_in_memory(layout, tmp_path):
    """But DeepSpeed and FSDP read their own files."""
    renamed = layout in ("plain", "parallel")
    saved = {
        "model.embed_tokens.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "model.layers.0.mlp.up_proj.weight": np.arange(4, dtype=np.float16),
        "model.visual.patch_embed.proj.weight": np.zeros((1, 2), np.float32),
        "lm_head.weight": np.ones(3, np.float32),
    }
    for step in (4, 8):
        save_file(saved, LAYOUTS[layout](tmp_path / f"checkpoint-{step}") / "model.safetensors", {"format": "pt"})
    expected = {
        name.replace("model.", "model.language_model.") if "embed" in name or "layers" in name else name: tensor
        for name, tensor in saved.items()
        if "patch" not in name
    } | {"model.visual.patch_embed.proj.weight": saved["model.visual.patch_embed.proj.weight"]}
    for _ in range(2):
        assert discard_broken(tmp_path) == []
        with safe_open(tmp_path / "checkpoint-8" / "model.safetensors", "numpy") as file:
            assert file.metadata() == {"format": "pt"}
        for step, names in ((4, saved), (8, expected if renamed else saved)):
            tensors = load_file(tmp_path / f"checkpoint-{step}" / "model.safetensors")
            assert tensors.keys() == names.keys()
            assert all(np.array_equal(tensors[name], names[name]) for name in names)
        assert fault(tmp_path / "checkpoint-8") is None


def test_a_checkpoint_without_an_optimizer_is_refused_and_stays(tmp_path):
    """save_only_model: transformers would go on with a new optimizer. A broken one beside it stays, too."""
    for step in (4, 8):
        plain(tmp_path / f"checkpoint-{step}")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (tmp_path / "checkpoint-8" / name).unlink()
    cut(tmp_path / "checkpoint-4" / "optimizer.pt")
    for refuses in (lambda: discard_broken(tmp_path), lambda: refuse(wrong_start(tmp_path / "checkpoint-8"))):
        with pytest.raises(ValueError, match=f"checkpoint-8 .*mv {tmp_path} {tmp_path}.old, and save_only_model=false"):
            refuses()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-8"}
    (tmp_path / "checkpoint-8" / "trainer_state.json").unlink()
    assert len(discard_broken(tmp_path)) == 2, "that was cut off before its optimizer was written"


def refuse(reason: str | None) -> None:
    raise ValueError(reason)


def test_names_in_shards_are_not_changed_but_refused(tmp_path):
    checkpoint = LAYOUTS["sharded"](tmp_path / "checkpoint-8")
    assert discard_broken(tmp_path) == [] and wrong_start(checkpoint) is None
    names = {"model.embed_tokens.weight": "model-00001-of-00002.safetensors"}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    for refuses in (lambda: discard_broken(tmp_path), lambda: refuse(wrong_start(checkpoint))):
        with pytest.raises(ValueError, match=f"{checkpoint}: .*mv {tmp_path} {tmp_path}.old$"):
            refuses()
    (checkpoint / "latest").write_text("global_step8")
    assert renamed_tensors(checkpoint) == {}, "DeepSpeed reads its own files"


@pytest.mark.parametrize("name", ["optimizer_0", "pytorch_model_fsdp_0"])
def test_shards_of_fsdp_without_their_last_file_are_broken(name, tmp_path):
    checkpoint = LAYOUTS["fsdp_shards"](tmp_path / "checkpoint-8")
    (checkpoint / name / ".metadata").unlink()
    assert fault(checkpoint) == ".metadata is missing"


def test_names_of_other_models_and_of_lora_stay(tmp_path):
    for layout, name in ((plain, "model.safetensors"), (lora, "adapter_model.safetensors")):
        checkpoint = layout(tmp_path / layout.__name__ / "checkpoint-8")
        weights(checkpoint / name, "model.layers.0.weight")
        if layout is plain:
            (checkpoint / "config.json").write_text('{"model_type": "llava"}')
        assert discard_broken(checkpoint.parent) == []
        assert list(load_file(checkpoint / name)) == ["model.layers.0.weight"]


def test_the_command_renames_what_is_broken_and_only_help_prints_help(tmp_path, capsys):
    cut(plain(tmp_path / "checkpoint-8") / "optimizer.pt")
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0 and (tmp_path / "checkpoint-8").is_dir() and "OUTPUT_DIR" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 0
    renamed, start = capsys.readouterr().out.splitlines()
    assert renamed.endswith(str(tmp_path / "broken-checkpoint-8")) and "step 0" in start
    with locked(tmp_path):
        assert main([str(tmp_path)]) == 1, "another process trains there"
    assert str(tmp_path) in capsys.readouterr().err
    weights(tmp_path / "model.safetensors", "a")
    assert main([str(tmp_path)]) == 1 and f"mv {tmp_path} {tmp_path}.old" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing")]) == 0
