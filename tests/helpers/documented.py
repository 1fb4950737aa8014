"""The commands that README and docs show, and how a test runs them."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from tests.helpers.paths import ROOT
from train.docs import pages

SWEEP = 'make sweep-demo ARGS="max_samples=240 max_steps=4"'  # in docs/cluster.md; test_sweep_demo.py runs it
FEW = "max_samples=240 max_steps=6 save_steps=2 save_total_limit=3"  # what the tests add to the demo's training
FENCED = re.compile(r"^```(bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page:number, commands) of the blocks of a language: "bash" runs anywhere, "console" needs GPUs or data."""
    listed = []
    for page in pages():
        texts = [text for kind, text in FENCED.findall(page.read_text(encoding="utf-8")) if kind == language]
        listed += [(f"{page.relative_to(ROOT)}:{number}", text) for number, text in enumerate(texts, 1)]
    return listed


def start(command: str, folder: Path, log: Path, **more: str) -> subprocess.Popen:
    """Run commands of a page in a copy of the working tree, with few steps. more: environment.

    `-o .venv/ready`: the copy must not re-install the shared .venv.
    """
    command = re.sub(r"^make ", "make -o .venv/ready ", command, flags=re.MULTILINE)
    command = command.replace("ready demo", f"ready demo ARGS={shlex.quote(FEW)}")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # not a make in a make
    env |= more
    env["PYTHONPATH"] = str(folder)  # the copy's packages, not those of the shared .venv
    with log.open("w") as output:
        return subprocess.Popen(
            ["bash", "-ec", command], cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
