"""Programs that have LLaMA-Factory imported when they start: a start takes 8 s of a processor, all of it imports.

A server imports it once. `python` and `llamafactory-cli` of a copy's environment ask it for a fork that runs their
words, with their folder, environment and files. Without SOCKET in the environment they start the real ones.

    python -m tests.helpers.warm SOCKET     the server
"""

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

SOCKET = "STORM_TESTS_WARM"
PRELOADED = ("llamafactory.launcher", "llamafactory.train.tuner", "deepspeed", "sklearn.metrics", "scipy.stats")
PRELOADED += ("transformers.models.qwen2_5_vl.modeling_qwen2_5_vl", "matplotlib.figure", "pandas")
# What the libraries read at import; as the Makefile sets it.
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
ENVIRONMENT |= {"LLAMAFACTORY_VERBOSITY": "WARN", "TRANSFORMERS_VERBOSITY": "error"}
CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys
name, words, path = os.path.basename(sys.argv[0]), sys.argv[1:], os.environ.get("{variable}")
ours = name != "python" or bool(words) and (words[0] == "-m" or words[0].endswith(".py"))
if not path or not ours:
    real = [] if name == "python" else ["{bin}/" + name]
    os.execv("{python}", ["{folder}/python", *real, *words])
with socket.socket(socket.AF_UNIX) as server:
    server.connect(path)
    asked = {{"name": name, "words": words, "folder": os.getcwd(), "environment": dict(os.environ)}}
    asked["python"] = "{folder}/python"
    content = json.dumps(asked).encode()
    socket.send_fds(server, [len(content).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(content)
    child = int.from_bytes(server.recv(4), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    code = int.from_bytes(server.recv(4), "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def write_environment(folder: Path, real: Path) -> None:
    """An environment like `real` whose `python` and `llamafactory-cli` are CLIENT."""
    (folder / "bin").mkdir(parents=True)
    for path in real.iterdir():
        if path.name != "bin":
            (folder / path.name).symlink_to(path)
    fill = {"python": real / "bin/python", "bin": real / "bin", "folder": folder / "bin", "variable": SOCKET}
    for path in (real / "bin").iterdir():
        ours = folder / "bin" / path.name
        if path.name in ("python", "llamafactory-cli"):
            ours.write_text(CLIENT.format(**fill))
            ours.chmod(0o755)
        elif path.name == "activate":
            ours.write_text(path.read_text().replace(str(real), str(folder)))
        else:
            ours.symlink_to(path)


def _run(asked: dict, files: list[int]) -> int:
    """Do what a new interpreter would. Returns the exit code."""
    import random
    import runpy
    import traceback

    os.setsid()
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    random.seed()
    sys.executable, words = asked["python"], asked["words"]
    sys.path[0:0] = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    try:
        if asked["name"] == "llamafactory-cli":
            from llamafactory.cli import main

            sys.argv = [asked["name"], *words]
            main()
        elif words[0] == "-m":
            sys.path.insert(0, asked["folder"])
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _answer(asker: socket.socket) -> None:
    """Run one program, and kill it if who asked for it is killed."""
    import atexit
    import select
    import signal

    size, files, _, _ = socket.recv_fds(asker, 4, 3)
    content = b""
    while len(content) < int.from_bytes(size, "big"):
        content += asker.recv(1 << 16)
    child = os.fork()
    if not child:
        asker.close()
        code = _run(json.loads(content), files)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)
    for file in files:
        os.close(file)
    asker.sendall(child.to_bytes(4, "big"))
    ended = os.pidfd_open(child)
    if ended not in select.select([ended, asker], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(BrokenPipeError):
        asker.sendall(code.to_bytes(4, "big", signed=True))
    os._exit(0)


def main(path: str) -> None:
    import importlib

    running: list[int] = []
    for name in PRELOADED:
        importlib.import_module(name)
    sys.path[:] = [place for place in sys.path if place and Path(place).resolve() != Path.cwd()]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            asker, _ = server.accept()
            running.append(os.fork())
            if not running[-1]:
                server.close()
                _answer(asker)
            asker.close()
            running = [child for child in running if not os.waitpid(child, os.WNOHANG)[0]]


if __name__ == "__main__":
    main(sys.argv[1])
