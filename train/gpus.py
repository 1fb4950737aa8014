"""What the GPUs of a training can compute, by their names."""

import re
from typing import NamedTuple


class Peak(NamedTuple):
    """FLOPs a second in products of 16-bit matrices, without sparsity, added up in 32 bits, as the vendor states it."""

    name: str  # words of what torch.cuda.get_device_name() returns
    tflops: float
    source: str


# The first row whose words are all in the name counts, so special ones come first. Data sheets print twice the number
# for sparse matrices; those of GeForce and RTX cards are in the white papers of their chips.
PEAKS = (
    Peak("GB200", 2500, "GB200 NVL72 data sheet: 5,000 sparse"),
    Peak("B200", 2250, "HGX B200 data sheet: 4,500 sparse"),
    Peak("GH200", 990, "GH200 data sheet: 1,979 sparse"),
    Peak("H200 NVL", 835, "H200 data sheet: 1,671 sparse"),
    Peak("H200", 989, "H200 data sheet: 1,979 sparse"),
    Peak("H100 NVL", 835, "H100 data sheet: 1,671 sparse"),
    Peak("H100 PCIe", 756, "H100 data sheet: 1,513 sparse"),
    Peak("H100", 989, "H100 data sheet: 1,979 sparse"),
    Peak("H800", 989, "as the H100"),
    Peak("H20", 148, "H20 data sheet"),
    Peak("A100", 312, "A100 data sheet"),
    Peak("A800", 312, "as the A100"),
    Peak("A40", 149.7, "A40 data sheet"),
    Peak("A30", 165, "A30 data sheet"),
    Peak("A10G", 70, "A10G data sheet"),
    Peak("A10", 125, "A10 data sheet"),
    Peak("L40S", 362, "L40S data sheet: 733 sparse"),
    Peak("L40", 181, "L40 data sheet: 362 sparse"),
    Peak("L20", 119.5, "L20 data sheet"),
    Peak("L4", 121, "L4 data sheet: 242 sparse"),
    Peak("RTX 5090", 209.5, "RTX Blackwell white paper"),
    Peak("RTX 4090", 165.2, "Ada white paper, appendix A"),
    Peak("RTX 3090", 71, "GA102 white paper, appendix A"),
    Peak("RTX 6000 Ada", 364.2, "Ada professional white paper"),
    Peak("RTX A6000", 154.8, "GA102 white paper, appendix B"),
    Peak("T4", 65, "T4 data sheet: fp16, it has no bf16"),
    Peak("V100", 125, "V100 data sheet: fp16, it has no bf16"),
)


def peak_of(gpu: str) -> Peak | None:
    """The row of a GPU by the name that torch has for it; None for another."""
    words = set(re.findall(r"\w+", gpu))
    return next((peak for peak in PEAKS if set(peak.name.split()) <= words), None)
