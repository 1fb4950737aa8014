"""Are there as many rows as in the paper's Tables 6 and 7, and if not, does data_prep know why?"""

import json
from pathlib import Path

from train.checks.data import SIZES, Scanned, maker, split
from train.checks.finding import Finding


def counts(scanned: list[Scanned]) -> list[Finding]:
    """Rows beside the paper's."""
    found = []
    for scan in scanned:
        name, part = split(scan.stanza.name)
        paper = getattr(SIZES[name].sizes, part, None) if name in SIZES else None
        if paper is None or scan.rows in (0, paper):
            continue
        about = f"{scan.stanza.file}: {scan.rows:,} rows, the paper has {paper:,} ({scan.rows - paper:+,})"
        known, out = _summary(scan.stanza.file), scan.stanza.file.parent.parent
        dropped = {kind: count for kind, count in known.get(name, {}).get("dropped", {}).items() if count}
        if known.get(name, {}).get("sizes", {}).get(part) not in (None, scan.rows):
            size = known[name]["sizes"][part]
            found.append(
                Finding("warning", "rows", f"{about}; {out / 'summary.json'} says {size:,}: {maker(scan.stanza.name)}")
            )
        elif dropped:
            why = ", ".join(f"{count:,} {kind}" for kind, count in dropped.items())
            found.append(Finding("warning", "rows", f"{about}; dropped {why}: see {out}/quarantine/{name}.csv"))
        elif SIZES[name].difference and name in known and scan.rows > paper:  # all known ones are of more rows
            found.append(Finding("ok", "rows", f"{about}; {SIZES[name].difference}"))
        else:
            found.append(Finding("warning", "rows", f"{about}; is the download whole? Then {maker(scan.stanza.name)}"))
    if scanned and all(finding.level == "ok" for finding in found):
        found.append(Finding("ok", "rows", f"{sum(scan.rows for scan in scanned):,} in {len(scanned)} files"))
    return found


def _summary(file: Path) -> dict:
    """What data_prep says of the build that a file of rows is of; {} if it does not."""
    try:
        known = json.loads((file.parent.parent / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
