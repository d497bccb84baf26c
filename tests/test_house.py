"""The house: what may import what, and that one script and common.py are all that a run needs."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import test_dgm
import test_gan_replay
import test_grad_predict
import test_synthetic_meta

ROOT = Path(__file__).parent.parent
TINY = {"gan_replay": test_gan_replay.TINY, "dgm": test_dgm.TINY,
        "synthetic_meta": [*test_synthetic_meta.TINY, "--meta-steps", "12"],
        "grad_predict": [*test_grad_predict.TINY, "--iterations", "60"]}  # fmt: skip
OURS = {path.stem for path in ROOT.glob("*.py")} | {"beyond", "tools", "tests"}


def imports(path):
    """Which of our modules a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(f"{node.module}".partition(".")[0])
    return found & OURS


def test_arrows_point_one_way():
    """Scripts know common alone; beyond/ may know scripts, tools/ all; nothing knows tools/."""
    assert imports(ROOT / "common.py") == set()
    for script in TINY:
        assert imports(ROOT / f"{script}.py") == {"common"}
    for path in (ROOT / "beyond").glob("*.py"):
        assert imports(path) <= {"common", "dgm", "beyond"}
    for path in (ROOT / "tools").rglob("*.py"):
        assert "tests" not in imports(path)


@pytest.mark.parametrize("script", TINY)
def test_a_script_and_common_alone_train_are_killed_and_go_on(script, tmp_path):
    for name in (f"{script}.py", "common.py"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}

    def start(out):
        command = [sys.executable, f"{script}.py", *TINY[script], "--checkpoint-every", "0"]
        return subprocess.Popen([*command, "--out", out], cwd=tmp_path, env=environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip

    assert start("whole.json").wait() == 0
    run = start("killed.json")
    checkpoint = tmp_path / "killed.json.ckpt"
    while not checkpoint.exists():
        assert run.poll() is None
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (tmp_path / "killed.json").exists()
    again = start("killed.json")
    assert b"continuing from killed.json.ckpt" in again.communicate()[1] and again.returncode == 0
    whole, resumed = (json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
                      for name in ("whole", "killed"))  # fmt: skip
    assert whole["R"] == resumed["R"] and whole["metrics"] == resumed["metrics"]
    assert whole["environment"]["commit"] == "unknown"
