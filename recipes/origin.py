"""Where a result comes from: recipe, settings, commit, data build, versions, seed; and what tells two apart."""

import hashlib
import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from data_prep.together import together

PACKAGES = ("llamafactory", "transformers", "torch", "deepspeed", "accelerate", "peft")
SEED = 42  # the host's default (transformers TrainingArguments.seed) where a recipe names none


@cache
def commit() -> str | None:
    """The checked-out commit, "+changes" behind it if a tracked file differs; None outside of a git checkout."""
    try:
        found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD"], capture_output=True, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + "+changes" * bool(dirty)


@cache
def stanzas(folder: Path) -> dict[str, dict]:
    """The registry of a dataset_dir. Raises ValueError naming the file."""
    path = folder / "dataset_info.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); dataset_dir must be the folder it is in") from None


@cache
def file_hash(path: Path) -> str:
    """First 16 hex digits of the file's SHA-256. Raises ValueError naming the file and what makes it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        made_by = "python -m demo.photographs" if path.stem.startswith("demo_") else "python -m data_prep"
        raise ValueError(f"{path}: no such file; {made_by} writes it") from None


@cache
def rows(path: Path) -> int:
    """Lines of a file of conversations."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def origin(run: str, recipe: dict, settings: list[str], names: list[str]) -> dict:
    """What results/<run>.json and saves/<run>/origin.json keep.

    recipe: the keys after the settings, without what depends on the number of GPUs. names: all stanzas used.
    """
    folder = Path(recipe["dataset_dir"])
    files = {name: folder / stanzas(folder)[name]["file_name"] for name in names}
    gpu_keys = ("per_device_train_batch_size", "gradient_accumulation_steps")
    return {
        "run": run,
        "settings": settings,
        "recipe": {key: value for key, value in recipe.items() if key not in gpu_keys},
        "seed": recipe.get("seed", SEED),
        "commit": commit(),
        "data": {name: file_hash(path) for name, path in files.items()},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


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
    if old.get("versions") != new["versions"] and not any_commit:
        before, now = old.get("versions") or {}, new["versions"]
        changed = sorted(name for name in now if before.get(name) != now[name])
        return "other versions (" + ", ".join(f"{n} {before.get(n)}, now {now[n]}" for n in changed) + ")"
    if old.get("commit") != new["commit"] and not any_commit:
        return f"another commit ({old.get('commit')}, now {new['commit']})"
    return None


def keep(path: Path, facts: dict) -> None:
    """Write facts as JSON, all or nothing."""
    with together() as open_:
        open_(path).write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
