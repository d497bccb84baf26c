"""dgm.py: its equations, the four invariants, the command line, killing and resuming."""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import common
import dgm
from beyond import generators
from tools import draw, runs
from tools.figures import dgm as figures

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = (
    "--preset laptop --dataset glyphs --train-size 640 --test-size 200 --tasks 3 --epochs 2 "
    "--ngf 4 --ndf 4 --batch-size 16 --classifier-steps 4 --device cpu --threads 1"
).split()
METHODS = pytest.mark.parametrize("method", ["dgmw", "dgma"])
NETS = pytest.mark.parametrize("net", ["dcgan", "resnet"])


def parse(*flags):
    return dgm.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    dgm.main([*TINY, *flags, "--out", str(path)])
    return json.loads(Path(path).read_text())


def numbers(path):
    """The lines of a result that must not depend on the machine's speed, the date or the path."""
    skip = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')
    return [line for line in Path(path).read_text().splitlines() if not line.startswith(skip)]


def generator(*flags, shape=(1, 16, 16)):
    torch.manual_seed(0)
    args = parse(*flags)
    return dgm.NETS[args.net][0](args, shape, 10, CPU)


class OneGo:
    """A run without checkpoints."""

    def epochs(self, name, n, **state):
        return range(n)

    def check_finite(self, what, *values):
        assert all(math.isfinite(v) for v in values)


def train(net, x, label, steps, B, *flags):
    """Train a classifier at Adam's usual rate."""
    dgm.train_classifier(net, x, label, steps, 1e-3, True, B, parse(*flags), OneGo())


def after_each_task(monkeypatch, do):
    """Call do(kept, data, task, solver) when a task is done."""
    note = dgm.note_result

    def spy(record, solver, task, run):
        note(record, solver, task, run)
        do(task.kept, task.data, task, solver)

    monkeypatch.setattr(dgm, "note_result", spy)


def finish(G, share, seed=0):
    """End the task with a random mask that covers about `share` of every layer."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for e in G.e:
            e.copy_(torch.rand(e.shape, generator=rng) - 1 + share)
    return G.freeze()


# ------------------------------------------------------------------------------------ equations


@METHODS
def test_eq_1_against_a_loop(method):
    """Masked transposed convolutions, written out pixel by pixel."""
    G = generator("--method", method, "--ngf", "2")
    G.grow()
    finish(G, 0.6)
    with torch.no_grad():
        for W in G.W:
            W.copy_(torch.randn_like(W))
        for norm in G.own[0].norms:
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    z, y = torch.randn(2, 128), torch.tensor([3, 0])
    masks = [m.float() for m in G.masks[0]]
    image = G(z, y, 0, masks)
    h = z.clone()
    h[:, :10] = 0
    h[0, 3] = h[1, 0] = 1
    h = h.view(2, 128, 1, 1)
    for layer, (W, m, norm) in enumerate(zip(G.W, masks, G.own[0].norms)):
        W = W * m if method == "dgmw" else W
        stride, padding = (1, 0) if layer == 0 else (2, 1)
        size = (h.shape[2] - 1) * stride - 2 * padding + W.shape[2]
        out = torch.zeros(2, W.shape[1], size, size)
        for i in range(h.shape[2]):
            for j in range(h.shape[3]):
                for a in range(W.shape[2]):
                    for b in range(W.shape[3]):
                        r, c = i * stride - padding + a, j * stride - padding + b
                        if 0 <= r < size and 0 <= c < size:
                            out[:, :, r, c] += h[:, :, i, j] @ W[:, :, a, b]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        out = (out - norm.running_mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1)
        h = (out + norm.bias.view(1, -1, 1, 1)).relu()
        h = h * m if method == "dgma" else h
    assert torch.allclose(image, torch.tanh(G.own[0].last(h)), atol=1e-4)
    assert image.shape == (2, 1, 16, 16)


@METHODS
def test_eq_1_in_the_residual_generator(method):
    """Blocks with shortcuts, of layers that have grown differently, by other operations."""
    G = generator("--method", method, "--net", "resnet", "--ngf", "5")
    for task in range(2):
        G.grow()
        finish(G, 0.4, task)
    assert len(set(G.widths())) > 1 and len(G.W) == 5
    with torch.no_grad():
        for W in G.W:
            W.copy_(0.1 * torch.randn_like(W))
    masks = [m.float() for m in G.masks[1]]
    z, y = torch.randn(2, 128), torch.tensor([3, 0])
    image = G(z, y, 1, masks)
    h = torch.cat([nn.functional.one_hot(y, 10), z[:, 10:]], 1)
    for layer, (W, m, norm) in enumerate(zip(G.W, masks, G.own[1].norms)):
        W = (W * m if method == "dgmw" else W).transpose(0, 1)  # [p, n, k, k]
        if layer == 0:
            out = norm(torch.einsum("bn,pnij->bpij", h, W))
        else:
            if layer in (1, 3):
                h = past = h.repeat_interleave(2, 2).repeat_interleave(2, 3)
            out = norm(nn.functional.conv2d(h, W.flip(2, 3), padding=1))
        if layer in (2, 4):
            for channel in range(min(past.shape[1], out.shape[1])):
                out[:, channel] += past[:, channel]
        h = out.relu() * (m if method == "dgma" else 1)
    last = G.own[1].last.weight.transpose(0, 1).flip(2, 3)
    assert torch.allclose(image, torch.tanh(nn.functional.conv2d(h, last, padding=1)), atol=1e-5)
    assert image.shape == (2, 1, 16, 16)


@pytest.mark.parametrize("net, blocks, channels", [("resnet", 4, 4), ("resnet18", 8, 32)])
def test_residual_critics(net, blocks, channels):
    """Their depth, their width, and that a shortcut passes what the path leaves out."""
    D = dgm.Critic((3, 32, 32), 4, 7, "batch", dgm.NETS[net][1])
    convolutions = [m for m in D.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) == 1 + 2 * blocks  # ResNet-18: with the last layer 18, as in its name
    assert D.features[:-2](torch.randn(2, 3, 32, 32)).shape[1] == D.aux.in_features == channels
    score, logits = D(torch.randn(2, 3, 32, 32))
    assert score.shape == (2,) and logits.shape == (2, 7)
    block = dgm.Block(4, 4, 1, "none")
    for p in block.path.parameters():
        nn.init.zeros_(p)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), nn.functional.leaky_relu(x, 0.2))


def test_eq_2_forwards_and_its_gradient():
    e = torch.tensor([-3.0, -0.1, 0.0, 0.2, 4.0], dtype=torch.double, requires_grad=True)
    m = dgm.soft_mask(e, 7.0)
    assert m.tolist() == pytest.approx([1 / (1 + math.exp(-7 * v)) for v in e.tolist()])
    m.sum().backward()
    # HAT (Serrà et al. 2018): q' = s_max/s · (cosh(s e) + 1)/(cosh(e) + 1) · q; here s_max = 1.
    for v, g in zip(e.tolist(), e.grad.tolist()):
        q = 7 * math.exp(-7 * v) / (1 + math.exp(-7 * v)) ** 2
        assert g == pytest.approx((math.cosh(7 * v) + 1) / (math.cosh(v) + 1) / 7 * q)
    saturated = torch.tensor([5.0], requires_grad=True)
    dgm.soft_mask(saturated, 1e5).sum().backward()
    assert saturated.grad.item() > 1e-3  # the mask still learns where σ(s·e) is 1 in float32


def test_eqs_3_and_4():
    s_max, epochs, batches = 100.0, 5, 4
    assert parse("--method", "dgma").annealing == "global" and parse().annealing == "local"
    for i in range(1, 6):
        for b in range(1, 5):
            s_i = 1 / s_max + (s_max - 1 / s_max) * (i - 1) / (epochs - 1)
            s_i = max(s_i, 1)  # Deviation 3
            s = 1 / s_i + (s_i - 1 / s_i) * (b - 1) / (batches - 1)
            ours = dgm.global_annealing(i, epochs, s_max)
            assert ours == pytest.approx(s_i)
            assert dgm.local_annealing(b, batches, ours) == pytest.approx(s)
    assert s == pytest.approx(s_max)  # of the last batch of the last epoch
    s_1 = dgm.global_annealing(1, epochs, s_max)
    first = [dgm.local_annealing(b, batches, s_1) for b in range(1, 5)]
    assert first == sorted(first)  # never backwards
    assert dgm.local_annealing(1, 1, dgm.global_annealing(1, 1, s_max)) == s_max


def test_eq_5_and_eq_6_and_alpha_by_hand():
    used = [torch.tensor([[True, False], [False, False]]), torch.tensor([[True, True, False]])]
    masks = [torch.tensor([[0.9, 0.2], [0.4, 1.0]]), torch.tensor([[0.3, 0.1, 0.5]])]
    gradient = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    assert dgm.veto(gradient, used[0]).tolist() == [[0, 6], [7, 8]]
    assert dgm.sparsity(masks, used).item() == pytest.approx((0.2 + 0.4 + 1.0 + 0.5) / 4)
    assert dgm.alpha(used) == pytest.approx(7 / 4)
    assert dgm.count_free(used) == 4


@METHODS
def test_growth_is_the_papers_rounded_quotient(method):
    """δ units for δ reserved ones (DGMa); ⌈δ/n⌉ units for δ reserved weights (DGMw), here n k²."""
    for delta, units in ((0, 0), (1, 1), (2048, 1), (2049, 2), (4096, 2)):
        G = generator("--method", method, "--ngf", "4")
        G.grow()
        first = G.W[0].shape  # 128 units below, kernel 4: a unit has 2048 weights
        delta = units if method == "dgma" else delta
        with torch.no_grad():
            for e in G.e:
                e.fill_(-1)
            G.e[0].view(-1)[:delta] = 1
        G.freeze()
        G.grow()
        assert G.W[0].shape[1] - first[1] == units
        # the next layer has lost nothing: new inputs give it no new units
        assert G.W[1].shape[0] - first[1] == units and G.W[1].shape[1] == 4


def test_without_growth_no_unit_comes_and_masks_begin_afresh():
    G = generator("--no-growth", "--ngf", "4")
    for task in range(3):
        G.grow()
        assert G.widths() == [8, 4] and all(not e.any() for e in G.e) and len(G.own) == task + 1
        finish(G, 0.9, task)
    assert dgm.alpha(G.used) > 100


def test_a_kept_critic_goes_on_with_new_outputs():
    old, new = (dgm.Critic((1, 16, 16), 4, K, "batch") for K in (2, 3))
    fresh = [v.clone() for v in new.aux.state_dict().values()]
    x = torch.randn(5, 1, 16, 16)
    old(x), dgm.add_outputs(new, {})  # there is none in the first task
    assert all(map(torch.equal, new.aux.state_dict().values(), fresh))
    dgm.add_outputs(new, old.state_dict())
    (score, logits), (was, known) = new.eval()(x), old.eval()(x)
    assert torch.equal(score, was) and torch.allclose(logits[:, :2], known)
    assert all(torch.equal(v[2], w[2]) for v, w in zip(new.aux.state_dict().values(), fresh))


def test_gradient_penalty_against_a_finite_difference():
    torch.manual_seed(0)

    class Score(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(9, 5), nn.Tanh(), nn.Linear(5, 1))

        def forward(self, x):
            return self.net(x).squeeze(1), None

    D = Score().double()
    real, fake = torch.randn(2, 4, 1, 3, 3, dtype=torch.double).unbind()
    torch.manual_seed(1)
    share = torch.rand(4, 1, 1, 1)  # what gradient_penalty draws
    x, h = share * real + (1 - share) * fake, 1e-5
    norms = torch.zeros(4, dtype=torch.double)
    for k in range(9):
        step = torch.zeros(9, dtype=torch.double)
        step[k] = h
        step = step.view(1, 1, 3, 3)
        norms += ((D(x + step)[0] - D(x - step)[0]) / (2 * h)).square().detach()
    torch.manual_seed(1)
    penalty = dgm.gradient_penalty(D, real, fake)
    assert penalty.item() == pytest.approx((norms.sqrt() - 1).square().mean().item(), rel=1e-6)


def test_critic_loss_weighs_every_class_the_same(monkeypatch):
    """L_c is the mean over classes of the cross entropy of each; L_s and L_gp are Sec. 3.3's."""
    torch.manual_seed(0)
    args = parse("--no-aux-fakes")
    monkeypatch.setattr(dgm, "gradient_penalty", lambda D, real, fake: torch.tensor(0.25))
    D = dgm.Critic((1, 16, 16), 4, 4, "layer")
    gan = SimpleNamespace(D=D, opt_D=torch.optim.SGD(D.parameters(), 0.0), args=args)
    real, fake, old = torch.randn(3, 6, 1, 16, 16).unbind()
    label, old_label = torch.full((6,), 3), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = dgm.critic_step(gan, dgm.Batch(real, label, old, old_label, 3 / 4), fake)
    ce = nn.functional.cross_entropy
    by_class = [ce(D(real)[1], label)]
    by_class += [ce(D(old[old_label == c])[1], old_label[old_label == c]) for c in range(3)]
    by_hand = args.aux_weight * sum(by_class) / 4 + D(fake)[0].mean() - D(real)[0].mean()
    by_hand = by_hand + 0.25
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_generator_loss_and_its_veto(norm):
    """L_G = -E[D(G)] + L_c + λ_RU α R^t, and only free weights move."""
    torch.manual_seed(0)
    args = parse("--norm", norm, "--lambda-ru", "0.5")
    G = generator("--ngf", "4")
    for task in range(2):
        G.grow()
        if not task:
            finish(G, 0.5)
    gan = dgm.Gan(G, dgm.Critic((1, 16, 16), 4, 2, norm), args)
    y = torch.ones(6, dtype=torch.int64)
    masks = [dgm.soft_mask(e, 1.0) for e in G.e]
    fake = G(torch.randn(6, 128), y, 1, masks)
    score, logits = gan.D(fake)
    ce = nn.functional.cross_entropy(logits, y)
    alpha = sum(u.numel() for u in G.used) / sum((~u).sum() for u in G.used)
    assert alpha > 1
    by_hand = -score.mean() + ce + 0.5 * alpha * dgm.sparsity(masks, G.used)
    before = [W.detach().clone() for W in G.W]
    statistics = {k: v.clone() for k, v in gan.D.state_dict().items() if "running" in k}
    loss = dgm.generator_step(gan, fake, y, masks)
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-5)
    for W, old, used in zip(G.W, before, G.used):
        assert torch.equal(W.detach()[used], old[used])
        assert (W.detach() != old)[~used].float().mean() > 0.5
    # what G is shown to D does not move D's running statistics, which the line above did
    if norm == "batch":
        assert all(torch.equal(gan.D.state_dict()[k], v) for k, v in statistics.items())


# ----------------------------------------------------------------------------------- invariants


@METHODS
@NETS
@pytest.mark.parametrize("size", [16, 28, 32])
def test_growth_restores_the_free_part_of_every_layer(method, net, size):
    G = generator("--method", method, "--net", net, shape=(1, size, size))
    G.grow()
    goal, widths = list(G.goal), G.widths()
    for task, share in enumerate((0.3, 0.5, 0.0, 0.9)):
        finish(G, share, task)
        G.grow()
        for W, used, free, before, w in zip(G.W, G.used, goal, widths, G.widths()):
            now = int((~used).sum())
            if method == "dgma":
                assert now == free
            else:
                assert now >= free
                assert now < free + W[:, 0].numel() or w == before  # no unit more than needed
        inputs = [W.shape[0] for W in G.W]
        assert inputs[1:] == G.widths()[:-1] and inputs[0] == 128
        widths = G.widths()


@METHODS
@pytest.mark.parametrize(
    "norm, net",
    [("layer", "dcgan"), ("batch", "dcgan"), ("layer", "resnet"), ("batch", "resnet18")],
)
def test_what_old_tasks_need_never_changes(method, norm, net, tmp_path, monkeypatch):
    """Weights, own layers, statistics and images of old tasks, bit by bit."""
    before = {}

    def compare(kept, data, task, solver):
        G, changed = kept.G, False
        assert all(m.dtype is torch.bool for masks in G.masks for m in masks)
        if task.t:
            for W, now, used in zip(before["W"], G.W, before["used"]):
                n, p = W.shape[:2]
                frozen = used.expand(W.shape)
                assert torch.equal(now.detach()[:n, :p][frozen], W[frozen])
                changed = changed or not torch.equal(now.detach()[:n, :p], W)
            assert changed  # the rest did learn
            for own, state in zip(G.own, before["own"]):
                assert all(torch.equal(v, state[key]) for key, v in own.state_dict().items())
        before.update(
            W=[W.detach().clone() for W in G.W],
            used=[u.clone() for u in G.used],
            own=[{k: v.clone() for k, v in own.state_dict().items()} for own in G.own],
        )

    after_each_task(monkeypatch, compare)
    flags = ["--method", method, "--norm", norm, "--net", net]
    result = run(tmp_path / "r.json", *flags, "--ngf", "8")
    assert [task["drift"] for task in result["tasks"]] == [0, 0, 0]
    assert result["tasks"][0]["layers"][0]["new"] > 0


@METHODS
@NETS
def test_without_the_veto_old_images_change(method, net, tmp_path):
    result = run(tmp_path / "r.json", "--method", method, "--net", net, "--no-veto")
    assert result["tasks"][0]["drift"] == 0  # there is nothing old yet
    assert result["tasks"][1]["drift"] > 0 and result["tasks"][2]["drift"] > 0


def test_a_broken_veto_stops_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(dgm, "veto", lambda gradient, used: gradient)
    line = fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert "images of task 1 changed" in line


@METHODS
@NETS
def test_masks_and_generator_survive_storing(method, net, tmp_path):
    G = generator("--method", method, "--net", net)
    for task in range(3):
        G.grow()
        finish(G, 0.4, task)
    torch.save(G.state_dict(), tmp_path / "g")
    other = generator("--method", method, "--net", net)
    other.load_state_dict(torch.load(tmp_path / "g", weights_only=True))
    parameters = list(other.parameters())
    other.load_state_dict(torch.load(tmp_path / "g", weights_only=True))
    assert all(p is q for p, q in zip(parameters, other.parameters()))  # an optimizer's are they
    z, y = torch.randn(7, 128), torch.arange(7)
    for t in range(3):
        assert torch.equal(dgm.generate(G, t, y, z), dgm.generate(other, t, y, z))
    assert dgm.disc_bytes(G) == dgm.disc_bytes(other)
    assert dgm.disc_bytes(G)["masks_sparse"] == 4 * sum(
        int(m.sum()) for masks in G.masks for m in masks
    )


def test_replay_is_of_old_classes_only_and_nothing_real_is_kept(tmp_path, monkeypatch):
    """Erase every image after its task: the result must be the same."""
    run(tmp_path / "a.json")

    def forget(kept, data, task, solver):
        data.x[common.indices_of(data.y, data.tasks[task.t])] = 0

    after_each_task(monkeypatch, forget)
    run(tmp_path / "b.json")
    same = [line for line in numbers(tmp_path / "a.json")]
    assert same == numbers(tmp_path / "b.json")
    G = generator()
    for t in range(2):
        G.grow()
        finish(G, 0.5, t)
    data = SimpleNamespace(x=torch.zeros(1), shape=(1, 16, 16), tasks=[[0], [1], [2]], seed=3)
    kept = dgm.Kept(G)
    x, y = dgm.replay(kept, data, 2, 30)
    assert x.shape == (60, 1, 16, 16) and x.dtype is torch.uint8
    rng = torch.Generator().manual_seed(3 * 1000 + 2)
    for t, part in enumerate(x.split(30)):  # each class by its own task's mask
        z = torch.randn(30, 128, generator=rng)
        assert torch.equal(part, dgm.to_uint8(dgm.generate(G, t, torch.full((30,), t), z)))
    assert y.tolist() == [0] * 30 + [1] * 30
    assert len(dgm.replay(kept, data, 0, 30)[0]) == 0


# ----------------------------------------------------------------------- real images in the replay


@pytest.mark.parametrize("n, d, m", [(12, 3, 7), (9, 2, 9), (5, 4, 8), (30, 8, 10)])
def test_herding_against_a_brute_force(n, d, m):
    """Alg. 4, with the distances computed as they are written."""
    features = torch.randn(n, d, generator=torch.Generator().manual_seed(n), dtype=torch.double)
    phi = [row / row.norm() for row in features]
    mu = sum(phi) / n
    mu = mu / mu.norm()
    chosen = []
    for k in range(1, min(m, n) + 1):
        distances = {}
        for i in range(n):
            if i not in chosen:
                mean = (phi[i] + sum((phi[j] for j in chosen), torch.zeros(d))) / k
                distances[i] = (mu - mean / mean.norm()).norm().item()
        chosen.append(min(distances, key=distances.get))
    assert dgm.herding(features, m).tolist() == chosen
    shorter = dgm.herding(features, 3).tolist()
    assert shorter == chosen[:3]  # Alg. 5 may cut the end
    assert len(dgm.herding(features, 0)) == 0


def test_how_many_real_images_are_kept():
    for flags, n_classes, images in (
        ("--real-ratio 0.25", 7, 25),
        ("--memory-size 2000", 30, 66),  # "66 samples ... after seeing 30 classes, and 40
        ("--memory-size 2000", 50, 40),  # samples after 50"
        ("--memory-size 5000", 2, 100),
    ):
        assert dgm.quota(100, n_classes, parse(*flags.split())) == images


@pytest.mark.parametrize(
    "flags, shares, kept",
    [
        ("--real-ratio 0.25", [25, 25], [25, 25, 25]),
        ("--memory-size 21", [7, 7], [7, 7, 7]),  # K / |Y^t| of each, t the third task
        ("--memory-size 21 --choice herding", [7, 7], [7, 7, 7]),
        ("--memory-size 21 --stored-only", [100, 100], [7, 7, 7]),  # again and again
    ],
)
def test_real_images_take_their_share_and_no_other_is_kept(
    flags, shares, kept, tmp_path, monkeypatch
):
    """Erase every image that is not stored, after its task: the result must be the same."""
    flags = [*flags.split(), "--train-size", "1000"]  # 100 of each class
    run(tmp_path / "a.json", *flags)
    begin, whole, seen, stored = dgm.task_data, [], [], []

    def forget(kept, data, task, solver):
        gone = torch.ones(len(data.x), dtype=torch.bool)
        gone[torch.cat(kept.stored)] = False
        gone &= data.y <= task.t
        data.x[gone] = 0
        stored[:] = kept.stored

    def spy(data, t, *rest):
        whole[:] = whole or [data.x.clone()]
        task = begin(data, t, *rest)
        if t == 2:
            real = {tuple(x.flatten().tolist()) for x in whole[0]}
            is_real = torch.tensor([tuple(x.flatten().tolist()) in real for x in task.old])
            seen.extend(int((is_real & (task.old_y == c)).sum()) for c in range(2))
        return task

    after_each_task(monkeypatch, forget)
    monkeypatch.setattr(dgm, "task_data", spy)
    run(tmp_path / "b.json", *flags)
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")
    assert seen == shares
    assert [len(index) for index in stored] == kept


@pytest.mark.parametrize(
    "flags, real",
    [("", (0, 0, 0)), ("--real-ratio 0.25", (25, 25, 25)), ("--memory-size 30", (30, 15, 10))],
)
def test_generated_classes_get_as_many_real_images_as_old_ones(flags, real, tmp_path, monkeypatch):
    """--classifier-images generated: looking real says nothing about the class."""
    counts, load, train = [], dgm.load_data, dgm.train_classifier

    def first(*args):
        data = load(*args)
        counts.append({tuple(x.flatten().tolist()) for x in data.x})
        return data

    def spy(net, x, label, *rest):
        is_real = torch.tensor([tuple(image.flatten().tolist()) in counts[0] for image in x])
        counts.append([int((is_real & (label == c)).sum()) for c in range(int(label.max()) + 1)])
        train(net, x, label, *rest)

    monkeypatch.setattr(dgm, "load_data", first)
    monkeypatch.setattr(dgm, "train_classifier", spy)
    flags = f"{flags} --classifier-images generated --train-size 1000"
    run(tmp_path / "a.json", *flags.split())
    assert [c for c in counts if isinstance(c, list)] == [[n] * t for t, n in enumerate(real, 1)]


def test_a_kept_generator_serves_other_classifiers(tmp_path, capsys, monkeypatch):
    """One GAN, many rows of Table 2: it generates the same, whatever real images are stored."""
    alone = ["--no-critic-replay", "--separate-classifier", "--classifier-width", "4"]
    first = run(tmp_path / "g.json", *alone, "--keep-generator")
    kept = ["--generator", str(tmp_path / "g.generator")]
    trained = []
    monkeypatch.setattr(dgm, "train_gan", lambda *args: trained.append(args))
    again = run(tmp_path / "a.json", *alone, *kept, "--memory-size", "21", "--flip")
    assert not trained and again["grids"] == first["grids"]
    assert [task["widths"][-1] for task in again["tasks"]] == [first["tasks"][-1]["widths"][-1]] * 3
    monkeypatch.undo()
    whole = run(tmp_path / "b.json", *alone, "--memory-size", "21")
    assert whole["grids"] == first["grids"]  # trained anew, it is the same: no stored image matters
    seen = run(tmp_path / "c.json", *alone, "--critic-replay")
    assert seen["grids"] != first["grids"]
    missing, out = str(tmp_path / "no"), ["--out", str(tmp_path / "d.json")]
    for flags, says in [([*kept, "--seed", "1"], "seed=0, this run has seed=1"),
                        (["--generator", missing], f"there is no file {missing}"),
                        (["--generator", str(tmp_path / "a.json")], "is damaged")]:  # fmt: skip
        assert says in fails(capsys, [*TINY, *alone, *flags, *out])


def test_flip_mirrors_half_of_the_images(monkeypatch):
    torch.manual_seed(0)
    net, shown = dgm.Critic((1, 16, 16), 4, 2, "none"), []
    x = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    x[..., 0] = 255
    net.features.register_forward_pre_hook(lambda _, args: shown.append(args[0]))
    train(net, x, torch.zeros(1, dtype=torch.int64), 10, 100, "--flip", "--augment", "0")
    left = torch.cat(shown)[:, 0, 0, 0] == 1
    right = torch.cat(shown)[:, 0, 0, -1] == 1
    assert (left ^ right).all() and 400 < left.sum() < 600


# -------------------------------------------------------------------------- same bytes, resumed


@METHODS
def test_the_same_seed_gives_the_same_bytes(method, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        run(tmp_path / f"{name}.json", "--method", method, "--seed", seed)
    assert numbers(tmp_path / "a.json") == numbers(tmp_path / "b.json")
    assert numbers(tmp_path / "a.json") != numbers(tmp_path / "c.json")


STOPPED = {
    "dgmw": "", "dgma": "--method dgma", "stored": "--memory-size 20 --choice herding",
    "resnet": "--net resnet --method dgma --memory-size 20 --classifier-images generated",
    "kept": "--keep-critic --no-growth", "none": "--replay none", "joint": "--joint --tasks 10",
    "long": "--tasks 2 --classifier-steps 210 --separate-classifier --classifier-width 2",
}  # fmt: skip


@pytest.mark.parametrize("what", STOPPED)
def test_a_run_stopped_after_any_checkpoint_ends_in_the_same_bytes(what, tmp_path, monkeypatch):
    flags = [*STOPPED[what].split(), "--checkpoint-every", "0"]
    run(tmp_path / "whole.json", *flags)
    save, target = common.save_checkpoint, tmp_path / "parts.json"

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
    flags = [*TINY, "--epochs", "4", "--checkpoint-every", "0"]
    whole, target = tmp_path / "whole.json", tmp_path / "killed.json"
    dgm.main([*flags, "--out", str(whole)])
    command = [sys.executable, str(ROOT / "dgm.py"), *flags, "--out", str(target)]
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
        common.exit_in_one_line(lambda: dgm.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    lines = [line for line in lines if not line.startswith("warning: ")]
    assert stop.value.code == code and len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--dataset mnits", "no dataset 'mnits'"),
        ("--method dgmx", "invalid choice"),
        ("--preset best", "invalid choice"),
        ("--epochs 0", "--epochs takes numbers from 1"),
        ("--epochs many", "invalid int value"),
        ("--batch-size 1", "--batch-size takes numbers from 2"),
        ("--lambda-ru -1", "--lambda-ru takes numbers from 0"),
        ("--jitter -1", "--jitter takes numbers from 0"),
        ("--aux-weight nan", "--aux-weight takes numbers"),
        ("--lr 0", "between 0 and 1"),
        ("--label-smoothing 1", "between 0 and 1"),
        ("--pres paper", "unrecognized arguments"),
        ("--tasks 11", "there are 10"),
        ("--classifier-steps 0", "--augment, --flip, --jitter, --label-smoothing: for"),
        ("--classifier-steps 0 --augment 0 --flip", "--label-smoothing: for"),
        ("--no-critic-replay --classifier-steps 0 --augment 0", "need --classifier-steps"),
        ("--generator x", "with --no-critic-replay and --separate-classifier"),
        ("--generator x --no-critic-replay --separate-classifier --joint", "have no use for"),
        ("--classes-per-task 11", "between 1 and 10"),
        ("--image-size 30", "use --image-size 16"),
        ("--image-size 6", "use --image-size 16"),
        ("--device cuda:999", "try --device cpu"),
        ("--train-size 5", "there is no training image of class"),
        ("--classifier-steps 0 --augment 0.1", "give some"),
        ("--classifier-steps 0 --separate-classifier", "give some"),
        ("--threads 100000", "--threads takes numbers"),
        ("--seed -1", "--seed takes numbers"),
        ("--out {tmp}", "is a folder"),
        ("--nonsense", "unrecognized arguments"),
        ("--real-ratio 1.5", "from 0 to 1"),
        ("--real-ratio nan", "--real-ratio takes numbers from 0"),
        ("--memory-size -5", "--memory-size takes numbers from 0"),
        ("--memory-size 20 --replay none", "into a replay"),
        ("--real-ratio 0.5 --joint", "into a replay"),
        ("--choice herding", "give one"), ("--stored-only", "give --memory-size"),
        ("--keep-critic --replay none", "train none"), ("--keep-critic --joint", "train none"),
        ("--real-ratio 0.5 --memory-size 20", "not both"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    line = fails(capsys, [*TINY, *out, *flags.format(tmp=tmp_path).split()])
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_checkpoint_is_refused(tmp_path, capsys):
    common.save_checkpoint(tmp_path / "r.json.ckpt", {"ngf": 5}, {}, CPU)
    assert "delete" in fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")])


@pytest.mark.parametrize("what", ["gradient_penalty", "sparsity"])
def test_a_diverging_net_names_task_epoch_and_checkpoint(what, tmp_path, capsys, monkeypatch):
    good = getattr(dgm, what)
    monkeypatch.setattr(dgm, what, lambda *args: good(*args) * math.nan)
    line = fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert "task 1/3, gan epoch 1: the loss is" in line and "r.json.ckpt" in line
    assert not (tmp_path / "r.json").exists()


def test_an_empty_mask_is_named(tmp_path, capsys):
    line = fails(capsys, [*TINY, "--lambda-ru", "1e6", "--out", str(tmp_path / "r.json")], code=1)
    assert "mask of a layer is all 0" in line and "--lambda-ru" in line


# ----------------------------------------------------------------------------- report, Makefile


@pytest.mark.parametrize(
    "flags, shape",
    [
        ("--preset paper --dataset glyphs-rgb --classes-per-task 4 --shuffle-classes", (3, 2)),
        ("--preset paper --method dgma --image-size 28 --tasks 2", (3, 2)),
        ("--preset improved --classes-per-task 5 --classifier-steps 2", (3, 2)),
        ("--preset laptop --net resnet18 --classifier-images generated", (3, 2)),
    ],
)
def test_other_ways_to_run(flags, shape, tmp_path):
    base = ("--dataset glyphs --train-size 320 --test-size 100 --tasks 2 --epochs 1 --ngf 2 "
            "--ndf 2 --batch-size 16 --device cpu --threads 1").split()  # fmt: skip
    out = tmp_path / "r.json"
    dgm.main([*base, *flags.split(), "--out", str(out)])
    result = json.loads(out.read_text())
    assert (len(result["R"]), len(result["R"][0])) == shape
    dgm.main([*base, *flags.split(), "--joint", "--out", str(out)])
    assert 0 <= json.loads(out.read_text())["metrics"]["ACC"] <= 1


@pytest.mark.parametrize("dataset", ["cifar10", "imagenet50"])
def test_every_row_on_photographs_passes_the_check_of_flags(dataset):
    few = ("dgmw", "dgma", "joint", "none")
    photos = (*generators.ROWS, "dgmw-residual")
    table2 = [name for name in dgm.ITEMS["table2"] if name in dgm.ROWS]
    more = photos if dataset == "cifar10" else table2
    for name in [name for name in (*few, *more) if not name.endswith("-paper")]:
        flags = {**dgm.ROWS, **generators.ROWS}[name][1].format(seed=0).split()
        own = name in dgm.ROWS
        args = (dgm if own else generators).parse_args([*flags, "--dataset", dataset])
        assert args.critic_replay == (dataset == "cifar10") and args.augment == 0.1
        assert not own or args.keep_generator == (dataset == "imagenet50")
        kept = "results/imagenet50/dgm/dgmw-seed0.generator" if name in table2[2:] else ""
        assert not own or args.generator == kept


def test_joint_training_reports_at_the_ends_of_tasks(tmp_path):
    args = ["--joint", "--epochs", "1"]
    assert "A_5 (%)" not in run(tmp_path / "a.json", *args, "--classes-per-task", "3")["metrics"]
    metrics = run(tmp_path / "b.json", *args, "--tasks", "10")["metrics"]
    assert {"A_5 (%)", "A_10 (%)", "ACC"} == metrics.keys()
    run(tmp_path / "c.json", *args, "--tasks", "1")


def test_presets_move_defaults_and_flags_undo_them():
    paper = dgm.parse_args(["--method", "dgma"])
    assert (paper.ngf, paper.annealing, paper.epochs, paper.image_size) == (20, "global", 101, 32)
    laptop = dgm.parse_args(["--preset", "laptop", "--epochs", "7"])
    assert (laptop.image_size, laptop.epochs, laptop.lambda_ru) == (16, 7, 0.08)
    assert dgm.parse_args(["--preset", "improved"]).separate_classifier
    nets = {"mnist": "dcgan", "svhn": "dcgan", "cifar10": "resnet", "data/imagenet50/": "resnet18"}
    for dataset, net in nets.items():
        assert dgm.parse_args(["--dataset", dataset]).net == net
    cifar = dgm.parse_args(["--dataset", "cifar10", "--preset", "laptop"])
    assert (cifar.ngf, cifar.ndf, cifar.classifier_images) == (24, 32, "generated")
    same = vars(dgm.parse_args(["--dataset", "glyphs-rgb", "--preset", "laptop"]))
    assert same == vars(cifar) | {"dataset": "glyphs-rgb"}  # what counts is colour
    imagenet = dgm.parse_args(["--dataset", "imagenet50", "--preset", "laptop"])
    assert (imagenet.net, imagenet.classes_per_task, imagenet.image_size) == ("dcgan", 10, 16)


def test_no_setting_of_improved_hangs_on_a_name():
    """But how many classes a task has: that is ImageNet-50's protocol."""
    of = {data: vars(dgm.parse_args(["--preset", "improved", "--dataset", data]))
          for data in ("mnist", "cifar10", "my/folder", "imagenet50")}  # fmt: skip
    for args in of.values():
        del args["dataset"], args["classes_per_task"]
    assert of["mnist"] == of["cifar10"] == of["my/folder"] == of["imagenet50"]


@pytest.mark.parametrize("images, epochs", [(600, 20), (1200, 10), (60_000, 1)])
def test_few_images_are_seen_for_as_many_steps(images, epochs):
    """120 steps per class, 10 images each: on average, in whole epochs, at least one."""
    args = parse("--steps", "120", "--batch-size", "10", "--tasks", "10", "--train-size",
                 str(images))  # fmt: skip
    args.epochs = 2
    data = types.SimpleNamespace(x=torch.empty(images), owner=list(range(10)))
    assert dgm.epochs_of(data, args) == epochs
    args.steps = 0
    assert dgm.epochs_of(data, args) == 2
    assert dgm.parse_args(["--preset", "improved", "--epochs", "3"]).steps == 0


@pytest.mark.parametrize(
    "told_apart, kind", [(0.6, "real"), (0.95, "generated"), (None, "generated")]
)
def test_new_classes_are_learned_from_real_images_if_these_look_generated(
    told_apart, kind, tmp_path, monkeypatch, capsys
):
    lessons, noisy = [], []
    quality, train = dgm.quality, dgm.train_classifier

    def as_told(task):
        return quality(task) | {"told apart": told_apart}

    def spy(net, x, label, steps, lr, decay, B, args, run):
        lessons.append(x)
        noisy.append(args.jitter)
        train(net, x, label, steps, lr, decay, B, args, run)

    monkeypatch.setattr(dgm, "quality", as_told)
    monkeypatch.setattr(dgm, "train_classifier", spy)
    seen = []
    after_each_task(monkeypatch, lambda kept, data, task, solver: seen.append(task))
    run(tmp_path / "a.json", "--classifier-images", "auto", "--jitter", "0.2")
    assert f"learns the new classes from {kind} images" in capsys.readouterr().out
    assert noisy == [0.0 if kind == "real" else 0.2] * 3
    for x, task in zip(lessons, seen):
        own = x[: len(task.x)] if kind == "real" else x[-task.n :]
        assert torch.equal(own, task.x) == (kind == "real")


def test_classes_are_numbered_as_they_are_met():
    """With --shuffle-classes, too; names and images go with them, those of later tasks go."""
    flags = ["--tasks", "2", "--classes-per-task", "2", "--shuffle-classes", "--seed", "3"]
    data, whole = dgm.load_data(parse(*flags), CPU), common.load_chosen(parse(*flags))
    order = common.class_order(10, 3, True)
    assert order[:4] != [0, 1, 2, 3] and data.tasks == [[0, 1], [2, 3]] and data.K == 10
    assert data.names == [[str(c) for c in order[:2]], [str(c) for c in order[2:4]]]
    for c in range(4):
        assert torch.equal(data.x[data.y == c], whole.x_train[whole.y_train == order[c]])
        assert torch.equal(data.x_test[data.y_test == c], whole.x_test[whole.y_test == order[c]])
    assert len(data.y.unique()) == len(data.y_test.unique()) == 4


def test_the_order_of_the_presets_is_nothing():
    """No two rows that hold together set the same flag."""
    for name in ("paper", "laptop", "improved"):
        for memory in ("dgmw", "dgma"):
            for data in ("grey", "colour", "cifar10", "imagenet50"):
                chosen = name, memory, data
                assert dgm.preset(*chosen) == dgm.preset(*chosen, dgm.PRESETS[::-1])


def test_every_item_can_be_drawn():
    assert dgm.ITEMS.keys() <= figures.PICTURES.keys() | figures.TABLES.keys()


def reference(folder, *names, data="mnist"):
    """Some of our results, copied to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = "dgm" if data == "mnist" else f"dgm-{data}"
        shutil.copy(ROOT / f"reference/{place}/{name}.json", folder)
    return folder


def test_what_is_there_is_drawn_and_what_is_missing_is_named(tmp_path, capsys):
    folder = reference(
        tmp_path / "dgm", "dgmw-seed0", "dgmw-seed1", "dgma-seed0", "joint-seed0", "none-seed0",
        "mergan-align-seed0", "dgr-seed0", "split-dgmw-seed0", "speed-laptop-seed0",
    )  # fmt: skip
    (tmp_path / "episodic").mkdir()
    shutil.copy(ROOT / "reference/episodic/ewc-seed0.json", tmp_path / "episodic")
    page, drawn = tmp_path / "page.md", tmp_path / "figures"
    names = ("table1", "split", "table3", "table4", "speed", "deviations")
    marks = "<!-- begin dgm {0} -->\n<!-- end dgm {0} -->\n"
    page.write_text("".join(map(marks.format, names)))
    argv = ["dgm", "--runs", str(folder), "--figures", str(drawn)]
    draw.main([*argv, "--docs", str(page)])
    err = capsys.readouterr().err
    assert re.search(r"missing: python -m beyond.generators --row mergan --dataset mnist", err)
    assert "k1000" not in err  # Table 2 is of ImageNet-50
    assert {p.name for p in drawn.iterdir()} == {
        "figure3a.png", "figure3b.png", "figure4.png", "figure5.png", "cost.png", "averages.png",
        "quality.png", "tables.md"}  # fmt: skip
    text = page.read_text()
    assert "\n1. Nets. The paper gives" in text and "\n15. Losses. L_c is" in text
    assert "| laptop | 32 | 64 |" in text and "5.58e+04" in text and "(paper 96.46)" in text
    assert text.count("| MeRGAN, replay alignment, laptop |") == 2
    assert "| EWC-S, 100 images |" in text and "(paper 79.70)" in text  # of the folder beside
    draw.main([*argv[:3], "--figures", str(tmp_path / "one"), "--item", "table1"])
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["table1.md"]


def test_a_colour_data_set_has_tables_of_its_own_with_its_own_paper_values(tmp_path):
    folder = reference(tmp_path / "dgm", "dgmw-seed0", "joint-seed0", data="cifar10")
    page = tmp_path / "page.md"
    page.write_text("<!-- begin dgm cifar10 table1 -->\n<!-- end dgm cifar10 table1 -->\n")
    draw.main(["dgm", "--runs", str(folder), "--figures", str(tmp_path), "--docs", str(page)])
    assert "(paper 51.70)" in page.read_text()


def test_table_2_and_figure_2_of_more_than_ten_classes(tmp_path, capsys):
    names = [path.stem for path in (ROOT / "reference/dgm-imagenet50").glob("*-seed0.json")]
    assert {"dgmw-seed0", "r50-seed0"} <= set(names)
    folder, drawn = reference(tmp_path / "dgm", *names, data="imagenet50"), tmp_path / "figures"
    (tmp_path / "episodic").mkdir()
    beside = ROOT / "reference/episodic-imagenet50/icarl-k1000-seed0.json"
    shutil.copy(beside, tmp_path / "episodic")
    draw.main(["dgm", "--runs", str(folder), "--figures", str(drawn)])
    assert (drawn / "figure2.png").exists()
    table = (drawn / "tables.md").read_text().partition("## dgm table2")[2]
    rows = ("| iCaRL, 1000 images |", "| DGMw, r=0.5 |", "top-5 A_50 (%)", "(paper 17.82)")
    assert all(row in table for row in rows)


def test_top_5_of_more_than_ten_classes(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 12), ("test", 4)):
        for c in range(12):
            place = tmp_path / "dozen" / split / f"{c:02}"
            place.mkdir(parents=True)
            for i in range(n):
                x = rng.integers(0, 100, (16, 16)) + 12 * c
                Image.fromarray(x.astype(np.uint8)).save(place / f"{i}.png")
    flags = ("--preset laptop --image-size 16 --classes-per-task 4 --epochs 1 --ngf 2 --ndf 4 "
             "--batch-size 16 --classifier-steps 4 --threads 1 --device cpu").split()  # fmt: skip
    out = tmp_path / "r.json"
    flags += ["--dataset", str(tmp_path / "dozen"), "--real-ratio", "0.5", "--out", str(out)]
    dgm.main(flags)
    result = json.loads(out.read_text())
    assert len(result["top5"]) == 3 and result["top5"][0] > 0.9  # five guesses of four classes
    assert result["metrics"]["top-5 A_12 (%)"] == pytest.approx(100 * result["top5"][-1])
    assert result["top5"][-1] >= result["metrics"]["ACC"]


def test_data_that_do_not_fit_are_refused_or_skipped(tmp_path, capsys):
    flags = [*TINY, "--image-size", "30", "--out", str(tmp_path / "r.json")]
    assert "images of 30x30 cannot be generated" in fails(capsys, flags)
    dgm.main([*flags, "--skip-unfit"])
    assert "images of 30x30" in json.loads((tmp_path / "r.json").read_text())["skipped"]
    folder = reference(tmp_path / "dgm", "dgmw-seed0")  # tools go on with the others
    (tmp_path / "r.json").rename(folder / "dgma-seed0.json")
    capsys.readouterr()
    assert list(runs.read(folder, "dgm")) == ["dgmw"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {folder}/dgma-seed0.json: these data do not fit: images of")


def test_top_5_by_hand():
    scores = torch.tensor([[9.0, 8, 7, 6, 5, 4, 3], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7, 6, 5, 4, 3]])

    class Net(nn.Module):
        aux = nn.Linear(1, 7)

        def forward(self, x):
            return None, scores

    data = SimpleNamespace(y_test=torch.tensor([1, 0, 9, 0]), x_test=torch.zeros(4, 1, 2, 2))
    assert dgm.top5(Net(), data) == pytest.approx(2 / 3)  # class 0 is last in the second row


def test_the_script_runs_from_the_command_line(tmp_path):
    out = tmp_path / "deep" / "run-seed0.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "dgm.py"), *TINY, "--out", str(out)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "ACC" in done.stdout
    result = json.loads(out.read_text())
    assert len(result["R"]) == 4 and all(len(row) == 3 for row in result["R"])
    assert result["metrics"]["ACC"] == pytest.approx(sum(result["R"][-1]) / 3)
    assert [p.name for p in out.parent.iterdir()] == ["run-seed0.json"]
