"""Starts a training or a prediction as its own process, watches its loss and leaves nothing running behind."""

import fcntl
import json
import math
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from tqdm import tqdm

LOG = "output.log"
PATIENCE = 30  # seconds that a process has to end itself after a polite signal


class Stopped(Exception):
    """A run that failed, or had to be stopped; says why in one line."""


def sick(loss: float) -> str | None:
    """Why a logged training loss means that nothing is learned: NaN, infinite or exactly 0 (DeepSpeed with garbage)."""
    if loss == 0:
        return "the loss is exactly 0, so nothing is being learned (a known fault of DeepSpeed before 0.19.8)"
    if not math.isfinite(loss):
        return f"the loss is {loss} (learning_rate too high, or broken weights?)"
    return None


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Hold the lock of an output folder; yields its file descriptor, which the child inherits and so holds on to it.

    A training that outlived a killed sweep would otherwise write into the same folder as the next one. Raises Stopped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Stopped(f"{folder}: another process is writing there; wait for it, or stop it") from None
        yield lock.fileno()


def launch(command: Sequence[str], folder: Path, env: Mapping[str, str], title: str) -> None:
    """Run a command that writes to `folder` until it ends. Its output goes to <folder>/output.log.

    Shows steps and loss as the host's trainer_log.jsonl grows. Raises Stopped if the command fails, cannot be started,
    or its loss is NaN, infinite or 0: then its whole tree of processes is ended first, as it is on any exception.
    """
    log, losses = folder / LOG, folder / "trainer_log.jsonl"
    with only_one(folder) as lock, log.open("ab") as output:
        begin, position = output.tell(), losses.stat().st_size if losses.exists() else 0
        try:
            process = psutil.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=dict(env), start_new_session=True, pass_fds=[lock]
            )
        except OSError as error:
            raise Stopped(f"{command[0]}: cannot be started ({error.strerror}); make setup installs it") from None
        try:
            with tqdm(desc=title, unit="step", leave=False) as bar:
                while _running(process):
                    position = _follow(losses, position, bar)
                _follow(losses, position, bar)
        finally:
            end(process)
        if process.returncode:
            raise Stopped(f"exit code {process.returncode}: {_last_words(log, begin)} (all of it: {log})")


def _running(process: psutil.Popen) -> bool:
    """Wait for a second at most; is it still running?"""
    try:
        process.wait(1)
    except psutil.TimeoutExpired:
        return True
    return False


def _follow(losses: Path, position: int, bar: tqdm) -> int:
    """Read what the trainer log has grown by, whole lines only. Raises Stopped for a sick loss."""
    if not losses.exists():
        return position
    with losses.open("rb") as file:
        file.seek(position)
        grown = file.read()
    whole = grown[: grown.rfind(b"\n") + 1]
    for line in whole.splitlines():
        row = json.loads(line)
        bar.total, bar.n = row.get("total_steps"), row.get("current_steps", 0)
        if (loss := row.get("loss")) is not None:
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            if reason := sick(loss):
                raise Stopped(f"stopped at step {row.get('current_steps')}: {reason}")
        bar.refresh()
    return position + len(whole)


def end(process: psutil.Popen) -> None:
    """End a process and all its descendants: politely, then by force. torchrun gives its workers their own sessions."""
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in tree:
        _send(one, "terminate")
    _, alive = psutil.wait_procs(tree, timeout=PATIENCE)
    for one in alive:
        _send(one, "kill")
    psutil.wait_procs(alive, timeout=PATIENCE)


def _send(process: psutil.Process, signal: str) -> None:
    try:
        getattr(process, signal)()
    except psutil.NoSuchProcess:
        return


def _last_words(log: Path, begin: int) -> str:
    """The last error line of a log, without torchrun's own report, which comes after it."""
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 200_000))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    lines = [line.removeprefix("[rank0]: ") for line in lines]
    errors = [line for line in lines if line.split(":")[0].split(".")[-1].endswith(("Error", "Exception", "Interrupt"))]
    told = [line for line in errors if not line.startswith(("torch.distributed.elastic", "subprocess."))]
    return (told or errors or lines or ["it printed nothing"])[-1][:300]
