"""Learning, measured: what each method reaches and its ablation does not, and by what margin.

An experiment trains something small with one seed and returns named numbers. A claim says which of
them is the method's and which its ablation's, without what is claimed to matter. `make margins`
runs every experiment with ten seeds and adds the numbers, by version of torch, to
reference/margins.json. A claim's threshold lies midway between the method's worst number and the
ablation's best, over all seeds and versions; tests/test_learning.py reads it from there. The
examples in the scripts' docstrings are measured in the same way, with four seeds or more.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import copy
import functools
import inspect
import json
import math
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import common  # noqa: E402
import dgm  # noqa: E402
import gan_replay  # noqa: E402
import grad_predict as gp  # noqa: E402
import synthetic_meta as sm  # noqa: E402
from beyond import episodic, generators  # noqa: E402

CPU = torch.device("cpu")
FILE = ROOT / "reference/margins.json"
SEEDS = 10
VERSION = torch.__version__.partition("+")[0]
Numbers = dict[str, float]


def train(script: ModuleType, seed: int, folder: Path, flags: str) -> dict:
    """Run a script in this process with these flags and this seed; its result."""
    out = Path(folder) / "run.json"
    ours = f"--device cpu --threads 1 --seed {seed} --out {out}"
    script.main([*flags.split(), *ours.split()])
    return common.read_json(out)


def mean(values: Any) -> float:
    return statistics.fmean(values)


# --------------------------------------------------------------------------------------------
# common.py
# --------------------------------------------------------------------------------------------


def glyphs(seed: int, folder: Path) -> Numbers:
    """Accuracy on glyphs of another seed: of a hidden layer, of none, of a net that is untrained.

    As on MNIST, a hidden layer must pay, and something must be learned at all.
    """
    train_set, test_set = common.make_glyphs(6000, 2 * seed), common.make_glyphs(9000, 2 * seed + 1)
    (x, y), (x_test, y_test) = train_set, test_set

    def accuracy(net: nn.Module, epochs: int = 6) -> float:
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = 1e-3 * (1 - epoch / epochs)
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(net(x[batch].flatten(1) / 255), y[batch]).backward()
                optimizer.step()
        return (net(x_test.flatten(1) / 255).argmax(1) == y_test).float().mean().item()

    def layers() -> nn.Sequential:
        return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))

    torch.manual_seed(seed)
    return {"a hidden layer": accuracy(layers()), "linear": accuracy(nn.Linear(784, 10)),
            "untrained": accuracy(layers(), epochs=0)}  # fmt: skip


def memory(seed: int, folder: Path) -> Numbers:
    """The ruler of a memory on real images for generated ones: right, of any class, and noisy."""
    (x, y), test = common.make_glyphs(2400, 2 * seed), common.make_glyphs(1000, 2 * seed + 1)
    rng = torch.Generator().manual_seed(seed)
    own = (y[:1200] >= 8).nonzero().squeeze(1)  # the newest task, 8 and 9
    real, old = (x[own], y[own]), slice(1200, None)
    noise = 60 * torch.randn(x.shape, generator=rng)
    kinds = {"right": (x[old], y[old]),
             "any class": (x[old], y[old][torch.randperm(1200, generator=rng)]),
             "noisy": ((x + noise).clamp(0, 255).to(torch.uint8)[old], y[old])}  # fmt: skip
    owner, numbers = torch.arange(10) // 2, {}
    for name, generated in kinds.items():
        found = common.memory_quality(generated, real, test, owner, seed)
        numbers |= {f"{what}, {name}": found[what] for what in ("GAN-train", "told apart")}
    return numbers


# --------------------------------------------------------------------------------------------
# gan_replay.py
# --------------------------------------------------------------------------------------------


def gan_replay_paper(seed: int, folder: Path) -> Numbers:
    """ACC of five tasks of two digits, with replay and without."""
    flags = ("--dataset glyphs --train-size 1500 --test-size 500 --n-gen 300 --gan-width 32 "
             "--gan-batch-size 16 --gan-epochs 10 --solver-epochs 8 ")  # fmt: skip
    return {name: train(gan_replay, seed, folder, flags + kind)["metrics"]["ACC"]
            for name, kind in {"paper": "", "none": "--replay none"}.items()}  # fmt: skip


def gan_replay_improved(seed: int, folder: Path) -> Numbers:
    """ACC of two tasks of five digits, with our replay and without."""
    flags = ("--dataset glyphs --train-size 2000 --test-size 1000 --classes-per-task 5 "
             "--n-gen 1000 --gan-width 32 --gan-batch-size 32 --solver-epochs 10 ")  # fmt: skip
    kinds = {"improved": "--preset improved --gan-steps 200 --solver-steps 100",
             "none": "--replay none"}  # fmt: skip
    return {name: train(gan_replay, seed, folder, flags + kind)["metrics"]["ACC"]
            for name, kind in kinds.items()}  # fmt: skip


def small_solver(shape: tuple[int, int, int], K: int) -> nn.Sequential:
    """One hidden layer, which is quicker."""
    pixels = math.prod(shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 256), nn.ReLU(), nn.Linear(256, K))


def gan_replay_real(seed: int, folder: Path) -> Numbers:
    """ACC of five tasks with all old images stored, with few, with none; joint training."""
    flags = "--dataset glyphs --train-size 3000 --test-size 1000 --solver-epochs 4 "
    kinds = {"none": "--replay none", "all": "--replay real --n-gen 9000",
             "few": "--replay real --n-gen 20", "joint": "--joint"}  # fmt: skip
    with mock.patch.object(gan_replay, "mlp_solver", small_solver):
        found = {name: train(gan_replay, seed, folder, flags + kind)["metrics"]
                 for name, kind in kinds.items()}  # fmt: skip
    acc = {name: metrics["ACC"] for name, metrics in found.items()}
    return acc | {"joint - all": acc["joint"] - acc["all"],
                  "joint - few": acc["joint"] - acc["few"],
                  "BWT, all": found["all"]["BWT"], "BWT, none": found["none"]["BWT"]}  # fmt: skip


# --------------------------------------------------------------------------------------------
# dgm.py
# --------------------------------------------------------------------------------------------

DGM = ("--preset laptop --dataset glyphs --batch-size 16 --ngf 8 --ndf 8 --classifier-steps 60 "
       "--augment 0.1 ")  # fmt: skip


def train_dgm(script: ModuleType, seed: int, folder: Path, flags: str) -> tuple[dict, nn.Module]:
    """The result of a run of dgm.py or beyond/generators.py, and its G; a tenth of EWC's images."""
    kept, learn = {}, script.learn

    def spy(*rest: Any) -> tuple:
        found = learn(*rest)
        kept["G"] = found[1]
        return found

    few = mock.patch.object(generators.consolidate, "__defaults__", (50,))
    with mock.patch.object(script, "learn", spy), few:
        return train(script, seed, folder, DGM + flags), kept.get("G")


def dgm_judge(seed: int, folder: Path, flags: str) -> Callable[[nn.Module], float]:
    """What share of a generator's images of digits 0 and 1 a classifier of real ones knows."""
    args = dgm.parse_args([*(DGM + flags).split(), "--seed", str(seed)])
    torch.manual_seed(seed)
    data = dgm.load_data(args, CPU)
    judge = dgm.Critic(data.shape, 16, len(data.owner), "batch")
    run = common.Run(str(folder / "judge"), {}, CPU, every=math.inf)
    dgm.train_classifier(judge, data.x, data.y, 300, 1e-3, True, 64, args, run)
    judge.eval()

    @torch.no_grad()
    def share(G: nn.Module) -> float:
        torch.manual_seed(seed)
        y = torch.tensor([0, 1]).repeat_interleave(500)
        x = torch.cat([dgm.generate(G, int(data.owner[c]), y[y == c], torch.randn(500, 128))
                       for c in (0, 1)])  # fmt: skip
        return (judge(x)[1].argmax(1) == y).float().mean().item()

    return share


def dgm_three_digits(seed: int, folder: Path) -> Numbers:
    """Three digits, one by one: ACC, and what share of the old ones that G draws are known."""
    flags = "--train-size 2000 --test-size 1000 --tasks 3 --epochs 12 "
    share, found = dgm_judge(seed, folder, flags), {}
    kinds = {"dgm": (dgm, ""), "no memory": (generators, "--memory ewc --ewc-lambda 0"),
             "none": (dgm, "--replay none")}  # fmt: skip
    for name, (script, kind) in kinds.items():
        result, G = train_dgm(script, seed, folder, flags + kind)
        found[name] = result["metrics"]["ACC"]
        if name != "none":  # which has no generator
            found[f"drawn, {name}"] = share(G)
    return found


def dgm_others(seed: int, folder: Path) -> Numbers:
    """Two digits, other generators: ACC, and what has become of the first digit that G draws.

    0: the mean of the drawn images is that of the real ones; 1: it is that of the second digit.
    """
    flags = "--train-size 1000 --test-size 1000 --tasks 2 --epochs 12 "
    args = dgm.parse_args([*(DGM + flags).split(), "--seed", str(seed)])
    data = dgm.load_data(args, CPU)
    first, second = (dgm.to_float(data.x[data.y == c]).mean(0) for c in (0, 1))
    way, found = second - first, {}
    kinds = {"none": "--replay none", "dgr": "--memory dgr", "mergan": "--memory mergan",
             "align": "--memory mergan-align", "align 0": "--memory mergan-align --align-weight 0",
             "ewc": "--memory ewc", "ewc 0": "--memory ewc --ewc-lambda 0"}  # fmt: skip
    for name, kind in kinds.items():
        script = dgm if name == "none" else generators
        result, G = train_dgm(script, seed, folder, flags + kind)
        found[name] = result["metrics"]["ACC"]
        if name not in ("none", "dgr"):  # DGR's classes are left to chance
            torch.manual_seed(seed)
            x = dgm.generate(G, 0, torch.full((1000,), 0), torch.randn(1000, 128))
            gone = ((x.mean(0) - first) * way).sum() / way.square().sum()
            found[f"first, {name}"] = gone.item()
    return found


def dgm_spring(seed: int, folder: Path) -> Numbers:
    """log10 of how far EWC's generator drifts: weights with no Fisher information are free."""
    flags = "--train-size 640 --test-size 200 --tasks 2 --epochs 8 --ngf 4 --ndf 4 --memory ewc "
    found = {}
    for weight in ("1e6", "0"):
        result, _ = train_dgm(generators, seed, folder, f"{flags} --ewc-lambda {weight}")
        found[f"lambda {weight}"] = math.log10(result["tasks"][1]["drift"])
    return found


def dgm_joint(seed: int, folder: Path) -> Numbers:
    """ACC of ten digits trained jointly, in batches as large as the data; at next to no rate."""
    flags = ("--train-size 640 --test-size 500 --joint --batch-size 4000 --epochs 60 "
             "--classifier-steps 4 --lr ")  # fmt: skip
    return {rate: train(dgm, seed, folder, DGM + flags + rate)["metrics"]["ACC"]
            for rate in ("2e-3", "1e-9")}  # fmt: skip


# --------------------------------------------------------------------------------------------
# synthetic_meta.py
# --------------------------------------------------------------------------------------------


def synthetic_data(seed: int, folder: Path) -> Numbers:
    """ACC after made and after real images, and the meta-loss at the beginning and at the end."""
    flags = ("--dataset glyphs --preset improved --image-size 16 --train-size 2000 "
             "--test-size 1000 --meta-steps 75 --learner-seeds 6 --horizons 5 --batches 40 ")
    made = train(sm, seed, folder, flags)
    real = train(sm, seed, folder, flags + "--source real")
    losses = [row[1] for row in made["curve"]]
    return {"made": made["metrics"]["ACC"], "real": real["metrics"]["ACC"],
            "real, same start and rates": made["metrics"]["on real images"],
            "first loss": losses[0], "last loss": losses[-1]}  # fmt: skip


def synthetic_judge(seed: int, folder: Path) -> Numbers:
    """Accuracy of the judge of a GAN's images, trained on real labels and on shuffled ones."""
    flags = "--dataset glyphs --image-size 8 --train-size 800 --test-size 1000 --source gan --seed"
    args = sm.parse_args([*flags.split(), str(seed)])
    common.seed_everything(seed)
    data, found = sm.load_data(args, CPU), {}
    pool = torch.zeros(10 * args.pool, 1, 8, 8)
    found["judge"] = sm.judge(pool, data)["accuracy"]
    data.y = data.y[torch.randperm(len(data.y))]
    return found | {"shuffled": sm.judge(pool, data)["accuracy"]}


# --------------------------------------------------------------------------------------------
# grad_predict.py
# --------------------------------------------------------------------------------------------

GRAD = ("--dataset glyphs --image-size 8 --train-size 500 --test-size 500 --tasks 3 "
        "--batch-size 16 --lr 0.05 --hidden 12 10 --h-hidden 8 8 --h-samples 200 ")  # fmt: skip


def new_past(seed: int, flags: str) -> tuple[gp.Data, Tensor, Any, argparse.Namespace]:
    """Data, θ and what stands for old tasks, of a run whose first task begins; and its flags."""
    args = gp.parse_args([*(GRAD + "--h-lr 0.01 " + flags).split(), "--seed", str(seed)])
    common.seed_everything(seed)
    data = gp.load_data(args, CPU)
    theta, past = gp.new_parameters(data.shapes, CPU), gp.past_of(args)
    past.begin(data, args)
    return data, theta, past, args


def past_of_sines(seed: int, flags: str, tasks: int) -> tuple[Tensor, Any, list[Tensor]]:
    """θ, predictors that have learned gradients which are a curved function of θ, and each h(θ)."""
    data, theta, past, args = new_past(seed, flags)
    for t in range(tasks):
        for _ in range(150):
            noise = 0.1 * torch.randn_like(theta)
            past.learn(theta, (8 * theta).sin() * (1 + t) + noise, data.tasks[t])
        past.end(theta, data.tasks[t])
        past.begin(data, args)
    return theta, past, [gp.predicted(past.h, phi, theta) for phi in past.phis]


def relative_error(found: Tensor, truth: Tensor) -> float:
    """Of two vectors: the root mean square of their difference, in units of the second's."""
    return ((found - truth).norm() / truth.norm()).item()


def grad_h(seed: int, folder: Path) -> Numbers:
    """The relative error of h's gradients, and of those of an h as it begins."""
    found = {}
    for scale in ("raw", "normalised"):
        theta, past, each = past_of_sines(seed, f"--h-scale {scale}", 2)
        truth = 2 * (8 * theta).sin()
        found[scale] = relative_error(each[1], truth)
        h = copy.deepcopy(past.h)
        h.load_state_dict(past.phis[1])
        for layer in h.net[::2]:
            layer.reset_parameters()
        found[f"{scale}, untrained"] = relative_error(h(theta), truth)
    return found


@mock.patch.object(gp, "DISTILL_STEPS", 150)
def grad_distilled(seed: int, folder: Path) -> Numbers:
    """The relative error of g, one net for the mean of three h, and of h_1 in its place."""
    theta, past, each = past_of_sines(seed, "--distill", 3)
    truth = torch.stack(each).mean(0)
    return {"g": relative_error(past.mean(theta), truth), "h_1": relative_error(each[0], truth)}


def grad_table(seed: int, folder: Path) -> Numbers:
    """log10 of the share of predicted signs that a table of h gets wrong, fine or coarse."""
    found = {}
    for points in (gp.GRID, 200):
        with mock.patch.object(gp, "GRID", points):
            data, theta, past, args = new_past(seed, "--hidden 64 64 --h-hidden 64 64")
            for task in data.tasks:
                for _ in range(60):
                    past.learn(theta, torch.randn_like(theta) + (30 * theta).cos(), task)
                past.end(theta, task)
                past.begin(data, args)
            moved = theta + 0.02 * torch.randn_like(theta)  # where training has gone since
            exact, quick = past.mean(moved) > 0, past.predict(moved) > 0
        found[f"{points} points"] = math.log10((exact != quick).float().mean() + 1e-4)
    return found


def grad_inputs(seed: int, folder: Path) -> Numbers:
    """Cosine of true and predicted gradient at new networks, by inputs learned or as they begin."""
    flags = "--preset improved --iterations 80 --hidden 64 64 --n-pseudo 50 --pseudo-rank 10"
    data, theta, past, _ = new_past(seed, flags)
    task, found = data.tasks[1], {}
    x, y = gp.images_of(data, task.perm, torch.arange(500))
    past.start(task)
    for name in ("as they begin", "learned"):
        cosines = []
        for _ in range(20):  # networks that it has not seen
            net = gp.new_parameters(data.shapes, CPU)
            made = past.inputs(past.phi, torch.arange(50))
            pair = [gp.measured(net, *images, data.shapes)[0] for images in ((x, y), made)]
            cosines.append(F.cosine_similarity(*pair, dim=0).item())
        found[name] = mean(cosines)
        if name != "learned":
            for _ in range(80):
                past.learn(theta, theta, task)
    return found


@mock.patch.object(gp, "THRESHOLD", 3.0)
def grad_boundaries(seed: int, folder: Path) -> Numbers:
    """How far the detector's signal rises, in deviations: where tasks change, in a single task."""
    flags = ("--boundaries detect --method sgd --detector loss --lr 0.1 "
             "--batch-size 48 --h-lr 0.01 --iterations")
    changing = train(gp, seed, folder, f"{GRAD} {flags} 400 --tasks 5")["signals"]
    constant = train(gp, seed, folder, f"{GRAD} {flags} 1000 --tasks 1")["signals"]

    def rise(signals: list, steps: range) -> float:
        most = -math.inf
        for i in steps:
            series = [row[2] for row in signals[i - gp.WINDOW - gp.HISTORY : i]]
            new, old = series[-gp.WINDOW :], series[: -gp.WINDOW]
            most = max(most, (mean(new) - mean(old)) / statistics.pstdev(old))
        return most

    return {"change": mean(rise(changing, range(b, b + 50)) for b in (400, 800, 1200, 1600)),
            "no change": rise(constant, range(gp.WINDOW + gp.HISTORY, 1001))}  # fmt: skip


def grad_permuted(seed: int, folder: Path) -> Numbers:
    """Accuracy on old ones of five permuted tasks: SGD, Eq. (5) by true gradients, random signs."""
    flags = GRAD + ("--train-size 2000 --tasks 5 --batch-size 32 --iterations 500 --lr 0.1 "
                    "--hidden 64 64 ")  # fmt: skip
    kinds = {"sgd": "--method sgd", "true": "--predictor oracle",
             "random signs": "--predictor random-sign"}  # fmt: skip
    return {name: mean(train(gp, seed, folder, flags + kind)["R"][-1][:4])
            for name, kind in kinds.items()}  # fmt: skip


@mock.patch.object(gp, "PSEUDO_BATCH", 8)
def grad_split(seed: int, folder: Path) -> Numbers:
    """Accuracy on the old tasks of five pairs of classes, with one head for all."""
    flags = GRAD + ("--benchmark split --tasks 5 --iterations 150 --lr 0.1 --hidden 64 ")
    kinds = {"sgd": "--method sgd", "improved": "--preset improved --n-pseudo 100 --pseudo-rank 10"}
    return {name: mean(train(gp, seed, folder, flags + kind)["R"][-1][:4])
            for name, kind in kinds.items()}  # fmt: skip


# --------------------------------------------------------------------------------------------
# beyond/episodic.py
# --------------------------------------------------------------------------------------------

EPISODIC = ("--dataset glyphs --tasks 3 --batch-size 16 --replay-batch-size 16 --memory-size 30 "
            "--fisher-samples 8 --interval 3 ")  # fmt: skip


def episodic_regularisers(seed: int, folder: Path) -> Numbers:
    """log10 of Σ importance (θ - θ*)² in the last task, with each penalty and without it."""
    flags = EPISODIC + "--train-size 640 --test-size 200 --epochs 2 --width 4 "
    end_task, found = episodic.Regulariser.end_task, {}
    for method, weight in (("ewc", "1e5"), ("pi", "1e4"), ("rwalk", "1e3")):
        for name, w in ((method, weight), (f"{method}, off", "0")):
            moved = []

            def spy(held: episodic.Regulariser, moved: list = moved) -> None:
                triples = zip(held.importance, held.params, held.anchor)
                moved.append(sum((o * (p - a).square()).sum().item() for o, p, a in triples))
                end_task(held)

            with mock.patch.object(episodic.Regulariser, "end_task", spy):
                train(episodic, seed, folder, f"{flags} --method {method} --weight {w}")
            found[name] = math.log10(moved[2])
    return found


def episodic_stored(seed: int, folder: Path) -> Numbers:
    """ACC of three digits by every method, without stored images, and of joint training."""
    flags = EPISODIC + "--train-size 2000 --test-size 1000 --epochs 6 --width 8 "
    kinds = {name: f"--method {name}" for name in "samples icarl ewc pi rwalk none".split()}
    kinds |= {"ewc, nothing stored": "--method ewc --memory-size 0", "joint": "--joint"}
    return {name: train(episodic, seed, folder, flags + kind)["metrics"]["ACC"]
            for name, kind in kinds.items()}  # fmt: skip


# --------------------------------------------------------------------------------------------
# What is claimed of these numbers
# --------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """That one number of an experiment, the method's, lies beyond another, the ablation's."""

    experiment: Callable[[int, Path], Numbers]
    method: str
    ablation: str
    better: str = "higher"  # or lower

    def side(self, value: float, threshold: float) -> str:
        """Where a number lies."""
        return "method" if (value > threshold) == (self.better == "higher") else "ablation"


CLAIMS = {
    "glyphs: a hidden layer pays": Claim(glyphs, "a hidden layer", "linear"),
    "glyphs: something is learned": Claim(glyphs, "linear", "untrained"),
    "common: what a memory knows is measured": Claim(
        memory, "GAN-train, right", "GAN-train, any class"),
    "common: noise in a memory is measured": Claim(
        memory, "told apart, noisy", "told apart, right"),
    "gan_replay: the paper's replay remembers": Claim(gan_replay_paper, "paper", "none"),
    "gan_replay: improved replay remembers": Claim(gan_replay_improved, "improved", "none"),
    "gan_replay: all real images remember": Claim(gan_replay_real, "all", "none"),
    "gan_replay: all real images do not forget": Claim(gan_replay_real, "BWT, all", "BWT, none"),
    "gan_replay: all real images come near joint training": Claim(
        gan_replay_real, "joint - all", "joint - few", "lower"),
    "dgm: replay remembers": Claim(dgm_three_digits, "dgm", "none"),
    "dgm: old classes are still drawn": Claim(
        dgm_three_digits, "drawn, dgm", "drawn, no memory"),
    "dgm: DGR remembers": Claim(dgm_others, "dgr", "none"),
    "dgm: MeRGAN remembers": Claim(dgm_others, "mergan", "none"),
    "dgm: aligned MeRGAN remembers": Claim(dgm_others, "align", "none"),
    "dgm: EWC-M remembers": Claim(dgm_others, "ewc", "none"),
    "dgm: MeRGAN still draws the first digit": Claim(
        dgm_others, "first, mergan", "first, align 0", "lower"),
    "dgm: aligned MeRGAN still draws the first digit": Claim(
        dgm_others, "first, align", "first, align 0", "lower"),
    "dgm: EWC-M still draws the first digit": Claim(
        dgm_others, "first, ewc", "first, ewc 0", "lower"),
    "dgm: a strong spring holds": Claim(dgm_spring, "lambda 1e6", "lambda 0", "lower"),
    "dgm: joint training learns": Claim(dgm_joint, "2e-3", "1e-9"),
    "synthetic_meta: made images beat real ones": Claim(synthetic_data, "made", "real"),
    "synthetic_meta: also with the same start and rates": Claim(
        synthetic_data, "made", "real, same start and rates"),
    "synthetic_meta: meta-training lowers the loss": Claim(
        synthetic_data, "last loss", "first loss", "lower"),
    "synthetic_meta: the judge of a GAN learns": Claim(synthetic_judge, "judge", "shuffled"),
    "grad_predict: h learns, raw": Claim(grad_h, "raw", "raw, untrained", "lower"),
    "grad_predict: h learns, normalised": Claim(
        grad_h, "normalised", "normalised, untrained", "lower"),
    "grad_predict: g comes near the mean of all h": Claim(grad_distilled, "g", "h_1", "lower"),
    "grad_predict: a fine table of h is exact": Claim(
        grad_table, "16384 points", "200 points", "lower"),
    "grad_predict: learned inputs predict better": Claim(
        grad_inputs, "learned", "as they begin"),
    "grad_predict: a new task raises the signal": Claim(grad_boundaries, "change", "no change"),
    "grad_predict: true gradients beat SGD": Claim(grad_permuted, "true", "sgd"),
    "grad_predict: true gradients beat random signs": Claim(
        grad_permuted, "true", "random signs"),
    "grad_predict: improved keeps split tasks": Claim(grad_split, "improved", "sgd"),
    "episodic: EWC's penalty holds": Claim(episodic_regularisers, "ewc", "ewc, off", "lower"),
    "episodic: PI's penalty holds": Claim(episodic_regularisers, "pi", "pi, off", "lower"),
    "episodic: RWalk's penalty holds": Claim(episodic_regularisers, "rwalk", "rwalk, off", "lower"),
    "episodic: samples remember": Claim(episodic_stored, "samples", "none"),
    "episodic: iCaRL remembers": Claim(episodic_stored, "icarl", "none"),
    "episodic: EWC-S remembers": Claim(episodic_stored, "ewc", "none"),
    "episodic: EWC-S needs stored images": Claim(episodic_stored, "ewc", "ewc, nothing stored"),
    "episodic: PI-S remembers": Claim(episodic_stored, "pi", "none"),
    "episodic: RWalk-S remembers": Claim(episodic_stored, "rwalk", "none"),
    "episodic: joint training learns": Claim(episodic_stored, "joint", "none"),
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# The examples in the scripts' docstrings
# --------------------------------------------------------------------------------------------


class Example(NamedTuple):
    """A metric of the example command of a script, and what the docstring says of it."""

    script: ModuleType
    more: str  # flags after the command's own
    metric: str
    says: str
    digits: int

    def command(self) -> str:
        """The docstring's command on glyphs, on one line, and `more`."""
        lines = (self.script.__doc__ or "").replace("\\\n", " ").splitlines()
        name = self.script.__name__
        start = f"python -m {name} " if "." in name else f"python {name}.py "
        (line,) = [v for v in lines if v.strip().startswith(start) and "--dataset glyphs" in v]
        return " ".join([*line.partition("#")[0].split(), *self.more.split()])

    def promise(self, least: float, most: float) -> str:
        """The range in words, rounded outwards."""
        scale = 10**self.digits
        least, most = (round(v * scale, 6) for v in (least, most))
        ends = dict.fromkeys(f"{v / scale:.{self.digits}f}"
                             for v in (math.floor(least), math.ceil(most)))  # fmt: skip
        return self.says.format(" to ".join(ends))


EXAMPLES = {
    "gan_replay": Example(gan_replay, "", "ACC", "ACC {}", 2),
    "gan_replay, no replay": Example(
        gan_replay, "--replay none", "ACC", "with --replay none {}", 2),
    "dgm": Example(dgm, "", "A_3 (%)", "A_3 {} %", 0),
    "synthetic_meta": Example(sm, "", "ACC", "ACC {} in five steps per task", 2),
    "synthetic_meta, real images": Example(
        sm, "", "on real images", "{} on real images with the same start and rates", 2),
    "grad_predict": Example(gp, "", "ACC (%)", "ACC {}", 0),
    "grad_predict, SGD": Example(gp, "--method sgd", "ACC (%)", "with --method sgd {}", 0),
    "grad_predict, the paper's": Example(
        gp, "--method mask --predictor scalar --record-death", "accuracy (%)",
        "with --method mask --predictor scalar --record-death: {}", 0),
    "episodic": Example(episodic, "", "A_4 (%)", "A_4 {} %", 0),
}  # fmt: skip


def run_example(command: str, metrics: list[str], seed: int, folder: Path) -> Numbers:
    """The metrics of a command that examples speak of."""
    _, name, *flags = command.replace("-m ", "").split()
    result = train(sys.modules[name.removesuffix(".py")], seed, folder, " ".join(flags))
    found = result["metrics"] | {"accuracy (%)": 100 * mean(result["R"][-1])}  # also of the dead
    return {metric: found[metric] for metric in metrics}


# --------------------------------------------------------------------------------------------
# The file of margins
# --------------------------------------------------------------------------------------------


def definition(experiment: Callable) -> int:
    """A checksum of an experiment and of all that it uses of this file, without docstrings."""
    texts, used = [], [experiment]
    for value in used:
        if isinstance(value, str):
            texts.append(value)
            continue
        text = inspect.getsource(value)
        tree = ast.parse(text)
        if ast.get_docstring(tree.body[0]):
            text = text.replace(ast.get_source_segment(text, tree.body[0].body[0]), "")
        texts.append(text)
        for node in ast.walk(tree):
            other = globals().get(node.id) if isinstance(node, ast.Name) else None
            if (isinstance(other, str) or inspect.isfunction(other)) and other not in used:
                used.append(other)
    return zlib.crc32("".join(texts).encode())


@functools.cache
def experiments() -> dict[str, tuple[Callable[[int, Path], Numbers], int, int]]:
    """All that is measured, by name: what to call, its definition, how many seeds are enough."""
    found = {claim.experiment.__name__: claim.experiment for claim in CLAIMS.values()}
    all_of = {name: (call, definition(call), SEEDS) for name, call in found.items()}
    asked: dict[str, list[str]] = {}
    for example in EXAMPLES.values():
        asked.setdefault(example.command(), []).append(example.metric)
    for command, metrics in asked.items():
        checksum = zlib.crc32(repr((command, metrics)).encode())
        all_of[command] = (functools.partial(run_example, command, metrics), checksum, 4)
    return all_of


def known(values: dict, name: str) -> dict[str, dict]:
    """By version, what was measured of an experiment as it is defined now."""
    now = experiments()[name][1]
    return {v: row for v, row in values.get(name, {}).items() if row["definition"] == now}


def margin(claim: Claim, values: dict) -> dict:
    """A claim's threshold and how far apart both sides are, in pooled deviations; by version too.

    Between the method's worst and the ablation's best number over all seeds and versions.
    """
    sign = 1 if claim.better == "higher" else -1
    rows = known(values, claim.experiment.__name__)
    numbers = {version: row["numbers"] for version, row in rows.items()}

    def ends(of: list[dict]) -> tuple[float, float]:
        method = [sign * v for row in of for v in row[claim.method]]
        ablation = [sign * v for row in of for v in row[claim.ablation]]
        return sign * min(method), sign * max(ablation)

    worst, best = ends(list(numbers.values()))
    sides = [[v for row in numbers.values() for v in row[name]]
             for name in (claim.method, claim.ablation)]  # fmt: skip
    squares = sum((v - mean(side)) ** 2 for side in sides for v in side)
    sd = math.sqrt(squares / max(1, sum(map(len, sides)) - 2))
    gap = sign * (worst - best)
    return {"threshold": round((worst + best) / 2, 4), "worst": worst, "best": best,
            "pooled_sd": round(sd, 4), "margin": round(gap / max(sd, 1e-4), 1),
            "by version": {v: ends([row]) for v, row in numbers.items()}}  # fmt: skip


def span(example: Example, values: dict) -> dict:
    """The least and the greatest value of an example's metric, over all seeds and versions."""
    rows = known(values, example.command()).values()
    numbers = [v for row in rows for v in row["numbers"][example.metric]]
    return {"command": example.command(), "metric": example.metric,
            "least": min(numbers), "most": max(numbers)}  # fmt: skip


def as_text(values: dict) -> str:
    """The file: of every experiment and version the numbers, and what follows from them."""

    def in_order(row: tuple[str, dict]) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", row[0])]

    def lines(entries: dict) -> str:
        return ",\n".join(f"{json.dumps(key)}: {json.dumps(v)}" for key, v in entries.items())

    now = {name: dict(sorted(known(values, name).items(), key=in_order)) for name in experiments()}
    now = {name: rows for name, rows in now.items() if rows}
    claims = {name: margin(claim, now) for name, claim in CLAIMS.items()
              if claim.experiment.__name__ in now}  # fmt: skip
    examples = {name: span(example, now) for name, example in EXAMPLES.items()
                if example.command() in now}  # fmt: skip
    rows = ",\n".join(f"{json.dumps(name)}: {{\n{lines(some)}\n}}" for name, some in now.items())
    return (f'{{\n"claims": {{\n{lines(claims)}\n}},\n"examples": {{\n{lines(examples)}\n}},\n'
            f'"values": {{\n{rows}\n}}\n}}\n')  # fmt: skip


def add(path: Path, name: str, seed: int, numbers: Numbers) -> None:
    """Put what one seed gave into the file, beside what is there by now."""
    with common.locked(path.parent):
        values = common.read_json(path)["values"] if path.exists() else {}
        new = {"definition": experiments()[name][1], "seeds": [], "numbers": {}}
        row = known(values, name).get(VERSION, new)
        seeds = sorted([*row["seeds"], seed])
        place = seeds.index(seed)
        for key, value in numbers.items():
            row["numbers"].setdefault(key, []).insert(place, round(value, 4))
        row["seeds"] = seeds
        values.setdefault(name, {})[VERSION] = row
        common.write_text(path, as_text(values))


def measure(name: str, seed: int) -> tuple[Numbers, float]:
    """The numbers of one experiment and seed, and the CPU seconds it took; prints nothing."""
    torch.set_num_threads(1)
    clock = time.process_time()
    with (tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere,
          contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere)):  # fmt: skip
        numbers = experiments()[name][0](seed, Path(folder))
    return numbers, time.process_time() - clock


def main() -> None:
    """Measure what is missing, in several processes, and add it to the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds of a claim (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--only", default="", help="experiments whose name contains this")
    parser.add_argument("--again", action="store_true", help="those that are there, too")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args()
    values = common.read_json(args.out)["values"] if args.out.exists() else {}
    todo = []
    for name, (_, _, enough) in experiments().items():
        if args.only in name:
            if args.again:
                values.get(name, {}).pop(VERSION, None)
            there = known(values, name).get(VERSION, {"seeds": []})["seeds"]
            seeds = range(min(args.seeds, enough))
            todo += [(seed, name) for seed in seeds if seed not in there]
    if args.again:
        common.write_text(args.out, as_text(values))
    todo.sort(key=lambda one: one[0])
    processes = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(args.jobs, processes) as pool:
        running = {pool.submit(measure, name, seed): (name, seed) for seed, name in todo}
        for i, done in enumerate(concurrent.futures.as_completed(running), 1):
            (name, seed), (numbers, seconds) = running[done], done.result()
            add(args.out, name, seed, numbers)
            what = f"torch {VERSION}, seed {seed}, {seconds:.1f} s: {name}"
            print(f"{i}/{len(todo)} {what}", flush=True)
    for name, claim in json.loads(args.out.read_text())["claims"].items():
        print(f"{claim['margin']:7.1f}  {name}")


if __name__ == "__main__":
    main()
