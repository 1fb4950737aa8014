"""What GET /metrics says, in Prometheus' text format 0.0.4: counters, gauges and histograms of this process."""

import threading
from bisect import bisect_left
from collections import Counter
from typing import NamedTuple

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # upper ends of the bins
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class _Family(NamedTuple):
    kind: str  # of Prometheus
    help: str
    bins: tuple[float, ...] = ()  # of a histogram


FAMILIES = {
    "storm_requests_total": _Family("counter", "requests by path and status"),
    "storm_errors_total": _Family("counter", "requests without an answer, by kind"),
    "storm_ratings_total": _Family("counter", "questions that the model answered"),
    "storm_queue_length": _Family("gauge", "questions that wait for the model"),
    "storm_requests_in_flight": _Family("gauge", "requests being read or answered"),
    "storm_batch_size": _Family("histogram", "questions rated together", SIZES),
    "storm_request_seconds": _Family("histogram", "from the first byte of a request to its answer", SECONDS),
}


class Metrics:
    """Counts of this process; safe from several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[tuple[str, str]] = Counter()  # (name, labels) -> count
        self.sums: Counter[str] = Counter()  # of histograms

    def add(self, name: str, **labels: object) -> None:
        """One more. Labels come from a few values of ours, never from a request."""
        text = ",".join(f'{key}="{value}"' for key, value in labels.items())
        with self.lock:
            self.counts[name, text] += 1

    def observe(self, name: str, value: float) -> None:
        """A value of a histogram."""
        bins = FAMILIES[name].bins
        place = bisect_left(bins, value)
        end = f"{bins[place]:g}" if place < len(bins) else "+Inf"
        with self.lock:
            self.counts[name, end] += 1
            self.sums[name] += value

    def text(self, **gauges: int) -> str:
        """The page. gauges: their values now, by name without storm_."""
        with self.lock:
            counts, sums = dict(self.counts), dict(self.sums)
        lines = []
        for name, family in FAMILIES.items():
            lines += [f"# HELP {name} {family.help}", f"# TYPE {name} {family.kind}"]
            if family.bins:
                lines += _histogram(name, family.bins, counts, sums.get(name, 0))
            elif family.kind == "gauge":
                lines.append(f"{name} {gauges[name.removeprefix('storm_')]}")
            else:
                rows = sorted((labels, count) for (other, labels), count in counts.items() if other == name)
                lines += [f"{name}{{{labels}}} {count}" if labels else f"{name} {count}" for labels, count in rows]
        return "\n".join(lines) + "\n"


def _histogram(name: str, bins: tuple[float, ...], counts: dict, total: float) -> list[str]:
    lines, below = [], 0
    for end in (*(f"{end:g}" for end in bins), "+Inf"):
        below += counts.get((name, end), 0)
        lines.append(f'{name}_bucket{{le="{end}"}} {below}')
    return [*lines, f"{name}_sum {total:.6f}", f"{name}_count {below}"]
