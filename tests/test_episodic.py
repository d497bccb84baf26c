"""beyond/episodic.py: its equations, the memory, the command line, killing and resuming."""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import common
import dgm
from beyond import episodic
from tools import draw
from tools.figures import episodic as figures

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = (
    "--dataset glyphs --train-size 640 --test-size 200 --tasks 3 --epochs 2 --width 4 "
    "--batch-size 16 --replay-batch-size 16 --memory-size 30 --fisher-samples 8 --interval 3 "
    "--device cpu --threads 1"
).split()
METHODS = ["samples", "icarl", "ewc", "pi", "rwalk", "none"]
EVERY = pytest.mark.parametrize("method", METHODS)


def parse(*flags):
    return episodic.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    episodic.main([*TINY, *flags, "--out", str(path)])
    return json.loads(Path(path).read_text())


def numbers(path):
    """The lines of a result that must not depend on the machine's speed, the date or the path."""
    skip = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')
    return [line for line in Path(path).read_text().splitlines() if not line.startswith(skip)]


def make_net(*flags, shape=(1, 16, 16), K=5):
    torch.manual_seed(0)
    return episodic.Net(parse(*flags), shape, K)


# ----------------------------------------------------------------------------------- the net


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_the_trunk_is_that_of_dgms_critic(norm):
    """Table 1's rows differ in the memory alone: the same layers, so the same answers."""
    critic = dgm.Critic((3, 16, 16), 4, 5, norm)
    net = make_net("--norm", norm, shape=(3, 16, 16))
    net.features.load_state_dict(critic.features.state_dict())
    net.head.load_state_dict(critic.aux.state_dict())
    x = torch.randn(6, 3, 16, 16)
    assert torch.equal(net.eval()(x), critic.eval()(x)[1])


@pytest.mark.parametrize("net, features", [("dcgan", 64), ("resnet", 32), ("mlp", 4)])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_nets_take_any_image(net, features, norm):
    made = make_net("--net", net, "--norm", norm, shape=(3, 32, 32))
    size = {"dcgan": 16 * 4 * 4}.get(net, features)
    assert made.features(torch.zeros(2, 3, 32, 32)).shape == (2, size)
    assert made(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


# ------------------------------------------------------------------------------------ iCaRL


def test_herded_images_stand_for_the_class_better_than_random_ones():
    torch.manual_seed(0)
    features = torch.randn(200, 16) + 0.5
    mu = nn.functional.normalize(nn.functional.normalize(features, dim=1).mean(0), dim=0)

    def gap(index):
        mean = nn.functional.normalize(features[index], dim=1).mean(0)
        return (mu - nn.functional.normalize(mean, dim=0)).norm().item()

    herded = gap(episodic.herding(features, 10))
    assert herded < 0.5 * min(gap(torch.randperm(200)[:10]) for _ in range(20))


def test_nearest_mean_of_exemplars_by_hand():
    """Alg. 1 in the plane: norms do not count, angles do."""
    stored = torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 1.0], [-3.0, 0.0]])
    label = torch.tensor([0, 0, 1, 2])
    means = episodic.class_means(stored, label, 3)
    half = math.sqrt(0.5)
    assert torch.allclose(means, torch.tensor([[half, half], [0.0, 1.0], [-1.0, 0.0]]))
    x = torch.tensor([[9.0, 8.0], [0.1, 7.0], [-0.5, 0.1]])
    scores = episodic.nearness(x, means)
    assert scores.argmax(1).tolist() == [0, 1, 2]
    for i in range(3):
        unit = x[i] / x[i].norm()
        for y in range(3):
            assert scores[i, y].item() == pytest.approx(-(unit - means[y]).norm().item(), abs=1e-5)


def test_icarls_loss_by_hand():
    """Two old classes, two new: old outputs learn q, new ones the label."""
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.3], [1.5, 0.2, -0.7, 0.0]])
    label, q = torch.tensor([2, 0]), torch.tensor([[0.1, 0.7], [0.9, 0.2]])
    targets = [[0.1, 0.7, 1, 0], [0.9, 0.2, 0, 0]]  # the second is a stored image of class 0
    for loss, row, target in zip(episodic.icarl_losses(logits, label, q), logits, targets):
        by_hand = 0.0
        for v, goal in zip(row.tolist(), target):
            g = 1 / (1 + math.exp(-v))
            by_hand -= goal * math.log(g) + (1 - goal) * math.log(1 - g)
        assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    plain = episodic.icarl_losses(logits, label, torch.empty(2, 0))
    label = -math.log(1 / (1 + math.exp(-2.0)))
    assert plain[0].item() == pytest.approx(
        label + sum(math.log(1 + math.exp(v)) for v in (0.5, -1.0, 0.3)), rel=1e-5
    )


def small_data(n=8, classes=5):
    """A few random images, `n` of each class, one class a task."""
    y = torch.arange(classes).repeat_interleave(n)
    x = torch.randint(0, 256, (len(y), 1, 16, 16), dtype=torch.uint8)
    return data_of(x, y, [[c] for c in range(classes)])


def data_of(x, y, tasks):
    """The same images for training and for tests."""
    owner = common.task_of_class(tasks)
    return dgm.Data(x, y, x, y, tasks, owner, len(owner), tuple(x.shape[1:]), [], {}, 0)


def test_distillation_targets_are_the_old_nets_answers():
    data, net = small_data(), make_net("--method", "icarl")
    memory = [torch.tensor([0, 3]), torch.tensor([9])]
    task = episodic.begin(net, memory, data, 2, parse("--method", "icarl"))
    assert task.index.tolist() == [*range(16, 24), 0, 3, 9]
    assert task.y.tolist() == [2] * 8 + [0, 0, 1]
    with torch.no_grad():
        for i, q in zip(task.index, task.q):
            g = net(data.x[i : i + 1].float() / 127.5 - 1)[0, :2]
            assert torch.allclose(q, 1 / (1 + (-g).exp()), atol=1e-6)
    assert (task.n_new, task.n_old, task.n_seen) == (8, 2, 3)
    for flags in (["--method", "samples"], ["--method", "icarl", "--no-distill"]):
        assert episodic.begin(net, memory, data, 2, parse(*flags)).q.shape == (11, 0)


# ----------------------------------------------------------------------------------- regularisers


@pytest.mark.parametrize("flags", [[], ["--net", "resnet", "--norm", "batch"], ["--net", "mlp"]])
def test_fisher_against_one_image_at_a_time(flags):
    net = make_net(*flags)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x, label = torch.randn(6, 1, 16, 16), torch.tensor([0, 2, 1, 1, 0, 2])
    weight = torch.tensor([0.3, 0.1, 0.2, 0.2, 0.1, 0.1])
    F = episodic.fisher(net, x, label, weight, 3)
    assert net.training
    net.eval()
    expected = [torch.zeros_like(p) for p in net.parameters()]
    for image, c, w in zip(x, label, weight):
        log_p = net(image.unsqueeze(0))[0, :3].log_softmax(0)[c]
        for e, g in zip(expected, torch.autograd.grad(log_p, list(net.parameters()))):
            e += w * g * g
    for a, b in zip(F, expected):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-7)
    assert float(F[-1][3:].abs().sum()) == 0  # classes not met yet are not held
    batch = torch.autograd.grad(
        nn.functional.cross_entropy(net(x)[:, :3], label), list(net.parameters())
    )
    assert not torch.allclose(F[0], batch[0].square(), rtol=0.1)  # nor that squared


def test_moving_average_by_hand():
    old, new = [torch.tensor([1.0, 0.0])], [torch.tensor([0.0, 4.0])]
    episodic.moving_average(old, new, 0.25)
    assert old[0].tolist() == [0.75, 1.0]


def test_pis_path_integral_on_a_quadratic_loss():
    """L = Σ a/2 (θ - c)²: along the gradient flow ω_i = a_i/2 (θ_0 - c)², so Ω_i = a_i/2."""
    a, c = torch.tensor([1.0, 4.0, 0.5]).double(), torch.tensor([2.0, -1.0, 3.0]).double()
    start = torch.tensor([0.0, 1.0, 1.0]).double()
    theta, path = start.clone(), [torch.zeros(3).double()]
    for _ in range(40_000):
        g = a * (theta - c)
        after = theta - 1e-3 * g
        episodic.add_path(path, [g], [after - theta])
        theta = after
    fallen = 0.5 * a * (start - c).square()
    assert torch.allclose(path[0], fallen, rtol=3e-3)
    importance = [torch.zeros(3).double()]
    episodic.add_synaptic(importance, path, [theta - start], 1e-9)
    assert torch.allclose(importance[0], a / 2, rtol=3e-3)
    episodic.add_synaptic(importance, [torch.tensor([3.0, -9.0, 0.0]).double()],
                          [torch.ones(3).double()], 0.5)  # fmt: skip
    assert torch.allclose(importance[0], a / 2 + torch.tensor([2.0, 0.0, 0.0]), rtol=3e-3)


def test_rwalks_score_by_hand():
    score = [torch.tensor([1.0, 0.0, 0.0])]
    path = [torch.tensor([0.6, -0.2, 0.3])]
    information, moved = [torch.tensor([2.0, 4.0, 0.0])], [torch.tensor([0.5, 1.0, 9.0])]
    episodic.add_score(score, path, information, moved, 0.05)
    by_hand = [1 + 0.6 / (0.5 * 2 * 0.25 + 0.05), -0.2 / (0.5 * 4 + 0.05), 0.3 / 0.05]
    assert score[0].tolist() == pytest.approx(by_hand)
    average = episodic.average_score([torch.tensor([4.0, 1.0, 0.0])], score)
    assert average[0].tolist() == pytest.approx([2 + by_hand[0] / 2, 0.5, by_hand[2] / 2])
    unit = episodic.to_unit([torch.tensor([1.0, 4.0]), torch.tensor([8.0])])
    assert [v.tolist() for v in unit] == [[0.125, 0.5], [1.0]]
    assert episodic.to_unit([torch.zeros(2)])[0].tolist() == [0, 0]


@pytest.mark.parametrize("method, factor", [("ewc", 0.5), ("pi", 1), ("rwalk", 1)])
def test_the_penalty_is_its_equations(method, factor):
    """EWC, Eq. (3): λ/2 Σ F (θ - θ*)²; PI, Eq. (4), and RWalk without the half."""
    net = make_net("--net", "mlp")
    held = episodic.Regulariser(net, parse("--method", method, "--weight", "3"))
    held.begin_task()
    held.importance = [torch.rand_like(p) for p in held.params]
    with torch.no_grad():
        for p in held.params:
            p.add_(torch.randn_like(p))
    squares = zip(held.importance, held.params, held.anchor)
    penalty = factor * 3 * sum((o * (p - a).square()).sum() for o, p, a in squares)
    expected = torch.autograd.grad(penalty, held.params)
    for p in held.params:
        p.grad = torch.zeros_like(p)
    episodic.add_penalty(held.params, held.importance, held.anchor, held.weight)
    for p, e in zip(held.params, expected):
        assert torch.allclose(p.grad, e, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["pi", "rwalk"])
def test_the_path_counts_the_losss_own_gradient_alone(method):
    """The penalty moves the weights, but is no part of ω; RWalk restarts the path with Δt."""
    net = make_net("--net", "mlp")
    args = parse("--method", method, "--weight", "5", "--epsilon", "0.01")
    held = episodic.Regulariser(net, args)
    held.begin_task()
    held.importance = [torch.ones_like(p) for p in held.params]
    start = held.now()
    with torch.no_grad():
        for p in held.params:
            p.add_(1.0)
    held.since = held.now()
    optimizer = torch.optim.SGD(held.params, 0.01)
    total = [torch.zeros_like(p) for p in held.params]
    for k in range(3):
        before = held.now()
        for p in held.params:
            p.grad = torch.full_like(p, 2.0 + k)
        held.step(optimizer)
        for s, p, b, a in zip(total, held.params, before, start):
            moved = p.detach() - b
            assert torch.allclose(moved, -0.01 * (2 + k + 2 * 5 * (b - a)), atol=1e-5)
            s += -(2.0 + k) * moved
    for w, s in zip(held.path, total):
        assert torch.allclose(w, s)
    if method == "rwalk":
        moved, information = held.moved(held.since), [torch.ones_like(p) for p in held.params]
        held.end_interval(information)
        for walk, s, d in zip(held.walk, total, moved):
            assert torch.allclose(walk, s / (0.5 * 0.1 * d * d + 0.01), rtol=1e-4)
        assert all(float(w.abs().sum()) == 0 for w in held.path)
        held.end_task()
        largest = max(w.max() for w in held.walk)
        for omega, walk in zip(held.importance, held.walk):  # F is the same everywhere: 1
            assert torch.allclose(omega, 1 + walk / largest, rtol=1e-4)


@pytest.mark.parametrize("interval, updates", [("5", [5, 10, 15, 20]), ("7", [7, 14, 20]),
                                               ("99", [20])])  # fmt: skip
def test_fisher_is_measured_every_interval_and_at_the_end(interval, updates, monkeypatch):
    """Intervals run on over the epochs: 2 of 10 steps here, of one task."""
    args = parse("--method", "ewc", "--interval", interval, "--batch-size", "4")
    data, net = small_data(40), make_net()
    held, steps, seen = episodic.Regulariser(net, args), [], []
    step, end = episodic.Regulariser.step, episodic.Regulariser.end_interval
    monkeypatch.setattr(episodic.Regulariser, "step", lambda s, o: (steps.append(1), step(s, o)))
    monkeypatch.setattr(episodic.Regulariser, "end_interval",
                        lambda s, f: (seen.append(len(steps)), end(s, f)))  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), args.lr)
    task = episodic.begin(net, [torch.arange(5)], data, 1, args)
    for i in range(2):
        episodic.train_epoch(net, held, optimizer, task, data, i, args)
    assert seen == updates
    assert all(float(f.sum()) > 0 for f in held.fisher[:2])


# ---------------------------------------------------------------------- batches, the memory


def test_every_class_weighs_the_same_in_a_step():
    args = parse("--batch-size", "4", "--replay-batch-size", "6")
    index = torch.arange(13)
    task = episodic.Task(index, index, torch.empty(13, 0), n_new=10, n_old=3, n_seen=4)
    parts = episodic.batches(task, args)
    assert len(parts) == 2 == episodic.epoch_size(task, args)[2]
    for position, weight in parts:
        new = position < 10
        assert new.tolist() == [True] * 4 + [False] * 6
        assert weight[new].sum().item() == pytest.approx(1 / 4)
        assert weight.sum().item() == pytest.approx(1)
    shown = torch.cat([position[:4] for position, _ in parts])
    assert len(shown.unique()) == 8  # no new image twice in an epoch
    union = episodic.batches(task, parse("--batch-size", "4", "--mix", "union"))
    shown = torch.cat([position for position, _ in union])
    assert len(union) == 3 and len(shown.unique()) == 12
    assert all(weight.tolist() == [0.25] * 4 for _, weight in union)


@pytest.mark.parametrize("choice", ["random", "herding"])
def test_the_memory_is_shared_and_shrinks_from_its_end(choice):
    data, args = small_data(), parse("--memory-size", "12", "--choice", choice)
    net, memory, before = make_net(), [], []
    for t, m in enumerate((8, 6, 4, 3)):  # K / t, and no more than the 8 images there are
        episodic.renew_memory(memory, net, data, t, args)
        assert [len(index) for index in memory] == [m] * (t + 1)
        for c, index in enumerate(memory):
            assert data.y[index].tolist() == [c] * m and len(index.unique()) == m
        for old, index in zip(before, memory):
            assert torch.equal(old[:m], index)
        before = [index.clone() for index in memory]
    if choice == "herding":
        with torch.no_grad():
            phi = net.features(data.x[24:32].float() / 127.5 - 1)
        assert (memory[3] - 24).tolist() == episodic.herding(phi, 3).tolist()
    empty = []
    episodic.renew_memory(empty, net, data, 0, parse("--method", "none"))
    assert [len(index) for index in empty] == [0]


@EVERY
def test_nothing_but_the_memory_is_used_again(method, tmp_path, monkeypatch):
    """Erase all images of a task that were not stored: the result must be the same."""
    run(tmp_path / "a.json", "--method", method)
    renew, counts = episodic.renew_memory, []

    def forgetful(memory, net, data, t, *rest):
        renew(memory, net, data, t, *rest)
        keep = torch.zeros(len(data.x), dtype=torch.bool)
        keep[torch.cat(memory)] = True
        met = torch.isin(data.y, torch.tensor(sum(data.tasks[: t + 1], [])))
        data.x[met & ~keep] = 0
        counts.append(int(keep.sum()))

    monkeypatch.setattr(episodic, "renew_memory", forgetful)
    b = run(tmp_path / "b.json", "--method", method)
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")
    assert counts == ([0] * 3 if method == "none" else [30] * 3)
    assert [task["images"] for task in b["tasks"]] == counts
    assert b["tasks"][-1]["image_bytes"] == counts[-1] * 256
    held = {"ewc": 2, "pi": 2, "rwalk": 3}.get(method, 0) * 4
    weights = sum(p.numel() for p in make_net("--method", method, K=3).parameters())
    assert b["tasks"][-1]["other_bytes"] == held * weights


# -------------------------------------------------------------------------- same bytes, resumed


@EVERY
def test_the_same_seed_gives_the_same_bytes(method, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        run(tmp_path / f"{name}.json", "--method", method, "--seed", seed)
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")
    assert numbers(tmp_path / "a.json") != numbers(tmp_path / "c.json")


@EVERY
def test_a_run_stopped_after_any_checkpoint_ends_in_the_same_bytes(method, tmp_path, monkeypatch):
    flags = ["--method", method, "--checkpoint-every", "0"]
    run(tmp_path / "whole.json", *flags)
    save, target, stops = common.save_checkpoint, tmp_path / "parts.json", []

    def save_and_stop(*args):
        save(*args)
        stops.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for _ in range(20):
        try:
            run(target, *flags)
            break
        except KeyboardInterrupt:
            assert not target.exists()
    assert len(stops) == 9  # the start and both epochs of every task
    assert numbers(target) == numbers(tmp_path / "whole.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.json", "whole.json"]


def test_kill_minus_nine_and_the_same_command_again(tmp_path):
    flags = [*TINY, "--method", "rwalk", "--epochs", "4", "--checkpoint-every", "0"]
    whole, target = tmp_path / "whole.json", tmp_path / "killed.json"
    episodic.main([*flags, "--out", str(whole)])
    command = [sys.executable, "-m", "beyond.episodic", *flags, "--out", str(target)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = Path(f"{target}.ckpt")
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
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
        common.exit_in_one_line(lambda: episodic.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == code and len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--dataset mnits", "no dataset 'mnits'"),
        ("--method gem", "invalid choice"),
        ("--preset best", "invalid choice"),
        ("--net vgg", "invalid choice"),
        ("--epochs 0", "--epochs takes numbers from 1"),
        ("--epochs many", "invalid int value"),
        ("--batch-size 1", "--batch-size takes numbers from 2"),
        ("--memory-size -1", "--memory-size takes numbers from 0"),
        ("--weight -1 --method ewc", "--weight takes numbers from 0"),
        ("--weight nan --method ewc", "--weight takes numbers from 0"),
        ("--weight 1", "--weight is of --method ewc"),
        ("--interval 0", "--interval takes numbers from 1"),
        ("--lr 0", "--lr must lie between"),
        ("--alpha 2", "--alpha be above 0"),
        ("--epsilon 0", "are divided by"),
        ("--xi -1", "are divided by"),
        ("--method icarl --memory-size 2", "--memory-size 3 or more"),
        ("--method none --classify means", "needs stored images"),
        ("--joint --method icarl", "leave --method and --classify out"),
        ("--pres paper", "unrecognized arguments"),
        ("--tasks 11", "there are 10"),
        ("--classes-per-task 11", "between 1 and 10"),
        ("--image-size 6", "are too small"),
        ("--device cuda:999", "try --device cpu"),
        ("--train-size 5", "there is no training image of class"),
        ("--threads 100000", "--threads takes numbers"),
        ("--seed -1", "--seed takes numbers"),
        ("--out {tmp}", "is a folder"),
        ("--nonsense", "unrecognized arguments"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    line = fails(capsys, [*TINY, *out, *flags.format(tmp=tmp_path).split()])
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_checkpoint_is_refused(tmp_path, capsys):
    common.save_checkpoint(tmp_path / "r.json.ckpt", {"width": 5}, {}, CPU)
    assert "delete" in fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")])


@pytest.mark.parametrize("flags", [["--method", "ewc"], ["--joint"]])
def test_a_diverging_net_is_named(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(episodic, "to_float", lambda x: x.float() * math.nan)
    line = fails(capsys, [*TINY, *flags, "--out", str(tmp_path / "r.json")], code=1)
    assert "epoch 1" in line and "lower --lr" in line
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------- report, Makefile


@pytest.mark.parametrize(
    "flags, shape",
    [
        ("--preset colour --dataset glyphs-rgb --classes-per-task 5 --method icarl", (3, 2)),
        ("--preset paper --method rwalk --shuffle-classes --fisher-samples 0", (3, 2)),
        ("--preset source --method pi --choice herding", (3, 2)),
        ("--method ewc --classify means --mix union", (3, 2)),
    ],
)
def test_other_ways_to_run(flags, shape, tmp_path):
    base = ("--dataset glyphs --train-size 320 --test-size 100 --tasks 2 --epochs 1 --width 2 "
            "--batch-size 16 --device cpu --threads 1").split()  # fmt: skip
    out = tmp_path / "r.json"
    episodic.main([*base, *flags.split(), "--out", str(out)])
    result = json.loads(out.read_text())
    assert (len(result["R"]), len(result["R"][0])) == shape
    assert 0 <= result["metrics"]["ACC"] <= 1


def test_top_5_is_reported_from_ten_classes_on(tmp_path, capsys):
    result = run(tmp_path / "a.json", "--tasks", "10", "--epochs", "1", "--method", "icarl")
    assert [task["top5"] >= 0 for task in result["tasks"]] == [False] * 9 + [True]
    top1, top5 = result["metrics"]["A_10 (%)"], result["metrics"]["top-5 A_10 (%)"]
    assert top1 < top5 <= 100 and "top-5" in capsys.readouterr().out
    metrics = run(tmp_path / "b.json", "--tasks", "10", "--joint", "--epochs", "1")["metrics"]
    assert {"A_5 (%)", "A_10 (%)", "top-5 A_10 (%)", "ACC"} == metrics.keys()


def test_evaluate_by_hand():
    """Scores of the classes met only; top-5 needs ten of them."""
    n = 12
    x = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1)
    data = data_of(x, torch.arange(n), [[i, i + 1] for i in range(0, n, 2)])

    def score(x):  # image i: the best score for class i - 1, then i - 2, ..., i - 10, then i
        i = ((x.flatten() + 1) * 127.5).round().long()
        return -((i[:, None] - torch.arange(10)[None] - 1) % 10).float()

    row, top5 = episodic.evaluate(score, data, 10)
    assert row == [0.0] * 6 and top5 == 0.0
    right = lambda x: score(x - 2 * 1 / 127.5 + 3 / 127.5)  # noqa: E731
    row, top5 = episodic.evaluate(right, data, 10)
    assert row == [1.0] * 5 + [0.0] and top5 == 1.0
    assert episodic.evaluate(lambda x: right(x)[:, :4], data, 4)[1] == -1


def test_presets_and_methods_move_defaults_and_flags_undo_them():
    args = episodic.parse_args(["--method", "icarl"])
    assert (args.choice, args.mix, args.classify) == ("herding", "union", "means")
    args = episodic.parse_args(["--method", "icarl", "--choice", "random", "--preset", "paper"])
    assert (args.choice, args.mix, args.image_size) == ("random", "union", 32)
    args = episodic.parse_args(["--preset", "source", "--width", "9"])
    assert (args.net, args.width, args.classes_per_task) == ("mlp", 9, 2)
    assert all(episodic.parse_args(["--method", m]).weight > 0 for m in episodic.REGULARISERS)


def test_every_item_can_be_drawn():
    assert episodic.ITEMS.keys() <= figures.PICTURES.keys() | figures.TABLES.keys()


def test_what_is_there_is_drawn_and_what_is_missing_is_named(tmp_path, capsys):
    folder, drawn = tmp_path / "results", tmp_path / "figures"
    folder.mkdir()
    for name in ("samples-seed0", "samples-seed1", "ewc-seed0", "joint-seed0", "pi-pairs-seed0"):
        shutil.copy(ROOT / f"reference/episodic/{name}.json", folder)
    page = tmp_path / "page.md"
    marks = "<!-- begin episodic {0} -->\n<!-- end episodic {0} -->\n"
    page.write_text("".join(map(marks.format, ("table", "pairs"))))
    argv = ["episodic", "--runs", str(folder), "--figures", str(drawn), "--docs", str(page)]
    draw.main(argv)
    err = capsys.readouterr().err
    assert re.search(r"missing: python -m beyond.episodic --row \S+ --dataset mnist", err)
    assert {p.name for p in drawn.iterdir()} == {"averages.png", "tables.md"}
    text = page.read_text()
    assert "EWC-S, 100 images" in text and "± " in text and "(paper 79.70)" in text


def test_data_that_do_not_fit_are_refused_or_skipped(tmp_path, capsys):
    flags = [*TINY, "--tasks", "11", "--out", str(tmp_path / "r.json")]
    assert "--tasks 11: there are 10" in fails(capsys, flags)
    episodic.main([*flags, "--skip-unfit"])
    assert "there are 10" in json.loads((tmp_path / "r.json").read_text())["skipped"]


def test_the_script_runs_from_the_command_line(tmp_path):
    out = tmp_path / "deep" / "run-seed0.json"
    done = subprocess.run(
        [sys.executable, "-m", "beyond.episodic", *TINY, "--out", str(out)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0 and "ACC" in done.stdout
    result = json.loads(out.read_text())
    assert len(result["R"]) == 4 and all(len(row) == 3 for row in result["R"])
    assert result["metrics"]["ACC"] == pytest.approx(sum(result["R"][-1]) / 3)
    assert [p.name for p in out.parent.iterdir()] == ["run-seed0.json"]
