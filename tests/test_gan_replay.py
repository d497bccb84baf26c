"""gan_replay.py: its equations, its loop, the command line, killing and resuming."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import common
import gan_replay
from tools import draw, runs

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = (
    "--dataset glyphs --train-size 600 --test-size 300 --n-gen 100 --gan-epochs 1 --gan-width 8 "
    "--solver-epochs 1 --device cpu --threads 1"
).split()
FEW_STEPS = {"paper": [], "improved": "--gan-steps 8 --solver-steps 6".split()}


def parse(*flags):
    return gan_replay.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    gan_replay.main([*TINY, *flags, "--out", str(path)])
    return json.loads(Path(path).read_text())


def numbers(path):
    """The lines of a result that must not depend on the machine's speed, the date or the path."""
    skip = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')
    return [line for line in Path(path).read_text().splitlines() if not line.startswith(skip)]


# ------------------------------------------------------------------------------------ equations


def test_losses_against_the_written_out_logarithms():
    real, fake = torch.randn(9, dtype=torch.double), torch.randn(9, dtype=torch.double)
    sigma = [[1 / (1 + math.exp(-v)) for v in score.tolist()] for score in (real, fake)]
    by_hand = -sum(math.log(p) for p in sigma[0]) / 9 - sum(math.log(1 - p) for p in sigma[1]) / 9
    assert gan_replay.discriminator_loss(real, fake).item() == pytest.approx(by_hand)
    by_hand = -sum(math.log(p) for p in sigma[1]) / 9
    assert gan_replay.generator_loss(fake).item() == pytest.approx(by_hand)


def test_projection_discriminator_against_a_loop():
    D = gan_replay.ToldDiscriminator("conv", (1, 28, 28), 8, 10)
    x, y = torch.randn(4, 1, 28, 28), torch.tensor([3, 0, 3, 9])
    h = D.features(x)
    for i in range(4):
        score = (D.score.weight[0] * h[i]).sum() + D.score.bias[0]
        score = score + (D.classes.weight[y[i]] * h[i]).sum()
        assert D(x, y)[i].item() == pytest.approx(score.item(), abs=1e-5)


@pytest.mark.parametrize("kind", ["conv", "mlp"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_shapes_and_ranges(kind, shape):
    G = gan_replay.ToldGenerator(kind, shape, 8, 10)
    D = gan_replay.ToldDiscriminator(kind, shape, 8, 10)
    z, y = torch.randn(5, 100), torch.arange(5)
    x = G(z, y)
    assert x.shape == (5, *shape) and x.abs().max() <= 1
    assert D(x, y).shape == (5,)
    assert not torch.allclose(G(z, y), G(z, y + 1))  # it listens to the class


def test_bytes_and_floats_are_inverse():
    x = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(gan_replay.to_uint8(gan_replay.to_float(x)), x)
    assert gan_replay.to_float(x).min() == -1 and gan_replay.to_float(x).max() == 1


def test_augment_of_nothing_is_the_identity_and_moves_at_most_so_far():
    x = -torch.ones(64, 1, 28, 28)
    x[:, :, 13:15, 13:15] = 1
    assert torch.allclose(common.augment(x, 0.0), x, atol=1e-4)
    moved = common.augment(x, 0.2) + 1  # ink, 0 elsewhere
    rows = (moved.sum((1, 3)) * torch.arange(28)).sum(1) / moved.sum((1, 2, 3))
    assert rows.std() > 0.5 and (rows - 13.5).abs().max() < 0.2 * 14 * 1.5


# ---------------------------------------------------------------------------- drawing the past


class Stub(nn.Module):
    """A generator whose images say which class they are: brightness; a solver that reads it."""

    def __init__(self, classes):
        super().__init__()
        self.classes = torch.tensor(classes)

    def forward(self, z, y):
        c = self.classes[(z[:, 0].abs() * 1000).long() % len(self.classes)]
        return (c.float() / 10 - 0.5)[:, None, None, None].expand(-1, 1, 4, 4)


class Reader(nn.Module):
    def forward(self, x):
        c = ((x.mean((1, 2, 3)) + 0.5) * 10).round().long().clamp(0, 9)
        return F.one_hot(c, 10).float() * 5


def taken(G, n, seen, *flags):
    """n images of 4x4 pixels, as a run with these flags takes them from G: x, target, y."""
    args, data = parse(*flags), types.SimpleNamespace(x=torch.zeros(1), seen=lambda t: seen)
    take = gan_replay.generate_balanced if args.balance else gan_replay.generate
    return take(data, 1, n, gan_replay.Nets(Reader(), G, None), 0, args)[:3]


def test_generated_images_are_labelled_by_the_solver():
    x, target, y = taken(Stub([0, 1, 2, 3]), 1500, [0, 1, 2, 3])
    assert len(x) == len(target) == len(y) == 1500
    assert torch.equal(y, Reader()(gan_replay.to_float(x)).argmax(1))
    assert torch.equal(target, F.one_hot(y, 10).float())
    x, soft, y = taken(Stub([0, 3]), 10, [0, 1, 2, 3], "--conditional")
    assert y.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]  # what was asked for
    assert torch.allclose(soft, Reader()(gan_replay.to_float(x)).softmax(1))
    assert (soft < 1).all()


def test_balanced_drawing_meets_its_quota_and_gives_up_when_a_class_is_missing(monkeypatch):
    skewed = Stub([0, 0, 0, 0, 0, 1, 1, 2, 2, 3])
    y = taken(skewed, 402, [0, 1, 2, 3], "--balance")[2]
    assert torch.bincount(y, minlength=10).tolist() == [101, 101, 100, 100, 0, 0, 0, 0, 0, 0]
    monkeypatch.setattr(gan_replay, "MAX_GENERATED", 5)
    drawn, G = [], Stub([0, 1, 2])
    G.register_forward_hook(lambda *_: drawn.append(1000))
    y = taken(G, 400, [0, 1, 2, 3], "--balance")[2]
    assert torch.bincount(y, minlength=4).tolist() == [100, 100, 100, 0]
    assert sum(drawn) == 2000  # 5 times 400, then no more


def test_a_result_counts_the_images_drawn():
    """As many as G was asked for, not as many as were kept."""
    args = parse("--train-size", "1000", "--n-gen", "700", "--balance", "--classes-per-task", "1")
    data, drawn, G = gan_replay.load_data(args, CPU), [], Stub([0, 0, 0, 0, 0, 0, 0, 1])
    G.forward = lambda z, y: Stub.forward(G, z, y)[..., :1, :1].expand(-1, 1, 28, 28)
    G.register_forward_hook(lambda *_: drawn.append(gan_replay.CHUNK))
    nets, record = gan_replay.Nets(Reader(), G, None), gan_replay.Record()
    for t in range(3):
        drawn.clear()
        gan_replay.describe(data, t, gan_replay.mix(data, t, nets, args), record, args)
    assert "drawn" not in record.tasks[0] and record.tasks[2]["drawn"] == sum(drawn)
    assert sum(record.tasks[2]["replayed"]) == 1400 < 3000 < sum(drawn)


@pytest.mark.parametrize(
    "flags, sizes, stored",
    [
        (["--replay", "none"], [200, 200, 200], [0, 0, 0]),
        (["--n-gen", "50"], [200, 250, 300], [0, 0, 0]),  # grows with the task
        (["--n-gen", "50", "--n-gen-mode", "total"], [200, 250, 250], [0, 0, 0]),
        (["--replay", "real", "--n-gen", "50"], [200, 250, 300], [0, 50, 100]),
        (["--replay", "real", "--n-gen", "9000"], [200, 400, 600], [0, 200, 400]),
        (["--replay", "real", "--n-gen", "50", "--n-gen-mode", "total"], [200, 250, 250],
         [0, 50, 50]),
        (["--replay", "real", "--n-gen", "50", "--n-gen-mode", "total", "--balance"],
         [200, 400, 600], [0, 50, 50]),
    ],
)  # fmt: skip
def test_the_mix_has_the_right_size_and_stores_no_more_than_it_says(flags, sizes, stored):
    args = parse("--train-size", "1000", *flags)
    data = gan_replay.load_data(args, CPU)
    G = Stub([0, 1, 2])
    G.forward = lambda z, y: torch.zeros(len(z), 1, 28, 28)
    nets, record = gan_replay.Nets(Reader(), G, None), gan_replay.Record()
    for t in range(3):
        mixed = gan_replay.mix(data, t, nets, args)
        gan_replay.describe(data, t, mixed, record, args)
        assert len(mixed.x) == len(mixed.target) == len(mixed.y) == sizes[t]
        assert record.tasks[t]["stored"] == stored[t] and mixed.new == 200
        assert set(mixed.y[:200].tolist()) == set(data.tasks[t])


def test_a_smaller_memory_is_a_part_of_the_larger_one():
    """What a task stored is given up in part when new tasks come; it is never drawn anew."""
    args = parse("--replay", "real", "--n-gen", "60", "--n-gen-mode", "total")
    data = gan_replay.load_data(args, CPU)
    first = gan_replay.stored(data, 1, 60, args).x
    later = gan_replay.stored(data, 3, 60, args).x[:20]
    assert len(first) == 60 and torch.equal(later, first[:20])


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_nothing_real_is_kept(preset, tmp_path, monkeypatch):
    """Erase the images of every task after it was learned: the result must not change."""
    flags = ["--preset", preset, "--gan-epochs", "1", "--n-gen", "100", *FEW_STEPS[preset]]
    run(tmp_path / "a.json", *flags)
    mix, erased = gan_replay.mix, []

    def erase_and_mix(data, t, *rest):
        if t:
            index = common.indices_of(data.y, data.tasks[t - 1])
            data.x[index] = 77
            erased.append(len(index))
        return mix(data, t, *rest)

    monkeypatch.setattr(gan_replay, "mix", erase_and_mix)
    run(tmp_path / "b.json", *flags)
    assert len(erased) == 4 and min(erased) > 100
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")


@pytest.mark.parametrize("kept", [True, False])
def test_the_gan_is_reset_or_kept(kept, tmp_path, monkeypatch):
    """With which weights each GAN begins, and those that the one before ended with."""
    begun, ended, step = [], [], gan_replay.gan_step

    def first_weights(gan, real, y):
        begun.append([p.detach().clone() for net in (gan.G, gan.D) for p in net.parameters()])
        losses = step(gan, real, y)
        ended.append([p.detach().clone() for net in (gan.G, gan.D) for p in net.parameters()])
        return losses

    monkeypatch.setattr(gan_replay, "gan_step", first_weights)
    few = ["--train-size", "150", "--test-size", "100", "--classes-per-task", "4",
           "--gan-batch-size", "1000"]  # fmt: skip
    run(tmp_path / "r.json", *few, *["--keep-gan"] * kept)
    assert len(begun) == 2  # a step of each GAN
    assert all(map(torch.equal, ended[0], begun[1])) == kept
    assert not all(map(torch.equal, begun[0], begun[1]))  # reset: other weights than at first


# --------------------------------------------------------------------------------- the sequence


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_the_order_of_things(preset, tmp_path, monkeypatch):
    """Which net learns first, what sees what for how long, and that the solver keeps its weights.

    3 tasks of 4, 4 and 2 classes; 1,000 images, 100 of each class.
    """
    order, sizes, begun, ended = [], [], [], []
    gan_step, solver_step = gan_replay.gan_step, gan_replay.solver_step

    def gan(gan, real, y):
        order.append("gan")
        sizes.append((id(gan.G), len(real)))
        return gan_step(gan, real, y)

    def solver(net, opt, x, target):
        order.append("solver")
        begun.append(net[-1].weight.detach().clone())
        sizes.append((id(net), len(x)))
        loss = solver_step(net, opt, x, target)
        ended.append((net[-1].weight.detach().clone(), opt.param_groups[0]["lr"]))
        return loss

    monkeypatch.setattr(gan_replay, "gan_step", gan)
    monkeypatch.setattr(gan_replay, "solver_step", solver)
    flags = "--train-size 1000 --n-gen 100 --classes-per-task 4 --gan-epochs 1 --gan-steps 0 " \
            "--gan-batch-size 1000 --batch-size 1000 --solver-epochs 2"  # fmt: skip
    flags += " --solver-steps 1" * (preset == "improved")  # 2 epochs come closest
    result = run(tmp_path / "r.json", "--preset", preset, *flags.split())
    rates = [rate for _, rate in ended]
    if preset == "paper":  # real and generated images; none from the last task's GAN
        assert order == ["solver", "solver", "gan"] * 2 + ["solver"] * 2
        assert [size for _, size in sizes] == [400, 400, 400, 500, 500, 500, 400, 400]
        assert rates == [1e-3] * 6
    else:  # the GAN first; then the solver, who sees generated images alone
        assert order == ["gan", "solver", "solver"] * 3
        assert [size for _, size in sizes] == [400, 400, 400, 500, 496, 496, 400, 400, 400]
        assert rates == pytest.approx([1e-3, 0] * 3)
    for (weight, _), later in zip(ended, begun[1:]):
        assert torch.equal(weight, later)
    assert [task["new"] for task in result["tasks"]] == [400, 400, 200]
    assert [sum(task["replayed"]) for task in result["tasks"]] == [0, 100, 200]


def test_steps_do_not_depend_on_how_many_images_there_are():
    for n in (600, 12_000, 60_000):
        epochs = gan_replay.repeats(15, 1500, n, 64)
        assert 0.9 < epochs * n / 64 / 1500 < 1.3  # whole epochs, at least one
    assert gan_replay.repeats(15, 0, 600, 64) == 15


@pytest.mark.parametrize("apart, real", [(0.0, 200), (0.79, 200), (0.8, 0), (None, 0)])
def test_new_classes_are_real_only_where_they_look_like_generated_ones(apart, real):
    """With --solver-images auto. What could not be measured counts as told apart."""
    args = parse("--train-size", "1000", "--preset", "improved")
    data = gan_replay.load_data(args, CPU)
    nets = gan_replay.Nets(Reader(), *gan_replay.new_nets(data, args))
    mixed = gan_replay.mix(data, 1, nets, args)
    lesson = gan_replay.from_new_gan(data, 1, mixed, nets, {"told apart": apart}, args)
    assert len(lesson.x) == (350 if real else 300)  # 150 of old classes
    assert torch.equal(lesson.x[:real], data.x[common.indices_of(data.y, [2, 3])][:real])


def test_row_0_is_the_untrained_net_and_grids_are_one_a_gan(tmp_path):
    result = run(tmp_path / "r.json", "--final-gan")
    common.seed_everything(0)
    args = parse()
    data = gan_replay.load_data(args, CPU)
    solver = gan_replay.new_solver(data, args)
    assert result["R"][0] == gan_replay.accuracies(solver, data)
    assert len(result["grids"]) == 5
    assert result["curve"][-1][1:] == result["R"][-1]


@pytest.mark.parametrize("epochs, per_epoch", [(5, 469), (16, 94), (80, 19)])
def test_the_curves_have_twenty_points_per_task_however_many_epochs(epochs, per_epoch):
    record = gan_replay.Record(tasks=[{"last_step": 7}, {}])
    marks = gan_replay.note_lesson(record, 1, epochs * 60_000, epochs * per_epoch)
    assert len(marks) == 20 and max(marks) == epochs * per_epoch
    assert marks == {step: 7 + step for step in marks}
    assert record.tasks[1]["last_step"] == 7 + epochs * per_epoch
    if epochs == 5:  # the paper's presets: a point each quarter of an epoch
        assert set(marks) == {e * 469 + 469 * k // 4 for e in range(5) for k in (1, 2, 3, 4)}


def test_images_are_drawn_with_running_statistics(tmp_path, monkeypatch):
    """So that an image does not depend on the batch it is drawn in (Deviation 5)."""
    training, generate = [], gan_replay.generate

    def spy(data, t, n, nets, *rest):
        training.append(nets.G.training)
        return generate(data, t, n, nets, *rest)

    monkeypatch.setattr(gan_replay, "generate", spy)
    run(tmp_path / "r.json")
    assert training == [False] * 12  # four replays; of each GAN a figure's samples and its quality


# -------------------------------------------------------------------------- same bytes, resumed


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_the_same_seed_gives_the_same_bytes(preset, tmp_path):
    for name in "ab":
        run(tmp_path / f"{name}.json", "--preset", preset, *FEW_STEPS[preset])
    run(tmp_path / "c.json", "--preset", preset, *FEW_STEPS[preset], "--seed", "1")
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")
    assert numbers(tmp_path / "a.json") != numbers(tmp_path / "c.json")


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_a_run_stopped_after_any_checkpoint_ends_in_the_same_bytes(preset, tmp_path, monkeypatch):
    """Stop right after the k-th checkpoint, for every k, and go on in the same command."""
    flags = ["--preset", preset, "--gan-epochs", "2", "--n-gen", "100", "--checkpoint-every", "0",
             "--solver-epochs", "2", "--classes-per-task", "4", *FEW_STEPS[preset]]  # fmt: skip
    run(tmp_path / "whole.json", *flags)
    save = common.save_checkpoint
    target = tmp_path / "parts.json"

    def save_and_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for _ in range(40):
        try:
            run(target, *flags)
            break
        except KeyboardInterrupt:
            assert not target.exists()
    assert numbers(target) == numbers(tmp_path / "whole.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.json", "whole.json"]


def test_kill_minus_nine_and_the_same_command_again(tmp_path):
    flags = [*TINY, "--gan-epochs", "6", "--checkpoint-every", "0"]
    whole, target = tmp_path / "whole.json", tmp_path / "killed.json"
    gan_replay.main([*flags, "--out", str(whole)])
    command = [sys.executable, str(ROOT / "gan_replay.py"), *flags, "--out", str(target)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = Path(f"{target}.ckpt")
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    first = checkpoint.stat().st_mtime_ns
    while checkpoint.stat().st_mtime_ns == first and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists() and not target.exists()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "continuing from" in again.stderr
    assert numbers(target) == numbers(whole)


# --------------------------------------------------------------------------------- wrong inputs


def fails(capsys, argv, code=2):
    """The one line that the script prints when it exits with `code`."""
    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(lambda: gan_replay.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in lines if not line.startswith("warning: ")]
    assert stop.value.code == code and len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--dataset mnits", "no dataset 'mnits'"),
        ("--dataset mnits", "--dataset glyphs"),
        ("--data-dir {tmp}/nothing --dataset some/folder", "no dataset"),
        ("--n-gen -1", "--n-gen takes numbers from 0"),
        ("--n-gen many", "invalid int value"),
        ("--gan-epochs 1 2", "give 1 or 4"),
        ("--gan-epochs 0", "--gan-epochs takes numbers from 1"),
        ("--gan-epochs", "expected at least one argument"),
        ("--device cuda:7", "try --device cpu"),
        ("--device tpu", "expected auto, cpu"),
        ("--classes-per-task 11", "between 1 and 10"),
        ("--classes-per-task 0", "numbers from 1"),
        ("--replay film", "invalid choice"),
        ("--seed -3", "--seed takes numbers from 0"),
        ("--seed 99999999999", "to 2147483647"),
        ("--jitter nan", "--jitter takes numbers"),
        ("--gan-steps -1", "--gan-steps takes numbers from 0"),
        ("--joint --replay real", "leave --replay out"),
        ("--joint --final-gan", "have no GAN"),
        ("--replay none --final-gan", "have no GAN"),
        ("--threads 100000", "--threads takes numbers from 0 to"),
        ("--gan-lr 0", "between 0 and 1"),
        ("--solver-lr nan", "between 0 and 1"),
        ("--gan-batch-size 1", "numbers from 2"),
        ("--solver-images generated", "--conditional"),
        ("--train-size 5", "there is no training image of class"),
        ("--train-size -5", "0 or more"),
        ("--device cpu:", "expected auto, cpu"),
        ("--validation 600", "less than the 600"),
        ("--image-size 30", "sides that 4 divides"),
        ("--nonsense", "unrecognized arguments"),
        ("--out {tmp}/file/run.json", "cannot write there"),
        ("--out {tmp}", "is a folder"),
        ("--preset best", "invalid choice"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    line = fails(capsys, [*TINY, *out, *flags.format(tmp=tmp_path).split()])
    assert says in line
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_truncated_mnist_and_foreign_checkpoint(tmp_path, capsys):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(bytes(1000))
    line = fails(capsys, ["--data-dir", str(tmp_path), "--out", str(tmp_path / "r.json")])
    assert "train-images-idx3-ubyte is damaged" in line and "--dataset glyphs" in line
    flags = [*TINY, "--out", str(tmp_path / "r.json")]
    common.save_checkpoint(tmp_path / "r.json.ckpt", {"n_gen": 5}, {}, CPU)
    assert "delete" in fails(capsys, flags)
    (tmp_path / "r.json.ckpt").write_bytes(b"rubbish")
    assert "damaged" in fails(capsys, flags)


def test_a_diverging_loss_stops_the_run_with_exit_code_1(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gan_replay, "generator_loss", lambda score: score.mean() * float("nan"))
    line = fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert "task 1/5, gan epoch 1" in line and "--gan-lr" in line
    assert not (tmp_path / "r.json").exists()


def test_a_full_disk_stops_the_run_with_exit_code_1(tmp_path, capsys, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert list(tmp_path.iterdir()) == []


def test_missing_classes_are_named(tmp_path, capsys):
    run(tmp_path / "r.json", "--n-gen", "30")
    assert re.search(r"warning: task \d: nothing replayed of classes \d", capsys.readouterr().err)


# ----------------------------------------------------------------- data that do not fit, tools


def test_data_that_do_not_fit_are_refused_or_skipped(tmp_path, capsys):
    """make reproduce goes on with the rows that do fit."""
    flags = [*TINY, "--image-size", "30", "--out", str(tmp_path / "improved-seed0.json")]
    assert "--gan conv needs sides that 4 divides, not 30x30" in fails(capsys, flags)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "improved-seed0.json.ckpt").write_text("of another run")
    gan_replay.main([*flags, "--skip-unfit"])
    assert (tmp_path / "improved-seed0.json.ckpt").exists()
    out = capsys.readouterr().out
    assert "skipped, as these data do not fit: --gan conv needs" in out
    result = json.loads((tmp_path / "improved-seed0.json").read_text())
    assert "--gan conv needs sides" in result["skipped"] and "R" not in result
    draw.main(["gan_replay", "--runs", str(tmp_path), "--figures", str(tmp_path / "f")])
    said = capsys.readouterr()
    assert "no row of gan_replay could run on these data" in said.out
    assert "improved-seed0.json: these data do not fit: --gan conv" in said.err
    reference = ROOT / "reference/gan_replay/none-seed0.json"
    shutil.copy(reference, tmp_path)
    assert list(runs.read(tmp_path, "gan_replay")) == ["none"]
    assert capsys.readouterr().err.count("left out: ") == 1


def test_every_item_can_be_drawn():
    figures = draw.figures_of("gan_replay")
    assert gan_replay.ITEMS.keys() <= figures.PICTURES.keys() | figures.TABLES.keys()


def test_what_is_there_is_drawn_and_what_is_missing_is_named(tmp_path, capsys):
    folder, figures = tmp_path / "results", tmp_path / "figures"
    folder.mkdir()
    for name in ("ngen12000-seed0", "ngen12000-seed1", "improved-seed0", "total1200-seed0",
                 "joint-seed0"):  # fmt: skip
        shutil.copy(ROOT / f"reference/gan_replay/{name}.json", folder)
    page = tmp_path / "page.md"
    marks = "<!-- begin gan_replay {0} -->\n<!-- end gan_replay {0} -->\n"
    page.write_text("".join(map(marks.format, ("table", "improved", "memory"))))
    flags = ["gan_replay", "--runs", str(folder), "--figures", str(figures)]
    draw.main([*flags, "--docs", str(page)])
    err = capsys.readouterr().err
    assert "missing: python gan_replay.py --row ngen1200 --dataset mnist --data-dir data" in err
    assert err.count("missing: ") == 4 and f"more of the {len(gan_replay.ROWS)} rows" in err
    drawn = {p.name for p in figures.iterdir()}
    assert {"figure1.png", "figure4.png", "averages.png", "cost.png", "tradeoff.png",
            "digits_ngen12000.png", "tables.md"} <= drawn  # fmt: skip
    assert "figure2.png" not in drawn
    text = page.read_text()
    assert "(paper −0.609)" in text and "n_gen = 12000" in text and "(2)" in text
    draw.main([*flags[:3], "--figures", str(tmp_path / "one"), "--item", "figure4"])
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["figure4.png"]


def test_the_memory_to_beat_has_the_generators_bytes():
    args = gan_replay.parse_args([])
    G = gan_replay.Generator(args.gan, (1, 28, 28), args.gan_width, 10)
    stored = gan_replay.size_in_bytes(G) // (28 * 28)
    assert f"--n-gen {stored} " in gan_replay.ROWS["bytes"][1]


def test_the_script_runs_from_the_command_line(tmp_path):
    """One whole run as a user types it: exit code, output, and a result with all that it needs."""
    out = tmp_path / "deep" / "run-seed0.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "gan_replay.py"), *TINY, "--out", str(out)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "ACC" in done.stdout
    result = json.loads(out.read_text())
    assert len(result["R"]) == 6 and all(len(row) == 5 for row in result["R"])
    assert {"commit", "dirty", "torch", "device", "peak_memory_mb"} <= result["environment"].keys()
    assert result["metrics"]["ACC"] == pytest.approx(sum(result["R"][-1]) / 5)
    assert [p.name for p in out.parent.iterdir()] == ["run-seed0.json"]
