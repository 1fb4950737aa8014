"""Are there as many rows as in the paper's Tables 6 and 7, and if not, does data_prep know why?"""

from pathlib import Path

from storm.datasets import DATASETS
from storm.files import read_json
from train.checks.data import Scan, maker, split
from train.checks.finding import Finding
from train.checks.job import Checked, Job


def check_sizes(job: Job) -> Checked:
    """Rows of each file beside the paper's."""
    findings = [finding for scan in job.scans if (finding := _compared(scan))]
    if job.scans and all(finding.level == "ok" for finding in findings):
        rows = sum(scan.rows for scan in job.scans)
        findings.append(Finding("ok", "rows", f"{rows:,} in {len(job.scans)} files"))
    return job, findings


def _compared(scan: Scan) -> Finding | None:
    """What is to be told of the number of rows; None if it is the paper's, or the paper has none."""
    name, part = split(scan.stanza.name)
    facts, file = DATASETS.get(name), scan.stanza.file
    paper = getattr(facts.sizes, part, None) if facts else None
    if facts is None or paper is None or scan.rows in (0, paper):
        return None
    about = f"{file}: {scan.rows:,} rows, the paper has {paper:,} ({scan.rows - paper:+,})"
    command, out, summary = maker([scan.stanza.name]), file.parent.parent, _summary(file)
    entry = summary.get(name, {})
    size = entry.get("sizes", {}).get(part)
    if size not in (None, scan.rows):
        return Finding("warning", "rows", f"{about}; {out / 'summary.json'} says {size:,}: {command}")
    if dropped := {kind: count for kind, count in entry.get("dropped", {}).items() if count}:
        reasons = ", ".join(f"{count:,} {kind}" for kind, count in dropped.items())
        return Finding("warning", "rows", f"{about}; dropped {reasons}: see {out}/quarantine/{name}.csv")
    if facts.difference and name in summary and scan.rows > paper:  # all explained differences are of more rows
        return Finding("ok", "rows", f"{about}; {facts.difference}")
    return Finding("warning", "rows", f"{about}; is the download whole? Then {command}")


def _summary(file: Path) -> dict:
    """The summary.json of the build that a file of rows is of; {} if there is none."""
    try:
        summary = read_json(file.parent.parent / "summary.json")
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}
