"""`make cuda` without a GPU: its rules, and its flow with scripts that only say what they are told.

The fake stands for all five scripts and both devices: it is on "cuda" unless it is told to be on
the CPU or sees no GPU. FAKE in the environment makes it misbehave.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cuda_check
import pytest
from test_devices import BEYOND, TINY, there
from test_devices import pytestmark as where_torch_knows_python_devices

import common

FAKE = """
import json, os, sys, time
from pathlib import Path
script, *argv = sys.argv[1:]
given = dict(zip(argv, argv[1:]))  # the last one counts, as in argparse
fake, out, seed = os.environ.get("FAKE", ""), Path(given["--out"]), int(given.get("--seed", 0))
hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
device = "cpu" if given["--device"] == "cpu" or hidden else "cuda"
checkpoint = Path(f"{out}.ckpt")
out.parent.mkdir(parents=True, exist_ok=True)
if fake == f"{script} dies" and device == "cuda":
    sys.exit("error: tensors on two devices")
resumed = checkpoint.exists()
if resumed and checkpoint.read_text() != device and fake != "accepts":
    of = checkpoint.read_text()
    print(f"error: the checkpoint was made on {of}, not on {device}: delete it", file=sys.stderr)
    sys.exit(2)
if resumed:
    print("continuing from it", file=sys.stderr)
elif "--checkpoint-every" in argv or "--slow" in argv:
    part = checkpoint.with_suffix(".part")
    part.write_text(device)
    part.replace(checkpoint)  # whole from the first moment, as the scripts' own
    time.sleep(60)
accuracy = 0.8 + 0.01 * seed - 0.4 * (fake == f"{script} learns less" and device == "cuda")
accuracy -= 0.001 * (fake == "forgets" and resumed)
longer = float(given.get("--gan-epochs", given.get("--meta-steps", given.get("--epochs", 1))))
longer = float(given.get("--iterations", longer))
result = {
    "R": [[0.1, 0.1], [accuracy, 0.1], [accuracy, accuracy]],
    "args": {"dataset": "glyphs", "meta_steps": longer, "iterations": longer, "epochs": longer,
             "batch_size": 60},
    "tasks": [{"gan_images": 64 * longer, "iterations": longer}],
    "timing": {"wall_s": 1 + longer / 1000},
    "environment": {"device": device, "peak_device_memory_mb": 7.0},
}
checkpoint.unlink(missing_ok=True)
lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
out.write_text("{" + ",\\n".join(lines) + "}")
"""
ROWS = {"none": "--method none", "icarl": "--method icarl --slow"}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Every script is the fake, in this folder."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(cuda_check, "command",
                        lambda script: [sys.executable, str(tmp_path / "fake.py"), script])
    monkeypatch.setattr(cuda_check, "versions",
                        lambda device: common.environment(cuda_check.torch.device("cpu")))
    monkeypatch.setattr(cuda_check, "dataset", lambda data_dir: "glyphs")
    monkeypatch.setattr(cuda_check, "rows_of", lambda script: [("none", ROWS["none"])])
    monkeypatch.setattr(cuda_check.torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def call(folder, *flags):
    """Exit code of a call, and its summary."""
    with pytest.raises(SystemExit) as stop:
        cuda_check.main([*flags, "--out", str(folder / "out"), "--results", str(folder / "res")])
    return stop.value.code, json.loads((folder / "out/summary.json").read_text())


def test_without_a_gpu_it_ends_in_one_line_at_once(tmp_path):
    env, begun = os.environ | {"CUDA_VISIBLE_DEVICES": ""}, time.monotonic()
    command = [sys.executable, cuda_check.__file__, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout and not list(tmp_path.iterdir())
    assert done.stderr.splitlines() == [f"error: {cuda_check.NO_GPU}"]
    assert time.monotonic() - begun < 60  # 3 s on an idle machine


def test_all_checks_pass_where_both_devices_do_the_same(fake, capsys):
    code, summary = call(fake)
    checks = summary["tiny"]["checks"] + summary["steps"]["checks"]
    assert code == 0, capsys.readouterr().err
    assert len(checks) == 5 * len(cuda_check.TINY_CHECKS) + 5
    asked = {check["check"]: check for check in checks if check["passed"] is not None}
    assert len(asked) == len(checks)
    assert asked["dgm, resume"]["equal bytes"] and asked["dgm, resume"]["repeatable"]
    assert asked["episodic, a step"]["device ms"] == pytest.approx(1 / 20)  # 2 tasks of 10
    assert [note["state"] for note in summary["rows"]["rows"]] == ["done"] * 5
    assert (fake / "out/glyphs/dgm/none-seed0.json").exists()
    page = (fake / "out/summary.md").read_text()
    assert "| dgm, resume | ✅ | equal bytes |" in page and "| dgm/none | done |" in page
    assert call(fake, "--only", "steps")[1]["tiny"] == summary["tiny"]  # stays


@pytest.mark.parametrize("wrong, named, says", [
    ("dgm dies", "dgm, every flag", "tensors on two devices"),
    ("dgm learns less", "dgm, accuracy", "accuracies differ"),
    ("forgets", "dgm, resume", "ended elsewhere: other bytes"),
    ("accepts", "dgm, other device's checkpoint", "cuda to cpu: exit code 0"),
])  # fmt: skip
def test_what_is_wrong_is_named(wrong, named, says, fake, monkeypatch, capsys):
    monkeypatch.setenv("FAKE", wrong)
    code, summary = call(fake, "--only", "tiny", "--scripts", "dgm", "episodic")
    failed = [check["check"] for check in summary["tiny"]["checks"] if check["passed"] is False]
    lines = capsys.readouterr().err.splitlines()
    assert code == 1 and named in failed and len(lines) == len(failed)
    assert any(line.startswith(f"failed: {named}: ") and says in line for line in lines), lines
    assert ("episodic, accuracy" in failed) is False
    assert f"| {named} | ❌ |" in (fake / "out/summary.md").read_text()


def test_rows_stop_when_the_minutes_are_over_and_go_on_next_time(fake, monkeypatch):
    monkeypatch.setattr(cuda_check, "rows_of", lambda script: list(ROWS.items()))
    monkeypatch.setattr(cuda_check, "plan", lambda scripts: [
        ("episodic", "icarl", ROWS["icarl"]), ("episodic", "none", ROWS["none"])])  # fmt: skip
    flags = ["--only", "rows", "--scripts", "episodic"]
    code, summary = call(fake, *flags, "--minutes", "0.05")
    states = [note["state"] for note in summary["rows"]["rows"]]
    checkpoint = fake / "res/glyphs/episodic/icarl-seed0.json.ckpt"
    assert code == 0 and states == ["begun", "waits"] and checkpoint.exists()
    assert not (fake / "out/glyphs").exists()
    code, summary = call(fake, *flags)
    assert [note["state"] for note in summary["rows"]["rows"]] == ["done", "done"]
    assert (fake / "out/glyphs/episodic/icarl-seed0.json").exists() and not checkpoint.exists()
    shutil.rmtree(fake / "res")
    monkeypatch.setenv("FAKE", "episodic dies")  # what is done is not run again
    assert call(fake, *flags)[1]["rows"]["rows"] == summary["rows"]["rows"]
    (fake / "out/glyphs/episodic/none-seed0.json").unlink()
    code, summary = call(fake, *flags)
    assert code == 1 and summary["rows"]["checks"][0]["check"] == "episodic/none"


def test_the_short_rows_come_first_and_those_never_run_last():
    order = [(script, name) for script, name, _ in cuda_check.plan(list(cuda_check.MODULES))]
    seconds = [cuda_check.reference_of(*row)["timing"]["wall_s"] for row in order
               if cuda_check.reference_of(*row)]  # fmt: skip
    assert seconds == sorted(seconds) and len(seconds) > 30
    never = order[len(seconds):]
    assert {("dgm", f"{name}-paper") for name in ("dgmw", "dgma", "joint")} <= set(never)
    assert not any(cuda_check.reference_of(*row) for row in never)


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_equal_samples_agree_and_clearly_different_ones_do_not(n):
    chance = random.Random(n)
    def sample(mean, sd=0.05):
        return [chance.gauss(mean, sd) for _ in range(n)]

    tries, slack = 10000, cuda_check.SLACK
    cuda_check.SLACK = 0.0  # t alone keeps what it promises, whatever the spread
    wrong = sum(not cuda_check.agree(sample(0.7), sample(0.7))["agree"] for _ in range(tries))
    cuda_check.SLACK = slack
    assert wrong < 0.002 * tries  # 10 are expected; with four standard errors and n = 3, 160
    assert cuda_check.agree([0.9] * n, [0.9] * n)["agree"]
    assert not cuda_check.agree([0.9] * n, [0.85] * n)["agree"]
    if n >= 4:
        for _ in range(1000):
            assert not cuda_check.agree(sample(0.7, 0.01), sample(0.5, 0.01))["agree"]


def test_a_real_script_from_the_first_check_to_the_last_row(tmp_path, monkeypatch):
    """The CPU in the GPU's place, processes as a user starts them; the smallest sizes."""
    tiny = " ".join(TINY["episodic"])
    monkeypatch.setattr(cuda_check, "LEARNS", {"episodic": f"--method none {tiny}"})
    timed = cuda_check.STEPS["episodic"]._replace(flags=f"--method none {tiny}", values=(1, 40))
    monkeypatch.setattr(cuda_check, "STEPS", {"episodic": timed})
    monkeypatch.setattr(cuda_check, "dataset", lambda data_dir: "glyphs")
    monkeypatch.setattr(cuda_check, "rows_of", lambda script: [("none", f"--method none {tiny}")])
    monkeypatch.setitem(cuda_check.test_devices.ALSO, "episodic", [])
    monkeypatch.setattr(cuda_check, "JOBS", 2)
    flags = ["--device", "cpu", "--scripts", "episodic", "--seeds", "2"]
    code, summary = call(tmp_path, *flags)
    found = {check["check"]: check for check in summary["tiny"]["checks"]}
    assert code == 0 and found["episodic, resume"]["equal bytes"]
    assert found["episodic, accuracy"]["difference"] == 0
    assert found["episodic, other device's checkpoint"]["passed"] is None
    assert summary["rows"]["rows"][0]["state"] == "done"
    assert "R" in common.read_json(tmp_path / "out/glyphs/episodic/none-seed0.json")
    assert (tmp_path / "out/summary.md").exists()


def test_a_checkpoint_of_the_other_device_is_refused_by_the_scripts_themselves(
    tmp_path, monkeypatch
):
    """beyond/episodic.py, its random state saying "cuda" where it may see a GPU."""
    (tmp_path / "run.py").write_text(f"""
import os, sys
sys.path[:0] = [{str(cuda_check.ROOT)!r}]
import common
from beyond import episodic
if os.environ.get("CUDA_VISIBLE_DEVICES") != "":
    get, put = common.rng_state, common.set_rng_state
    common.rng_state = lambda device: get(device) | {{"cuda": 0}}
    def refuse(state, device):
        if "cuda" not in state:
            raise common.UserError("the checkpoint was made on cpu, not on cuda")
        put({{k: v for k, v in state.items() if k != "cuda"}}, device)
    common.set_rng_state = refuse
common.exit_in_one_line(lambda: episodic.main(sys.argv[2:] + ["--device", "auto"]))
""")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cuda_check, "command",
                        lambda script: [sys.executable, str(tmp_path / "run.py"), script])
    flags = " ".join([*TINY["episodic"], "--method none"])
    monkeypatch.setitem(cuda_check.LEARNS, "episodic", flags)
    target = cuda_check.killed("episodic", tmp_path, "killed", False)
    Path(f"{target}.ckpt").rename(tmp_path / "moved.json.ckpt")
    found = cuda_check.refuses("episodic", "cuda", tmp_path, 2)
    assert "made on cuda, not on cpu" in found["said"]["cuda to cpu"]
    assert "made on cpu, not on cuda" in found["said"]["cpu to cuda"]


@where_torch_knows_python_devices
@pytest.mark.parametrize("script", cuda_check.MODULES)
def test_its_flags_run_where_devices_cannot_mix(script, tmp_path):
    """The flags of LEARNS and STEPS on a pretended device, at the sizes of the scripts' tests."""
    paper = ["--preset", "paper"] * (script == "dgm")  # its TINY says laptop
    runs = [[*cuda_check.LEARNS[script].split(), *TINY[script]],
            [*cuda_check.STEPS[script].flags.split(), *TINY[script], *paper]]  # fmt: skip
    for i, argv in enumerate(runs):
        argv += ["--out", str(tmp_path / f"{i}.json")]
    module = BEYOND.get(script, script)
    done = there(f"import json, {module}\nfor argv in json.loads(sys.argv[1]):\n"
                 f"    {module}.main(argv)", json.dumps(runs))  # fmt: skip
    assert done.returncode == 0, done.stderr
