"""Find what would waste a cluster night: python recipes/preflight.py RECIPE [key=value ...] [--gpus N] [--memory GB]

Checks keys and values, versions, datasets, every row and image path, a sample of the images, the longest row, the
model and how much of it is trained, that transformers decodes as it should, GPUs, batch, memory, port and disk.
Nothing is trained, downloaded or written. Exit code 0, or 2 if there is an error.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from train.checks import data, images, machine, sizes
from train.checks.finding import Finding, folder, names
from train.recipe import Header, header, load
from train.zero import Zero
from train.zero import zero as read_zero

LEVELS = ("ok", "warning", "error")


def preflight(
    path: Path,
    settings: Sequence[str] = (),
    gpus: int | None = None,
    memory: float | None = None,
    every_image: bool = False,
    tests: Sequence[str] = (),
) -> list[Finding]:
    """Check a recipe, overridden by "key=value" settings, on this machine; a mistake is a finding, never an exception.

    gpus: of each machine, and there are NNODES (environment) of these; None: those that are visible. memory: GB of one
    GPU; None: of the visible one, else what the header says. every_image: decode all images, not a sample. tests:
    datasets that are predicted later, whose rows are checked like the recipe's own.
    """
    try:
        recipe = load(path, settings)
    except ValueError as error:
        return [Finding("error", "recipe", str(error))]
    found: list[Finding] = []
    scanned, sizes, every = [], set(), False
    if recipe.get("do_train") or recipe.get("do_predict"):
        for stanza in _try(found, "datasets", [], check_data.stanzas, recipe, tests):
            scanned += _try(found, "rows", [], _scan, stanza)
        found += _try(found, "rows", [], check_sizes.counts, scanned)
        media = folder(recipe.get("media_dir"), str(folder(recipe.get("dataset_dir"), "data")))
        sizes, every = _try(found, "images", (set(), False), check_images.images, scanned, media, every_image)
    _with_torch(found, recipe, header(path), settings, gpus, memory, scanned, sizes, every)
    return found


def _try(found: list[Finding], name: str, otherwise: Any, check: Callable, *arguments: Any) -> Any:
    """What a check returns; the findings at the end of a tuple are added to `found`.

    An exception that it did not foresee is a finding, too: the other checks go on, with `otherwise` in its place.
    """
    try:
        made = check(*arguments)
    except Exception as error:
        text = f"this check failed ({type(error).__name__}: {error}); mend the recipe, or the check"
        found.append(Finding("error", name, text))
        return otherwise
    if type(made) is not tuple:  # a NamedTuple is one thing
        return made
    *results, faults = made
    found += faults
    return results[0] if len(results) == 1 else results


def _scan(stanza: check_data.Stanza) -> tuple[list[check_data.Scanned], list[Finding]]:
    try:
        scan, faults = check_data.scan(stanza)
    except OSError as error:
        text = f"{stanza.file}: cannot be read ({error.strerror}); chmod +r, or {check_data.maker(stanza.name)}"
        return [], [Finding("error", "rows", text)]
    return [scan], faults


def _with_torch(
    found: list[Finding],
    recipe: dict,
    said: Header,
    settings: Sequence[str],
    told: int | None,
    has: float | None,
    scanned: list[check_data.Scanned],
    sizes: set[tuple[int, int]],
    every: bool,
) -> None:
    """The checks that import torch and LLaMA-Factory, 20 s the first time; what they find is added to `found`."""
    from train.checks import disk, keys, length, memory, model, steps
    from train.checks.self_check import self_check

    parsed = _try(found, "keys", None, check_keys.keys, recipe)
    try:
        zero = read_zero(recipe)
    except ValueError:  # found by keys
        zero = Zero()
    ray = check_machine.by_ray(said.command)
    found += _try(found, "versions", [], check_machine.versions, recipe, zero.stage == 3, ray)
    here, processes = check_machine.processes(told)
    batch = None
    if parsed and parsed.training and parsed.training.per_device_train_batch_size > 0:
        batch = parsed.training.per_device_train_batch_size, parsed.training.gradient_accumulation_steps
        if ray:  # its workers are on any machines
            processes = parsed.training.ray_num_workers
    found += _try(found, "gpus", [], check_machine.gpus, recipe, said, here, processes, batch, ray)
    found += _try(found, "port", [], check_machine.port)
    known = _try(found, "model", None, check_model.model, recipe)
    trains, predicts = bool(recipe.get("do_train")), bool(recipe.get("do_predict"))
    longest, count, needed, number = None, None, 0.0, 0
    if parsed and known:
        if trains or predicts:
            lengths = parsed, known, scanned, sizes, every, predicts
            longest = _try(found, "cutoff_len", None, check_length.cutoff_len, *lengths)
        counted = parsed, known, trains, said.parameters, settings
        count = _try(found, "parameters", None, check_model.parameters, *counted)
    else:
        found.append(Finding("warning", "parameters", "these, cutoff_len and memory are not checked; see the errors"))
    gpus = processes or (said.gpus if check_machine.wanted_gpu(recipe) else None) or 1
    if trains and batch:
        train = [scan.rows for scan in scanned if scan.stanza.name in names(recipe.get("dataset"))]
        number = _try(found, "steps", 0, check_steps.steps, parsed, train, gpus)
    if count and longest and (processes or check_machine.wanted_gpu(recipe)):
        memory = check_memory.gpu_memory(has, said.memory)
        if trains:
            need = check_memory.training, recipe, parsed, known, count, longest, gpus, zero
        else:
            need = check_memory.predicting, parsed, known, count, longest
        if needed_memory := _try(found, "memory", None, *need):
            found += check_memory.memory(needed_memory, memory, recipe)
    if count:
        needed = _try(found, "disk", 0.0, check_disk.checkpoints, recipe, parsed, count, number, zero)
    found += _try(found, "disk", [], check_disk.output, recipe, needed, processes)
    found += _try(found, "self-check", [], self_check)


def report(findings: Sequence[Finding]) -> str:
    """A line for each finding, errors last, where they are seen."""
    lines = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    widths = [max(len(finding[i]) for finding in findings) for i in (0, 1)]
    return "\n".join(f"{level.ljust(widths[0])}  {check.ljust(widths[1])}  {text}" for level, check, text in lines)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recipes/preflight.py", description="Find what would waste a cluster night.")
    parser.add_argument("recipe", type=Path, metavar="RECIPE")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="override a key, as for llamafactory-cli")
    parser.add_argument("--gpus", type=int, metavar="N", help="of each machine (default: those that are visible)")
    parser.add_argument("--memory", type=float, metavar="GB", help="of one GPU (default: of the visible one, or 80)")
    parser.add_argument("--all-images", action="store_true", help=f"decode all, not {check_images.SAMPLE}")
    parser.add_argument("--tests", metavar="NAME,NAME", help="datasets that are predicted later: their rows, too")
    return parser


def checked(argv: Sequence[str] | None = None) -> tuple[Path, list[Finding]]:
    """The recipe that a command line names, and what is found."""
    args = arguments().parse_intermixed_args(argv)
    if min(args.gpus or 0, args.memory or 0) < 0:
        arguments().error("--gpus and --memory cannot be negative")
    tests = names(args.tests)
    return args.recipe, preflight(args.recipe, args.settings, args.gpus, args.memory, args.all_images, tests)


def main(argv: Sequence[str] | None = None) -> int:
    start = time.perf_counter()
    recipe, findings = checked(argv)
    print(report(findings))
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    counted = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    print(f"\n{recipe}: {counted}, {time.perf_counter() - start:.0f} s")
    return 2 if errors else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no fault
    sys.exit(main())
