"""Is every dataset of a recipe registered and written, would LLaMA-Factory take each row, are there as many as in the
paper?"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from storm.files import Line, read_json, read_jsonl
from storm.options import describe, did_you_mean
from storm.rows import dataset_and_part
from train.checks.finding import Finding, folder, names
from train.checks.job import Checked, Job
from train.stanzas import facts_of, maker, registry

# LLaMA-Factory's own (data/parser.py). A stanza that names some of them unsets the others.
TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt", "system_tag": "system"}


class Stanza(NamedTuple):
    """Where the file of a dataset lies, and which keys its rows have."""

    name: str
    file: Path
    messages: str  # the column of the turns
    images: str
    tags: dict[str, str]


class Text(NamedTuple):
    """The text of a row; most rows of a dataset have one of a few."""

    question: str  # all turns before the last, without <image>
    answer: str
    images: int


class Scan(NamedTuple):
    stanza: Stanza
    rows: int
    images: dict[str, int]  # each image and the first line that names it
    texts: set[Text]


def check_datasets(job: Job) -> Checked:
    """Fill `stanzas`: the datasets of the recipe, and the test sets, whose files are there."""
    if not (job.trains or job.predicts):
        return job, []
    wanted = dict.fromkeys([*names(job.recipe.get("dataset")), *names(job.recipe.get("eval_dataset")), *job.tests])
    path = folder(job.recipe.get("dataset_dir"), "data") / "dataset_info.json"
    try:
        info = registry(path.parent)
    except ValueError as error:
        return job, [Finding("error", "datasets", str(error))]
    stanzas, findings = [], []
    for name in wanted:
        if name not in info:
            text = f"dataset {name!r} is not in {path}; {did_you_mean(name, info)}"
            findings.append(Finding("error", "datasets", text))
            continue
        try:
            stanzas.append(_stanza(name, info[name], path))
        except ValueError as error:
            text = f"{path}, stanza {name}: {error}; python -m data_prep registry writes ours"
            findings.append(Finding("error", "datasets", text))
    written = [stanza for stanza in stanzas if stanza.file.is_file()]
    if missing := [stanza for stanza in stanzas if stanza not in written]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        command = maker(stanza.name for stanza in missing)
        findings.append(Finding("error", "datasets", f"{missing[0].file}: no such file{more}; {command}"))
    if written and not findings:
        findings.append(Finding("ok", "datasets", f"{len(written)} in {path}, all written"))
    return replace(job, stanzas=tuple(written)), findings


def _stanza(name: str, stanza: object, path: Path) -> Stanza:
    """A stanza of dataset_info.json. Raises ValueError if these checks, or LLaMA-Factory, cannot use it."""
    if not isinstance(stanza, dict) or not all(isinstance(stanza.get(key, {}), dict) for key in ("columns", "tags")):
        raise ValueError("not of the form {file_name, formatting, columns: {...}, tags: {...}}")
    columns, tags = stanza.get("columns", {}), stanza.get("tags", TAGS)
    if not isinstance(stanza.get("file_name"), str) or stanza.get("formatting") != "sharegpt":
        raise ValueError("not a file in ShareGPT form, the only form that these recipes use")
    if not {"messages", "images"} <= set(columns):
        present = ", ".join(columns) or "nothing"
        raise ValueError(f"columns name {present}, not both messages and images, which have no default")
    if missing := sorted(set(TAGS) - set(tags)):
        raise ValueError(f"tags lack {', '.join(missing)}; defaults do not apply once some are named")
    return Stanza(name, path.parent / stanza["file_name"], columns["messages"], columns["images"], tags)


def check_rows(job: Job) -> Checked:
    """Fill `scans`: read all rows of all files."""
    scans, findings = [], []
    for stanza in job.stanzas:
        try:
            scan, faults = _scan(stanza)
        except OSError as error:
            faults = [Finding("error", "rows", f"{describe(error)}; chmod +r, or {maker([stanza.name])}")]
        else:
            scans.append(scan)
        findings += faults
    return replace(job, scans=tuple(scans)), findings


def _scan(stanza: Stanza) -> tuple[Scan, list[Finding]]:
    """Read all rows of a file: 100,000 rows in about 3 s. A finding for each kind of fault, with the first line."""
    images: dict[str, int] = {}
    texts: set[Text] = set()
    ids: dict[str, int] = {}
    faults: dict[str, list[int]] = {}  # their lines
    rows = 0
    for line in tqdm(read_jsonl(stanza.file), stanza.file.stem, unit="row", disable=None, leave=False):
        rows += 1
        try:
            texts.add(_text(line, stanza))
            for image in line.row[stanza.images]:
                images.setdefault(image, line.number)
            if isinstance(id := line.row.get("id"), str) and ids.setdefault(id, line.number) != line.number:
                raise ValueError("an id that an earlier row has, too")
        except ValueError as error:
            faults.setdefault(str(error), []).append(line.number)
    again, reasons = f"write the file again: {maker([stanza.name])}", [] if rows else [f"{stanza.file}: is empty"]
    for reason, lines in faults.items():
        more = f" ({len(lines):,} such rows)" if len(lines) > 1 else ""
        reasons.append(f"{stanza.file}, line {lines[0]}: {reason}{more}")
    return Scan(stanza, rows, images, texts), [Finding("error", "rows", f"{reason}; {again}") for reason in reasons]


def _text(line: Line, stanza: Stanza) -> Text:
    """The text of a row. Raises ValueError for what LLaMA-Factory skips, dies on, or learns nothing from."""
    row = line.row
    if line.fault:
        raise ValueError(line.fault.partition(":")[0])  # without details, so that equal faults are one finding
    if not isinstance(row, dict):
        raise ValueError("not a row, which is {...}")
    turns, images, tags = row.get(stanza.messages), row.get(stanza.images), stanza.tags
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"no turns in {stanza.messages!r}")
    if not isinstance(images, list) or not images or not all(isinstance(image, str) and image for image in images):
        raise ValueError(f"no images in {stanza.images!r}, and a row without an image makes ZeRO-3 hang")
    roles = [turn.get(tags["role_tag"]) for turn in turns]
    texts = [turn.get(tags["content_tag"]) for turn in turns]
    if roles[0] == tags["system_tag"]:
        roles = roles[1:]
    if not roles or roles != [tags["user_tag"], tags["assistant_tag"]] * (len(roles) // 2):
        raise ValueError(f"roles {', '.join(map(str, roles))} do not alternate, so LLaMA-Factory skips the row")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a turn without text")
    if not texts[-1].strip():
        raise ValueError("an empty answer")
    marks = sum(text.count("<image>") for text in texts)
    if marks != len(images):
        raise ValueError(f"{marks} <image> for {len(images)} images, which ends LLaMA-Factory")
    return Text("\n".join(texts[:-1]).replace("<image>", ""), texts[-1], marks)


def check_sizes(job: Job) -> Checked:
    """Rows of each file beside the paper's Tables 6 and 7; does data_prep know why they differ?"""
    findings = [finding for scan in job.scans if (finding := _compared(scan))]
    if job.scans and all(finding.level == "ok" for finding in findings):
        rows = sum(scan.rows for scan in job.scans)
        findings.append(Finding("ok", "rows", f"{rows:,} in {len(job.scans)} files"))
    return job, findings


def _compared(scan: Scan) -> Finding | None:
    """The finding; None if the number of rows is the paper's, or the paper has none."""
    (name, part), facts, file = dataset_and_part(scan.stanza.name), facts_of(scan.stanza.name), scan.stanza.file
    paper = getattr(facts.sizes, part, None) if facts else None
    if paper is None or scan.rows in (0, paper):
        return None
    out, summary = file.parent.parent, {}
    with suppress(OSError, ValueError):
        summary = read_json(out / "summary.json")
    entry = summary.get(name, {}) if isinstance(summary, dict) else {}
    size, dropped = (
        entry.get("sizes", {}).get(part),
        [f"{n:,} {kind}" for kind, n in entry.get("dropped", {}).items() if n],
    )
    about = f"{file}: {scan.rows:,} rows, the paper has {paper:,} ({scan.rows - paper:+,})"
    carved, whole = entry.get("settings", {}).get("val"), facts.sizes.train + facts.sizes.test
    if carved and size == scan.rows and part in ("train", "lite") and entry["sizes"].get("all") == whole:
        return Finding("ok", "rows", f"{about}; built with --val {carved:g}, which took validation rows out of train")
    if size not in (None, scan.rows):
        about += f"; {out / 'summary.json'} says {size:,}: {maker([scan.stanza.name])}"
    elif dropped:
        about += f"; dropped {', '.join(dropped)}: see {out}/quarantine/{name}.csv"
    elif facts.difference and entry and scan.rows > paper:  # all explained differences are of more rows
        return Finding("ok", "rows", f"{about}; {facts.difference}")
    else:
        about += f"; is the download whole? Then {maker([scan.stanza.name])}"
    return Finding("warning", "rows", about)
