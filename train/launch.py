"""Starts a training or a prediction as its own process, watches its loss and leaves nothing running behind.

python -m train.launch FOLDER -- COMMAND...: the same for one command by hand. Its output goes to FOLDER/output.log.
"""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from tqdm import tqdm

from eval.inference.run import LOG
from storm.files import locked
from storm.options import Parser, print_errors

LOSSES = "trainer_log.jsonl"  # LLaMA-Factory's: a line for each logged step
HELD = "STORM_HELD"  # in the environment of a command: the folder, as an absolute path, whose lock it inherits
PATIENCE = 30  # seconds that a process has to end itself after a polite signal


class Stopped(Exception):
    """A run that failed, or had to be stopped; says why in one line."""


class Watch(NamedTuple):
    """What the progress bar of a process shows."""

    title: str
    unit: str
    update: Callable[[tqdm], None]  # called every second; may raise Stopped
    locks: bool = True  # whether we hold the folder's lock: eval/predict.py holds it by itself


def loss_fault(loss: float) -> str | None:
    """Why a logged training loss means that nothing is learned: NaN, infinite or exactly 0 (DeepSpeed with garbage)."""
    if loss == 0:
        return "the loss is exactly 0, so nothing is being learned (a known fault of DeepSpeed before 0.19.8)"
    if not math.isfinite(loss):
        return f"the loss is {loss} (learning_rate too high, or broken weights?)"
    return None


def steps_of(folder: Path, title: str) -> Watch:
    """Watch a training of the host: its steps and its loss. Raises Stopped for a loss that means a fault."""
    path = folder / LOSSES
    position = path.stat().st_size if path.exists() else 0

    def update(bar: tqdm) -> None:
        nonlocal position
        grown = _grown(path, position)
        position += len(grown)
        for row in map(_logged, grown.splitlines()):
            step, loss = row.get("current_steps", bar.n), row.get("loss")
            bar.total = row.get("total_steps", bar.total)
            if loss is not None:
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                if reason := loss_fault(loss):
                    raise Stopped(f"stopped at step {step}: {reason}")
            bar.update(step - bar.n)

    return Watch(title, "step", update)


def _logged(line: bytes) -> dict[str, float]:
    """The numbers in a line of the host's log; none in a damaged line, which must not end a training.

    By json: the host writes NaN, which orjson does not read.
    """
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return {key: value for key, value in row.items() if isinstance(value, int | float)} if isinstance(row, dict) else {}


def rows_of(folder: Path, stems: Collection[str], title: str, total: int) -> Watch:
    """Watch eval/predict.py: the rows of <stem>.jsonl and its parts in a folder, those of an earlier start, too."""
    counts: dict[Path, tuple[int, int]] = {}  # file -> bytes that were read, rows in them

    def update(bar: tqdm) -> None:
        bar.total = total
        files = [*folder.glob("*.jsonl"), *folder.glob("*.*.part")]
        for path in [path for path in files if path.name.split(".")[0] in stems]:
            position, rows = counts.get(path, (0, 0))
            grown = _grown(path, position)
            counts[path] = position + len(grown), rows + grown.count(b"\n")
        bar.update(sum(rows for path, (_, rows) in counts.items() if path in files) - bar.n)

    return Watch(title, "image", update, locks=False)


def _grown(path: Path, position: int) -> bytes:
    """The whole lines behind a position of a file; none if it is not there (any more)."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            grown = file.read()
    except FileNotFoundError:
        return b""
    return grown[: grown.rfind(b"\n") + 1]


def launch(
    command: Sequence[str], folder: Path, watch: Watch, env: Mapping[str, str] | None = None, session: bool = True
) -> None:
    """Run a command that writes to `folder` until it ends. Its output goes to <folder>/output.log.

    session: in one of its own, so that Ctrl-C reaches it only through us. The child inherits the folder's lock: a
    training that outlives a killed sweep keeps the next one out. Raises Locked; raises Stopped if the command fails,
    cannot be started, or logs such a loss: then its whole tree of processes is ended first, as it is on any exception.
    """
    log = folder / LOG
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) if watch.locks else nullcontext() as lock, log.open("ab") as output:
        begin, fds = output.tell(), [] if lock is None else [lock]
        if fds:
            env = (os.environ if env is None else env) | {HELD: str(folder.resolve())}
        how = {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": session, "pass_fds": fds}
        try:
            process = psutil.Popen(command, env=env, **how)
        except OSError as error:
            raise Stopped(f"{command[0]}: cannot be started ({error.strerror}); make setup installs it") from None
        # A log that is not a terminal gets a line every half minute.
        interval = 0.1 if sys.stderr.isatty() else 30
        try:
            with tqdm(desc=watch.title, unit=watch.unit, leave=False, mininterval=interval, miniters=1) as bar:
                while psutil.wait_procs([process], timeout=1)[1]:
                    watch.update(bar)
                watch.update(bar)
        finally:
            end(process)
        if process.returncode:
            raise Stopped(f"exit code {process.returncode}: {_last_error_line(log, begin)} (all of it: {log})")


def end(process: psutil.Popen) -> None:
    """End a process and all its descendants: politely, then by force. torchrun gives its workers their own sessions."""
    try:
        alive = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                send(member)
        _, alive = psutil.wait_procs(alive, timeout=PATIENCE)


def _last_error_line(log: Path, begin: int) -> str:
    """The last error line of a log, without torchrun's own report, which comes after it."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 200_000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    lines = [line.removeprefix("[rank0]: ") for line in lines]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    errors = [line for line in lines if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception", "Interrupt"))]
    causes = [line for line in errors if not line.startswith(("torch.distributed.elastic", "subprocess."))]
    return (ours or causes or errors or lines or ["it printed nothing"])[-1][:300]


def end_on_sigterm() -> None:
    """Let SIGTERM, by which Slurm ends a job, end the child, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m train.launch", description="Run a training, show its steps and its loss.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="its output folder; what it prints: output.log")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="behind --, for example llamafactory-cli train")
    args = parser.parse_args(argv)
    end_on_sigterm()
    try:
        launch(args.command, args.folder, steps_of(args.folder, args.folder.name), session=False)
    except (Stopped, OSError) as error:
        print_errors([error])
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    print(f"{args.folder}: {_summary(args.folder)}; all that it printed: {args.folder / LOG}")
    return 0


def _summary(folder: Path) -> str:
    try:
        state = json.loads((folder / "trainer_state.json").read_bytes())  # may hold NaN, too
        losses = [row["loss"] for row in state["log_history"] if "loss" in row]
        return f"{state['global_step']:,} steps, last loss {losses[-1]:.3f}"
    except (OSError, ValueError, LookupError, TypeError):
        return "finished"


if __name__ == "__main__":
    sys.exit(main())
