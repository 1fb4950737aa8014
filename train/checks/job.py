"""What the checks of train/preflight.py work on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.checks.finding import Finding, folder
from train.recipe import Header, Zero

if TYPE_CHECKING:
    from train.checks.data import Scan, Stanza
    from train.checks.keys import Parsed
    from train.checks.length import Longest
    from train.checks.model import Count


@dataclass(frozen=True)
class Job:
    """A recipe, the machine that it is for, and what the checks read of both.

    A check takes a Job and returns it, with the fields that the check fills, and its findings. A field keeps its
    default if its check could not read it.
    """

    recipe: dict  # its keys, overridden by the settings
    header: Header = Header()
    settings: tuple[str, ...] = ()  # "key=value"
    tests: tuple[str, ...] = ()  # datasets that are predicted later: their rows are checked, too
    all_images: bool = False  # decode all images, not a sample
    gpus: int | None = None  # of each machine; None: those that are visible
    gpu_memory: float | None = None  # GB of one GPU; None: of the visible one, else what the header says
    # The fields below are filled by the checks, in this order.
    stanzas: "tuple[Stanza, ...]" = ()
    scans: "tuple[Scan, ...]" = ()  # one for each file of rows
    image_sizes: frozenset[tuple[int, int]] = frozenset()  # (width, height) of the images that were decoded
    all_decoded: bool = False
    parsed: "Parsed | None" = None
    zero: Zero = Zero()
    processes: int = 0  # GPUs of the whole run, 0 if unknown or on a CPU
    config: Any = None  # the model's configuration
    longest: "Longest | None" = None
    count: "Count | None" = None
    steps: int = 0  # of the optimizer, 0 if unknown
    bytes_written: float = 0.0

    @property
    def trains(self) -> bool:
        return bool(self.recipe.get("do_train"))

    @property
    def predicts(self) -> bool:
        return bool(self.recipe.get("do_predict"))

    @property
    def batch(self) -> tuple[int, int] | None:
        """Samples of a GPU in one step, and steps that are accumulated; None if unknown."""
        training = self.parsed and self.parsed.training
        size = training.per_device_train_batch_size if training else 0
        return (size, training.gradient_accumulation_steps) if size > 0 else None

    @property
    def media(self) -> Path:
        return folder(self.recipe.get("media_dir"), str(folder(self.recipe.get("dataset_dir"), "data")))


Checked = tuple[Job, list[Finding]]  # what a check returns
