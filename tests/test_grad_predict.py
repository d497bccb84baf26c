"""grad_predict.py: back-propagation, Eqs. (2) to (7), predictors, the command line."""

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
import torch.nn.functional as F
from matplotlib.figure import Figure

import common
import grad_predict as gp
from tools import draw
from tools.figures import grad_predict as figures

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
TINY = (
    "--dataset glyphs --image-size 8 --train-size 500 --test-size 200 --tasks 3 --iterations 12 "
    "--batch-size 16 --lr 0.05 --hidden 12 10 --h-hidden 8 8 --h-samples 32 --n-pseudo 20 "
    "--pseudo-rank 4 --device cpu --threads 1"
).split()


def parse(*flags):
    return gp.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    gp.main([*TINY, *flags, "--out", str(path)])
    return json.loads(Path(path).read_text())


def numbers(path):
    """The lines of a result that must not depend on the machine's speed, the date or the path."""
    skip = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')
    return [line for line in Path(path).read_text().splitlines() if not line.startswith(skip)]


@pytest.fixture(autouse=True)
def small_constants(monkeypatch):
    for name, value in (("DISTILL_STEPS", 5), ("CURVE_EVERY", 5), ("CURVE_IMAGES", 50)):
        monkeypatch.setattr(gp, name, value)


def build(*flags):
    """args, data, θ and what stands for old tasks, of a run whose first task begins."""
    args = parse(*flags)
    common.seed_everything(0)
    data = gp.load_data(args, CPU)
    theta = gp.new_parameters(data.shapes, CPU)
    past = gp.past_of(args)
    past.begin(data, args)
    return args, data, theta, past


def gradient_at(theta, data, x, y):
    return gp.measured(theta, x, y, data.shapes)[0]


# --------------------------------------------------------------- the network and its gradients


def test_back_propagation_by_hand_is_autograds():
    args, data, theta, _ = build()
    x, y = gp.draw(data, data.tasks[1], 7)
    theta.requires_grad_()
    loss = F.cross_entropy(gp.logits_of(gp.views(theta, data.shapes), x), y)
    (truth,) = torch.autograd.grad(loss, theta)
    a, d, own = gp.back_propagate(gp.views(theta, data.shapes), x, y)
    assert torch.allclose(gp.gradient(a, d, 1 / 7), truth, atol=1e-6)
    assert own.item() == pytest.approx(loss.item(), rel=1e-5)
    assert [v.shape for v in a] == [(7, 65), (7, 13), (7, 11)]
    assert [v.shape for v in d] == [(7, 12), (7, 10), (7, 10)]


def test_views_share_the_memory_of_theta_and_begin_like_torch():
    shapes = gp.layer_shapes(784, 10, [256, 256, 256])
    theta = gp.new_parameters(shapes, CPU)
    W = gp.views(theta, shapes)
    assert theta.numel() == 335_114
    assert W[0].abs().max() <= 1 / 28 and W[1].abs().max() <= 1 / 16 < 1.01 * W[1].abs().max()
    W[2][3, 4] = 7
    assert (theta == 7).sum() == 1


def test_columns_are_permuted_instead_of_images():
    args, data, theta, _ = build()
    W = gp.views(theta, data.shapes)
    accuracy, answers = gp.test(theta, data)
    for task, found in zip(data.tasks, accuracy):
        x = data.standard(data.x_test[:, task.perm])
        hits = gp.logits_of(W, x).argmax(1) == data.y_test
        assert found == pytest.approx(hits.float().mean().item())
    assert 1 <= answers <= 10
    assert (data.tasks[0].perm == torch.arange(64)).all()
    images, labels = gp.images_of(data, data.tasks[2].perm, torch.tensor([5, 6]))
    assert torch.equal(images[1], data.x[6][data.tasks[2].perm] / 255)
    assert labels.argmax(1).tolist() == data.y[5:7].tolist()


# --------------------------------------------------------------------------- Eqs. (2), (5), EWC


def test_equation_5_by_hand():
    new = torch.tensor([1.0, 1.0, -2.0, -2.0, 3.0, 0.0])
    old = torch.tensor([0.5, -0.5, -0.1, 0.1, 0.0, 1.0])
    assert gp.masked(new, old).tolist() == [1, 0, -2, 0, 0, 0]


def test_the_update_of_each_method():
    grad, old = torch.randn(50), torch.randn(50)
    by_hand = {"mask": torch.where(grad * old > 0, grad, 0),
               "sum": grad + old + old + old,  # three old tasks with the mean `old`
               "mean": (grad + old + old + old) / 4,  # Eq. (2)
               "ewc": grad + old, "ewc-each": grad + old}  # fmt: skip
    for name, delta in by_hand.items():
        assert torch.allclose(gp.RULES[name](grad, old, 3), delta, atol=1e-6)
    assert gp.RULES["sgd"] is None


def test_equation_5_with_every_old_gradient_by_hand():
    args, data, theta, past = build("--predictor", "oracle-pairs")
    new, each = torch.randn_like(theta), []
    for task in data.tasks[:2]:
        past.end(theta, task)
    torch.manual_seed(3)
    signs = past.predict(theta)
    torch.manual_seed(3)
    batches = [gp.draw(data, task, args.batch_size) for task in data.tasks[:2]]
    each = [gradient_at(theta, data, *batch) for batch in batches]
    pair_by_pair = gp.masked(gp.masked(new, each[0]), each[1])
    assert torch.equal(gp.masked(new, signs), pair_by_pair)
    assert 0.05 < (pair_by_pair != 0).float().mean() < 0.5
    past, theta = trained("--predictor", "scalar-pairs")
    pair_by_pair = gp.masked(gp.masked(new, past.each(theta)[0]), past.each(theta)[1])
    assert torch.equal(gp.masked(new, past.mean(theta)), pair_by_pair)
    assert (past.predict(theta) == past.mean(theta)).float().mean() > 0.95  # looked up


def test_a_result_says_how_much_of_the_gradient_is_left(tmp_path):
    left = run(tmp_path / "a.json", "--predictor", "oracle")["left"]
    assert [step for step, _ in left] == [15, 20, 24, 25, 30, 35, 36]  # from task 2 on
    assert all(0.2 < share < 0.9 for _, share in left)
    frozen = run(tmp_path / "b.json", "--predictor", "zero")["left"]
    assert [share for _, share in frozen] == [0.0] * 7
    assert run(tmp_path / "c.json", "--method", "sgd")["left"] == []


@pytest.mark.parametrize("flags", ["", "--boundaries detect"])
def test_h_learns_what_the_optimiser_makes_of_the_gradient(flags, tmp_path, monkeypatch):
    measured, update = [], []
    good = gp.measured

    def spy(*args):
        measured.append(good(*args)[0])
        return measured[-1], torch.ones(())

    monkeypatch.setattr(gp, "measured", spy)
    monkeypatch.setattr(gp.Predictors, "learn", lambda *a: update.append(a[2].clone()))
    run(tmp_path / "r.json", "--ema", "0.75", "--tasks", "2", *flags.split())
    by_hand = measured[0]
    assert len(update) in (12, 24)  # the last task needs no h, if it is known to be the last
    for grad, got in zip(measured, update):
        by_hand = 0.75 * by_hand + 0.25 * grad
        assert torch.allclose(got, by_hand, atol=1e-7)


def test_the_loss_of_every_second_task_is_scaled(tmp_path):
    flags = "--boundaries detect --method sgd --loss-scale".split()
    one, tenth = (run(tmp_path / f"{s}.json", *flags, s)["signals"] for s in ("1", "0.1"))
    assert one[:12] == tenth[:12]
    for name in ("loss", "gradient"):  # log10, before θ is another
        i = gp.SIGNALS.index(name)
        assert one[12][i] - tenth[12][i] == pytest.approx(1, abs=1e-3)


def test_the_rule_is_applied_from_the_second_task_on(tmp_path, monkeypatch):
    rule, seen = gp.RULES["mask"], []

    def spy(grad, old, t):
        seen.append(t)
        return rule(grad, old, t)

    monkeypatch.setitem(gp.RULES, "mask", spy)
    run(tmp_path / "r.json")
    assert seen == [1] * 12 + [2] * 12  # how many old tasks there are


def test_fisher_is_the_mean_of_squared_gradients(monkeypatch):
    args, data, theta, past = build("--method", "ewc", "--ewc-lambda", "5")
    W, task = gp.views(theta, data.shapes), data.tasks[0]
    x, y = gp.draw(data, task, 5)
    monkeypatch.setattr(gp, "draw", lambda *_: (x, y))
    drawn = torch.tensor([[3], [1], [4], [1], [5]])
    monkeypatch.setattr(torch, "multinomial", lambda p, n: drawn)
    past.end(theta, task)
    total = torch.zeros_like(theta)
    for image, label in zip(x, drawn):
        a, d, _ = gp.back_propagate(W, image[None], F.one_hot(label, 10).float())
        total += gp.gradient(a, d, 1.0).square() / 5
    assert torch.allclose(past.fisher, total, atol=1e-8)
    past.end(theta, task)  # online: the sum of Fishers, the last θ*
    assert torch.allclose(past.fisher, 2 * total, atol=1e-8)
    then = theta.clone()
    theta += 1  # training goes on
    assert torch.equal(past.star, then)
    assert torch.allclose(past.predict(theta), 5 * past.fisher, rtol=1e-4)  # λ F (θ - θ*)


def test_equation_1_is_the_sum_over_tasks():
    args, data, theta, past = build("--method", "ewc-each", "--ewc-lambda", "1")
    by_hand, before, here = [], torch.zeros_like(theta), theta.clone()
    for task in data.tasks:
        past.end(theta, task)
        by_hand.append((past.fisher - before, theta.clone()))  # F_i and θ_i*
        before = past.fisher.clone()
        theta += 0.1 * torch.randn_like(theta)
    pull = sum(f * (here - star) for f, star in by_hand)
    assert torch.allclose(past.predict(here), pull, atol=1e-5 * pull.abs().max())
    online = past.fisher * (here - by_hand[-1][1])
    assert not torch.allclose(online, pull, atol=0.1 * pull.abs().max())
    assert past.size() == 2 * theta.numel()


def test_controls_by_hand(monkeypatch):
    monkeypatch.setattr(gp, "RANK", 2)
    args, data, theta, past = build("--predictor", "position")
    truth = []
    for task in data.tasks[:2]:
        torch.manual_seed(3)
        past.end(theta, task)
        torch.manual_seed(3)
        truth.append(gradient_at(theta, data, *gp.draw(data, task, 6400)))
    found = gp.views(past.predict(theta), data.shapes)
    for got, want in zip(found, gp.views((truth[0] + truth[1]) / 2, data.shapes)):
        assert torch.linalg.matrix_rank(got, rtol=1e-4) <= 4
        assert F.cosine_similarity(got.flatten(), want.flatten(), dim=0) > 0.8
    assert past.size() == 2 * 2 * (12 + 65 + 10 + 13 + 10 + 11)
    args, data, theta, past = build("--predictor", "random-sign")
    signs = past.predict(theta)
    assert set(signs.tolist()) == {-1.0, 1.0} and abs(signs.mean()) < 0.2
    args, data, theta, past = build("--predictor", "zero")
    assert (gp.masked(torch.ones_like(theta), past.predict(theta)) == 0).all()


def test_fixed_signs_stay_for_a_task_and_random_ones_do_not():
    args, data, theta, past = build("--predictor", "fixed-sign")
    past.end(theta, data.tasks[0])
    first = past.predict(theta)
    assert set(first.tolist()) == {-1.0, 1.0} and torch.equal(first, past.predict(theta + 1))
    past.end(theta, data.tasks[1])
    assert 0.4 < (first == past.predict(theta)).float().mean() < 0.6


def test_the_best_function_of_a_number_is_the_mean_given_it():
    theta = torch.tensor([-1.0, -0.99, 0.0, 0.01, 0.99, 1.0])
    grad = torch.tensor([1.0, 3.0, -2.0, -4.0, 5.0, 7.0])
    by_hand = torch.tensor([2.0, 2.0, -3.0, -3.0, 6.0, 6.0])
    assert torch.allclose(gp.mean_given(theta, grad, bins=5), by_hand)
    assert torch.allclose(gp.mean_given(theta, theta.square(), bins=100_000), theta.square())
    theta[0] = math.inf  # the network is dead; who asks is told so later
    assert len(gp.mean_given(theta, grad, bins=5)) == len(theta)


def test_figures_and_tables_of_runs_that_died_at_different_times():
    runs = [{"args": {}, "metrics": {"dead": 1.0}, "curve": [[i, 0.1] for i in range(n)]}
            for n in (5, 3)]  # fmt: skip
    figures.draw_stream({"scalar": runs}, Figure())
    long = [{"tasks": 2, "sign": 0.9, "error": 0.2, "sign_later": 0.8, "error_later": 0.3},
            {"tasks": 3, "sign": 0.7, "error": 0.4}]  # fmt: skip
    short = [{"tasks": 2, "sign": 0.5}]  # its error was not finite
    for order in ([long, short], [short, long]):
        table = figures.distill_table({"distill": [{"fidelity": found} for found in order]})
        assert "| 2 | 0.700 ± " in table and "| 3 | 0.700 (1) | 0.400 (1) | – | – |" in table


def test_oracle_is_the_mean_true_gradient_of_old_tasks():
    args, data, theta, past = build("--predictor", "oracle", "--batch-size", "20000")
    truth = 0
    for task in data.tasks[:2]:
        past.end(theta, task)
        images = gp.images_of(data, task.perm, torch.arange(500))
        truth = truth + gradient_at(theta, data, *images) / 2
    assert F.cosine_similarity(past.predict(theta), truth, dim=0) > 0.99


# ------------------------------------------------------------------ h and g: Eqs. (3), (4), (6, 7)


def trained(*flags, tasks=2):
    """h_1 ... of tasks whose gradients are a curved function of θ; and θ."""
    args, data, theta, past = build(*flags)
    for t in range(tasks):
        for _ in range(150):
            noise = 0.1 * torch.randn_like(theta)
            past.learn(theta, (8 * theta).sin() * (1 + t) + noise, data.tasks[t])
        past.end(theta, data.tasks[t])
        past.begin(data, args)
    return past, theta


@pytest.mark.parametrize("scale", ["raw", "normalised"])
def test_the_mean_of_all_h_and_their_size(scale):
    past, theta = trained("--h-scale", scale)
    h = [gp.predicted(past.h, phi, theta) for phi in past.phis]
    assert torch.allclose(past.mean(theta), (h[0] + h[1]) / 2)  # scales undone before averaging
    assert past.size() == 2 * sum(p.numel() for p in past.h.parameters())


def test_what_an_h_explains_of_its_tasks_gradient_against_autograd(tmp_path):
    args, data, theta, past = build("--predictor", "scalar")
    for task in data.tasks[:2]:
        for _ in range(50):
            past.learn(theta, (8 * theta).sin(), task)
        past.end(theta, task)
        past.begin(data, args)
    state = gp.State(theta, past)
    gp.note_predictions(state, data)
    for task, phi, share in zip(data.tasks, past.phis, state.record.explained[0]):
        grad = gradient_at(theta, data, *gp.images_of(data, task.perm, task.rows[: gp.KEPT_IMAGES]))
        rest = (grad - gp.predicted(past.h, phi, theta)).square().sum() / grad.square().sum()
        assert share == pytest.approx(1 - rest.item(), abs=1e-3, rel=1e-3)
    rows = run(tmp_path / "a.json")["explained"]  # after each of three tasks; the last has no h
    assert [len(row) for row in rows] == [1, 2, 2]
    assert run(tmp_path / "b.json", "--method", "sgd")["explained"] == []


def test_a_finished_h_says_what_it_said_when_its_task_ended():
    args, data, theta, past = build()
    past.learn(theta, theta.square(), data.tasks[0])
    h = past.h
    past.end(theta, data.tasks[0])
    past.begin(data, args)
    assert past.h is not h and torch.equal(past.mean(theta), h(theta).detach())


def test_the_table_has_the_exact_values_on_its_grid_and_its_ends_beyond():
    past, theta = trained()
    values, reach = past.table
    grid = torch.linspace(-1, 1, gp.GRID) * reach
    assert reach > theta.abs().max()
    assert torch.allclose(past.predict(grid), past.mean(grid), atol=1e-5)
    far = torch.tensor([-1e9, 1e9])
    assert torch.equal(gp.look_up(past.table, far), values[[0, -1]])
    assert torch.equal(past.mean(grid), past.each(grid).mean(0))


def test_distillation_target_by_hand(monkeypatch):
    past, theta = trained("--distill", tasks=1)
    args, data, _, _ = build("--distill")
    first, task = past.phis[0], data.tasks[0]
    assert torch.equal(past.mean(theta), gp.predicted(past.h, first, theta))  # g begins as h_1
    for t in (1, 2):
        seen = []
        keep = seen.append
        monkeypatch.setattr(gp, "fit", lambda net, opt, x, y, keep=keep: keep((x, y)))
        for p in past.h.parameters():
            p.data.normal_(std=0.3)
        h, mu = past.h, past.mu
        past.end(theta, task)
        for x, target in seen:
            by_hand = t / (t + 1) * gp.predicted(h, mu, x) + h(x) / (t + 1)
            assert torch.allclose(target, by_hand, atol=1e-6)
        assert len(seen) == 5
        past.begin(data, args)
    assert [f["tasks"] for f in past.fidelity] == [1, 2, 3]
    exact = {"tasks": 1, "sign": 1.0, "error": 0.0, "sign_later": 1.0, "error_later": 0.0}
    assert past.fidelity[0] == exact and "sign_later" not in past.fidelity[2]
    assert past.size() == sum(p.numel() for p in past.h.parameters())  # constant in the tasks


# ---------------------------------------------------------------------------- learned inputs


def test_products_of_gradients_without_forming_them(monkeypatch):
    args, data, theta, past = build("--preset", "improved", "--n-pseudo", "50")
    task = data.tasks[1]
    past.start(task)
    monkeypatch.setattr(gp, "CLASSES", 10)
    torch.manual_seed(5)
    got = past.mismatch(theta, task)
    torch.manual_seed(5)
    classes = torch.randperm(10).tolist()
    W, by_hand = gp.views(theta, data.shapes), 0.0
    for c in classes:
        own = (data.y == c).nonzero().squeeze(1)
        x, y = gp.images_of(data, task.perm, own[torch.randint(len(own), (gp.PER_CLASS,))])
        a, d, _ = gp.back_propagate(W, x, y)
        rows = torch.arange(50)[torch.arange(50) % 10 == c]
        a_p, d_p, _ = gp.back_propagate(W, *past.inputs(past.phi, rows))
        for layer in zip(a, d, a_p, d_p):
            a_l, d_l, ap_l, dp_l = layer
            real, ours = d_l.T @ a_l / len(a_l), dp_l.T @ ap_l / len(ap_l)
            cos = (real * ours).sum() / real.norm() / ours.norm()
            length = (ours.norm() / real.norm() - 1).clamp(max=3)
            by_hand += (1 - cos + 0.1 * length**2).item() / 10
    assert got.item() == pytest.approx(by_hand, rel=1e-3)


# ----------------------------------------------------------------------------------- detection


def test_an_alarm_needs_a_step_not_noise(monkeypatch):
    monkeypatch.setattr(gp, "THRESHOLD", 3.0)
    torch.manual_seed(0)
    quiet = torch.randn(1000).tolist()
    assert figures.alarms(quiet) == []
    step = quiet[:500] + [v + 6 for v in quiet[500:]]
    found = figures.alarms(step)
    assert len(found) == 1 and 500 < found[0] < 520
    assert not gp.alarm(step[495:505])  # too short a past


def test_alarms_are_those_of_the_detectors_signal(tmp_path, monkeypatch):
    monkeypatch.setattr(gp, "HISTORY", 20)
    monkeypatch.setattr(gp, "WINDOW", 4)
    monkeypatch.setattr(gp, "THRESHOLD", 0.1)
    flags = "--boundaries detect --method sgd --detector loss".split()
    result = run(tmp_path / "r.json", *flags, "--iterations", "100")
    assert len(result["signals"]) == 300 and result["alarms"]
    assert figures.alarms([row[2] for row in result["signals"]]) == result["alarms"]


# -------------------------------------------------------------------------------- dead networks


def test_split_tasks_share_no_class():
    args, data, theta, past = build("--benchmark", "split", "--tasks", "5")
    for t, task in enumerate(data.tasks):
        _, y = gp.draw(data, task, 50)
        assert set(y.argmax(1).tolist()) == {2 * t, 2 * t + 1} == set(task.classes.tolist())


def test_a_dead_network_is_reported_and_has_no_accuracy(tmp_path, capsys):
    result = run(tmp_path / "r.json", "--lr", "1", "--method", "sum", "--predictor", "zero")
    assert result["metrics"] == {"dead": 1.0, "memory (%)": 0.0}
    assert "dead: one answer to every image" in capsys.readouterr().out
    args, data, theta, past = build("--method", "sgd")
    state = gp.State(theta, past, gp.Record(R=[[0.1] * 3] * 4, answers=1))
    assert gp.metrics_of(state, args) == {"dead": 1.0}
    state.record.answers = 2
    assert gp.metrics_of(state, args)["ACC (%)"] == pytest.approx(10)
    assert gp.test(theta.zero_(), data)[1] == 1


def test_no_g_before_the_first_task_ends(tmp_path):
    assert run(tmp_path / "r.json", "--distill", "--tasks", "1")["metrics"]["memory (%)"] == 0


@pytest.mark.parametrize("flags", ["--method mask", "--method sum"])
def test_a_gradient_that_is_not_a_number_stops_the_run(flags, tmp_path, capsys, monkeypatch):
    good = gp.gradient
    monkeypatch.setattr(gp, "gradient", lambda *args: good(*args) * float("nan"))
    line = fails(capsys, [*TINY, *flags.split(), "--out", str(tmp_path / "r.json")], code=1)
    assert "iteration 5: a parameter is not finite, or its gradient" in line


def test_a_diverging_run_names_the_iteration(tmp_path, capsys):
    flags = ["--method", "ewc", "--ewc-lambda", "1e30", "--iterations", "30"]
    line = fails(capsys, [*TINY, *flags, "--out", str(tmp_path / "r.json")], code=1)
    assert "iteration 35: a parameter is not finite" in line and "--ewc-lambda" in line
    assert list(tmp_path.iterdir()) == []
    dead = run(tmp_path / "dead.json", *flags, "--record-death")
    assert dead["metrics"] == {"dead": 1.0, "memory (%)": 200.0}
    assert len(dead["R"]) == 4 and dead["R"][-1][0] == dead["R"][-1][1] < 0.2
    assert "iteration 35: a parameter is not finite: dead" in capsys.readouterr().err


# --------------------------------------------------------------------- the same bytes, always


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    a, b, c = (tmp_path / f"{name}.json" for name in "abc")
    run(a)
    run(b)
    run(c, "--seed", "1")
    assert numbers(a) == numbers(b) != numbers(c)


@pytest.mark.parametrize(
    "flags", ["--distill", "--boundaries detect", "--predictor position --ema 0.9",
              "--method ewc-each", "--predictor oracle", "--predictor fixed-sign",
              "--preset improved",
              "--method joint --ema 0.5", "--boundaries detect --distill --detector loss",
              "--boundaries detect --preset improved --detector loss"],
)  # fmt: skip
def test_a_run_stopped_at_any_iteration_ends_in_the_same_bytes(flags, tmp_path, monkeypatch):
    whole, target = tmp_path / "whole.json", tmp_path / "stopped.json"
    flags = [*flags.split(), "--checkpoint-every", "0"]
    monkeypatch.setattr(gp, "HISTORY", 4)
    monkeypatch.setattr(gp, "WINDOW", 2)
    run(whole, *flags)
    good, saved = common.save_checkpoint, 0

    def save_and_stop(*args):
        nonlocal saved
        good(*args)
        saved += 1
        if saved % 5 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for _ in range(12):
        try:
            run(target, *flags)
        except KeyboardInterrupt:
            continue
        break
    tasks = 0 if "detect" in flags or "joint" in flags else 3  # saved as each begins, too
    assert saved == 36 + tasks and numbers(target) == numbers(whole)
    assert "detect" not in flags or json.loads(whole.read_text())["alarms"]
    assert not Path(f"{target}.ckpt").exists()


def test_kill_minus_nine_and_the_same_command_again(tmp_path):
    flags = [*TINY, "--iterations", "200", "--checkpoint-every", "0.1"]
    whole, target = tmp_path / "whole.json", tmp_path / "deep" / "killed.json"
    script = [sys.executable, str(ROOT / "grad_predict.py"), *flags, "--out"]
    subprocess.run([*script, str(whole)], check=True, capture_output=True)
    command = [*script, str(target)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not Path(f"{target}.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Path(f"{target}.ckpt").exists() and not target.exists()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0 and "continuing from" in again.stderr
    assert numbers(target) == numbers(whole)
    left = {p.name for p in target.parent.iterdir()}  # at most what the kill cut off
    assert left - {f".killed.json.ckpt.{process.pid}.part"} == {"killed.json"}


# --------------------------------------------------------------------------------- wrong inputs


def fails(capsys, argv, code=2):
    """The one line that the script prints when it exits with `code`."""
    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(lambda: gp.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == code and len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--dataset mnits", "no dataset 'mnits'"),
        ("--predictor best", "invalid choice"),
        ("--method adam", "invalid choice"),
        ("--tasks 0", "--tasks takes numbers from 1"),
        ("--hidden 0", "--hidden takes numbers from 1"),
        ("--lr 0", "above 0 and at most 1"),
        ("--lr nan", "above 0 and at most 1"),
        ("--ewc-lambda inf", "--ewc-lambda must be a number"),
        ("--ema 1", "--ema"),
        ("--loss-scale 0.1", "--loss-scale needs --boundaries detect"),
        ("--loss-scale 0", "--loss-scale must be a number above 0"),
        ("--method sum --predictor oracle-pairs", "need --method mask"),
        ("--benchmark split --tasks 3", "must divide the 10 classes"),
        ("--distill --predictor oracle", "needs --predictor scalar"),
        ("--boundaries detect --predictor oracle", "needs --predictor scalar, "),
        ("--preset improved --n-pseudo 25", "multiple of the 10 classes"),
        ("--preset improved --pseudo-rank 65", "above 64 here"),
        ("--device cuda:999", "try --device cpu"),
        ("--train-size 5", "there is no training image of class"),
        ("--iter 5", "unrecognized arguments"),
        ("--out {tmp}", "is a folder"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    assert says in fails(capsys, [*TINY, *out, *flags.format(tmp=tmp_path).split()])
    assert list(tmp_path.iterdir()) == []


def test_images_of_every_task_are_needed_for_the_curves(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gp, "CURVE_IMAGES", 1)
    flags = ["--benchmark", "split", "--tasks", "5", "--out", str(tmp_path / "r.json")]
    assert "too few to have some of every task" in fails(capsys, [*TINY, *flags])


def test_a_foreign_checkpoint_is_refused(tmp_path, capsys):
    common.save_checkpoint(tmp_path / "r.json.ckpt", {"tasks": 7}, {}, CPU)
    assert "delete" in fails(capsys, [*TINY, "--out", str(tmp_path / "r.json")])


# ----------------------------------------------------------------------------- report, Makefile


def test_presets_move_defaults_and_flags_undo_them():
    paper = gp.parse_args([])
    assert (paper.tasks, paper.iterations, paper.batch_size, paper.lr) == (5, 2000, 64, 0.003)
    assert (paper.hidden, paper.h_hidden, paper.method) == ([256] * 3, [256] * 3, "mask")
    improved = gp.parse_args(["--preset", "improved", "--method", "mask"])
    assert (improved.predictor, improved.method) == ("pseudo-inputs", "mask")


def test_improved_keeps_at_most_half_as_many_numbers_as_the_network_has():
    args = gp.parse_args(["--preset", "improved"])
    n, r = args.n_pseudo, args.pseudo_rank
    a_task = 784 + r * 784 + n * r + n * 10
    shapes = gp.layer_shapes(784, 10, args.hidden)
    assert (args.tasks - 1) * a_task <= 0.5 * sum(b * a for b, a in shapes)


def test_every_item_can_be_drawn():
    assert gp.ITEMS.keys() <= figures.PICTURES.keys() | figures.TABLES.keys()


def test_what_is_there_is_drawn_and_what_is_missing_is_named(tmp_path, capsys):
    folder, drawn = tmp_path / "results", tmp_path / "figures"
    folder.mkdir()
    for name in ("sgd-seed0", "scalar-seed0", "scalar-seed1", "distill-seed0", "detect-seed0",
                 "improved-seed0", "std-sgd-seed0", "joint-seed0"):  # fmt: skip
        shutil.copy(ROOT / f"reference/grad_predict/{name}.json", folder)
    bench = {"exact_s": 2.0, "lookup_s": 0.004, "agreement": 0.9995, "parameters": 1000,
             "environment": {"device": "x", "threads": 1}}  # fmt: skip
    (folder / "bench.json").write_text(json.dumps(bench))
    page = tmp_path / "page.md"
    marks = "<!-- begin grad_predict {0} -->\n<!-- end grad_predict {0} -->\n"
    names = ("table", "standardised", "boundaries", "distillation", "speed")
    page.write_text("".join(map(marks.format, names)))
    argv = ["grad_predict", "--runs", str(folder), "--figures", str(drawn)]
    draw.main([*argv, "--docs", str(page)])
    assert re.search(r"missing: python grad_predict.py --row \S+ --d", capsys.readouterr().err)
    assert {p.name for p in drawn.iterdir()} == {
        "figure1.png", "improved.png", "standardised.png", "boundaries.png", "tables.md",
    }  # fmt: skip
    text = page.read_text()
    assert "| plain SGD |" in text and "(2)" in text and "| ratio | 500 |" in text


def test_data_that_do_not_fit_are_refused_or_skipped(tmp_path, capsys):
    flags = [*TINY, "--benchmark", "split", "--tasks", "3", "--out", str(tmp_path / "r.json")]
    assert "--tasks must divide the 10 classes" in fails(capsys, flags)
    gp.main([*flags, "--skip-unfit"])
    assert "must divide" in json.loads((tmp_path / "r.json").read_text())["skipped"]
