"""The data card of a folder of rows: README.md in the form of a dataset of the Hugging Face hub."""

from storm.rows import PARTS
from train.cards import intended_use
from train.cards.data_folder import DataFolder, Dataset, levels, shared_subjects
from train.cards.sources import CITATION, source_of
from train.cards.texts import UNKNOWN, block, bullets, code, page, placeless, rows

IMAGES = (
    "**No image is part of this card or of croissant.json.** Rows name images by their path below an image root; get "
    "them from their owners, under their terms. Rows and tables hold labels, file names and subjects of the owners' "
    "data: whether they may be passed on is for the owners' terms to say, too."
)


def data_card(data: DataFolder, license: str) -> str:
    """The card's text. license: an id of the hub, for the rows."""
    names = list(data.datasets)
    front = {"license": license, "pretty_name": data.name, "task_categories": ["visual-question-answering"]}
    front |= {"tags": ["visual-rating", "ordinal-regression", "croissant"]}
    datasets = data.datasets.values()
    return page(
        front,
        [
            f"# {code(data.name)}",
            "Rows for LLaMA-Factory to train and test models that rate images on ordinal scales, by data_prep of "
            "STORM-recipes. Nothing was uploaded.",
            IMAGES,
            *([f"The folder also holds {', '.join(map(code, data.others))}, of which this card says nothing: check the "
               "terms before you share them."] if data.others else []),
            "## Sources",
            _sources(data),
            "## Rows",
            _sizes(data),
            "## Labels",
            "\n\n".join(_labels(dataset, data) for dataset in datasets),
            "## Duplicates and excluded rows",
            _excluded(data),
            "## Intended use",
            bullets(intended_use.intended(names)),
            "## Limits",
            bullets([*intended_use.limits(names), *_measured(data)]),
            "## Files",
            rows([["file", "bytes", "SHA-256"], *([code(f.name), f.size, code(f.sha256)] for f in data.files)]),
            "## Citation",
            _citation(data),
        ],
    )  # fmt: skip


def _sources(data: DataFolder) -> str:
    lines = [["dataset", "source", "owner's page", "terms of use", "cite"]]
    for dataset in data.datasets.values():
        source = source_of(dataset, data)
        url = f"<{source.url}>" if source.url else UNKNOWN
        lines.append([code(dataset.name), source.title, url, source.terms, source.cite])
    return f"{rows(lines)}\n\nThe terms are in a few words only: read them on the owner's page."


def _sizes(data: DataFolder) -> str:
    lines = [["dataset", "strategies", *PARTS, "subjects in train", "in test", "in test and elsewhere"]]
    for dataset in data.datasets.values():
        strategies = dict.fromkeys(strategy for strategy, _ in dataset.rows)
        who = [len(dataset.subjects.get(part, ())) or None for part in ("train", "test")]
        shared = shared_subjects(dataset) if any(who) else None
        sizes = [dataset.sizes.get(part) for part in PARTS]
        lines.append([code(dataset.name), ", ".join(map(code, strategies)), *sizes, *who, shared])
    notes = ["Rows of lite are rows of train, too. An empty cell: no such rows, or subjects unknown."]
    for dataset in data.datasets.values():
        facts = dataset.summary
        notes += [f"{code(dataset.name)}: validation rows are in train, too."] * bool(facts.get("val_in_train"))
        paper, sizes = facts.get("paper"), dataset.sizes
        if paper and any(sizes.get(part, 0) != (paper.get(part) or 0) for part in ("train", "test")):
            why = facts.get("difference") or "no reason is on record"
            sizes = f"{paper['train']:,} rows of train and {paper['test']:,} of test"
            notes.append(f"{code(dataset.name)}: the paper has {sizes}; {why}.")
    return f"{rows(lines)}\n\n{bullets(notes)}"


def _labels(dataset: Dataset, data: DataFolder) -> str:
    source, words = source_of(dataset, data), levels(dataset, data.scale)
    lines = [f"{code(dataset.name)}: {source.rule}."]
    if dataset.summary.get("score_range_of"):
        low, high = dataset.summary["score_range"]
        lines.append(f"Raw scores {low:g} to {high:g}: {code(dataset.summary['score_range_of'])}.")
    parts = [part for part in PARTS if part in dataset.labels]
    labels = sorted(set().union(*dataset.labels.values()))
    if words:
        cells = [
            [label, code(words.get(label, UNKNOWN)), *(dataset.labels[p][label] for p in parts)] for label in labels
        ]
        return "\n\n".join([" ".join(lines), rows([["label", "level", *parts], *cells])])
    return " ".join([*lines, f"Labels from {labels[0]} to {labels[-1]}, of {len(labels)} different values."])


def _excluded(data: DataFolder) -> str:
    lines = []
    for dataset in data.datasets.values():
        facts = dataset.summary
        if not facts:
            lines.append(f"{code(dataset.name)}: {UNKNOWN}, as no summary.json says it.")
            continue
        dropped = {kind: count for kind, count in (facts.get("dropped") or {}).items() if count}
        listed = ", ".join(f"{kind} {count:,}" for kind, count in dropped.items()) or "none"
        lines.append(f"{code(dataset.name)}: {facts.get('read', UNKNOWN)} rows read; excluded: {listed}.")
        lines += [f"{count:,} x {code(reason)}" for reason, count in list((facts.get("reasons") or {}).items())[:10]]
        lines += [f"{code(note)}" for note in facts.get("notes") or ()]
        settings = placeless(facts.get("settings") or {})
        built = ", ".join(f"{key} {value}" for key, value in settings.items() if value not in (None, False, [], ""))
        lines.append(f"{code(dataset.name)} was built with: {code(built)}.")
    for name, what in (("leaks.csv", "duplicates of test images in train"), ("conflicts.csv", "with different labels")):
        count = data.listed[name]
        number = UNKNOWN if count is None else f"{count:,} pairs"
        lines.append(f"Duplicates, {what}: {number}." if name != "leaks.csv" else f"{what.capitalize()}: {number}.")
    return bullets(lines)


def _measured(data: DataFolder) -> list[str]:
    lines = []
    for dataset in data.datasets.values():
        if shared := shared_subjects(dataset):
            lines.append(
                f"{code(dataset.name)}: {shared:,} subjects are in test and elsewhere: scores may be too good."
            )
        elif not any(dataset.subjects.values()):
            lines.append(f"{code(dataset.name)}: subjects unknown, so one may be in train and in test.")
        if (test := dataset.sizes.get("test", 0)) < 100:
            lines.append(f"{code(dataset.name)}: only {test} test rows, so scores have wide intervals.")
    return lines


def _citation(data: DataFolder) -> str:
    if not intended_use.facts_of(data.datasets):
        return "Unknown."
    return f"The datasets as their owners ask (links above), and the benchmark:\n\n{block(CITATION, 'bibtex')}"
