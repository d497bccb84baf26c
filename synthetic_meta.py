"""Synthetic data that is not forgotten (Masarczyk & Tautkute, 2020).

A classifier S (the *learner*) meets the digits two at a time, for a few steps of SGD each, and
never sees a finished task again. On real digits it forgets. Here its data are made by a generator G
with one aim: that a learner trained on them *in sequence* knows all ten digits at the end. So G is
trained by the learner's final loss on real images, back-propagated through every step that the
learner has taken. The learner is new each time, and so is the order of the tasks, hence the images
cannot rely on either. They need not look like digits, and do not.

    for each meta-step:    w_0 random;  t_1 ... t_5 = ten classes in random order, in pairs
        for t_i, 5 times:  x = G(z, y), y in t_i;   v <- μ v + ∇L(S(x; w), y);   w <- w - α v
        θ, α, μ  <-  Adam on ∇L(S(x_r; w_m), y_r), x_r real images of all classes      (Eq. 1)

paper            here                      shape
G, θ             G                         z [B, 64], y [B] -> images [B, C, H, W], standardised
S, w             call(S, w, x), dict w     images -> logits [B, K], one head for K classes
t = t_1 ... t_n  tasks                     int64 [T, 2], random order and pairing
m                T * --steps               SGD steps of the learner, 25
p = 250          --pool                    images a class from which each learner's are drawn
η                --gen-lr                  G's learning rate; Adam instead of Eq. (1)'s plain step

Deviations, and choices where the paper is silent (README.md measures those that matter):
 1. Not given: sizes, rates. S: 3x3 convolutions of stride 2, 16 and 32 channels. G: two linear
    layers, two transposed convolutions. Adam (0.9, 0.99), 4e-3 falling to 0 on a cosine, 667
    meta-steps, gradients clipped to norm 1; the learner's rates and momentum by Adam at 5e-3.
 2. The learner has a rate for each tensor, learned as a logarithm and held below --max-lr, as rates
    run away else. --rates one has a single one.
 3. "Binary classification tasks": the inner loss is over the task's two classes (--inner-loss task)
    or over all ten (all). We took all for its higher test accuracy on one seed at 5 steps a task.
 4. "Each layer is followed by a batch normalisation layer", the logits too. S is evaluated with
    the statistics of a batch of 2,000 test images, which tell it that all classes are about as
    frequent: this alone hides forgetting. --bn running does not; a result holds both.
 5. G draws the images of a meta-step in one call, so its BatchNorm sees all classes at once. One
    learner uses 100 images a class; in meta-training they are drawn directly, not from 250.
 6. The MLP's rate and momentum are where all others begin. The GAN is a projection cGAN; its curve
    is drawn only if a classifier trained on real images agrees with nine of ten of its labels.

    python synthetic_meta.py --preset improved --dataset glyphs --image-size 16 --train-size 5000 \\
        --test-size 2000 --meta-steps 150 --learner-seeds 4 --horizons 5 75 --batches 40
    # 40 seconds: ACC 0.80 to 0.83 in five steps a task, 0.40 to 0.50 on real images with the same
    # start and rates
    python synthetic_meta.py --seed 0  # seven minutes; numbers: RESULTS.md
    # Both on one core of an AMD EPYC.
"""

import argparse
import math
import shlex
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import functional_call
from tqdm import tqdm

import common

Weights = dict[str, Tensor]  # a learner's parameters (and running statistics) by name
# What --preset improved changes; each is a flag (README.md says which were undone).
IMPROVED = dict(
    inner_loss="each", bias=-3.0, bn="none", bn_logits=False, norm_last=True, frozen_convs=2,
    filters="mirrored", channels=[18, 128], lr=0.002, gen_lr=2e-3, hyper_lr=0.02, real_batch=250,
)  # fmt: skip
SHOWN = 3  # images of each class in Figure 3
REPORT = ("report", "figures", "readme", "compare")
# Flags that do not change the result: a checkpoint may be continued with other values of these.
NO_EFFECT = ("out", "data_dir", "checkpoint_every", *REPORT)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Flags; `--preset improved` only moves defaults, so that each change can be undone by name."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    common.errors_in_one_line(parser)
    yes_no = argparse.BooleanOptionalAction
    paper = parser.add_argument_group("paper (defaults are the paper's, or our choice: Deviations)")
    add = paper.add_argument
    add("--preset", choices=["paper", "improved"], default="paper", help="which defaults to use")
    add("--source", choices=["synthetic", "real", "gan", "mlp"], default="synthetic",
        help="what the learner is trained on: G, or a baseline of Fig. 4: real images, a "
        "conditional GAN's, or real images with an MLP and rates that are not learned")
    add("--classes-per-task", type=int, default=2, help="classes in a task (Sec. 4)")
    add("--steps", type=int, default=5, help="the learner's SGD steps on each task (Sec. 4)")
    add("--batch-size", type=int, default=40, help="images a step, as many of each class (Sec. 4)")
    add("--pool", type=int, default=250,
        help="p, images a class from which a tested learner's are drawn (Sec. 4, Deviation 5)")
    add("--order", choices=["random", "fixed"], default="random",
        help="order and pairing of the classes, when G is trained and tested (Sec. 3: random)")
    add("--inner-loss", choices=["all", "task", "each"], default="all",
        help="the learner's cross entropy: over all classes, over the task's (Deviation 3), or a "
        "binary one for each of the task's classes (beyond the paper)")
    add("--bn", choices=["batch", "running", "none"], default="batch",
        help="statistics when S is evaluated, also in the meta-loss; none: GroupNorm with one "
        "group, no BatchNorm (Deviation 4)")
    add("--bn-logits", action=yes_no, default=True, help="BatchNorm on the logits (Sec. 4)")
    add("--channels", type=int, nargs=2, default=[16, 32], help="of the learner's convolutions")
    add("--latent", type=int, default=64, help="size of z")
    add("--gen-hidden", type=int, default=256, help="units of G's first layer")
    add("--gen-width", type=int, default=32, help="channels of G at a quarter of the size")
    add("--meta-steps", type=int, default=667, help="updates of G (Eq. 1); 0: none")
    add("--gen-lr", type=float, default=4e-3, help="η, Adam's rate for G, falls to 0 on a cosine")
    add("--hyper-lr", type=float, default=5e-3, help="Adam's rate for log rates and momentum")
    add("--rates", choices=["tensor", "one"], default="tensor",
        help="a learned rate for each of the learner's tensors, or one for all (Deviation 2)")
    add("--lr", type=float, default=0.02, help="the learner's rate at first")
    add("--momentum", type=float, default=0.7, help="the learner's momentum at first")
    add("--max-lr", type=float, default=0.3, help="the learner's rates stay below (Deviation 2)")
    add("--real-batch", type=int, default=500, help="real training images for the meta-loss")
    add("--clip", type=float, default=1.0, help="largest norm of a meta-gradient")
    add("--gan-epochs", type=int, default=4, help="--source gan: epochs of the conditional GAN")
    beyond = parser.add_argument_group("beyond the paper (some are on in --preset improved)")
    add = beyond.add_argument
    add("--init", choices=["fresh", "fixed", "learned", "learned-all"], default="fresh",
        help="S's initial weights: drawn anew for every learner (the paper), drawn once, or "
        "meta-learned with the data: all but the last layer's, so that no class is known, or all")
    add("--init-lr", type=float, default=2e-3, help="Adam's rate for learned initial weights")
    add("--frozen-convs", type=int, choices=[0, 1, 2], default=0,
        help="so many of S's convolutions keep their initial weights (needs --bn none)")
    add("--norm-last", action=yes_no, default=False,
        help="S normalises behind ReLU, not before: features without a common offset")
    add("--filters", choices=["gaussian", "mirrored"], default="gaussian",
        help="S's convolutions at first: independent, or orthogonal, each with its negative")
    add("--bias", type=float, default=0.0, help="S's last bias at first (without --bn-logits)")
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--dataset", default="mnist", help="mnist, fashion-mnist, kmnist, svhn, cifar10, glyphs, "
        "glyphs-rgb or a folder, also below --data-dir, with train/CLASS/* and test/CLASS/*")
    add("--data-dir", default="data", help="where data sets are, or are downloaded to")
    add("--image-size", type=int, default=0, help="resize to this; 0: as they are")
    add("--train-size", type=int, default=0, help="use so many training images; 0: all")
    add("--test-size", type=int, default=0, help="use so many test images; 0: all")
    add("--validation", type=int, default=0,
        help="hold out so many training images and measure on them instead of the test images")
    run = parser.add_argument_group("run")
    add = run.add_argument
    add("--seed", type=int, default=0, help="seed of everything random")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    add("--learner-seeds", type=int, default=10, help="new learners that the result is measured on")
    add("--horizons", type=int, nargs="+", default=[5, 10, 15, 25, 50, 75],
        help="steps a task to measure (Fig. 5)")
    add("--batches", type=int, nargs="+", default=[40, 80, 200, 400, 600],
        help="images a step to measure (Sec. 5, up to 15-fold)")
    add("--checkpoint-every", type=float, default=30.0, help="seconds between checkpoints")
    add("--out", default="results/synthetic_meta/run-seed{seed}.json",
        help="the result, one JSON file; {seed} stands for --seed")
    report = parser.add_argument_group("report (no training: figures and tables from JSON)")
    add = report.add_argument
    add("--report", default="", metavar="DIR", help="draw everything from the results in DIR")
    add("--figures", default="figures/synthetic_meta", metavar="DIR", help="where --report draws")
    add("--readme", default="", metavar="FILE", help="--report also renews its tables in FILE")
    add("--compare", nargs=2, default=[], metavar=("REFERENCE", "YOURS"),
        help="print paper, reference and your results side by side")
    only_preset = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    only_preset.add_argument("--preset")
    common.errors_in_one_line(only_preset)
    if only_preset.parse_known_args(argv)[0].preset == "improved":
        parser.set_defaults(**IMPROVED)
    args = parser.parse_args(argv)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    least = {"seed": 0, "threads": 0, "meta_steps": 0, "checkpoint_every": 0, "classes_per_task": 2,
             "steps": 1, "pool": 1, "latent": 1, "gen_hidden": 1, "gen_width": 2,
             "real_batch": 2, "gan_epochs": 1, "learner_seeds": 1, "horizons": 1,
             "batches": 2, "channels": 1}  # fmt: skip
    common.check_ranges(args, least)
    for name in ("gen_lr", "hyper_lr", "init_lr", "lr", "max_lr", "momentum"):
        if not 0 < getattr(args, name) < 1:
            raise common.UserError(f"--{name.replace('_', '-')} must lie between 0 and 1")
    if args.lr > args.max_lr:
        raise common.UserError("--lr must not be above --max-lr")
    if not (0 < args.clip < math.inf and abs(args.bias) < math.inf):
        raise common.UserError("--clip must be above 0, and --bias a number")
    for size in (args.batch_size, *args.batches):
        if size < 1 or size % args.classes_per_task:
            raise common.UserError(f"a step takes as many images of each class: --batch-size and "
                                   f"--batches must be multiples of {args.classes_per_task}, "
                                   "above 0")  # fmt: skip
    if args.frozen_convs and (args.bn != "none" or args.source == "mlp"):
        raise common.UserError("--frozen-convs needs --bn none, and a net with convolutions")
    if args.bias and args.bn_logits:
        raise common.UserError("--bias: BatchNorm on the logits takes it away; --no-bn-logits")
    if args.bn == "none" and args.bn_logits:
        raise common.UserError("--bn none leaves no BatchNorm on the logits: add --no-bn-logits")
    if args.source == "mlp" and args.init != "fresh":
        raise common.UserError("--source mlp has nothing that is learned: leave --init out")
    args.out = args.out.replace("{seed}", str(args.seed))


# --------------------------------------------------------------------------------------------
# Models: images are [B, C, H, W], standardised; labels y int64 [B]; K classes
# --------------------------------------------------------------------------------------------


def conv_generator(inputs: int, shape: tuple[int, int, int], hidden: int, width: int) -> list:
    """G's layers (Sec. 4): two linear, two convolutional, BatchNorm after each but the last."""
    (C, H, W), half = shape, width // 2
    return [
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1),
        nn.Linear(hidden, width * (H // 4) * (W // 4)),
        nn.BatchNorm1d(width * (H // 4) * (W // 4)), nn.LeakyReLU(0.1),
        nn.Unflatten(1, (width, H // 4, W // 4)),
        nn.ConvTranspose2d(width, half, 4, 2, 1), nn.BatchNorm2d(half), nn.LeakyReLU(0.1),
        nn.ConvTranspose2d(half, C, 4, 2, 1),
    ]  # fmt: skip


class Generator(nn.Module):
    """G: z [B, latent], y [B] -> images [B, C, H, W]; `last` is the layer after the last."""

    def __init__(self, args: argparse.Namespace, shape: tuple, K: int, last: nn.Module):
        super().__init__()
        self.K = K
        layers = conv_generator(args.latent + K, shape, args.gen_hidden, args.gen_width)
        self.net = nn.Sequential(*layers, last)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        # The "class indicator" y: a one-hot vector beside the noise.
        return self.net(torch.cat([z, F.one_hot(y, self.K).to(z.dtype)], dim=1))


class RunningNorm(nn.BatchNorm2d):
    """BatchNorm of [B, c] or [B, c, H, W] whose running statistics autograd can look through.

    torch takes them for constants, but in a meta-gradient they are not: they depend on the
    learner's images and weights, and these on G. Its formulas and its rate of 0.1.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            var, mean = torch.var_mean(x, [0, *range(2, x.ndim)])  # [c], [c]
            self.running_mean.mul_(0.9).add_(mean, alpha=0.1)
            self.running_var.mul_(0.9).add_(var, alpha=0.1)
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)
        gain = self.weight * (self.running_var + self.eps).rsqrt()  # [c]
        shift = self.bias - gain * self.running_mean
        shape = (1, -1, *[1] * (x.ndim - 2))
        return x * gain.view(shape) + shift.view(shape)


def make_learner(args: argparse.Namespace, shape: tuple[int, int, int], K: int) -> nn.Sequential:
    """S (Sec. 4): two convolutions and a linear layer, each followed by BatchNorm; or the MLP.

    Only the structure is used: weights always come from outside, by `functional_call`. So they may
    be the result of SGD steps that autograd can look through. Images -> logits [B, K].
    """
    (C, H, W), (a, b) = shape, args.channels
    if args.source == "mlp":  # Kemker et al. 2017: two hidden layers of 400
        return nn.Sequential(nn.Flatten(), nn.Linear(C * H * W, 400), nn.ReLU(),
                             nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, K))  # fmt: skip
    norm: Callable = {"batch": nn.BatchNorm2d, "running": RunningNorm,
                      "none": lambda c: nn.GroupNorm(1, c)}[args.bn]  # fmt: skip
    h, w = -(-H // 4), -(-W // 4)  # two strides of 2, rounded up
    layers: dict[str, nn.Module] = {}
    for i, (inputs, outputs) in enumerate(((C, a), (a, b)), 1):
        layers[f"conv{i}"] = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        rest = [(f"norm{i}", norm(outputs)), (f"relu{i}", nn.ReLU())]
        layers |= dict(rest[::-1] if args.norm_last else rest)
    layers |= {"flat": nn.Flatten(), "fc": nn.Linear(b * h * w, K, bias=not args.bn_logits)}
    if args.bn_logits:
        layers["norm3"] = RunningNorm(K) if args.bn == "running" else nn.BatchNorm1d(K)
    return nn.Sequential(OrderedDict(layers))


def initial_weights(S: nn.Sequential, args: argparse.Namespace, device: torch.device) -> Weights:
    """Random weights of a new learner: Kaiming's normal, a tenth of it in the last layer.

    With frozen features the last layer starts at 0: there is no symmetry that would need breaking.
    """
    w: Weights = {}
    last = max(name for name, p in S.named_parameters() if p.ndim == 2)
    for name, p in S.named_parameters():
        if p.ndim == 4 and args.filters == "mirrored":
            w[name] = mirrored_filters(p.shape).to(device)
        elif p.ndim > 1:
            scale = math.sqrt(2 / p[0].numel())
            if name == last:
                scale *= 0.0 if args.frozen_convs == 2 else 0.1
            w[name] = scale * torch.randn(p.shape, device=device)
        else:  # gains are 1, shifts and biases 0
            w[name] = torch.full(p.shape, float("norm" in name and "weight" in name), device=device)
    if "fc.bias" in w:
        w["fc.bias"] += args.bias
    return w


def mirrored_filters(shape: torch.Size) -> Tensor:
    """Filters [c, ...] as long as Kaiming's: half are orthogonal, half their negatives.

    Images are compared by a net of random filters much as by any other such net if these cover all
    directions evenly; so what a synthetic image does depends less on the learner it meets.
    """
    c, fan = shape[0], math.prod(shape[1:])
    blocks = [torch.linalg.qr(torch.randn(fan, fan))[0] for _ in range(-(-c // 2 // fan))]
    half = torch.cat(blocks)[: -(-c // 2)] * math.sqrt(2)  # rows of length sqrt(2)
    return torch.cat([half, -half])[:c].view(shape)


def buffers(S: nn.Module, device: torch.device) -> Weights:
    """A new learner's running statistics (empty without BatchNorm)."""
    return {name: b.detach().to(device, copy=True) for name, b in S.named_buffers()}


def call(net: nn.Module, w: Weights, x: Tensor) -> Tensor:
    """net(x) with the weights and running statistics that w has for it; w may hold more."""
    names = {name for part in (net.named_parameters(), net.named_buffers()) for name, _ in part}
    return functional_call(net, {name: v for name, v in w.items() if name in names}, (x,))


# --------------------------------------------------------------------------------------------
# The learner's way through the tasks (Sec. 3), each step of it differentiable
# --------------------------------------------------------------------------------------------


def inner_loss(logits: Tensor, y: Tensor, task: Tensor, kind: str) -> Tensor:
    """The learner's loss on logits [B, K] and labels y [B], all of them in task [C]."""
    if kind == "all":
        return F.cross_entropy(logits, y)
    target = (y[:, None] == task).to(logits.dtype)  # [B, C], one-hot
    if kind == "task":
        return F.cross_entropy(logits[:, task], target)
    return F.binary_cross_entropy_with_logits(logits[:, task], target) * len(task)


def sgd_step(
    w: Weights, v: Weights, grads: Iterable[Tensor], rates: Weights, momentum: Tensor
) -> tuple[Weights, Weights]:
    """v <- μ v + g, w <- w - α v, out of place, so that gradients flow through both."""
    v = {name: momentum * v[name] + g for name, g in zip(v, grads)}
    return w | {name: w[name] - rates[name] * v[name] for name in v}, v


def learn(
    S: nn.Module, w: Weights, batches: Iterable[Tensor], labels: Iterable[Tensor], tasks: Tensor,
    rates: Weights, momentum: Tensor, args: argparse.Namespace, differentiable: bool,
    after_task: Callable[[Weights], None] | None = None,
) -> Weights:
    """w_m: the weights after SGD on all batches, in the order of tasks [T, C]; nothing is replayed.

    `batches` and `labels` have as many entries for each task. Weights that have a rate are trained.
    Unless `differentiable`, what lies behind is cut off after each step.
    """  # fmt: skip
    labels = list(labels)
    per_task = len(labels) // len(tasks)
    v = {name: torch.zeros_like(w[name]) for name in rates}
    for step, (x, y) in enumerate(zip(batches, labels), 1):
        loss = inner_loss(call(S, w, x), y, tasks[(step - 1) // per_task], args.inner_loss)
        grads = torch.autograd.grad(loss, [w[name] for name in v], create_graph=differentiable)
        w, v = sgd_step(w, v, grads, rates, momentum)
        if not differentiable:
            w = {name: value.detach().requires_grad_(name in v) for name, value in w.items()}
            v = {name: v[name].detach() for name in v}
        if after_task and step % per_task == 0:
            after_task(w)
    return w


def draw_tasks(K: int, args: argparse.Namespace, device: torch.device) -> Tensor:
    """tasks int64 [T, C]: all K classes, order and pairing at random ("we shuffle order")."""
    order = torch.arange(K) if args.order == "fixed" else torch.randperm(K)
    return order.view(-1, args.classes_per_task).to(device)


def draw_batches(tasks: Tensor, n: int, steps: int, batch_size: int) -> Tensor:
    """Which image each step takes: int64 [T * steps, batch_size], rows of a pool [K * n], by class.

    As many of each of the task's classes in every batch. No image comes twice in a task, if there
    are enough; else none comes twice in a batch, if there are enough of those. A class belongs to
    one task, so no image comes again when its task is over.
    """
    T, C = tasks.shape
    each, device = batch_size // C, tasks.device
    if steps * each <= n:
        chosen = torch.rand(T, C, n, device=device).argsort(2)[..., : steps * each]
    elif each <= n:
        chosen = torch.rand(T, C, steps, n, device=device).argsort(3)[..., :each]
    else:
        chosen = torch.randint(n, (T, C, steps, each), device=device)
    rows = tasks[:, :, None, None] * n + chosen.reshape(T, C, steps, each)
    return rows.transpose(1, 2).reshape(T * steps, batch_size)


# --------------------------------------------------------------------------------------------
# One meta-step (Eq. 1)
# --------------------------------------------------------------------------------------------


def draw_images(nets: dict, data: dict, args: argparse.Namespace, n: int) -> Tensor:
    """n images of each class, [K * n, C, H, W], by class; differentiable if G makes them."""
    K, device = data["K"], data["x"].device
    if args.source == "synthetic":
        y = torch.arange(K, device=device).repeat_interleave(n)
        z = torch.randn(K * n, args.latent, device=device)
        return nets["G"](z, y)  # x = G(z, y_ij)
    own = data["rows"]
    if args.source == "gan":
        own = torch.arange(K * args.pool, device=device).split(args.pool)
    order = [torch.randperm(len(rows), device=device) for rows in own]
    every = torch.arange(n, device=device)
    rows = torch.cat([rows[p[every % len(p)]] for rows, p in zip(own, order)])  # [K * n]
    return data["standard"]((nets["gan_x"] if args.source == "gan" else data["x"])[rows])


def hyperparameters(nets: dict) -> tuple[Weights, Tensor]:
    """The learner's rates by tensor name, and its momentum, from what is learned."""
    log_rates = nets["log_rates"].expand(len(nets["trained"]))
    rates = dict(zip(nets["trained"], log_rates.exp().unbind()))
    return rates, torch.sigmoid(nets["momentum"])


def start(nets: dict, data: dict, args: argparse.Namespace) -> Weights:
    """w_0 of a learner: drawn anew, but for the weights in nets["init"]."""
    w = initial_weights(nets["S"], args, data["x"].device)
    w = {name: v.requires_grad_(name in nets["trained"]) for name, v in w.items()}
    for name, v in nets["init"].items():
        if v.requires_grad:  # learned: a view, so that the learner's own gradients end there
            w[name] = v.view_as(v)
        else:
            w[name] = v.detach().requires_grad_(name in nets["trained"])
    return w


def meta_loss(nets: dict, data: dict, args: argparse.Namespace) -> Tensor:
    """L(S(x_r; w_m), y_r) of Eq. (1), a number with the graph back to G."""
    S, features, head = nets["S"], nets["features"], nets["head"]
    n = args.steps * args.batch_size // args.classes_per_task
    S.train()
    w = start(nets, data, args)
    x = call(features, w, draw_images(nets, data, args, n))  # images, if none is frozen
    chosen = torch.randint(len(data["y"]), (args.real_batch,), device=data["y"].device)
    x_r = call(features, w, data["standard"](data["x"][chosen]))
    y = torch.arange(data["K"], device=x.device).repeat_interleave(n)
    rates, momentum = hyperparameters(nets)
    tasks = draw_tasks(data["K"], args, x.device)
    rows = draw_batches(tasks, n, args.steps, args.batch_size)  # [m, B]
    batches = x[rows.flatten()].split(args.batch_size)  # one gather, m views
    w_m = learn(head, w | buffers(head, x.device), batches, y[rows], tasks, rates, momentum, args,
                differentiable=True)  # fmt: skip
    head.train(args.bn != "running")
    return F.cross_entropy(call(head, w_m, x_r), data["y"][chosen])


def meta_step(nets: dict, data: dict, step: int, args: argparse.Namespace) -> Tensor:
    """Eq. (1) for G, the learner's rates and momentum, and its start if learned; the meta-loss."""
    loss = meta_loss(nets, data, args)
    decay = (1 + math.cos(math.pi * step / args.meta_steps)) / 2
    rates = {"G": args.gen_lr * decay, "init": args.init_lr * decay, "hyper": args.hyper_lr}
    for name, rate in rates.items():
        if optimizer := nets.get(f"{name}_opt"):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = rate
    loss.backward()
    result = loss.detach()
    for name in rates:
        if optimizer := nets.get(f"{name}_opt"):
            norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], args.clip)
            result = torch.where(norm.isfinite(), result, math.nan)  # what the NaN guard looks at
            optimizer.step()
    with torch.no_grad():  # Deviation 2
        nets["log_rates"].clamp_(max=math.log(args.max_lr))
    return result


# --------------------------------------------------------------------------------------------
# The conditional GAN of Figure 4, and the judge who says whether its images are what they should
# --------------------------------------------------------------------------------------------


class Discriminator(nn.Module):
    """images [B, C, H, W], y [B] -> score [B], high for real (Mirza & Osindero 2014)."""

    def __init__(self, shape: tuple[int, int, int], K: int, width: int = 64):
        super().__init__()
        (C, H, W), half = shape, width // 2
        size = width * (H // 4) * (W // 4)
        self.features = nn.Sequential(
            nn.Conv2d(C, half, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(half, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
        )  # fmt: skip
        self.score, self.classes = nn.Linear(size, 1), nn.Embedding(K, size)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)  # [B, size]; the class comes in by projection (Miyato & Koyama 2018)
        return self.score(h).squeeze(1) + (h * self.classes(y)).sum(1)


def train_gan(nets: dict, data: dict, args: argparse.Namespace) -> None:
    """One epoch of the conditional GAN on all real images, non-saturating loss."""
    G, D, x_all, y_all = nets["gan_G"], nets["gan_D"], data["x"], data["y"]
    for index in torch.randperm(len(x_all), device=x_all.device).split(64):
        if len(index) == 1:  # BatchNorm needs two
            continue
        real, y = x_all[index].float() / 127.5 - 1, y_all[index]
        fake = G(torch.randn(len(y), args.latent, device=y.device), y)
        loss = F.softplus(-D(real, y)).mean() + F.softplus(D(fake.detach(), y)).mean()
        nets["gan_D_opt"].zero_grad()
        loss.backward()
        nets["gan_D_opt"].step()
        nets["gan_G_opt"].zero_grad()
        F.softplus(-D(fake, y)).mean().backward()
        nets["gan_G_opt"].step()


@torch.no_grad()
def draw_gan_pool(nets: dict, data: dict, args: argparse.Namespace) -> None:
    """Sec. 4: "sample 250 samples per each class", once, kept as bytes: nets["gan_x"], by class."""
    K, device = data["K"], data["x"].device
    y = torch.arange(K, device=device).repeat_interleave(args.pool)
    z = torch.randn(len(y), args.latent, device=device)
    x = nets["gan_G"].eval()(z, y)
    nets["gan_x"] = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def judge(nets: dict, data: dict, args: argparse.Namespace) -> dict:
    """A classifier trained on real images for two epochs: how accurate, how often G's label is its.

    Returns {"accuracy": on test images, "agreement": on the GAN's pool}.
    """
    C, H, W = data["shape"]
    net = nn.Sequential(
        nn.Conv2d(C, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * -(-H // 4) * -(-W // 4), data["K"]),
    ).to(data["x"].device)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(2):
        for index in torch.randperm(len(data["x"]), device=data["x"].device).split(64):
            loss = F.cross_entropy(net(data["standard"](data["x"][index])), data["y"][index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    y = torch.arange(data["K"], device=data["x"].device).repeat_interleave(args.pool)
    return {name: accuracy(net, x, labels, data)
            for name, x, labels in (("accuracy", data["x_test"], data["y_test"]),
                                    ("agreement", nets["gan_x"], y))}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Evaluation: new learners, never seen in meta-training, on the test images
# --------------------------------------------------------------------------------------------


def accuracy(net: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, data: dict) -> float:
    """Share of uint8 images x [N, C, H, W] whose largest logit is that of the label y [N]."""
    one_task = torch.zeros(data["K"], dtype=torch.int64)
    return common.accuracy_by_task(lambda b: net(data["standard"](b)), x, y, one_task)[0]


def modes(args: argparse.Namespace) -> list[str]:
    """The statistics a learner is evaluated with, --bn's first."""
    if args.bn == "none" or args.source == "mlp":
        return ["none"]
    return [args.bn, "running" if args.bn == "batch" else "batch"]


@torch.no_grad()
def accuracies(
    S: nn.Module, w: Weights, data: dict, tasks: Tensor, mode: str, seen: int, masked: bool = False
) -> list[float]:
    """Accuracy on each task [T]; `masked`: among the task's own classes, else among all K.

    Images of the first `seen` tasks and the rest are looked at apart, as in batch mode an answer
    depends on the images beside it ("a test set composed of classes seen in previous tasks"); for
    the same reason `masked` looks at each task apart, since the task is known.
    """
    S.train(mode == "batch")
    x, y, T = data["x_test"], data["y_test"], len(tasks)
    w = {name: v.clone() if "running" in name else v for name, v in w.items()}
    out = []
    groups = [[t] for t in range(T)] if masked else [range(seen), range(seen, T)]
    for group in groups:
        classes = tasks[list(group)].flatten()
        if not len(classes):
            continue
        rows = common.indices_of(y, classes.tolist())
        others = torch.ones(data["K"], dtype=torch.bool, device=x.device)
        others[classes] = False

        def logits(batch: Tensor, others: Tensor = others) -> Tensor:
            scores = call(S, w, data["standard"](batch))
            return scores.masked_fill(others, -math.inf) if masked else scores

        owner = torch.zeros(data["K"], dtype=torch.int64)
        for place, t in enumerate(group):
            owner[tasks[t].cpu()] = place
        size = 2000 if len(rows) % 2000 != 1 else 1999  # a batch of one has no statistics
        out += common.accuracy_by_task(logits, x[rows], y[rows], owner, size)
    return out


def new_learner(
    nets: dict, data: dict, args: argparse.Namespace, images: Tensor, seed: int,
    steps: int, batch_size: int, each_task: bool = False, order: str = "",
) -> dict:
    """Train a new learner on `images` [K * n, ...], by class, and test it.

    Returns by mode of BatchNorm its last accuracy by task [T]; with `each_task` R [T + 1, T] too,
    and the masked accuracies at the end.
    """  # fmt: skip
    S, features, head, device = nets["S"], nets["features"], nets["head"], data["x"].device
    torch.manual_seed(seed)
    asked = argparse.Namespace(**vars(args) | {"order": order or args.order})
    w, tasks = start(nets, data, args) | buffers(S, device), draw_tasks(data["K"], asked, device)
    w = {k: v.detach().requires_grad_(k in nets["trained"]) for k, v in w.items()}
    n = len(images) // data["K"]
    rows = draw_batches(tasks, n, steps, batch_size)
    y = torch.arange(data["K"], device=device).repeat_interleave(n)
    rates, momentum = hyperparameters(nets)
    R: dict = {mode: [] for mode in modes(args)}

    S.train()
    with torch.no_grad():
        at_once = len(images) <= 10_000  # else features of a batch at a time, to save memory
        x = call(features, w, images) if at_once else images
        if args.frozen_convs:  # the same from the first task to the last
            parts = [call(features, w, data["standard"](b)) for b in data["x_test"].split(2000)]
            data = data | {"x_test": torch.cat(parts), "standard": lambda x: x}

    def test(w_now: Weights) -> None:
        for mode in R:
            R[mode].append(accuracies(head, w_now, data, tasks, mode, len(R[mode])))
        S.train()

    if each_task:
        test(w)
    batches = (x[r] if at_once else call(features, w, x[r]).detach() for r in rows)
    w = learn(head, w, batches, (y[r] for r in rows), tasks, rates, momentum, args,
              differentiable=False, after_task=test if each_task else None)  # fmt: skip
    T, out = len(tasks), {}
    for mode in R:
        last = R[mode][-1] if each_task else accuracies(head, w, data, tasks, mode, T)
        out[mode] = {"last": last}
        if each_task:
            out[mode] |= {"R": R[mode], "masked": accuracies(head, w, data, tasks, mode, T, True)}
    return out


def evaluate(nets: dict, data: dict, args: argparse.Namespace) -> dict:
    """Everything that the figures and tables need, from new learners with seeds of their own.

    R [T + 1, T] is the mean over the learners, its columns the tasks in the order they were met.
    `by_steps`, `by_batch`, `controls` hold final accuracies, a list over learners, by mode.
    """
    nets["S"].train()
    seeds = [10_000 * (args.seed + 1) + i for i in range(args.learner_seeds)]
    fewer, size = seeds[: -(-len(seeds) // 2)], args.batch_size  # half of them: it is the long part

    @torch.no_grad()
    def pool(seed: int, n: int = args.pool, source: str = "") -> Tensor:
        torch.manual_seed(seed + 2**32)  # not the numbers that the learner's weights come from
        which = argparse.Namespace(**vars(args) | {"source": source or args.source})
        return draw_images(nets, data, which, n)

    def finals(results: list[dict]) -> dict:
        return {mode: [float(np.mean(r[mode]["last"])) for r in results] for mode in results[0]}

    def measure(steps: int = args.steps, batch_size: int = size, **how) -> dict:
        source, order = how.get("source", ""), how.get("order", "")
        return finals([new_learner(nets, data, args, pool(s, source=source), s, steps, batch_size,
                                   order=order) for s in fewer])  # fmt: skip

    tested = [new_learner(nets, data, args, pool(s), s, args.steps, size, True) for s in seeds]
    R = {mode: np.array([r[mode]["R"] for r in tested]) for mode in tested[0]}  # [n, T + 1, T]
    out: dict = {"R": R[modes(args)[0]].mean(0).tolist(), "learners": {}}
    for mode in R:
        seen = [[float(np.mean(row[: t + 1])) for t, row in enumerate(r[1:])] for r in R[mode]]
        masked = [r[mode]["masked"] for r in tested]
        out["learners"][mode] = {
            "R": R[mode].mean(0).tolist(), "seen": seen, "last": R[mode][:, -1].tolist(),
            "masked": masked,
        }  # fmt: skip
    out["by_steps"] = {str(m): measure(m) for m in args.horizons}
    out["by_batch"] = {str(b): measure(batch_size=b) for b in args.batches}
    used = args.steps * size // args.classes_per_task  # images a class that a learner meets
    controls = {"fixed order": measure(order="fixed"),
                "as many images and steps, shuffled": joint(nets, data, args, pool, fewer, used),
                "one pass, shuffled": joint(nets, data, args, pool, fewer, args.pool)}  # fmt: skip
    if args.source == "synthetic":
        controls["real images, same start and rates"] = measure(source="real")
        most = str(max(args.horizons))
        controls[f"real images, same start and rates, {most} steps a task"] = measure(
            max(args.horizons), source="real")  # fmt: skip
    if args.source in ("real", "mlp"):
        everything = min(len(rows) for rows in data["rows"])
        epoch = max(1, everything * args.classes_per_task // size)
        controls["an epoch a task"] = finals([
            new_learner(nets, data, args, pool(s, everything), s, epoch, size) for s in fewer[:3]])
    if args.source == "real":
        controls["best pool of 20"] = best_pool(nets, data, args, pool, fewer)
    return out | {"controls": controls}


def joint(
    nets: dict,
    data: dict,
    args: argparse.Namespace,
    pool: Callable[..., Tensor],
    seeds: list[int],
    n: int,
) -> dict:
    """What the sequence costs: one pass over n images a class, all classes in every batch."""
    K, out = data["K"], {mode: [] for mode in modes(args)}
    one_task = argparse.Namespace(**vars(args) | {"classes_per_task": K, "order": "fixed"})
    size = max(K, args.batch_size // K * K)
    for seed in seeds:
        images = pool(seed, n)
        steps = max(1, len(images) // size)
        result = new_learner(nets, data, one_task, images, seed, steps, size)
        for mode in out:
            out[mode].append(float(np.mean(result[mode]["last"])))
    return out


def best_pool(
    nets: dict, data: dict, args: argparse.Namespace, pool: Callable[..., Tensor], seeds: list[int]
) -> dict:
    """The best of 20 random choices of real images, by accuracy on training images in each mode."""
    held = torch.randperm(len(data["y"]), generator=torch.Generator().manual_seed(args.seed))[:2000]
    held = held.to(data["y"].device)
    on_training = data | {"x_test": data["x"][held], "y_test": data["y"][held]}

    def last(where: dict, trial: int, some: list[int]) -> dict:
        images = pool(seeds[0] + 5000 + trial)
        results = [new_learner(nets, where, args, images, s, args.steps, args.batch_size)
                   for s in some]  # fmt: skip
        return {m: [float(np.mean(r[m]["last"])) for r in results] for m in modes(args)}

    trials = [last(on_training, trial, seeds[:2]) for trial in range(20)]
    best = {m: int(np.argmax([np.mean(trial[m]) for trial in trials])) for m in modes(args)}
    return {m: last(data, best[m], seeds)[m] for m in modes(args)}


# --------------------------------------------------------------------------------------------
# A whole run
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> dict:
    """On the device: x, y, x_test, y_test (uint8, int64); `rows` by class; `standard`; K, shape."""
    data = common.load_dataset(
        args.dataset, args.data_dir, image_size=args.image_size, train_size=args.train_size,
        test_size=args.test_size, validation=args.validation, seed=args.seed,
    )  # fmt: skip
    K, shape = len(data.classes), tuple(data.x_train.shape[1:])
    if shape[1] % 4 or shape[2] % 4:
        size = f"{shape[1]}x{shape[2]}"
        raise common.UserError(f"G needs sides that 4 divides, not {size}: --image-size")
    if K % args.classes_per_task:
        raise common.UserError(f"--classes-per-task must divide the {K} classes")
    images = {"x": data.x_train, "y": data.y_train, "x_test": data.x_test, "y_test": data.y_test}
    for part in ("", "_test"):  # folders come class by class: a batch should hold all classes
        x, y = images[f"x{part}"], images[f"y{part}"]
        if (y.diff() >= 0).all():
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
            images[f"x{part}"], images[f"y{part}"] = x[order], y[order]
    images = {name: tensor.to(device) for name, tensor in images.items()}
    pixels = images["x"][:10_000].float() / 255
    mean, sd = pixels.mean(), pixels.std()
    return {**images, "rows": [common.indices_of(images["y"], [c]) for c in range(K)], "K": K,
            "shape": shape,
            "standard": lambda x: (x.float() / 255 - mean) / sd}  # fmt: skip


def make_nets(data: dict, args: argparse.Namespace) -> dict:
    """The learner's structure, what is meta-learned, and the optimizers."""
    device, K, shape = data["x"].device, data["K"], data["shape"]
    S = make_learner(args, shape, K).to(device)
    cut = 3 * args.frozen_convs  # a block is convolution, normalisation, ReLU
    nets: dict = {"S": S, "features": S[:cut], "head": S[cut:]}
    nets["trained"] = [name for name, _ in nets["head"].named_parameters()]
    rates = len(nets["trained"]) if args.rates == "tensor" else 1
    log_rates = torch.full((rates,), math.log(args.lr), device=device)
    momentum = torch.tensor(math.log(args.momentum / (1 - args.momentum)), device=device)
    nets["log_rates"], nets["momentum"] = log_rates.requires_grad_(), momentum.requires_grad_()

    def adam(parameters: Iterable[Tensor]) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, betas=(0.9, 0.99))

    nets["hyper_opt"] = adam([nets["log_rates"], nets["momentum"]])
    if args.source == "synthetic":
        nets["G"] = Generator(args, shape, K, nn.BatchNorm2d(shape[0])).to(device)
        nets["G_opt"] = adam(nets["G"].parameters())
    if args.source == "gan":
        nets["gan_G"] = Generator(args, shape, K, nn.Tanh()).to(device)
        nets["gan_D"] = Discriminator(shape, K).to(device)
        for name in ("gan_G", "gan_D"):  # beta_1 = 0.5 as in DCGAN (Radford et al. 2016)
            parameters = nets[name].parameters()
            nets[f"{name}_opt"] = torch.optim.Adam(parameters, 1e-3, betas=(0.5, 0.999))
    nets["init"] = {} if args.init == "fresh" else initial_weights(S, args, device)
    if args.init == "learned":  # the last layer is new for every learner
        below = ("conv1", "norm1", "conv2", "norm2")
        nets["init"] = {k: v for k, v in nets["init"].items() if k.startswith(below)}
    if args.init.startswith("learned"):
        nets["init_opt"] = adam([v.requires_grad_() for v in nets["init"].values()])
    return nets


MODULES = ("G", "G_opt", "gan_G", "gan_D", "gan_G_opt", "gan_D_opt", "hyper_opt", "init_opt")
TENSORS = ("log_rates", "momentum", "gan_x")


def state_of(nets: dict) -> dict:
    """What a checkpoint holds of the nets."""
    state = {name: nets[name].state_dict() for name in MODULES if name in nets}
    tensors = {name: nets[name].detach() for name in TENSORS if name in nets}
    init = {name: v.detach() for name, v in nets["init"].items()}
    return {"modules": state, "tensors": tensors, "init": init}


def restore(nets: dict, state: dict) -> None:
    """Undo `state_of`."""
    for name, values in state["modules"].items():
        nets[name].load_state_dict(values)
    with torch.no_grad():
        for name, value in state["tensors"].items():
            nets.setdefault(name, value.to(nets["momentum"].device)).copy_(value)
        for name, value in state["init"].items():
            nets["init"][name].copy_(value)


@torch.no_grad()
def sample(nets: dict, data: dict, args: argparse.Namespace) -> dict:
    """SHOWN images of every class, class by class, as bytes: 0 and 255 are -2 and 2 deviations."""
    was = common.rng_state(data["x"].device)
    torch.manual_seed(args.seed)
    x = draw_images(nets, data, args, 20)  # more than are shown, for G's batch statistics
    common.set_rng_state(was, data["x"].device)
    x = x.view(data["K"], -1, *data["shape"])[:, :SHOWN].flatten(0, 1)
    return common.pack_images(((x + 2) * 63.75).round().clamp(0, 255).to(torch.uint8))


def check_finite(loss: float, step: int, args: argparse.Namespace) -> None:
    """RunError when the meta-loss has become NaN or infinite."""
    if not math.isfinite(loss):
        raise common.RunError(
            f"meta-step {step}: the loss is {loss}; lower --gen-lr, --max-lr or --lr, and delete "
            f"the last good checkpoint, {args.out}.ckpt, if there is one"
        )


def meta_train(
    nets: dict, data: dict, done: dict, record: dict, args: argparse.Namespace,
    save: Callable[[], None],
) -> None:
    """All meta-steps, and the conditional GAN before them where it is asked for.

    Every 10 steps a row of the curve: [step, mean meta-loss of these steps, momentum, rates ...].
    """  # fmt: skip
    if args.source == "gan":
        while done["gan"] < args.gan_epochs:
            train_gan(nets, data, args)
            done["gan"] += 1
            save()
        if "gan_x" not in nets:
            draw_gan_pool(nets, data, args)
            record["judge"] = judge(nets, data, args)
            print(f"the judge agrees with {record['judge']['agreement']:.3f} of the GAN's labels")
    last = 0 if args.source == "mlp" else args.meta_steps
    if args.source == "synthetic" and not record["grids"]:
        record["grids"].append([0, sample(nets, data, args)])
    losses: list[Tensor] = []
    bar = tqdm(desc=f"{Path(args.out).stem}, meta-training", total=last, initial=done["step"],
               disable=None, leave=False)  # fmt: skip
    while done["step"] < last:
        losses.append(meta_step(nets, data, done["step"], args))
        done["step"] += 1
        bar.update()
        if args.source == "synthetic" and done["step"] in {last // 20, last // 4, last}:
            record["grids"].append([done["step"], sample(nets, data, args)])
        if done["step"] % 10 == 0 or done["step"] == last:
            loss = torch.stack(losses).mean().item()
            losses.clear()
            check_finite(loss, done["step"], args)
            rates, momentum = hyperparameters(nets)
            record["curve"].append([done["step"], loss, momentum.item(),
                                    *(rate.item() for rate in rates.values())])  # fmt: skip
            save()
    bar.close()


def metrics_of(record: dict, args: argparse.Namespace) -> dict:
    """Means over the learners. "ACC" is measured as --bn says, the others without transduction."""
    mode = honest(record)

    def mean(values: list) -> float:
        return float(np.mean(values))

    out = common.summarise(record["R"]) | {
        "no transduction": mean(record["learners"][mode]["last"]),
        "masked": mean(record["learners"][mode]["masked"]),
        "longest": mean(record["by_steps"][str(max(args.horizons))][mode]),
        "one pass, shuffled": mean(record["controls"]["one pass, shuffled"][mode]),
    }
    real = record["controls"].get("real images, same start and rates")
    return out | ({"on real images": mean(real[mode])} if real else {})


def run(args: argparse.Namespace) -> dict:
    """Meta-train, then measure on new learners; the result (see common.write_result)."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = common.choose_device(args.device)
    environment = common.environment(device)
    common.seed_everything(args.seed)
    data = load_data(args, device)
    nets = make_nets(data, args)

    # done: finished GAN epochs, meta-steps, seconds. record: what becomes JSON.
    done: dict = {"gan": 0, "step": 0, "seconds": 0.0}
    record: dict = {"curve": [], "grids": [], "judge": {}}
    identity = {k: v for k, v in vars(args).items() if k not in NO_EFFECT}
    checkpoint = f"{args.out}.ckpt"
    stored = common.load_checkpoint(checkpoint, identity)
    if stored:  # continue as if nothing had happened
        done, record = stored["state"]["done"], stored["state"]["record"]
        restore(nets, stored["state"]["nets"])
        common.set_rng_state(stored["rng"], device)
        print(f"continuing from {checkpoint} at meta-step {done['step']}", file=sys.stderr)
    begun, saved = time.perf_counter() - done["seconds"], time.perf_counter()

    def save(at_once: bool = False) -> None:
        nonlocal saved
        if at_once or time.perf_counter() - saved >= args.checkpoint_every:
            done["seconds"] = time.perf_counter() - begun
            state = {"done": done, "record": record, "nets": state_of(nets)}
            common.save_checkpoint(checkpoint, identity, state, device)
            saved = time.perf_counter()

    meta_train(nets, data, done, record, args, save)
    save(at_once=True)
    trained_s = time.perf_counter() - begun
    peak = common.peak_memory(device)  # of training
    record |= evaluate(nets, data, args)
    return {
        "schema": common.SCHEMA, "script": "synthetic_meta", "seed": args.seed,
        "args": {k: v for k, v in vars(args).items() if k not in REPORT},
        "metrics": metrics_of(record, args), "trained": nets["trained"], **record,
        "timing": {"wall_s": time.perf_counter() - begun, "meta_s": trained_s},
        "environment": environment | peak,
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# Figures and tables, from the JSON of finished runs alone
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make reproduce-synthetic_meta` runs them.
RUNS = {
    "synthetic": ("Figs. 1, 3, 4, 5", "--inner-loss all", "synthetic data"),
    "real": ("Figs. 1, 4, 5", "--source real", "real data, its rates learned"),
    "gan": ("Fig. 4", "--source gan", "conditional GAN's images, rates learned"),
    "mlp": ("Fig. 4", "--source mlp", "MLP on real data"),
    "task": ("Sec. 3", "--inner-loss task", "inner loss over the task's two classes"),
    "running": ("–", "--bn running", "running statistics in the meta-loss too"),
    "real-running": ("–", "--source real --bn running",
        "real data, running statistics in the meta-loss too"),
    "plain-logits": ("–", "--bn running --no-bn-logits",
        "running statistics, no BatchNorm on the logits"),
    "one-rate": ("Sec. 3", "--rates one", "one learning rate"),
    "fixed-order": ("Sec. 3", "--order fixed", "one fixed order of the classes"),
    "fixed-init": ("Sec. 3", "--init fixed", "one fixed initial learner"),
    "improved": ("–", "--preset improved", "(a) improved, new random learners"),
    "improved-learned": ("–", "--preset improved --init learned",
        "(b) improved, learned initial features"),
    "improved-all": ("–", "--preset improved --init learned-all",
        "(b) with the last layer learned too"),
    "improved-real": ("–", "--preset improved --source real",
        "improved learner on real data, its rates learned"),
    "improved-learned-real": ("–", "--preset improved --init learned --source real",
        "(b)'s learner on real data, its start and rates learned"),
    "improved-task": ("–", "--preset improved --inner-loss task --bias 0",
        "(a), loss over the task's two classes"),
    "improved-first": ("–", "--preset improved --no-norm-last", "(a), ReLU behind normalisation"),
    "improved-gaussian": ("–", "--preset improved --filters gaussian", "(a), independent filters"),
    "improved-narrow": ("–", "--preset improved --channels 18 32", "(a), 32 channels, not 128"),
    "improved-trained": ("–", "--preset improved --frozen-convs 0",
        "(a), convolutions trained too"),
}  # fmt: skip
METRICS = ("ACC", "no transduction", "masked", "longest", "one pass, shuffled", "on real images")
COLORS = {"synthetic": "C2", "real": "C1", "gan": "C0", "mlp": "C3", "improved": "C4",
          "improved-learned": "C5"}  # as in the paper: green, yellow, blue, red
PAPER: dict = {}  # its results are curves without numbers


def honest(run: dict) -> str:
    """The mode in which an answer does not depend on the other test images."""
    return next(mode for mode in ("none", "running") if mode in run["learners"])


def draw_sequence(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Figure 1, right: accuracy on each task after each task, synthetic against real.

    Above with the statistics of the test batch, below with running ones: without transduction.
    """
    panels = [(name, mode) for mode in ("batch", "running") for name in ("synthetic", "real")]
    for ax, (name, mode) in zip(np.ravel(axes), panels):
        R = np.mean([run["learners"][mode]["R"] for run in runs[name]], axis=0)  # [T + 1, T]
        for j in range(R.shape[1]):
            after = np.arange(j + 1, R.shape[1] + 1)
            ax.plot(after, R[after, j], marker="o", ms=4, label=f"task {j + 1}")
        ax.set(title=f"{runs[name][0]['label']}, {mode} statistics", ylim=(-0.02, 1.02),
               xticks=range(1, R.shape[1] + 1))  # fmt: skip
        ax.title.set_fontsize(9)
    for ax in axes[:, 0]:
        ax.set(ylabel="test accuracy")
    for ax in axes[-1]:
        ax.set(xlabel="after task")
    lines = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].figure.legend(*lines, fontsize=8, loc="outside right")


def draw_samples(runs: list[dict], axes: list[Axes]) -> None:
    """Figure 3: three images of each class, at the beginning, along the way and at the end."""
    for ax, (step, packed) in zip(np.atleast_1d(axes), runs[0]["grids"]):
        x = common.unpack_images(packed)  # [K * n, C, H, W], by class
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=255)  # white lines
        _, C, H, W = x.shape
        n = SHOWN
        K = len(x) // n
        tiled = x.reshape(K, n, C, H, W).transpose(1, 3, 0, 4, 2).reshape(n * H, K * W, C)
        ax.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"meta-step {step}", fontsize=8)
    ax.set(xticks=[W * (c + 0.5) for c in range(K)], xticklabels=range(K), xlabel="class")


def draw_seen(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Figure 4: accuracy on the classes seen so far; mean and SD over learners and seeds."""
    for name in COLORS:
        if name not in runs or not drawable(runs[name]):
            continue
        for ax, mode_of in zip(axes, (lambda run: run["args"]["bn"], honest)):
            seen = np.concatenate([run["learners"].get(mode_of(run), run["learners"][honest(run)])
                                   ["seen"] for run in runs[name]])  # [learners, T]
            t = np.arange(1, seen.shape[1] + 1)
            ax.errorbar(t, seen.mean(0), seen.std(0, ddof=min(1, len(seen) - 1)), marker="o", ms=4,
                        capsize=2, color=COLORS[name], label=runs[name][0]["label"])  # fmt: skip
            ax.set(xlabel="after task", xticks=t, ylim=(0, 1.02))
    for ax, title in zip(axes, ("as --bn says (default: statistics of the test batch)",
                              "without transduction")):
        ax.set_title(title, fontsize=9)
    axes[0].set(ylabel="accuracy on the classes seen")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=3,
                          loc="outside lower center")  # fmt: skip


def drawable(runs: list[dict]) -> bool:
    """A GAN's curve only if a judge agrees with nine of ten of its labels."""
    bad = [run for run in runs if run["judge"] and run["judge"]["agreement"] < 0.9]
    for run in bad:
        print(f"not drawn: {run['path']}: the judge agrees with {run['judge']['agreement']:.0%} of "
              "the GAN's labels only; more --gan-epochs", file=sys.stderr)  # fmt: skip
    return not bad


def draw_robustness(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Figure 5: final accuracy against the steps a task, and against the batch size (Sec. 5)."""
    for ax, key, what in zip(axes, ("by_steps", "by_batch"), ("steps a task", "images a step")):
        for name in ("synthetic", "real", "improved", "improved-learned"):
            if name not in runs:
                continue
            for mode, style in (("batch", "-"), ("running", "--"), ("none", "-")):
                if mode not in runs[name][0]["learners"]:
                    continue
                x = [v for v in runs[name][0][key] if all(v in run[key] for run in runs[name])]
                y = [np.concatenate([run[key][v][mode] for run in runs[name]]).mean() for v in x]
                x = [int(v) for v in x]
                how = f", {mode} statistics" if mode != "none" else ""
                ax.plot(x, y, style, marker="o", ms=4, color=COLORS[name],
                        label=runs[name][0]["label"] + how)  # fmt: skip
        ax.set(xlabel=what, ylim=(0, 1.02))
    axes[0].set(ylabel="accuracy after the last task")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=2,
                          loc="outside lower center")  # fmt: skip


def draw_curves(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """The meta-loss, and the learner's rates and momentum, along the meta-training."""
    for name in ("synthetic", "real", "improved", "improved-learned"):
        if name in runs and all(run["curve"] for run in runs[name]):
            points = min(len(run["curve"]) for run in runs[name])
            curve = np.mean([np.array(run["curve"])[:points, :2] for run in runs[name]], axis=0)
            axes[0].plot(curve[:, 0], curve[:, 1], lw=1, color=COLORS[name],
                         label=runs[name][0]["label"])  # fmt: skip
    axes[0].set(xlabel="meta-step", ylabel="meta-loss", ylim=(0, 2.6))
    axes[0].legend(fontsize=7)
    if "synthetic" in runs and runs["synthetic"][0]["curve"]:
        curve = np.array(runs["synthetic"][0]["curve"])
        for i, what in enumerate(["momentum", *runs["synthetic"][0]["trained"]]):
            if 2 + i < curve.shape[1]:
                axes[1].plot(curve[:, 0], curve[:, 2 + i], lw=1, label=what)
        axes[1].set(title=runs["synthetic"][0]["label"])
        axes[1].title.set_fontsize(8)
        axes[1].figure.legend(*axes[1].get_legend_handles_labels(), fontsize=7, loc="outside right")
    axes[1].set(xlabel="meta-step", ylabel="momentum, rates", yscale="log")


def draw_by_task(runs: dict[str, list[dict]], ax: Axes) -> None:
    """Accuracy at the end on each task, oldest to newest, among all classes and masked."""
    for name in ("synthetic", "real", "improved", "improved-learned"):
        if name not in runs:
            continue
        color = COLORS[name]
        for what, style in (("last", "-"), ("masked", ":")):
            values = np.concatenate([r["learners"][honest(r)][what] for r in runs[name]])
            label = runs[name][0]["label"] + (", masked" if what == "masked" else "")
            ax.plot(range(1, 1 + values.shape[1]), values.mean(0), style, marker="o", ms=4,
                    color=color, label=label)  # fmt: skip
    ax.set(xlabel="task, oldest to newest", ylabel="accuracy after the last task", ylim=(0, 1.02))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.figure.legend(fontsize=8, ncols=2, loc="outside lower center")


def controls_table(runs: dict[str, list[dict]]) -> str:
    """Every control of every run, without transduction: mean, SD and n over learners and seeds."""
    names = list(dict.fromkeys(c for some in runs.values() for c in some[0]["controls"]))
    rows = []
    for some in runs.values():
        cells = []
        for name in names:
            found = [v for r in some if name in r["controls"]
                     for v in r["controls"][name][honest(r)]]  # fmt: skip
            cells.append(common.mean_sd(found) if found else "–")
        rows.append([some[0]["label"], *cells])
    return common.markdown_table(["accuracy after the last task", *names], rows)


def tasks_table(runs: dict[str, list[dict]]) -> str:
    """Accuracy before the first task, and on each task at the end: plain / masked, honest mode."""
    rows = []
    for some in runs.values():
        last, masked = (np.concatenate([r["learners"][honest(r)][what] for r in some]).mean(0)
                        for what in ("last", "masked"))  # fmt: skip
        untrained = np.mean([r["learners"][honest(r)]["R"][0] for r in some])
        rows.append([some[0]["label"], f"{untrained:.3f}",
                     *(f"{a:.3f} / {b:.3f}" for a, b in zip(last, masked))])  # fmt: skip
    T = max(len(row) for row in rows) - 2
    header = ["plain / masked accuracy", "untrained", *(f"task {t + 1}" for t in range(T))]
    return common.markdown_table(header, rows)


def draw_cost(rows: list[dict], axes: list[Axes]) -> None:
    """Seconds and memory of a meta-step against the learner's steps, from `make bench-higher`."""
    for kind, style in (("ours", "o-"), ("higher", "s--")):
        own = [row for row in rows if row["kind"] == kind]
        for ax, what in zip(axes, ("seconds", "peak_mb")):
            ax.plot([5 * r["steps"] for r in own], [r[what] for r in own], style, ms=4, label=kind)
    for ax, what in zip(axes, ("seconds a meta-step", "peak memory of the process, MB")):
        ax.set(xlabel="the learner's steps, all tasks", ylabel=what, ylim=(0, None))
    axes[0].legend(fontsize=8)


def speed_table(bench: dict) -> str:
    """Our meta-step beside that of `higher`, on identical nets, images and steps."""
    rows = []
    ours, theirs = ([r for r in bench["rows"] if r["kind"] == k] for k in ("ours", "higher"))
    for a, b in zip(ours, theirs):
        rows.append([f"5 x {a['steps']}", f"{a['seconds']:.2f}", f"{b['seconds']:.2f}",
                     f"{b['seconds'] / a['seconds']:.2f}", f"{a['peak_mb']:.0f}",
                     f"{b['peak_mb']:.0f}"])  # fmt: skip
    env = bench["environment"]
    header = [f"the learner's steps ({env['device']}, {env['threads']} thread)", "s, ours",
              f"s, higher {env['higher']}", "ratio", "MB, ours", "MB, higher"]  # fmt: skip
    return common.markdown_table(header, rows)


def report(args: argparse.Namespace) -> None:
    """Draw every figure and table that the results in --report allow; name what is missing."""
    runs = common.read_results(args.report, "synthetic_meta")
    if not runs.keys() & RUNS.keys():
        names = ", ".join(RUNS)
        raise common.UserError(f"--report: name the results NAME-seedS.json, NAME one of {names}")
    common.check_writable(Path(args.figures) / "tables.md")
    common.name_missing(runs, RUNS, "synthetic_meta", args.report)
    runs = {name: runs[name] for name in RUNS if name in runs}
    for name, (first, *_) in runs.items():
        first["label"] = RUNS[name][2].format(**first["args"])

    def figure(file: str, draw, chosen, title: str, rows: int = 1, columns: int = 1, **size):
        fig = Figure(layout="constrained", dpi=150, **size)
        fig.suptitle(title, fontsize=10)
        draw(chosen, fig.subplots(rows, columns))
        common.save_figure(fig, Path(args.figures) / f"{file}.png")

    if all("running" in runs[name][0]["learners"] for name in ("synthetic", "real")
           if name in runs) and {"synthetic", "real"} <= runs.keys():  # fmt: skip
        figure("figure1", draw_sequence, runs, "Figure 1: accuracy on each task", 2, 2,
               figsize=(8, 6))  # fmt: skip
    for name in ("synthetic", "improved", "improved-learned"):
        if name in runs and runs[name][0]["grids"]:
            n, title = len(runs[name][0]["grids"]), f"Figure 3: {runs[name][0]['label']}"
            size = (7, 2.2 * n + 0.3)
            figure(f"figure3_{name}", draw_samples, runs[name], title, n, figsize=size)
    figure("figure4", draw_seen, runs, "Figure 4: accuracy on the classes seen so far", 1, 2,
           figsize=(9, 4.4))  # fmt: skip
    figure("figure5", draw_robustness, runs, "Figure 5: longer training, larger batches", 1, 2,
           figsize=(9, 4.6))  # fmt: skip
    figure("curves", draw_curves, runs, "Meta-training", 1, 2, figsize=(10, 3.6))
    figure("tasks", draw_by_task, runs, "Oldest to newest task, without transduction",
           figsize=(6, 4.6))  # fmt: skip
    tables = {}
    for part in ("results", "improved"):
        own = {k: v for k, v in runs.items() if ("improved" in k) == (part == "improved")}
        tables[f"synthetic_meta {part}"] = common.results_table(own, RUNS, METRICS, PAPER)
    tables |= {"synthetic_meta controls": controls_table(runs),
               "synthetic_meta tasks": tasks_table(runs)}  # fmt: skip
    if (bench := Path(args.report) / "bench.json").exists():
        bench = common.read_json(bench, ("environment", "rows"))
        title = "A meta-step of the paper's preset"
        figure("cost", draw_cost, bench["rows"], title, 1, 2, figsize=(8, 3.4))
        tables["synthetic_meta speed"] = speed_table(bench)
    text = "\n".join(f"## {name}\n\n{table}" for name, table in tables.items())
    common.write_text(Path(args.figures) / "tables.md", text)
    for name, table in tables.items() if args.readme else ():
        common.fill_between_markers(args.readme, name, table)
    print(f"figures and tables are in {args.figures}")


def main(argv: list[str] | None = None) -> None:
    """What the command line asks for: a comparison, a report or (as a rule) a training run."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv)
    if args.compare:
        table = common.comparison(*args.compare, "synthetic_meta", RUNS, METRICS, PAPER)
        return print(table, end="")
    if args.report or "--report" in argv:
        return report(args)
    common.check_writable(args.out)
    result = {"command": shlex.join(["python", "synthetic_meta.py", *argv]), **run(args)}
    common.write_result(args.out, result)
    Path(f"{args.out}.ckpt").unlink(missing_ok=True)
    print(f"ACC {result['metrics']['ACC']:.4f}, {result['timing']['wall_s']:.0f} s: {args.out}")


if __name__ == "__main__":
    common.exit_in_one_line(main)
