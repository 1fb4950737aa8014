"""eval/serving/metrics.py: the numbers, and a page in Prometheus' format."""

import re

from eval.serving.metrics import FAMILIES, Metrics

LINE = re.compile(r'([a-z_]+)(?:\{([a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*)\})? (-?[\d.]+)')


def values(page: str) -> dict[tuple[str, str], float]:
    assert page.endswith("\n")
    matches = [LINE.fullmatch(line) for line in page.splitlines() if not line.startswith("# ")]
    assert all(matches)
    return {(match[1], match[2] or ""): float(match[3]) for match in matches}


def test_the_page():
    metrics = Metrics()
    for status in (200, 200, 429):
        metrics.add("storm_requests_total", path="/v1/decisions", status=status)
    metrics.add("storm_ratings_total")
    for size in (1, 3, 8, 500):
        metrics.observe("storm_batch_size", size)
    page = metrics.text(queue_length=5, requests_in_flight=6)
    found = values(page)
    assert found["storm_requests_total", 'path="/v1/decisions",status="200"'] == 2
    assert found["storm_ratings_total", ""] == 1
    assert (found["storm_queue_length", ""], found["storm_requests_in_flight", ""]) == (5, 6)
    buckets = [found["storm_batch_size_bucket", f'le="{end}"'] for end in (1, 2, 4, 8, 128, "+Inf")]
    assert buckets == [1, 1, 2, 3, 3, 4]
    assert (found["storm_batch_size_sum", ""], found["storm_batch_size_count", ""]) == (512, 4)
    assert all(f"# TYPE {name} {family.kind}\n" in page for name, family in FAMILIES.items())
