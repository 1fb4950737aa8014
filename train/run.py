"""Train as llamafactory-cli train does: python train/run.py RECIPE.yaml [key=value ...]

It reads the recipe with LLaMA-Factory's own parser and runs its training, and adds two things: prompts are counted by
the sizes of their images, so that a run starts in seconds, and what a `storm:` block of the recipe says
(training/block.py): an ordinal objective, scores of val rows while it trains. Several GPUs, torchrun, DeepSpeed and
Slurm are used as llamafactory-cli uses them. Under Ray (USE_RAY=1) a block is refused, and LLaMA-Factory counts the
prompts: its processes there are not ours. Exit code 0, 1 if the training failed, 2 if something was wrong before it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from storm.options import Parser, print_errors
from train.machines import switched_on
from train.recipe import load
from train.training import block


def arguments() -> argparse.ArgumentParser:
    parser = Parser(
        prog="train/run.py", description="Train a recipe with LLaMA-Factory, and what its storm: block adds."
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    text = "override a key, as for llamafactory-cli; storm.weight=0.5 for one of the block"
    parser.add_argument("settings", nargs="*", metavar="key=value", help=text)
    return parser


def run(path: Path, settings: Sequence[str]) -> None:
    """Train in this process, one of those of torchrun, or the only one. Raises ValueError before the training."""
    recipe = load(path, settings)
    extra = block.read(recipe)
    recipe.pop(block.KEY, None)
    if extra:
        from train.training.setting import check

        check(recipe, extra)
    from train.training.host import train

    train(recipe, extra)


def _check_ray() -> None:
    """Raises ValueError if Ray is not there: LLaMA-Factory ends in a NameError then."""
    if not find_spec("ray"):
        raise ValueError("USE_RAY=1 needs ray; pip install -e '.[ray]' -c constraints.txt, or unset USE_RAY")
    print("Ray: LLaMA-Factory counts the prompts, for which it decodes every image (as llamafactory-cli train does)")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    try:
        if "LOCAL_RANK" in os.environ:  # torchrun, which the host started below or a user by hand
            run(args.recipe, args.settings)
        else:
            block.read(load(args.recipe, args.settings))  # a fault must not show once for each GPU
            if switched_on("USE_RAY"):
                _check_ray()
            from train.training.host import launch

            launch(__file__, lambda: run(args.recipe, args.settings), [str(args.recipe), *args.settings])
    except ValueError as error:
        return print_errors([error])
    return 0


if __name__ == "__main__":
    sys.exit(main())
