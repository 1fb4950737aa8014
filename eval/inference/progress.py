"""The output folder of a prediction: what is finished, what goes on, and that no two runs mix.

<out>/run.json says which model, data and settings the answers are of. One process appends to <out>/<name>.jsonl; with
several, each appends to <name>.<rank>.part, and the first one puts them together in the data's order at the end.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from storm.files import together


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


def claim(out: Path, facts: dict) -> None:
    """Write <out>/run.json, or check that it says the same. Raises ValueError naming the first difference.

    A run that ended before its first answer has claimed nothing.
    """
    path = out / "run.json"
    if not any(file.stat().st_size for ending in ("jsonl", "part") for file in out.glob(f"*.{ending}")):
        _write(path, facts)
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(old, dict):
            raise ValueError
    except FileNotFoundError:
        raise ValueError(f"{out}: holds predictions of unknown origin (no run.json): name another --out") from None
    except ValueError:
        raise ValueError(f"{path}: damaged: name another --out") from None
    for key, value in facts.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):  # data: other files may be added
            changed = [name for name in value if name in old[key] and old[key][name] != value[name]]
            if changed:
                raise ValueError(f"{out} holds predictions of another {changed[0]} ({key}): name another --out")
        elif old.get(key) != value:
            raise ValueError(f"{out} holds predictions with {key} {old.get(key)}, not {value}: name another --out")
    merged = {key: old[key] | value if isinstance(value, dict) else value for key, value in facts.items()}
    if merged != old:
        _write(path, merged)


def _write(path: Path, facts: dict) -> None:
    with together() as open_:
        open_(path).write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _whole_lines(path: Path) -> Iterator[tuple[int, int, dict]]:
    """(begin, end, row) of each whole row of a file; a half-written last line is cut off.

    Raises ValueError naming file and line of one that is damaged.
    """
    with path.open("rb+") as file:
        begin = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                file.truncate(begin)
                return
            try:
                row = json.loads(line)
                row["id"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise ValueError(f"{path}, line {number}: damaged: delete the line, or name another --out") from None
            yield begin, begin + len(line), row
            begin += len(line)


def parts(out: Path, name: str) -> list[Path]:
    """What the processes wrote of a file; not <name>.jsonl.part, a merge that was killed, nor <name>.more's parts."""
    return sorted(path for path in out.glob("*.part") if re.fullmatch(re.escape(name) + r"\.\d+\.part", path.name))


def forget_errors(out: Path, name: str) -> None:
    """Drop the rows that have no answer, because an image could not be read: it is asked for again.

    What is left of <name>.jsonl becomes a part, so that merge() puts the rows in order.
    """
    for path in _files(out, name):
        if not any("error" in row for _, _, row in _whole_lines(path)):
            continue
        numbers = [int(part.name.split(".")[-2]) for part in parts(out, name)]
        kept = path if path.suffix == ".part" else out / f"{name}.{max(numbers, default=-1) + 1}.part"
        with together() as open_, path.open("rb") as file:
            made = open_(kept)
            for line in file:
                if "error" not in json.loads(line):
                    made.write(line.decode())
        if kept != path:
            path.unlink()


def _files(out: Path, name: str) -> list[Path]:
    whole = out / f"{name}.jsonl"
    return [*parts(out, name), *([whole] if whole.exists() else [])]


def finished(out: Path, name: str) -> set[str]:
    """The ids that have an answer, whoever wrote it."""
    return {row["id"] for path in _files(out, name) for _, _, row in _whole_lines(path)}


def append(path: Path, rows: list[dict]) -> None:
    """Rows at the end of a file, on the disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def merge(out: Path, name: str, order: Iterable[str]) -> None:
    """All parts and what there is of the whole, into <name>.jsonl in the order of the ids; then the parts go.

    order: of all rows of the data, as an answer whose id is not in it would be lost.
    """
    whole, found = out / f"{name}.jsonl", parts(out, name)
    if not found:
        return
    where = {row["id"]: (path, begin, end) for path in _files(out, name) for begin, end, row in _whole_lines(path)}
    with together() as open_:
        made = open_(whole)
        for id in order:
            if id in where:
                path, begin, end = where[id]
                with path.open("rb") as file:
                    file.seek(begin)
                    made.write(file.read(end - begin).decode())
    for path in found:
        path.unlink()
