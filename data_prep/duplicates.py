"""Looks for duplicates in what was built: pictures with two labels, and training pictures that are test pictures."""

from collections import Counter
from dataclasses import replace
from functools import partial

from data_prep.build import Built, without
from data_prep.conflicts import drop_conflicts
from data_prep.leaks import Leak, find_leaks
from data_prep.options import Options
from data_prep.pictures import DIGITS, pictured, read_table, uninformative, write_table
from data_prep.split import Rated, Split


def compared(built: list[Built], hashed: bool) -> list[str]:
    """The datasets whose images were compared with each other, as summary.json says it; [] if none was."""
    return sorted(b.name for b in built) if hashed else []


def learned(b: Built) -> list[Rated]:
    """The rows of train and val, each once: those of val may be in train, too."""
    ids = {row.id for row in b.split.train} if b.split.val else set()
    return b.split.train + [row for row in b.split.val if row.id not in ids]


def in_both(b: Built) -> Built | None:
    """A dataset with only the rows whose image is, under the same path, in train or val and in test; None if no image
    is."""
    tests = {row.image for row in b.split.test}
    both = {row.image for rows in (b.split.train, b.split.val) for row in rows if row.image in tests}
    if not both:
        return None
    return replace(b, split=Split(*([row for row in rows if row.image in both] for rows in b.split)))


def compare(built: list[Built], options: Options) -> str:
    """Write conflicts.csv and leaks.csv and, if wanted, take conflicts out of all parts and leaks out of train and val.
    Returns the lines that say what was found.

    Not `hashed`: only the same path in train and test is found. Rows that the tables have from earlier runs stay if
    none of their datasets was built now; what this run did not compare, they cannot say.
    """
    from data_prep.alike import first_alike

    check = partial(first_alike, options.media, workers=options.workers)
    conflicts = drop_conflicts(built, options, check)
    pictures = [
        pictured(b, row, test)
        for b in (built if options.hashed else filter(None, map(in_both, built)))
        for test, rows in ((False, learned(b)), (True, b.split.test))
        for row in rows
    ]
    out, hashed, drop = options.out, options.hashed, options.drop_leaks
    names, path, leaks = {b.name for b in built}, out / "leaks.csv", find_leaks(pictures, check)
    earlier = [leak for leak in read_table(path, Leak) if not names & {leak.train_dataset, leak.test_dataset}]
    write_table(path, Leak, sorted(earlier + leaks), hashed)
    for b in built if drop else ():
        of_dataset = [leak for leak in leaks if leak.train_dataset == b.name]
        reason = "{0.kind} duplicate of {0.test_dataset} {0.test_id!r}"
        without(b, "leak", {leak.train_id: reason.format(leak) for leak in of_dataset})
    if not hashed:
        twice = f"{len(leaks)} images are in train and in test: {path}\n" if leaks else ""
        return f"{twice}duplicates between train and test were not looked for: that takes --check decode"
    kinds = Counter(leak.kind for leak in leaks if leak.kind != "exact")
    exact = len(leaks) - kinds.total()
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    several = f" ({counts})" if set(kinds) - {"near"} else ""
    done = "taken out of train" if drop else "left in train (--drop-leaks takes them out)"
    plain = uninformative(pictures)
    unseen = sum(picture.hashes[:DIGITS] in plain for picture in pictures)
    lines = [
        f"{exact} exact and {len(leaks) - exact} near duplicates of test images{several}, {done}: {path}",
        f"compared datasets: {', '.join(compared(built, hashed))} (duplicates in any other are not seen)",
        conflicts,
    ]
    if unseen:
        lines.append(f"{unseen} images are too plain, or too much alike, to be compared by look; only their bytes were")
    return "\n".join(lines)
