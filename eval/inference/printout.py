"""What a prediction did, as text: of each file its rows, and what servers were asked."""

from collections import Counter
from collections.abc import Sequence

from eval.inference.run import FileResult
from eval.inference.settings import Settings
from eval.servers.counts import counts_table, notes
from storm.text import printable, table


def files_table(settings: Settings, results: Sequence[FileResult]) -> str:
    """A line a file; before it, whether nothing was left to do, and behind it requests_lines(), if there are any."""
    lines, errors = [], "errors" if settings.servers else "unreadable"
    if not any(file.written for file in results):
        lines.append(f"{settings.out}: every row was finished already; {nobody(settings)}")
    rows = [["file", "rows", "finished before", "answered", errors, "images/s"]]
    for file in results:
        rate = round(file.written / file.seconds, 2) if file.written else None
        rows.append([file.name, file.rows, file.before, file.written - file.errors, file.errors, rate])
    return "\n".join([*lines, table(rows), *requests_lines(settings, results)])


def nobody(settings: Settings) -> str:
    return "no server was asked" if settings.servers else "the model was not loaded"


def requests_lines(settings: Settings, results: Sequence[FileResult]) -> list[str]:
    """Of servers, behind an empty line, the table of requests, tokens, cost and odd answers, and what to say of it."""
    if not settings.servers:
        return []
    rows = counts_table({file.name: file.counts for file in results}, settings.servers.price)
    names = ("counts", "models", "reasons")
    sums = (sum((Counter(getattr(file, name)) for file in results), Counter()) for name in names)
    lines = notes(*sums, bool(settings.servers.price))
    return (["", table(rows)] if rows else []) + (["", *map(printable, lines)] if lines else [])
