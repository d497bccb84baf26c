"""synthetic_meta.py: the differentiable learner, the meta-gradient, the command line."""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import common
import synthetic_meta as sm
from tools import draw, runs
from tools.figures import synthetic_meta as figures
from tools.tables import unpack_images

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = (
    "--dataset glyphs --image-size 8 --train-size 400 --test-size 200 --steps 2 --batch-size 8 "
    "--pool 12 --channels 4 4 --gen-width 4 --real-batch 20 "
    "--meta-steps 3 --learner-seeds 2 --horizons 2 3 --batches 8 30 --device cpu --threads 1"
).split()


def parse(*flags):
    return sm.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    sm.main([*TINY, *flags, "--out", str(path)])
    return json.loads(Path(path).read_text())


def numbers(path):
    """The lines of a result that must not depend on the machine's speed, the date or the path."""
    skip = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')
    return [line for line in Path(path).read_text().splitlines() if not line.startswith(skip)]


def build(*flags, seed=0):
    """nets, data, method and args of a run that has not begun."""
    args = parse(*flags)
    common.seed_everything(seed)
    data, method = sm.load_data(args, CPU), sm.method_of(args)
    return sm.make_nets(data, method, args), data, method, args


# ------------------------------------------------------------------- the meta-gradient, Eq. (1)


@pytest.fixture
def restore_dtype():
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--inner-loss all --rates one",
        "--bn running",
        "--bn none",
        "--bn none --frozen-convs 2",
        "--bn none --frozen-convs 2 --init learned --inner-loss each",
        "--init learned",
        "--init fixed",
    ],
)
def test_the_meta_gradient_against_central_differences(flags, restore_dtype):
    _, data, method, args = build(*flags.split())
    torch.set_default_dtype(torch.float64)
    nets = sm.make_nets(data, method, args)
    single = data.standard
    data.standard = lambda x: single(x).double()

    def loss():
        torch.manual_seed(1)  # the same noise, learner, order and real images each time
        return sm.meta_loss(nets, data, method, args)

    places = [(nets.log_rates, i) for i in range(len(nets.log_rates))]
    places += [(nets.logit_momentum, ())]
    first, last = list(nets.G.parameters())[0], list(nets.G.parameters())[-1]
    places += [(first, (1, 2)), (first, (3, 10)), (last, 0)]
    if args.init == "learned":
        places += [(v, (0,) * v.ndim) for v in nets.init.values()]
    tensors = list({id(t): t for t, _ in places}.values())
    grads = dict(zip(map(id, tensors), torch.autograd.grad(loss(), tensors)))
    assert any(g.abs().sum() > 0 for g in grads.values())
    for tensor, place in places:
        ends = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                tensor[place] += step
            ends.append(loss().item())
            with torch.no_grad():
                tensor[place] -= step
        slope = (ends[0] - ends[1]) / 2e-6
        assert grads[id(tensor)][place].item() == pytest.approx(slope, rel=2e-4, abs=2e-8)


def test_every_learned_quantity_has_a_gradient():
    nets, data, method, args = build("--init", "learned")
    sm.meta_loss(nets, data, method, args).backward()
    for v in (nets.log_rates, nets.logit_momentum, *nets.init.values()):
        assert v.grad.abs().max() > 0
    assert all(p.grad is not None for p in nets.G.parameters())


def test_sgd_with_momentum_is_torchs_step_for_step():
    torch.manual_seed(0)
    rates = {"a": torch.tensor(0.1), "b": torch.tensor(0.03)}
    w = {"a": torch.randn(3, 2), "b": torch.randn(4), "fixed": torch.ones(1)}
    theirs = {k: w[k].clone().requires_grad_() for k in rates}
    groups = [{"params": [theirs[k]], "lr": rates[k].item()} for k in rates]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.8)
    v = {k: torch.zeros_like(w[k]) for k in rates}
    for _ in range(6):
        x = torch.randn(2)

        def loss(now, x=x):
            return (now["a"] @ x).square().sum() + (now["b"] * x.sum()).sin().sum()

        optimizer.zero_grad()
        loss(theirs).backward()
        optimizer.step()
        now = {k: w[k].detach().clone().requires_grad_() for k in rates}
        w, v = sm.sgd_step(loss(now), w | now, v, rates, torch.tensor(0.8))
        for k in rates:
            torch.testing.assert_close(w[k], theirs[k].detach())
    assert torch.equal(w["fixed"], torch.ones(1))


@pytest.mark.parametrize(
    "flags", ["", "--source mlp", "--bn running", "--bn none"]
)
def test_learning_is_the_same_with_and_without_the_graph(flags):
    nets, data, method, args = build(*flags.split())
    tasks = torch.arange(10).view(5, 2)
    images = torch.randn(120, 1, 8, 8)
    rows = sm.draw_batches(tasks, 12, 2, 8)
    y = sm.labels(12, data)
    rates, momentum = sm.hyperparameters(nets)
    start, S = sm.start(nets, method.weights), nets.S
    ends = []
    for alone in (False, True):
        batches = zip(images[rows], y[rows])
        w = start | sm.running(start)  # a learner changes them in place
        step = sm.PlainMean(sm.running(w)).step if alone else sm.sgd_step
        way = sm.learn(S, w, tasks, batches, rates, momentum, method.inner_loss, step)
        ends.append(list(way)[-1])
    for name in sm.trained(S):
        torch.testing.assert_close(ends[0][name], ends[1][name])
        assert not torch.equal(ends[0][name], start[name])
        assert ends[0][name].grad_fn is not None and ends[1][name].grad_fn is None


def test_inner_losses_by_hand():
    torch.manual_seed(0)
    logits, task = torch.randn(6, 5), torch.tensor([3, 1])
    y = torch.tensor([1, 3, 3, 1, 1, 3])
    every = pair = each = 0.0
    for row, c in zip(logits, y.tolist()):
        other = 4 - c
        every -= (row[c].exp() / row.exp().sum()).log() / 6
        pair -= (row[c].exp() / (row[c].exp() + row[other].exp())).log() / 6
        each -= (row[c].sigmoid().log() + (1 - row[other].sigmoid()).log()) / 6
    for kind, value in (("all", every), ("task", pair), ("each", each)):
        inner_loss = sm.method_of(parse("--inner-loss", kind)).inner_loss
        assert inner_loss(logits, y, task).item() == pytest.approx(value.item(), rel=1e-5)


# ------------------------------------------------------------------ tasks, batches, initial nets


@pytest.mark.parametrize("C", [2, 5])
def test_tasks_are_disjoint_and_hold_every_class(C):
    orders = set()
    for seed in range(20):
        torch.manual_seed(seed)
        tasks = sm.method_of(parse()).tasks(10, C)
        assert tasks.shape == (10 // C, C) and sorted(tasks.flatten().tolist()) == list(range(10))
        orders.add(tuple(tasks.flatten().tolist()))
    assert len(orders) > 15
    fixed = sm.method_of(parse("--order", "fixed")).tasks(10, C)
    assert fixed.shape == (10 // C, C) and fixed.flatten().tolist() == list(range(10))


def test_joint_training_passes_once_over_the_pool_with_all_classes_in_every_batch():
    nets, data, method, args = build("--pool", "100")
    found = sm.controls(lambda *_, **how: how, nets, data, method, args)
    joint = found["one pass, shuffled"]
    assert joint["method"].tasks(10, 2).tolist() == [list(range(10))]
    assert joint["steps"] * joint["batch_size"] == 1000 and joint["pool"] == 100


@pytest.mark.parametrize("n, steps, size", [(100, 5, 40), (12, 2, 8), (12, 5, 8), (7, 2, 30)])
def test_batches_are_balanced_and_no_image_outlives_its_task(n, steps, size):
    torch.manual_seed(0)
    tasks = torch.randperm(10).view(5, 2)
    rows = sm.draw_batches(tasks, n, steps, size)
    assert rows.shape == (5, steps, size)
    used = []
    for task, mine in zip(tasks, rows):
        for batch in mine:
            classes = torch.bincount(batch // n, minlength=10)
            assert classes[task].tolist() == [size // 2] * 2 and classes.sum() == size
            if size // 2 <= n:
                assert len(batch.unique()) == size
        if steps * size // 2 <= n:
            assert len(mine.unique()) == mine.numel()  # "one time per sample"
        used.append(set(mine.flatten().tolist()))
    assert all(not used[i] & used[j] for i in range(5) for j in range(i))


def test_a_curriculum_shows_every_learner_the_same_images_in_the_same_steps():
    nets, data, method, _ = build("--order", "curriculum")
    nets.G.eval()  # so that an image does not depend on those beside it
    few, more = (method.images(n, nets, data).view(10, n, -1) for n in (3, 5))
    torch.testing.assert_close(few, more[:, :3])
    assert (few[:, 0] != few[:, 1]).any() and (few[0] != few[1]).any()
    tasks = method.tasks(10, 2)
    rows = sm.draw_batches(tasks, 8, 2, 8, method.rand)  # two steps of four images of each class
    assert rows[1, 0].tolist() == [16, 17, 18, 19, 24, 25, 26, 27]
    assert rows[1, 1].tolist() == [20, 21, 22, 23, 28, 29, 30, 31]


def test_draw_images_takes_each_class_from_where_it_should():
    nets, data, method, args = build("--source", "real")
    x = method.images(15, nets, data).view(10, 15, -1)
    for c in range(10):
        own = data.standard(data.x[data.y == c]).flatten(1)
        assert all((own == image).all(1).any() for image in x[c])
        assert len(x[c].unique(dim=0)) == 15


def test_mirrored_filters_are_orthogonal_and_have_their_negatives():
    torch.manual_seed(0)
    f = sm.mirrored_filters(torch.Size([18, 1, 3, 3]), CPU).flatten(1)
    torch.testing.assert_close(f[:9], -f[9:])
    torch.testing.assert_close(f[:9] @ f[:9].T, 2 * torch.eye(9), atol=1e-5, rtol=0)
    assert sm.mirrored_filters(torch.Size([50, 2, 3, 3]), CPU).shape == (50, 2, 3, 3)
    odd = sm.mirrored_filters(torch.Size([7, 1, 3, 3]), CPU).flatten(1)
    torch.testing.assert_close(odd.norm(dim=1), torch.full((7,), math.sqrt(2)))


def test_a_new_learner_has_kaimings_scale_and_a_small_last_layer():
    nets, _, method, _ = build("--channels", "64", "64")
    w = sm.start(nets, method.weights)
    assert w["conv1.weight"].std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.1)
    assert w["conv2.weight"].std().item() == pytest.approx(math.sqrt(2 / 576), rel=0.1)
    assert w["fc.weight"].std().item() == pytest.approx(0.1 * math.sqrt(2 / 256), rel=0.1)
    assert w["norm1.weight"].eq(1).all() and w["norm1.bias"].eq(0).all()
    again = sm.start(nets, method.weights)
    assert not torch.equal(w["conv1.weight"], again["conv1.weight"])
    for loss, bias in (("each", sm.BIAS), ("task", 0)):
        nets, _, method, _ = build("--bn", "none", "--inner-loss", loss)
        assert sm.start(nets, method.weights)["fc.bias"].eq(bias).all()


# --------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("mode", ["batch", "running"])
def test_accuracies_against_a_loop(mode):
    nets, data, method, args = build()
    S = nets.S
    w = sm.start(nets, method.weights)
    tasks = torch.randperm(10, generator=torch.Generator().manual_seed(1)).view(5, 2)
    x, y = data.standard(data.x_test), data.y_test
    S.train(mode == "batch")
    before = w["norm1.running_mean"].clone()
    for seen in (0, 2, 5):
        want = [0.0] * 5
        for group in (tasks[:seen], tasks[seen:]):
            if len(group):
                rows = torch.isin(y, group)
                got = sm.call(S, {k: v.clone() for k, v in w.items()}, x[rows]).argmax(1)
                for t, task in enumerate(tasks):
                    if (group == task[0]).any():
                        mine = torch.isin(y[rows], task)
                        want[t] = (got[mine] == y[rows][mine]).float().mean().item()
        assert sm.accuracies(S, w, data, tasks, mode, seen, x) == pytest.approx(want)
    masked = sm.accuracies(S, w, data, tasks, mode, 5, x, masked=True)
    assert torch.equal(before, w["norm1.running_mean"])  # a test leaves no trace
    for t, task in enumerate(tasks):
        rows = torch.isin(y, task)
        S.train(mode == "batch")
        logits = sm.call(S, {k: v.clone() for k, v in w.items()}, x[rows])
        got = task[logits[:, task].argmax(1)]
        assert masked[t] == pytest.approx((got == y[rows]).float().mean().item())


def test_with_all_classes_beside_it_an_answer_does_not_depend_on_what_was_seen():
    nets, data, method, args = build()
    w = sm.start(nets, method.weights)
    tasks, x = sm.in_order(10, 2), data.standard(data.x_test)
    nets.S.train()
    got = sm.call(nets.S, {k: v.clone() for k, v in w.items()}, x).argmax(1) == data.y_test
    want = [got[torch.isin(data.y_test, task)].float().mean().item() for task in tasks]
    for seen in (0, 1, 5):
        assert sm.accuracies(nets.S, w, data, tasks, "all", seen, x) == pytest.approx(want)
    assert sm.accuracies(nets.S, w, data, tasks, "batch", 1, x) != pytest.approx(want)


def test_scenarios_change_what_their_names_say():
    nets, data, method, args = build()
    seen = []
    out = sm.scenarios(lambda *few, **how: seen.append(how) or few, nets, data, args)
    half, twice, plain, wide = (how["nets"] for how in seen[:4])
    rates, momentum = sm.hyperparameters(nets)
    for other, factor in ((half, 0.5), (twice, 2), (plain, 1 / (1 - momentum.item()))):
        for name, rate in sm.hyperparameters(other)[0].items():
            assert rate.item() == pytest.approx(factor * rates[name].item())
    assert sm.hyperparameters(plain)[1] == 0 and sm.hyperparameters(half)[1] == momentum
    assert [len(p) for p in (wide.S.conv1.weight, wide.S.conv2.weight)] == [8, 8]
    assert wide.log_rates is nets.log_rates and wide.G is nets.G
    assert seen[4] == {"steps": 3, "batch_size": 30} and len(out) == 5


def test_running_statistics_are_those_of_the_learners_own_batches():
    nets, _, method, _ = build()
    S = nets.S.train()
    w = sm.start(nets, method.weights)
    x = torch.randn(8, 1, 8, 8)
    sm.call(S, w, x)
    h = F.conv2d(x, w["conv1.weight"], stride=2, padding=1)
    torch.testing.assert_close(w["norm1.running_mean"], 0.1 * h.mean((0, 2, 3)).detach())
    assert torch.equal(S.norm1.running_mean, torch.zeros(4))  # the structure keeps nothing


def test_forgetting_is_each_learners_own(monkeypatch):
    """Two learners that forget different tasks: their mean R hides half of it."""
    nets, data, method, args = build()
    R = [[[0.0] * 3, [one, 0.0, 0.0], [two, 0.5, 0.0], [0.2, 0.5, 0.5]]
         for one, two in ((0.8, 0.2), (0.2, 0.8))]  # fmt: skip
    one, other = sm.test_seeds(args)
    known = {one: R[0], other: R[1]}
    monkeypatch.setattr(sm, "new_learner", lambda seed, *a, **k: (
        dict.fromkeys(("batch", "running"), known[seed]),
        dict.fromkeys(("batch", "running"), [0.5] * 3)))  # fmt: skip
    monkeypatch.setattr(sm, "controls", lambda *a: {})
    monkeypatch.setattr(sm, "scenarios", lambda *a: {})
    out = sm.evaluate(nets, data, method, args)["learners"]["batch"]
    assert out["forgetting"] == pytest.approx([0.3, 0.3])  # (0.6 + 0.0) / 2 each
    assert common.forgetting(out["R"]) == pytest.approx(0.15)


@pytest.mark.parametrize("flags", ["", "--bn running"])
def test_plain_means_weigh_every_batch_alike_and_own_statistics_are_of_its_images(flags):
    nets, data, method, args = build(*flags.split())
    S, images, tasks = nets.S, torch.randn(120, 1, 8, 8), sm.in_order(10, 2)
    rows, y = sm.draw_batches(tasks, 12, 2, 8), sm.labels(12, data)
    start = sm.start(nets, method.weights)
    seen, plain = [], sm.PlainMean(sm.running(start))

    def step(loss, w, *rest):
        seen.append(w["conv1.weight"].detach().clone())
        return plain.step(loss, w, *rest)

    batches = zip(images[rows], y[rows])
    *_, w = sm.learn(S, start, tasks, batches, *sm.hyperparameters(nets), method.inner_loss, step)
    h = [F.conv2d(images[r], filters, stride=2, padding=1)
         for r, filters in zip(rows.flatten(0, 1), seen)]  # fmt: skip
    got = plain.put_into(w)
    assert len(seen) == plain.batches == 10
    want = torch.stack([one.mean((0, 2, 3)) for one in h]).mean(0)
    torch.testing.assert_close(got["norm1.running_mean"], want, atol=1e-4, rtol=1e-3)
    want = torch.stack([one.transpose(0, 1).flatten(1).var(1) for one in h]).mean(0)
    torch.testing.assert_close(got["norm1.running_var"], want, atol=1e-4, rtol=1e-3)
    assert (w["norm1.running_mean"] - got["norm1.running_mean"]).abs().max() > 1e-3

    classes = torch.tensor([7, 2])
    own = sm.put_own(w, S, images, classes, data)
    h = F.conv2d(torch.cat([images[84:96], images[24:36]]), w["conv1.weight"], stride=2, padding=1)
    torch.testing.assert_close(own["norm1.running_mean"], h.mean((0, 2, 3)).detach(), atol=1e-4,
                               rtol=1e-3)  # fmt: skip


def test_images_beside_it_tell_an_image_nothing_but_with_the_batchs_statistics():
    """One class of the test set made a hundred times as frequent: other answers may not change."""
    nets, data, method, args = build()
    w = sm.start(nets, method.weights)
    images, tasks = torch.randn(120, 1, 8, 8), sm.in_order(10, 2)
    own = data.y_test == 0
    more = sm.replace(data, x_test=torch.cat([data.x_test, data.x_test[own].repeat(99, 1, 1, 1)]),
                      y_test=torch.cat([data.y_test, data.y_test[own].repeat(99)]))  # fmt: skip
    for mode, same in (("batch", False), ("running", True), ("own", True)):
        a, b = (sm.accuracies(nets.S, w, d, tasks, mode, 5, x=images) for d in (data, more))
        assert (a[1:] == pytest.approx(b[1:])) == same, mode


def test_a_result_holds_all_that_figures_and_tables_need(tmp_path):
    result = run(tmp_path / "r.json", "--source", "synthetic")
    assert len(result["R"]) == 6 and len(result["R"][0]) == 5
    assert set(result["learners"]) == {"batch", "running", "mean", "own", "all"}
    lost = result["learners"]["batch"]["forgetting"]  # of each learner
    assert len(lost) == 2 and result["metrics"]["forgetting"] == pytest.approx(sum(lost) / 2)
    assert [len(v) for v in result["learners"]["batch"]["seen"]] == [5, 5]
    last = result["learners"]["batch"]["last"]
    assert result["metrics"]["ACC"] == pytest.approx(sum(map(sum, last)) / 10)
    assert set(result["by_steps"]) == {"2", "3"} and set(result["by_batch"]) == {"8", "30"}
    assert len(result["grids"]) == 2 and result["grids"][-1][0] == 3
    assert unpack_images(result["grids"][0][1]).shape == (30, 1, 8, 8)
    names = {"fixed order", "as many images and steps, shuffled", "one pass, shuffled",
             "real images, same start and rates",
             "real images, same start and rates, 3 steps a task"}  # fmt: skip
    assert set(result["controls"]) == names and len(result["scenarios"]) == 5
    assert 0 <= result["quality"]["GAN-test"] <= 1 and not result["learners"]["all"]["masked"]
    steps, all_classes = result["learners"]["batch"]["R"], result["learners"]["all"]["R"]
    assert steps[-1] == all_classes[-1] and steps[1] != all_classes[1]
    real = run(tmp_path / "real.json", "--source", "real")
    assert "an epoch a task" in real["controls"] and not real["grids"]
    gan = run(tmp_path / "gan.json", "--source", "gan")
    assert 0 <= gan["judge"]["agreement"] <= 1 and 0 <= gan["judge"]["accuracy"] <= 1


# ------------------------------------------------------------------------------- meta-training


def test_rates_stay_below_their_cap(monkeypatch):
    monkeypatch.setattr(sm, "MAX_LR", 0.021)
    nets, data, method, args = build("--hyper-lr", "0.5")
    before = nets.log_rates.detach().clone()
    for step in range(3):
        sm.update(nets, sm.meta_loss(nets, data, method, args), step, args)
        rates, momentum = sm.hyperparameters(nets)
        assert max(rates.values()) <= 0.021 * (1 + 1e-6) and 0 < momentum < 1
    assert not torch.equal(before, nets.log_rates)


def test_every_meta_step_has_an_order_of_its_own(monkeypatch):
    nets, data, method, args = build()
    seen = []
    good = sm.learn
    monkeypatch.setattr(sm, "learn", lambda *a, **k: seen.append(a[2]) or good(*a, **k))
    for _ in range(3):
        sm.meta_loss(nets, data, method, args)
    assert len({tuple(t.flatten().tolist()) for t in seen}) == 3


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (6, 3)])
def test_running_norm_is_torchs_batchnorm(shape):
    ours = sm.RunningNorm(3)
    theirs = (torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d)(3)
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters()):
            q.copy_(p.normal_())
        for _ in range(3):
            x = 2 + 3 * torch.randn(shape)
            assert torch.equal(ours(x), theirs(x))
        ours.eval(), theirs.eval()
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
        for name in ("running_mean", "running_var"):
            assert torch.allclose(getattr(ours, name), getattr(theirs, name))
    assert not torch.allclose(theirs(x), sm.RunningNorm(3).eval()(x), atol=0.1)


def test_initial_weights_are_new_or_not_as_asked():
    for init, same in (("fresh", False), ("fixed", True), ("learned", True)):
        nets, data, method, args = build("--init", init)
        a, b = sm.start(nets, method.weights), sm.start(nets, method.weights)
        assert torch.equal(a["conv1.weight"], b["conv1.weight"]) == same
        # the last layer is new even behind learned ones
        assert torch.equal(a["fc.weight"], b["fc.weight"]) == (init == "fixed")
        old = a["conv1.weight"].detach().clone()
        sm.update(nets, sm.meta_loss(nets, data, method, args), 0, args)
        moved = not torch.equal(old, sm.start(nets, method.weights)["conv1.weight"])
        assert moved == (init != "fixed")


def test_a_learners_weights_and_the_noise_of_its_images_are_other_numbers():
    nets, data, method, args = build()
    drawn = []

    def images(*of):
        drawn.append(torch.randn(64))
        return method.images(*of)

    def weights(*of):
        drawn.append(torch.randn(64))
        return method.weights(*of)

    sm.new_learner(7, nets, data, replace(method, images=images, weights=weights), args)
    assert len(drawn) == 2 and not torch.equal(*drawn)


# --------------------------------------------------------------------- the same bytes, always


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    a, b, c = (tmp_path / f"{name}.json" for name in "abc")
    run(a)
    run(b)
    run(c, "--seed", "1")
    assert numbers(a) == numbers(b) != numbers(c)


@pytest.mark.parametrize(
    "flags", ["--meta-steps 20", "--source gan --meta-steps 10",
              "--preset improved --init learned --meta-steps 10"],
)  # fmt: skip
def test_a_run_stopped_after_any_checkpoint_ends_in_the_same_bytes(flags, tmp_path, monkeypatch):
    flags = [*flags.split(), "--learner-seeds", "1", "--checkpoint-every", "0"]
    whole = tmp_path / "whole.json"
    run(whole, *flags)
    good, saved = common.save_checkpoint, 0

    def save_and_stop(*args):
        nonlocal saved
        good(*args)
        saved += 1
        raise KeyboardInterrupt

    target = tmp_path / "stopped.json"
    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for _ in range(40):
        try:
            run(target, *flags)
        except KeyboardInterrupt:
            continue
        break
    assert saved >= 2
    monkeypatch.setattr(common, "save_checkpoint", good)
    run(target, *flags)
    assert numbers(target) == numbers(whole) and not Path(f"{target}.ckpt").exists()


def test_kill_minus_nine_and_the_same_command_again(tmp_path):
    flags = [*TINY, "--meta-steps", "30", "--checkpoint-every", "0", "--learner-seeds", "1"]
    whole, target = tmp_path / "whole.json", tmp_path / "deep" / "killed.json"
    sm.main([*flags, "--out", str(whole)])
    command = [sys.executable, str(ROOT / "synthetic_meta.py"), *flags, "--out", str(target)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoint = Path(f"{target}.ckpt")
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists() and not target.exists()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "continuing from" in again.stderr and "ACC" in again.stdout
    assert numbers(target) == numbers(whole)
    assert [p.name for p in target.parent.iterdir()] == ["killed.json"]


# --------------------------------------------------------------------------------- wrong inputs


def fails(capsys, argv, code=2):
    """The one line that the script prints when it exits with `code`."""
    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(lambda: sm.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == code and len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--dataset mnits", "no dataset 'mnits'"),
        ("--source glyphs", "invalid choice"),
        ("--preset best", "invalid choice"),
        ("--meta-steps -1", "--meta-steps takes numbers from 0"),
        ("--steps 0", "--steps takes numbers from 1"),
        ("--steps many", "invalid int value"),
        ("--batch-size 7", "multiples of 2"),
        ("--batches 40 41", "multiples of 2"),
        ("--lr 0", "between 0 and 0.3"),
        ("--lr nan", "between 0 and 0.3"),
        ("--lr 0.4", "between 0 and 0.3"),
        ("--gen-lr 1", "between 0 and 1"),
        ("--frozen-convs 2", "needs --bn none"),
        ("--source mlp --init learned", "leave --init out"),
        ("--classes-per-task 3 --batch-size 9 --batches 9", "must divide the 10 classes"),
        ("--classes-per-task 10 --batch-size 10 --batches 10", "into two tasks or more"),
        ("--image-size 30", "sides that 4 divides"),
        ("--pres paper", "unrecognized arguments"),
        ("--device cuda:999", "try --device cpu"),
        ("--train-size 5", "there is no training image of class"),
        ("--threads 100000", "--threads takes numbers"),
        ("--seed -1", "--seed takes numbers"),
        ("--out {tmp}", "is a folder"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    line = fails(capsys, [*TINY, *out, *flags.format(tmp=tmp_path).split()])
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_checkpoint_is_refused(tmp_path, capsys):
    common.save_checkpoint(tmp_path / "r.json.ckpt", {"steps": 7}, {}, CPU)
    assert "delete" in fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")])


def test_a_diverging_loss_names_step_and_checkpoint(tmp_path, capsys, monkeypatch):
    good = sm.meta_loss
    monkeypatch.setattr(sm, "meta_loss", lambda *args: good(*args) * math.nan)
    line = fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert "meta-training step 3" in line and "r.json.ckpt" in line and "--gen-lr" in line
    assert not (tmp_path / "r.json").exists()


# ----------------------------------------------------------------------------- report, Makefile


def test_an_infinite_gradient_stops_the_run_too(tmp_path, capsys, monkeypatch):
    good = sm.meta_loss

    def endless(*args):
        loss = good(*args)
        return loss.detach() + (loss - loss.detach()).sqrt()  # the slope of a root at 0

    monkeypatch.setattr(sm, "meta_loss", endless)
    line = fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")], code=1)
    assert "the loss is nan" in line and not (tmp_path / "r.json").exists()


def test_presets_move_defaults_and_flags_undo_them():
    paper = sm.parse_args([])
    assert (paper.steps, paper.batch_size, paper.pool, paper.bn) == (5, 40, 250, "batch")
    assert (paper.init, paper.frozen_convs) == ("fresh", 0)
    improved = sm.parse_args(["--preset", "improved", "--frozen-convs", "0"])
    assert improved.bn == "none" and improved.frozen_convs == 0 and improved.init == "fresh"


@pytest.mark.parametrize(
    "flags", ["--dataset glyphs-rgb --image-size 8", "--classes-per-task 5 --batch-size 20 "
              "--batches 20 --pool 8", "--preset improved --channels 6 8",
              "--bn running --init fixed --order fixed", "--source mlp", "--order curriculum",
              "--meta-steps 0 --train-size 449 --source gan --test-size 2001"],
)  # fmt: skip
def test_other_ways_to_run(flags, tmp_path):
    result = run(tmp_path / "r.json", *flags.split())
    assert 0 <= result["metrics"]["ACC"] <= 1
    others = {"random order", "new initial weights"} & result["controls"].keys()
    assert len(others) == ("--init fixed" in flags) + ("--order" in flags)
    assert all(0 <= v <= 1 for row in result["R"] for v in row)


def test_every_item_can_be_drawn():
    pictures = {name.partition("_")[0] for name in figures.PICTURES}
    assert sm.ITEMS.keys() <= pictures | figures.TABLES.keys()


def test_what_is_there_is_drawn_and_what_is_missing_is_named(tmp_path, capsys):
    folder, drawn = tmp_path / "results", tmp_path / "figures"
    folder.mkdir()
    for name in ("synthetic-seed0", "synthetic-seed1", "real-seed0", "gan-seed0", "mlp-seed0",
                 "improved-seed0"):  # fmt: skip
        shutil.copy(ROOT / f"reference/synthetic_meta/{name}.json", folder)
    gan = json.loads((folder / "gan-seed0.json").read_text())
    gan["judge"]["agreement"] = 0.5
    gan.pop("checksum")
    common.write_result(folder / "gan-seed0.json", gan)
    rows = [{"kind": kind, "steps": 5, "seconds": seconds, "peak_mb": 900.0}
            for kind, seconds in (("ours", 0.5), ("higher", 0.75))]  # fmt: skip
    bench = {"rows": rows, "environment": {"device": "x", "threads": 1, "higher": "0.2.1"}}
    (folder / "bench.json").write_text(json.dumps(bench))
    page = tmp_path / "page.md"
    marks = "<!-- begin synthetic_meta {0} -->\n<!-- end synthetic_meta {0} -->\n"
    names = ("results", "improved", "controls", "tasks", "speed")
    page.write_text("".join(map(marks.format, names)))
    argv = ["synthetic_meta", "--runs", str(folder), "--figures", str(drawn)]
    draw.main([*argv, "--docs", str(page)])
    err = capsys.readouterr().err
    assert re.search(r"missing: python synthetic_meta.py --row \S+ --dataset mnist", err)
    assert "not drawn" in err  # this GAN does not convince the judge
    assert {p.name for p in drawn.iterdir()} == {
        "figure1.png", "figure3_synthetic.png", "figure3_improved.png", "figure4.png",
        "figure5.png", "curves.png", "tasks.png", "cost.png", "tables.md",
    }  # fmt: skip
    assert "| synthetic data |" in page.read_text() and "(2)" in page.read_text()
    assert "| 5 x 5 | 0.50 | 0.75 | 1.50 | 900 | 900 |" in page.read_text()
    draw.main([*argv[:3], "--figures", str(tmp_path / "one"), "--item", "figure3"])
    assert {p.name for p in (tmp_path / "one").iterdir()} == {
        "figure3_synthetic.png", "figure3_improved.png"}  # fmt: skip


def test_data_that_do_not_fit_are_refused_or_skipped(tmp_path, capsys):
    out = tmp_path / "synthetic-seed0.json"
    flags = [*TINY, "--image-size", "18", "--out", str(out)]
    assert "G needs sides that 4 divides, not 18x18" in fails(capsys, flags)
    sm.main([*flags, "--skip-unfit"])
    assert "G needs sides" in json.loads(out.read_text())["skipped"]
    shutil.copy(ROOT / "reference/synthetic_meta/real-seed0.json", tmp_path)
    capsys.readouterr()
    assert list(runs.read(tmp_path, "synthetic_meta")) == ["real"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {out}: these data do not fit: G needs sides")
