"""recipes/slurm.sh hands a Slurm job to the sweep, and two machines started as it starts them train as one."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.warm import write_environment
from train.recipe import header

SCRIPT = ROOT / "recipes" / "slurm.sh"
# What Slurm sets in a batch job of 4 machines of 8 GPUs.
SLURM = {
    "SLURM_JOB_ID": "123456",
    "SLURM_JOB_NODELIST": "gpu[07-10]",
    "SLURM_NNODES": "4",
    "SLURM_GPUS_ON_NODE": "8",
    "SLURM_CPUS_PER_TASK": "64",
}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def root(tmp_path) -> Path:
    """A repository with nothing but what the script looks for; its python prints how it was called."""
    for folder in ("train", "recipes"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root/train/sweep.py").touch()
    call = "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.getcwd(), os.getpid(), dict(os.environ)]))\n"
    program(tmp_path / "root/.venv/bin/python", f"#!{sys.executable}\n{call}")
    program(
        tmp_path / "bin/scontrol", '#!/bin/sh\n[ "$*" = "show hostnames gpu[07-10]" ] && printf "gpu%s\\n" 07 08 09 10'
    )
    # Slurm runs a copy, elsewhere.
    shutil.copy(SCRIPT, tmp_path / "slurm_script")
    return tmp_path / "root"


def submit(root: Path, *arguments: str, env: dict[str, str] = SLURM, folder: Path | None = None):
    """What the script prints and returns, and its process id."""
    env = {"PATH": f"{root.parent}/bin:/usr/bin:/bin", "SLURM_SUBMIT_DIR": str(folder or root)} | env
    script = ["bash", str(root.parent / "slurm_script"), *arguments]
    process = subprocess.Popen(script, cwd="/", env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=300)
    finally:
        process.terminate()
    return out, err, process


def test_the_script_is_clean():
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)
    checker = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run([str(checker), str(SCRIPT)], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_it_asks_for_the_papers_gpus_and_for_a_log_that_slurm_can_open():
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SCRIPT.read_text(encoding="utf-8"), re.M))
    assert int(asked["nodes"]) * int(asked["gpus-per-node"]) == header(ROOT / "recipes/storm_lite.yaml").gpus == 32
    assert asked["ntasks-per-node"] == "1", "torchrun starts a machine's processes"
    assert "/" not in asked["output"], "Slurm makes no folder: the job would fail without a word"
    assert {"requeue", "open-mode", "signal"} <= set(asked)


def test_the_sweep_gets_the_arguments_and_where_to_meet(root):
    out, err, process = submit(root, "table4", "--only", "storm_lite", "output=a  b")
    assert (process.returncode, err) == (0, "")
    arguments, folder, pid, env = json.loads(out)
    assert arguments == ["train/sweep.py", "table4", "--only", "storm_lite", "output=a  b"]
    assert folder == str(root)
    assert pid == process.pid, "the shell became the sweep, so Slurm's SIGTERM reaches it"
    for name in ("_", "PWD", "OLDPWD", "SHLVL", "LC_CTYPE"):  # bash's and Python's own
        env.pop(name, None)
    assert env == SLURM | {
        "SLURM_SUBMIT_DIR": str(root),
        "PATH": f"{root}/.venv/bin:{root.parent}/bin:/usr/bin:/bin",
        "MASTER_ADDR": "gpu07",
        "MASTER_PORT": "23456",
        "NNODES": "4",
        "NPROC_PER_NODE": "8",
        "FORCE_TORCHRUN": "1",
        "SRUN_CPUS_PER_TASK": "64",
    }


def test_what_is_missing_is_named_in_one_line(root):
    for missing, named in (
        ({"env": {}}, "start it with sbatch"),
        ({"folder": root / "recipes"}, f"no train/sweep.py in {root}/recipes"),
    ):
        out, err, process = submit(root, "table4", **missing)
        assert (process.returncode, out, err.count("\n")) == (2, "", 1) and named in err
    shutil.rmtree(root / ".venv")
    out, err, process = submit(root, "table4")
    assert (
        (process.returncode, out, err.count("\n")) == (2, "", 1) and err.endswith("make setup\n") and str(root) in err
    )


def test_the_fake_srun_counts_machines_and_stops_all_when_one_fails():
    srun = [
        str(ROOT / "tests/helpers/fake_srun"),
        "--nodes=3",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        "bash",
        "-c",
    ]
    ran = subprocess.run(
        [*srun, 'echo $SLURM_NODEID of $SLURM_NNODES "$@"', "-", "a  b"], capture_output=True, text=True
    )
    assert (ran.returncode, sorted(ran.stdout.splitlines())) == (0, [f"{i} of 3 a  b" for i in range(3)])
    # 143 is what Slurm 22.05 returns, too: 7 is less than 128 + SIGTERM, by which the others end.
    failed = subprocess.run([*srun, "[ $SLURM_NODEID = 1 ] && exit 7; exec sleep 60"], timeout=30)
    assert failed.returncode == 143


@pytest.mark.slow
def test_two_machines_train_as_one(root, warm, tmp_path, monkeypatch):
    """From the script to the last step, but for Slurm itself; the sweep is reduced to its one line for a training."""
    import numpy as np
    from PIL import Image

    from demo import model
    from storm.files import read_jsonl, write_jsonl
    from storm.rows import Example, to_row
    from storm.scales import IQA

    monkeypatch.setattr(model, "OUT", root / "saves/demo_base")
    model.main([])
    shutil.copy(ROOT / "dataset_info.json", root)
    shutil.copy(ROOT / "recipes/demo.yaml", root / "recipes")
    rng, rows, each = np.random.default_rng(0), [], 16  # rows a machine takes in a step
    (root / "data/demo").mkdir(parents=True)
    for number in range(3 * 2 * each):
        name, label = f"{number}.png", number % 5
        Image.fromarray(rng.integers(0, 256, (56, 56, 3), dtype=np.uint8)).save(root / "data/demo" / name)
        rows.append(to_row(Example(str(number), "demo", name, label, IQA, "cot")))
    write_jsonl(root / "data/demo/demo_train.jsonl", rows)

    train = ["llamafactory-cli", "train", "recipes/demo.yaml", f"per_device_train_batch_size={each}", "logging_steps=1"]
    (root / "train/sweep.py").write_text(
        "import os\nfrom train.machines import machines, on_all_machines\n"
        f"command = on_all_machines({[*train, 'num_train_epochs=1']}, machines())\nos.execvp(command[0], command)\n"
    )
    shutil.rmtree(root / ".venv")
    write_environment(root / ".venv", Path(sys.prefix))
    (tmp_path / "bin/srun").symlink_to(ROOT / "tests/helpers/fake_srun")
    program(tmp_path / "bin/scontrol", "#!/bin/sh\necho 127.0.0.1")
    port = random.randrange(20000, 30000)
    while socket.socket().connect_ex(("127.0.0.1", port)) == 0:
        port = random.randrange(20000, 30000)
    env = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    env |= {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= warm | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "LLAMAFACTORY_VERBOSITY": "INFO"}
    env |= SLURM | {"SLURM_JOB_ID": str(port - 20000), "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1"}
    out, err, process = submit(root, env=env)

    assert process.returncode == 0, err[-3000:]
    for rank in (0, 1):
        assert f"Process rank: {rank}, world size: 2" in out + err
    steps = [line.row for line in read_jsonl(root / "saves/demo/trainer_log.jsonl")]
    assert [step["loss"] > 0 for step in steps if "loss" in step] == [True] * 3
    assert (steps[-1]["current_steps"], steps[-1]["epoch"]) == (3, 1.0), "a step is 16 rows of each machine"
