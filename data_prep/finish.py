"""The end of all three commands: look for duplicates, write, summarize, print the table and what it does not show."""

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor

from tqdm import tqdm

from data_prep.build import Built, Refused, no_collection
from data_prep.duplicates import compare, compared
from data_prep.options import Options
from data_prep.refusals import levels_without_rows, need, nothing_empty
from data_prep.summary import levels_table, read_from, sizes_table, summary
from data_prep.write import quarantine_of, with_earlier, write
from storm.files import read_json, write_json
from storm.options import describe, print_errors

FAILURES = (OSError, ValueError, BrokenExecutor)  # the last: a worker was killed, for memory perhaps


def write_and_report(
    built: Sequence[Built],
    options: Options,
    settings: dict,
    errors: Sequence[str] = (),
    refuse: Callable[[Built], None] = lambda _: None,
) -> int:
    """Write the datasets that were built and print their sizes. Returns the exit code: 1 if there is an error.

    settings: what summary.json keeps of the command. errors: of datasets that could not be built. refuse: raises
    ValueError for a dataset that must not be written as it is after duplicates were dropped.
    """
    errors, summaries, report = list(errors), {}, ""
    try:
        if built:
            report = compare(built, options)
        for b in tqdm(built, "write", unit="dataset", disable=len(built) < 2):
            try:
                refuse(b)
                if b.source:  # duplicates may have been dropped
                    need(options.allow_missing, nothing_empty(b.split))
                    need(options.allow_empty_levels, levels_without_rows(b.scale, b.split))
                with no_collection():
                    write(b, options.out, with_earlier(options.strategies, b.name, options.out))
                    summaries[b.name] = summary(b)
            except ValueError as error:  # it must not be written as it is
                errors.append(f"{b.name}: {error}{quarantine_of(Refused('', b.drops), b.name, options.out)}")
            except FAILURES as error:
                errors.append(f"{b.name}: {describe(error)}")
        if summaries:  # they stand beside those of earlier runs, each with the settings it was built with
            path, settings = options.out / "summary.json", settings | {"compared": compared(built, options.hashed)}
            rows = read_json(path) if path.exists() else {}
            rows |= {name: {**numbers, "settings": settings} for name, numbers in summaries.items()}
            write_json(path, dict(sorted(rows.items())))
    except FAILURES as error:
        errors.append(f"{options.out}: {describe(error)}")
    if summaries:
        for name, numbers in summaries.items():
            print(*read_from(name, numbers, options.out / "quarantine" / f"{name}.csv"), sep="\n")
        if not options.shares:  # of own ratings, the levels were shown before they were written
            print(levels_table(summaries, {b.name: b.scale for b in built}))
        print(sizes_table(summaries), report, sep="\n")
    return min(1, print_errors(errors))
