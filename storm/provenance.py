"""Where a training, a prediction or a result comes from, in one provenance.json, and what tells two apart.

Two kinds of facts have the same form. Of a training or a result of a sweep: run, settings, recipe, seed, data, commit,
versions. Of predictions: model, adapter, trained_on, decode, image_max_pixels, cutoff_len, max_new_tokens, data,
commit, versions. "data" is always {name of a test or train set: hash of its file}.
Earlier versions wrote origin.json (trainings, a sweep's predictions) and run.json (predict.py); both are still read.
"""

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from storm.datasets import DATASETS
from storm.files import open_regular, read_json, read_jsonl, write_json
from storm.prompts import STRATEGIES
from storm.rows import build_command, dataset_and_part

FILE = "provenance.json"  # beside a training or predictions
EARLIER = ("origin.json", "run.json")
PACKAGES = ("llamafactory", "transformers", "torch", "deepspeed", "accelerate", "peft")
SEED = 42  # the host's default (transformers TrainingArguments.seed) where a recipe names none
# What may change a number.
CODE = ("recipes", "storm", "data_prep", "demo", "eval", "train", "ds_configs", "dataset_info.json")
GPU_KEYS = ("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size")
_version = cache(version)  # 5 ms each, and a sweep asks for each run


@cache
def commit() -> str | None:
    """The checked-out commit, "+changes." and a hash of them behind it if CODE differs; None outside of a checkout."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD").decode().strip()
        changes = hashlib.sha256(_git("diff", "HEAD", "--", *CODE))
        # The diff leaves out what nobody has added yet. New recipes do not matter to the others.
        new = _git("ls-files", "-zo", "--exclude-standard", "--", *CODE).decode().split("\0")
        for path in [Path(name) for name in new if name.endswith(".py")]:
            changes.update(f"{path}\n".encode() + path.read_bytes())
    except (OSError, subprocess.CalledProcessError):
        return None
    clean = changes.hexdigest() == hashlib.sha256().hexdigest()
    return head if clean else f"{head}+changes.{changes.hexdigest()[:8]}"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


def tools(packages: tuple[str, ...] = PACKAGES) -> dict:
    """What made a result beside its recipe and data: the commit and the versions of packages."""
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    return {"commit": commit(), "versions": versions}


def file_hash(path: Path) -> str:
    """First 16 hex digits of a file's SHA-256. Raises ValueError naming the file and what makes it."""
    try:
        status = path.stat()
        return _hash(path, status.st_mtime_ns, status.st_size)
    except OSError:
        raise ValueError(f"{path}: no such file; write it: {_maker(path)}") from None


def _maker(path: Path) -> str:
    """The command that writes a built file, <strategy>/<dataset>_<part>.jsonl."""
    (dataset, part), strategy = dataset_and_part(path.stem), path.parent.name
    carve = DATASETS[dataset].carve if dataset in DATASETS and part == "val" else ""
    return build_command(dataset, strategy if strategy in STRATEGIES else "", carve)


@cache
def _hash(path: Path, changed: int, size: int) -> str:
    with open_regular(path) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def earlier_hash(path: Path) -> str:
    """The hash that a built file had when rows did not say scale and strategy, and were spelled by Python's json."""
    digest = hashlib.sha256()
    for line in read_jsonl(path):
        row = {key: value for key, value in line.row.items() if key not in ("scale", "strategy")}
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()[:16]


def read(folder: Path) -> dict:
    """The provenance of what a folder holds, of earlier versions, too.

    Raises FileNotFoundError if there is none, ValueError naming the file if that is damaged.
    """
    for path in (folder / name for name in (FILE, *EARLIER)):
        if path.exists():
            return read_file(path)
    raise FileNotFoundError(f"{folder}: no {FILE}")


def exists(folder: Path) -> bool:
    """Whether a folder says where its content comes from."""
    return any((folder / name).exists() for name in (FILE, *EARLIER))


def read_file(path: Path) -> dict:
    """A provenance file, or a result that holds the same facts. Raises ValueError naming the file if it is damaged."""
    try:
        facts = read_json(path)
        if not all(isinstance(facts[key], dict) for key in ("data", "versions")):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged; move it away: mv {path.parent} {path.parent}.old") from None
    return facts


def write(folder: Path, facts: dict) -> None:
    """Write a folder's provenance, whole or not at all; those of earlier versions go."""
    write_json(folder / FILE, facts)
    for name in EARLIER:
        (folder / name).unlink(missing_ok=True)


def same_data(old: dict, new: dict, files: dict[str, Path] | None = None) -> bool:
    """Whether two {name: hash} are of the same rows. files: name -> file, to tell hashes of earlier versions."""
    if old.keys() != new.keys():
        return False
    changed = [name for name in new if old[name] != new[name]]
    return all(files and name in files and old[name] == earlier_hash(files[name]) for name in changed)


def difference(
    old: dict, new: dict, any_commit: bool = False, files: dict[str, Path] | None = None, ignore: tuple = ()
) -> str | None:
    """What tells two provenances apart, in words; None if nothing that may change a number does.

    any_commit: another commit or other versions are no difference. files: as for same_data. ignore: keys.
    """
    before, now = old.get("data") or {}, new["data"]
    if not same_data(before, now, files):
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        return f"another data build ({', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''})"
    ignore = ("data", "commit", "versions", "run", "settings", "seed", "trained_on", *ignore)  # the model says the last
    for key in new:  # in order: the same message each time
        if key not in ignore and old.get(key) != new[key]:
            return _other(key, old.get(key), new[key])
    return None if any_commit else other_tools(old, new)


def _other(key: str, old: object, new: object) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return f"other settings ({', '.join(f'{k}: {old.get(k)}, now {new.get(k)}' for k in changed[:3])})"
    return f"another {key} ({old}, now {new})"


def other_tools(old: dict, new: dict) -> str | None:
    """What tells the commits and versions of two provenances apart, in words."""
    before, now = old.get("versions") or {}, new["versions"]
    # predict.py's run.json did not say Python's version.
    changed = sorted(name for name in now if before.get(name) != now[name] and (name != "python" or name in before))
    if changed:
        return "other versions (" + ", ".join(f"{n} {before.get(n)}, now {now[n]}" for n in changed) + ")"
    if old.get("commit") != new.get("commit"):
        return f"another commit ({old.get('commit')}, now {new.get('commit')})"
    return None


def refuse(place: Path, what: str, changed: str | None, fix: str = "") -> None:
    """Raises ValueError, with the fix, if `place` holds `what` of another provenance: the one message for it."""
    if changed:
        raise ValueError(f"{place} holds {what} of {changed}; move it away: mv {place} {place}.old{fix}")
