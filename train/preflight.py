"""Find problems before a long training: python train/preflight.py RECIPE [key=value ...] [--gpus N] [--memory GB]

Checks keys and values, versions, datasets, every row and image path, a sample of the images, the longest row, the
model and how much of it is trained, that transformers decodes as it should, a tensor on each GPU, batch, memory of GPUs
and machine, port and disk; and estimates the hours. Nothing is trained, downloaded or written. Exit code 0, or 2 if
there is an error.
"""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from storm.options import Parser, print_errors
from storm.text import table
from train.checks.finding import Finding, names
from train.checks.job import Checked, Job
from train.checks.values import shown
from train.next_command import after_preflight
from train.recipe import header, load

LEVELS = ("ok", "warning", "error")


def checks() -> list[tuple[str, Callable[[Job], Checked]]]:
    """The checks in order, with the names that the report calls them by. Each may use what earlier ones filled."""
    from train.checks import (
        attention,
        block,
        cache,
        clipping,
        data,
        devices,
        disk,
        held_out,
        host,
        hours,
        images,
        keys,
        length,
        machine,
        memory,
        model,
        self_check,
    )

    return [
        ("datasets", data.check_datasets),
        ("rows", data.check_rows),
        ("rows", data.check_sizes),
        ("rows", held_out.check_held_out),
        ("images", images.check_images),
        ("keys", keys.check_keys),  # imports torch and LLaMA-Factory, 20 s the first time
        ("block", block.check_block),
        ("keys", clipping.check_clipping),
        ("versions", machine.check_versions),
        ("gpus", devices.check_devices),
        ("gpus", machine.check_gpus),
        ("port", machine.check_port),
        ("model", model.check_model),
        ("attention", attention.check_attention),
        ("cutoff_len", length.check_length),
        ("parameters", model.check_parameters),
        ("steps", disk.check_steps),
        ("hours", hours.check_hours),
        ("memory", memory.check_memory),
        ("host memory", host.check_host_memory),
        ("disk", disk.check_written),
        ("disk", disk.check_disk),
        ("cache", cache.check_cache),
        ("self-check", self_check.check_decoding),
    ]


def preflight(job: Job) -> list[Finding]:
    """Check a recipe on this machine; a mistake is a finding, never an exception."""
    findings = []
    for name, check in checks():
        try:
            job, more = check(job)
        except Exception as error:  # not foreseen; the other checks go on
            text = f"this check failed ({type(error).__name__}: {error}); correct the recipe, or the check"
            more = [Finding("error", name, text)]
        findings += more
    return findings


def report(findings: Sequence[Finding]) -> str:
    """A line for each finding, errors last, where they are seen."""
    lines = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    # Without the header and the line below it, which is as long as the longest text.
    return "\n".join(line.rstrip() for line in table([Finding._fields, *lines]).splitlines()[2:])


def parser() -> Parser:
    options = Parser(prog="train/preflight.py", description="Find problems before a long training.")
    options.add_argument("recipe", type=Path, metavar="RECIPE", help="such as recipes/storm_lite.yaml")
    text = "override a key, as for llamafactory-cli"
    options.add_argument("settings", nargs="*", default=[], metavar="key=value", help=text)
    options.add_argument("--gpus", type=int, metavar="N", help="GPUs of each machine (default: all that are visible)")
    text = "memory of one GPU in GB (default: that of the GPUs of this machine, or 80)"
    options.add_argument("--memory", type=float, metavar="GB", help=text)
    options.add_argument("--all-images", action="store_true", help="decode all images, not a sample")
    options.add_argument("--tests", metavar="NAME,NAME", help="datasets to predict later: check their rows, too")
    return options


def checked(argv: Sequence[str] | None = None) -> tuple[Path, list[Finding], str]:
    """The recipe that a command line names, the findings, and the command that follows.

    Raises ValueError if the recipe cannot be read.
    """
    args = parser().parse_intermixed_args(argv)
    for name, value, most in (("--gpus", args.gpus, 100_000), ("--memory", args.memory, 100_000)):
        if not 0 <= (value or 0) <= most:  # nan is not, either
            parser().error(f"{name} {shown(value)}: write a number from 0 to {most:,}")
    recipe = load(args.recipe, args.settings)
    what = (recipe, header(args.recipe), tuple(args.settings), tuple(names(args.tests)))
    findings = preflight(Job(*what, all_images=args.all_images, gpus=args.gpus, gpu_memory=args.memory))
    return args.recipe, findings, after_preflight(args.recipe, args.settings, recipe)


def main(argv: Sequence[str] | None = None) -> int:
    start = time.perf_counter()
    try:
        recipe, findings, following = checked(argv)
    except ValueError as error:
        return print_errors([error])
    print(report(findings))
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    counts = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}"
    print(f"\n{recipe}: {counts}, {time.perf_counter() - start:.0f} s")
    if not errors:
        print(f"\n{following}")
    return 2 if errors else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not a fault
    sys.exit(main())
