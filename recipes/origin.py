"""Where a result comes from: recipe, settings, commit, data build, versions, seed; and what tells two apart."""

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from data_prep.together import together

STAMP = "origin.json"  # beside a training or a prediction
PACKAGES = ("llamafactory", "transformers", "torch", "deepspeed", "accelerate", "peft")
SEED = 42  # the host's default (transformers TrainingArguments.seed) where a recipe names none
CODE = ("recipes", "eval", "data_prep", "demo", "ds_configs", "dataset_info.json")  # what may change a number
GPU_KEYS = ("per_device_train_batch_size", "gradient_accumulation_steps", "per_device_eval_batch_size")


@cache
def commit() -> str | None:
    """The checked-out commit, "+changes." and a hash of them behind it if CODE differs; None outside of a checkout."""
    try:
        found = _git("rev-parse", "--short=12", "HEAD").decode().strip()
        changes = hashlib.sha256(_git("diff", "HEAD", "--", *CODE))
        # The diff leaves out what nobody has added yet. New recipes are of no account to the others.
        new = _git("ls-files", "-zo", "--exclude-standard", "--", *CODE).decode().split("\0")
        for path in [Path(name) for name in new if name.endswith(".py")]:
            changes.update(f"{path}\n".encode() + path.read_bytes())
    except (OSError, subprocess.CalledProcessError):
        return None
    clean = changes.hexdigest() == hashlib.sha256().hexdigest()
    return found if clean else f"{found}+changes.{changes.hexdigest()[:8]}"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


@cache
def stanzas(folder: Path) -> dict[str, dict]:
    """The registry of a dataset_dir. Raises ValueError naming the file."""
    path = folder / "dataset_info.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(known, dict):
            raise ValueError("it holds no stanzas")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); dataset_dir must be the folder it is in") from None
    return known


def file(folder: Path, stanza: str) -> Path:
    """The file of a stanza's rows. Raises ValueError naming the registry and the stanza."""
    try:
        return folder / stanzas(folder)[stanza]["file_name"]
    except (KeyError, TypeError):
        raise ValueError(f"{folder}/dataset_info.json: stanza {stanza} names no file; write it anew") from None


def file_hash(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256. Raises ValueError naming the file and what makes it."""
    try:
        status = path.stat()
        return _hash(path, status.st_mtime_ns, status.st_size)
    except OSError:
        made_by = "python -m demo.photographs" if path.stem.startswith("demo_") else "python -m data_prep"
        raise ValueError(f"{path}: no such file; {made_by} writes it") from None


@cache
def _hash(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def rows(path: Path) -> int:
    """Lines of a file of conversations."""
    with path.open("rb") as opened:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: opened.read(1 << 20), b""))


def tools() -> dict:
    """What made a result beside its recipe and data: the commit and the versions of packages."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    return {"commit": commit(), "versions": versions}


def origin(run: str, recipe: dict, settings: list[str], names: list[str]) -> dict:
    """What results/<run>.json and the stamps below saves/ keep.

    recipe: the keys after the settings, without what depends on the number of GPUs. names: all stanzas used.
    """
    folder = Path(recipe["dataset_dir"])
    return {
        "run": run,
        "settings": settings,
        "recipe": {key: value for key, value in recipe.items() if key not in GPU_KEYS},
        "seed": recipe.get("seed", SEED),
        "data": {name: file_hash(file(folder, name)) for name in names},
    } | tools()


def difference(old: dict, new: dict, any_commit: bool = False) -> str | None:
    """What tells two origins apart, in words; None if nothing that may change a number does."""
    if old.get("data") != new["data"]:
        before, now = old.get("data") or {}, new["data"]
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        return f"another data build ({', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''})"
    if old.get("recipe") != new["recipe"]:
        before, now = old.get("recipe") or {}, new["recipe"]
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        return "other settings (" + ", ".join(f"{k}: {before.get(k)}, now {now.get(k)}" for k in changed[:3]) + ")"
    if old.get("training") != new.get("training"):
        return "another training"
    return None if any_commit else other_tools(old, new)


def other_tools(old: dict, new: dict) -> str | None:
    """What tells the commits and versions of two origins apart, in words."""
    if old.get("versions") != new["versions"]:
        before, now = old.get("versions") or {}, new["versions"]
        changed = sorted(name for name in now if before.get(name) != now[name])
        return "other versions (" + ", ".join(f"{n} {before.get(n)}, now {now[n]}" for n in changed) + ")"
    if old.get("commit") != new["commit"]:
        return f"another commit ({old.get('commit')}, now {new['commit']})"
    return None


def refuse(place: Path, what: str, old: dict, new: dict, any_commit: bool) -> None:
    """Raises ValueError with the fix if `place` holds `what` of another origin."""
    if changed := difference(old, new, any_commit):
        fix = "" if difference(old, new, any_commit=True) else ", or --any-commit takes it"
        raise ValueError(f"{place} {what} {changed}: mv {place} {place}.old{fix}")


def read(path: Path) -> dict:
    """A stamp. Raises ValueError naming the file if it is damaged."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(stamp[key], dict) for key in ("data", "recipe", "versions")):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: damaged; mv {path.parent} {path.parent}.old") from None
    return stamp


def keep(path: Path, facts: dict) -> None:
    """Write facts as JSON, all or nothing."""
    with together() as open_:
        open_(path).write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
