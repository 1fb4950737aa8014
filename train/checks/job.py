"""What the checks of train/preflight.py work on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.checks.finding import Finding, folder, names
from train.recipe import Header, Zero

if TYPE_CHECKING:
    from train.checks.data import Scan, Stanza
    from train.checks.devices import Gpu
    from train.checks.keys import Parsed
    from train.checks.length import RowTokens
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
    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # dataset -> (width, height) of its images
    all_decoded: bool = False
    parsed: "Parsed | None" = None
    zero: Zero = Zero()
    devices: "tuple[Gpu, ...]" = ()  # the GPUs of this machine, if the recipe runs on it
    local: int = 0  # GPUs of one machine, 0 if unknown or on a CPU
    processes: int = 0  # GPUs of the whole run, 0 if unknown or on a CPU
    config: Any = None  # the model's configuration
    longest: "RowTokens | None" = None
    mean: "RowTokens | None" = None  # of the training rows
    longest_patches: float = 0  # of a row in the vision tower, padding too, at most
    mean_patches: float = 0  # of the training rows
    count: "Count | None" = None
    steps: int = 0  # of the optimizer, 0 if unknown
    samples: int = 0  # that they see, 0 if unknown
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
    def image_sizes(self) -> frozenset[tuple[int, int]]:
        return frozenset(size for sizes in self.sizes.values() for size in sizes)

    @property
    def training_scans(self) -> "list[Scan]":
        training_sets = names(self.recipe.get("dataset"))
        return [scan for scan in self.scans if scan.stanza.name in training_sets]

    @property
    def media(self) -> Path:
        return folder(self.recipe.get("media_dir"), str(folder(self.recipe.get("dataset_dir"), "data")))


Checked = tuple[Job, list[Finding]]  # what a check returns
