"""The settings of eval/predict.py, and the provenance of predictions with them. Imports no torch."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from eval.servers.families import explained, family_in
from eval.servers.options import Servers, hosts
from storm import provenance
from storm.custom_scale import load
from storm.datasets import BY_SCALE_NAME, SCALES
from storm.files import read_json
from storm.options import did_you_mean
from storm.scales import IQA, Scale

PACKAGES = ("llamafactory", "transformers", "torch")  # whose versions may change a prediction
SERVED = ("pillow",)  # the same, of a prediction by servers: it resizes
EARLIER_FAMILY = "qwen2_5_vl"  # as which earlier versions asked servers, without saying so in provenance.json
OTHER_FAMILY = f"not {EARLIER_FAMILY} but "
DECODES = ("exact", "generate")


@dataclass(frozen=True)
class Settings:
    """One command of eval/predict.py. The defaults of pixels and tokens are those of our recipes."""

    model: str  # a folder, or a name on the hub; "" with servers
    decode: str = "exact"  # or "generate"
    media: Path = Path("data/raw")  # the image root
    out: Path = Path("predictions")
    image_max_pixels: int = 1003520
    cutoff_len: int = 2048  # tokens of a prompt
    max_new_tokens: int = 96  # of a generated answer
    batch_size: int = 0  # rows at once; 0: chosen by device
    data: tuple[Path, ...] = ()  # built test files
    adapter: str | None = None  # a folder with a LoRA adapter of the model
    bf16: bool = False  # cast the weights to bfloat16, as bf16_full_eval of LLaMA-Factory; else as they are
    scale: Path | None = None  # a scale of the user's own
    limit: int | None = None  # the first rows of each file
    upright: bool = False  # turn images as their EXIF data say
    workers: int | None = None  # processes that read images ahead of the model; None: chosen by device
    servers: Servers | None = None  # which answer instead of a model in this process


def scales_with(scale: Path | None) -> dict[str, Scale]:
    """All scales, by name or dataset, and that of a --scale file. Raises ValueError or OSError for a bad file."""
    custom = [load(scale).scale] if scale else []
    return SCALES | {scale.name: scale for scale in custom}


def scale_called(text: str) -> Scale:
    """The scale of a dataset, a scale of the paper, or that in a file. Raises ValueError or OSError for a bad file."""
    names = SCALES | BY_SCALE_NAME | {"demo": IQA}  # as demo/photographs.py has it
    if text in names:
        return names[text]
    if not Path(text).suffix and not Path(text).exists():
        known = "a SCALE.yaml, or a dataset or scale of the paper"
        raise ValueError(f"--scale {text}: not {known}; {did_you_mean(text, names)}")
    return load(Path(text)).scale


def trained_upright(scale: str) -> bool:
    """Whether the training rows of a SCALE.yaml are upright copies (--resize), as the summary beside it says.

    New photographs must then be turned, too: phones often store them on their side.
    """
    try:
        built = read_json(Path(scale).with_name("summary.json"))
        return any(numbers["settings"]["resize"] for numbers in built.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def command(settings: Settings) -> list[str]:
    """The arguments of eval/predict.py that give these settings."""
    words, plain = [], {name: value for name, value in vars(settings).items() if name != "servers"}
    served = vars(settings.servers) if settings.servers else {}
    joined = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in served.items()}
    for name, value in (plain | joined).items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value or (name == "workers" and value == 0):
            words += [option, *map(str, value if isinstance(value, tuple) else [value])]
    return words


def provenance_of(settings: Settings) -> dict:
    """What provenance.json says of these predictions: another value would be another result (except the commit).

    Raises ValueError naming a data file that is not there and the command that makes it.
    """
    servers = settings.servers
    served = servers and {"model": servers.served_model, "server": hosts(servers), "api": servers.api}
    return (
        (served or {"model": fingerprint(settings.model)})
        | {
            "adapter": fingerprint(settings.adapter) if settings.adapter else None,
            "trained_on": None if servers else trained_on(settings),
            "decode": settings.decode,
            "image_max_pixels": settings.image_max_pixels,
            "cutoff_len": None if servers else settings.cutoff_len,  # a server has a limit of its own
            "upright": settings.upright or None,  # None as in folders of earlier versions, which do not say it
            "bf16": settings.bf16 or None,  # None as in folders of earlier versions, which do not say it
            "family": _family_as_kept(settings),
            "max_new_tokens": settings.max_new_tokens if settings.decode == "generate" else None,
            "data": {file.stem: provenance.file_hash(file) for file in settings.data},
        }
        | provenance.tools(SERVED if servers else PACKAGES)
    )


def with_family(settings: Settings) -> tuple[Settings, str]:
    """The settings with the family as which servers are asked, and a line that says why, "" if it is given.

    Without --family it is that of the rows in the output folder, else that of the served model's name.
    """
    servers = settings.servers
    if servers is None or servers.api != "chat" or servers.family:
        return settings, ""
    if has_rows(settings.out) and provenance.exists(settings.out):
        family = (provenance.read(settings.out).get("family") or EARLIER_FAMILY).removeprefix(OTHER_FAMILY)
        why = f"asked as the rows in {settings.out}: --family {family}"
    else:
        family = family_in(servers.served_model)
        why = explained(family, servers.served_model)
    return replace(settings, servers=replace(servers, family=family)), why


def _family_as_kept(settings: Settings) -> str | None:
    """What provenance.json says of the family; None as in folders of earlier versions, whose servers were asked so."""
    servers = with_family(settings)[0].servers
    family = servers.family if servers and servers.api == "chat" else EARLIER_FAMILY
    return None if family == EARLIER_FAMILY else f"{OTHER_FAMILY}{family}"


def has_rows(out: Path) -> bool:
    """Whether an output folder holds predictions."""
    return any(file.stat().st_size for ending in ("jsonl", "part") for file in out.glob(f"*.{ending}"))


def trained_on(settings: Settings) -> dict[str, str] | None:
    """Train file -> its hash, of a model, its adapter, and the models that they began from; None if no folder says it.

    A file whose registry is gone is called by its stanza. Raises ValueError naming a provenance that is damaged.
    """
    files, known, todo = {}, set(), [settings.model, *filter(None, [settings.adapter])]
    while todo:
        folder = Path(todo.pop())
        if folder.name.startswith("checkpoint-"):
            folder = folder.parent
        if folder in known or not provenance.exists(folder):
            continue
        known.add(folder)
        facts = provenance.read(folder)
        recipe = facts.get("recipe") or {}
        files |= _files(facts["data"], Path(str(recipe.get("dataset_dir") or ".")) / "dataset_info.json")
        begun = (recipe.get(key) for key in ("model_name_or_path", "adapter_name_or_path"))
        todo += [name for names in begun if names for name in str(names).split(",")]
    return files if known else None


def _files(data: dict[str, str], registry: Path) -> dict[str, str]:
    """{stanza: hash} with the files of the stanzas, as far as the registry knows them."""
    try:
        info = read_json(registry)
        return {str(registry.parent / info[name]["file_name"]): value for name, value in data.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return data


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
