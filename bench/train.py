"""How fast training is: python -m bench.train [--steps N] [--variants NAME ...] [--out FILE] [--limit-s SECONDS].

Trains a Qwen2.5-VL-3B of full size and random weights on one GPU as train/run.py does: LLaMA-Factory's own example,
recipes/storm_lite.yaml, and changes to it (VARIANTS), each in a process of its own. Without a GPU, or with
--tiny, it is the demo's model on small images, which shows that the script works and not how fast training is.

A sample is an image of 1,003,520 pixels (1,280 tokens) and the question of one of the recipe's datasets, in turn.
Tokens do not count padding, FLOPs not what gradient checkpointing computes again. Their fraction is of what this GPU
reaches in a bf16 product of 8192 x 8192 matrices, not of its data sheet.
"""

import os
import resource
import sys
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from bench.child_process import run
from data_prep.registry import stanza
from storm.datasets import SCALES
from storm.files import write_json, write_jsonl
from storm.options import Parser, one_of, positive
from storm.rows import Example, to_row
from storm.text import Cell, table
from train.flops import train_flops
from train.recipe import load

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "storm_lite.yaml"
WARM_UP = 3  # steps before the clock starts
LARGEST = 8  # samples in the largest step of all variants
PHOTOGRAPHS, SIZE, TINY_SIZE, TINY = 32, (1120, 896), (112, 112), 80  # 1,280 and 16 tokens

# What LLaMA-Factory's examples/train_full/qwen2_5vl_full_sft.yaml (for the 7B) has otherwise than our recipe and a step
# shows. Its ZeRO-3 file is in effect ours.
STOCK = {"image_max_pixels": 262144, "freeze_vision_tower": True, "freeze_multi_modal_projector": True}
STOCK |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
STOCK |= {"learning_rate": 1e-5, "warmup_ratio": 0.1, "flash_attn": None}
OURS = {"image_max_pixels": 1003520, "freeze_vision_tower": False, "freeze_multi_modal_projector": False}
# "recipe" keeps ZeRO-3, with one process, since that is what the recipe runs; but the 60 GB of weights, gradients and
# optimizer states that it spreads over 32 GPUs are then on one. So changes are tried with 30 GB of them, all in bf16
# (which trains worse: it rounds small updates away): activations then have about the room that they have on 32.
# "recipe" and "one_gpu" take FlashAttention-2 where it is installed, as the recipes do; --out says which they took.
PURE = {"deepspeed": None, "bf16": None, "pure_bf16": True, "flash_attn": None}
PACKED = {"neat_packing": True, "cutoff_len": 6656, "per_device_train_batch_size": 1}  # 4 samples
VARIANTS = {
    "stock": STOCK,
    "stock_same_work": STOCK | OURS,  # what ours is compared with
    "recipe": {},
    "one_gpu": {"deepspeed": None, "per_device_train_batch_size": 1},  # storm_lite_1gpu.yaml, but for its accumulation
    "pure_bf16": PURE,
    "fa2": PURE | {"flash_attn": "fa2"},  # stock and the others below: sdpa, the default
    "liger": PURE | {"enable_liger_kernel": True},
    "batch8": PURE | {"per_device_train_batch_size": 8},
    "batch1": PURE | {"per_device_train_batch_size": 1},
    "unchecked": PURE | {"disable_gradient_checkpointing": True},
    "packed": PURE | PACKED,
    "fa2_liger": PURE | {"flash_attn": "fa2", "enable_liger_kernel": True},
    "fa2_packed": PURE | PACKED | {"flash_attn": "fa2"},
    "soft": PURE | {"storm": {"objective": "soft", "target": "laplace"}},  # as storm_lite_soft.yaml
}
PACKAGES = {"deepspeed": "deepspeed", "flash_attn": "flash_attn", "enable_liger_kernel": "liger_kernel"}
HEAD = ("variant", "samples/s", "× stock_same_work", "tokens/s", "s/step", "peak GB", "TFLOP/s", "of matmul peak")


def settings(name: str, work: Path, steps: int, cuda: bool = True, tiny: bool = False) -> dict:
    """What LLaMA-Factory gets: the recipe, the variant's changes, the bench's own files and number of steps."""
    keys = load(RECIPE) | VARIANTS[name]
    keys |= {"model_name_or_path": str(work / "model"), "dataset": "bench", "output_dir": str(work / "saves" / name)}
    keys |= {"dataset_dir": str(work), "media_dir": str(work), "preprocessing_num_workers": None}
    keys |= {"max_steps": WARM_UP + steps, "save_strategy": "no", "logging_steps": 1}
    if "neat_packing" not in keys:  # no more than are used: they are tokenized anew for each variant
        samples = keys["per_device_train_batch_size"] * keys["gradient_accumulation_steps"]
        keys["max_samples"] = keys["max_steps"] * samples
    if keys["deepspeed"]:
        keys["deepspeed"] = str(ROOT / keys["deepspeed"])
    if tiny:
        keys |= {"image_max_pixels": keys["image_max_pixels"] // TINY, "cutoff_len": keys["cutoff_len"] // 2}
    if not cuda:
        keys |= {"bf16": None, "pure_bf16": None}
    return {key: value for key, value in keys.items() if value is not None}


def prepare(work: Path, steps: int, tiny: bool) -> dict:
    """Write images, conversations and the model. Returns what measure must know of the machine; "peak" in FLOP/s."""
    import torch
    from torch.utils.benchmark import Timer
    from transformers import AutoConfig, AutoModelForImageTextToText

    from demo import model as demo
    from storm import models

    cuda, recipe = torch.cuda.is_available(), load(RECIPE)
    tiny = tiny or not cuda
    size, rng = TINY_SIZE if tiny else SIZE, np.random.default_rng(0)
    (work / "images").mkdir(exist_ok=True)
    for number in range(PHOTOGRAPHS):  # blurred noise: as large a JPEG as a photograph's
        blots = Image.fromarray(rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3), np.uint8))
        blots.resize(size, Image.Resampling.BICUBIC).save(work / "images" / f"{number}.jpg", quality=95)
    names, rows = [name.split("_")[1] for name in recipe["dataset"].split(",")], []
    for number in range((WARM_UP + steps) * LARGEST):
        name, image = names[number % len(names)], f"images/{number % PHOTOGRAPHS}.jpg"
        label = SCALES[name].lo + number % len(SCALES[name].fine)
        rows.append(to_row(Example(f"{number}", name, image, label, SCALES[name], "cot")))
    write_jsonl(work / "bench.jsonl", rows)
    write_json(work / "dataset_info.json", {"bench": stanza("bench.jsonl")})

    demo.OUT = work / "model"
    demo.main([])
    device, dtype = ("cuda", torch.bfloat16) if cuda else ("cpu", torch.float32)
    if not tiny:  # the demo's tokenizer stays: no text has the other 151,000 tokens, but their logits are computed
        config, small = models.config(recipe["model_name_or_path"]), AutoConfig.from_pretrained(demo.OUT)
        for key in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
            setattr(config, key, getattr(small, key))
        with torch.device(device):
            model = AutoModelForImageTextToText.from_config(config, dtype=dtype)
        model.save_pretrained(demo.OUT, max_shard_size="50GB")  # one file, over the small one
        del model

    side = 8192 if cuda else 1024
    factors = {"a": torch.randn(side, side, device=device, dtype=dtype)}
    product = Timer("a @ a", globals=factors, num_threads=torch.get_num_threads())  # waits for the GPU
    peak = 2 * side**3 / product.blocked_autorange(min_run_time=1).median
    name = torch.cuda.get_device_name() if cuda else f"{os.cpu_count()} CPU cores, fp32"
    return {"device": name, "cuda": cuda, "tiny": tiny, "torch": torch.__version__, "peak": peak}


def measure(name: str, work: Path, steps: int, machine: dict) -> dict:
    """Train. Returns the variant's row, with memory in GB of 1e9 bytes (without a GPU, the process's)."""
    keys, cuda = settings(name, work, steps, machine["cuda"], machine["tiny"]), machine["cuda"]
    asked = keys | {"flash_attn": VARIANTS[name].get("flash_attn")}  # the recipe takes what is there
    for key, package in PACKAGES.items():
        if asked.get(key) and not find_spec(package):
            raise ImportError(f"{package} is not installed")
    if "deepspeed" in keys:  # as `FORCE_TORCHRUN=1 llamafactory-cli train` does
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "TORCH_NCCL_AVOID_RECORD_STREAMS": "1"}
    import torch
    from llamafactory.extras.misc import find_available_port
    from transformers import TrainerCallback

    from train.training import block
    from train.training.host import train

    os.environ["MASTER_PORT"] = str(find_available_port())
    ends, batches, seen, wait = [], [], {}, torch.cuda.synchronize if cuda else lambda: None

    class Done(Exception):
        """Training is over; run_sft would save the model next."""

    class Clock(TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, processing_class=None, **kwargs):
            seen.update(config=model.config, pad=processing_class.pad_token_id)
            model.register_forward_pre_hook(self.on_forward, with_kwargs=True)

        def on_forward(self, module, args, inputs):
            batches.append((inputs["input_ids"], inputs["image_grid_thw"]))

        def on_step_end(self, args, state, control, **kwargs):
            wait()
            ends.append(time.perf_counter())
            if len(ends) == WARM_UP:
                batches.clear()
            if state.global_step == state.max_steps:
                seen["loss"] = [entry["loss"] for entry in state.log_history if "loss" in entry][-1]
                raise Done

    extra = block.read(keys)
    with suppress(Done):
        train({key: value for key, value in keys.items() if key != block.KEY}, extra, [Clock()])
    if not seen["loss"] > 0:  # DeepSpeed before 0.19.8 ended such runs with success
        raise ValueError(f"it trained on garbage: the loss is {seen['loss']}")
    attention = seen["config"]._attn_implementation
    if asked["flash_attn"] == "fa2" and attention != "flash_attention_2":
        raise ValueError(f"LLaMA-Factory chose {attention} attention")
    grids = torch.cat([grid for _, grid in batches]).prod(-1)  # patches of every image
    tokens = sum(int((ids != seen["pad"]).sum()) for ids, _ in batches)
    seconds, samples = ends[-1] - ends[WARM_UP - 1], len(grids)
    per_sample = tokens / samples, int(grids.sum()) / samples
    flops = train_flops(seen["config"], *per_sample, keys) * samples / seconds
    used = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = {"samples_per_s": samples / seconds, "tokens_per_s": tokens / seconds, "step_s": seconds / steps}
    row |= {"peak_gb": used / 1e9, "tflops": flops / 1e12, "of_peak": flops / machine["peak"], "loss": seen["loss"]}
    row |= {"samples": samples, "tokens_per_sample": per_sample[0], "patches_per_sample": per_sample[1]}
    return row | {"attention": attention, "steps_s": np.diff(ends).tolist(), "settings": keys}


def cells(name: str, row: dict, stock: float | None) -> tuple[Cell, ...]:
    """A row of the table under HEAD; `stock` are the samples/s of stock_same_work, if it ran."""
    if "error" in row:
        return name, row["error"], *[None] * 6
    speed = f"{row['samples_per_s']:.2f}", stock and f"{row['samples_per_s'] / stock:.2f}", round(row["tokens_per_s"])
    return name, *speed, row["step_s"], f"{row['peak_gb']:.1f}", f"{row['tflops']:.3g}", f"{row['of_peak']:.1%}"


def main() -> None:
    start = time.monotonic()
    parser = Parser(prog="python -m bench.train", description=__doc__.split(": python")[0])
    parser.add_argument("--steps", type=positive, default=12, help="timed steps of each variant (default: 12)")
    text = f"{', '.join(VARIANTS)} (default: all)"
    names = {"nargs": "+", "type": one_of(VARIANTS), "default": list(VARIANTS), "metavar": "NAME"}
    parser.add_argument("--variants", help=text, **names)
    parser.add_argument("--out", type=Path, help="JSON with settings, losses and seconds of each step")
    parser.add_argument("--work", type=Path, help="folder for model, data and logs, 8 GB; default: a temporary one")
    parser.add_argument("--limit-s", type=float, default=540, help="seconds in all; variants that do not fit are named")
    parser.add_argument("--tiny", action="store_true", help="the demo's model even on a GPU")
    args, longest, rows = parser.parse_args(), 0.0, {}
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        machine = run(args.limit_s, work / "prepare.log", prepare, work, args.steps, args.tiny)
        if "error" in machine:
            sys.exit(machine["error"])
        model = "the demo's tiny model: no measure of training's speed" if machine["tiny"] else "Qwen2.5-VL-3B"
        print(f"{machine['device']}, torch {machine['torch']}; matmul peak {machine['peak'] / 1e12:.3g} TFLOP/s")
        print(f"{model}; {args.steps} steps timed after {WARM_UP}", flush=True)
        for name in args.variants:
            begin = time.monotonic()
            left = start + args.limit_s - begin
            if left > longest:
                rows[name] = run(left, work / f"{name}.log", measure, name, work, args.steps, machine)
                print(name, rows[name].get("error") or f"{rows[name]['samples_per_s']:.2f} samples/s", flush=True)
                longest = max(longest, time.monotonic() - begin)
                if args.out:
                    write_json(args.out, {"machine": machine, "variants": rows})
    stock = rows.get("stock_same_work", {}).get("samples_per_s")
    print(table([HEAD, *(cells(name, row, stock) for name, row in rows.items())], "markdown"))
    if late := [name for name in args.variants if name not in rows]:
        print(f"Not started, for lack of time: {', '.join(late)}")


if __name__ == "__main__":
    main()
