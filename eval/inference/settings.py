"""What eval/predict.py was asked for, and the provenance of the predictions that follow from it. Imports no torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from storm import provenance

PACKAGES = ("llamafactory", "transformers", "torch")  # whose versions may change a prediction
DECODES = ("exact", "generate")


@dataclass(frozen=True)
class Settings:
    """One command of eval/predict.py. The defaults of pixels and tokens are those of our recipes."""

    model: str  # a folder, or a name on the hub
    adapter: str | None = None  # a folder with a LoRA adapter of the model
    decode: str = "exact"  # or "generate"
    image_max_pixels: int = 1003520
    cutoff_len: int = 2048  # tokens of a prompt
    max_new_tokens: int = 96  # of a generated answer
    bf16: bool = False  # cast the weights to bfloat16, as bf16_full_eval of LLaMA-Factory; else as they are
    media: Path = Path("data/raw")  # the image root
    data: tuple[Path, ...] = ()  # built test files
    excluded: tuple[Path, ...] = ()  # built files whose rows are left out
    scale: Path | None = None  # a scale of the user's own
    out: Path = Path("predictions")
    limit: int | None = None  # the first rows of each file
    batch_size: int = 0  # rows at once; 0: chosen by device


def command(settings: Settings) -> list[str]:
    """The arguments of eval/predict.py that give these settings."""
    words = ["--model", settings.model, "--decode", settings.decode, "--media", str(settings.media)]
    words += ["--out", str(settings.out), "--image-max-pixels", str(settings.image_max_pixels)]
    words += ["--cutoff-len", str(settings.cutoff_len), "--max-new-tokens", str(settings.max_new_tokens)]
    words += ["--batch-size", str(settings.batch_size or "auto"), "--data", *map(str, settings.data)]
    words += ["--adapter", settings.adapter] if settings.adapter else []
    words += ["--bf16"] if settings.bf16 else []
    words += ["--except", *map(str, settings.excluded)] if settings.excluded else []
    words += ["--scale", str(settings.scale)] if settings.scale else []
    return words + (["--limit", str(settings.limit)] if settings.limit else [])


def provenance_of(settings: Settings) -> dict:
    """What provenance.json says of these predictions: another value would be another result (except the commit).

    Raises ValueError naming a data file that is not there and the command that makes it.
    """
    return {
        "model": fingerprint(settings.model),
        "adapter": fingerprint(settings.adapter) if settings.adapter else None,
        "decode": settings.decode,
        "image_max_pixels": settings.image_max_pixels,
        "cutoff_len": settings.cutoff_len,
        "bf16": settings.bf16 or None,  # None as in folders of earlier versions, which do not say it
        "max_new_tokens": settings.max_new_tokens if settings.decode == "generate" else None,
        "data": {file.stem: provenance.file_hash(file) for file in settings.data},
        "except": [provenance.file_hash(file) for file in settings.excluded] or None,
    } | provenance.tools(PACKAGES)


def fingerprint(folder: str) -> str:
    """Of a model or adapter: its configuration whole, and of each file of weights its size, beginning and end.

    A name on the hub is its own fingerprint. Training changes the end of the weights; to read all of 7 GB would cost
    more than to load them.
    """
    path, digest = Path(folder), hashlib.sha256()
    if not path.is_dir():
        return folder
    for file in sorted(path.glob("*.safetensors")) + sorted(path.glob("*config.json")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as data:
            digest.update(data.read(1 << 20))
            data.seek(max(0, size - (1 << 20)))
            digest.update(data.read())
    return digest.hexdigest()[:16]
