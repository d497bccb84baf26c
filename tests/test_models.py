"""Trained models: kept by --save, measured and looked at by --load; files that are not ours."""

import importlib
import io
import json
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import test_dgm
import test_gan_replay
import test_grad_predict
import test_synthetic_meta
import torch
from PIL import Image
from test_gan_replay import numbers

import common
import gan_replay

ROOT = Path(__file__).parent.parent
TINY = {
    "gan_replay": test_gan_replay.TINY,
    "synthetic_meta": test_synthetic_meta.TINY,
    "grad_predict": test_grad_predict.TINY,
    "dgm": test_dgm.TINY,
}
DRAW = [script for script in TINY if script != "grad_predict"]
EACH = pytest.mark.parametrize("script", TINY)


def go(script, *argv):
    """Run a script in this process as its command line does."""
    main = importlib.import_module(script).main
    common.exit_in_one_line(lambda: main([str(v) for v in argv]))


def fails(capsys, script, *argv, code=2):
    """The one line with which a command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        go(script, *argv)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == code and len(lines) == 1, lines
    return lines[0]


def train(script, folder, *flags):
    """A tiny model; -> its file. The result lies beside it."""
    model = folder / f"{script}.pt"
    go(script, *TINY[script], *flags, "--out", folder / "r.json", "--save", model)
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tiny model of each script."""
    return {script: train(script, tmp_path_factory.mktemp(script)) for script in TINY}


def whole(path):
    """All that a file holds; fails if that is more than tensors and plain values."""
    return torch.load(path, weights_only=True)


def equal(a, b):
    """Whether two nested values are the same, tensors to the last bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


# ------------------------------------------------------------------------------------ round trips


VARIANTS = [
    ("gan_replay", ""), ("gan_replay", "--preset improved"), ("gan_replay", "--joint"),
    ("gan_replay", "--gan mlp --shuffle-classes --seed 3"),
    ("synthetic_meta", ""), ("synthetic_meta", "--source gan"), ("synthetic_meta", "--source mlp"),
    ("synthetic_meta", "--source real --bn running"),
    ("synthetic_meta", "--preset improved --init learned --seed 1"),
    ("synthetic_meta", "--init fixed --rates one"),
    ("grad_predict", ""), ("grad_predict", "--preset improved --inputs standardised"),
    ("grad_predict", "--benchmark split --tasks 5 --method sgd"),
    ("grad_predict", "--method joint"),
    ("dgm", ""), ("dgm", "--method dgma --net resnet --shuffle-classes --seed 2"),
    ("dgm", "--preset improved --classes-per-task 2"), ("dgm", "--joint"),
    ("dgm", "--preset improved --joint"), ("dgm", "--preset improved --replay none"),
]  # fmt: skip


@pytest.mark.parametrize("script, flags", VARIANTS)
def test_a_model_that_is_loaded_gives_the_same_right_answers(script, flags, tmp_path, capsys):
    model = train(script, tmp_path, *flags.split())
    capsys.readouterr()
    torch.manual_seed(99)  # what is random elsewhere has no say
    go(script, "--load", model, "--evaluate")
    shown = capsys.readouterr().out.splitlines()
    R = json.loads((tmp_path / "r.json").read_text())["R"][-1]
    if len(set(R)) > 1:  # dgm.py --joint notes their mean alone
        assert shown[1] == f"accuracy by task {' '.join(f'{a:.3f}' for a in R)}"
    assert shown[2] == f"ACC {sum(R) / len(R):.4f}: as its run measured"
    assert whole(model)["accuracy"] == R


@EACH
def test_a_file_says_what_it_is_and_holds_plain_values(script, models):
    file = whole(models[script])
    header = {name: file[name] for name in ("project", "script", "version", "format")}
    assert header == {"project": common.PROJECT, "script": script, "format": 1,
                      "version": common.__version__}  # fmt: skip
    assert file["args"]["dataset"] == "glyphs" and file["args"]["preset"] in ("paper", "laptop")
    assert file["data"]["classes"] == list("0123456789") and len(file["data"]["shape"]) == 3
    assert file["data"]["checksum"] > 0 and "--save" in file["command"]

    def leaves(value):
        if isinstance(value, dict):
            return [leaf for v in value.values() for leaf in leaves(v)]
        return [leaf for v in value for leaf in leaves(v)] if isinstance(value, list) else [value]

    assert all(v is None or isinstance(v, (torch.Tensor, str, int, float)) for v in leaves(file))
    tensors = [v for v in leaves(file) if isinstance(v, torch.Tensor)]
    assert len({v.untyped_storage().data_ptr() for v in tensors if v.numel()}) == len(
        [v for v in tensors if v.numel()])  # no view of something larger  # fmt: skip


@EACH
def test_saving_changes_no_number(script, models, tmp_path):
    go(script, *TINY[script], "--out", tmp_path / "r.json")
    assert numbers(tmp_path / "r.json") == numbers(models[script].parent / "r.json")
    assert "save" not in json.loads((tmp_path / "r.json").read_text())["args"]


@EACH
def test_a_killed_run_goes_on_with_or_without_save_and_keeps_the_same(
    script, models, tmp_path, capsys, monkeypatch
):
    save, count = common.save_checkpoint, iter(range(1000))

    def save_and_stop(*args):
        save(*args)
        if next(count) == 2:
            raise KeyboardInterrupt

    argv = [*TINY[script], "--checkpoint-every", "0", "--out", tmp_path / "r.json"]
    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    with pytest.raises(SystemExit):  # begun without --save
        go(script, *argv)
    monkeypatch.setattr(common, "save_checkpoint", save)
    go(script, *argv, "--save", tmp_path / "m.pt")
    assert "continuing from" in capsys.readouterr().err
    ours, theirs = whole(tmp_path / "m.pt"), whole(models[script])
    for file in (ours, theirs):
        file.pop("command"), file.pop("args")
    assert equal(ours, theirs)


def test_a_run_that_is_skipped_keeps_nothing(tmp_path, capsys):
    go("gan_replay", *TINY["gan_replay"], "--gan-epochs", "1", "2", "--skip-unfit",
       "--out", tmp_path / "r.json", "--save", tmp_path / "m.pt")  # fmt: skip
    assert "skipped" in capsys.readouterr().out and not (tmp_path / "m.pt").exists()


def test_the_seed_stands_in_the_name_and_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    go("gan_replay", *TINY["gan_replay"], "--replay", "none", "--seed", "7",
       "--out=~/r.json", "--save=~/kept/m{seed}.pt")  # fmt: skip
    assert whole(tmp_path / "kept/m7.pt")["args"]["seed"] == 7


# ------------------------------------------------------------------------------------- other data


def test_other_data_are_measured_if_they_fit_and_are_asked_for(models, tmp_path, capsys):
    for name in ("a", "b", "c"):
        size = {"a": 28, "b": 28, "c": 20}[name]
        for part in ("train", "test"):
            for label in "0123456789":
                (tmp_path / name / part / label).mkdir(parents=True)
                for i in range(3):
                    pixels = np.random.default_rng(i).integers(0, 256, (size, size), dtype=np.uint8)
                    Image.fromarray(pixels).save(tmp_path / name / part / label / f"{i}.png")
    (tmp_path / "b/test/9").rename(tmp_path / "b/test/nine")
    (tmp_path / "b/train/9").rename(tmp_path / "b/train/nine")
    ask = ["--load", models["gan_replay"], "--evaluate", "--train-size", "0", "--test-size", "0"]
    go("gan_replay", *ask, "--dataset", tmp_path / "a")
    said = capsys.readouterr()
    assert "its run had" in said.out and "note" not in said.err
    go("gan_replay", *ask, "--dataset", tmp_path / "b")
    assert "note: classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, not" in capsys.readouterr().err
    line = fails(capsys, "gan_replay", *ask, "--dataset", tmp_path / "c")
    assert "10 classes, images of 1x20x20, the model has 10 classes, images of 1x28x28" in line


def test_data_that_have_changed_since_are_named(tmp_path, capsys, monkeypatch):
    model = train("grad_predict", tmp_path)
    load = common.load_dataset
    monkeypatch.setattr(common, "load_dataset", lambda *a, **k: load(*a, **k)._replace(checksum=1))
    ask = ("--load", model, "--evaluate", "--data-dir", tmp_path)  # that is no other data
    line = fails(capsys, "grad_predict", *ask)
    assert "not those of the model's run (other images or labels): give --dataset" in line


# --------------------------------------------------------------------------------------- pictures


def rows_of(path, n, size, classes=10):
    """The images of a picture, uint8 [classes, n, size, size]; 2 black pixels between any two."""
    pixels = np.asarray(Image.open(path))[..., 0]
    assert pixels.shape == (2 + classes * (size + 2), 2 + n * (size + 2))
    rows = [[pixels[r : r + size, c : c + size] for c in range(2, pixels.shape[1], size + 2)]
            for r in range(2, pixels.shape[0], size + 2)]  # fmt: skip
    return np.array(rows)


@pytest.mark.parametrize("script", DRAW)
def test_a_picture_has_a_row_for_each_class_and_the_seed_draws_others(
    script, models, tmp_path, capsys
):
    flags = ["--preset", "improved", "--final-gan"] if script == "gan_replay" else []
    model = train(script, tmp_path, *flags)
    size = whole(model)["data"]["shape"][-1]
    ask = ["--load", model, "--generate", "3", "--out"]
    capsys.readouterr()
    for name, more in {"a": [], "b": [], "c": ["--seed", "5"]}.items():
        go(script, *ask, tmp_path / f"{name}.png", *more)
    K = 3 if script == "dgm" else 10  # three tasks of one class
    top = "".join(f", {c}" for c in range(K))[2:]
    assert f"from the top: {top}\n" in capsys.readouterr().out
    a, b, c = (rows_of(tmp_path / f"{name}.png", 3, size, K) for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert (a.reshape(3 * K, -1).std(1) > 0).all()  # none is blank
    assert len(np.unique(a.reshape(3 * K, -1), axis=0)) == 3 * K


def test_a_row_holds_what_G_makes_of_that_class(tmp_path):
    import gan_replay

    path = train("gan_replay", tmp_path, "--preset", "improved", "--final-gan")
    model = common.load_model(path, "gan_replay", gan_replay.parse_args([]))
    built = gan_replay.rebuild(model, torch.device("cpu"))
    rows, past = gan_replay.draw_classes(built, model, 4), built[0]
    z = torch.randn(1000, 100, generator=torch.Generator().manual_seed(model.args.seed))
    with torch.no_grad():
        x = gan_replay.to_uint8(past.G(z, torch.arange(1000) % 10))
    for c, name in enumerate("0123456789"):
        assert torch.equal(rows[name], x[c::10][:4])


def test_images_that_the_solver_never_sees_as_a_class_are_missing_and_named(
    models, tmp_path, capsys
):
    go("gan_replay", "--load", models["gan_replay"], "--generate", "5", "--out", tmp_path / "a.png")
    said = capsys.readouterr()
    assert "note: fewer than 5 images were found of 0, " in said.err
    assert "from the top: 0, 1, 2, 3, 4, 5, 6, 7\n" in said.out  # no GAN after the last task
    assert not rows_of(tmp_path / "a.png", 5, 28, classes=8)[0].any()


def test_a_learner_is_shown_these_images(models, tmp_path):
    import synthetic_meta as sm

    model = common.load_model(models["synthetic_meta"], "synthetic_meta", sm.parse_args([]))
    built = sm.rebuild(model, torch.device("cpu"))
    rows = sm.draw_classes(built, model, 2)
    nets, data, method = built
    x = sm.pool(model.args.pool, model.args.seed, nets, data, method)
    assert torch.equal(rows["3"], sm.visible(x[3 * model.args.pool :][:2]))


@pytest.mark.parametrize("flags", ["", "--method dgma", "--classes-per-task 2"])
def test_images_after_an_early_task_are_those_that_the_run_made_then(flags, tmp_path, monkeypatch):
    import dgm

    then, note = [], dgm.note_task

    def note_and_copy(record, task, *rest, **more):
        note(record, task, *rest, **more)
        then.append(dgm.to_uint8(task.kept.snapshots[-1]).clone())

    monkeypatch.setattr(dgm, "note_task", note_and_copy)
    model = train("dgm", tmp_path, *flags.split())
    size, each = 16, 2 if "classes" in flags else 1
    assert len(then) == 3
    for after in (1, 2, 3):
        ask = ("--load", model, "--generate", "10", "--after", after)
        go("dgm", *ask, "--out", tmp_path / "a.png")
        shown = rows_of(tmp_path / "a.png", 10, size, after * each)
        stored = torch.cat(then[:after]).numpy().reshape(after * each, 10, size, size)
        assert np.array_equal(shown, stored)


# ------------------------------------------------------------------------------------ wrong input


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0, 4), (2, 3, 4, 4)])
def test_a_mask_takes_a_bit_and_comes_back_as_it_was(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    kept = common.plain({"masks": [[mask], [~mask]], "n": torch.arange(3)}, common.packed)
    assert kept["masks"][0][0]["bits"].numel() == -(-mask.numel() // 8)
    back = common.whole_again(kept)
    assert back["masks"][0][0].dtype == torch.bool
    assert torch.equal(back["masks"][0][0], mask) and torch.equal(back["masks"][1][0], ~mask)
    assert torch.equal(back["n"], torch.arange(3))


GOOD = "--load {model} --evaluate"
WRONG = [  # script, flags, what the line says
    ("gan_replay", "--evaluate", "--evaluate needs --load FILE"),
    ("grad_predict", "--generate 3", "--generate needs --load FILE"),
    ("gan_replay", "--load {model}", "either --evaluate or --generate N"),
    ("synthetic_meta", "--load {model} --evaluate --generate 3", "either --evaluate or --generate"),
    ("gan_replay", "--load {model} --generate 0", "from 1 to"),
    ("gan_replay", "--load {model} --generate 1001", "from 1 to 1000"),
    ("gan_replay", "--load {model} --generate ten", "invalid int value"),
    ("gan_replay", "--load", "expected one argument"),
    ("gan_replay", "--load {model} --generate 3 --out {tmp}/a.gif", "must end in .png"),
    ("gan_replay", "--load {model} --generate 3 --out /dev/null/a.png", "cannot write there"),
    ("gan_replay", f"{GOOD} --out {{tmp}}/a.png", "--out does not go with"),
    ("gan_replay", f"{GOOD} --n-gen 5", "--n-gen does not go with --load FILE --evaluate"),
    ("synthetic_meta", f"{GOOD} --row improved", "--row does not go with"),
    ("grad_predict", f"{GOOD} --seed 1", "--seed does not go with"),
    ("grad_predict", f"{GOOD} --save {{tmp}}/b.pt", "--save does not go with"),
    ("gan_replay", "--load {model} --generate 3 --dataset glyphs", "--dataset does not go with"),
    ("gan_replay", f"{GOOD} words", "words does not go with"),
    ("gan_replay", f"{GOOD} --device tpu", "expected auto, cpu"),
    ("gan_replay", f"{GOOD} --dataset nothing", "no dataset 'nothing'"),
    ("gan_replay", f"{GOOD} --dataset glyphs-rgb", "images of 3x32x32"),
    ("gan_replay", f"{GOOD} --test-size -1", "0 or more"),
    ("grad_predict", "--load {model} --generate 3", "grad_predict.py makes no images"),
    ("gan_replay", f"{GOOD} --after 2", "--after does not go with"),
    ("dgm", "--load {model} --generate 3 --after 4", "from 1 to 3, the tasks of this model"),
    ("dgm", "--load {model} --generate 3 --after 0", "--after takes numbers from 1"),
    ("dgm", f"{GOOD} --after 2", "--after does not go with"),
    ("dgm", "--after 2", "--after needs --load FILE"),
    ("dgm", "--load {model} --after 2", "either --evaluate or --generate N"),
    ("gan_replay", "--load {tmp}/none.pt --evaluate", "there is no file"),
    ("gan_replay", "--load {tmp} --evaluate", "there is no file"),
    ("gan_replay", "{tiny} --out {tmp}/r.json --save {tmp}", "is a folder, not a file"),
    ("gan_replay", "{tiny} --out {tmp}/r.json --save /dev/null/m.pt", "cannot write there"),
    ("grad_predict", "{tiny} --out {tmp}/r.json --save /dev/full", "not a regular file"),
    ("synthetic_meta", "{tiny} --save {tmp}/r.json --out {tmp}/r.json", "the result is written"),
    ("gan_replay", "{tiny} --out {tmp}/r.json --save {tmp}/r.json.ckpt", "the result is written"),
]  # fmt: skip


@pytest.mark.parametrize("script, flags, says", WRONG)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(
    script, flags, says, models, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    flags = flags.format(model=models[script], tmp=tmp_path, tiny=" ".join(TINY[script]))
    assert says in fails(capsys, script, *flags.split())
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("script", TINY)
@pytest.mark.parametrize("other", TINY)
def test_a_file_of_another_script_is_refused_with_the_right_command(script, other, models, capsys):
    if script != other:
        line = fails(capsys, script, "--load", models[other], "--evaluate")
        assert f"is of {other}.py: python {other}.py --load {models[other]}" in line


def test_the_picture_does_not_replace_the_model(models, tmp_path, capsys):
    model = tmp_path / "m.png"
    model.write_bytes(models["synthetic_meta"].read_bytes())
    ask = ("--load", model, "--generate", "2", "--out", model)
    assert "the model is there" in fails(capsys, "synthetic_meta", *ask)
    assert model.read_bytes() == models["synthetic_meta"].read_bytes()


def test_a_run_that_trained_no_generator_says_so(tmp_path, capsys):
    model = train("gan_replay", tmp_path, "--replay", "none")
    line = fails(
        capsys, "gan_replay", "--load", model, "--generate", "3", "--out", tmp_path / "a.png"
    )
    assert "no GAN was trained" in line
    model = train("dgm", tmp_path, "--replay", "none")
    line = fails(capsys, "dgm", "--load", model, "--generate", "3", "--out", tmp_path / "a.png")
    assert "no GAN was trained" in line
    model = train("synthetic_meta", tmp_path, "--source", "real")
    ask = ("--load", model, "--generate", "3", "--out", tmp_path / "a.png")
    assert "learn real images" in fails(capsys, "synthetic_meta", *ask)


def test_without_the_veto_old_images_are_gone(tmp_path, capsys):
    model = train("dgm", tmp_path, "--no-veto")
    ask = ("--load", model, "--generate", "3", "--out", tmp_path / "a.png", "--after", "2")
    assert "without the veto" in fails(capsys, "dgm", *ask)
    go("dgm", *ask[:-2])


def saved(value):
    """What torch.save writes of it."""
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


class Code:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch /tmp/this-must-not-be",)


def foreign(model):
    """Files that --save did not write, by what they are."""
    good, file = model.read_bytes(), whole(model)
    other = {"gan_width": 7, "gen_width": 6, "hidden": [5], "ndf": 3}
    shorter = {n: good[:n] for n in (0, 1, 100, len(good) // 2, len(good) - 1)}
    less = {name: {k: v for k, v in file.items() if k != name} for name in ("kept", "args", "data")}
    return {
        **{f"cut at {n}": part for n, part in shorter.items()},
        "json": b'{"project": 1}', "text": b"hello", "png": b"\x89PNG\r\n",
        "zeros": bytes(5000), "no nets": saved(file | {"kept": {}}),
        "pickle": pickle.dumps({"project": common.PROJECT}), "code": saved({"project": Code()}),
        "weights": saved(torch.nn.Linear(2, 3).state_dict()), "list": saved([1, 2]),
        "checkpoint": saved({"format": 2, "args": {}, "rng": {}, "state": {}}),
        "other project": saved(file | {"project": "another"}), "number": saved(3),
        "newer": saved(file | {"format": 99, "version": "9.0"}),
        **{f"no {name}": saved(part) for name, part in less.items()},
        "odd args": saved(file | {"args": [1]}), "no script": saved({"project": common.PROJECT}),
        "other nets": saved(file | {"args": {k: other.get(k, v) for k, v in file["args"].items()}}),
    }  # fmt: skip


@EACH
def test_a_file_that_save_did_not_write_is_refused_in_one_line(script, models, tmp_path, capsys):
    for what, content in foreign(models[script]).items():
        file = tmp_path / "m.pt"
        file.write_bytes(content)
        line = fails(capsys, script, "--load", file, "--evaluate")
        assert str(file) in line, what
        known = {"newer": "format 99, this code reads 1: use version 9.0",
                 "other nets": "does not fit the nets of this version"}  # fmt: skip
        assert known.get(what, "") in line, line
    assert not Path("/tmp/this-must-not-be").exists()


def test_a_flag_that_is_gone_is_named(models, tmp_path, capsys):
    file = whole(models["gan_replay"])
    older = tmp_path / "older.pt"
    older.write_bytes(saved(file | {"args": file["args"] | {"of_old": 1}, "version": "0.1"}))
    gan_replay.main(["--load", str(older), "--evaluate"])
    assert "made with --of-old, a flag of version 0.1 that is gone" in capsys.readouterr().err


def test_a_flipped_bit_is_noticed_or_changes_nothing(models, tmp_path):
    import grad_predict

    good = models["grad_predict"].read_bytes()
    theirs, defaults, refused = whole(models["grad_predict"]), grad_predict.parse_args([]), 0
    for at in np.random.default_rng(0).integers(0, len(good), 60):
        bad = bytearray(good)
        bad[at] ^= 1 << int(at) % 8
        (tmp_path / "m.pt").write_bytes(bad)
        try:
            found = common.load_model(tmp_path / "m.pt", "grad_predict", defaults)
            assert equal(found.kept, theirs["kept"]) and equal(found.data, theirs["data"])
        except common.UserError:
            refused += 1
    assert refused > 20


# --------------------------------------------------------------------------- models in reference/


KEPT = sorted((ROOT / "reference/models").glob("*.pt"))


def test_the_stored_models_are_small():
    assert sum(path.stat().st_size for path in KEPT) < 8e6


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_stored_model_is_one_that_this_version_builds_again(path, tmp_path, capsys):
    script = path.stem.partition("-")[0]
    file = whole(path)
    assert file["script"] == script and math.fsum(file["accuracy"]) / len(file["accuracy"]) > 0.6
    assert "/" not in file["args"]["data_dir"] and file["args"]["dataset"] == "mnist"
    if script in DRAW:
        go(script, "--load", path, "--generate", "2", "--out", tmp_path / "a.png")
        assert len(rows_of(tmp_path / "a.png", 2, file["data"]["shape"][1])) == 10
        assert "note" not in capsys.readouterr().err
    else:
        module = importlib.import_module(script)
        model = common.load_model(str(path), script, module.parse_args([]))
        module.rebuild(model, torch.device("cpu"))


def test_the_page_has_a_row_for_each_stored_model():
    from tools import models as page

    table = page.table(str(ROOT / "reference/models"))
    assert all(f"[{path.name}]" in table for path in KEPT) and "`–`" not in table
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert all(f"{path.name}](../reference/models/{path.name})" in text for path in KEPT)


@pytest.mark.parametrize("accuracy", [[], "0.5", [0.5, "x"], None])
def test_a_file_without_accuracies_is_one_line(accuracy, tmp_path, capsys):
    whole = torch.load(ROOT / "reference/models/grad_predict.pt", weights_only=True)
    torch.save(whole | {"accuracy": accuracy}, tmp_path / "odd.pt")
    line = fails(capsys, "grad_predict", "--load", tmp_path / "odd.pt", "--evaluate")
    assert "cannot be read, or --save did not write it" in line


def test_a_model_of_another_machines_device_is_used_on_this_one(models, tmp_path, capsys):
    whole = torch.load(models["gan_replay"], weights_only=True)
    whole["args"]["device"] = "cuda:7"
    torch.save(whole, tmp_path / "other.pt")
    out = tmp_path / "a.png"
    go("gan_replay", "--load", tmp_path / "other.pt", "--generate", "1", "--out", out)
    assert out.exists()
