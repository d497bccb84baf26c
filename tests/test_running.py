"""Every script as strangers run it: their data, their shell, their torch, their repository."""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import test_dgm
import test_episodic
import test_gan_replay
import test_grad_predict
import test_synthetic_meta
import torch
from PIL import Image

import common
from tools import plan

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = {"gan_replay": test_gan_replay.TINY, "dgm": test_dgm.TINY,
        "synthetic_meta": test_synthetic_meta.TINY, "grad_predict": test_grad_predict.TINY,
        "episodic": test_episodic.TINY}  # fmt: skip
EACH = pytest.mark.parametrize("script", TINY)
QUICK = [*TINY["gan_replay"], "--replay", "none", "--train-size", "200", "--test-size", "100"]


def go(script, argv):
    """Run a script in this process as its command line does."""
    main = importlib.import_module(plan.start(script).removeprefix("-m ").removesuffix(".py")).main
    common.exit_in_one_line(lambda: main(argv))


def fails(capsys, script, argv, code=2):
    """The one line with which a run ends; before an interrupt there may be others on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        go(script, argv)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == code and (len(lines) == 1 or code == 130), lines
    return lines[-1]


def shell(command, **options):
    return subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, **options)


# ---------------------------------------------------------------- a run knows the data it is of


def pictures(folder, classes=("ant", "bee", "cat", "dog"), seed=0):
    """An image folder, grey, 16x16: 20 training and 6 test images of each class."""
    rng = np.random.default_rng(seed)
    for part, n in (("train", 20), ("test", 6)):
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return folder


def other_pixels(folder):
    Image.new("L", (16, 16), 3).save(folder / "train/bee/7.png")


def renamed(folder):
    for part in ("train", "test"):
        (folder / part / "dog").rename(folder / part / "eel")


def swapped(folder):
    """Two images change places: the counts stay, the labels do not."""
    for a, b in (("ant", "tmp"), ("bee", "ant"), ("tmp", "bee")):
        (folder / f"train/{a}").mkdir(exist_ok=True)
        (folder / f"train/{b}").mkdir(exist_ok=True)
        (folder / f"train/{a}/3.png").rename(folder / f"train/{b}/3.png")
    (folder / "train/tmp").rmdir()


def relabelled(folder):
    (folder / "train/ant/0.png").rename(folder / "train/bee/ant0.png")


def more_classes(folder):
    for part in ("train", "test"):
        for name in ("fox", "gnu"):
            shutil.copytree(folder / part / "cat", folder / part / name)


CHANGES = {
    other_pixels: "other images or labels", renamed: "classes ant, bee, cat, dog, not ant",
    swapped: "other images or labels", relabelled: "20 training images of class ant, not 19",
    more_classes: "not ant, bee, cat, dog, fox, gnu",
}  # fmt: skip


@EACH
def test_a_run_does_not_go_on_with_other_data(script, tmp_path, capsys, monkeypatch):
    def flags(data_dir):
        return [*TINY[script], "--train-size", "0", "--test-size", "0", "--dataset", "zoo",
                "--data-dir", str(data_dir), "--checkpoint-every", "0",
                "--out", str(tmp_path / "r.json")]

    (tmp_path / "here").mkdir()
    pictures(tmp_path / "here/zoo")
    save = common.save_checkpoint

    def save_and_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    line = fails(capsys, script, flags(tmp_path / "here"), 130)
    assert f"continues from {tmp_path / 'r.json'}.ckpt" in line
    monkeypatch.setattr(common, "save_checkpoint", save)
    for change, says in CHANGES.items():
        there = tmp_path / change.__name__
        shutil.copytree(tmp_path / "here", there)
        change(there / "zoo")
        line = fails(capsys, script, flags(there))
        assert "made with other data" in line and says in line and "delete" in line
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "here/zoo", tmp_path / "moved/zoo")  # the same data elsewhere: goes on
    go(script, flags(tmp_path / "moved"))
    result = json.loads((tmp_path / "r.json").read_text())
    assert sorted({name for task in result["classes"] for name in task})[:2] == ["ant", "bee"]
    about = result["data"]
    assert about["classes"] == ["ant", "bee", "cat", "dog"] and about["train"] == [20] * 4
    assert about["test"] == [6] * 4 and about["checksum"] > 0
    assert len(about["shape"]) == 3


def test_classes_are_named_at_the_start_task_by_task(tmp_path, capsys):
    pictures(tmp_path / "zoo")
    argv = [*QUICK, "--train-size", "0", "--test-size", "0", "--dataset", str(tmp_path / "zoo")]
    go("gan_replay", [*argv, "--out", str(tmp_path / "r.json")])
    assert capsys.readouterr().out.startswith("classes by task: ant, bee | cat, dog\n")
    assert json.loads((tmp_path / "r.json").read_text())["classes"] == [["ant", "bee"],
                                                                       ["cat", "dog"]]  # fmt: skip


def test_blank_images_are_named_as_the_reason(tmp_path, capsys):
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "blank" / part / name).mkdir(parents=True)
            for i in range(4):
                Image.new("L", (16, 16), 200).save(tmp_path / "blank" / part / name / f"{i}.png")
    argv = [*QUICK, "--train-size", "0", "--test-size", "0", "--dataset", str(tmp_path / "blank")]
    line = fails(capsys, "gan_replay", [*argv, "--out", str(tmp_path / "r.json")])
    assert "is blank" in line and "-lr" not in line


# ----------------------------------------------------------------------- other torch, other CPU


def test_going_on_under_another_torch_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    argv = [*TINY["gan_replay"], "--checkpoint-every", "0", "--out", str(tmp_path / "r.json")]
    save = common.save_checkpoint

    def save_and_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for version in ("1.0", "2.0"):  # killed twice, under another torch each time
        monkeypatch.setattr(torch, "__version__", version)
        with pytest.raises(SystemExit):
            go("gan_replay", argv)
    monkeypatch.setattr(common, "save_checkpoint", save)
    monkeypatch.setattr(torch, "__version__", "3.0")
    capsys.readouterr()
    go("gan_replay", argv)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and "torch 2.0 on" in notes[0] and "this is torch 3.0" in notes[0]
    environment = json.loads((tmp_path / "r.json").read_text())["environment"]
    assert [m["torch"] for m in environment["machines"]] == ["1.0", "2.0", "3.0"]
    assert environment["torch"] == "3.0" and environment["cpu"]
    go("gan_replay", [*argv[:-1], str(tmp_path / "whole.json")])
    assert "note: " not in capsys.readouterr().err


def test_the_oldest_packages_are_the_lower_bounds():
    def bounds(file, sign):
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        pairs = [line.split(sign) for line in lines if line and not line.startswith("#")]
        return {name: [int(n) for n in version.split(".")] for name, version in pairs}

    allowed = bounds("requirements.txt", ">=")
    oldest = bounds("requirements-oldest.txt", "==")
    assert oldest.keys() == allowed.keys()
    for name, version in allowed.items():
        assert oldest[name] == version + [0] * (3 - len(version)), name


# ------------------------------------------------------------------------------- where it writes


@pytest.mark.parametrize("kind", ["device", "pipe", "socket", "link to a device", "folder"])
def test_what_is_no_regular_file_is_refused_and_left_as_it_is(kind, tmp_path, capsys):
    out = tmp_path / "out"
    if kind == "device":
        out = Path("/dev/null")
    elif kind == "pipe":
        os.mkfifo(out)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tmp_path):
            server.bind("out")
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to("/dev/null")
    before = out.lstat()
    line = fails(capsys, "gan_replay", [*QUICK, "--out", str(out)])
    assert "cannot write there" in line and str(out) in line
    after = out.lstat()
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)


def test_a_link_to_a_file_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/old.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real/old.json")
    go("gan_replay", [*QUICK, "--out", str(tmp_path / "link.json")])
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real/old.json").read_text())["script"] == "gan_replay"


def test_a_name_too_long_for_its_checkpoint_is_refused_before_training(tmp_path, capsys):
    most = os.pathconf(tmp_path, "PC_NAME_MAX")
    for length in (most - 11, most - 5, most):
        line = fails(capsys, "gan_replay", [*QUICK, "--out", str(tmp_path / ("x" * length))])
        assert "File name too long" in line
    out = tmp_path / ("x" * (most - 40))
    go("gan_replay", [*QUICK, "--checkpoint-every", "0", "--out", str(out)])
    assert len(list(tmp_path.iterdir())) == 1


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    go("gan_replay", [*QUICK, "--out=~/deep/r.json"])
    assert (tmp_path / "deep/r.json").exists() and not (tmp_path / "~").exists()


# ------------------------------------------------------------------------- shells and encodings


@pytest.mark.parametrize(
    "script, closed", [*((script, "2>&-") for script in TINY), ("gan_replay", "<&- >&- 2>&-")]
)
def test_closed_streams_do_not_stop_a_run(script, closed, tmp_path):
    flags = " ".join(TINY[script])
    start = f"'{sys.executable}' {plan.start(script)}"
    done = shell(f"{start} {flags} --out '{tmp_path}/r.json' {closed}")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["script"] == script


@pytest.mark.parametrize(
    "script, encoding", [*((script, "ascii") for script in TINY), ("dgm", "cp1252")]
)
def test_help_survives_other_encodings(script, encoding):
    command = [sys.executable, *plan.start(script).split(), "--help"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode(encoding)
    assert "--seed" in text and "\\u" not in text


def test_what_an_encoding_lacks_is_written_plainly():
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="plain") as stream:
        stream.write("λ_RU −0.5 ≥ Σ σ ± ☃")
        stream.flush()
        assert stream.buffer.getvalue() == b"lamda_RU -0.5 >= sum sigma +- ?"


def test_a_page_is_renewed_in_utf_8_whatever_the_locale(tmp_path):
    page = tmp_path / "page.md"
    page.write_bytes("é −\n<!-- begin t -->\n<!-- end t -->\n".encode())
    code = f"import tools.tables; tools.tables.fill_between_markers({str(page)!r}, 't', chr(955))"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment)
    assert done.returncode == 0
    assert page.read_bytes().decode() == "é −\n<!-- begin t -->\nλ\n<!-- end t -->\n"


def unnamed_encodings(text):
    """Calls that read or write text in the locale's encoding."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = {keyword.arg for keyword in node.keywords}
        strings = [v.value for v in node.args if isinstance(v, ast.Constant)]
        mode = strings[-1] if len(node.args) > 1 and strings else "r"
        opens = name == "open" and isinstance(node.func, ast.Name) and "b" not in mode
        reads = name == "read_text" or (name == "write_text" and len(node.args) == 1)
        decodes = "text" in words or "universal_newlines" in words
        if (opens or reads or decodes) and "encoding" not in words:
            yield node.lineno


@pytest.mark.parametrize("file", [str(path.relative_to(ROOT)) for some in (
    "*.py", "beyond/*.py", "tools/**/*.py") for path in sorted(ROOT.glob(some))])  # fmt: skip
def test_every_text_file_is_read_in_an_encoding_that_is_named(file):
    assert list(unnamed_encodings((ROOT / file).read_text(encoding="utf-8"))) == []


def test_an_encoding_that_is_not_named_is_found():
    for line in ("open('x')", "open('x', 'w')", "p.read_text()", "p.write_text('x')",
                 "run(c, text=True)"):  # fmt: skip
        assert list(unnamed_encodings(line)) == [1], line
    for line in ("open('x', 'rb')", "p.read_text(encoding='utf-8')", "Image.open('x')",
                 "common.write_text('page', 'x')"):  # fmt: skip
        assert list(unnamed_encodings(line)) == [], line


# ---------------------------------------------------------------------------------- messages


def test_an_interrupt_says_whether_there_is_something_to_go_on_from(tmp_path, capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "CHECKPOINTS", [])
    monkeypatch.setattr(common, "load_dataset", interrupted)
    line = fails(capsys, "gan_replay", [*QUICK, "--out", str(tmp_path / "r.json")], 130)
    assert "starts anew, as there is no checkpoint yet" in line


@EACH
def test_an_interrupt_while_packages_are_imported_is_one_line(script, tmp_path):
    """numpy, which all of them import, stands for any: its import never ends by itself."""
    (tmp_path / "numpy.py").write_text("print('begun', flush=True)\nwhile True:\n    pass\n")
    process = subprocess.Popen(
        [sys.executable, *plan.start(script).split(), "--help"], cwd=ROOT, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a foreground
    )  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    try:
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and error == "error: interrupted; nothing was begun\n"


@pytest.mark.parametrize(
    "script, package",
    [*((script, "torch") for script in TINY), ("dgm", "numpy"), ("dgm", "matplotlib"),
     ("dgm", "tqdm"), ("dgm", "torchvision")],
)  # fmt: skip
def test_a_missing_package_is_named_with_the_way_to_install_it(script, package, tmp_path):
    stop = f"""
import sys, importlib.metadata, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *rest):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
version = importlib.metadata.version
def absent(name):
    if name == {package!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = absent
"""
    (tmp_path / "sitecustomize.py").write_text(stop)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *plan.start(script).split(), "--help"]
    done = subprocess.run(command, cwd=ROOT, env=environment,
                          capture_output=True, encoding="utf-8")  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"{package} is not installed" in done.stderr and "pip install" in done.stderr


@pytest.mark.parametrize(
    "script, flags, says",
    [
        ("grad_predict", "--hidden 256,256", "--hidden 256 256"),
        ("gan_replay", "--gan-epochs 1,2,3,4", "--gan-epochs 1 2 3 4"),
        ("synthetic_meta", "--horizons 5,75", "--horizons 5 75"),
        ("gan_replay", "--gan-lr 0,01", "invalid float value: '0,01'"),
    ],
)
def test_numbers_with_commas_are_told_how_to_be_written(script, flags, says, tmp_path, capsys):
    assert says in fails(capsys, script, [*TINY[script], *flags.split()])


# ------------------------------------------------------------------------------ whose commit it is


def repository(folder, *files):
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run([*git, "init", "-q"], check=True)
    for message, some in files:
        subprocess.run([*git, "add", *some], check=True)
        subprocess.run([*git, "commit", "-q", "-m", message], check=True)
    log = subprocess.run([*git, "log", "--format=%H"], check=True, capture_output=True).stdout
    return log.decode().split()


def state_of(folder):
    """What a run takes for its commit when `folder` holds common.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "__file__", str(folder / "common.py"))
        return common._git_state()


UNKNOWN = {"commit": "unknown", "dirty": True}


def test_the_commit_is_the_last_that_touched_code_and_none_of_another_repository(tmp_path):
    ours, theirs, mixed = tmp_path / "ours", tmp_path / "theirs", tmp_path / "mixed"
    for folder in (ours, theirs / "vendor", mixed, tmp_path / "none"):
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "common.py", folder)
    (ours / "README.md").write_text("words")
    log = repository(ours, ("code", ["common.py"]), ("words", ["README.md"]))
    assert state_of(ours) == {"commit": log[1], "dirty": False}  # not HEAD: it holds no code
    (ours / "README.md").write_text("other words")
    assert not state_of(ours)["dirty"]
    (ours / "gan_replay.py").write_text("new")
    assert state_of(ours)["dirty"]
    repository(theirs, ("all", ["vendor"]))
    assert state_of(theirs / "vendor") == UNKNOWN  # a commit of theirs is none of ours
    (mixed / "main.py").write_text("theirs")
    repository(mixed, ("theirs", ["main.py"]))
    assert state_of(mixed) == UNKNOWN  # common.py lies there, but not in its commits
    assert state_of(tmp_path / "none") == UNKNOWN


def test_a_checkout_reached_by_a_link_is_still_ours(tmp_path):
    (tmp_path / "ours").mkdir()
    shutil.copy(ROOT / "common.py", tmp_path / "ours")
    log = repository(tmp_path / "ours", ("code", ["common.py"]))
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    assert state_of(tmp_path / "link")["commit"] == log[0]


def test_the_runner_of_the_suite_counts_what_pytest_says():
    import run

    says = "x\n2 failed, 14 passed, 1 skipped, 3 warnings, 1 error in 3.21s\n"
    assert run.counts(says) == {"failed": 2, "passed": 14, "skipped": 1, "warning": 3, "error": 1}
    assert run.counts("") == {}
    assert re.search(r"tests/run\.py", (ROOT / "Makefile").read_text(encoding="utf-8"))
