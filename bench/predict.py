"""How fast rating is: python bench/predict.py [--models demo,half,3b] [--rows N] [--repeats N] [--out FILE.json].

Every way of answering on the same model, rows and machine, in turns (A, B, C, A, B, C ...), so that a noisy machine
slows all of them alike: the medians of the seconds, and the medians over the turns of the ratios. The inputs are made
before the clock starts. Then, for the demo's model, from files to answers: eval/predict.py's Rater against
LLaMA-Factory's own run_exp with do_predict on the same rows, its clock being `predict_runtime` (decoding and
preprocessing of images, generation, BLEU and ROUGE; not its tokenization, which ours is charged with).

A random model would never end its answer, so it generates as many tokens as the longest right answer has: no fewer, no
more. The trained demo ends its answers itself. All models have the demo's tokenizer, with digits and words split as
Qwen's splits them; its prompts are 210 (IQA) and 236 (ages) tokens and an image.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, PretrainedConfig, Qwen2_5_VLConfig

from data_prep.questions import Scale, question
from data_prep.scales import IQA, SCALES
from demo import model as demo
from eval.exact import log_probabilities, trie
from eval.model import Loaded, answer_ids, batch, generate, load
from recipes import models
from recipes.recipe import load as recipe

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
AGES = SCALES["utk"]  # 116 of them
TRAINED, BASE = Path("saves/demo"), "demo_base"
ROWS = Path("data/demo/demo_test.jsonl")
CONTENDERS = {  # name -> what its ratio is to
    "prefill": "prefill",
    "exact": "prefill",
    "prefill, ages": "prefill, ages",
    "exact, 116 ages": "prefill, ages",
    "generate, batched": "prefill",
    "generate, one by one": "prefill",
}
HEAD = "| model | batch | contender | s/batch | images/s | × prefill | × images/s of generate | peak GB |"


class Case(NamedTuple):
    """A model to measure."""

    side: int  # pixels of its square images
    sizes: tuple[int, ...]  # images at once
    repeats: int
    config: Callable[[], PretrainedConfig] | None  # None: the demo's
    about: str


def half() -> Qwen2_5_VLConfig:
    """Qwen2.5-0.5B's text model with a vision tower to match."""
    text = {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
    text |= {"intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}}
    vision = {"depth": 12, "hidden_size": 512, "intermediate_size": 2048, "num_heads": 8, "out_hidden_size": 896}
    vision |= {"fullatt_block_indexes": [2, 5, 8, 11]}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)


CASES = {
    "demo": Case(112, (32,), 15, None, "the demo's model"),
    "half": Case(448, (8,), 3, half, "Qwen2.5-0.5B's shape and a small vision tower, random weights"),
    "3b": Case(
        448,
        (1, 2, 4, 8, 16, 32, 64),
        5,
        lambda: models.config("Qwen/Qwen2.5-VL-3B-Instruct"),
        "Qwen2.5-VL-3B's shape, random weights",
    ),
}


def prepare(case: Case, folder: str) -> Loaded:
    """The case's model with the demo's tokenizer: fp32, a large one on a GPU bf16."""
    loaded = load(folder, None, case.side**2, 2048, DEVICE)
    if case.config is None:
        return loaded
    config, small = case.config(), AutoConfig.from_pretrained(folder)
    for key in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        setattr(config, key, getattr(small, key))
    torch.manual_seed(0)
    with DEVICE:
        dtype = torch.bfloat16 if CUDA else torch.float32
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()
    loaded.collator.compute_dtype = dtype
    return loaded._replace(model=model)


def contenders(loaded: Loaded, case: Case, size: int, count: int, trained: bool) -> dict[str, Callable[[], object]]:
    """Name -> answers `count` images, `size` at once, whose inputs are ready."""
    model, rng = loaded.model, np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (case.side, case.side, 3), dtype=np.uint8)) for _ in range(count)]

    def inputs(scale: Scale, size: int) -> list[dict]:
        asked = [images[start : start + size] for start in range(0, count, size)]
        return [batch(loaded, [question(scale, "cot")] * len(some), some) for some in asked]

    iqa, ages, single = inputs(IQA, size), inputs(AGES, size), inputs(IQA, 1)
    answers = answer_ids(loaded, IQA, "cot")
    few, many = trie(answers, DEVICE), trie(answer_ids(loaded, AGES, "cot"), DEVICE)
    longest = max(map(len, answers.values()))
    model.generation_config.min_new_tokens = None if trained else longest

    @torch.inference_mode()
    def prefill(rows: dict) -> torch.Tensor:
        last = model.model(**rows, use_cache=True).last_hidden_state[:, -1]  # padded on the left
        return model.get_output_embeddings()(last).float()

    ways = (
        lambda: [prefill(rows) for rows in iqa],
        lambda: [log_probabilities(model, rows, few) for rows in iqa],
        lambda: [prefill(rows) for rows in ages],
        lambda: [log_probabilities(model, rows, many) for rows in ages],
        lambda: [generate(loaded, rows, longest) for rows in iqa],
        lambda: [generate(loaded, rows, longest) for rows in single],
    )
    return dict(zip(CONTENDERS, ways))


def clocked(way: Callable[[], object]) -> tuple[float, float]:
    """(seconds, peak GB of the GPU's memory, of 1e9 bytes) of a call."""
    if not CUDA:
        start = time.perf_counter()
        way()
        return time.perf_counter() - start, 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    way()
    torch.cuda.synchronize()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 1e9


def in_turns(ways: dict[str, Callable], repeats: int, warm: bool = True) -> dict[str, dict]:
    """Name -> {"s": seconds of each turn, "gb": peak} or {"error": ...}. One more turn, the first, warms up."""
    runs = {name: {"s": [], "gb": 0.0} for name in ways}
    for turn in range(repeats + warm):
        for name, way in ways.items():
            if "error" in runs[name]:
                continue
            try:
                seconds, memory = clocked(way)
            except torch.OutOfMemoryError:
                runs[name] = {"s": [], "gb": 0.0, "error": "out of memory"}
                torch.cuda.empty_cache()
                continue
            if turn >= warm:
                runs[name]["s"].append(seconds)
                runs[name]["gb"] = max(runs[name]["gb"], memory)
    return runs


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """The median over the turns of one's seconds by the other's; None if one of them never ran."""
    return statistics.median(a / b for a, b in zip(above, below)) if above and below else None


def table(name: str, size: int, count: int, runs: dict[str, dict]) -> list[str]:
    """Rows under HEAD."""
    lines = []
    for way, run in runs.items():
        if "error" in run:
            lines.append(f"| {name} | {size} | {way} | {run['error']} |" + " |" * 4)
            continue
        run["s_per_batch"], run["images_per_s"] = (median := statistics.median(run["s"])) * size / count, count / median
        run["by_prefill"] = ratio(run["s"], runs[CONTENDERS[way]]["s"])
        run["by_generate"] = ratio(runs["generate, batched"]["s"], run["s"])
        ratios = [f"{run[key]:.2f}" if run[key] else "" for key in ("by_prefill", "by_generate")]
        memory = f"{run['gb']:.1f}" if CUDA else ""
        speed = f"{run['s_per_batch']:.3f} | {run['images_per_s']:.2f}"
        lines.append(f"| {name} | {size} | {way} | {speed} | {ratios[0]} | {ratios[1]} | {memory} |")
    return lines


def end_to_end(loaded: Loaded, folder: str, trained: bool, limit: int | None, repeats: int, work: Path) -> dict:
    """Images/s from files to answers of the demo's test rows, exact by our Rater and greedy by LLaMA-Factory."""
    from llamafactory.train.tuner import run_exp

    from eval.predict import blocks
    from eval.rater import Rater

    settings = recipe(Path("recipes/demo_predict.yaml"))
    size, longest = settings["per_device_eval_batch_size"], settings["max_new_tokens"]
    rows = list(blocks(ROWS, SCALES, limit, size))
    if not trained:
        longest = max(map(len, answer_ids(loaded, IQA, "cot").values()))
    settings |= {"model_name_or_path": folder, "output_dir": str(work / "host"), "max_new_tokens": longest}
    settings |= {"max_samples": sum(map(len, rows)), "overwrite_cache": True, "disable_tqdm": True}
    ours, theirs, media = [], [], Path(settings["media_dir"])
    for turn in range(repeats + 1):
        rater = Rater(loaded, "exact", 0, media)
        seconds, _ = clocked(lambda rater=rater: [rater.rate(block) for block in rows])
        with contextlib.redirect_stdout(io.StringIO()):
            run_exp(dict(settings))
        if turn:  # the first warms up
            ours.append(seconds)
            theirs.append(json.loads((work / "host" / "predict_results.json").read_text())["predict_runtime"])
    return {"rows": settings["max_samples"], "batch": size, "exact_s": ours, "do_predict_s": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", default="demo,half,3b" if CUDA else "demo,half", help="default: %(default)s")
    parser.add_argument("--rows", type=int, help="images of each contender; default: one batch (end to end: all)")
    parser.add_argument("--repeats", type=int, help="turns; default: demo 15 (end to end 3), half 3, 3b 5")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="the seconds of each turn")
    args = parser.parse_args()
    if unknown := set(names := args.models.split(",")) - set(CASES):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    device = torch.cuda.get_device_name() if CUDA else f"{torch.get_num_threads()} CPU cores"
    found = {"device": device, "torch": torch.__version__, "load": os.getloadavg()[0], "models": {}}
    print(
        f"{device}, torch {torch.__version__}, load {found['load']:.1f}",
        "",
        HEAD,
        "|---" * 8 + "|",
        sep="\n",
        flush=True,
    )
    notes = []
    with tempfile.TemporaryDirectory() as temporary:
        demo.OUT = Path(temporary) / BASE
        with contextlib.redirect_stdout(io.StringIO()):
            demo.main()
        for name in names:
            case, trained = CASES[name], name == "demo" and (TRAINED / "train_results.json").is_file()
            folder = str(TRAINED if trained else demo.OUT)
            loaded, repeats = prepare(case, folder), args.repeats or case.repeats
            millions = sum(parameter.numel() for parameter in loaded.model.parameters()) / 1e6
            notes.append(f"{name}: {case.about}, {millions:,.1f} M parameters, {loaded.model.dtype}, {case.side} px")
            kept = found["models"][name] = {"about": notes[-1], "sizes": {}}
            for size in case.sizes:
                count = args.rows or size
                runs = in_turns(contenders(loaded, case, min(size, count), count, trained), repeats)
                print(*table(name, min(size, count), count, runs), sep="\n", flush=True)
                kept["sizes"][size] = runs
            if name == "demo":
                run = end_to_end(loaded, folder, trained, args.rows, args.repeats or 3, Path(temporary))
                speed = [run["rows"] / statistics.median(run[key]) for key in ("exact_s", "do_predict_s")]
                times = ratio(run["do_predict_s"], run["exact_s"])
                which = folder if trained else "random weights (no saves/demo: make demo)"
                kept["end_to_end"] = run
                notes.append(
                    f"demo, files to answers, {run['rows']} rows, batch {run['batch']}, {which}: "
                    f"eval/predict.py {speed[0]:.0f} images/s, do_predict {speed[1]:.0f} images/s, ratio {times:.2f}"
                )
            del loaded
            found["load_after"] = os.getloadavg()[0]
            if args.out:
                args.out.write_text(json.dumps(found, indent=1) + "\n")
    print("", *notes, f"load at the end {found['load_after']:.1f}", sep="\n")


if __name__ == "__main__":
    main()
