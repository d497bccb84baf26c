"""Synthetic data that is not forgotten (Masarczyk & Tautkute, 2020).

A classifier S (the *learner*) meets the digits two at a time, for a few steps of SGD each, and
never sees a finished task again. On real digits, says the paper, it forgets. Here a generator G
makes its data, with one aim: that a learner trained on them *in sequence* knows all ten digits at
the end. So G is trained by the learner's final loss on real images, back-propagated through every
step that the learner has taken. One update of G is a meta-step; each has a new learner and new
tasks in a new order, so G cannot fit its images to one of them. They need not look like digits, and
to the eye do not.

    z, y ─► G ─► x ─► task t_1: 5 steps ─► ... ─► task t_5: 5 steps ─► w_m ─► L(S(x_r; w_m), y_r)
            ▲         v <- μ v + ∇L(S(x; w), y),  w <- w - α v                       │
            └──────── Eq. (1): gradients through all 25 steps, for θ (and α, μ) ◄────┘

paper            here                      shape
G, θ             nets.G                    z [B, 64], y [B] -> images [B, C, H, W]
S, w             call(S, w, x), dict w     images -> logits [B, K], one head for K classes
t = t_1 ... t_n  tasks                     int64 [T, 2], T is the paper's n; random order and pairs
x_r, y_r         x_r, y_r                  real training images of all classes, --real-batch
m                T * --steps               SGD steps of the learner, 25
p = 250          --pool                    images per class of a tested learner (Deviation 5)
η                --gen-lr                  G's learning rate; Adam instead of Eq. (1)'s plain step

The deviations that matter most (the list: DEVIATIONS, at the end of this file; reasons:
docs/synthetic_meta.md): the paper gives no sizes of layers and no rates; the learner's loss is over
all ten classes, not over the two of its task; and the paper does not say which statistics BatchNorm
has when S is evaluated. We take those of the evaluated batch itself, in which all classes are about
equally frequent: BatchNorm of the logits exploits that, so forgetting looks smaller (Deviation 4).
--bn running takes running statistics instead; every result with BatchNorm holds both.

    python synthetic_meta.py --seed 0  # the paper's, on MNIST; numbers, times: RESULTS.md
    python synthetic_meta.py --preset improved --dataset glyphs --image-size 16 --train-size 5000 \\
        --test-size 2000 --meta-steps 150 --learner-seeds 4 --horizons 5 75 --batches 40
    # our preset, on small drawn digits; 40 seconds: ACC 0.79 to 0.82 in five steps per task, 0.42
    # to 0.49 on real images with the same start and rates. One core of an AMD EPYC.
"""

import argparse
import functools
import itertools
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import common  # first: it says in one line which package is missing

# isort: split
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

# --------------------------------------------------------------------------------------------
# The learner's way through the tasks (Sec. 3), each step of it differentiable
# --------------------------------------------------------------------------------------------

Tensors = dict[str, Tensor]  # by name: a learner's weights (with running statistics), their rates
Shape = tuple[int, int, int]  # of an image: C, H, W


def sgd_step(
    loss: Tensor, w: Tensors, v: Tensors, rates: Tensors, momentum: Tensor, graph: bool = True
) -> tuple[Tensors, Tensors]:
    """v <- μ v + ∇L, w <- w - α v, out of place, so that gradients flow through both.

    v has one velocity per trained tensor. w may hold more (running statistics, frozen weights),
    which stays as it is. `graph`: the gradients keep their own graph, so that second derivatives
    reach G, α and μ.
    """
    grads = torch.autograd.grad(loss, [w[name] for name in v], create_graph=graph)
    v = {name: momentum * v[name] + g for name, g in zip(v, grads)}
    w = w | {name: w[name] - rates[name] * v[name] for name in v}
    return w, v


def learn(
    S: nn.Module, w: Tensors, tasks: Tensor, batches: Iterable, rates: Tensors, momentum: Tensor,
    inner_loss: Callable, step: Callable = sgd_step,
) -> Iterator[Tensors]:
    """SGD on one task after the other; yields the weights after each. Nothing is replayed.

    tasks [T, c]: c classes each. batches: for each task the images and labels of its steps, x_t
    [steps, B, channels, H, W] and y_t [steps, B]. Only weights with a rate are trained.
    """
    v = {name: torch.zeros_like(w[name]) for name in rates}
    for task, (x_t, y_t) in zip(tasks, batches):
        S.train()  # again for each task: between yields the caller may have called S.eval()
        for x, y in zip(x_t, y_t):
            loss = inner_loss(call(S, w, x), y, task)
            w, v = step(loss, w, v, rates, momentum)
        yield w


def call(net: nn.Module, w: Tensors, x: Tensor) -> Tensor:
    """net(x; w): with the weights and running statistics that w has for it; w may hold more.

    In train mode BatchNorm updates the running statistics in w in place.
    """
    names = {name for part in (net.named_parameters(), net.named_buffers()) for name, _ in part}
    return functional_call(net, {name: v for name, v in w.items() if name in names}, (x,))


def loss_over_all(logits: Tensor, y: Tensor, task: Tensor) -> Tensor:
    """Cross entropy of logits [B, K] and labels y [B], all K classes competing (Deviation 3)."""
    return F.cross_entropy(logits, y)


# --------------------------------------------------------------------------------------------
# What each new learner is given: initial weights, images, tasks, and which images each step takes
# --------------------------------------------------------------------------------------------


@dataclass
class Data:
    """A data set on the device."""

    x: Tensor  # uint8 [N, C, H, W]
    y: Tensor  # int64 [N], classes 0 ... K - 1
    x_test: Tensor  # uint8 [M, C, H, W]
    y_test: Tensor  # int64 [M]
    K: int
    shape: Shape
    standard: Callable[[Tensor], Tensor]  # uint8 images -> float, mean 0 and standard deviation 1
    about: dict  # names, counts and checksum (common.about_data)


@dataclass
class Nets:
    """The learner's structure, and what is meta-learned: G, α, μ."""

    S: nn.Sequential  # images -> logits [B, K]; its own weights are never used: call(S, w, x)
    G: Any  # nn.Module, θ: z [B, 64], y [B] -> images [B, C, H, W]; None with another --source
    log_rates: Tensor  # [tensors of S]: α = exp(log_rates), at first --lr; [1] with --rates one
    logit_momentum: Tensor  # []: μ = sigmoid(logit_momentum), at first MOMENTUM
    # Adam's groups: "rate" is the full rate, "decays": it falls on a cosine (G: yes; α, μ: no)
    opt: torch.optim.Adam  # of G, log_rates, logit_momentum and, if learned, init
    # beyond the paper, where these are empty
    frozen: nn.Sequential  # layers below S that keep w_0 (--frozen-convs)
    init: Tensors  # the part of w_0 that is not drawn anew (--init)
    gan_pool: Any = None  # uint8 [K * p, C, H, W]: the GAN's images (--source gan)


@dataclass
class Method:
    """The parts that flags can swap (`method_of`); each comment names the paper's."""

    weights: Callable  # (shapes, device) -> w_0: initial_weights
    images: Callable  # (n, nets, data) -> [K * n, C, H, W], n of each class: generated
    tasks: Callable  # (K, c) -> [T, c]: shuffled
    rand: Callable  # numbers that choose the images of each step: torch.rand
    inner_loss: Callable  # (logits, y, task) -> []: loss_over_all


def start(nets: Nets, weights: Callable) -> Tensors:
    """w_0 of a new learner ("the learning network is replaced"), with new running statistics.

    `weights` draws all of it anew; beyond the paper, nets.init replaces a part.
    """
    device, names = nets.log_rates.device, trained(nets.S)
    w = weights(shapes_of(nets.frozen, nets.S), device)
    # w_0 is not meta-learned: sgd_step needs the learner's gradients by its weights
    w = {name: tensor.requires_grad_(name in names) for name, tensor in w.items()}
    statistics = {name: b.to(device, copy=True) for name, b in nets.S.named_buffers()}
    init = {name: tensor.view_as(tensor) for name, tensor in nets.init.items()}
    return w | init | statistics


def shapes_of(*nets: nn.Module) -> dict[str, torch.Size]:
    """Of their weights, by name."""
    return {name: p.shape for net in nets for name, p in net.named_parameters()}


def trained(S: nn.Sequential) -> list[str]:
    """The names of the tensors that SGD trains."""
    return [name for name, _ in S.named_parameters()]


def generated(n: int, nets: Nets, data: Data) -> Tensor:
    """n images of each class from G, [K * n, C, H, W], by class, in one call.

    G stays in train mode, in the test, too: its BatchNorm sees all K classes at once (Deviation 5).
    """
    y = labels(n, data)
    z = torch.randn(len(y), LATENT, device=y.device)
    return nets.G(z, y)  # x = G(z, y_ij)


def labels(n: int, data: Data) -> Tensor:
    """n times 0, n times 1 ...: int64 [K * n]."""
    return torch.arange(data.K, device=data.y.device).repeat_interleave(n)


def shuffled(K: int, c: int) -> Tensor:
    """tasks [T, c]: all K classes in random order and pairing ("we shuffle order of tasks")."""
    return torch.randperm(K).view(-1, c)


def draw_batches(
    tasks: Tensor, n: int, steps: int, batch_size: int, rand: Callable = torch.rand
) -> Tensor:
    """Which images each step takes: int64 [T, steps, B], rows of a pool [K * n], by class.

    Every batch holds equally many images of each of the task's classes, if possible none twice.
    """
    T, c = tasks.shape
    each, device = batch_size // c, tasks.device
    if steps * each <= n:  # always so in meta-training
        # argsort of uniform numbers: a random permutation of each class's n images
        chosen = rand(T, c, n, device=device).argsort(2)[..., : steps * each]
    elif each <= n:  # in longer tests: a class has too few for the task, repeats between batches
        chosen = rand(T, c, steps, n, device=device).argsort(3)[..., :each]
    else:  # ... even within one
        chosen = torch.randint(n, (T, c, steps, each), device=device)
    # image i of class k is row k * n + i of the pool
    rows = tasks[:, :, None, None] * n + chosen.reshape(T, c, steps, each)  # [T, c, steps, each]
    return rows.transpose(1, 2).reshape(T, steps, batch_size)  # [T, steps, c * each]


def hyperparameters(nets: Nets) -> tuple[Tensors, Tensor]:
    """α, the learner's rates by tensor name (Deviation 2), and μ, its momentum."""
    names = trained(nets.S)
    rates = nets.log_rates.expand(len(names)).exp()  # [tensors of S], 9 of conv_learner
    return dict(zip(names, rates.unbind())), torch.sigmoid(nets.logit_momentum)


# --------------------------------------------------------------------------------------------
# The meta-training (Sec. 3): the meta-loss of Eq. (1), and its step
# --------------------------------------------------------------------------------------------

CLIP = 1.0  # largest norm of a parameter group's meta-gradient (Deviation 1)
MAX_LR = 0.3  # the learner's rates are at most this in meta-training (Deviation 2)
MOMENTUM = 0.7  # μ before meta-training


def meta_loss(nets: Nets, data: Data, method: Method, args: argparse.Namespace) -> Tensor:
    """L(S(x_r; w_m), y_r) of Eq. (1): a number, with the graph back to G, α and μ."""
    # 100 images per class: 5 steps of 20, each used once. The paper makes p = 250 and draws; we
    # make only what is used (Deviation 5).
    n = args.steps * args.batch_size // args.classes_per_task
    w_0 = start(nets, method.weights)
    x, y = method.images(n, nets, data), labels(n, data)  # [K * n, C, H, W] and [K * n], by class
    chosen = torch.randint(len(data.y), (args.real_batch,), device=data.y.device)
    x_r, y_r = data.standard(data.x[chosen]), data.y[chosen]
    x, x_r = call(nets.frozen, w_0, x), call(nets.frozen, w_0, x_r)  # the paper: x, x_r as they are

    tasks = method.tasks(data.K, args.classes_per_task).to(x.device)  # [T, c]
    rows = draw_batches(tasks, n, args.steps, args.batch_size, method.rand)  # [T, steps, B]
    batches = zip(x[rows], y[rows])  # for each task [steps, B, C, H, W], [steps, B]
    # learn yields the weights after each task; the last are w_m.
    *_, w_m = learn(nets.S, w_0, tasks, batches, *hyperparameters(nets), method.inner_loss)
    # w_m is not trained further: in train mode BatchNorm takes x_r's own mean and variance, that
    # is all (Deviation 4).
    nets.S.train(args.bn != "running")
    return F.cross_entropy(call(nets.S, w_m, x_r), y_r)


def update(nets: Nets, loss: Tensor, step: int, args: argparse.Namespace) -> Tensor:
    """θ <- θ - η ∇_θ L (Eq. 1), by Adam with a falling η (Deviation 1); log α, logit μ likewise,
    with a constant one.

    Returns the loss, or NaN if a gradient is not finite.
    """
    nets.opt.zero_grad()
    loss.backward()  # through all m steps of the learner
    decay, norms = (1 + math.cos(math.pi * step / args.meta_steps)) / 2, []
    for group in nets.opt.param_groups:
        group["lr"] = group["rate"] * (decay if group["decays"] else 1.0)
        norms.append(nn.utils.clip_grad_norm_(group["params"], CLIP))
    nets.opt.step()
    with torch.no_grad():  # Deviation 2
        nets.log_rates.clamp_(max=math.log(MAX_LR))
    return torch.where(torch.stack(norms).isfinite().all(), loss.detach(), math.nan)


def meta_train(
    nets: Nets, data: Data, record: "Record", method: Method, args: argparse.Namespace,
    run: common.Run,
) -> None:
    """Train G, α and μ, at each step with a new learner and a new order of the tasks.

    The test of Sec. 4 (what a new learner knows after each task): `new_learner`, below.
    """
    show(nets, data, method, 0, record, args)
    # 0 ... meta_steps - 1; a checkpoint keeps nets and record, so that a killed run goes on
    for step in run.epochs("meta-training", args.meta_steps, "step", nets=nets, record=record):
        loss = meta_loss(nets, data, method, args)  # L(S(x_r; w_m), y_r), after m steps of SGD
        loss = update(nets, loss, step, args)  # Eq. (1): θ <- θ - η ∇_θ L
        note(nets, loss, step + 1, record, args, run)  # the curve
        show(nets, data, method, step + 1, record, args)  # Figure 3


# --------------------------------------------------------------------------------------------
# The nets, and a learner's initial weights (Sec. 4; sizes: Deviation 1)
# --------------------------------------------------------------------------------------------

LATENT = 64  # numbers in z
HIDDEN = 256  # units of G's first layer


class Generator(nn.Module):
    """G: two linear, two transposed convolutional layers, each with BatchNorm (GAN: last tanh)."""

    def __init__(self, shape: Shape, K: int, width: int, last: nn.Module):
        """`width`: channels at a quarter of the size; `last`: BatchNorm, or the GAN's tanh."""
        super().__init__()
        (C, H, W), half, self.K = shape, width // 2, K
        small = width * (H // 4) * (W // 4)
        self.net = nn.Sequential(
            nn.Linear(LATENT + K, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.LeakyReLU(0.1),
            nn.Linear(HIDDEN, small), nn.BatchNorm1d(small), nn.LeakyReLU(0.1),
            nn.Unflatten(1, (width, H // 4, W // 4)),
            nn.ConvTranspose2d(width, half, 4, 2, 1), nn.BatchNorm2d(half), nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(half, C, 4, 2, 1), last,
        )  # fmt: skip

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """z [B, 64], y [B] -> [B, C, H, W]. The "class indicator": one-hot beside the noise."""
        return self.net(torch.cat([z, F.one_hot(y, self.K).to(z.dtype)], dim=1))


def conv_learner(
    shape: Shape, K: int, channels: tuple[int, int], norm2d: Callable, norm1d: Callable
) -> nn.Sequential:
    """S: two convolutions and a linear layer, "followed by a batch normalisation layer" each.

    Only the structure is used, see `call`. norm2d, norm1d: torch's BatchNorm, or RunningNorm.
    """
    (C, H, W), (a, b) = shape, channels  # 16 and 32
    size = b * -(-H // 4) * -(-W // 4)  # two strides of 2, rounded up: 1568
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(C, a, 3, 2, 1, bias=False), norm1=norm2d(a), relu1=nn.ReLU(),
        conv2=nn.Conv2d(a, b, 3, 2, 1, bias=False), norm2=norm2d(b), relu2=nn.ReLU(),
        flat=nn.Flatten(), fc=nn.Linear(size, K, bias=False), norm3=norm1d(K),
    ))  # fmt: skip


def kaiming(shape: torch.Size, device: torch.device, scale: float = 1.0) -> Tensor:
    """Kaiming's normal weights for ReLU, times `scale`."""
    return scale * math.sqrt(2 / math.prod(shape[1:])) * torch.randn(shape, device=device)


def initial_weights(
    shapes: dict[str, torch.Size], device: torch.device, filters: Callable = kaiming,
    last: float = 0.1, bias: float = 0.0,
) -> Tensors:
    """Convolutions by `filters`; linear layers by kaiming, the last one times `last`.

    `bias`: of the last layer of improved_learner; the paper's has none.
    """
    w: Tensors = {}
    linear = [name for name, shape in shapes.items() if len(shape) == 2]
    for name, shape in shapes.items():
        if len(shape) == 4:
            w[name] = filters(shape, device)
        elif len(shape) == 2:
            w[name] = kaiming(shape, device, last if name == linear[-1] else 1.0)
        else:  # gains are 1, shifts and biases 0
            w[name] = torch.full(shape, float("norm" in name and "weight" in name), device=device)
    if "fc.bias" in w:
        w["fc.bias"] += bias
    return w


# --------------------------------------------------------------------------------------------
# Beyond the paper's own method: other losses, orders and learners
# --------------------------------------------------------------------------------------------


def loss_over_task(logits: Tensor, y: Tensor, task: Tensor) -> Tensor:
    """Cross entropy over the task's own classes, task [c], all that y [B] holds (Deviation 3)."""
    return F.cross_entropy(logits[:, task], (y[:, None] == task).to(logits.dtype))


def loss_of_each(logits: Tensor, y: Tensor, task: Tensor) -> Tensor:
    """A binary cross entropy for each of the task's classes, so that none depends on the others."""
    target = (y[:, None] == task).to(logits.dtype)  # [B, c], one-hot
    return F.binary_cross_entropy_with_logits(logits[:, task], target) * len(task)


def in_order(K: int, c: int) -> Tensor:
    """tasks [T, c]: always the same."""
    return torch.arange(K).view(-1, c)


def fixed_noise(n: int, nets: Nets, data: Data) -> Tensor:
    """As `generated`, but each class has the same n images for every learner: a fixed curriculum.

    GTN (Such et al. 2020) learns its noise, too.
    """
    z = torch.randn(n, data.K, LATENT, generator=torch.Generator().manual_seed(0)).transpose(0, 1)
    return nets.G(z.reshape(-1, LATENT).to(data.y.device), labels(n, data))


def in_turn(*shape: int, device: torch.device) -> Tensor:
    """0, 1, 2 ... in place of random numbers: each step takes the images after the last step's.

    If the class has too few, every step takes its first ones; a batch above n is random.
    """
    return torch.arange(math.prod(shape), device=device).view(shape)


RATE = 0.1  # of BatchNorm's running statistics


class RunningNorm(nn.BatchNorm2d):
    """BatchNorm of [B, c] or [B, c, H, W] whose running statistics autograd can look through.

    torch takes them for constants, but in a meta-gradient they are not: they depend on the
    learner's images and weights, and these on G. Its formulas and its rate of 0.1.
    """

    running_mean: Tensor  # [c]
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            var, mean = torch.var_mean(x, [0, *range(2, x.ndim)])  # [c], [c]
            self.running_mean.mul_(1 - RATE).add_(mean, alpha=RATE)
            self.running_var.mul_(1 - RATE).add_(var, alpha=RATE)
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True)
        gain = self.weight * torch.rsqrt(self.running_var + self.eps)  # [c]
        shift = self.bias - gain * self.running_mean
        shape = (1, -1, *[1] * (x.ndim - 2))
        return x * gain.view(shape) + shift.view(shape)


def improved_learner(shape: Shape, K: int, channels: tuple[int, int]) -> nn.Sequential:
    """S that normalises each image by itself, behind ReLU: features without a common offset."""
    (C, H, W), (a, b) = shape, channels
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(C, a, 3, 2, 1, bias=False), relu1=nn.ReLU(), norm1=nn.GroupNorm(1, a),
        conv2=nn.Conv2d(a, b, 3, 2, 1, bias=False), relu2=nn.ReLU(), norm2=nn.GroupNorm(1, b),
        flat=nn.Flatten(), fc=nn.Linear(b * -(-H // 4) * -(-W // 4), K),
    ))  # fmt: skip


def mirrored_filters(shape: torch.Size, device: torch.device) -> Tensor:
    """Filters [c, ...] as long as Kaiming's: half are orthogonal, half their negatives.

    If filters cover all directions evenly, two random nets answer alike, and one synthetic image
    teaches both about the same.
    """
    c, fan = shape[0], math.prod(shape[1:])
    blocks = [torch.linalg.qr(torch.randn(fan, fan))[0] for _ in range(-(-c // 2 // fan))]
    half = torch.cat(blocks)[: -(-c // 2)] * math.sqrt(2)  # rows of length sqrt(2)
    return torch.cat([half, -half])[:c].view(shape).to(device)


def mlp_learner(shape: Shape, K: int) -> nn.Sequential:
    """The "simple fully connected network" of Figure 4 (Kemker et al. 2017)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 400), nn.ReLU(),
                         nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, K))  # fmt: skip


def through_frozen(nets: Nets, w: Tensors, x: Tensor, data: Data) -> tuple[Callable, Data]:
    """What S sees of a pool x [K * n, ...], as a function of rows, and of the test images.

    Frozen layers are the same from the first task to the last, so their features are computed
    once (of pools above 10,000 images, at each step).
    """
    features = torch.no_grad()(functools.partial(call, nets.frozen, w))
    parts = [features(data.standard(part)) for part in data.x_test.split(2000)]
    data = replace(data, x_test=torch.cat(parts), standard=lambda x: x)
    if len(x) <= 10_000:
        return features(x).__getitem__, data
    return lambda rows: features(x[rows]), data  # a batch at a time, to save memory


# --------------------------------------------------------------------------------------------
# Beyond the paper's own method: real images, and the conditional GAN of Figure 4
# --------------------------------------------------------------------------------------------


def real(n: int, nets: Nets, data: Data) -> Tensor:
    """n real images of each class, standardised, [K * n, C, H, W], by class."""
    return drawn(n, data.x, data.y, data)


def of_gan(n: int, nets: Nets, data: Data) -> Tensor:
    """n of the GAN's images of each class, standardised, [K * n, C, H, W], by class."""
    return drawn(n, nets.gan_pool, labels(len(nets.gan_pool) // data.K, data), data)


def drawn(n: int, x: Tensor, y: Tensor, data: Data) -> Tensor:
    """n images of each class at random from x uint8 [N, C, H, W] with labels y [N]."""
    chosen, every = [], torch.arange(n, device=x.device)
    for c in range(data.K):
        own = common.indices_of(y, [c])
        chosen.append(own[torch.randperm(len(own), device=x.device)[every % len(own)]])
    return data.standard(x[torch.cat(chosen)])  # [K * n, C, H, W]


class Discriminator(nn.Module):
    """images [B, C, H, W], y [B] -> score [B], high for real (Miyato & Koyama 2018, Eq. 4)."""

    def __init__(self, shape: Shape, K: int, width: int = 64):
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


def gan_images(data: Data, args: argparse.Namespace, run: common.Run) -> Tensor:
    """Train the GAN; "sample 250 samples per each class" (Sec. 4), once, for all learners.

    uint8 [K * p, C, H, W], by class.
    """
    G = Generator(data.shape, data.K, args.gen_width, nn.Tanh()).to(data.x.device)
    D = Discriminator(data.shape, data.K).to(data.x.device)
    opt_G, opt_D = (torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.999))
                    for net in (G, D))  # β1 = 0.5 as in DCGAN (Radford et al. 2016)  # fmt: skip
    for _ in run.epochs("GAN", 4, G=G, D=D, opt_G=opt_G, opt_D=opt_D):
        train_gan(G, D, opt_G, opt_D, data)
    z = torch.randn(data.K * args.pool, LATENT, device=data.y.device)
    with torch.no_grad():
        x = G.eval()(z, labels(args.pool, data))  # in [-1, 1]
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def train_gan(
    G: nn.Module, D: nn.Module, opt_G: torch.optim.Adam, opt_D: torch.optim.Adam, data: Data
) -> None:
    """One epoch on all real images, non-saturating loss."""
    for index in torch.randperm(len(data.x), device=data.x.device).split(64):
        if len(index) == 1:  # BatchNorm needs two
            continue
        x, y = data.x[index].float() / 127.5 - 1, data.y[index]
        fake = G(torch.randn(len(y), LATENT, device=y.device), y)
        loss = F.softplus(-D(x, y)).mean() + F.softplus(D(fake.detach(), y)).mean()
        opt_D.zero_grad()
        loss.backward()
        opt_D.step()
        opt_G.zero_grad()
        F.softplus(-D(fake, y)).mean().backward()
        opt_G.step()


def judge(pool: Tensor, data: Data) -> dict[str, float]:
    """A classifier trained on real images for two epochs: is it accurate, does it agree with G?

    Returns {"accuracy": on test images, "agreement": on the GAN's pool [K * n, ...], by class}.
    """
    C, H, W = data.shape
    net = nn.Sequential(
        nn.Conv2d(C, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(64 * -(-H // 4) * -(-W // 4), data.K),
    ).to(data.x.device)  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(2):
        for index in torch.randperm(len(data.x), device=data.x.device).split(64):
            loss = F.cross_entropy(net(data.standard(data.x[index])), data.y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def agrees(x: Tensor, y: Tensor) -> float:
        """With labels y [N] of images x uint8 [N, C, H, W]: a share."""
        one_task = torch.zeros(data.K, dtype=torch.int64)
        return common.accuracy_by_task(lambda b: net(data.standard(b)), x, y, one_task)[0]

    return {"accuracy": agrees(data.x_test, data.y_test),
            "agreement": agrees(pool, labels(len(pool) // data.K, data))}  # fmt: skip


# --------------------------------------------------------------------------------------------
# The run's test: new learners, of seeds of their own, on test images (Figs. 1, 4, 5)
# --------------------------------------------------------------------------------------------


def modes(args: argparse.Namespace, controls: bool = False) -> list[str]:
    """The statistics that BatchNorm has when a learner is tested, --bn's first (Deviation 4).

    "batch": those of the test batch. "running": the learner's moving mean. `controls`: also "mean",
    the plain mean over its batches, "own", those of its own images of the classes looked at, and
    "all", those of test batches that hold all classes.
    """
    if args.bn == "none" or args.source == "mlp":
        return ["none"]
    both = [args.bn, "running" if args.bn == "batch" else "batch"]
    return [*both, "mean", "own", "all"] if controls else both


def new_learner(
    seed: int, nets: Nets, data: Data, method: Method, args: argparse.Namespace,
    each_task: bool = False,
) -> tuple[dict[str, list], dict[str, list]]:
    """Train and test one learner; two dicts by mode of BatchNorm: R [T + 1, T], and the accuracies
    at the end if it is told which task an image is from [T].

    Without `each_task` there is only R's last row, [1, T]. R: on task j after task i, row 0 of the
    untrained net. Images, weights, tasks and batches are drawn from `seed`.
    """
    x, y = pool(args.pool, seed, nets, data, method), labels(args.pool, data)
    torch.manual_seed(seed)
    S, w_0 = nets.S, start(nets, method.weights)
    w_0 = {name: v.detach().requires_grad_(name in trained(S)) for name, v in w_0.items()}
    tasks = method.tasks(data.K, args.classes_per_task).to(x.device)  # [T, c]
    rows = draw_batches(tasks, args.pool, args.steps, args.batch_size, method.rand)
    take, data = through_frozen(nets, w_0, x, data)  # the paper: x as it is
    batches = ((map(take, of_task), y[of_task]) for of_task in rows)
    plain = PlainMean(running(w_0))
    way = learn(S, w_0, tasks, batches, *hyperparameters(nets), method.inner_loss, plain.step)

    R: dict[str, list] = {}
    for seen, w in enumerate(itertools.chain([w_0], way)):  # w after `seen` tasks
        if each_task or seen == len(tasks):
            for mode in modes(args, controls=each_task):
                w_mode = plain.put_into(w) if mode == "mean" else w
                R.setdefault(mode, []).append(accuracies(S, w_mode, data, tasks, mode, seen, x))
    told = modes(args) if each_task else []
    return R, {mode: accuracies(S, w, data, tasks, mode, seen, x, masked=True) for mode in told}


@torch.no_grad()
def accuracies(
    S: nn.Module, w: Tensors, data: Data, tasks: Tensor, mode: str, seen: int, x: Tensor,
    masked: bool = False,
) -> list[float]:
    """Accuracy on each task [T], among all K classes; `masked`: among the task's own.

    Seen and unseen classes are tested in separate batches, as in Fig. 4; with batch statistics this
    changes the answers. With `masked` each task has its own. x [K * p, ...]: the learner's images.
    """
    w = {name: v.clone() if "running" in name else v for name, v in w.items()}
    every, out = list(range(len(tasks))), []
    groups = [every] if mode == "all" else [every[:seen], every[seen:]]
    for group in filter(None, [[t] for t in every] if masked else groups):
        classes = tasks[group].flatten()
        rows = common.indices_of(data.y_test, classes.tolist())
        others = torch.ones(data.K, dtype=torch.bool, device=rows.device)
        others[classes] = False
        w_group = put_own(w, S, x, classes, data) if mode == "own" else w
        S.train(mode in ("batch", "all"))

        def logits(batch: Tensor, others: Tensor = others, w: Tensors = w_group) -> Tensor:
            scores = call(S, w, data.standard(batch))
            return scores.masked_fill(others, -math.inf) if masked else scores

        owner = torch.zeros(data.K, dtype=torch.int64)
        owner[tasks[group].cpu()] = torch.arange(len(group))[:, None]  # of each class: its task
        size = 2000 if len(rows) % 2000 != 1 else 1999  # a batch of one has no statistics
        out += common.accuracy_by_task(logits, data.x_test[rows], data.y_test[rows], owner, size)
    return out


@torch.no_grad()
def pool(n: int, seed: int, nets: Nets, data: Data, method: Method) -> Tensor:
    """The images of one learner, [K * n, C, H, W], by class."""
    # Not the numbers that the learner's weights come from. (2**32 gives the same: a CPU's generator
    # takes seeds modulo 2**32.)
    torch.manual_seed(seed + 2**31)
    return method.images(n, nets, data)


def test_seeds(args: argparse.Namespace) -> list[int]:
    """Of the learners that are tested."""
    return [10_000 * (args.seed + 1) + i for i in range(args.learner_seeds)]


def evaluate(nets: Nets, data: Data, method: Method, args: argparse.Namespace) -> dict:
    """What the figures and tables need, from new learners.

    R [T + 1, T] is the mean over the learners, its columns the tasks in the order they were met.
    Forgetting is computed for each learner, then averaged: from the mean R it comes out too low.
    """
    seeds, learners = test_seeds(args), dict[str, dict[str, list]]()
    tested = [new_learner(seed, nets, data, method, args, each_task=True) for seed in seeds]
    for mode in tested[0][0]:
        R = np.array([one[mode] for one, _ in tested])  # [learners, T + 1, T]
        learners[mode] = {
            "R": R.mean(0).tolist(), "last": R[:, -1].tolist(),
            "seen": [[float(np.mean(row[: t + 1])) for t, row in enumerate(r[1:])] for r in R],
            "masked": [masked[mode] for _, masked in tested if mode in masked],
            "forgetting": [common.forgetting(r) for r in R.tolist()],
        }  # fmt: skip

    half = -(-len(seeds) // 2)  # of the learners, for all else: it is the long part

    def again(most: int = half, nets: Nets = nets, method: Method = method, **flags: Any) -> dict:
        """Final accuracies of learners that differ in one thing: lists over learners, by mode."""
        other = argparse.Namespace(**vars(args) | flags)
        R = [new_learner(seed, nets, data, method, other)[0] for seed in seeds[: min(most, half)]]
        return {mode: [float(np.mean(one[mode][-1])) for one in R] for mode in modes(args)}

    same = {mode: [float(np.mean(last)) for last in learners[mode]["last"][:half]]
            for mode in modes(args)}  # fmt: skip
    return {
        "R": learners[modes(args)[0]]["R"], "learners": learners,
        "by_steps": {str(m): same if m == args.steps else again(steps=m) for m in args.horizons},
        "by_batch": {str(b): same if b == args.batch_size else again(batch_size=b)
                     for b in args.batches},
        "controls": controls(again, nets, data, method, args),
        "scenarios": scenarios(again, nets, data, args),
    }  # fmt: skip


def controls(
    again: Callable, nets: Nets, data: Data, method: Method, args: argparse.Namespace
) -> dict:
    """What else could explain a result: `again` tests learners that differ in what it is given."""

    def joint(n: int) -> dict:
        """What the sequence costs: one pass over n images per class, all classes in every batch."""
        together = replace(method, tasks=lambda K, c: in_order(K, K))
        size = max(data.K, args.batch_size // data.K * data.K)
        return again(method=together, steps=max(1, data.K * n // size), batch_size=size, pool=n)

    out = {
        "fixed order": again(method=replace(method, tasks=in_order)),
        "as many images and steps, shuffled":
            joint(args.steps * args.batch_size // args.classes_per_task),
        "one pass, shuffled": joint(args.pool),
    }  # fmt: skip
    if args.order != "random":
        out["random order"] = again(method=replace(method, tasks=shuffled))
    if args.init == "fixed":
        out["new initial weights"] = again(nets=replace(nets, init={}))
    if args.source == "synthetic":
        on_real, most = replace(method, images=real), max(args.horizons)
        name = "real images, same start and rates"
        out[name] = again(method=on_real)
        out[f"{name}, {most} steps a task"] = again(method=on_real, steps=most)
    if args.source in ("real", "mlp"):
        n = int(data.y.bincount().min())  # images of the smallest class
        steps = max(1, n * args.classes_per_task // args.batch_size)
        out["an epoch a task"] = again(3, steps=steps, pool=n)
    return out


def scenarios(again: Callable, nets: Nets, data: Data, args: argparse.Namespace) -> dict:
    """Learners that nothing was trained for; and the most steps and images at once."""
    μ = torch.sigmoid(nets.logit_momentum)
    changed = {
        "half the rates": replace(nets, log_rates=nets.log_rates - math.log(2)),
        "twice the rates": replace(nets, log_rates=nets.log_rates + math.log(2)),
        "no momentum, rates / (1 - μ)": replace(
            nets, log_rates=nets.log_rates - (1 - μ).log(), logit_momentum=μ - math.inf),
    }  # fmt: skip
    if args.init == "fresh" and args.source != "mlp":
        wider = argparse.Namespace(**vars(args) | {"channels": [2 * c for c in args.channels]})
        frozen, S = learner_of(data, wider)
        changed["twice the channels"] = replace(nets, S=S, frozen=frozen)
    out = {name: again(nets=other) for name, other in changed.items()}
    most = again(3, steps=max(args.horizons), batch_size=max(args.batches))
    return out | {"most steps and images": most}


# --------------------------------------------------------------------------------------------
# The run's test: other statistics in BatchNorm's place (Deviation 4)
# --------------------------------------------------------------------------------------------


def running(w: Tensors) -> Tensors:
    """A copy of the running statistics in w."""
    return {name: v.detach().clone() for name, v in w.items() if "running" in name}


def of_batch(before: Tensors, after: Tensors) -> Tensors:
    """The statistics of a batch, from the running ones before and after it."""
    return {name: (after[name] - (1 - RATE) * before[name]) / RATE for name in before}


@dataclass
class PlainMean:
    """The mean of BatchNorm's statistics over all batches so far, each weighing the same.

    Running ones are a moving mean: after 25 steps the last five, the last task's, are 41 % of it.
    """

    last: Tensors  # running statistics after the last step
    total: Tensors = field(default_factory=dict)
    batches: int = 0

    def step(
        self, loss: Tensor, w: Tensors, v: Tensors, rates: Tensors, momentum: Tensor
    ) -> tuple[Tensors, Tensors]:
        """`sgd_step` without a graph: what lies behind is cut off. w has just met the batch."""
        now = running(w)
        own = of_batch(self.last, now)
        self.total = {name: own[name] + self.total.get(name, 0.0) for name in own}
        self.last, self.batches = now, self.batches + 1
        w, v = sgd_step(loss, w, v, rates, momentum, graph=False)
        w = {name: value.detach().requires_grad_(name in v) for name, value in w.items()}
        return w, {name: value.detach() for name, value in v.items()}

    def put_into(self, w: Tensors) -> Tensors:
        """w with the mean in place of the running statistics."""
        return w | {name: s / self.batches for name, s in self.total.items()}


def put_own(w: Tensors, S: nn.Module, x: Tensor, classes: Tensor, data: Data) -> Tensors:
    """w with the statistics of the learner's own images x [K * n, ...] of some classes [c]."""
    of_classes = x.view(data.K, -1, *x.shape[1:])[classes].flatten(0, 1)  # [c * n, ...]
    S.train()
    after = w | running(w)
    call(S, after, of_classes)
    return w | of_batch(running(w), after)


# --------------------------------------------------------------------------------------------
# The run: data in, result out
# --------------------------------------------------------------------------------------------

BIAS = -3.0  # the last layer's before training with loss_of_each, where most answers are no
SHOWN = 3  # images of each class in Figure 3


@dataclass
class Record:
    """What becomes JSON, and what it is made from."""

    curve: list = field(default_factory=list)  # rows of [meta-step, meta-loss, μ, α ...]
    grids: list = field(default_factory=list)  # [meta-step, images of each class]
    judge: dict = field(default_factory=dict)  # of the GAN's images
    losses: list = field(default_factory=list)  # meta-losses since the last row of the curve


def method_of(args: argparse.Namespace) -> Method:
    """What the flags exchange."""
    made = fixed_noise if args.order == "curriculum" else generated
    return Method(
        weights=functools.partial(
            initial_weights, filters=mirrored_filters if args.bn == "none" else kaiming,
            # With frozen features the last layer starts at 0: no symmetry would need breaking.
            last=0.0 if args.frozen_convs else 0.1, bias=BIAS if args.inner_loss == "each" else 0.0,
        ),
        images={"synthetic": made, "gan": of_gan}.get(args.source, real),
        tasks=shuffled if args.order == "random" else in_order,
        rand=in_turn if args.order == "curriculum" else torch.rand,
        inner_loss={"all": loss_over_all, "task": loss_over_task,
                    "each": loss_of_each}[args.inner_loss],
    )  # fmt: skip


def learner_of(data: Data, args: argparse.Namespace) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers that --frozen-convs freezes, and S."""
    if args.source == "mlp":
        whole = mlp_learner(data.shape, data.K)
    elif args.bn == "none":
        whole = improved_learner(data.shape, data.K, args.channels)
    else:
        norms = {"batch": (nn.BatchNorm2d, nn.BatchNorm1d), "running": (RunningNorm, RunningNorm)}
        whole = conv_learner(data.shape, data.K, args.channels, *norms[args.bn])
    cut = 3 * args.frozen_convs  # a block is convolution, normalisation, ReLU
    return whole[:cut].to(data.x.device), whole[cut:].to(data.x.device)


def make_nets(data: Data, method: Method, args: argparse.Namespace) -> Nets:
    """Untrained nets, and what else is learned as it begins."""
    device = data.x.device
    frozen, S = learner_of(data, args)
    n_rates = len(trained(S)) if args.rates == "tensor" else 1
    log_rates = torch.full((n_rates,), math.log(args.lr), device=device).requires_grad_()
    momentum = torch.tensor(math.log(MOMENTUM / (1 - MOMENTUM)), device=device).requires_grad_()
    groups = [{"params": [log_rates, momentum], "rate": args.hyper_lr, "decays": False}]
    G = None
    if args.source == "synthetic":
        G = Generator(data.shape, data.K, args.gen_width, nn.BatchNorm2d(data.shape[0])).to(device)
        groups.append({"params": list(G.parameters()), "rate": args.gen_lr, "decays": True})
    init: Tensors = {}
    if args.init != "fresh":
        init = method.weights(shapes_of(frozen, S), device)
        init = {name: v.requires_grad_() for name, v in init.items()}
    if args.init == "learned":  # but for the last layer: no class is known
        init = {name: v for name, v in init.items() if not name.startswith(("fc", "norm3"))}
        groups.append({"params": list(init.values()), "rate": 2e-3, "decays": True})
    opt = torch.optim.Adam(groups, betas=(0.9, 0.99))
    return Nets(S, G, log_rates, momentum, opt, frozen, init)


def load_data(args: argparse.Namespace, device: torch.device) -> Data:
    """The data set on the device; UserError where it does not fit the flags."""
    data = common.load_chosen(args)
    K, shape = len(data.classes), data.shape
    if shape[1] % 4 or shape[2] % 4:
        size = f"{shape[1]}x{shape[2]}"
        raise common.Unfit(f"G needs sides that 4 divides, not {size}: --image-size")
    if K % args.classes_per_task or args.classes_per_task == K:
        raise common.Unfit(f"--classes-per-task must divide the {K} classes into two tasks or more")
    images: list[Tensor] = []
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        if (y.diff() >= 0).all():  # folders come class by class: a batch should hold all classes
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
            x, y = x[order], y[order]
        images += [x.to(device), y.to(device)]
    x, y, x_test, y_test = images
    pixels = x[:10_000].float() / 255
    mean, sd = pixels.mean(), pixels.std()
    standard = functools.partial(standardised, mean=mean, sd=sd)
    return Data(x, y, x_test, y_test, K, shape, standard, common.about_data(data))


def standardised(x: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """uint8 images -> float; mean [], standard deviation sd [] of training pixels, 0 to 1."""
    return (x.float() / 255 - mean) / sd


def note(
    nets: Nets, loss: Tensor, step: int, record: Record, args: argparse.Namespace, run: common.Run
) -> None:
    """Every 10 steps a row of the curve, with the mean meta-loss; RunError if that is NaN."""
    record.losses.append(loss)
    if step % 10 and step != args.meta_steps:
        return
    mean = torch.stack(record.losses).mean().item()
    record.losses.clear()
    run.check_finite("lower --gen-lr or --lr", mean)
    rates, momentum = hyperparameters(nets)
    record.curve.append([step, mean, momentum.item(), *(rate.item() for rate in rates.values())])


@torch.no_grad()
def show(
    nets: Nets, data: Data, method: Method, step: int, record: Record, args: argparse.Namespace
) -> None:
    """Figure 3 at the beginning, on the way and at the end: SHOWN of G's images of every class.

    Takes no random numbers from the run.
    """
    n = args.meta_steps
    if nets.G is None or step not in {0, n // 20, n // 4, n}:
        return
    was = common.rng_state(data.x.device)
    torch.manual_seed(args.seed)
    x = method.images(20, nets, data)  # more than are shown, for G's batch statistics
    common.set_rng_state(was, data.x.device)
    x = x.view(data.K, -1, *data.shape)[:, :SHOWN].flatten(0, 1)
    record.grids.append([step, common.pack_images(visible(x))])


def visible(x: Tensor) -> Tensor:
    """Standardised images as bytes: 0 and 255 are -2 and 2 deviations."""
    return ((x + 2) * 63.75).round().clamp(0, 255).to(torch.uint8)


def honest(run: dict) -> str:
    """The mode in which an answer does not depend on the other test images."""
    return next(mode for mode in ("none", "running") if mode in run["learners"])


def metrics_of(tested: dict, args: argparse.Namespace) -> dict:
    """Means over the learners. R's metrics and forgetting use the statistics that --bn names, all
    others running statistics, or none."""
    mode, learners = honest(tested), tested["learners"]
    out = common.summarise(tested["R"]) | {
        "forgetting": np.mean(learners[modes(args)[0]]["forgetting"]),
        "no transduction": np.mean(learners[mode]["last"]),
        "masked": np.mean(learners[mode]["masked"]),
        "longest": np.mean(tested["by_steps"][str(max(args.horizons))][mode]),
        "one pass, shuffled": np.mean(tested["controls"]["one pass, shuffled"][mode]),
    }
    if on_real := tested["controls"].get("real images, same start and rates"):
        out["on real images"] = np.mean(on_real[mode])
    return {name: np.asarray(value).tolist() for name, value in out.items()}


def quality(nets: Nets, data: Data, method: Method, args: argparse.Namespace) -> dict:
    """How like real images are G's? On the real ones' scale of grey (common.memory_quality)."""
    mean, sd = data.standard.keywords.values()  # type: ignore[attr-defined]
    x = pool(args.pool, args.seed, nets, data, method) * sd + mean  # [K * p, C, H, W]
    generated = (x * 255).round().clamp(0, 255).to(torch.uint8), labels(args.pool, data)
    one_task = torch.zeros(data.K, dtype=torch.int64)
    return common.memory_quality(generated, (data.x, data.y), (data.x_test, data.y_test), one_task,
                                 args.seed)  # fmt: skip


def run(args: argparse.Namespace) -> dict:
    """Meta-train, then test new learners; the result, but for what common.carry_out adds."""
    device, environment = common.start(args)
    data = load_data(args, device)
    names = [data.about["classes"]]
    common.tell_classes(names)
    method, record = method_of(args), Record()
    nets = make_nets(data, method, args)
    here = common.Run(args.out, common.identity(args, data.about), device, args.checkpoint_every)
    if args.source == "gan":
        nets.gan_pool = gan_images(data, args, here)
        record.judge = judge(nets.gan_pool, data)
        print(f"the judge agrees with {record.judge['agreement']:.3f} of the GAN's labels")
    meta_train(nets, data, record, method, args, here)
    trained_s, peak = here.wall_s(), common.peak_memory(device)
    tested = evaluate(nets, data, method, args)
    return {
        "classes": names, "data": data.about,
        "metrics": metrics_of(tested, args), "trained": trained(nets.S),
        "curve": record.curve, "grids": record.grids, "judge": record.judge, **tested,
        "quality": quality(nets, data, method, args) if nets.G else {},
        "timing": {"wall_s": here.wall_s(), "meta_s": trained_s},
        "environment": environment | {"machines": here.machines} | peak,
        "kept": keep(nets, data),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# A trained model: what --save keeps, and what --load does with it
# --------------------------------------------------------------------------------------------


def keep(nets: Nets, data: Data) -> dict:
    """What new learners need: G or the GAN's images, rates, start, how pixels are standardised."""
    return {"G": nets.G, "pool": nets.gan_pool, "log_rates": nets.log_rates,
            "logit_momentum": nets.logit_momentum, "init": nets.init,
            "standard": data.standard.keywords}  # type: ignore[attr-defined]  # fmt: skip


def rebuild(model: common.Model, device: torch.device) -> tuple[Nets, Data, Method]:
    """The nets of a model, and what is known of its data without images."""
    kept, (x, y) = model.kept, model.no_images(device)
    K, (C, H, W) = len(model.data["classes"]), model.data["shape"]
    scale = {name: v.to(device) for name, v in kept["standard"].items()}
    data = Data(x, y, x, y, K, (C, H, W), functools.partial(standardised, **scale), model.data)
    method = method_of(model.args)
    nets = make_nets(data, method, model.args)
    if nets.G is not None:
        nets.G.load_state_dict(kept["G"])
    if kept["pool"] is not None:
        nets.gan_pool = kept["pool"].to(device)
    with torch.no_grad():
        for name in ("log_rates", "logit_momentum"):
            getattr(nets, name).copy_(kept[name])
        for name, v in nets.init.items():
            v.copy_(kept["init"][name])
    return nets, data, method


def test_again(built: tuple[Nets, Data, Method], data: Data, args: argparse.Namespace) -> list:
    """The accuracy on each task [T], the mean of the same new learners as in the run."""
    nets, known, method = built
    data, mode = replace(data, standard=known.standard), modes(args)[0]
    tested = [new_learner(seed, nets, data, method, args)[0] for seed in test_seeds(args)]
    return np.array([R[mode][-1] for R in tested]).mean(0).tolist()


def draw_classes(built: tuple[Nets, Data, Method], model: common.Model, n: int) -> dict:
    """n images uint8 [n, C, H, W] of each class, as a learner would be shown them."""
    nets, data, method = built
    if nets.G is None and nets.gan_pool is None:
        raise common.UserError("--generate: this model's learners learn real images; --evaluate")
    x = pool(max(n, model.args.pool), model.args.seed, nets, data, method)
    x = x.view(data.K, -1, *data.shape)[:, :n]
    return dict(zip(model.data["classes"], visible(x)))


# --------------------------------------------------------------------------------------------
# Rows and items of the figures and tables (tools/ runs and draws them)
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make synthetic_meta` runs them.
ROWS = {
    "synthetic": ("Figs. 1, 3, 4, 5", "--inner-loss all", "synthetic data"),
    "real": ("Figs. 1, 4, 5", "--source real", "real data, its rates learned"),
    "gan": ("Fig. 4", "--source gan", "conditional GAN's images, rates learned"),
    "mlp": ("Figs. 1, 4", "--source mlp --meta-steps 0", "MLP on real data"),
    "mlp-learned": ("Sec. 4", "--source mlp", "MLP on real data, its rates learned"),
    "real-fixed": ("Sec. 4", "--source real --meta-steps 0", "real data, rates not learned"),
    "real-pool": ("Fig. 5", "--source real --pool 1500", "real data, 1,500 images per class"),
    "task": ("Sec. 3", "--inner-loss task", "inner loss over the task's two classes"),
    "real-task": ("Sec. 3", "--source real --inner-loss task", "real data, two-class loss"),
    "gan-task": ("Sec. 3", "--source gan --inner-loss task", "GAN's images, two-class loss"),
    "curriculum": ("Sec. 4", "--order curriculum --pool 100", "fixed order, noise and batches"),
    "running": ("–", "--bn running", "running statistics in the meta-loss too"),
    "real-running": ("–", "--source real --bn running", "real data, running in the meta-loss"),
    "one-rate": ("Sec. 3", "--rates one", "one learning rate"),
    "fixed-order": ("Sec. 3", "--order fixed", "one fixed order of the classes"),
    "fixed-init": ("Sec. 3", "--init fixed", "one fixed initial learner"),
    "improved": ("–", "--preset improved", "(a) improved, new random learners"),
    "improved-learned": ("–", "--preset improved --init learned", "(b) learned initial features"),
    "improved-real": ("–", "--preset improved --source real", "(a)'s learner on real data"),
    "improved-learned-real": ("–", "--preset improved --init learned --source real",
        "(b)'s learner on real data"),
    "small": ("–", "--preset improved --init learned --gen-width 16 --meta-steps 250 --horizons 5 "
        "--batches 40", "the model in reference/models"),
}  # fmt: skip
# Which rows a figure or table needs: `make synthetic_meta/figure1`.
ITEMS = {
    "figure1": ("synthetic", "real", "mlp"),
    "figure3": ("synthetic", "curriculum", "improved", "improved-learned"),
    "figure4": ("synthetic", "real", "gan", "mlp", "improved", "improved-learned"),
    "figure5": ("synthetic", "real", "real-pool", "improved", "improved-learned"),
    "controls": ("task", "real-task", "gan-task", "running", "real-running", "one-rate",
                 "real-fixed", "mlp-learned", "fixed-order", "fixed-init"),
    "improved": ("improved", "improved-learned", "improved-real", "improved-learned-real"),
}  # fmt: skip
DEMO = {  # the same in miniature
    "": "--dataset glyphs --image-size 16 --train-size 3000 --test-size 1000 --channels 18 32 "
        "--gen-width 16 --real-batch 200 --learner-seeds 4 --horizons 5 15 --batches 40 200",
    "synthetic": "--inner-loss all --meta-steps 80", "real": "--source real --meta-steps 80",
    "mlp": "--source mlp --meta-steps 0", "improved": "--preset improved --meta-steps 80",
    "improved-learned": "--preset improved --init learned --meta-steps 80",
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Flags and checks
# --------------------------------------------------------------------------------------------

# What --preset improved changes; each is a flag (docs/ says which were undone).
IMPROVED = dict(
    inner_loss="each", bn="none", frozen_convs=2, channels=[18, 128], lr=0.002, gen_lr=2e-3,
    hyper_lr=0.02, real_batch=250,
)  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Flags; `--preset improved` only moves defaults, so that each change can be undone by name."""
    parser = common.new_parser(__doc__)
    paper = parser.add_argument_group("paper (defaults are the paper's, or our choice: Deviations)")
    add = paper.add_argument
    add("--preset", choices=["paper", "improved"], default="paper", help="which defaults to use")
    add("--source", choices=["synthetic", "real", "gan", "mlp"], default="synthetic",
        help="what the learner is trained on: G, or a baseline of Fig. 4: real images, a "
        "conditional GAN's, or real images and an MLP (the paper's with --meta-steps 0)")
    add("--classes-per-task", type=int, default=2, help="classes in a task (Sec. 4)")
    add("--steps", type=int, default=5, help="the learner's SGD steps on each task (Sec. 4)")
    add("--batch-size", type=int, default=40, help="images per step, equally many of each class")
    add("--pool", type=int, default=250,
        help="p, images per class from which a tested learner's are taken (Sec. 4, Deviation 5)")
    add("--order", choices=["random", "fixed", "curriculum"], default="random",
        help="order and pairing of the classes, when G is trained and tested (Sec. 3: random); "
        "curriculum: fixed, and so are G's noise and which images each step takes")
    add("--inner-loss", choices=["all", "task", "each"], default="all",
        help="the learner's cross entropy: over all classes, over the task's (Deviation 3), or a "
        "binary one for each of the task's classes (beyond the paper)")
    add("--bn", choices=["batch", "running", "none"], default="batch",
        help="BatchNorm's statistics when S is evaluated, also in the meta-loss (Deviation 4); "
        "none: beyond the paper, S without BatchNorm (improved_learner)")
    add("--channels", type=int, nargs=2, default=[16, 32], help="of the learner's convolutions")
    add("--gen-width", type=int, default=32, help="channels of G at a quarter of the size")
    add("--meta-steps", type=int, default=667, help="updates of G (Eq. 1); 0: none")
    add("--gen-lr", type=float, default=4e-3, help="η, Adam's rate for G, falls to 0 on a cosine")
    add("--hyper-lr", type=float, default=5e-3, help="Adam's rate for log rates and momentum")
    add("--rates", choices=["tensor", "one"], default="tensor",
        help="a learned rate for each of the learner's tensors, or one for all (Deviation 2)")
    add("--lr", type=float, default=0.02, help="the learner's rate (α) before meta-training")
    add("--real-batch", type=int, default=500, help="real training images for the meta-loss")
    beyond = parser.add_argument_group("beyond the paper (some are on in --preset improved)")
    add = beyond.add_argument
    add("--init", choices=["fresh", "fixed", "learned"], default="fresh",
        help="S's initial weights: drawn anew for every learner (the paper), drawn once, or "
        "meta-learned with the data: all but the last layer's, so that no class is known")
    add("--frozen-convs", type=int, choices=[0, 2], default=0,
        help="so many of S's convolutions keep their initial weights (needs --bn none)")
    common.add_data_flags(parser)
    add = common.add_run_flags(parser, "synthetic_meta")
    add("--learner-seeds", type=int, default=10,
        help="new learners that R is measured on; half of them, or three, for the rest")
    add("--horizons", type=int, nargs="+", default=[5, 10, 15, 25, 50, 75],
        help="steps per task to measure (Fig. 5)")
    add("--batches", type=int, nargs="+", default=[40, 80, 200, 400, 600],
        help="images per step to measure (Sec. 5, up to 15-fold)")
    common.add_model_flags(parser)
    if common.preset_of(argv) == "improved":
        parser.set_defaults(**IMPROVED)
    args = parser.parse_args(argv)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    least = {"seed": 0, "threads": 0, "meta_steps": 0, "checkpoint_every": 0, "classes_per_task": 2,
             "steps": 1, "pool": 1, "gen_width": 2, "real_batch": 2, "learner_seeds": 1,
             "horizons": 1, "batch_size": 1, "batches": 2, "channels": 1}  # fmt: skip
    common.check_ranges(args, least)
    for name, most in (("gen_lr", 1), ("hyper_lr", 1), ("lr", MAX_LR)):
        if not 0 < getattr(args, name) < most:
            raise common.UserError(f"--{name.replace('_', '-')} must lie between 0 and {most}")
    if any(size % args.classes_per_task for size in (args.batch_size, *args.batches)):
        raise common.UserError("a step takes as many images of each class: multiples of "
                               f"{args.classes_per_task} for --batch-size, --batches")  # fmt: skip
    if args.frozen_convs and (args.bn != "none" or args.source == "mlp"):
        raise common.UserError("--frozen-convs needs --bn none, and a net with convolutions")
    if args.source == "mlp" and args.init != "fresh":
        raise common.UserError("--source mlp has new weights each time: leave --init out")


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says and write the result; or use a trained model (--load)."""
    argv = sys.argv[1:] if argv is None else argv
    if common.use_model(argv, "synthetic_meta", parse_args, rebuild, load_data, test_again,
                        draw_classes):  # fmt: skip
        return
    argv = common.with_row(argv, ROWS, DEMO)
    common.carry_out(run, parse_args(argv), argv, "synthetic_meta")


DEVIATIONS = """Choices where the paper is silent, too (docs/synthetic_meta.md has more):

 1. Eq. (1) is a plain step with a fixed η; ours is Adam with a falling one. Not given: sizes of
    layers, rates. S: 3x3 convolutions of stride 2, 16 and 32 channels, Kaiming's initial weights,
    in the last layer times 0.1. G: z of 64, two linear layers (256 units), two transposed
    convolutions (32 channels at a quarter of the size). ReLU (G: leaky, 0.1) behind BatchNorm;
    images standardised. Adam (0.9, 0.99), 4e-3 falling to 0 on a cosine, 667 meta-steps, gradients
    clipped to norm 1; the learner's rates and momentum by Adam at 5e-3; they begin at 0.02 and 0.7.
    Each meta-loss: 500 new training images, drawn with replacement. S's convolutions and last layer
    have no bias, as BatchNorm shifts; G's transposed convolutions are 4x4 with 16 channels between,
    PyTorch's initial weights; pixels' mean and deviation are those of the first 10,000 images.
 2. The learner has a rate for each tensor, learned as a logarithm and capped at 0.3, because
    uncapped ones diverged (runs not kept); its velocity runs on from task to task. --rates one has
    a single rate.
 3. "Binary classification tasks" can mean a loss over the task's two classes (--inner-loss task) or
    all ten (all). Our default is all: on held-out training images it was more accurate than the
    other for synthetic, real and the GAN's data, 5 steps per task (one try of the other, three
    rates of this one: the middle is the default, the highest was slightly better; docs/tuning.md).
    The test is one head, too: all ten classes compete, also those not yet seen.
 4. "Each layer is followed by a batch normalisation layer", the logits too. S is evaluated with the
    statistics of a batch: the 500 images of the meta-loss, up to 2,000 in the test. They tell that
    all classes are about as frequent, which hides forgetting; and after task t a batch holds only
    the 2t classes seen, as in Fig. 4, so that a rise can come from the batch alone. Running
    statistics do not depend on the test batch, but 41 % of their weight is on the last task's five
    batches. A result holds both, and three controls. "mean": the plain mean over the learner's
    batches. "own": its pool of images, 250 per class, of the classes looked at, which it would have
    to keep. "all": test batches that always hold all classes.
 5. G generates the images of a meta-step in one call and never in eval mode, so its BatchNorm sees
    all classes at once. One learner uses 100 images per class; in meta-training they are generated
    directly, not from 250. Within a task none comes twice, while there are enough. Real images are
    250 per class in the test, too (row real-pool has more); while rates are learned, they come from
    all 60,000, the GAN's from its one pool. Pairs are drawn anew as well as their order, in the
    test, too; the paper does not say which sequences its figures show. Figs. 1 and 4 are means of
    ten new learners, Fig. 5 of five.
 6. The MLP's rate and momentum are where all others begin; its weights begin as S's. The GAN is a
    projection cGAN with G's layers, a last tanh, and a critic of 32 and 64 channels without
    BatchNorm; 4 epochs in batches of 64, Adam 1e-3; its curve is drawn only if a classifier trained
    on real images agrees with nine of ten of its labels.
 7. --preset improved is not the paper's. Its settings were chosen on 10,000 held-out training
    images (runs not kept); G's rate is the best of three tried there, and a loss for each class
    knew more than one over the task's (docs/tuning.md).
"""


if __name__ == "__main__":
    common.exit_in_one_line(main)
