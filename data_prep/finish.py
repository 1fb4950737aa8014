"""The end of all three commands: look for duplicates, write, summarize, print the table and what it does not show."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor

from tqdm import tqdm

from data_prep.build import KINDS, Built, no_collection
from data_prep.duplicates import compare, compared
from data_prep.options import Options
from data_prep.split import shared_subjects
from data_prep.write import write
from storm.files import read_json, write_json
from storm.options import describe, print_errors
from storm.text import table

FAILURES = (OSError, ValueError, BrokenExecutor)  # the last: a worker was killed, for memory perhaps


@no_collection()
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
            report = compare(built, options.out, hashed=options.hashed, drop=options.drop_leaks)
        for b in tqdm(built, "write", unit="dataset", disable=not built):
            try:
                refuse(b)
                write(b, options.out, options.strategies)
                summaries[b.name] = summary(b)
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
        print(sizes_table(summaries), report, sep="\n")
    return min(1, print_errors(errors))


def summary(built: Built) -> dict:
    """The numbers of a dataset, as summary.json keeps them."""
    sizes = {part: len(rows) for part, rows in built.split._asdict().items()}
    drops = Counter(drop.kind for drop in built.drops)
    return {
        "read": built.read,
        "dropped": {kind: drops[kind] for kind in KINDS},
        "images_without_label": built.unlabeled,
        "sizes": {"all": sizes["train"] + sizes["test"], **sizes},
        "paper": vars(built.facts.sizes) if built.facts else None,
        "difference": built.facts.difference if built.facts else "",
        "shared_subjects": len(shared_subjects(built.split)),
    }


def sizes_table(summaries: dict[str, dict]) -> str:
    """One line a dataset: rows read and dropped, splits beside the paper's, subjects in both. Then reasons."""
    head = ["train", "paper", "lite", "paper", "test", "paper", "difference", "subjects shared"]
    lines, reasons = [["dataset", "read", *KINDS, "unlabeled", *head]], []
    for name, numbers in summaries.items():
        sizes, paper = numbers["sizes"], numbers["paper"]
        difference = sizes["all"] - paper["train"] - paper["test"] if paper else None
        pairs = [size for part in ("train", "lite", "test") for size in (sizes[part], paper[part] if paper else None)]
        cells = [name, numbers["read"], *numbers["dropped"].values(), numbers["images_without_label"], *pairs]
        lines.append([*cells, difference, numbers["shared_subjects"]])
        if numbers["difference"] and difference > 0:  # all known differences are of more rows than the paper's
            reasons.append(f"{name}: {numbers['difference']}")
    return "\n".join([table(lines), *reasons])
