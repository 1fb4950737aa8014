"""Train as llamafactory-cli train does: python train/run.py RECIPE.yaml [key=value ...]

It reads the recipe with LLaMA-Factory's own parser and runs its training, and adds: prompts are counted by the sizes of
their images, so that a run starts in seconds; an interrupted training goes on with its own weights; and what a `storm:`
block of the recipe says (training/block.py): an ordinal objective, scores of val rows while it trains. Several GPUs,
torchrun, DeepSpeed and Slurm are used as llamafactory-cli uses them. Under Ray (USE_RAY=1) a block is refused, and
LLaMA-Factory counts the prompts: its processes there are not ours. Exit code 0, 2 if something was wrong before the
training, and if that failed 1, or that of torchrun.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from storm.options import Parser, print_errors
from train.machines import switched_on


def arguments() -> argparse.ArgumentParser:
    parser = Parser(
        prog="train/run.py", description="Train a recipe with LLaMA-Factory, and what its storm: block adds."
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    text = "override a key, as for llamafactory-cli; storm.weight=0.5 for one of the block"
    parser.add_argument("settings", nargs="*", metavar="key=value", help=text)
    return parser


def train(path: Path, settings: Sequence[str]) -> int:
    """Train in this process, one of those of torchrun or the only one, or start torchrun. Returns the exit code.

    Raises Refused before the training.
    """
    from train.recipe import load
    from train.training import block, folder, host, setting

    with block.refusing():
        recipe = load(path, settings)
        extra = block.read(recipe)
        if extra:
            setting.check(recipe, extra)
    bare = {key: value for key, value in recipe.items() if key != block.KEY}

    def train_here() -> None:
        host.train(bare, extra)

    if "LOCAL_RANK" in os.environ:  # torchrun, which the host started below or a user by hand
        with block.refusing():
            folder.check(recipe)  # another process may read what one changes
        train_here()
        return 0
    with block.refusing():
        if extra:
            setting.data_of(recipe, extra)  # a fault must not show once for each GPU
        if switched_on("USE_RAY"):
            _check_ray()
    with ExitStack() as stack:
        with block.refusing():
            locks = stack.enter_context(folder.held(recipe))
            folder.prepare(recipe, path.stem, settings)
        return host.launch(__file__, train_here, [str(path), *settings], locks)


def _check_ray() -> None:
    """Raises ValueError if Ray is not there: LLaMA-Factory ends in a NameError then."""
    if not find_spec("ray"):
        raise ValueError("USE_RAY=1 needs ray; pip install -e '.[ray]' -c constraints.txt, or unset USE_RAY")
    print("Ray: LLaMA-Factory counts the prompts, for which it decodes every image (as llamafactory-cli train does)")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    from train.training.block import Refused  # imports torch: seconds that --help need not take

    try:
        return train(args.recipe, args.settings)
    except Refused as error:
        return print_errors([error] if os.environ.get("LOCAL_RANK", "0") == "0" else []) or 2


if __name__ == "__main__":
    sys.exit(main())
