"""dgm.py under torchrun: two processes learn what one learns, and end together."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_dgm import ROOT, TINY, numbers

WORKER = """
import sys
import torch
sys.path.insert(0, {root!r})
import common, dgm

out, *argv = sys.argv[1:]
torch.set_default_dtype(torch.float64)  # so that rounding cannot hide or imitate a mistake
dgm.to_float = lambda x: x.double() / 127.5 - 1
dgm.evaluate = lambda net, data, n_seen: [0.0] * len(data["tasks"])
learn = dgm.learn_task

def spy(nets, data, t, *rest):
    learn(nets, data, t, *rest)
    G = nets["G"]
    state = {{f"W {{i}}": x.detach() for i, x in enumerate(G.W)}}
    state |= {{f"e {{i}}": x.detach() for i, x in enumerate(G.e)}}
    state |= {{f"mask {{i}}": x.double() for i, x in enumerate(G.masks[t])}}
    state |= {{f"own {{k}}": x.double() for k, x in G.own.state_dict().items()}}
    state |= {{f"D {{k}}": x.double() for k, x in nets["D"].state_dict().items()}}
    torch.save(state, f"{{out}}-{{dgm.processes()[0]}}-{{method}}-{{t}}")

def both():
    global method
    for method in ("dgmw", "dgma"):
        dgm.main([*argv, "--method", method])
        dgm.meet = lambda args: torch.device("cpu")  # they have met

dgm.learn_task = spy
common.exit_in_one_line(lambda: dgm.as_one(both))
assert not torch.distributed.is_initialized()  # else gloo's threads may abort this process
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]


def torchrun(command, **options):
    command = [*TORCHRUN, *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_two_processes_learn_what_one_learns_from_the_whole_batch(tmp_path):
    """20 steps of the GAN in each of two tasks, then the classifier: all weights, all masks.

    Once with DGMw, once with DGMa.
    """
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER.format(root=str(ROOT)))
    flags = ["--norm", "batch", "--tasks", "2", "--epochs", "5", "--gp-batch-size", "8",
             "--out", tmp_path / "r.json"]  # fmt: skip
    done = torchrun([worker, tmp_path / "two", *TINY, *flags])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("task 1/2") == 2  # one process speaks, of two runs
    subprocess.run([sys.executable, worker, tmp_path / "one", *TINY, *flags], check=True)
    for run in ("dgmw-0", "dgmw-1", "dgma-0", "dgma-1"):  # each task of each method
        names = ("two-0", "two-1", "one-0")
        first, second, alone = (torch.load(tmp_path / f"{name}-{run}") for name in names)
        assert first.keys() == alone.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key
            exact = key.startswith("mask")
            assert torch.allclose(value, alone[key], rtol=0, atol=0 if exact else 1e-5), key


def test_torchrun_killed_and_started_again_ends_in_the_same_bytes(tmp_path):
    flags = [ROOT / "dgm.py", *TINY, "--norm", "batch", "--checkpoint-every", "0"]
    whole, target = tmp_path / "whole.json", tmp_path / "killed.json"
    assert torchrun([*flags, "--out", whole]).returncode == 0
    process = subprocess.Popen([*map(str, [*TORCHRUN, *flags, "--out", target])],
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # fmt: skip
    checkpoint, deadline = Path(f"{target}.ckpt"), time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert checkpoint.exists() and not target.exists()
    again = torchrun([*flags, "--out", target])
    assert again.returncode == 0 and "continuing from" in again.stderr
    assert numbers(target) == numbers(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.json", "whole.json"]
    assert json.loads(target.read_text())["environment"]["processes"] == 2


@pytest.mark.parametrize(
    "edit, says",
    [
        ("", "--batch-size is shared by 2 processes"),
        ("if os.environ['RANK'] == '1': raise common.RunError('out of luck')", "out of luck"),
        ("if os.environ['RANK'] == '1': os._exit(9)", "another process has ended"),
    ],
)
def test_when_one_process_fails_all_end_and_one_line_says_why(edit, says, tmp_path):
    worker, out = tmp_path / "worker.py", tmp_path / "r.json"
    worker.write_text(
        f"import os, sys\nsys.path.insert(0, {str(ROOT)!r})\nimport common, dgm\n"
        "learn = dgm.train_epoch\n"
        f"def spy(*args):\n    {edit or 'pass'}\n    return learn(*args)\n"
        "dgm.train_epoch = spy\ncommon.exit_in_one_line(lambda: dgm.as_one(dgm.main))\n"
    )
    odd = [] if edit else ["--batch-size", "15"]
    done = torchrun([worker, *TINY, *odd, "--out", out], timeout=240)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and len(lines) == 1 and says in lines[0]
    assert not out.exists()
