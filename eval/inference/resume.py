"""The output folder of a prediction: what is finished, what goes on, and that no two predictions mix.

<out>/provenance.json says which model, data and settings the rows are of. One process appends to <out>/<name>.jsonl;
with several, each appends to <name>.<rank>.part, and the first one puts the rows in the data's order at the end.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from eval.inference.settings import Settings, command, has_rows, provenance_of
from storm import provenance
from storm.files import cut_unfinished, read_json, read_jsonl, write_json, write_jsonl

ANSWERED = "answered_by"  # in provenance.json, of rows that servers answered
MEMORY = "memory.json"  # in the output folder, after a batch that did not fit


def check_or_write_provenance(settings: Settings, facts: Mapping[str, str] | None = None) -> None:
    """Write <out>/provenance.json, or check that it says the same. Raises ValueError naming the first difference.

    facts: what it says beside the settings.

    Another commit is not a difference, and other data files may be added: the commit stays that of the first rows. The
    provenance of a folder without rows is written anew.
    """
    out, now = settings.out, provenance_of(settings) | (facts or {})
    if not has_rows(out):
        provenance.write(out, now | {"command": command(settings)})
        return
    try:
        old = provenance.read(out)
    except FileNotFoundError:
        provenance.refuse(out, "predictions", f"unknown provenance (no {provenance.FILE})")
    provenance.refuse(out, "predictions", difference(old, now, settings), "; or name another --out")
    # Hashes of today's form of the files, whose rows are the same.
    merged = old | {"data": old["data"] | now["data"]}
    if merged != old or not (out / provenance.FILE).exists():
        provenance.write(out, merged)


def difference(old: dict, now: dict, settings: Settings) -> str | None:
    """What tells the provenance of a folder from the present one, in words."""
    files = {file.stem: file for file in settings.data}
    old = old | {"data": now["data"] | {name: value for name, value in old["data"].items() if name in files}}
    if set(now.get("server") or ()) <= set(old.get("server") or ()):  # one of several servers may be gone
        now = now | {"server": old.get("server")} if "server" in now else now
    return provenance.difference(old, now | {"commit": old.get("commit")}, files=files)


def answered_by(out: Path) -> list[str]:
    """The names of the models that served rows in this folder were answered by, as far as the answers say one."""
    return list(provenance.read(out).get(ANSWERED) or ())


def add_answered_by(out: Path, names: Collection[str]) -> None:
    """Keep them in provenance.json. They tell no folders apart: hosted models answer with a date behind their name."""
    facts = provenance.read(out)
    provenance.write(out, facts | {ANSWERED: sorted({*(facts.get(ANSWERED) or ()), *names})})


def max_tokens(out: Path) -> int:
    """Of the prompts of a batch: what write_max_tokens wrote here, else no limit. Raises ValueError for a damaged file.

    A run that goes on must not find it out anew: it would round the first rows differently.
    """
    try:
        limit = read_json(out / MEMORY)["max_tokens"]
    except FileNotFoundError:
        return sys.maxsize
    except (KeyError, TypeError):
        limit = None
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"{out / MEMORY}: damaged; delete it")
    return limit


def write_max_tokens(out: Path, limit: int) -> None:
    """Keep what fitted the memory: of several processes, the least."""
    write_json(out / MEMORY, {"max_tokens": min(limit, max_tokens(out))})


def parts(out: Path, name: str) -> list[Path]:
    """What the processes wrote of a file; not <name>.jsonl.part, a merge that was killed, nor <name>.more's parts."""
    return sorted(path for path in out.glob("*.part") if re.fullmatch(re.escape(name) + r"\.\d+\.part", path.name))


def merge_parts_before_run(out: Path, name: str, root: Path | None = None) -> None:
    """Put all rows with a prediction into <name>.jsonl; then the parts go.

    A row without one has an image that could not be read: this run tries it again; with the image root of unrated
    images, also one whose file was replaced since it was rated.
    """
    whole, pieces = out / f"{name}.jsonl", parts(out, name)

    def counts(row: dict) -> bool:
        return "error" not in row and (root is None or status_of(root, row) in (None, row.get("file")))

    if pieces or not all(map(counts, _rows([whole]))):
        # By id: a kill after parts were put together, and before they went, leaves rows twice.
        rows = {row["id"]: row for row in _rows([whole, *pieces]) if counts(row)}
        _replace(whole, pieces, list(rows.values()))


def status_of(root: Path, row: dict) -> list[int] | None:
    """Size and time of change of a row's image, None if it is not there."""
    try:
        status = (root / row["image"]).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def finished(out: Path, name: str) -> set[str]:
    return {row["id"] for row in _rows([out / f"{name}.jsonl"])}


def merge(out: Path, name: str, order: Sequence[str]) -> tuple[int, int]:
    """Put the rows of <name>.jsonl and of all parts into <name>.jsonl; then the parts go. Returns (rows, errors).

    order: the ids of all rows of the data, as an earlier run with another --limit may have predicted more.
    """
    whole, pieces = out / f"{name}.jsonl", parts(out, name)
    place = {id: number for number, id in enumerate(order)}.get
    faulty = {row["id"]: "error" in row for row in _rows([whole, *pieces])}
    places = [place(id, len(order)) for id in faulty]
    if pieces or places != sorted(places):
        rows = {row["id"]: row for row in _rows([whole, *pieces])}
        _replace(whole, pieces, sorted(rows.values(), key=lambda row: place(row["id"], len(order))))
    return len(faulty), sum(faulty.values())


def _replace(whole: Path, pieces: list[Path], rows: list[dict]) -> None:
    write_jsonl(whole, rows) if rows else whole.unlink(missing_ok=True)
    for path in pieces:
        path.unlink()


def _rows(paths: list[Path]) -> Iterator[dict]:
    """The rows of output files, if they are there; a last line that a kill left unfinished is cut off.

    Raises ValueError naming file and line of a damaged one.
    """
    for path in paths:
        if not path.exists():
            continue
        cut_unfinished(path)
        for line in read_jsonl(path):
            if line.fault or not isinstance(line.row, dict) or not isinstance(line.row.get("id"), str):
                raise ValueError(f"{path}, line {line.number}: damaged; delete the line, or name another --out")
            yield line.row
