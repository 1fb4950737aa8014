"""How fast rating is: python -m bench.predict [--models NAME...] [--rows N] [--repeats N] [--out FILE.json].

Every way of answering on the same model, rows and machine, in turns (A, B, C, A, B, C ...), so that a noisy machine
slows all of them alike: medians of the seconds, and of the ratios of each turn. Inputs are made before the clock
starts. Then, for the demo's model, from files to answers: eval/predict.py's Rater against LLaMA-Factory's own run_exp
with do_predict, timed by its `predict_runtime`: images, generation, BLEU and ROUGE, not its tokenization (ours counts).

A random model would never end its answer, so it generates as many tokens as the longest valid answer has: no fewer, no
more. The trained demo ends its answers itself. All models have the demo's tokenizer, which splits digits and words as
Qwen's does: prompts of 240 (IQA) and 266 (ages) tokens and an image, answers of 12.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from llamafactory.train.tuner import run_exp
from PIL import Image
from transformers import AutoModelForImageTextToText, PretrainedConfig, Qwen2_5_VLConfig

from demo import model as demo
from eval.inference import exact
from eval.inference.exact import answer_trie, log_probabilities
from eval.inference.model import Loaded, answer_ids, batch, generate, load
from eval.inference.quiet import quiet
from eval.inference.rater import Rater
from eval.inference.run import blocks
from eval.inference.settings import Settings
from eval.inference.trie import Trie, trie
from storm import models
from storm.datasets import SCALES
from storm.files import read_json, write_json
from storm.options import one_of, positive
from storm.prompts import question
from storm.rows import read_examples
from storm.scales import IQA, Scale
from storm.text import table
from train.recipe import load as recipe

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
THREE_B = "Qwen/Qwen2.5-VL-3B-Instruct"
AGES = SCALES["utk"]  # 116 of them
TRAINED, ROWS = Path("saves/demo"), Path("data/demo/demo_test.jsonl")
HEAD = ("model", "batch", "contender", "s/batch", "images/s", "× prefill", "× images/s of generate", "peak GB")


class Case(NamedTuple):
    """A model to measure."""

    side: int  # pixels of its square images
    sizes: tuple[int, ...]  # images at once
    turns: int
    warm_up: int  # turns before those, not counted
    config: Callable[[], PretrainedConfig] | None  # None: the demo's


def half() -> Qwen2_5_VLConfig:
    """Qwen2.5-0.5B's text model and a small vision tower: 551 M parameters."""
    text = {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
    text |= {"intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}}
    vision = {"depth": 12, "hidden_size": 512, "intermediate_size": 2048, "num_heads": 8, "out_hidden_size": 896}
    vision |= {"fullatt_block_indexes": [2, 5, 8, 11]}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)


CASES = {
    "demo": Case(112, (32,), 15, 1, None),
    "half": Case(448, (8,), 3, 0, half),
    "half_recipe": Case(1001, (2,), 2, 0, half),  # as large as the recipes' images: 1,296 tokens
    "3b": Case(448, (1, 8, 32), 3, 1, lambda: models.config(THREE_B)),
    "3b_recipe": Case(1001, (1, 12), 3, 1, lambda: models.config(THREE_B)),
}


def prepare(case: Case, folder: str) -> Loaded:
    """The case's model with the demo's tokenizer: the demo's own in fp32, others on a GPU in bf16."""
    loaded = load(Settings(model=folder, image_max_pixels=case.side**2), DEVICE)
    if case.config is None:
        return loaded
    config, dtype = case.config(), torch.bfloat16 if CUDA else torch.float32
    for kind in ("image", "video", "vision_start", "vision_end"):
        setattr(config, f"{kind}_token_id", getattr(loaded.model.config, f"{kind}_token_id"))
    loaded.collator.compute_dtype = dtype
    with DEVICE:
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return loaded._replace(model=model.eval())


def reading(count: int, model: torch.nn.Module, rows: dict, answers: Trie) -> torch.Tensor:
    """log_probabilities() as if so many ages of each row were likely: a random model finds all of them alike."""

    def likely(logp: torch.Tensor, mass: torch.Tensor, unread: float) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = logp.argsort(1, descending=True)[:, : 0 if (logp == -torch.inf).any() else count]
        return chosen, torch.ones_like(chosen, dtype=torch.bool)

    with mock.patch.object(exact, "_likely", likely):
        return log_probabilities(model, rows, answers)


def contenders(loaded: Loaded, side: int, size: int, count: int, trained: bool) -> dict[str, Callable[[], object]]:
    """Name -> answers `count` images of `side` pixels, `size` at once, whose inputs are ready."""
    model, rng = loaded.model, np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)) for _ in range(count)]

    def inputs(scale: Scale, size: int) -> list[dict]:
        parts = [images[start : start + size] for start in range(0, count, size)]
        return [batch(loaded, [question(scale, "cot")] * len(part), part) for part in parts]

    iqa, ages, single = inputs(IQA, size), inputs(AGES, size), inputs(IQA, 1)
    answers = answer_ids(loaded, IQA, "cot")
    few, many = answer_trie(model, answers), answer_trie(model, answer_ids(loaded, AGES, "cot"))
    whole = trie(answer_ids(loaded, AGES, "cot"), DEVICE)
    longest = max(map(len, answers.values()))
    model.generation_config.min_new_tokens = None if trained else longest

    @torch.inference_mode()
    def prefill(rows: dict) -> torch.Tensor:
        hidden = model.model(**rows, use_cache=True).last_hidden_state
        return model.get_output_embeddings()(hidden[:, -1]).float()  # padded on the left

    return {
        "prefill": lambda: [prefill(rows) for rows in iqa],
        "exact": lambda: [log_probabilities(model, rows, few) for rows in iqa],
        "prefill, ages": lambda: [prefill(rows) for rows in ages],
        "exact, 116 ages, the whole trie": lambda: [log_probabilities(model, rows, whole) for rows in ages],
        "exact, 116 ages, tails of 60": lambda: [reading(60, model, rows, many) for rows in ages],
        "exact, 116 ages, tails of 30": lambda: [reading(30, model, rows, many) for rows in ages],
        "generate, batched": lambda: [generate(loaded, rows, longest) for rows in iqa],
        "generate, one by one": lambda: [generate(loaded, rows, longest) for rows in single],
    }


def clocked(way: Callable[[], object]) -> tuple[float, float]:
    """(seconds, peak GB of the GPU's memory, of 1e9 bytes; 0 without one) of a call."""
    torch.cuda.synchronize() if CUDA else None
    torch.cuda.reset_peak_memory_stats() if CUDA else None
    start = time.perf_counter()
    way()
    torch.cuda.synchronize() if CUDA else None
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 1e9 if CUDA else 0.0


def in_turns(ways: dict[str, Callable], turns: int, warm_up: int) -> dict[str, dict]:
    """Name -> seconds "s" of each turn and peak memory "gb"; no seconds if it did not fit the memory."""
    runs, full = {name: {"s": [], "gb": 0.0} for name in ways}, set()
    for turn in range(-warm_up, turns):
        for name in [name for name in ways if name not in full]:
            try:
                seconds, memory = clocked(ways[name])
            except torch.OutOfMemoryError:
                full.add(name)
                torch.cuda.empty_cache()
                continue
            if turn >= 0:
                runs[name] = {"s": [*runs[name]["s"], seconds], "gb": max(runs[name]["gb"], memory)}
    return {name: {"s": [], "gb": 0.0} if name in full else run for name, run in runs.items()}


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over the turns of the seconds above divided by those below; NaN if one of the two did not run."""
    return statistics.median(a / b for a, b in zip(above, below)) if above and below else float("nan")


def lines(name: str, size: int, count: int, runs: dict[str, dict]) -> list[list]:
    """Rows below HEAD. "× prefill" is of the same question's prompt."""
    rows = []
    for way, run in runs.items():
        if not run["s"]:
            rows.append([name, size, way, "out of memory", *[None] * 4])
            continue
        by_prefill = ratio(run["s"], runs["prefill, ages" if "ages" in way else "prefill"]["s"])
        by_generate, seconds = ratio(runs["generate, batched"]["s"], run["s"]), statistics.median(run["s"])
        rows.append(
            [name, size, way, seconds * size / count, count / seconds, by_prefill, by_generate, run["gb"] or None]
        )
    return rows


def end_to_end(loaded: Loaded, folder: str, limit: int | None, turns: int, work: Path) -> dict:
    """Seconds from files to answers of the demo's test rows, exact by our Rater and greedy by LLaMA-Factory.

    "_whole": with loading the model and, of LLaMA-Factory, tokenizing; all that a command does after its imports.
    """
    keys, out = recipe(Path("recipes/demo_predict.yaml")), work / "host"
    rows = list(blocks(islice(read_examples(ROWS), limit), keys["per_device_eval_batch_size"]))
    keys |= {"model_name_or_path": folder, "output_dir": str(out), "max_samples": sum(map(len, rows))}
    keys |= {"max_new_tokens": max(map(len, answer_ids(loaded, IQA, "cot").values()))}
    settings = Settings(
        model=folder,
        image_max_pixels=CASES["demo"].side ** 2,
        cutoff_len=keys["cutoff_len"],
        media=Path(keys["media_dir"]),
    )
    times = {key: [] for key in ("exact_s", "do_predict_s", "exact_whole_s", "do_predict_whole_s")}
    for turn in range(-1, turns):  # the first warms up
        start = time.perf_counter()
        rater = Rater(load(settings, DEVICE), settings)
        seconds, _ = clocked(lambda rater=rater: [rater.rate(block) for block in rows])
        whole, start = time.perf_counter() - start, time.perf_counter()
        run_exp(dict(keys) | {"overwrite_cache": True})
        if turn >= 0:
            host = read_json(out / "predict_results.json")["predict_runtime"]
            for key, value in zip(times, (seconds, host, whole, time.perf_counter() - start)):
                times[key].append(value)
    return {"rows": keys["max_samples"]} | times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = ["demo", "half", "half_recipe", *(["3b", "3b_recipe"] if CUDA else [])]
    text = f"which of {', '.join(CASES)} (default: {', '.join(default)})"
    parser.add_argument("--models", nargs="+", type=one_of(CASES), default=default, metavar="NAME", help=text)
    text = "images of each contender; default: one batch (from files: all 240)"
    parser.add_argument("--rows", type=positive, metavar="N", help=text)
    text = "turns; default: the case's; from files 3 at most"
    parser.add_argument("--repeats", type=positive, metavar="N", help=text)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the seconds of each turn here")
    args, notes = parser.parse_args(), []
    device = f"{torch.cuda.get_device_name() if CUDA else f'{os.cpu_count()} CPU cores'}, torch {torch.__version__}"
    results = {"device": device, "load": [os.getloadavg()[0]], "models": {}}
    print(device)
    with tempfile.TemporaryDirectory() as temporary:
        demo.OUT, log = Path(temporary) / "demo_base", Path(temporary) / "output.log"
        with quiet(log):
            demo.main([])
        for name in args.models:
            case, trained = CASES[name], name == "demo" and (TRAINED / "train_results.json").is_file()
            folder, sizes = str(TRAINED if trained else demo.OUT), results["models"].setdefault(name, {})
            turns = args.repeats or case.turns
            with quiet(log):
                loaded = prepare(case, folder)
            millions = sum(parameter.numel() for parameter in loaded.model.parameters()) / 1e6
            notes.append(f"{name}: {millions:,.1f} M parameters, {'trained' if trained else 'random'}, {case.side} px")
            rows = []
            for most in case.sizes:
                count, size = args.rows or most, min(args.rows or most, most)
                seconds = in_turns(contenders(loaded, case.side, size, count, trained), turns, case.warm_up)
                rows, sizes[str(size)] = rows + lines(name, size, count, seconds), seconds
            print(table([HEAD, *rows], "markdown"), flush=True)
            if name == "demo":
                with quiet(log):
                    run = end_to_end(loaded, folder, args.rows, min(turns, 3), Path(temporary))
                sizes["from_files"] = run
                speed = {key: run["rows"] / statistics.median(run[key]) for key in list(run)[1:]}
                loops = f"exact {speed['exact_s']:.0f}, do_predict {speed['do_predict_s']:.0f}"
                whole = f"{speed['exact_whole_s']:.0f} and {speed['do_predict_whole_s']:.0f}"
                notes[-1] += f"; {run['rows']} rows from files, images/s: {loops}; with loading and tokenizing {whole}"
            results["load"].append(os.getloadavg()[0])
            if args.out:
                write_json(args.out, results)
    print("", *notes, "load: " + ", ".join(f"{load:.1f}" for load in results["load"]), sep="\n")


if __name__ == "__main__":
    main()
