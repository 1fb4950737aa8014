"""Find what would waste a cluster night: python recipes/preflight.py RECIPE [key=value ...] [--gpus N] [--memory GB]

Checks keys and values, versions, datasets, every row and image path, a sample of the images, the longest row, the
model and how much of it is trained, that transformers decodes as it should, GPUs, batch, memory, port and disk.
Nothing is trained, downloaded or written. Exit code 0, or 2 if there is an error.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from recipes import check_data, check_images, check_machine, check_sizes
from recipes.finding import Finding, names
from recipes.recipe import Header, header, load

LEVELS = ("ok", "warning", "error")


def preflight(
    path: Path,
    settings: Sequence[str] = (),
    gpus: int | None = None,
    memory: float | None = None,
    every_image: bool = False,
) -> list[Finding]:
    """Check a recipe, overridden by "key=value" settings, on this machine; a mistake is a finding, never an exception.

    gpus: of each machine, and there are NNODES (environment) of these; None: those that are visible. memory: GB of one
    GPU; None: of the visible one, else what the header says. every_image: decode all images, not a sample.
    """
    try:
        recipe = load(path, settings)
    except ValueError as error:
        return [Finding("error", "recipe", str(error))]
    found: list[Finding] = []
    scanned, sizes, every = [], set(), False
    if recipe.get("do_train") or recipe.get("do_predict"):
        stanzas, found = check_data.stanzas(recipe)
        for stanza in stanzas:
            try:
                scan, faults = check_data.scan(stanza)
            except OSError as error:
                text = f"{stanza.file}: cannot be read ({error.strerror}); chmod +r, or {check_data.maker(stanza.name)}"
                found.append(Finding("error", "rows", text))
                continue
            scanned.append(scan)
            found += faults
        found += check_sizes.counts(scanned)
        media = Path(recipe.get("media_dir") or recipe.get("dataset_dir", "data"))
        sizes, every, faults = check_images.images(scanned, media, every_image)
        found += faults
    return found + _with_torch(recipe, header(path), settings, gpus, memory, scanned, sizes, every)


def _with_torch(
    recipe: dict,
    said: Header,
    settings: Sequence[str],
    told: int | None,
    has: float | None,
    scanned: list[check_data.Scanned],
    sizes: set[tuple[int, int]],
    every: bool,
) -> list[Finding]:
    """The checks that import torch and LLaMA-Factory, 20 s the first time."""
    from recipes import check_disk, check_keys, check_length, check_memory, check_model
    from recipes.self_check import self_check

    parsed, found = check_keys.keys(recipe)
    try:
        zero = check_keys.zero(recipe)
    except ValueError:  # found by keys
        zero = check_keys.Zero()
    ray = check_machine.by_ray(said.command)
    found += check_machine.versions(recipe, zero.stage == 3, ray)
    here, processes = check_machine.processes(told)
    batch = None
    if parsed and parsed.training and parsed.training.per_device_train_batch_size > 0:
        batch = parsed.training.per_device_train_batch_size, parsed.training.gradient_accumulation_steps
        if ray:  # its workers are on any machines
            processes = parsed.training.ray_num_workers
    found += check_machine.gpus(recipe, said, here, processes, batch, ray) + check_machine.port()
    known, faults = check_model.model(recipe)
    found += faults
    trains, predicts = bool(recipe.get("do_train")), bool(recipe.get("do_predict"))
    longest, count, needed = None, None, 0.0
    if parsed and known:
        if trains or predicts:
            longest, faults = check_length.cutoff_len(parsed, known, scanned, sizes, every, predicts)
            found += faults
        count, faults = check_model.parameters(parsed, known, trains, said.parameters, settings)
        found += faults
    else:
        found.append(Finding("warning", "parameters", "these, cutoff_len and memory are not checked; see the errors"))
    if count and longest and (processes or check_machine.wanted_gpu(recipe)):
        gpus = processes or said.gpus or 1
        if trains:
            need = check_memory.training(recipe, parsed, known, count, longest, gpus, zero)
        else:
            need = check_memory.predicting(parsed, known, count, longest)
        found += check_memory.memory(need, check_memory.gpu_memory(has, said.memory), recipe)
    if count:
        train = [scan.rows for scan in scanned if scan.stanza.name in names(recipe.get("dataset"))]
        rows = sum(min(number, parsed.data.max_samples or number) for number in train)
        needed = check_disk.checkpoints(recipe, parsed, count, rows, processes or said.gpus or 1, zero)
    return found + check_disk.output(recipe, needed) + self_check()


def report(findings: Sequence[Finding]) -> str:
    """A line for each finding, errors last, where they are seen."""
    lines = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    widths = [max(len(finding[i]) for finding in findings) for i in (0, 1)]
    return "\n".join(f"{level.ljust(widths[0])}  {check.ljust(widths[1])}  {text}" for level, check, text in lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="recipes/preflight.py", description="Find what would waste a cluster night.")
    parser.add_argument("recipe", type=Path, metavar="RECIPE")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="override a key, as for llamafactory-cli")
    parser.add_argument("--gpus", type=int, metavar="N", help="of each machine (default: those that are visible)")
    parser.add_argument("--memory", type=float, metavar="GB", help="of one GPU (default: of the visible one, or 80)")
    parser.add_argument("--all-images", action="store_true", help=f"decode all, not {check_images.SAMPLE}")
    args = parser.parse_intermixed_args(argv)
    if min(args.gpus or 0, args.memory or 0) < 0:
        parser.error("--gpus and --memory cannot be negative")
    start = time.perf_counter()
    findings = preflight(args.recipe, args.settings, args.gpus, args.memory, args.all_images)
    print(report(findings))
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    counted = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    print(f"\n{args.recipe}: {counted}, {time.perf_counter() - start:.0f} s")
    return 2 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
