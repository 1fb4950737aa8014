"""A function in a process of its own, so that its memory and its faults end with it."""

import multiprocessing
import os
import re
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path


def child(pipe, log: Path, function, *args) -> None:
    """Send what function returns, or {"error": ...}, to the pipe and all that it prints to the log."""
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # for the loader's workers, as where nothing was spawned
    with log.open("w") as file:
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    caches = "HF_HOME", "XDG_CACHE_HOME", "TRITON_CACHE_DIR", "TORCH_EXTENSIONS_DIR"
    os.environ |= dict.fromkeys(caches, str(log.parent / "cache"))
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    try:
        pipe.send(function(*args))
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")
        memory = re.search("out of memory|ALLOC_FAILED", str(error))
        pipe.send({"error": "out of memory" if memory else text[:120]})


def run(seconds: float, log: Path, function, *args) -> dict:
    """What function returns in a process of its own, or {"error": ...} if it fails or takes longer."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(send, log, function, *args))
    process.start()
    send.close()
    row = {"error": "stopped: no time left"}
    try:
        if receive.poll(seconds):
            row = receive.recv()
            process.join(20)
    except EOFError:
        row = {"error": "killed"}
    finally:
        process.kill()
        with suppress(ProcessLookupError):  # its workers
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    if row.get("error", "out of memory") != "out of memory":
        print(*log.read_text(errors="replace").splitlines()[-8:], sep="\n", file=sys.stderr)
    return row
