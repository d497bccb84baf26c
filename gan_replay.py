"""Generative continual learning: a GAN replays what a classifier would forget (Montagna, 2024).

A classifier (the *solver*) meets the ten digits two at a time and is always asked to tell all the
classes met so far apart. Trained naively it forgets at once: after "4 or 5?" it answers 4 or 5 to
everything. Storing old images would help, but here nothing real is kept. A GAN learns to draw the
images seen so far; before the next task it draws n_gen of them, the old solver labels them, and the
new task is learned from the mix. Then a fresh GAN is trained on the mix, so it learns the oldest
digits from copies of copies.

    task t:  real images ─┐                          ┌─► solver (keeps its weights) ─► R[t]
                          ├─► the mix (x, target) ───┤
             G_{t-1}(z) ──┘                          └─► GAN from scratch ─► G_t
             labelled by solver_{t-1}                      both frozen for task t + 1

paper          here                   shape
solver         solver                 images [B, C, H, W] -> logits [B, K], one head for K classes
generator      G                      z [B, 100] -> images [B, C, H, W] in [-1, 1]
discriminator  D                      images -> score [B], high for real
n_gen          --n-gen                images drawn a previous task (or in all: --n-gen-mode)
BWT, FWT       R, common.summarise    R [T+1, T]: accuracy on task j after task i; row 0: untrained

Deviations, and choices where the paper is silent (README.md measures those that matter):
 1. Not given: sizes, optimizers, epochs. Solver: MLP of two layers of 400, 5 epochs a task, batches
    of 128, Adam 1e-3, its moments new in each task. GAN: DCGAN of 64 and 32 channels (the MLP: 256
    and 512 units), non-saturating loss, batches of 64 (a last, smaller one is left out), Adam 1e-3,
    β₁ 0.5, 4 + t epochs after task t.
 2. n_gen counts a previous task: Sec. 4 says the data grow linearly with the tasks if "we want to
    preserve the number of samples for each class". --n-gen-mode total keeps the sum fixed instead.
 3. No GAN is trained after the last task, as nothing would be drawn from it (--final-gan does).
 4. "Validation" is the test set; nothing is chosen on it. Choices were made with --validation,
    which holds training images out and measures on those.
 5. Images are drawn with BatchNorm's running statistics, so that an image does not depend on its
    batch, and kept as bytes. The solver may call one a class it has not met: it stays in the mix.

    python gan_replay.py --dataset glyphs --train-size 2000 --test-size 1000 --n-gen 400 \\
        --gan-epochs 10 --gan-batch-size 16 --gan-width 32 --solver-epochs 8
    # half a minute: ACC 0.58 to 0.68, with --replay none 0.10 to 0.20
    python gan_replay.py --seed 0  # ten minutes; numbers: RESULTS.md
    # Both on one core of an AMD EPYC.
"""

import argparse
import copy
import math
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

import common

# What --preset improved changes; each is a flag (see README.md for what each one buys).
IMPROVED = dict(
    conditional=True, soft_labels=True, align=10.0, augment=0.15, gan_epochs=[15],
    solver_epochs=10, solver_decay=True,
)  # fmt: skip
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
    add("--replay", choices=["gan", "real", "none"], default="gan",
        help="what stands for old tasks: drawn images, stored images (Sec. 4), nothing")
    add("--joint", action="store_true", help="upper bound: train once on all classes")
    add("--n-gen", type=int, default=12000, help="n_gen, replayed images (Sec. 3)")
    add("--n-gen-mode", choices=["per-task", "total"], default="per-task",
        help="n_gen for each previous task or for all together (Sec. 4; our choice: per-task)")
    add("--balance", action=yes_no, default=False,
        help="draw until all old classes are equally frequent (the variant Sec. 2 abandoned); with "
        "--replay real repeat the stored images to as many as a task once had")
    add("--max-draws", type=int, default=20, help="--balance gives up after this many times n_gen")
    add("--classes-per-task", type=int, default=2, help="classes in a task")
    add("--shuffle-classes", action=yes_no, default=False, help="class order by --seed")
    add("--gan", choices=["conv", "mlp"], default="conv", help="both were tried in Sec. 2")
    add("--gan-width", type=int, default=64, help="channels of the GAN at a quarter of the size")
    add("--latent", type=int, default=100, help="size of z")
    add("--gan-epochs", type=int, nargs="+", default=[],
        help="epochs of the GAN after each task but the last (Sec. 2), or one number for all; "
        "[]: 4 + t after task t, our choice")
    add("--final-gan", action="store_true", help="train a GAN after the last task too")
    add("--gan-lr", type=float, default=1e-3, help="Adam's rate for both nets of the GAN")
    add("--gan-batch-size", type=int, default=64, help="images a GAN step")
    add("--solver-hidden", type=int, nargs="+", default=[400, 400], help="hidden layers")
    add("--solver-epochs", type=int, default=5, help="epochs of the solver on each task")
    add("--solver-lr", type=float, default=1e-3, help="Adam's rate for the solver")
    add("--batch-size", type=int, default=128, help="images a solver step")
    beyond = parser.add_argument_group("beyond the paper (on in --preset improved)")
    add = beyond.add_argument
    add("--conditional", action=yes_no, default=False,
        help="G and D are told the class; the class asked for is the label")
    add("--soft-labels", action=yes_no, default=False,
        help="replay is labelled with the old solver's probabilities (distillation)")
    add("--align", type=float, default=0.0,
        help="> 0: keep the GAN's weights, show D new images only, and hold G to G_{t-1} on old "
        "classes with this weight (needs --conditional)")
    add("--augment", type=float, default=0.0,
        help="solver sees images turned, scaled, sheared and shifted by up to this")
    add("--solver-decay", action=yes_no, default=False,
        help="the solver's rate falls linearly to 0 within each task")
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
    add("--compile", action="store_true", help="torch.compile the GAN's nets")
    add("--evals-per-epoch", type=int, default=4, help="points an epoch on the training curves")
    add("--checkpoint-every", type=float, default=30.0, help="seconds between checkpoints")
    add("--out", default="results/gan_replay/run-seed{seed}.json",
        help="the result, one JSON file; {seed} stands for --seed")
    report = parser.add_argument_group("report (no training: figures and tables from JSON)")
    add = report.add_argument
    add("--report", default="", metavar="DIR", help="draw everything from the results in DIR")
    add("--figures", default="figures/gan_replay", metavar="DIR", help="where --report draws")
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
    least = {"n_gen": 0, "threads": 0, "augment": 0, "align": 0, "checkpoint_every": 0, "seed": 0,
             "max_draws": 1, "classes_per_task": 1, "gan_width": 1, "latent": 1, "solver_epochs": 1,
             "batch_size": 1, "evals_per_epoch": 1, "gan_batch_size": 2, "gan_epochs": 1,
             "solver_hidden": 1}  # fmt: skip
    common.check_ranges(args, least)
    if not (0 < args.gan_lr < 1 and 0 < args.solver_lr < 1):
        raise common.UserError("--gan-lr and --solver-lr must lie between 0 and 1")
    if args.align and not args.conditional:
        raise common.UserError("--align holds old classes still, so it needs --conditional")
    if args.joint and args.replay == "real":
        raise common.UserError("--joint has no old tasks to replay: leave --replay out")
    if args.final_gan and (args.joint or args.replay != "gan"):
        raise common.UserError("--final-gan: --joint and --replay real or none have no GAN")
    if args.joint:
        args.replay = "none"
    args.out = args.out.replace("{seed}", str(args.seed))


# --------------------------------------------------------------------------------------------
# Models: images are [B, C, H, W] in [-1, 1], labels y int64 [B], K classes
# --------------------------------------------------------------------------------------------


def make_solver(shape: tuple[int, int, int], K: int, hidden: list[int]) -> nn.Sequential:
    """The classifier, an MLP (Sec. 2): [B, C, H, W] -> logits [B, K]."""
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


class Generator(nn.Module):
    """z [B, latent], y [B] -> images [B, C, H, W] in [-1, 1]; y is ignored unless conditional."""

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int):
        super().__init__()
        self.K = K if args.conditional else 0
        build = conv_generator if args.gan == "conv" else mlp_generator
        self.net = build(args.latent + self.K, shape, args.gan_width)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        if self.K:  # the class as a one-hot vector beside the noise (Mirza & Osindero 2014)
            z = torch.cat([z, F.one_hot(y, self.K).to(z.dtype)], dim=1)  # [B, latent + K]
        return self.net(z)


class Discriminator(nn.Module):
    """images [B, C, H, W], y [B] -> score [B], high for real; y is ignored unless conditional."""

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int):
        super().__init__()
        build = conv_features if args.gan == "conv" else mlp_features
        self.features, size = build(shape, args.gan_width)
        self.score = nn.Linear(size, 1)
        self.classes = nn.Embedding(K, size) if args.conditional else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)  # [B, size]
        score = self.score(h).squeeze(1)
        if self.classes is not None:  # the projection discriminator (Miyato & Koyama 2018, Eq. 4)
            score = score + (h * self.classes(y)).sum(1)
        return score


def to_float(x: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1, any shape."""
    return x.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Undo `to_float`: what is kept between epochs is a byte a pixel."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def augment(x: Tensor, most: float) -> Tensor:
    """Turn, scale, shear and shift images [B, C, H, W] at random; edges are filled with -1.

    `most` bounds each: radians, fractions of the size, and shifts in halves of a side.
    """
    angle, zoom, shear, right, down = most * (2 * torch.rand(5, len(x), device=x.device) - 1)
    # From a point of the result back to the image:  [(1 + zoom) cos   shear - sin      right]
    #                                                [sin              (1 + zoom) cos   down ]
    cos, sin = (1 + zoom) * angle.cos(), angle.sin()
    matrix = torch.stack([cos, shear - sin, right, sin, cos, down], 1).view(-1, 2, 3)  # [B, 2, 3]
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # [B, H, W, 2]
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


# --------------------------------------------------------------------------------------------
# Drawing and labelling the past (Sec. 2)
# --------------------------------------------------------------------------------------------


@torch.no_grad()
def draw(
    G: nn.Module, solver: nn.Module, x: Tensor, target: Tensor, y: Tensor, seen: Tensor,
    args: argparse.Namespace, seed: int, balance: bool, chunk: int = 1000,
) -> tuple[int, int]:
    """Draw images of the classes `seen` [k] from the frozen G, labelled by the frozen solver.

    Fills x uint8 [n, C, H, W], target float [n, K] (one-hot, or the solver's softmax) and classes
    y int64 [n]. Returns how many rows were filled (fewer than n only when `balance` gave up) and
    how many images that took.
    """  # fmt: skip
    n, K, device = len(x), target.shape[1], x.device
    rng = torch.Generator(device).manual_seed(seed)  # its own, so that a resumed run draws the same
    quota = torch.zeros(K, dtype=torch.int64, device=device)
    quota[seen] = n // len(seen)
    quota[seen[: n % len(seen)]] += 1
    count = torch.zeros_like(quota)
    filled = drawn = 0
    while filled < n and drawn < args.max_draws * n:
        z = torch.randn(chunk, args.latent, generator=rng, device=device)
        asked = seen[torch.arange(chunk, device=device) % len(seen)]
        images = to_uint8(G(z, asked))
        p = solver(to_float(images)).softmax(1)  # [chunk, K]
        label = p.argmax(1)  # "labeled using the solver"
        keep = torch.ones_like(label, dtype=torch.bool)
        if args.conditional:  # here the label is the class asked for
            keep = label == asked if balance else keep
            label = asked
        if balance:  # keep the first quota[c] images of every class c
            one_hot = F.one_hot(label, K) * keep[:, None]  # [chunk, K]
            place = (count + one_hot.cumsum(0)).gather(1, label[:, None]).squeeze(1)  # [chunk]
            keep = keep & (place <= quota[label])
        chosen = keep.nonzero().squeeze(1)[: n - filled]
        rows = slice(filled, filled + len(chosen))
        x[rows], y[rows] = images[chosen], label[chosen]
        target[rows] = p[chosen] if args.soft_labels else F.one_hot(label[chosen], K).float()
        count += torch.bincount(label[chosen], minlength=K)
        filled, drawn = filled + len(chosen), drawn + chunk
    return filled, drawn


def stored_images(
    y: Tensor, tasks: list[list[int]], t: int, args: argparse.Namespace
) -> tuple[Tensor, int]:
    """Vanilla replay (Sec. 4): indices of old tasks' images to mix in, and how many are stored.

    A random choice, made once, of n_gen a task, or of n_gen in all, of which every task then gives
    up a part when a new one comes. With --balance they are repeated to the number there once was.
    """  # fmt: skip
    chosen, stored = [], 0
    for j in range(t):
        index = common.indices_of(y, tasks[j])
        rng = torch.Generator().manual_seed(args.seed * 1000 + j)
        share = args.n_gen if args.n_gen_mode == "per-task" else args.n_gen // t
        kept = index[torch.randperm(len(index), generator=rng).to(y.device)[:share]]
        stored += len(kept)
        times = len(index) if args.balance and share else len(kept)
        chosen.append(kept[torch.arange(times, device=y.device) % max(len(kept), 1)])
    return torch.cat(chosen), stored


def mix(nets: dict, data: dict, t: int, args: argparse.Namespace, note: dict) -> tuple[Tensor, ...]:
    """The task's images with those that stand for the past: x uint8, target [n, K], class [n].

    The first `note["new"]` rows are the task's own. What the past gave is written into `note`.
    """
    K, device = data["K"], data["x"].device
    index = common.indices_of(data["y"], data["tasks"][t])
    note.update(new=len(index), replayed=[0] * K, drawn=0, stored=0)
    if t and args.replay == "real":
        old, note["stored"] = stored_images(data["y"], data["tasks"], t, args)
        index = torch.cat([index, old])
    n_old = 0
    if t and args.replay == "gan":
        n_old = args.n_gen * (t if args.n_gen_mode == "per-task" else 1)
    real = len(index)
    x = torch.empty(real + n_old, *data["shape"], dtype=torch.uint8, device=device)
    y = torch.empty(real + n_old, dtype=torch.int64, device=device)
    target = torch.empty(real + n_old, K, device=device)
    x[:real], y[:real] = data["x"][index], data["y"][index]
    target[:real] = F.one_hot(y[:real], K).float()
    end, seen = real, sum(data["tasks"][:t], [])
    if n_old:
        filled, note["drawn"] = draw(
            nets["old_G"], nets["old_solver"], x[real:], target[real:], y[real:],
            torch.tensor(seen, device=device), args, args.seed * 1000 + t, args.balance,
        )  # fmt: skip
        end += filled
    note["replayed"] = torch.bincount(y[note["new"] : end], minlength=K).tolist()
    missing = [c for c in seen if not note["replayed"][c]]
    if missing and args.replay != "none":
        print(f"warning: task {t + 1}: nothing replayed of classes {missing}", file=sys.stderr)
    return x[:end], target[:end], y[:end]


def sample(nets: dict, data: dict, t: int, args: argparse.Namespace, n: int = 60) -> dict:
    """n images of what G draws after task t, sorted by the solver's label, for the figure."""
    device = data["x"].device
    x = torch.empty(n, *data["shape"], dtype=torch.uint8, device=device)
    target, y = torch.empty(n, data["K"], device=device), torch.empty_like(x[:, 0, 0, 0]).long()
    seen = torch.tensor(sum(data["tasks"][: t + 1], []), device=device)
    draw(nets["old_G"], nets["solver"], x, target, y, seen, args, args.seed, balance=False)
    return common.pack_images(x[y.argsort()])


# --------------------------------------------------------------------------------------------
# Training: one epoch of the solver, one epoch of the GAN
# --------------------------------------------------------------------------------------------


def train_solver(
    nets: dict, x: Tensor, target: Tensor, epoch: int, args: argparse.Namespace,
    evaluate: Callable[[int], None], bar: tqdm,
) -> float:
    """One epoch of cross entropy on the mix; its mean loss. `evaluate` notes the curves."""
    solver, optimizer = nets["solver"], nets["solver_opt"]
    batches = torch.randperm(len(x), device=x.device).split(args.batch_size)
    marks = {len(batches) * k // args.evals_per_epoch for k in range(1, args.evals_per_epoch + 1)}
    total = torch.zeros((), device=x.device)
    for step, index in enumerate(batches, 1):
        image = to_float(x[index])
        if args.augment:
            image = augment(image, args.augment)
        loss = F.cross_entropy(solver(image), target[index])
        if args.solver_decay:
            done = (epoch + step / len(batches)) / args.solver_epochs
            optimizer.param_groups[0]["lr"] = args.solver_lr * (1 - done)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
        bar.update(len(index))
        if step in marks:
            evaluate(step)
    return total.item() / len(batches)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log σ(D(x))] - E[log(1 - σ(D(G(z))))] of scores [B] (Goodfellow et al. 2014, Eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-E[log σ(D(G(z)))] of scores [B]: non-saturating (Goodfellow et al. 2014, Sec. 3)."""
    return F.softplus(-fake).mean()


def train_gan(
    nets: dict, x: Tensor, y: Tensor, seen: Tensor, args: argparse.Namespace, bar: tqdm
) -> tuple[float, float]:
    """One epoch of the GAN on images x uint8 [n, C, H, W] of classes y [n]; mean losses of D and G.

    With --align λ also what MeRGAN calls replay alignment (Wu et al. 2018, Sec. 3.3), here with an
    L1 distance: on classes `seen` [k] before this task, L_G += λ E|G(z, y) - G_{t-1}(z, y)|.
    """
    G, D, old = nets["fast_G"], nets["fast_D"], nets["old_G"]
    B = min(args.gan_batch_size, len(x))
    batches = torch.randperm(len(x), device=x.device)[: len(x) // B * B].split(B)  # all full
    align = args.align > 0 and len(seen) > 0
    total = torch.zeros(2, device=x.device)
    for index in batches:
        real, asked = to_float(x[index]), y[index]
        z = torch.randn(B, args.latent, device=x.device)
        if align:  # one pass of G for new and old classes
            z_old = torch.randn_like(z)
            y_old = seen[torch.randint(len(seen), (B,), device=x.device)]
            fake, fake_old = G(torch.cat([z, z_old]), torch.cat([asked, y_old])).chunk(2)
        else:
            fake = G(z, asked)
        D.requires_grad_(True)
        score = D(torch.cat([real, fake.detach()]), torch.cat([asked, asked]))  # [2B]
        loss_D = discriminator_loss(score[:B], score[B:])
        nets["D_opt"].zero_grad()
        loss_D.backward()
        nets["D_opt"].step()
        D.requires_grad_(False)  # G's step needs no gradients of D's weights
        loss_G = generator_loss(D(fake, asked))
        if align:
            with torch.no_grad():
                goal = old(z_old, y_old)
            loss_G = loss_G + args.align * (fake_old - goal).abs().mean()
        nets["G_opt"].zero_grad()
        loss_G.backward()
        nets["G_opt"].step()
        total += torch.stack([loss_D.detach(), loss_G.detach()])
        bar.update(B)
    return tuple((total / len(batches)).tolist())


# --------------------------------------------------------------------------------------------
# The whole sequence of tasks
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> dict:
    """On the device: x, y, x_test, y_test; also tasks, `owner` (class -> task), K and shape."""
    data = common.load_dataset(
        args.dataset, args.data_dir, image_size=args.image_size, train_size=args.train_size,
        test_size=args.test_size, validation=args.validation, seed=args.seed,
    )  # fmt: skip
    if torch.bincount(data.y_train).min() < 2:
        raise common.UserError("a class has a single training image: use more images")
    K, shape = len(data.classes), tuple(data.x_train.shape[1:])
    if args.gan == "conv" and args.replay == "gan" and (shape[1] % 4 or shape[2] % 4):
        size = f"{shape[1]}x{shape[2]}"
        raise common.UserError(f"--gan conv needs sides that 4 divides, not {size}: --image-size")
    order = common.class_order(K, args.seed, args.shuffle_classes)
    tasks = common.split_classes(order, args.classes_per_task)
    owner = common.task_of_class(tasks)
    images = {"x": data.x_train, "y": data.y_train, "x_test": data.x_test, "y_test": data.y_test}
    images = {name: tensor.to(device) for name, tensor in images.items()}
    return {**images, "tasks": [order] if args.joint else tasks, "owner": owner, "K": K,
            "shape": shape}  # fmt: skip


def gan_epochs(args: argparse.Namespace, n_tasks: int) -> list[int]:
    """Epochs of the GAN after each task; 0 where none is trained (Deviation 3)."""
    n_gans = n_tasks - 1 + args.final_gan
    if args.replay != "gan" or not args.n_gen or not n_gans:
        return [0] * n_tasks
    given = args.gan_epochs or [5 + t for t in range(n_gans)]
    if len(given) not in (1, n_gans):
        raise common.UserError(
            f"--gan-epochs has {len(given)} numbers, but {n_gans} GANs are trained in {n_tasks} "
            f"tasks: give 1 or {n_gans}"
        )
    given = given * n_gans if len(given) == 1 else given
    return (given + [0])[:n_tasks]


def fresh_gan(nets: dict, args: argparse.Namespace, data: dict, keep: bool = False) -> None:
    """Reset the GAN (Sec. 2); `keep` its weights and only its optimizers are new (--align)."""
    for name, net in (("G", Generator), ("D", Discriminator)):
        if not keep:
            nets[name] = net(args, data["shape"], data["K"]).to(data["x"].device)
            nets[name].to(memory_format=torch.channels_last)  # a tenth faster on CPUs
            nets[f"fast_{name}"] = torch.compile(nets[name]) if args.compile else nets[name]
        nets[f"{name}_opt"] = torch.optim.Adam(
            nets[name].parameters(), args.gan_lr, betas=(0.5, 0.999), fused=True
        )  # β1 = 0.5 as in DCGAN (Radford et al. 2016)


def accuracies(solver: nn.Module, data: dict) -> list[float]:
    """The next row of R, on the full test set, all K classes competing."""
    return common.accuracy_by_task(
        lambda x: solver(to_float(x)), data["x_test"], data["y_test"], data["owner"]
    )


def progress(what: str, images: int, done: int, epochs: int) -> tqdm:
    """A bar in images, shown on a terminal only."""
    return tqdm(desc=what, total=images * epochs, initial=images * done, unit="img", disable=None,
                leave=False)  # fmt: skip


def size_in_bytes(net: nn.Module) -> int:
    """Parameters and buffers."""
    return sum(v.numel() * v.element_size() for v in [*net.parameters(), *net.buffers()])


def check_finite(losses: list[float], what: str, args: argparse.Namespace) -> None:
    """RunError when a loss has become NaN or infinite."""
    if not all(math.isfinite(v) for v in losses):
        raise common.RunError(
            f"{what}: the loss is {losses}; lower --gan-lr or --solver-lr, and delete the last "
            f"good checkpoint, {args.out}.ckpt, if there is one"
        )


def learn_task(
    nets: dict, data: dict, t: int, epochs: int, done: dict, record: dict,
    args: argparse.Namespace, save: Callable[[], None],
) -> None:
    """Sec. 2 for one task: draw the past, train the solver on the mix, then the GAN, freeze both.

    `done` counts the epochs that are finished, so that a resumed task continues after them.
    """  # fmt: skip
    label = f"{Path(args.out).stem}, task {t + 1}/{len(data['tasks'])}"  # make runs two at a time
    clock = time.perf_counter()
    if len(record["tasks"]) == t:
        record["tasks"].append({})
        record["timing"].append(dict(draw_s=0.0, solver_s=0.0, evaluation_s=0.0, gan_s=0.0))
    note, seconds = record["tasks"][t], record["timing"][t]
    x, target, y = mix(nets, data, t, args, note)
    seconds["draw_s"] += time.perf_counter() - clock

    def evaluate(step: int) -> None:
        start = time.perf_counter()
        record["curve"].append([done["step"] + step, *accuracies(nets["solver"], data)])
        seconds["evaluation_s"] += time.perf_counter() - start

    if not done["solver"]:  # the solver keeps its weights, Adam starts anew
        nets["solver_opt"] = torch.optim.Adam(
            nets["solver"].parameters(), args.solver_lr, fused=True
        )
    with progress(f"{label} solver", len(x), done["solver"], args.solver_epochs) as bar:
        while done["solver"] < args.solver_epochs:
            clock, before = time.perf_counter(), seconds["evaluation_s"]
            loss = train_solver(nets, x, target, done["solver"], args, evaluate, bar)
            check_finite([loss], f"{label}, solver epoch {done['solver'] + 1}", args)
            evaluation = seconds["evaluation_s"] - before
            seconds["solver_s"] += time.perf_counter() - clock - evaluation
            done["solver"] += 1
            done["step"] += -(-len(x) // args.batch_size)
            save()
    if len(record["R"]) == t + 1:
        record["R"].append(accuracies(nets["solver"], data))
        print(f"{label}: accuracy by task {' '.join(f'{a:.3f}' for a in record['R'][-1])}")

    seen = torch.tensor(sum(data["tasks"][:t], []), dtype=torch.int64, device=x.device)
    align = args.align > 0 and t > 0
    if epochs and not done["gan"]:
        fresh_gan(nets, args, data, keep=align)
    if align:  # G_{t-1} stands for the old images: D sees the new ones alone
        x, y = x[: note["new"]], y[: note["new"]]
    with progress(f"{label} GAN", len(x), done["gan"], epochs) as bar:
        while done["gan"] < epochs:
            clock = time.perf_counter()
            losses = train_gan(nets, x, y, seen if align else seen[:0], args, bar)
            check_finite(losses, f"{label}, GAN epoch {done['gan'] + 1}", args)
            seconds["gan_s"] += time.perf_counter() - clock
            done["gan"] += 1
            save()
    note.update(solver_images=args.solver_epochs * (note["new"] + sum(note["replayed"])))
    note.update(gan_images=epochs * len(x), last_step=done["step"])
    if epochs:
        nets["old_G"] = copy.deepcopy(nets["G"]).eval()
        record["grids"].append(sample(nets, data, t, args))
    nets["old_solver"] = copy.deepcopy(nets["solver"])  # labels the next task's replay
    done.update(task=t + 1, solver=0, gan=0)


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence and return the result (see common.write_result)."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = common.choose_device(args.device)
    environment = common.environment(device)
    common.seed_everything(args.seed)
    data = load_data(args, device)
    epochs = gan_epochs(args, len(data["tasks"]))
    solver = make_solver(data["shape"], data["K"], args.solver_hidden).to(device)
    nets = {"solver": solver, "solver_opt": torch.optim.Adam(solver.parameters(), fused=True)}
    fresh_gan(nets, args, data)
    nets["old_G"], nets["old_solver"] = copy.deepcopy(nets["G"]).eval(), copy.deepcopy(solver)

    # done: finished tasks, epochs of the current task, solver steps and seconds in all.
    # record: what becomes JSON. R [T + 1, T]; curve, rows of [step, accuracy on task 1 ... T]; and
    # for every task its counts (tasks), seconds (timing) and a sample of what G draws (grids).
    done: dict = {"task": 0, "solver": 0, "gan": 0, "step": 0, "seconds": 0.0}
    record: dict = {"R": [accuracies(solver, data)], "curve": [], "tasks": [], "grids": [],
                    "timing": []}  # fmt: skip
    identity = {k: v for k, v in vars(args).items() if k not in NO_EFFECT}
    checkpoint = f"{args.out}.ckpt"
    stored = common.load_checkpoint(checkpoint, identity)
    stateful = [name for name in nets if not name.startswith("fast_")]
    if stored:  # continue as if nothing had happened
        done, record = stored["state"]["done"], stored["state"]["record"]
        for name in stateful:
            nets[name].load_state_dict(stored["state"]["nets"][name])
        common.set_rng_state(stored["rng"], device)
        print(f"continuing from {checkpoint} in task {done['task'] + 1}", file=sys.stderr)
    begun, saved = time.perf_counter() - done["seconds"], time.perf_counter()

    def save() -> None:
        nonlocal saved
        if time.perf_counter() - saved >= args.checkpoint_every:
            done["seconds"] = time.perf_counter() - begun
            states = {name: nets[name].state_dict() for name in stateful}
            state = {"done": done, "record": record, "nets": states}
            common.save_checkpoint(checkpoint, identity, state, device)
            saved = time.perf_counter()

    for t in range(done["task"], len(data["tasks"])):
        learn_task(nets, data, t, epochs[t], done, record, args, save)
    timing = record.pop("timing")
    memory = {name: size_in_bytes(nets[name]) for name in ("solver", "G", "D")}
    memory |= {"image": math.prod(data["shape"]), "train": len(data["x"])}
    return {
        "schema": common.SCHEMA, "script": "gan_replay", "seed": args.seed,
        "args": {k: v for k, v in vars(args).items() if k not in REPORT},
        "metrics": common.summarise(record["R"]),
        "memory": memory, **record,
        "timing": {"wall_s": time.perf_counter() - begun, "tasks": timing},
        "environment": environment | common.peak_memory(device),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# Figures and tables, from the JSON of finished runs alone
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make reproduce-gan_replay` runs them all.
RUNS = {
    "ngen12000": ("Figs. 1, 4; table", "--n-gen 12000", "GAN replay, n_gen = {n_gen}"),
    "ngen1200": ("Figs. 2, 5; table", "--n-gen 1200", "GAN replay, n_gen = {n_gen}"),
    "ngen120000": ("Figs. 3, 6; table", "--n-gen 120000", "GAN replay, n_gen = {n_gen}"),
    "none": ("Sec. 1, naive", "--replay none", "no replay (naive bound)"),
    "joint": ("–", "--joint", "joint training (upper bound)"),
    "real": ("Sec. 4, vanilla replay", "--replay real --n-gen 60000",
             "vanilla replay, all images stored"),
    "bytes": ("–", "--replay real --n-gen-mode total --n-gen 1787 --balance",
              "vanilla replay, {n_gen} images stored"),
    "mlp": ("Sec. 2, MLP", "--gan mlp", "GAN replay, MLP instead of conv"),
    "balance": ("Sec. 2, same number", "--balance", "GAN replay, balanced by rejection"),
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
    "improved-reset": ("–", "--preset improved --align 0",
                       "no alignment: GAN reset and trained on the mix, as in the paper"),
    "improved-unconditional": ("–", "--preset improved --align 0 --no-conditional",
                               "no alignment and no classes for the GAN"),
    "improved-hard": ("–", "--preset improved --no-soft-labels", "hard labels"),
    "improved-plain": ("–", "--preset improved --augment 0", "no augmentation"),
    "improved-constant": ("–", "--preset improved --no-solver-decay", "constant solver rate"),
    "improved-gan5": ("–", "--preset improved --gan-epochs 5", "5 GAN epochs, not 15"),
    "improved-reject": ("–", "--preset improved --balance",
                        "plus: drop images the solver disagrees with"),
    "improved-bytes": ("–", "--preset improved --replay real --n-gen-mode total --n-gen 2294 "
                       "--balance", "the improved solver, {n_gen} images stored"),
    "joint-improved": ("–", "--preset improved --joint", "joint training of the improved solver"),
}  # fmt: skip
METRICS = ("ACC", "BWT", "FWT", "forgetting")
PAPER = {  # the table of Sec. 4
    "ngen12000": {"BWT": -0.609, "FWT": -0.100},
    "ngen1200": {"BWT": -0.661, "FWT": -0.116},
    "ngen120000": {"BWT": -0.954, "FWT": -0.131},
}


def draw_training(runs: list[dict], ax: Axes) -> None:
    """Figures 1-3: accuracy on every task met so far, and their mean, while the solver trains."""
    points = min(len(run["curve"]) for run in runs)
    curves = np.array([run["curve"][:points] for run in runs])  # [seeds, points, 1 + T]
    steps, curve = curves[0, :, 0], curves.mean(0)[:, 1:]
    ends = [task["last_step"] for task in runs[0]["tasks"]]
    for j, begin in enumerate([0, *ends[:-1]]):
        now = steps > begin
        line = ax.plot(steps[now], curve[now, j], lw=1, label=f"task {j + 1}")[0]
        low, high = curves[:, now, 1 + j].min(0), curves[:, now, 1 + j].max(0)
        ax.fill_between(steps[now], low, high, color=line.get_color(), alpha=0.15, lw=0)
        ax.axvline(ends[j], color="0.8", lw=0.8, zorder=0)
    met = 1 + np.searchsorted(ends, steps)
    ax.plot(steps, [row[:k].mean() for row, k in zip(curve, met)], "k", lw=1.8, label="mean")
    ax.set(xlabel="solver step", ylabel="test accuracy", ylim=(-0.02, 1.02))
    ax.figure.legend(fontsize=7, loc="outside right")


def draw_tasks(runs: list[dict], ax: Axes) -> None:
    """Figures 4-6: accuracy on each task after each task, mean and SD over the seeds."""
    R = np.array([run["R"] for run in runs])  # [seeds, T + 1, T]
    T = R.shape[2]
    spread = R.std(0, ddof=1) if len(R) > 1 else np.zeros_like(R[0])
    for j in range(T):
        after = np.arange(j + 1, T + 1)
        ax.errorbar(after, R.mean(0)[after, j], spread[after, j], marker="o", ms=4, capsize=2,
                    label=f"task {j + 1}")  # fmt: skip
    ax.set(xlabel="after task", ylabel="test accuracy", ylim=(-0.02, 1.02), xticks=range(1, T + 1))
    ax.figure.legend(fontsize=7, loc="outside right")


def draw_averages(runs: dict[str, list[dict]], ax: Axes) -> None:
    """A_t, the accuracy over the classes met so far, of the method, its bounds and our preset."""
    for name in ("none", "ngen12000", "bytes", "real", "improved"):
        if name in runs:
            A = np.array([run["metrics"]["A"] for run in runs[name]])  # [seeds, T]
            t = range(1, A.shape[1] + 1)
            real = dict(ls=":", marker="s", ms=7, mfc="none") if name == "real" else {}
            ax.plot(t, A.mean(0), **(dict(marker="o", ms=4) | real), label=runs[name][0]["label"])
            ax.set_xticks(t)
    if "joint" in runs:
        ax.axhline(np.mean([run["metrics"]["ACC"] for run in runs["joint"]]), ls="--", color="0.4",
                   label=runs["joint"][0]["label"])  # fmt: skip
    ax.set(xlabel="after task", ylabel="accuracy on all classes so far", ylim=(0, 1.02))
    ax.figure.legend(fontsize=8, loc="outside lower center", ncols=2)


def draw_cost(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Sec. 4, computation: images trained on and seconds for each task."""
    growing = "digits" if "digits" in runs else "ngen12000"
    for name in (growing, "total12000", "real", "improved"):
        if name not in runs:
            continue
        images = [[(v["solver_images"] + v["gan_images"]) / 1000 for v in run["tasks"]]
                  for run in runs[name]]  # fmt: skip
        seconds = [[sum(v.values()) - v["evaluation_s"] for v in run["timing"]["tasks"]]
                   for run in runs[name]]  # fmt: skip
        for ax, values in zip(axes, (images, seconds)):
            mean = np.mean(values, axis=0)
            ax.plot(range(1, len(mean) + 1), mean, marker="o", ms=4, label=runs[name][0]["label"])
    for ax, what in zip(axes, ("thousand images trained on", "seconds")):
        ax.set(xlabel="task", ylabel=what, ylim=(0, None))
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=2,
                          loc="outside lower center")  # fmt: skip


def draw_trade_off(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """The trade-off Sec. 4 proposes: accuracy, BWT and time against a fixed total of images."""
    totals = [runs[name] for name in RUNS if name.startswith("total") and name in runs]
    n = [some[0]["args"]["n_gen"] for some in totals]
    values = (
        ("final accuracy", lambda run: run["metrics"]["ACC"]),
        ("BWT", lambda run: run["metrics"].get("BWT", math.nan)),
        ("seconds", lambda run: run["timing"]["wall_s"]),
    )
    for ax, (what, value) in zip(axes, values):
        ax.plot(n, [np.mean([value(run) for run in some]) for some in totals], marker="o",
                label="GAN replay, fixed total")  # fmt: skip
        for name, style in (("ngen12000", ":"), ("bytes", "--")):
            if name in runs:
                label = runs[name][0]["label"] + " a task" * (name == "ngen12000")
                ax.axhline(np.mean([value(run) for run in runs[name]]), ls=style, color="0.3",
                           label=label)  # fmt: skip
        ax.set(xlabel="generated images in total", ylabel=what, xscale="log")
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), fontsize=8, ncols=3,
                          loc="outside lower center")  # fmt: skip


def draw_digits(runs: list[dict], axes: list[Axes]) -> None:
    """What the generator draws after each task: 60 images, sorted by the solver's label."""
    for t, (ax, packed) in enumerate(zip(np.atleast_1d(axes), runs[0]["grids"])):
        x = common.unpack_images(packed)  # [60, C, H, W]
        _, C, H, W = x.shape
        tiled = x.reshape(3, 20, C, H, W).transpose(0, 3, 1, 4, 2).reshape(3 * H, 20 * W, C)
        ax.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[], ylabel=f"after task {t + 1}")


def memory_table(run: dict) -> str:
    """Sec. 4, memory: what each kind of replay keeps after every task, in MB of 10^6 bytes."""
    memory, tasks = run["memory"], run["tasks"]
    nets = [memory[name] / 1e6 for name in ("solver", "G", "D")]
    rows = [["solver + generator + discriminator (paper: 5.7)"] + [f"{sum(nets):.2f}"] * len(tasks),
            ["of these, the generator, which alone stands for the past"]
            + [f"{nets[1]:.2f}"] * len(tasks)]  # fmt: skip
    stored = np.cumsum([task["new"] for task in tasks]) * memory["image"] / 1e6
    rows.append(["all images as float32 (paper: around 180)"] + [f"{4 * v:.1f}" for v in stored])
    rows.append(["all images as bytes"] + [f"{v:.1f}" for v in stored])
    header = ["MB kept", *(f"after task {t + 1}" for t in range(len(tasks)))]
    return common.markdown_table(header, rows)


def speed_table(runs: dict[str, list[dict]]) -> str:
    """Images a second on this machine's cores, from `make bench`."""
    rows = []
    for run in sum(runs.values(), []):
        tasks, times = run["tasks"], run["timing"]["tasks"]
        rates = (sum(v[f"{net}_images"] for v in tasks) / sum(v[f"{net}_s"] for v in times)
                 for net in ("gan", "solver"))  # fmt: skip
        env = run["environment"]
        rows.append([env["device"], str(env["threads"]), *(f"{rate:.0f}" for rate in rates)])
    return common.markdown_table(["device", "threads", "GAN images/s", "solver images/s"], rows)


def report(args: argparse.Namespace) -> None:
    """Draw every figure and table that the results in --report allow; name what is missing."""
    runs = common.read_results(args.report, "gan_replay")
    common.check_writable(Path(args.figures) / "tables.md")
    common.name_missing(runs, RUNS, "gan_replay", args.report)
    speed = {name: runs[name] for name in runs if name.startswith("speed")}
    runs = {name: runs[name] for name in RUNS if name in runs}
    for name, (first, *_) in runs.items():
        first["label"] = RUNS[name][2].format(**first["args"])
        if len(first["R"]) != len(first["R"][0]) + 1 and not name.startswith("joint"):
            raise common.UserError(f"{first['path']} is not a run of {RUNS[name][1]}: remove it")
    if not runs:
        raise common.UserError(f"--report {args.report}: name the results NAME-seedS.json, NAME "
                               f"one of {', '.join(RUNS)}")  # fmt: skip
    one = next(iter(runs.values()))[0]["args"]
    paper = PAPER if one["dataset"] == "mnist" and not one["train_size"] else {}

    def figure(file: str, draw, chosen, title: str, rows: int = 1, columns: int = 1, **size):
        fig = Figure(layout="constrained", dpi=150, **size)
        fig.suptitle(title, fontsize=10)
        draw(chosen, fig.subplots(rows, columns))
        common.save_figure(fig, Path(args.figures) / f"{file}.png")

    for number, name in enumerate(PAPER, 1):
        if name not in runs:
            continue
        for draw_one, figure_of in ((draw_training, number), (draw_tasks, number + 3)):
            title = f"Figure {figure_of}: {runs[name][0]['label']}"
            figure(f"figure{figure_of}", draw_one, runs[name], title, figsize=(6, 3.4))
    figure("averages", draw_averages, runs, "Accuracy on all classes met so far", figsize=(6, 4.4))
    figure("cost", draw_cost, runs, "Cost of every task (Sec. 4)", 1, 2, figsize=(8, 3.9))
    if any(name.startswith("total") for name in runs):
        title = "A fixed total of generated images (the trade-off of Sec. 4)"
        figure("trade_off", draw_trade_off, runs, title, 1, 3, figsize=(10, 3.6))
    for name in [name for name in ("ngen12000", "digits", "improved") if name in runs]:
        title, n = f"What is drawn: {runs[name][0]['label']}", len(runs[name][0]["grids"])
        if n:
            figure(f"digits_{name}", draw_digits, runs[name], title, n, figsize=(8, 1.3 * n + 0.3))
    tables = {}
    for part in ("results", "improved"):
        own = {k: v for k, v in runs.items() if ("improved" in k) == (part == "improved")}
        tables[f"gan_replay {part}"] = common.results_table(own, RUNS, METRICS, paper)
    tables["gan_replay speed"] = speed_table(speed)
    if "ngen12000" in runs:
        tables["gan_replay memory"] = memory_table(runs["ngen12000"][0])
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
        table = common.comparison(*args.compare, "gan_replay", RUNS, METRICS, PAPER)
        return print(table, end="")
    if args.report or "--report" in argv:
        return report(args)
    common.check_writable(args.out)
    result = {"command": shlex.join(["python", "gan_replay.py", *argv]), **run(args)}
    common.write_result(args.out, result)
    Path(f"{args.out}.ckpt").unlink(missing_ok=True)
    print(f"ACC {result['metrics']['ACC']:.4f}, {result['timing']['wall_s']:.0f} s: {args.out}")


if __name__ == "__main__":
    common.exit_in_one_line(main)
