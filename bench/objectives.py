"""Do ordinal objectives beat plain training? python -m bench.objectives [--seeds N] [--jobs N] [--out FILE] [--tiny].

Trains the demo's tiny model on photographs with five distortions and simulated raters (rated_crops.py), plainly (sft)
and with each objective, as train/run.py does. Settings are chosen by the RPS of val rows, from equally many TRIALS of
each. Then each objective trains with its chosen settings on other splits, one a seed, and is compared with sft on the
photographs that were tested (objective_scores.py). Each training is a process of its own with one thread, --jobs at a
time. With --out, results are kept as they come, and the same command goes on with what is missing.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from bench import objective_scores as scores
from bench.child_process import run
from bench.objective_training import Training, prepare, train
from bench.rated_crops import rows_file
from storm.files import append_jsonl, cut_unfinished, read_jsonl
from storm.options import Parser, positive
from storm.rows import Example, read_examples
from storm.text import table

CHOICE = 0  # the seed whose split the settings are chosen on; the others are 1, 2, ...
TINY = {"crops": 1, "first": 5, "steps": 5, "trials": 2}  # with --tiny: it runs, and shows nothing
WHOLE = {"crops": 6, "first": 900, "steps": 0, "trials": 4}

# Four of each: plain training has only its rate to choose, the others settings of their own at two rates. Four epochs.
RATES = ({"learning_rate": 1.25e-4}, {"learning_rate": 2.5e-4}, {"learning_rate": 5e-4}, {"learning_rate": 1e-3})
MIXED = ({"sft": 1.0, "target": "label", "weight": 10.0}, {"sft": 1.0, "target": "votes", "weight": 10.0})
OWN = {"soft": ({"target": "votes"}, {"target": "normal", "width": "fit"}), "expected": MIXED, "emd": MIXED}
TRIALS: dict[str, list[dict]] = {scores.BASE: [*RATES]}
TRIALS |= {name: [keys | rate for keys in own for rate in RATES[1:3]] for name, own in OWN.items()}


@dataclass
class Runs:
    """Trainings, `jobs` at a time, until the time is over."""

    work: Path
    jobs: int
    steps: int
    ends: float  # time.monotonic()
    out: Path | None
    facts: dict  # of all results: another machine or other data would give others
    results: dict[str, dict] = field(default_factory=dict)  # name of a training -> what train() returns
    longest: float = 0.0  # seconds of a training
    missing: dict[str, str] = field(default_factory=dict)  # name -> why

    def __post_init__(self) -> None:
        self.pool, self.writing = ThreadPoolExecutor(self.jobs), Lock()
        if self.out and self.out.exists():
            cut_unfinished(self.out)
            rows = [line.row for line in read_jsonl(self.out) if not line.fault]
            kept = [row for row in rows if row["facts"] == self.facts]
            self.results = {row["name"]: row for row in kept}
            print(f"{self.out}: {len(kept)} trainings are there, {len(rows) - len(kept)} of other data or machines")

    def start(self, training: Training) -> Future:
        return self.pool.submit(self._run, training)

    def _run(self, training: Training) -> dict | None:
        name, begin = training.name, time.monotonic()
        if name in self.results:
            return self.results[name]
        if self.ends - begin < self.longest:
            self.missing[name] = "not started, for lack of time"
            return None
        (self.work / name).mkdir(exist_ok=True)
        row = run(max(0, self.ends - begin), self.work / name / "log", train, self.work, training, self.steps)
        if "error" in row:
            self.missing[name] = row["error"]
            return None
        self.longest = max(self.longest, time.monotonic() - begin)
        self.results[name] = row
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
        if self.out:
            with self.writing:
                append_jsonl(self.out, [{"name": name, "facts": self.facts} | row])
        return row


def examples(work: Path, training: Training) -> list[Example]:
    return list(read_examples(rows_file(work, f"split{training.seed}", training.part)))


def chosen(runs: Runs, name: str, trials: Mapping[int, tuple[Training, Future]]) -> dict | None:
    """The keys of the trial that is best on val; None if not all were run."""
    if any(future.result() is None for _, future in trials.values()):
        runs.missing[f"{name}, all seeds"] = "its settings are not chosen"
        return None
    errors = {}
    for number, (training, future) in trials.items():
        errors[number] = scores.val_error((examples(runs.work, training), future.result()["probs"]))
        print(f"{scores.CHOSEN_BY} {errors[number]:.4f} on val: {training.name}", flush=True)
    return dict(trials[min(errors, key=errors.get)][0].keys)


def compare(runs: Runs, seeds: range, count: int) -> None:
    """Run all, and print the tables. count: of trials."""
    trials = {}
    for name, several in TRIALS.items():
        trainings = [Training(name, CHOICE, "val", keys) for keys in several[:count]]
        trials[name] = {number: (training, runs.start(training)) for number, training in enumerate(trainings)}
    keys, finals = {}, {}
    for name, of_name in trials.items():
        keys[name] = chosen(runs, name, of_name)
        trainings = [Training(name, seed, "test", keys[name]) for seed in seeds] if keys[name] else []
        finals[name] = [(training, runs.start(training)) for training in trainings]
    results, cost, head = {}, [scores.COST], [scores.HEAD]
    for name, of_name in finals.items():
        done = [(training, future.result()) for training, future in of_name if future.result()]
        if done:
            results[name] = {training.seed: (examples(runs.work, training), row["probs"]) for training, row in done}
            head.append(scores.score_row(name, scores.words(keys[name]), results[name]))
            cost.append(scores.cost_row(name, [row for _, row in done]))
    for rows in (head, [scores.AGAINST, *scores.against_base(results)], cost):
        print(f"\n{table(rows, 'markdown')}")
    for name, why in runs.missing.items():
        print(f"Not there: {name}: {why}")


def main() -> None:
    start = time.monotonic()
    parser = Parser(prog="python -m bench.objectives", description=__doc__.split(": python")[0])
    parser.add_argument("--seeds", type=positive, default=5, help="trainings of each that are compared (default: 5)")
    parser.add_argument("--jobs", type=positive, default=os.cpu_count(), help="trainings at a time (default: cores)")
    parser.add_argument("--out", type=Path, help="JSONL with the results, kept as they come; goes on from there")
    parser.add_argument("--work", type=Path, help="folder for images, models and logs; default: a temporary one")
    parser.add_argument("--limit-s", type=float, default=7200, help="seconds in all; what does not fit is named")
    parser.add_argument("--tiny", action="store_true", help="few rows, steps and trials: shows that it runs")
    args = parser.parse_args()
    size, seeds = TINY if args.tiny else WHOLE, range(CHOICE + 1, CHOICE + 1 + args.seeds)
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        facts = run(args.limit_s, work / "prepare.log", prepare, work, [CHOICE, *seeds], size["crops"], size["first"])
        if "error" in facts:
            parser.exit(1, f"error: {facts['error']}\n")
        print(f"{facts['device']}, torch {facts['versions']['torch']}; rows: {facts['rows']}")
        print(f"{len(TRIALS) * (size['trials'] + args.seeds)} trainings, {args.jobs} at a time", flush=True)
        os.environ["OMP_NUM_THREADS"] = "1"  # of each training
        runs = Runs(work, args.jobs, size["steps"], start + args.limit_s, args.out, facts | {"steps": size["steps"]})
        compare(runs, seeds, size["trials"])


if __name__ == "__main__":
    main()
