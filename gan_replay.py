"""Generative continual learning: a GAN replays what a classifier would forget (Montagna, 2024).

A classifier (the *solver*) meets the ten digits two at a time and is always asked to tell all the
classes met so far apart. Trained naively it forgets at once: after the task of 4 and 5 it calls
every image a 4 or a 5. Storing old images would help, but here nothing real is kept. A GAN learns
to generate the images seen so far; before the next task it generates n_gen times as many images as
there were tasks, of whatever digits come; the old solver labels them, and the new task is learned
from the mix. Then a fresh GAN is trained on the mix: it learns the oldest digits from copies of
copies.

    task t:  real images ─┐                          ┌─► solver (keeps its weights) ─► R[t]
                          ├─► the mix (x, target) ───┤
             G_{t-1}(z) ──┘                          └─► GAN from scratch ─► G_t
             labelled by solver_{t-1}                      both frozen for task t + 1
                                                       (the code counts tasks from 0)

paper          here                   shape
solver         solver                 images [B, C, H, W] -> logits [B, K], one head for K classes
generator      G                      z [B, 100] -> images [B, C, H, W] in [-1, 1]
discriminator  D                      images -> score [B], high for real
n_gen          --n-gen                images generated per previous task (or in all: --n-gen-mode)
BWT, FWT       R, common.summarise    R[i][j]: on task j (from 0) after i tasks; row 0: untrained

The deviations that matter most (all of them, with reasons: DEVIATIONS, at the end of this file):
the paper gives no sizes, optimizers or epochs; n_gen counts per previous task; no GAN is trained
after the last task.

    python gan_replay.py --dataset glyphs --train-size 2000 --test-size 1000 --n-gen 400 \\
        --gan-epochs 10 --gan-batch-size 16 --gan-width 32 --solver-epochs 8
    # half a minute: ACC 0.47 to 0.70, with --replay none 0.10 to 0.15
    python gan_replay.py --seed 0  # eight minutes; numbers: RESULTS.md
    # Both on one core of an AMD EPYC.
"""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import common  # first: it says in one line which package is missing

# isort: split
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

# --------------------------------------------------------------------------------------------
# The mix (Sec. 2): what task t is learned from
# --------------------------------------------------------------------------------------------
# Read `mix`, below, first. method.NAME is a part that a flag can exchange (class Method, below).
# The paper's parts: replay = generate, label = label_by_solver, take = take_first.

CHUNK = 1000  # images generated at a time
LATENT = 100  # numbers in z


@dataclass
class Data:
    """A data set on the device, cut into tasks of a few classes each."""

    x: Tensor  # uint8 [N, C, H, W]
    y: Tensor  # int64 [N], classes 0 ... K - 1
    x_test: Tensor  # uint8 [M, C, H, W]
    y_test: Tensor  # int64 [M]
    tasks: list[list[int]]  # [T], the classes of each task
    owner: Tensor  # int64 [K], the task of each class
    K: int
    shape: tuple[int, int, int]  # C, H, W
    about: dict  # names, counts and checksum (common.about_data)


@dataclass
class Nets:
    """All that GAN replay keeps of earlier tasks: two nets, and D, which --keep-gan alone uses."""

    solver: nn.Module  # solver_{t-1} until it learns task t
    G: nn.Module  # G_{t-1} until G_t is trained
    D: nn.Module


class Mix(NamedTuple):
    """What task t is learned from; the first `new` images are real, the rest are replayed."""

    x: Tensor  # uint8 [n, C, H, W]
    target: Tensor  # float [n, K], what the solver shall answer: one-hot, or probabilities
    y: Tensor  # int64 [n], classes: for counts, and for a GAN that is told them
    new: int


@torch.no_grad()
def generated(data: Data, seen: list[int], nets: Nets, method: "Method", seed: int) -> Iterator:
    """Endless chunks of 1,000 generated images: x uint8 [1000, C, H, W], target [1000, K], y.

    Endless, as --balance cannot know how many it will need. `seen`: classes of earlier tasks. Own
    random numbers: from the same nets, a larger n_gen only adds images.
    """
    rng = torch.Generator(data.x.device).manual_seed(seed)
    # The classes in turn, 1,000 in all; the paper's G and label_by_solver ignore them.
    asked = torch.tensor((seen * CHUNK)[:CHUNK], device=data.x.device)
    while True:
        z = torch.randn(CHUNK, LATENT, generator=rng, device=data.x.device)
        x = to_uint8(nets.G(z, asked))
        p = nets.solver(to_float(x)).softmax(1)  # [1000, K]
        y, target = method.label(p, asked)
        yield x, target, y


def label_by_solver(p: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Generated images are "labeled using the solver" (Sec. 2): p [B, K] -> y, target."""
    y = p.argmax(1)
    return y, F.one_hot(y, p.shape[1]).float()


def take_first(stream: Iterator, n: int, seen: list[int]) -> tuple[Tensor, ...]:
    """The first n images, whatever their classes: "I accepted the risk" (Sec. 2)."""
    parts = [next(stream) for _ in range(-(-n // CHUNK))]
    return tuple(torch.cat(part)[:n] for part in zip(*parts))


def generate(
    data: Data, t: int, nets: Nets, method: "Method", args: argparse.Namespace
) -> tuple[Tensor, ...]:
    """n_gen images per earlier task from G_{t-1}: x uint8 [n, C, H, W], target [n, K], y [n]."""
    n = args.n_gen * (t if args.n_gen_mode == "per-task" else 1)  # t tasks are done; Deviation 2
    seen = sum(data.tasks[:t], [])
    return method.take(generated(data, seen, nets, method, args.seed * 1000 + t), n, seen)


def mix(data: Data, t: int, nets: Nets, method: "Method", args: argparse.Namespace) -> Mix:
    """The real images of task t (0 is the first), then those that stand for earlier tasks."""
    index = common.indices_of(data.y, data.tasks[t])
    x, y = data.x[index], data.y[index]
    target = F.one_hot(y, data.K).float()  # [n, K]
    old = method.replay(data, t, nets, method, args) if t else ()
    if old:
        x, target, y = (torch.cat(pair) for pair in zip((x, target, y), old))
    return Mix(x, target, y, new=len(index))


def to_float(x: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1, any shape."""
    return x.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Undo `to_float`: what is kept between epochs is one byte per pixel (Deviation 5)."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


# --------------------------------------------------------------------------------------------
# The nets (Sec. 2; sizes: Deviation 1)
# --------------------------------------------------------------------------------------------


def mlp_solver(shape: tuple[int, int, int], K: int, hidden: list[int]) -> nn.Sequential:
    """The classifier, an MLP: [B, C, H, W] -> logits [B, K]."""
    sizes = [shape[0] * shape[1] * shape[2], *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], K))


def conv_generator(inputs: int, shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """DCGAN: [B, inputs] -> [B, width, H/4, W/4] -> [B, width/2, H/2, W/2] -> [B, C, H, W]."""
    (C, H, W), half = shape, max(width // 2, 1)
    return nn.Sequential(
        nn.Linear(inputs, width * (H // 4) * (W // 4)),
        nn.Unflatten(1, (width, H // 4, W // 4)),
        nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, half, 4, 2, 1), nn.BatchNorm2d(half), nn.ReLU(),
        nn.ConvTranspose2d(half, C, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


def conv_features(shape: tuple[int, int, int], width: int) -> tuple[nn.Sequential, int]:
    """The generator's mirror: [B, C, H, W] -> [B, width·H/4·W/4]; also that last size."""
    (C, H, W), half = shape, max(width // 2, 1)
    net = nn.Sequential(
        nn.Conv2d(C, half, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(half, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
    )  # fmt: skip
    return net, width * (H // 4) * (W // 4)


def mlp_generator(inputs: int, shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """[B, inputs] -> [B, 4 width] -> [B, 8 width] -> [B, C, H, W]."""
    a, b, pixels = 4 * width, 8 * width, shape[0] * shape[1] * shape[2]
    return nn.Sequential(
        nn.Linear(inputs, a), nn.BatchNorm1d(a), nn.ReLU(),
        nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(),
        nn.Linear(b, pixels), nn.Tanh(), nn.Unflatten(1, shape),
    )  # fmt: skip


def mlp_features(shape: tuple[int, int, int], width: int) -> tuple[nn.Sequential, int]:
    """[B, C, H, W] -> [B, 8 width] -> [B, 4 width]; also that last size."""
    a, b, pixels = 8 * width, 4 * width, shape[0] * shape[1] * shape[2]
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, a), nn.LeakyReLU(0.2), nn.Linear(a, b), nn.LeakyReLU(0.2)
    )
    return net, b


BUILD = {"conv": (conv_generator, conv_features), "mlp": (mlp_generator, mlp_features)}  # Sec. 2


# The paper's nets ignore y, the classes [B]. K and y are there for ToldGenerator, below.
class Generator(nn.Module):
    """z [B, 100] -> images [B, C, H, W] in [-1, 1]."""

    def __init__(self, kind: str, shape: tuple[int, int, int], width: int, K: int,
                 inputs: int = LATENT):
        super().__init__()
        self.net = BUILD[kind][0](inputs, shape, width)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.net(z)


class Discriminator(nn.Module):
    """images [B, C, H, W] -> score [B], high for real."""

    def __init__(self, kind: str, shape: tuple[int, int, int], width: int, K: int):
        super().__init__()
        self.features, size = BUILD[kind][1](shape, width)
        self.score = nn.Linear(size, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.score(self.features(x)).squeeze(1)


# --------------------------------------------------------------------------------------------
# One epoch of the solver, one epoch of the GAN
# --------------------------------------------------------------------------------------------


def train_solver(
    solver: nn.Module, opt: torch.optim.Adam, mixed: Mix, epoch: int, epochs: int,
    method: "Method", args: argparse.Namespace, watch: Callable[[int, int], None],
) -> float:
    """One epoch of cross entropy on the mix; its mean loss. `watch` is told each step, from 1."""
    solver.train()
    batches = torch.randperm(len(mixed.x), device=mixed.x.device).split(args.batch_size)
    total, n = torch.zeros((), device=mixed.x.device), len(batches)
    for step, index in enumerate(batches, 1):
        image = method.view(to_float(mixed.x[index]), args)  # [B, C, H, W]
        loss = F.cross_entropy(solver(image), mixed.target[index])
        # constant in the paper: method.rate is 1 but for --solver-decay
        opt.param_groups[0]["lr"] = args.solver_lr * method.rate((epoch + step / n) / epochs)
        opt.zero_grad()
        loss.backward()
        opt.step()
        total += loss.detach()
        watch(step, n)
    solver.eval()
    return total.item() / n


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log σ(D(x))] - E[log(1 - σ(D(G(z))))] of scores [B] (Goodfellow et al. 2014, Eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-E[log σ(D(G(z)))] of scores [B]: non-saturating (Goodfellow et al. 2014, Sec. 3)."""
    return F.softplus(-fake).mean()


class Gan:
    """A generator and a discriminator with their optimizers."""

    def __init__(self, G: nn.Module, D: nn.Module, args: argparse.Namespace):
        self.G, self.D = G, D
        self.opt_G, self.opt_D = (
            torch.optim.Adam(net.parameters(), args.gan_lr, betas=(0.5, 0.999), fused=True)
            for net in (G, D)  # β1 = 0.5 as in DCGAN (Radford et al. 2016)
        )


def new_nets(
    data: Data, method: "Method", args: argparse.Namespace
) -> tuple[nn.Module, nn.Module]:
    """An untrained G and D."""
    G, D = (net(args.gan, data.shape, args.gan_width, data.K) for net in method.nets)
    layout = {"memory_format": torch.channels_last}  # a tenth faster on CPUs
    return G.to(data.x.device, **layout), D.to(data.x.device, **layout)


def train_gan(gan: Gan, mixed: Mix, args: argparse.Namespace) -> list[float]:
    """One epoch of the GAN on the images of the mix; mean losses [D, G]."""
    total, n = torch.zeros(2, device=mixed.x.device), len(mixed.x)
    B = min(args.gan_batch_size, n)  # a last, smaller batch is left out (Deviation 1)
    batches = torch.randperm(n, device=mixed.x.device)[: n // B * B].split(B)
    for index in batches:
        total += gan_step(gan, to_float(mixed.x[index]), mixed.y[index])
    return (total / len(batches)).tolist()


def gan_step(gan: Gan, real: Tensor, y: Tensor) -> Tensor:
    """A step of D, then one of G on images [B, C, H, W] of classes y [B]; both losses [2]."""
    z = torch.randn(len(y), LATENT, device=y.device)
    fake = gan.G(z, y)  # [B, C, H, W]
    score = gan.D(torch.cat([real, fake.detach()]), torch.cat([y, y]))  # [2B]
    loss_D = discriminator_loss(*score.chunk(2))  # scores of real [B], of fake [B]
    gan.opt_D.zero_grad()
    loss_D.backward()
    gan.opt_D.step()
    gan.D.requires_grad_(False)  # G's step needs no gradients of D's weights
    loss_G = generator_loss(gan.D(fake, y))  # the same images, with gradients; the new D
    gan.opt_G.zero_grad()
    loss_G.backward()
    gan.opt_G.step()
    gan.D.requires_grad_(True)
    return torch.stack([loss_D.detach(), loss_G.detach()])


# --------------------------------------------------------------------------------------------
# The sequence of tasks (Sec. 2)
# --------------------------------------------------------------------------------------------


@dataclass
class Method:
    """The parts that a variant replaces. The defaults are the paper's method."""

    replay: Callable = generate  # what stands for earlier tasks
    label: Callable = label_by_solver
    take: Callable = take_first  # which generated images
    view: Callable = lambda image, args: image  # what the solver sees
    rate: Callable = lambda progress: 1.0  # factor of the solver's rate; progress in a task: 0 to 1
    nets: tuple = (Generator, Discriminator)
    gan_first: bool = False  # the GAN learns a task before the solver does
    made: list[int] = field(default_factory=list)  # --balance, by task: images to choose from


@dataclass
class Record:
    """What becomes JSON."""

    R: list = field(default_factory=list)  # [T + 1, T]
    curve: list = field(default_factory=list)  # rows of [solver step, accuracy on task 1 ... T]
    tasks: list = field(default_factory=list)  # counts of each task
    quality: list = field(default_factory=list)  # of each G: common.memory_quality
    grids: list = field(default_factory=list)  # 60 images of each G


def learn(
    data: Data, gan_epochs: list[int], method: Method, args: argparse.Namespace, run: common.Run
) -> tuple[Record, Nets]:
    """All tasks in turn; `gan_epochs` [T], 0 where no GAN is trained."""
    nets = Nets(new_solver(data, args), *new_nets(data, method, args))
    nets.G.eval()  # a resumed run loads G's weights here; images are drawn in eval mode
    record = Record(R=[accuracies(nets.solver, data)])  # row 0: untrained
    # t = 0 ... T - 1: common.Run only adds checkpoints
    for t in run.tasks(len(data.tasks), nets=nets, record=record):
        mixed = mix(data, t, nets, method, args)
        lesson = mixed  # the solver's images: in the paper the mix
        # how many epochs each net trains (--gan-steps, --solver-steps: about so many steps)
        n_gan = repeats(gan_epochs[t], args.gan_steps, mixed.x, args.gan_batch_size)
        if method.gan_first:  # beyond the paper (skip at first): G_t, then the solver
            learn_gan(data, t, mixed, nets, n_gan, record, method, args, run)
            lesson = from_new_gan(data, t, mixed, nets, record.quality[-1], method, args)
        n_solver = repeats(args.solver_epochs, args.solver_steps, lesson.x, args.batch_size)
        describe(mixed, lesson, data, t, n_gan, n_solver, record, method, args)

        opt = torch.optim.Adam(nets.solver.parameters(), args.solver_lr, fused=True)  # Deviation 1
        for epoch in run.epochs("solver", n_solver, solver=nets.solver, opt=opt, record=record):
            watch = record_curve(nets.solver, data, t, epoch, record, run)
            loss = train_solver(nets.solver, opt, lesson, epoch, n_solver, method, args, watch)
            run.check_finite("lower --solver-lr", loss)
        record.R.append(accuracies(nets.solver, data))
        print(f"{run.label()}: accuracy by task {' '.join(f'{a:.3f}' for a in record.R[-1])}")

        if not method.gan_first and n_gan:  # the paper's order
            learn_gan(data, t, mixed, nets, n_gan, record, method, args, run)
    return record, nets


def learn_gan(
    data: Data, t: int, mixed: Mix, nets: Nets, epochs: int, record: Record, method: Method,
    args: argparse.Namespace, run: common.Run,
) -> None:
    """G_t: "the generator is reset and trained on the combined dataset" (Sec. 2)."""
    # The paper: both anew in every task; --keep-gan goes on with those of the last one.
    G, D = (nets.G.train(), nets.D) if args.keep_gan and t else new_nets(data, method, args)
    gan = Gan(G, D, args)
    for _ in run.epochs("gan", epochs, G=gan.G, D=gan.D, opt_G=gan.opt_G, opt_D=gan.opt_D):
        losses = train_gan(gan, mixed, args)
        run.check_finite("lower --gan-lr", *losses)
    nets.G, nets.D = gan.G.eval(), gan.D  # eval: BatchNorm's running statistics (Deviation 5)
    with run.aside("measuring"):
        record.grids.append(sample(data, t, nets, method, args))
        record.quality.append(quality(data, t, mixed, nets, method, args))


# --------------------------------------------------------------------------------------------
# Beyond the paper's own method
# --------------------------------------------------------------------------------------------

MAX_GENERATED = 20  # --balance gives up after so many images for each one wanted


def repeats(epochs: int, steps: int, x: Tensor, B: int) -> int:
    """How many epochs of x [N, ...], B a step: `epochs`, or, if `steps` is given, the number that
    comes closest to it (at least one)."""
    return max(1, round(steps * B / len(x))) if steps and epochs else epochs


class ToldGenerator(Generator):
    """z [B, 100], y [B] -> images [B, C, H, W] of these classes (Mirza & Osindero 2014)."""

    def __init__(self, kind: str, shape: tuple[int, int, int], width: int, K: int):
        super().__init__(kind, shape, width, K, inputs=LATENT + K)
        self.K = K

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([z, F.one_hot(y, self.K).to(z.dtype)], dim=1))  # [B, 100 + K]


class ToldDiscriminator(Discriminator):
    """images, y [B] -> score [B]: the projection discriminator (Miyato & Koyama 2018, Eq. 4)."""

    def __init__(self, kind: str, shape: tuple[int, int, int], width: int, K: int):
        super().__init__(kind, shape, width, K)
        self.classes = nn.Embedding(K, self.score.in_features)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)  # [B, size]
        return self.score(h).squeeze(1) + (h * self.classes(y)).sum(1)


def label_as_asked(p: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """A conditional GAN's images are of the class asked for."""
    return asked, F.one_hot(asked, p.shape[1]).float()


def softly(label: Callable) -> Callable:
    """The old solver's probabilities as the target (distillation: Hinton et al. 2015)."""
    return lambda p, asked: (label(p, asked)[0], p)


def take_balanced(
    stream: Iterator, n: int, seen: list[int], made: list[int]
) -> tuple[Tensor, ...]:
    """n images, equally many of each class: "selecting only the ones that I need" (Sec. 2).

    Gives up, with fewer images, after MAX_GENERATED times n; `made` gets how many were generated.
    """
    quota = {c: n // len(seen) + (i < n % len(seen)) for i, c in enumerate(seen)}
    parts: list[tuple] = []
    made.append(0)
    while sum(quota.values()) and made[-1] < MAX_GENERATED * n:
        x, target, y = next(stream)
        keep = torch.zeros_like(y, dtype=torch.bool)
        for c in seen:  # the first quota[c] of them
            rows = (y == c).nonzero().squeeze(1)[: quota[c]]
            keep[rows] = True
            quota[c] -= len(rows)
        parts.append((x[keep], target[keep], y[keep]))
        made[-1] += CHUNK
    return tuple(torch.cat(part) for part in zip(*parts))


def stored(data: Data, t: int, nets: Nets, method: Method, args: argparse.Namespace) -> tuple:
    """Vanilla replay (Sec. 4): real images of earlier tasks in the place of generated ones."""
    index = stored_index(data, t, args)
    if args.balance:  # repeated to as many as each task once had
        whole = [len(common.indices_of(data.y, data.tasks[j])) for j in range(t)]
        index = [v[torch.arange(n, device=v.device) % max(len(v), 1)] if len(v) else v
                 for v, n in zip(index, whole)]  # fmt: skip
    rows = torch.cat(index)
    return data.x[rows], F.one_hot(data.y[rows], data.K).float(), data.y[rows]


def stored_index(data: Data, t: int, args: argparse.Namespace) -> list[Tensor]:
    """Which images of tasks 0 ... t - 1 are stored: a random choice, made once per task.

    n_gen per task; or n_gen in all, shared equally, so that each task stores fewer when one is
    added.
    """
    share = args.n_gen if args.n_gen_mode == "per-task" else args.n_gen // t
    chosen = []
    for j in range(t):
        index = common.indices_of(data.y, data.tasks[j])
        rng = torch.Generator().manual_seed(args.seed * 1000 + j)
        chosen.append(index[torch.randperm(len(index), generator=rng).to(index.device)[:share]])
    return chosen


def from_new_gan(
    data: Data, t: int, mixed: Mix, nets: Nets, quality: dict, method: Method,
    args: argparse.Namespace,
) -> Mix:
    """The solver's images for task t from G_t, about equally many of each class.

    If new classes were real and old ones generated, the solver could tell old ones by their looking
    generated. `auto` allows it if a small classifier gets fewer than 80 % right (common.ALIKE). Old
    classes keep the targets of --soft-labels.
    """
    seen = sum(data.tasks[: t + 1], [])
    n = len(mixed.x) // len(seen) * len(seen)
    stream = generated(data, seen, nets, method, args.seed * 1000 + 500 + t)
    x, target, y = method.take(stream, n, seen)
    old = data.owner.to(y.device)[y] < t
    apart = quality["told apart"]  # None: not measured
    if args.solver_images == "auto" and apart is not None and apart < common.ALIKE:
        real = [part[: mixed.new] for part in mixed[:3]]
        x, target, y = (torch.cat([a, b[old]]) for a, b in zip(real, (x, target, y)))
        return Mix(x, target, y, new=mixed.new)
    return Mix(x, torch.where(old[:, None], target, F.one_hot(y, data.K).float()), y, new=0)


def conv_solver(shape: tuple[int, int, int], K: int) -> nn.Sequential:
    """Two convolutions: [B, C, H, W] -> [B, 32, H/2, W/2] -> [B, 64, H/4, W/4] -> logits [B, K]."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 5, 2, 2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, K),
    )  # fmt: skip


def view(x: Tensor, args: argparse.Namespace) -> Tensor:
    """What the solver sees of the images [B, C, H, W]."""
    x = common.augment(x, args.augment) if args.augment else x
    return common.jitter(x, args.jitter) if args.jitter else x


def method_of(args: argparse.Namespace) -> Method:
    """What the flags exchange."""
    replay = {"gan": generate, "real": stored, "none": lambda *_: ()}[args.replay]
    method = Method(replay=replay)
    if args.conditional:
        method.nets, method.label = (ToldGenerator, ToldDiscriminator), label_as_asked
    if args.soft_labels:
        method.label = softly(method.label)
    if args.balance:
        method.take = functools.partial(take_balanced, made=method.made)
    if args.augment or args.jitter:
        method.view = view
    if args.solver_decay:
        method.rate = lambda progress: 1 - progress
    method.gan_first = args.solver_images != "real"
    return method


# --------------------------------------------------------------------------------------------
# The run: data in, result out
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> Data:
    """The data set on the device, cut into tasks; UserError where it does not fit the flags."""
    data = common.load_chosen(args)
    if torch.bincount(data.y_train).min() < 2:
        raise common.Unfit("a class has a single training image: use more images")
    K, shape = len(data.classes), data.shape
    if args.gan == "conv" and args.replay == "gan" and (shape[1] % 4 or shape[2] % 4):
        size = f"{shape[1]}x{shape[2]}"
        raise common.Unfit(f"--gan conv needs sides that 4 divides, not {size}: --image-size")
    order = common.class_order(K, args.seed, args.shuffle_classes)
    tasks = common.split_classes(order, args.classes_per_task)
    owner = common.task_of_class(tasks)
    tasks = [order] if args.joint else tasks
    return Data(data.x_train.to(device), data.y_train.to(device), data.x_test.to(device),
                data.y_test.to(device), tasks, owner, K, shape,
                common.about_data(data))  # fmt: skip


def gan_epochs(args: argparse.Namespace, n_tasks: int) -> list[int]:
    """Epochs of the GAN after each task; 0 where none is trained (Deviation 3)."""
    n_gans = n_tasks - 1 + args.final_gan
    if args.replay != "gan" or not n_gans:
        return [0] * n_tasks
    # 5, 6, 7, 8 epochs after tasks 1 to 4
    given = args.gan_epochs or [5 + t for t in range(n_gans)]
    if len(given) not in (1, n_gans):
        raise common.Unfit(
            f"--gan-epochs has {len(given)} numbers, but {n_gans} GANs are trained in {n_tasks} "
            f"tasks: give 1 or {n_gans}"
        )
    given = given * n_gans if len(given) == 1 else given
    return (given + [0])[:n_tasks]


def new_solver(data: Data, args: argparse.Namespace) -> nn.Module:
    """An untrained classifier."""
    conv = args.solver == "conv"
    net = conv_solver(data.shape, data.K) if conv else mlp_solver(
        data.shape, data.K, args.solver_hidden)
    return net.to(data.x.device).eval()


def accuracies(solver: nn.Module, data: Data) -> list[float]:
    """The next row of R, on the full test set, all K classes competing."""
    training = solver.training
    solver.eval()
    row = common.accuracy_by_task(
        lambda x: solver(to_float(x)), data.x_test, data.y_test, data.owner
    )
    solver.train(training)
    return row


EVALS = 4  # points per epoch on the training curves


def record_curve(
    solver: nn.Module, data: Data, t: int, epoch: int, record: Record, run: common.Run
) -> Callable[[int, int], None]:
    """Adds EVALS points per epoch to the training curves, called after each step."""
    before = record.tasks[t - 1]["last_step"] if t else 0

    def watch(step: int, steps: int) -> None:
        if step in {steps * k // EVALS for k in range(1, EVALS + 1)}:
            with run.aside("evaluation", "solver"):
                at = before + epoch * steps + step
                record.curve.append([at, *accuracies(solver, data)])

    return watch


def describe(
    mixed: Mix, lesson: Mix, data: Data, t: int, gan_epochs: int, solver_epochs: int,
    record: Record, method: Method, args: argparse.Namespace,
) -> None:
    """Note what task t is learned from; a line for classes of which nothing is replayed."""
    replayed = torch.bincount(mixed.y[mixed.new :], minlength=data.K).tolist()
    steps = -(-len(lesson.x) // args.batch_size) * solver_epochs
    is_stored = t and args.replay == "real"
    record.tasks.append({
        "new": mixed.new, "replayed": replayed,
        "stored": sum(map(len, stored_index(data, t, args))) if is_stored else 0,
        "solver_images": solver_epochs * len(lesson.x),
        "gan_images": gan_epochs * len(mixed.x),
        "last_step": steps + (record.tasks[-1]["last_step"] if t else 0),
    })  # fmt: skip
    if method.made:
        record.tasks[-1]["drawn"] = method.made[-1] if t else 0
    if args.solver_images == "auto":
        kind = "real" if lesson.new else "generated"
        print(f"task {t + 1}: the solver learns the new classes from {kind} images")
    missing = [data.about["classes"][c] for c in sum(data.tasks[:t], []) if not replayed[c]]
    if missing and args.replay != "none":
        names = ", ".join(missing)
        print(f"warning: task {t + 1}: nothing replayed of classes {names}", file=sys.stderr)


def sample(data: Data, t: int, nets: Nets, method: Method, args: argparse.Namespace) -> dict:
    """60 images that G generates after task t, sorted by their label, for the figure."""
    seen = sum(data.tasks[: t + 1], [])
    x, _, y = take_first(generated(data, seen, nets, method, args.seed), 60, seen)
    return common.pack_images(x[y.argsort()])


def quality(
    data: Data, t: int, mixed: Mix, nets: Nets, method: Method, args: argparse.Namespace
) -> dict:
    """How good the images are that G generates after task t; a line if they are poor."""
    seen = sum(data.tasks[: t + 1], [])
    stream = generated(data, seen, nets, method, args.seed * 1000 + 900 + t)
    x, _, y = take_first(stream, common.QUALITY_PER_TASK * (t + 1), seen)
    own, test = (mixed.x[: mixed.new], mixed.y[: mixed.new]), (data.x_test, data.y_test)
    found = common.memory_quality((x, y), own, test, data.owner, args.seed)
    what = f"train the GAN longer ({'--gan-steps' if args.gan_steps else '--gan-epochs'})"
    what += "" if args.preset == "improved" else ", or take --preset improved"
    common.tell_quality(found, f"task {t + 1}", len(seen), what)
    return found


def size_in_bytes(net: nn.Module) -> int:
    """Parameters and buffers."""
    return sum(v.numel() * v.element_size() for v in [*net.parameters(), *net.buffers()])


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence; the result, but for what common.carry_out adds."""
    device, environment = common.start(args)
    data = load_data(args, device)
    names = [[data.about["classes"][c] for c in task] for task in data.tasks]
    common.tell_classes(names)
    args.n_gen = args.n_gen or len(data.x) // len(data.tasks)
    epochs = gan_epochs(args, len(data.tasks))
    here = common.Run(args.out, common.identity(args, data.about), device, args.checkpoint_every)
    if args.replay == "gan" and not (args.gan_steps or args.train_size):
        common.tell_fewer_steps(len(data.x) / len(data.tasks), 12000, "task")
    record, nets = learn(data, epochs, method_of(args), args, here)
    seconds = [{f"{name}_s": v for name, v in task.items()} for task in here.seconds]
    memory = {name: size_in_bytes(getattr(nets, name)) for name in ("solver", "G", "D")}
    memory |= {"image": math.prod(data.shape), "train": len(data.x)}
    return {
        "classes": names, "data": data.about,
        "metrics": common.summarise(record.R), "memory": memory, **vars(record),
        "timing": {"wall_s": here.wall_s(), "tasks": seconds},
        "environment": environment | {"machines": here.machines} | common.peak_memory(device),
        "kept": keep(nets, data, epochs),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# A trained model: what --save keeps, and what --load does with it
# --------------------------------------------------------------------------------------------


def keep(nets: Nets, data: Data, epochs: list[int]) -> dict:
    """The solver, the last G, and the classes that it has learned."""
    last = max((t + 1 for t, n in enumerate(epochs) if n), default=0)
    return {"solver": nets.solver, "G": nets.G, "learned": sum(data.tasks[:last], []),
            "pixels": "the nets see bytes x as x / 127.5 - 1"}  # fmt: skip


def rebuild(model: common.Model, device: torch.device) -> tuple[Nets, Data]:
    """The nets of a model, and what is known of its data without images."""
    args, kept, (x, y) = model.args, model.kept, model.no_images(device)
    K, (C, H, W) = len(model.data["classes"]), model.data["shape"]
    data = Data(x, y, x, y, [kept["learned"]], y, K, (C, H, W), model.data)
    nets = Nets(new_solver(data, args), *new_nets(data, method_of(args), args))
    nets.solver.load_state_dict(kept["solver"])
    nets.G.eval().load_state_dict(kept["G"])
    return nets, data


def test_again(model: tuple[Nets, Data], data: Data, args: argparse.Namespace) -> list[float]:
    """The accuracy on each task."""
    return accuracies(model[0].solver, data)


def draw_classes(learned: tuple[Nets, Data], model: common.Model, n: int) -> dict[str, Tensor]:
    """n images uint8 [n, C, H, W] of each class that G has learned (fewer if they do not come).

    Without --conditional a class is what the solver takes for it.
    """
    (nets, data), seen = learned, learned[1].tasks[0]
    if not seen:
        raise common.UserError("--generate: no GAN was trained in this model's run; --evaluate")
    stream = generated(data, seen, nets, method_of(model.args), model.args.seed)
    x, _, y = take_balanced(stream, n * len(seen), seen, [])
    return {model.data["classes"][c]: x[y == c] for c in seen}


# --------------------------------------------------------------------------------------------
# Rows and items of the figures and tables (tools/ runs and draws them)
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make gan_replay` runs them all.
ROWS = {
    "ngen12000": ("Figs. 1, 4; table", "--n-gen 12000", "GAN replay, n_gen = {n_gen}"),
    "ngen1200": ("Figs. 2, 5; table", "--n-gen 1200", "GAN replay, n_gen = {n_gen}"),
    "ngen120000": ("Figs. 3, 6; table", "--n-gen 120000", "GAN replay, n_gen = {n_gen}"),
    "none": ("Sec. 1, naive", "--replay none", "no replay (lower bound)"),
    "joint": ("–", "--joint", "joint training (upper bound)"),
    "real": ("Sec. 4, vanilla replay", "--replay real --n-gen 60000",
             "vanilla replay, all images stored"),
    "bytes": ("–", "--replay real --n-gen-mode total --n-gen 1787 --balance",
              "vanilla replay, {n_gen} images stored"),
    "mlp": ("Sec. 2, MLP", "--gan mlp", "GAN replay, MLP instead of conv"),
    "mlp-rate": ("Sec. 2, MLP", "--gan mlp --gan-lr 2e-4", "the MLP, DCGAN's learning rate"),
    "constant": ("Sec. 2, epochs", "--gan-epochs 5", "n_gen = {n_gen}, 5 epochs of every GAN"),
    "shuffled": ("–", "--shuffle-classes", "n_gen = {n_gen}, another class order"),
    "shuffled1200": ("–", "--shuffle-classes --n-gen 1200",
                     "n_gen = {n_gen}, another class order"),
    "balance": ("Sec. 2, same number", "--balance", "GAN replay, balanced by rejection"),
    "balance1200": ("Sec. 2, same number", "--balance --n-gen 1200",
                    "GAN replay, n_gen = {n_gen}, balanced by rejection"),
    "total300": ("Sec. 4, fixed number", "--n-gen-mode total --n-gen 300",
                 "GAN replay, {n_gen} in total"),
    "total1200": ("Sec. 4, fixed number", "--n-gen-mode total --n-gen 1200",
                  "GAN replay, {n_gen} in total"),
    "total4000": ("Sec. 4, fixed number", "--n-gen-mode total --n-gen 4000",
                  "GAN replay, {n_gen} in total"),
    "total12000": ("Sec. 4, fixed number", "--n-gen-mode total --n-gen 12000",
                   "GAN replay, {n_gen} in total"),
    "digits": ("–", "--final-gan", "n_gen = {n_gen}, a GAN after the last task too"),
    "rate": ("–", "--gan-lr 2e-4", "n_gen = {n_gen}, DCGAN's learning rate"),
    "improved": ("–", "--preset improved", "improved"),
    "improved-reset": ("–", "--preset improved --no-keep-gan", "GAN reset, as in the paper"),
    "improved-real": ("–", "--preset improved --solver-images real",
                      "new classes learned from real images, as in the paper"),
    "improved-mlp": ("–", "--preset improved --solver mlp", "the paper's solver"),
    "improved-hard": ("–", "--preset improved --no-soft-labels", "hard labels"),
    "improved-plain": ("–", "--preset improved --augment 0 --jitter 0", "no augmentation"),
    "improved-bytes": ("–", "--preset improved --replay real --n-gen-mode total --n-gen 3000 "
                       "--balance", "the improved solver, {n_gen} images stored"),
    "joint-improved": ("–", "--preset improved --joint", "joint training of the improved solver"),
}  # fmt: skip
# Which rows a figure or table needs: `make gan_replay/figure1`.
ITEMS = {
    "figure1": ("ngen12000",), "figure2": ("ngen1200",), "figure3": ("ngen120000",),
    "figure4": ("ngen12000",), "figure5": ("ngen1200",), "figure6": ("ngen120000",),
    "table": ("ngen12000", "ngen1200", "ngen120000", "none", "joint", "real", "bytes", "mlp",
              "balance", "balance1200", "rate", "mlp-rate", "constant", "shuffled",
              "shuffled1200"),
    "cost": ("digits", "total12000", "real", "improved"),
    "tradeoff": ("total300", "total1200", "total4000", "total12000", "ngen12000", "bytes"),
    "quality": ("ngen12000", "ngen1200", "improved", "improved-reset"),
    "improved": ("improved", "improved-reset", "improved-real", "improved-mlp", "improved-hard",
                 "improved-plain", "improved-bytes", "joint-improved"),
}  # fmt: skip
# The same in miniature: a thirtieth of the images, half the GAN's width.
DEMO = {
    "": "--dataset glyphs --train-size 2000 --test-size 1000 --gan-epochs 8 --gan-batch-size 16 "
        "--gan-width 32",
    "ngen12000": "--n-gen 400", "ngen1200": "--n-gen 40",
    "none": "--replay none", "joint": "--joint", "real": "--replay real --n-gen 2000",
    "bytes": "--replay real --n-gen-mode total --n-gen 60 --balance",
    "total12000": "--n-gen-mode total --n-gen 400",
    "improved": "--preset improved --n-gen 400 --gan-steps 300 --solver-steps 100",
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Flags and checks
# --------------------------------------------------------------------------------------------


# What --preset improved changes; each is a flag (docs/gan_replay.md: what each buys).
IMPROVED = dict(
    image_size=16, conditional=True, keep_gan=True, gan_steps=2000, n_gen=0,
    solver="conv", solver_images="auto", solver_steps=1500, solver_lr=2e-3, solver_decay=True,
    soft_labels=True, augment=0.15, jitter=0.2,
)  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Flags; `--preset improved` only moves defaults, so that each change can be undone by name."""
    parser = common.new_parser(__doc__)
    yes_no = argparse.BooleanOptionalAction
    paper = parser.add_argument_group("paper (defaults are the paper's, or our choice: Deviations)")
    add = paper.add_argument
    add("--preset", choices=["paper", "improved"], default="paper", help="which defaults to use")
    add("--replay", choices=["gan", "real", "none"], default="gan",
        help="what stands for old tasks: generated images, stored images (Sec. 4), nothing")
    add("--joint", action="store_true", help="upper bound: train once on all classes")
    add("--n-gen", type=int, default=12000,
        help="n_gen, replayed images (Sec. 3); 0: as many as a task has on average")
    add("--n-gen-mode", choices=["per-task", "total"], default="per-task",
        help="n_gen for each previous task or for all together (Sec. 4; our choice: per-task)")
    add("--balance", action=yes_no, default=False,
        help="generate until all old classes are equally frequent (the variant Sec. 2 abandoned); "
        "with --replay real repeat the stored images to as many as a task once had")
    add("--classes-per-task", type=int, default=2, help="classes in a task")
    add("--shuffle-classes", action=yes_no, default=False, help="class order by --seed")
    add("--gan", choices=["conv", "mlp"], default="conv", help="both were tried in Sec. 2")
    add("--gan-width", type=int, default=64, help="size of the GAN: the widest convolution has so "
        "many channels; the MLP's layers have 4 and 8 times as many units")
    add("--gan-epochs", type=int, nargs="+", default=[],
        help="epochs of the GAN after each task but the last (Sec. 2), or one number for all; "
        "[]: 5, 6, 7, 8 after tasks 1 to 4 (4 + t), our choice")
    add("--final-gan", action="store_true", help="train a GAN after the last task too")
    add("--gan-lr", type=float, default=1e-3, help="Adam's rate for both nets of the GAN")
    add("--gan-batch-size", type=int, default=64, help="images per GAN step")
    add("--solver-hidden", type=int, nargs="+", default=[400, 400], help="hidden layers")
    add("--solver-epochs", type=int, default=5, help="epochs of the solver on each task")
    add("--solver-lr", type=float, default=1e-3, help="Adam's rate for the solver")
    add("--batch-size", type=int, default=128, help="images per solver step")
    beyond = parser.add_argument_group("beyond the paper (on in --preset improved)")
    add = beyond.add_argument
    add("--conditional", action=yes_no, default=False,
        help="G and D are told the class; the class asked for is the label")
    add("--soft-labels", action=yes_no, default=False,
        help="replay is labelled with the old solver's probabilities (distillation)")
    add("--keep-gan", action=yes_no, default=False,
        help="the GAN of the last task is trained on instead of being reset")
    add("--gan-steps", type=int, default=0,
        help="about so many GAN steps per task (whole epochs), so that few images mean more epochs")
    add("--solver", choices=["mlp", "conv"], default="mlp", help="conv: two convolutions")
    add("--solver-images", choices=["real", "generated", "auto"], default="real",
        help="what the solver learns the new classes from. generated, auto: the GAN learns the "
        "task first; auto takes real images if a small classifier tells fewer than 80%% of images "
        "apart (real or generated; 50%% is chance; needs --conditional)")
    add("--solver-steps", type=int, default=0,
        help="about so many steps per task (whole epochs) instead of epochs")
    add("--augment", type=float, default=0.0,
        help="solver sees images turned, scaled, sheared and shifted by up to this: radians, share "
        "of the size, share of half a side")
    add("--jitter", type=float, default=0.0,
        help="solver sees half of the images as negatives, all with noise of up to this deviation")
    add("--solver-decay", action=yes_no, default=False,
        help="the solver's rate falls linearly to 0 within each task")
    common.add_data_flags(parser)
    common.add_run_flags(parser, "gan_replay")
    common.add_model_flags(parser)
    if common.preset_of(argv) == "improved":
        parser.set_defaults(**IMPROVED)
        if common.given(argv, "--gan-epochs"):
            parser.set_defaults(gan_steps=0)
        if common.given(argv, "--solver-epochs"):
            parser.set_defaults(solver_steps=0)
    args = parser.parse_args(argv)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    least = {"n_gen": 0, "threads": 0, "augment": 0, "jitter": 0, "checkpoint_every": 0, "seed": 0,
             "gan_steps": 0, "solver_steps": 0, "classes_per_task": 1, "gan_width": 1,
             "solver_epochs": 1, "batch_size": 1, "gan_batch_size": 2, "gan_epochs": 1,
             "solver_hidden": 1}  # fmt: skip
    common.check_ranges(args, least)
    if not (0 < args.gan_lr < 1 and 0 < args.solver_lr < 1):
        raise common.UserError("--gan-lr and --solver-lr must lie between 0 and 1")
    if args.joint and args.replay == "real":
        raise common.UserError("--joint has no old tasks to replay: leave --replay out")
    if args.final_gan and (args.joint or args.replay != "gan"):
        raise common.UserError("--final-gan: --joint and --replay real or none have no GAN")
    if args.joint:
        args.replay = "none"
    if args.replay != "gan":  # what a preset says of a GAN does not matter
        args.solver_images = "real"
    if args.solver_images != "real":
        args.final_gan = True
        if not args.conditional:
            raise common.UserError(f"--solver-images {args.solver_images} asks G for images of new "
                                   "classes: --conditional")  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says and write the result; or use a trained model (--load)."""
    argv = sys.argv[1:] if argv is None else argv
    if common.use_model(argv, "gan_replay", parse_args, rebuild, load_data, test_again,
                        draw_classes):  # fmt: skip
        return
    argv = common.with_row(argv, ROWS, DEMO)
    common.carry_out(run, parse_args(argv), argv, "gan_replay")


DEVIATIONS = """
Deviations, and choices where the paper is silent:
 1. Not given: sizes, optimizers, epochs. Solver: MLP of two layers of 400 (--solver-hidden), 5
    epochs per task, batches of 128, Adam 1e-3, its moments new in each task. GAN: like DCGAN, of 64
    and 32 channels, without BatchNorm in D and with PyTorch's initial weights (the MLP: 256 and 512
    units); z of 100 standard normal numbers, pixels in [-1, 1]; non-saturating loss; each batch of
    64 is a step of D on real and generated images, then one of G on the same generated ones (a
    last, smaller batch is left out, as many implementations do); Adam 1e-3, β₁ 0.5; 5, 6, 7, 8
    epochs after tasks 1 to 4; D is reset with G, the solver keeps its weights. All nets together
    are smaller than the paper's 5.7 MB; optimizers are not counted.
 2. n_gen is per previous task. The paper says that the data grow linearly with the tasks "if we
    want to preserve the number of samples for each class". --n-gen-mode total fixes the sum; new
    tasks keep all their images, which the paper would have cut to stay balanced.
 3. No GAN is trained after the last task, as nothing would be generated by it. --final-gan trains
    it, and so do --solver-images auto and generated (--preset improved), for the last task.
 4. "Validation" is the test set; nothing is chosen on it. Choices were made on training images held
    out (--validation); docs/tuning.md has the steps and --solver-images of --preset improved, the
    other tries are not kept.
 5. Images are generated with BatchNorm's running statistics, so that an image does not depend on
    its batch, and kept as bytes. Labels are the solver's most probable class. An image that it
    takes for a class still to come is kept (--balance drops it).
 6. One head, K outputs from the start, a softmax over all of them in every task; classes 0 to 9 in
    pairs (row shuffled: another order).
 7. BWT and FWT, which the paper does not define, are Lopez-Paz & Ranzato's (2017). In all our runs
    no task is answered before it is learned, so FWT is what the untrained net knows, with a minus:
    the same for all runs of a seed with the same solver, images and class order, whatever n_gen.
 8. --balance, which the paper gave up, stops after 20 images for each one wanted and uses what it
    has. In rows bytes and improved-bytes it repeats stored images until an old task has as many as
    when it was new: 1,787 take the bytes of our generator, 3,000 those of the improved one and its
    D.
"""


if __name__ == "__main__":
    common.exit_in_one_line(main)
