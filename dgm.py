"""Dynamic Generative Memory: a GAN that grows (Ostapenko, Puscas, Klein, Jähnichen, Nabi, 2019).

The paper is "Learning to Remember: A Synaptic Plasticity Driven Framework for Continual Learning".
A classifier must learn one class after another, and no image may be kept. So a generator G learns
each class, and the classifier is shown generated images of the classes before. But a generator
forgets too, unless what an old class needs is frozen. DGM learns, with the weights, a mask that
says which weights (DGMw) or units (DGMa) a task needs. When a task ends its mask becomes binary,
and what it covers never changes again: so old classes look the same for ever, bit for bit
(checked after each task, on ten images per class). Then the net grows, until as much is free as at
first. The classifier is a second output of the critic D.

    task t:  z, y ─► G under mask m_t ───► fakes ─► D: real or fake? which class?
             the task's images ──────────────────► D: real or fake? which class?
             G under m_1 ... m_{t-1} ──► replay ─► D:                which class?

paper            here                 shape
W_l              G.W[l]               [n, p, k, k]: n units below, p units of layer l
e_l^t            G.e[l]               as the mask; of the task being learned only
s                train_gan's s        rises over the epochs, DGMw's within each, too (Eqs. 3, 4)
m_l^t            soft_mask(e, s)      weights [n, p, k, k] (DGMw) or units [1, p, 1, 1] (DGMa)
m_l^j, j < t     G.masks[j][l]        as the mask, bool
m_l^{<t}         G.used[l]            as the mask, bool: what earlier tasks have reserved

The deviations that matter most (all of them, with reasons: DEVIATIONS, at the end of this file):
 1. BatchNorm and the last layer of G belong to one task each, unmasked; D is new in every task.
 2. The mask's gradient is taken through σ(e), not σ(s·e), where it would vanish.
 5. Eq. (5) takes the union of the masks of all earlier tasks; printed is max(m^t, m^{t-1}), this
    task and the one before.
 7. D classifies fakes, too.
 9. --preset laptop is smaller, and trains the classifier some steps more when G is frozen.

    python dgm.py --preset laptop --dataset glyphs --train-size 3000 --tasks 3 --batch-size 16
    # half a minute on one core of an AMD EPYC: A_3 97 to 100 %
    python dgm.py --preset laptop  # MNIST, 7 to 14 minutes; numbers in RESULTS.md
"""

import argparse
import contextlib
import functools
import itertools
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common  # first: it says in one line which package is missing

# isort: split
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

# --------------------------------------------------------------------------------------------
# Masks: Sec. 3.1
# --------------------------------------------------------------------------------------------


def up(x: Tensor, W: Tensor) -> Tensor:
    """W^T x: vectors [B, n] become maps [B, p, k, k]; maps [B, n, S, S] become [B, p, 2S, 2S]."""
    if x.dim() == 2:  # a transposed convolution of a 1x1 image is a matrix product
        return (x @ W.flatten(1)).view(len(x), *W.shape[1:])
    return F.conv_transpose2d(x, W, stride=2, padding=1)


class DGMw:
    """Masks on weights: m_l is shaped as W_l [n, p, k, k]."""

    s_max = 1e4  # of Eq. (3), the authors' (Deviation 18)

    @staticmethod
    def layer(x: Tensor, W: Tensor, m: Tensor, norm: nn.Module, act: Callable = F.relu,
              product: Callable = up) -> Tensor:
        """Units [B, p, ...] from those below, x [B, n, ...]; norm is the task's BatchNorm."""
        # Eq. (1): y_l = σ_act[(m_l ∘ W_l)^T x], here σ_act(a) = act(norm(a)), W^T x = product(x, W)
        return act(norm(product(x, m * W)))

    @staticmethod
    def mask_shape(W: Tensor) -> tuple[int, ...]:
        return tuple(W.shape)


class DGMa:
    """Masks on activations: m_l is shaped as the units [1, p, 1, 1]."""

    s_max = 1e5

    @staticmethod
    def layer(x: Tensor, W: Tensor, m: Tensor, norm: nn.Module, act: Callable = F.relu,
              product: Callable = up) -> Tensor:
        """As in DGMw."""
        # Eq. (1), m_l behind norm and act: else a closed unit would put out norm's shift (Dev. 4)
        return act(norm(product(x, W))) * m

    @staticmethod
    def mask_shape(W: Tensor) -> tuple[int, ...]:
        return (1, W.shape[1], 1, 1)


def soft_mask(e: Tensor, s: float) -> Tensor:
    """Embeddings e of any shape -> mask in [0, 1], all but binary for large s."""
    # Eq. (2): m = σ(s·e) is the value; the gradient is that of σ(e) (Deviation 2), as the
    # difference of the two is detached and so counts as a constant
    m, gentle = torch.sigmoid(s * e), torch.sigmoid(e)
    return (m - gentle).detach() + gentle


def global_annealing(i: int, n_i: int, s_max: float) -> float:
    """s_max^i of epoch i of n_i (I), counted from 1."""
    # Eq. (3): s_max^i = 1/s_max + (s_max - 1/s_max) (i - 1) / (I - 1)
    s_i = 1 / s_max + (s_max - 1 / s_max) * (i - 1) / (n_i - 1) if n_i > 1 else s_max
    return max(s_i, 1.0)  # else s_max^1 < 1: Eq. (4) would run downwards (Deviation 3)


def local_annealing(b: int, n_b: int, s_i: float) -> float:
    """s in batch b of n_b (B), both from 1; s_i is the epoch's s_max^i."""
    # Eq. (4): s = 1/s_max^i + (s_max^i - 1/s_max^i) (b - 1) / (B - 1)
    return 1 / s_i + (s_i - 1 / s_i) * (b - 1) / (n_b - 1) if n_b > 1 else s_i


def veto(gradient: Tensor, used: Tensor) -> Tensor:
    """A layer's gradient [n, p, k, k], 0 where `used` says that an earlier task has reserved the
    weight (or unit); used: bool, shaped as the mask."""
    # Eq. (5): g' = [1 - m^{<t}] g; printed: with t's own mask in it, too (Deviation 5)
    return gradient * ~used


def count_free(used: list[Tensor]) -> int:
    """Weights (DGMw) or units (DGMa) that no task has reserved, in all layers."""
    return sum(int((~u).sum()) for u in used)


def sparsity(masks: list[Tensor], used: list[Tensor]) -> Tensor:
    """R^t: of what earlier tasks left free, the share that this task's masks take."""
    # Eq. (6): R^t = Σ m^t (1 - m^{<t}) / Σ (1 - m^{<t}), over layers and weights (units)
    claimed: Any = sum((m * ~u).sum() for m, u in zip(masks, used))
    return claimed / max(count_free(used), 1)


def alpha(used: list[Tensor]) -> float:
    """α = S_t / S_free, the net's size over its free part before a task (Sec. 3.3)."""
    return sum(u.numel() for u in used) / max(count_free(used), 1)


# --------------------------------------------------------------------------------------------
# Generator (grows, Sec. 3.2) and critic. Images are [B, C, S, S] in [-1, 1]
# --------------------------------------------------------------------------------------------

LATENT = 128  # numbers in z; the first K (all classes) hold the one-hot class (Deviation 1)


def halvings(S: int) -> tuple[int, int]:
    """(base, d) with S = base · 2^d: S is halved while it is even and above 7."""
    d = 0
    while S % 2 == 0 and S > 7:
        S, d = S // 2, d + 1
    return S, d


class TaskLayers(nn.Module):
    """What one task has for itself, never masked: BatchNorm of each layer, and the last layer."""

    def __init__(self, widths: list[int], channels: int, kernel: int, stride: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(p) for p in widths)
        self.last = nn.ConvTranspose2d(widths[-1], channels, kernel, stride, 1, bias=False)
        nn.init.normal_(self.last.weight, 0, 0.02)


class Generator(nn.Module):
    """A DCGAN whose layers are masked, frozen and widened: z [B, 128], y [B] -> images.

    Images of side S = base·2^d (base 4 to 7) take d masked layers: a projection to base x base,
    then d - 1 doublings; the last doubling is the task's own.
    """

    last = (4, 2)  # kernel and stride of the last layer
    own: Any  # nn.ModuleList, [t]: TaskLayers of task t

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int,
                 device: torch.device):
        super().__init__()
        self.masking = DGMw if args.memory == "dgmw" else DGMa
        self.C, self.K = shape[0], K
        # MNIST, 32×32, width 6: [128, 24, 4, 4], [24, 12, 4, 4], [12, 6, 4, 4]
        sizes = self.sizes(args.ngf, *halvings(shape[1]))
        self.W = nn.ParameterList((0.02 * torch.randn(n, p, k, k)).to(device) for n, p, k in sizes)
        self.e = nn.ParameterList()  # mask embeddings of the task that is being learned
        self.own = nn.ModuleList()
        self.masks: list[list[Tensor]] = []  # [task][layer], bool: of the finished tasks
        self.used = self.reserved()  # m^{<t} of each layer, bool
        # weights (units) that each task is to find free
        self.goal = [u.numel() if args.growth else 0 for u in self.used]

    def sizes(self, width: int, base: int, d: int) -> list[tuple[int, int, int]]:
        """(units below, units, kernel) of each masked layer, each half as wide as the one below."""
        widths = [width * 2**k for k in reversed(range(d))]
        return list(zip([LATENT, *widths], widths, [base] + [4] * (d - 1)))

    def forward(self, z: Tensor, y: Tensor, t: int, masks: list[Tensor]) -> Tensor:
        """Images [B, C, S, S] as task t generates them, z [B, 128] and classes y [B]."""
        h = self.with_class(z, y)  # [B, 128]
        for W, m, norm in self.layers(t, masks):
            h = self.masking.layer(h, W, m, norm)  # [B, p, base, base], then twice the side
        return torch.tanh(self.own[t].last(h))

    def with_class(self, z: Tensor, y: Tensor) -> Tensor:
        """z [B, 128] whose first K numbers are the one-hot class."""
        return torch.cat([F.one_hot(y, self.K).to(z.dtype), z[:, self.K :]], dim=1)

    def layers(self, t: int, masks: list[Tensor]) -> Iterator[tuple[Tensor, Tensor, nn.Module]]:
        """W [n, p, k, k], mask and BatchNorm of each layer, W cut to its size in task t.

        Units added later are cut away: every sum adds the same numbers in the same order as when
        the task was learned, so that images are equal bit for bit.
        """
        n = LATENT
        for W, m, norm in zip(self.W, masks, self.own[t].norms):
            # [n_t, p_t, k, k]: units added after task t are left out
            yield W[:n, : norm.num_features].contiguous(), m, norm
            n = norm.num_features

    def grow(self) -> None:
        """Before a task: new units, layer by layer, so that at least as many weights (DGMw) or
        units (DGMa) are free as at first (Sec. 3.2); mask embeddings and own layers of the task."""
        added_below = 0
        for layer in range(len(self.W)):
            added = self.units_to_add(layer, added_below)
            if added_below or added:
                self.widen(layer, added_below, added)
            added_below = added
        self.used = self.reserved()
        # embeddings "are initialized with 0", so that masks begin at 0.5
        self.e = nn.ParameterList(torch.zeros(u.shape, device=u.device) for u in self.used)
        self.own.append(TaskLayers(self.widths(), self.C, *self.last).to(self.W[0].device))

    def units_to_add(self, layer: int, added_below: int) -> int:
        """How many units bring a layer to its goal again (⌈δ/n⌉ in Sec. 3.2; Deviation 6).

        DGMa: as many as are missing. DGMw: a unit brings (units below)·k² weights, so what is
        missing over that, rounded up; what new units below have brought is counted first. MNIST,
        32×32, width 6: task 1 reserves 5000 weights of layer 1 and 1000 of layer 2. Layer 1 gets
        ⌈5000 / (128·16)⌉ = 3 units. They bring layer 2 3·12·16 = 576 weights, so that 424 are
        missing: it gets ⌈424 / (27·16)⌉ = 1 unit.
        """
        n, p, k, _ = self.W[layer].shape
        free, per_unit = count_free([self.used[layer]]), 1
        if self.masking is DGMw:
            free, per_unit = free + added_below * p * k * k, (n + added_below) * k * k
        return -(-max(0, self.goal[layer] - free) // per_unit)  # rounded up

    def widen(self, layer: int, added_below: int, added: int) -> None:
        """Weights from new units below and to new units; what was there stays in its corner."""
        W = self.W[layer]
        n, p, k, _ = W.shape
        wider = 0.02 * torch.randn(n + added_below, p + added, k, k, device=W.device)
        if self.masking is DGMa:
            # new units below -> reserved units: frozen by the veto, so they start at 0 (Dev. 4)
            wider[n:, :p] *= ~self.used[layer]
        wider[:n, :p] = W.detach()
        self.W[layer] = nn.Parameter(wider)

    def freeze(self) -> list[dict[str, int]]:
        """Make the masks binary, reserve what they cover; for each layer, how much that was."""
        masks = [e.detach() > 0 for e in self.e]  # where σ(s·e) > 0.5 (Deviation 5)
        counts = [  # for the record
            dict(size=u.numel(), used=int(u.sum()), new=int((m & ~u).sum()),
                 reused=int((m & u).sum()))
            for m, u in zip(masks, self.used)
        ]  # fmt: skip
        self.masks.append(masks)
        self.used = [u | m for u, m in zip(self.used, masks)]  # m^{<=t} = max(m^t, m^{<t})
        self.own[-1].requires_grad_(False).eval()
        return counts

    def reserved(self) -> list[Tensor]:
        """What the masks of the finished tasks cover, at the present size of each layer, bool."""
        used = [torch.zeros(self.masking.mask_shape(W), dtype=torch.bool, device=W.device)
                for W in self.W]  # fmt: skip
        for masks in self.masks:
            for u, m in zip(used, masks):
                u[: m.shape[0], : m.shape[1]] |= m
        return used

    def learned(self) -> list[Tensor]:
        """What the optimizer updates: W (where Eq. 5 lets it), e, and the task's own layers."""
        return [*self.W, *self.e, *self.own[-1].parameters()]

    def widths(self) -> list[int]:
        """Units of each masked layer."""
        return [W.shape[1] for W in self.W]

    def size(self, t: int) -> int:
        """Parameters of the net with which t, the newest task, generates (Table 3)."""
        return sum(v.numel() for v in [*self.W, *self.own[t].parameters()])

    def state_dict(self) -> dict:  # type: ignore[override]
        """Parameters and buffers, and the masks."""
        return {"net": super().state_dict(), "masks": self.masks}

    def load_state_dict(self, state: dict) -> None:  # type: ignore[override]
        """Undo `state_dict`, also of a net of another size."""
        restore(self, state)


def dcgan_features(shape: tuple[int, int, int], width: int, norm_kind: str) -> tuple[list, int]:
    """Layers [B, C, S, S] -> [B, 4 width, ⌈S/8⌉, ⌈S/8⌉], and how many numbers that is per image."""
    n, S, _ = shape
    layers: list[nn.Module] = []
    for i, p in enumerate((width, 2 * width, 4 * width)):
        layers.append(nn.Conv2d(n, p, 5, 2, 2))
        layers += normalise(norm_kind, p) if i else []
        layers.append(nn.LeakyReLU(0.2))
        n, S = p, (S + 1) // 2
    return layers, n * S * S


class Critic(nn.Module):
    """images -> score [B], high for real, and logits [B, K_t] of the classes seen so far."""

    def __init__(self, shape: tuple[int, int, int], width: int, K: int, norm_kind: str,
                 features: Callable = dcgan_features):
        super().__init__()
        layers, size = features(shape, width, norm_kind)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.adv = nn.Linear(size, 1)
        self.aux = nn.Linear(size, K)
        self.separate_passes = norm_kind == "batch"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)  # [B, size]
        return self.adv(h).squeeze(1), self.aux(h)

    def judge(self, *kinds: Tensor) -> tuple[Tensor, Tensor]:
        """D of all images at once, or with BatchNorm kind by kind: score [n], logits [n, K]."""
        if not self.separate_passes:
            return self(torch.cat(kinds))
        # With BatchNorm, one pass per kind (real, fake, replayed): each has its own batch
        # statistics, as in L_gp and L_G.
        passes = [self(x) for x in kinds if len(x)]
        score, logits = (torch.cat(outputs) for outputs in zip(*passes))
        return score, logits


def normalise(norm_kind: str, p: int) -> list[nn.Module]:
    """A layer's normalisation of p channels, or none."""
    layers: dict[str, list[nn.Module]] = {
        "batch": [nn.BatchNorm2d(p)], "layer": [nn.GroupNorm(1, p)], "none": []}  # fmt: skip
    return layers[norm_kind]


@contextlib.contextmanager
def running_statistics_frozen(D: nn.Module) -> Iterator[None]:
    """Within: D's BatchNorm normalises by the batch, but its averages for test time stay."""
    norms = [module for module in D.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    yield
    for norm in norms:
        norm.track_running_stats = True


def to_float(x: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1, any shape."""
    return x.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Undo `to_float`."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


# --------------------------------------------------------------------------------------------
# The data, and the memory: generated images of earlier tasks
# --------------------------------------------------------------------------------------------


@dataclass
class Data:
    """A data set on the device, cut into tasks. Classes are numbered in the order they are met."""

    x: Tensor  # uint8 [N, C, S, S]
    y: Tensor  # int64 [N]
    x_test: Tensor  # uint8 [M, C, S, S]
    y_test: Tensor  # int64 [M]
    tasks: list[list[int]]  # [T], the classes of each task
    owner: Tensor  # int64, one number for each class of all tasks: its task
    K: int  # all classes of the data set, also those that --tasks leaves out
    shape: tuple[int, int, int]  # C, S, S
    names: list[list[str]]  # [T], of the classes of each task
    about: dict  # counts and checksum (common.about_data)
    seed: int  # --seed, from which the noise of all replayed images follows


@dataclass
class Kept:
    """All that is kept of earlier tasks."""

    G: Any  # a generator; beyond/generators.py has others
    D: dict = field(default_factory=dict)  # of the last task, its weights (--keep-critic)
    snapshots: list[Tensor] = field(default_factory=list)  # [t]: `snapshot`, as task t ended
    stored: list[Tensor] = field(default_factory=list)  # by class: which rows of data.x (Table 2)


@dataclass
class Task:
    """What task t is learned from."""

    t: int  # 0 is the first
    data: Data
    kept: Any  # Kept; beyond/generators.py keeps more
    x: Tensor  # uint8 [N, C, S, S], S_t: its own images
    y: Tensor  # int64 [N], their classes
    seen: int  # classes of tasks 0 ... t
    n: int  # replayed images per earlier class: the number of images per new class
    B: int  # images per step
    steps: int  # per epoch
    old: Tensor  # uint8 [M, C, S, S], replayed images
    old_y: Tensor  # int64 [M]
    old_B: int  # of them per step
    share: float  # (classes before t) / (classes up to t): weight of replayed images in L_c
    quality: dict = field(default_factory=dict)  # common.memory_quality, when G has learned it


@dataclass
class Batch:
    """What D is shown in a step besides fakes: images as floats, and their classes."""

    real: Tensor  # [B, C, S, S], of the task
    y: Tensor  # int64 [B]
    old: Tensor  # [R, C, S, S], replayed images, for L_c alone
    old_y: Tensor  # int64 [R]
    share: float  # Task.share


def replay(kept: Kept, data: Data, t: int, n: int) -> tuple[Tensor, Tensor]:
    """n generated images of each class before task t: uint8 [M, C, S, S], int64 [M]."""
    G, device = kept.G, data.x.device
    old = torch.empty(0, *data.shape, dtype=torch.uint8, device=device)
    old_y = torch.empty(0, dtype=torch.int64, device=device)
    rng = torch.Generator(device).manual_seed(data.seed * 1000 + t)  # not the training's
    for j in range(t):
        y = torch.tensor(data.tasks[j], device=device).repeat_interleave(n)
        z = torch.randn(len(y), LATENT, generator=rng, device=device)
        old = torch.cat([old, to_uint8(generate(G, j, y, z))])  # bytes (Deviation 8)
        old_y = torch.cat([old_y, y])
    return old, old_y


@torch.no_grad()
def generate(G: Any, t: int, y: Tensor, z: Tensor) -> Tensor:
    """Images float [N, C, S, S] of task t's classes y [N] from the noise z [N, 128].

    Always in chunks of one size, the last one filled up, so that equal noise gives equal bits.
    """
    masks, images = [m.float() for m in G.masks[t]], []
    for a, b in zip(z.split(500), y.split(500)):
        n = len(a)
        a, b = F.pad(a, (0, 0, 0, 500 - n)), F.pad(b, (0, 500 - n))
        images.append(G(a, b, t, masks)[:n])
    return torch.cat(images)


def task_data(data: Data, t: int, kept: Any, args: argparse.Namespace) -> Task:
    """The real images of task t, and generated ones of the classes before."""
    index = common.indices_of(data.y, data.tasks[t])
    x, y = data.x[index], data.y[index]  # [N, C, S, S], [N]
    seen = sum(map(len, data.tasks[: t + 1]))
    n = len(x) // len(data.tasks[t])
    B = min(args.batch_size, len(x))
    # n images of each class before t; replays(args) is True unless flags leave old images out
    old, old_y = replay(kept, data, t if replays(args) else 0, n)  # [M, C, S, S], [M]
    if stores(args):  # real images (Table 2)
        put_real(old, old_y, kept.stored, data, n, args)
    old_B = (args.replay_batch_size or B) if len(old) and args.critic_replay else 0
    share = (seen - len(data.tasks[t])) / seen
    return Task(t=t, data=data, kept=kept, x=x, y=y, seen=seen, n=n, B=B, steps=len(x) // B,
                old=old, old_y=old_y, old_B=old_B, share=share)  # fmt: skip


def batch_of(task: Task, index: Tensor) -> Batch:
    """The task's images of these indices [B], and as many replayed ones as belong to a step."""
    chosen = torch.randint(max(len(task.old), 1), (task.old_B,), device=index.device)
    old, old_y = task.old[chosen], task.old_y[chosen]
    return Batch(to_float(task.x[index]), task.y[index], to_float(old), old_y, task.share)


# --------------------------------------------------------------------------------------------
# One step, one epoch (Sec. 3.3)
# --------------------------------------------------------------------------------------------


class Gan:
    """G and D in one task, with new optimizers."""

    def __init__(self, G: Any, D: Critic, args: argparse.Namespace):
        self.G, self.D, self.args = G, D, args
        self.opt_G, self.opt_D = (  # with DCGAN's moments (Radford et al. 2016)
            torch.optim.Adam(weights, args.lr, betas=(0.5, 0.999), fused=True)
            for weights in (G.learned(), D.parameters())
        )


def gradient_penalty(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E[(||∇_x D(x)|| - 1)²], x between real and fake [B, C, S, S] (Gulrajani 2017, Eq. 3)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    x = (share * real + (1 - share) * fake).requires_grad_(True)
    gradient = torch.autograd.grad(D(x)[0].sum(), x, create_graph=True)[0]
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def class_loss(logits: Tensor, batch: Batch, aux_fakes: bool) -> Tensor:
    """L_c of logits [2B + R, K_t]: real, fake, replayed images. All classes weigh the same."""
    B = len(batch.y)
    real, fake, old = logits.split([B, B, len(batch.old)])
    L_new = F.cross_entropy(real, batch.y)
    if aux_fakes:  # Deviation 7
        L_new = 0.5 * L_new + 0.5 * F.cross_entropy(fake, batch.y)
    if not len(old):  # the first task, or --no-critic-replay
        return L_new
    return (1 - batch.share) * L_new + batch.share * F.cross_entropy(old, batch.old_y)


def critic_step(gan: Gan, batch: Batch, fake: Tensor) -> Tensor:
    """One step of D on L_D = w L_c + L_s + λ_GP L_gp; the loss, a scalar.

    Here λ_GP = 1 (Deviation 13), and w = 1 with --preset paper, else 4 (Deviation 9). fake
    [B, C, S, S] are of the same classes as the batch's real images, one by one.
    """
    D, args, B = gan.D, gan.args, len(fake)
    score, logits = D.judge(batch.real, fake, batch.old)  # [2B + R], [2B + R, K_t]
    L_c = class_loss(logits, batch, args.aux_fakes)
    L_s = score[B : 2 * B].mean() - score[:B].mean()  # of a Wasserstein critic
    n = args.gp_batch_size or B
    with running_statistics_frozen(D):
        L_gp = gradient_penalty(D, batch.real[:n], fake[:n])
    loss = args.aux_weight * L_c + L_s + L_gp  # w = aux_weight
    gan.opt_D.zero_grad()
    loss.backward(inputs=list(D.parameters()))
    gan.opt_D.step()
    return loss.detach()


def generator_step(gan: Gan, fake: Tensor, y: Tensor, masks: list[Tensor]) -> Tensor:
    """One step of G and its masks on L_G = L_s + L_c + λ_RU α R^t; the loss, a scalar.

    fake [B, C, S, S] are images that G has just generated with `masks`, of these classes y [B].
    """
    G = gan.G
    gan.D.requires_grad_(False)  # G's step needs no gradients of D's weights
    with running_statistics_frozen(gan.D):
        score, logits = gan.D(fake)
    L_c = F.cross_entropy(logits, y)  # added: Sec. 3.3 prints a minus (Deviation 15)
    R_t = sparsity(masks, G.used)  # Eq. (6)
    loss = -score.mean() + L_c + gan.args.lambda_ru * alpha(G.used) * R_t
    gan.opt_G.zero_grad()
    loss.backward(inputs=G.learned())
    for W, used in zip(G.W, G.used):
        if gan.args.veto:
            W.grad = veto(W.grad, used)  # Eq. (5)
    # A gradient of exactly 0 leaves a weight as it is: Adam is new in each task, so it has no
    # momentum there, and there is no weight decay.
    gan.opt_G.step()
    gan.D.requires_grad_(True)
    return loss.detach()


def train_gan(gan: Gan, task: Task, i: int) -> list[float]:
    """Epoch i (from 1) of the GAN on a task; mean losses [D, G]."""
    args, device = gan.args, task.x.device
    losses = torch.zeros(task.steps, 2, device=device)
    order = torch.randperm(len(task.x), device=device)
    s_i = global_annealing(i, args.epochs, gan.G.masking.s_max)  # Eq. (3)
    for b, index in enumerate(order[: task.steps * task.B].split(task.B), 1):
        if args.lr_decay:
            decay_rates(gan, i, b, task.steps)
        s = s_i  # DGMa; DGMw also anneals within the epoch:
        if args.annealing == "local":
            s = local_annealing(b, task.steps, s_i)  # Eq. (4)
        masks = [soft_mask(e, s) for e in gan.G.e]  # Eq. (2)

        fake = gan.G(torch.randn(task.B, LATENT, device=device), task.y[index], task.t, masks)
        batch = batch_of(task, index)
        losses[b - 1, 0] = critic_step(gan, batch, fake.detach())
        losses[b - 1, 1] = generator_step(gan, fake, batch.y, masks)
    return [losses[:, 0].mean().item(), losses[:, 1].mean().item()]


@torch.no_grad()
def renew_statistics(G: Generator, task: Task, B: int) -> None:
    """BatchNorm's mean and variance of a task, with its binary mask (Deviation 5): averages over 50
    batches of B generated images."""
    classes = torch.tensor(task.data.tasks[task.t], device=task.x.device)
    masks, own = [m.float() for m in G.masks[task.t]], G.own[task.t]
    for norm in own.norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    own.train()
    for _ in range(50):
        y = classes[torch.randint(len(classes), (B,), device=classes.device)]
        G(torch.randn(len(y), LATENT, device=y.device), y, task.t, masks)
    own.eval()


# --------------------------------------------------------------------------------------------
# The sequence of tasks (Sec. 3.3)
# --------------------------------------------------------------------------------------------


def learn(
    data: Data, args: argparse.Namespace, run: common.Run
) -> tuple["Record", Generator, nn.Module]:
    """All tasks in turn; -> what becomes JSON, G and the classifier."""
    G = new_generator(data, args)
    record, kept = start_record(data, args), Kept(G)
    # t = 0 ... T - 1 is the paper's task t + 1; common.Run only adds checkpoints and clocks,
    # note_* records and checks
    for t in run.tasks(len(data.tasks), kept=kept, record=record):
        G.grow()  # at least as many weights (units) are free as in the first task (Sec. 3.2)
        task = task_data(data, t, kept, args)

        D = new_critic(data, task.seen, args)
        if args.keep_critic:  # the paper adds outputs to one D (Deviation 1)
            add_outputs(D, kept.D)
        gan = Gan(G, D, args)
        for i in run.epochs("gan", args.epochs, G=G, D=D, opt_G=gan.opt_G, opt_D=gan.opt_D,
                            record=record):  # fmt: skip
            losses = train_gan(gan, task, i + 1)
            run.check_finite("lower --lr", *losses)
            note_epoch(record, i + 1, losses, mask_values(gan, i + 1))

        layers = G.freeze()  # from now on Eq. (5) protects what task t needs
        renew_statistics(G, task, args.batch_size)
        note_task(record, task, args, iterations=args.epochs * task.steps, layers=layers)

        solver = finish(D, task, args, run) if args.classifier_steps else D  # the paper's: D
        if args.keep_critic:
            kept.D = D.state_dict()
        if stores(args):  # real images (Table 2)
            store_real(solver, task, args)
        record.R.append(evaluate(solver, data))
        note_result(record, solver, task, run)
    return record, G, solver


# --------------------------------------------------------------------------------------------
# Beyond the paper's own method: residual nets (Deviation 11)
# --------------------------------------------------------------------------------------------


class ResidualGenerator(Generator):
    """1 + 2d masked layers of one width: behind the projection d blocks, each of which doubles the
    side, then has two 3x3 convolutions, and past them a shortcut without weights, so that layers
    may grow one by one."""

    last = (3, 1)

    def sizes(self, width: int, base: int, d: int) -> list[tuple[int, int, int]]:
        return [(LATENT, width, base)] + [(width, width, 3)] * 2 * d

    def forward(self, z: Tensor, y: Tensor, t: int, masks: list[Tensor]) -> Tensor:
        projection, *layers = self.layers(t, masks)
        layer = self.masking.layer
        h = layer(self.with_class(z, y), *projection)  # [B, p, base, base]
        for first, second in zip(layers[::2], layers[1::2]):  # a block: twice the side
            shortcut = F.interpolate(h, scale_factor=2)
            h = layer(shortcut, *first, product=convolve)
            h = layer(h, *second, functools.partial(add_shortcut, shortcut), convolve)
        return torch.tanh(self.own[t].last(h))


def convolve(x: Tensor, W: Tensor) -> Tensor:
    """[B, n, S, S] -> [B, p, S, S]."""
    return F.conv_transpose2d(x, W, padding=1)


def add_shortcut(shortcut: Tensor, x: Tensor) -> Tensor:
    """The end of a block, x [B, p, S, S]; channels of the shortcut are cut off or zeros added."""
    p = x.shape[1]  # He et al. 2016, option A
    return F.relu(x + F.pad(shortcut[:, :p], (0, 0, 0, 0, 0, max(0, p - shortcut.shape[1]))))


class Block(nn.Module):
    """[B, n, S, S] -> [B, p, S/stride, S/stride]: two convolutions and a shortcut (He 2016)."""

    def __init__(self, n: int, p: int, stride: int, norm_kind: str):
        super().__init__()
        first = [nn.Conv2d(n, p, 3, stride, 1), *normalise(norm_kind, p), nn.LeakyReLU(0.2)]
        self.path = nn.Sequential(*first, nn.Conv2d(p, p, 3, 1, 1), *normalise(norm_kind, p))
        self.shortcut = nn.Conv2d(n, p, 1, stride) if stride > 1 or n != p else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.path(x) + self.shortcut(x), 0.2)


def residual_features(
    first: int, blocks: list[tuple[int, int]], shape: tuple[int, int, int], width: int,
    norm_kind: str,
) -> tuple[list, int]:
    """A convolution of stride `first`, then blocks (stride, times as wide): [B, p, 1, 1], p."""
    layers, p = [nn.Conv2d(shape[0], width, 3, first, 1), nn.LeakyReLU(0.2)], width
    for stride, wider in blocks:
        layers.append(Block(p, wider * p, stride, norm_kind))
        p *= wider
    return [*layers, nn.AdaptiveAvgPool2d(1)], p


# four blocks of one width (Gulrajani 2017)
resnet_features = functools.partial(residual_features, 1, [(2, 1), (2, 1), (1, 1), (1, 1)])
# ResNet-18: eight, twice as wide from every second on; it halves the side before them, too
resnet18_features = functools.partial(
    residual_features, 2, [(1, 1), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1)]
)
NETS: dict[str, tuple[Any, Callable]] = {
    "dcgan": (Generator, dcgan_features), "resnet": (ResidualGenerator, resnet_features),
    "resnet18": (ResidualGenerator, resnet18_features),
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Beyond the paper's own method: steps of the classifier alone (Deviation 9), and its bounds
# --------------------------------------------------------------------------------------------

ROUND = 100  # steps between two chances of a checkpoint


def add_outputs(D: Critic, last: dict[str, Tensor]) -> None:
    """--keep-critic: the last task's weights, if any, into a new D; its new outputs stay fresh."""
    if last:
        grown = {key: torch.cat([last[key], v[len(last[key]) :]])
                 for key, v in D.state_dict().items() if key.startswith("aux.")}  # fmt: skip
        D.load_state_dict(last | grown)


def decay_rates(gan: Gan, i: int, b: int, steps: int) -> None:
    """--lr-decay: Adam's rate in batch b of `steps` of epoch i, both from 1."""
    left = 1 - ((i - 1) * steps + b - 1) / (gan.args.epochs * steps)
    for opt in (gan.opt_D, gan.opt_G):
        opt.param_groups[0]["lr"] = gan.args.lr * min(1.0, 2 * left)


def train_classifier(
    net: nn.Module, x: Tensor, y: Tensor, steps: int, lr: float, decay: bool, B: int,
    args: argparse.Namespace, run: common.Run,
) -> None:
    """`steps` steps of B images of x uint8 [N, C, S, S], of classes y [N]; D's score rests."""
    used = [p for name, p in net.named_parameters() if not name.startswith("adv")]
    opt = torch.optim.Adam(used, lr, fused=True)
    for i in run.epochs("classifier", -(-steps // ROUND), net=net, opt=opt):
        total = torch.zeros((), device=x.device)
        net.train()
        for step in range(i * ROUND, min(steps, (i + 1) * ROUND)):
            opt.param_groups[0]["lr"] = lr * (1 - step / steps) if decay else lr
            index = torch.randint(len(x), (B,), device=x.device)
            logits = net(distort(to_float(x[index]), args))[1]
            loss = F.cross_entropy(logits, y[index], label_smoothing=args.label_smoothing)
            opt.zero_grad()
            loss.backward(inputs=used)
            opt.step()
            total += loss.detach()
        run.check_finite("lower the rate", total.item())


def finish(D: Critic, task: Task, args: argparse.Namespace, run: common.Run) -> Critic:
    """--classifier-steps more, of D's auxiliary output or of a net of its own."""
    net = new_critic(task.data, task.seen, args, own=True) if args.separate_classifier else D
    kind = args.classifier_images
    if kind == "auto":
        apart = task.quality.get("told apart")  # None: not measured
        kind = "real" if apart is not None and apart < common.ALIKE else "generated"
        print(f"task {task.t + 1}: the classifier learns the new classes from {kind} images")
        if kind == "real":  # then there is nothing for negatives and noise to hide
            args = argparse.Namespace(**vars(args) | {"jitter": 0.0})
    if kind == "real":
        x, y = torch.cat([task.x, task.old]), torch.cat([task.y, task.old_y])
    else:
        x, y = generated_lesson(task, args)
    steps, lr = args.classifier_steps, args.classifier_lr
    train_classifier(net, x, y, steps, lr, True, 2 * task.B, args, run)
    return net


def generated_lesson(task: Task, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """All classes so far generated, uint8 [N, C, S, S] and classes [N]: the task's own, too, so
    that looking real tells nothing about the class."""
    x, y = replay(task.kept, task.data, task.t + 1, task.n)
    if stores(args):
        real = task.kept.stored + same_share(task, args)
        put_real(x, y, real, task.data, task.n, args)
    return x, y


def distort(x: Tensor, args: argparse.Namespace) -> Tensor:
    """The images [B, C, S, S] as the classifier sees them in these steps."""
    if args.augment:
        x = common.augment(x, args.augment)
    if args.flip:  # a random half of them
        x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
    return common.jitter(x, args.jitter) if args.jitter else x


def replays(args: argparse.Namespace) -> bool:
    """Whether `task_data` has G generate images of old classes (`generated_lesson` does itself)."""
    return args.replay == "gan" and (args.critic_replay or args.classifier_images != "generated")


def learn_without_gan(
    data: Data, args: argparse.Namespace, run: common.Run
) -> tuple["Record", Generator, nn.Module]:
    """--replay none, the lower bound: the classifier sees a task's images alone; or --generator:
    only the classifiers of `finish`, on what another run's generator has learned."""
    G = new_generator(data, args)
    if args.generator:
        G.load_state_dict(read_generator(args, data))
    record, kept = start_record(data, args), Kept(G)
    for t in run.tasks(len(data.tasks), kept=kept, record=record):
        if not args.generator:
            G.grow()  # not used; it draws random numbers, without which results would not repeat
        task = task_data(data, t, kept, args)
        record.tasks.append({"trace": [], "losses": []})
        solver = new_critic(data, task.seen, args)
        if args.generator:
            note_task(record, task, args, iterations=0)
            solver = finish(solver, task, args, run)
            if stores(args):
                store_real(solver, task, args)
        else:
            train_classifier(solver, task.x, task.y, args.epochs * task.steps, args.lr,
                             args.lr_decay, task.B, args, run)  # fmt: skip
        record.R.append(evaluate(solver, data))
        note_result(record, solver, task, run)
    return record, G, solver


def learn_joint(
    data: Data, args: argparse.Namespace, run: common.Run
) -> tuple[dict[str, float], nn.Module]:
    """JT: the classifier on all real images of the first k classes; how well it knows them."""
    new_generator(data, args)  # not used; it draws random numbers, as above
    ks = marks(data)
    metrics: dict[str, float] = {}
    for j in run.tasks(len(ks), metrics=metrics):
        k = ks[j]
        index = common.indices_of(data.y, range(k))
        x, y = data.x[index], data.y[index]
        if args.separate_classifier:
            net, B = new_critic(data, k, args, own=True), 2 * args.batch_size
            steps, lr, decay = args.classifier_steps * len(data.tasks), args.classifier_lr, True
        else:
            net, B = new_critic(data, k, args), min(args.batch_size, len(x))
            steps, lr, decay = args.epochs * (len(x) // B), args.lr, args.lr_decay
        train_classifier(net, x, y, steps, lr, decay, B, args, run)
        accuracy = statistics.fmean(evaluate(net, data)[: data.owner[k - 1] + 1])
        metrics |= {"ACC": accuracy, f"A_{k} (%)": 100 * accuracy}
        if len(data.owner) > 10:
            metrics[f"top-5 A_{k} (%)"] = 100 * top5(net, data)
    return metrics, net


# --------------------------------------------------------------------------------------------
# Beyond the strict setup: real images among the replayed ones (Table 2, Deviation 12)
# --------------------------------------------------------------------------------------------


def stores(args: argparse.Namespace) -> bool:
    """Whether real images are kept."""
    return bool(args.real_ratio or args.memory_size)


def quota(n: int, n_classes: int, args: argparse.Namespace) -> int:
    """Real images kept of each of n_classes classes, where n of a class are replayed."""
    return min(n, args.memory_size // n_classes) if args.memory_size else round(args.real_ratio * n)


@torch.no_grad()
def herding(h: Tensor, m: int) -> Tensor:
    """m of the feature vectors h [N, F], the best first, whose mean follows the mean of all."""
    h = F.normalize(h)  # "all feature vectors are L2-normalized", averages too
    mu = F.normalize(h.mean(0), dim=0)
    total, left = torch.zeros_like(mu), torch.zeros(len(h), device=h.device)
    chosen = []
    for _ in range(min(m, len(h))):
        # Rebuffi et al. 2017, Alg. 4: p_k = argmin || μ - (φ(x) + Σ_{j<k} φ(p_j)) / k ||
        best = ((mu - F.normalize(h + total)).norm(dim=1) + left).argmin()
        total, left[best] = total + h[best], math.inf  # no image twice
        chosen.append(best)
    return torch.stack(chosen) if chosen else left[:0].long()


@torch.no_grad()
def store_real(net: Any, task: Task, args: argparse.Namespace) -> None:
    """After a task: keep images of its classes, as indices, the best first, and fewer of others."""
    rng = torch.Generator().manual_seed(task.data.seed * 1000 + 700 + task.t)
    data, stored, classes = task.data, task.kept.stored, task.data.tasks[task.t]
    # K / |Y^t| of each class; t is the task in which they are replayed, the next
    m = quota(task.n, sum(map(len, data.tasks[: task.t + 2])), args)
    stored[:] = [index[:m] for index in stored]
    net.eval()
    for c in classes:
        index = common.indices_of(data.y, [c])
        chosen = torch.randperm(len(index), generator=rng)[:m].to(index.device)
        if args.choice == "herding":  # by the features in front of the classifier's last layer
            h = [net.features(to_float(data.x[i])) for i in index.split(2000)]
            chosen = herding(torch.cat(h), m)
        stored.append(index[chosen])


def same_share(task: Task, args: argparse.Namespace) -> list[Tensor]:
    """Indices of real images of the task's own classes: as many of each as are stored of an old
    class."""
    rng = torch.Generator().manual_seed(task.data.seed * 1000 + 800 + task.t)
    stored, classes = task.kept.stored, task.data.tasks[task.t]
    m = len(stored[0]) if stored else quota(task.n, len(classes), args)
    own = [common.indices_of(task.data.y, [c]) for c in classes]
    return [index[torch.randperm(len(index), generator=rng)[:m].to(index.device)] for index in own]


def put_real(
    x: Tensor, y: Tensor, stored: list[Tensor], data: Data, n: int, args: argparse.Namespace
) -> None:
    """Put stored images in the place of some of the replayed ones, n of which are of each class."""
    for c, index in enumerate(stored):
        many = round(args.real_ratio * n) if args.real_ratio else len(index)
        if args.stored_only:  # the control: none is generated
            many = n
        rows = (y == c).nonzero().squeeze(1)[:many]
        if len(index):  # repeated where classes have grown
            x[rows] = data.x[index[torch.arange(len(rows), device=index.device) % len(index)]]


# --------------------------------------------------------------------------------------------
# The run: data in, result out
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> Data:
    """The data set on the device, cut into tasks; UserError where it does not fit the flags."""
    data = common.load_chosen(args)
    K, shape = len(data.classes), data.shape
    base, doublings = halvings(shape[1])
    if shape[1] != shape[2] or not 4 <= base <= 7 or not doublings:
        raise common.Unfit(f"images of {shape[1]}x{shape[2]} cannot be generated: use "
                               "--image-size 16, 28 or 32")  # fmt: skip
    if LATENT <= K:
        raise common.Unfit(f"{K} classes leave no room for noise in the generator's input: "
                               f"use at most {LATENT - 1}")  # fmt: skip
    if torch.bincount(data.y_train).min() < 2:
        raise common.Unfit("a class has a single training image: use more images")
    return cut(data, args, device)


def cut(data: common.Dataset, args: argparse.Namespace, device: torch.device) -> Data:
    """Tasks of a data set; class 0 is the one that is met first."""
    order = common.class_order(len(data.classes), args.seed, args.shuffle_classes)
    tasks = common.split_classes(range(len(order)), args.classes_per_task)
    if args.tasks > len(tasks):
        raise common.Unfit(f"--tasks {args.tasks}: there are {len(tasks)}")
    tasks = tasks[: args.tasks or None]  # the classes of later tasks do not exist
    names = [[data.classes[order[c]] for c in task] for task in tasks]
    owner = common.task_of_class(tasks)
    place = torch.tensor(order).argsort()  # of each class of the data set
    y, y_test = place[data.y_train], place[data.y_test]
    met, met_test = y < len(owner), y_test < len(owner)
    tensors = data.x_train[met], y[met], data.x_test[met_test], y_test[met_test]
    x, y, x_test, y_test = (v.to(device) for v in tensors)
    return Data(x, y, x_test, y_test, tasks, owner, len(order), data.shape, names,
                common.about_data(data), args.seed)  # fmt: skip


def new_generator(data: Data, args: argparse.Namespace) -> Generator:
    """Without masks and layers of a task, which `grow` makes."""
    return NETS[args.net][0](args, data.shape, data.K, data.x.device)


def new_critic(data: Data, K: int, args: argparse.Namespace, own: bool = False) -> Critic:
    """D for the first K classes; own: the net of --separate-classifier, which is not D."""
    width, norm = (args.classifier_width, "batch") if own else (args.ndf, args.norm)
    return Critic(data.shape, width, K, norm, NETS[args.net][1]).to(data.x.device)


def evaluate(net: Critic, data: Data) -> list[float]:
    """A row of R: the accuracy on every task; classes not met yet are never answered."""
    def logits(x: Tensor) -> Tensor:
        known = net(to_float(x))[1]  # [B, classes so far]
        return F.pad(known, (0, data.K - known.shape[1]), value=-math.inf)

    net.eval()
    return common.accuracy_by_task(logits, data.x_test, data.y_test, data.owner)


def top5(net: Critic, data: Data) -> float:
    """Share of the test images of the classes so far that are of one of the five best guesses."""
    n_seen = net.aux.out_features
    index = (data.y_test < n_seen).nonzero().squeeze(1)
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(to_float(data.x_test[i]))[1] for i in index.split(2000)])
    return common.top_k_accuracy(logits, data.y_test[index], min(5, n_seen))


@dataclass
class Record:
    """What becomes JSON."""

    R: list = field(default_factory=list)  # [T + 1, T], accuracy on task j after task i
    tasks: list = field(default_factory=list)  # losses, masks and sizes of each task
    quality: list = field(default_factory=list)  # [T], common.memory_quality
    top5: list = field(default_factory=list)  # [T], where there are more than ten classes
    memory_mb: list = field(default_factory=list)  # [T], the peak until then


def start_record(data: Data, args: argparse.Namespace) -> Record:
    """With row 0 of R, of an untrained net."""
    return Record(R=[evaluate(new_critic(data, len(data.owner), args), data)])


def note_epoch(record: Record, i: int, losses: list[float], trace: Sequence = ()) -> None:
    """After epoch i of the GAN: its losses, and some of its masks."""
    if i == 1:
        record.tasks.append({"trace": [], "losses": []})
    record.tasks[-1]["trace"] += [trace] if trace else []
    record.tasks[-1]["losses"].append([round(v, 3) for v in losses])


def mask_values(gan: Gan, i: int) -> list[float]:
    """At the end of epoch i: the mean of a layer's masks, and 24 of them (Figure 3(b))."""
    G = gan.G
    # the first layer where units are masked, else the second
    e = G.e[0 if G.masking is DGMa else min(1, len(G.e) - 1)].detach()
    # in an epoch's last batch s is s_max^i under Eq. (4), too
    m = soft_mask(e, global_annealing(i, gan.args.epochs, G.masking.s_max)).flatten()
    some = torch.linspace(0, len(m) - 1, min(24, len(m))).long().to(m.device)
    return [round(v, 3) for v in [m.mean().item(), *m[some].tolist()]]


def note_task(
    record: Record, task: Task, args: argparse.Namespace, named: bool = True, **more: Any
) -> None:
    """When G has learned a task: its size, its images; those of earlier ones must be the same.

    named: whether the class of what G generates is known. Not of DGR.
    """
    t, G, kept = task.t, task.kept.G, task.kept
    if not all(int(m.sum()) for m in G.masks[t]):
        raise common.RunError(f"task {t + 1}: the mask of a layer is all 0; lower --lambda-ru")
    record.tasks[-1].update(drift=drift(kept, task.data, args.veto), widths=G.widths(),
                            disc=disc_bytes(G), base=G.size(t), **more)  # fmt: skip
    kept.snapshots.append(snapshot(G, task.data, t))
    if named:
        task.quality = quality(task)
        record.quality.append(task.quality)


def quality(task: Task) -> dict:
    """How good the images are that G generates after a task; a line if they are poor."""
    data, t = task.data, task.t
    n = -(-common.QUALITY_PER_TASK // len(data.tasks[t]))
    generated, test = replay(task.kept, data, t + 1, n), (data.x_test, data.y_test)
    found = common.memory_quality(generated, (task.x, task.y), test, data.owner, data.seed)
    what = "train the GAN longer (--epochs, --steps), or take --preset improved"
    common.tell_quality(found, f"task {t + 1}", task.seen, what)
    return found


def note_result(record: Record, net: Critic, task: Task, run: common.Run) -> None:
    """After a task: what else is measured, and a line for whoever waits."""
    data = task.data
    if len(data.owner) > 10:
        record.top5.append(top5(net, data))
    memory = common.peak_memory(data.x.device)
    record.memory_mb.append(memory["peak_device_memory_mb"] or memory["peak_memory_mb"])
    accuracy = statistics.fmean(record.R[-1][: task.t + 1])
    print(f"{run.label()}: accuracy so far {accuracy:.4f}", flush=True)


def snapshot(G: nn.Module, data: Data, t: int, n: int = 10) -> Tensor:
    """n images of each class of task t from noise that only the seed and t determine, as floats."""
    rng = torch.Generator().manual_seed(data.seed * 1000 + 500 + t)
    y = torch.tensor(data.tasks[t]).repeat_interleave(n)
    z = torch.randn(len(y), LATENT, generator=rng)
    return generate(G, t, y.to(data.x.device), z.to(data.x.device))


def drift(kept: Kept, data: Data, veto: bool) -> float:
    """The largest change of a pixel (0 to 2) in the old tasks' snapshots; Eq. (5) makes it 0.

    RunError when it is not 0 although the veto is on: this is the claim of the method.
    """
    most = 0.0
    for t, before in enumerate(kept.snapshots):
        change = (snapshot(kept.G, data, t) - before).abs().max().item()
        if change and veto:
            raise common.RunError(f"images of task {t + 1} changed by {change}: report this bug")
        most = max(most, change)
    return most


def disc_bytes(G: Generator) -> dict[str, int]:
    """Bytes that G takes: float32 weights, the tasks' own layers, masks sparse and as bits."""
    own = [v for layers in G.own for v in layers.state_dict().values() if v.is_floating_point()]
    sparse = sum(4 * int(m.sum()) for masks in G.masks for m in masks)
    bits = sum(-(-m.numel() // 8) for masks in G.masks for m in masks)
    weights = 4 * sum(W.numel() for W in G.W)
    return {"weights": weights, "own": 4 * sum(v.numel() for v in own), "masks_sparse": sparse,
            "masks_bits": bits}  # fmt: skip


def marks(data: Data) -> list[int]:
    """Class counts that the paper reports at, 5 and 10 or 30 and 50, where a task ends there."""
    K = len(data.owner)
    ends = list(itertools.accumulate(map(len, data.tasks)))
    return [k for k in ((K // 2, K) if K <= 10 else (3 * K // 5, K)) if k in ends]


def metrics_of(record: Record, data: Data) -> dict[str, float]:
    """Those of all scripts, and A_k of the paper."""
    metrics = common.summarise(record.R)
    for k in marks(data):
        metrics[f"A_{k} (%)"] = 100 * metrics["A"][data.owner[k - 1]]
    for k in marks(data) if record.top5 else ():
        metrics[f"top-5 A_{k} (%)"] = 100 * record.top5[data.owner[k - 1]]
    return metrics


def about_generator(args: argparse.Namespace, data: Data) -> dict:
    """What must agree for a run to use another's generator: its sizes, its classes, the data."""
    names = ("memory", "tasks", "classes_per_task", "shuffle_classes", "net", "ngf", "dataset",
             "image_size", "train_size", "validation", "seed")  # fmt: skip
    return {name: getattr(args, name) for name in names} | {"data": data.about}


def read_generator(args: argparse.Namespace, data: Data) -> dict:
    """What a run with --keep-generator has left; UserError if it does not fit what is asked for."""
    if not Path(args.generator).is_file():
        raise common.UserError(f"--generator: there is no file {args.generator}; make it with "
                               "--keep-generator")  # fmt: skip
    way_out = "give --generator of a run with the same flags"
    return common.load_checkpoint(args.generator, about_generator(args, data), way_out)["state"]


def prepare(args: argparse.Namespace) -> tuple[dict, Data, common.Run]:
    """What each run begins with: the first entries of the result, the data, the checkpoint."""
    device, environment = common.start(args)
    data = load_data(args, device)
    common.tell_classes(data.names)
    args.epochs = epochs_of(data, args)
    if args.preset == "laptop":
        print(f"--preset laptop: settings for {kind_of(args)}")
    if args.steps:
        print(f"{args.steps} steps per class: {args.epochs} epochs")
    identity = common.identity(args, data.about, free=("keep_generator",))
    here = common.Run(args.out, identity, device, args.checkpoint_every)
    environment["machines"] = here.machines
    if args.preset == "paper" and not (args.steps or args.train_size):
        common.tell_fewer_steps(len(data.x) / len(data.owner), 6000)
    return {"classes": data.names, "data": data.about, "environment": environment}, data, here


def epochs_of(data: Data, args: argparse.Namespace) -> int:
    """--epochs, or as many as come close to --steps for a class of average size."""
    per_class = len(data.x) / len(data.owner)
    return max(1, round(args.steps * args.batch_size / per_class)) if args.steps else args.epochs


def conclude(
    result: dict, record: Record, images: list[Tensor], data: Data, run: common.Run
) -> dict:
    """The whole result of a run of many tasks; images: what G generates of each task."""
    seconds = [{f"{name}_s": v for name, v in task.items()} for task in run.seconds]
    seconds = [task | {"memory_mb": mb} for task, mb in zip(seconds, record.memory_mb)]
    grids = [common.pack_images(to_uint8(x)) for x in images]
    parts = {"quality": record.quality, "top5": record.top5, "grids": grids}
    return result | {
        "metrics": metrics_of(record, data), "R": record.R, "tasks": record.tasks,
        **{name: part for name, part in parts.items() if part},
        "images": {"n": len(data.x), "bytes": data.x[0].numel()},
        "timing": {"wall_s": run.wall_s(), "tasks": seconds},
        "environment": result["environment"] | common.peak_memory(data.x.device),
    }  # fmt: skip


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence; the result, but for what common.carry_out adds."""
    result, data, here = prepare(args)
    if args.joint:
        metrics, solver = learn_joint(data, args, here)
        result["environment"] |= common.peak_memory(data.x.device)
        return result | {"metrics": metrics, "R": [[metrics["ACC"]] * len(data.tasks)],
                         "tasks": [], "timing": {"wall_s": here.wall_s()},
                         "kept": keep(None, solver, data)}  # fmt: skip
    without = args.replay == "none" or args.generator
    record, G, solver = (learn_without_gan if without else learn)(data, args, here)
    if args.keep_generator and not args.generator:
        path = Path(args.out).with_suffix(".generator")
        common.save_checkpoint(path, about_generator(args, data), G.state_dict(), data.x.device)
    images = [snapshot(G, data, t) for t in range(len(G.masks))]  # as G generates them now
    result["kept"] = keep(G, solver, data)
    return conclude(result, record, images, data, here)


# --------------------------------------------------------------------------------------------
# A trained model: what checkpoints and --save keep, and what --load does with it
# --------------------------------------------------------------------------------------------


def restore(G: Generator, state: dict) -> None:
    """Undo G.state_dict, at the stored size; parameters that have it already stay the same objects,
    as an optimizer may hold them."""
    net, device = state["net"], G.W[0].device
    for name in ("W", "e"):
        kept = [v for key, v in net.items() if key.startswith(f"{name}.")]
        if [v.shape for v in kept] != [v.shape for v in getattr(G, name)]:
            setattr(G, name, nn.ParameterList(torch.empty_like(v, device=device) for v in kept))
    while f"own.{len(G.own)}.last.weight" in net:
        widths = [len(net[f"own.{len(G.own)}.norms.{i}.weight"]) for i in range(len(G.W))]
        G.own.append(TaskLayers(widths, G.C, *G.last).to(device))
    nn.Module.load_state_dict(G, net)
    G.masks = [[m.to(device) for m in masks] for masks in state["masks"]]
    G.used = G.reserved()
    for own in G.own[: len(G.masks)]:
        own.requires_grad_(False).eval()


def keep(G: Generator | None, solver: nn.Module, data: Data) -> dict:
    """G with the masks of all tasks, if there is one, and the last classifier."""
    state = G.state_dict() if G and G.masks else {}
    if state:  # mask embeddings are for training alone
        state["net"] = {k: v for k, v in state["net"].items() if not k.startswith("e.")}
    return {"G": state, "solver": solver, "tasks": data.tasks,
            "pixels": "the nets see bytes x as x / 127.5 - 1"}  # fmt: skip


def rebuild(model: common.Model, device: torch.device) -> tuple[Generator, nn.Module, Data]:
    """The nets of a model, and what is known of its data without images."""
    args, kept, (x, y) = model.args, model.kept, model.no_images(device)
    tasks, K, shape = kept["tasks"], len(model.data["classes"]), tuple(model.data["shape"])
    owner = common.task_of_class(tasks)
    data = Data(x, y, x, y, tasks, owner, K, shape, model.classes, model.data, args.seed)
    G = new_generator(data, args)
    if kept["G"]:
        G.load_state_dict(kept["G"])
    own = args.separate_classifier and (args.joint or args.replay == "gan")
    solver = new_critic(data, len(owner), args, own)
    solver.load_state_dict(kept["solver"])
    return G, solver, data


def draw_classes(nets: tuple, model: common.Model, n: int) -> dict[str, Tensor]:
    """n images uint8 [n, C, S, S] of each class of the first --after tasks, each task's under its
    own masks. By Eq. (5) they are what they were when that task ended: to the bit."""
    G, _, data = nets
    T = len(data.tasks)
    after = getattr(model.args, "after", T)
    if not G.masks:
        raise common.UserError("--generate: no GAN was trained in this model's run; --evaluate")
    if after > T:
        raise common.UserError(f"--after takes numbers from 1 to {T}, the tasks of this model")
    if after < T and not model.args.veto:
        raise common.UserError("--after: without the veto later tasks have changed these images")
    rows: dict[str, Tensor] = {}
    for t in range(after):
        x = to_uint8(snapshot(G, data, t, n)).split(n)
        rows |= dict(zip(data.names[t], x))
    return rows


# --------------------------------------------------------------------------------------------
# Rows and items of the figures and tables (tools/ runs and draws them)
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make dgm` runs them.
ROWS = {
    "dgmw-paper": ("Tables 1, 3, 4", "--method dgmw", "DGMw, --preset paper"),
    "dgma-paper": ("Tables 1, 4", "--method dgma", "DGMa, --preset paper"),
    "joint-paper": ("Table 1, JT", "--joint", "joint training, --preset paper"),
    "none-paper": ("–", "--replay none", "no replay, --preset paper"),
    "dgmw": ("Tables 1, 3, 4", "--preset laptop --method dgmw", "DGMw, laptop"),
    "dgma": ("Tables 1, 4", "--preset laptop --method dgma", "DGMa, laptop"),
    "joint": ("Table 1, JT", "--preset laptop --joint", "joint training (upper bound), laptop"),
    "joint-raw": ("Table 1, JT", "--preset laptop --joint --classifier-steps 0 --augment 0 "
                  "--no-separate-classifier --no-flip --critic-replay",
                  "joint training, laptop, images as they are"),
    "none": ("–", "--preset laptop --replay none", "no replay (lower bound), laptop"),
    "dgmw-residual": ("Table 1", "--preset laptop --net resnet --norm layer --lr 3e-4",
                      "DGMw, laptop, residual nets"),
    "raw": ("Sec. 3.3", "--preset laptop --classifier-steps 0 --augment 0 "
            "--no-separate-classifier --no-flip --critic-replay",
            "DGMw, laptop, the classifier as the GAN leaves it"),
    "no-veto": ("Eq. (5)", "--preset laptop --no-veto", "DGMw, laptop, without the veto"),
    "no-growth": ("Sec. 4", "--preset laptop --no-growth", "DGMw, laptop, without expansion"),
    # as raw, since the classifier's own steps would hide what D has learned
    "no-aux-fakes": ("Fig. 1", "--preset laptop --classifier-steps 0 --augment 0 "
                     "--no-separate-classifier --no-flip --critic-replay --no-aux-fakes",
                     "DGMw, laptop, L_c without fakes, the classifier as the GAN leaves it"),
    "kept-critic": ("Sec. 4", "--preset laptop --classifier-steps 0 --augment 0 "
                    "--no-separate-classifier --no-flip --critic-replay --keep-critic",
                    "DGMw, laptop, one critic for all tasks, as the GAN leaves it"),
    "no-sparsity": ("Eq. (6)", "--preset laptop --lambda-ru 0", "DGMw, laptop, without R^t"),
    "dgma-local": ("Sec. 3.1", "--preset laptop --method dgma --annealing local",
                   "DGMa, laptop, with local annealing"),
    "dgmw-order": ("–", "--preset laptop --shuffle-classes", "DGMw, laptop, another class order"),
    "dgma-order": ("–", "--preset laptop --method dgma --shuffle-classes",
                   "DGMa, laptop, another class order"),
    "improved": ("–", "--preset improved", "DGMw, improved"),
    "improved-plain": ("–", "--preset improved --augment 0 --jitter 0",
                       "improved, no augmentation"),
    "joint-improved": ("–", "--preset improved --joint", "joint training, improved"),
    "split-none": ("–", "--preset laptop --classes-per-task 2 --replay none", "no replay, laptop"),
    "split-dgmw": ("–", "--preset laptop --classes-per-task 2 --method dgmw", "DGMw, laptop"),
    "split-dgma": ("–", "--preset laptop --classes-per-task 2 --method dgma", "DGMa, laptop"),
    "split-improved": ("–", "--preset improved --classes-per-task 2", "DGMw, improved"),
    "split-joint": ("–", "--preset laptop --classes-per-task 2 --joint", "joint training, laptop"),
    # On ImageNet-50 alone: classifiers on what the generator of the row dgmw generates.
    "k1000": ("Table 2", "--preset laptop --memory-size 1000 --generator dgmw", "DGMw, K=1000"),
    "k2000": ("Table 2", "--preset laptop --memory-size 2000 --generator dgmw", "DGMw, K=2000"),
    "k1000-herding": ("Table 2", "--preset laptop --memory-size 1000 --choice herding "
                      "--generator dgmw", "DGMw, K=1000, herded"),
    "k2000-herding": ("Table 2", "--preset laptop --memory-size 2000 --choice herding "
                      "--generator dgmw", "DGMw, K=2000, herded"),
    "r75": ("Table 2", "--preset laptop --real-ratio 0.75 --generator dgmw", "DGMw, r=0.75"),
    "r50": ("Table 2", "--preset laptop --real-ratio 0.5 --generator dgmw", "DGMw, r=0.5"),
    "r25": ("Table 2", "--preset laptop --real-ratio 0.25 --generator dgmw", "DGMw, r=0.25"),
    "r10": ("Table 2", "--preset laptop --real-ratio 0.1 --generator dgmw", "DGMw, r=0.1"),
    # The same, but with the new classes' real images, and for as many steps as iCaRL takes.
    "real-k1000": ("Table 2", "--preset laptop --memory-size 1000 --generator dgmw "
        "--classifier-images real --classifier-steps 1800", "DGMw, K=1000, real new images"),
    "real-k2000": ("Table 2", "--preset laptop --memory-size 2000 --generator dgmw "
        "--classifier-images real --classifier-steps 1800", "DGMw, K=2000, real new images"),
    "real-r75": ("Table 2", "--preset laptop --real-ratio 0.75 --generator dgmw "
        "--classifier-images real --classifier-steps 1800", "DGMw, r=0.75, real new images"),
    "real-r10": ("Table 2", "--preset laptop --real-ratio 0.1 --generator dgmw "
        "--classifier-images real --classifier-steps 1800", "DGMw, r=0.1, real new images"),
    "stored-k1000": ("Table 2", "--preset laptop --memory-size 1000 --generator dgmw "
        "--classifier-images real --classifier-steps 1800 --stored-only",
        "K=1000, stored images alone"),
    "stored-k2000": ("Table 2", "--preset laptop --memory-size 2000 --generator dgmw "
        "--classifier-images real --classifier-steps 1800 --stored-only",
        "K=2000, stored images alone"),
    "real-r0": ("Table 2", "--preset laptop --generator dgmw "
        "--classifier-images real --classifier-steps 1800", "DGMw, r=0, real new images"),
}  # fmt: skip
# Which rows a figure or table needs: `make dgm/table1`; with PRESET=paper the rows of that preset.
ITEMS = {
    "table1": ("dgmw", "dgma", "joint", "none", "generators:mergan",
               "generators:mergan-align", "generators:dgr", "generators:ewc",
               "episodic:icarl", "episodic:ewc", "episodic:rwalk", "episodic:pi"),
    "table2": ("@imagenet50", "joint", "dgmw", "k1000", "k2000", "k1000-herding", "k2000-herding",
               "r75", "r50", "r25", "r10", "real-k1000", "real-k2000", "real-r75", "real-r10",
               "real-r0", "stored-k1000", "stored-k2000", "episodic:icarl-k1000",
               "episodic:icarl-k2000"),
    "table3": ("dgmw", "dgma", "generators:mergan", "generators:mergan-align"),
    "table4": ("dgmw", "dgma"),
    "figure2": ("@imagenet50", "joint", "dgmw", "r75", "r50", "r25", "r10", "none"),
    "figure3a": ("dgmw", "dgma"), "figure3b": ("dgmw", "dgma"), "figure4": ("dgmw", "dgma"),
    "figure5": ("dgmw", "dgma", "improved", "generators:mergan-align", "no-veto"),
    "quality": ("dgmw", "dgma", "improved"),
    "ablations": ("joint-raw", "raw", "no-veto", "no-growth", "no-aux-fakes", "kept-critic",
                  "no-sparsity", "dgma-local", "generators:dgr-new-critic"),
    "orders": ("dgmw-order", "dgma-order"),
    "residual": ("@cifar10", "dgmw-residual"),
    "improved": ("improved", "improved-plain", "joint-improved"),
    "split": ("split-none", "split-dgmw", "split-dgma", "split-improved", "split-joint"),
}  # fmt: skip
DEMO = {  # the same in miniature
    "": "--dataset glyphs --train-size 3000 --test-size 1000 --tasks 4 --epochs 16 --batch-size 16 "
        "--classifier-steps 400",
    "dgmw": "--preset laptop --method dgmw", "dgma": "--preset laptop --method dgma",
    "joint": "--preset laptop --joint", "none": "--preset laptop --replay none",
    "improved": "--preset improved",
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Flags and checks
# --------------------------------------------------------------------------------------------

# What --preset, --method and the data set (its name, if the paper names nets for it, else grey or
# colour) give the flags. A "*" is for all. Rows that hold at the same time never set the same flag.
PHOTOS, OTHERS = "cifar10 imagenet50", "grey colour"
PRESETS = (
    ("*", "dgma", "*", dict(annealing="global")),
    ("*", "*", "imagenet50", dict(classes_per_task=10)),
    ("paper laptop", "dgma", "*", dict(lambda_ru=0.01)),
    ("paper", "dgma", OTHERS, dict(ngf=20)),
    ("paper", "*", PHOTOS, dict(ngf=128, norm="layer", lr=2e-4)),
    ("paper", "*", "cifar10", dict(net="resnet", ndf=128)),
    ("paper", "*", "imagenet50", dict(net="resnet18", ndf=64)),
    ("laptop improved", "*", "*", dict(image_size=16, lr=1e-3, lr_decay=True, aux_weight=4.0)),
    ("laptop", "*", "*", dict(augment=0.1)),
    ("laptop", "*", "grey", dict(ngf=16, ndf=16, norm="layer", steps=1220, replay_batch_size=64,
                                 classifier_steps=400)),
    ("laptop", "*", PHOTOS + " colour", dict(
        ngf=24, ndf=32, norm="none", batch_size=32, gp_batch_size=16, replay_batch_size=32,
        separate_classifier=True, classifier_width=24, classifier_steps=600,
        classifier_images="generated", flip=True)),
    ("laptop", "*", "cifar10 colour", dict(steps=1250)),
    ("laptop", "*", "imagenet50", dict(steps=625, critic_replay=False, keep_generator=True)),
    ("improved", "*", "*", dict(
        ngf=16, ndf=16, norm="layer", steps=1220, replay_batch_size=64, lambda_ru=0.02,
        separate_classifier=True, classifier_images="auto", classifier_steps=1200,
        classifier_lr=2e-3, augment=0.15, jitter=0.2, label_smoothing=0.1)),
)  # fmt: skip


def preset(name: str, memory: str, data: str, table: tuple = PRESETS) -> dict:
    """What the table gives the flags; data: one of PHOTOS, grey or colour."""
    found: dict = {}
    for *where, flags in table:
        if all(v in some.split() or some == "*" for some, v in zip(where, (name, memory, data))):
            found |= flags
    return found


def kind_of(args: argparse.Namespace) -> str:
    """Which of the table's data sets a run has."""
    name = Path(args.dataset).name
    colour = "colour" if common.has_colour(args.dataset, args.data_dir) else "grey"
    return name if name in PHOTOS.split() else colour


def parse_with_presets(
    parser: argparse.ArgumentParser, argv: list[str], *tables: tuple
) -> argparse.Namespace:
    """Flags; a preset only moves defaults, so that each change can be undone by name."""
    asked = parser.parse_args([word for word in argv if word not in ("-h", "--help")])
    data = kind_of(asked)
    for table in tables:
        moved = preset(asked.preset, asked.memory, data, table)
        parser.set_defaults(**{name: v for name, v in moved.items() if name in asked})
    if common.given(argv, "--epochs"):
        parser.set_defaults(steps=0)
    return parser.parse_args(argv)


def shared_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that other generators (beyond/generators.py) have, too."""
    yes_no = argparse.BooleanOptionalAction
    paper = "paper (defaults are the paper's, its authors' code's, or ours: Deviations)"
    add = parser.add_argument_group(paper).add_argument
    add("--preset", choices=["paper", "laptop", "improved"], default="paper",
        help="which defaults to use")
    add("--tasks", type=int, default=0, help="stop after so many; 0: all")
    add("--classes-per-task", type=int, default=1, help="(Sec. 4)")
    add("--shuffle-classes", action=yes_no, default=False, help="class order by --seed")
    add("--epochs", type=int, default=101, help="I, per task (Eq. 3; the authors'); or --steps")
    add("--steps", type=int, default=0, help="for each class, on average, instead of --epochs")
    add("--batch-size", type=int, default=64, help="images per step (the authors')")
    add("--net", choices=[*NETS], default="dcgan", help="resnet: residual G and D; resnet18: with "
        "ResNet-18 as D (Sec. 4: the one for CIFAR-10, the other for ImageNet-50)")
    add("--ngf", type=int, default=6, help="units of G's last masked layer (Sec. 4: 10 %% of "
        "MeRGAN's size, DGMa 44 %%); each earlier one has twice as many. Residual: of every layer")
    add("--ndf", type=int, default=32, help="channels of D's first layer (the authors')")
    add("--norm", choices=["batch", "layer", "none"], default="batch",
        help="normalisation in D (Deviation 13)")
    add("--lr", type=float, default=2e-3, help="Adam's rate for D, G, masks (the authors')")
    add("--lr-decay", action=yes_no, default=False, help="--lr falls to 0 in a task's second half")
    add("--gp-batch-size", type=int, default=32, help="images per step for L_gp; 0: all of them")
    add("--replay-batch-size", type=int, default=32, help="replayed images per step; 0: the batch")
    add("--aux-weight", type=float, default=1.0, help="weight of L_c in L_D (Sec. 3.3)")
    add("--aux-fakes", action=yes_no, default=True, help="D classifies fakes too (Deviation 7)")
    add("--critic-replay", action=yes_no, default=True,
        help="D classifies replayed images in every step; else only --classifier-steps do")
    add("--keep-critic", action=yes_no, default=False, help="one D for all tasks (Deviation 1)")
    add = parser.add_argument_group("steps of the classifier alone (beyond the paper)").add_argument
    add("--classifier-steps", type=int, default=0, help="so many at the end of a task")
    add("--separate-classifier", action=yes_no, default=False,
        help="a classifier of its own, instead of D's classes")
    add("--classifier-images", choices=["real", "generated", "auto"], default="real",
        help="of the current task's classes: real, or generated like the replayed ones, so that "
        "real against generated is no cue; auto: real if they are hardly told apart")
    add("--classifier-width", type=int, default=32, help="channels of the separate classifier")
    add("--classifier-lr", type=float, default=1e-3, help="Adam's first rate; it falls to 0")
    add("--label-smoothing", type=float, default=0.0, help="(Szegedy et al. 2016)")
    add("--augment", type=float, default=0.0, help="turns, scales, shears, shifts images: the most")
    add("--flip", action=yes_no, default=False, help="a random half is mirrored")
    add("--jitter", type=float, default=0.0, help="half of the images are negatives, all with "
        "noise of up to this, unless --classifier-images auto has chosen real ones")
    common.add_data_flags(parser, image_size=32)  # Sec. 4
    common.add_run_flags(parser, "dgm")


def parse_args(argv: list[str]) -> argparse.Namespace:
    """All flags, checked."""
    parser = common.new_parser(__doc__)
    shared_flags(parser)
    yes_no = argparse.BooleanOptionalAction
    add = parser.add_argument_group("DGM and its bounds").add_argument
    add("--method", dest="memory", choices=["dgmw", "dgma"], default="dgmw",
        help="masks on weights (DGMw) or activations (DGMa)")
    add("--replay", choices=["gan", "none"], default="gan", help="none: the lower bound, no GAN")
    add("--joint", action="store_true", help="JT, the upper bound: no GAN, all real images")
    add("--lambda-ru", type=float, default=0.08, help="λ_RU, sparsity of masks (the authors')")
    add("--annealing", choices=["local", "global"], default="local",
        help="of s: also in each epoch (Eq. 4), or over the epochs alone, as in DGMa")
    add("--veto", action=yes_no, default=True, help="Eq. (5); without it G forgets")
    add("--growth", action=yes_no, default=True, help="G gets new units (Sec. 3.2)")
    add("--real-ratio", type=float, default=0.0, help="r, real among the replayed ones (Table 2)")
    add("--memory-size", type=int, default=0, help="K, real images stored in all; not with "
        "--real-ratio (Table 2)")
    add("--stored-only", action=yes_no, default=False, help="replay them alone, nothing generated")
    add("--choice", choices=["random", "herding"], default="random",
        help="how stored real images are chosen (Sec. 4)")
    add("--generator", default="", metavar="FILE", help="train only the classifiers, on images "
        "from what a run with --keep-generator wrote; or the name of its row")
    add("--keep-generator", action=yes_no, default=False, help="also write it, as OUT.generator")
    model_flags(parser)
    args = parse_with_presets(parser, argv, PRESETS)
    check(args)
    return args


def model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a trained model."""
    add = common.add_model_flags(parser)
    add("--after", type=int, metavar="T",
        help="--generate: only the classes known after task T, as they were generated then")


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    bound = args.replay == "none" or args.joint
    check_shared(args, bound)
    if bound:
        args.jitter = 0.0  # nothing generated is seen
    if bound and stores(args):
        raise common.UserError("--real-ratio and --memory-size mix real images into a replay")
    if not 0 <= args.real_ratio <= 1:
        raise common.UserError("--real-ratio: from 0 to 1")
    if args.real_ratio and args.memory_size:
        raise common.UserError("--real-ratio or --memory-size, not both")
    if args.stored_only and not stores(args):
        raise common.UserError("--stored-only: give --memory-size or --real-ratio, too")
    if args.choice != "random" and not stores(args):
        raise common.UserError("--choice: of what --real-ratio or --memory-size stores; give one")
    if args.generator and (args.critic_replay or not args.separate_classifier):
        raise common.UserError("--generator: with --no-critic-replay and --separate-classifier, "
                               "so that no other part of the run depends on what is replayed")
    if args.keep_critic and (bound or args.generator):
        raise common.UserError("--keep-critic: of a GAN's critic; --replay none, --joint and "
                               "--generator train none")  # fmt: skip
    if args.generator and bound:
        raise common.UserError("--generator is what --replay none and --joint have no use for")
    if args.generator in ROWS:  # of the same data and seed, where make puts it
        place = f"results/{Path(args.dataset).name}/dgm"
        args.generator = f"{place}/{args.generator}-seed{args.seed}.generator"


def check_shared(args: argparse.Namespace, bound: bool = False) -> None:
    """`check` of the flags that other generators have, too; no number is below 0."""
    least = {name: 0 for name, v in vars(args).items() if type(v) in (int, float)}
    common.check_ranges(args, least | dict(classes_per_task=1, epochs=1, ngf=1, ndf=1,
                                           classifier_width=1, batch_size=2))  # fmt: skip
    if not (0 < args.lr < 1 and 0 < args.classifier_lr < 1 and args.label_smoothing < 1):
        raise common.UserError("--lr, --classifier-lr, --label-smoothing: between 0 and 1")
    distorts = args.augment or args.flip or args.jitter or args.label_smoothing
    if distorts and not (args.classifier_steps or bound):
        raise common.UserError("--augment, --flip, --jitter, --label-smoothing: for the images of "
                               "--classifier-steps: give some, or --joint")  # fmt: skip
    if args.separate_classifier and not args.classifier_steps:
        raise common.UserError("--separate-classifier learns in --classifier-steps: give some")
    if not args.critic_replay and not args.classifier_steps:
        raise common.UserError("--no-critic-replay: old classes need --classifier-steps")


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says and write the result; or use a trained model (--load)."""
    argv = sys.argv[1:] if argv is None else argv
    if common.use_model(argv, "dgm", parse_args, rebuild, load_data,
                        lambda nets, data, _: evaluate(nets[1], data), draw_classes, model_flags):
        return
    argv = common.with_row(argv, ROWS, DEMO)
    common.carry_out(run, parse_args(argv), argv, "dgm")


DEVIATIONS = """What differs from the paper, and choices where it is silent.

1. Nets. The paper gives a "3-layer DCGAN", its relative size and 32×32 pixels. Our generator has
   128 inputs, the first K of which are the one-hot class (so the number of classes is known from
   the start; the paper conditions on "task labels"), three masked layers of 24, 12 and 6 units
   (DGMw) or 80, 40 and 20 (DGMa), without biases: about the paper's sizes (5.58e4 weights; 44 % of
   5.18e5). BatchNorm and a fourth layer belong to one task each and are never masked. The critic
   (5×5 convolutions, 32, 64, 128 channels, BatchNorm) is new in every task, where the paper adds
   outputs to it (--keep-critic; then with what the classifier's own steps made of it). Gradient
   penalty and replay take 32 images per step, for time; with D's BatchNorm this also changes the
   statistics they are normalised by. G is asked for the classes of the batch's real images; the
   last, smaller batch of an epoch is left out.
2. The mask's gradient goes through σ(e) instead of σ(s·e). This equals HAT's gradient compensation
   (the paper, which adopts HAT's annealing, does not mention it) up to a factor that Adam cancels;
   but where σ(s·e) saturates in float32, the compensated gradient is 0/0 or 0, and masks would
   freeze early.
3. In epoch 1 (of several), s is held at 1. As written, Eq. (3) gives s_max^1 = 1/s_max < 1, so
   that Eq. (4) would run down from s_max. Ours starts at s = 1, as the paper says elsewhere.
4. DGMa masks behind BatchNorm and ReLU. In front of BatchNorm a closed unit would still put out a
   constant (the shift β), so it would not be closed. Weights from new units into reserved ones
   start at 0, as the veto would keep them at random values for ever.
5. A finished mask is binary (e > 0), not σ(s_max·e); BatchNorm's statistics are taken anew with it.
   The veto of Eq. (5) takes the union of the masks of all earlier tasks; as printed, max(m^t,
   m^{t-1}) would free what only older tasks need, and freeze what task t is learning.
6. Growth of DGMw. We add units only until the free weights reach the first task's number again. The
   paper adds ⌈δ/n⌉ units per task; we add fewer where rounding up has left weights free before, or
   where the layer below has grown and has brought some. The first growth of layer 1 is the paper's.
   The net grows before a task, so not after the last one; the paper grows after each. Free
   weights keep the values that the last task has left them.
7. D classifies fakes too, as in AC-GAN. Else it could learn to tell new classes from old by how
   real an image looks. --no-aux-fakes is the paper's way (row no-aux-fakes).
8. The last epoch counts. What a task replays, as many images of every old class as it has of its
   own, is generated once before it, as bytes. Each step draws 32 of all of them (laptop: 64) at
   random, so that an old class is seen more rarely than a new one; its weight in L_c makes up for
   it. No run chooses anything on real images of old classes; but laptop (of digits) and improved
   were tuned on 10,000 held-out training images of *all* classes. Most of these runs are not kept;
   the last are in docs/tuning.md. The settings of the generators of 10 were chosen on four classes
   with one seed. Rate and steps of all these generators, DGM's too, had three tries each on five
   classes: twice the rate changes little, twice the steps helps all a little but retrained MeRGAN;
   so all share them.
9. laptop is smaller: 16×16 pixels, two masked layers of 32 and 16 units (DGMw and DGMa alike start
   at 24 % of MeRGAN's size; the paper has 10 and 44 %), 16 channels in the critic's first layer, 13
   epochs. Adam's rate falls to 0 in the second half of a task, the critic has LayerNorm (BatchNorm
   makes the gradient penalty of an image depend on its batch), 64 images are replayed per step, and
   L_c has weight 4 in L_D. When the generator is frozen, the critic's classifier learns for 400
   more steps, on images turned, scaled, sheared and shifted (row raw: without). Sizes, LayerNorm,
   epochs, replay and steps are for grey images. Photographs (sizes: PRESETS) take DCGANs, too, not
   Sec. 4's residual nets; their critic has no normalisation; their classifier is not D but a net of
   its own, new in each task, which learns for 600 steps from generated images alone, the task's own
   classes too, distorted as above and half of them mirrored. Other images in colour take CIFAR-10's
   settings. D of ImageNet-50 is shown no old images, so that all of Table 2 shares one generator.
   Photographs' settings were first chosen on *test* images (docs/dgm.md); of four tries each of
   DGMw and aligned MeRGAN on held-out images of CIFAR-10 none is better for both (docs/tuning.md).
   improved takes MNIST's nets for all images, and 1,220 steps per class: small classes are seen for
   more epochs.
10. Other generators of Table 1 (MeRGAN, DGR, EWC-M): see beyond/generators.py.
11. Residual nets. The paper names "the ResNet architecture proposed by [20]", which proposes none
    (we take the one of Gulrajani et al. 2017), and ResNet-18, no sizes. Each 3×3 convolution of a
    block is followed by BatchNorm (in D LayerNorm, see 9); ReLU (in D leaky) comes behind the
    shortcut (He et al. 2016). A generator's block first doubles the side, and its shortcut has no
    weights: channels are cut off or filled with zeros, so that every layer can be masked and grow
    on its own. DGMa's mask closes a unit behind the shortcut. Widths (128; ResNet-18: 64), Adam at
    2e-4 and strides in the critics are our choice. ImageNet-50's generator is not given; we take
    CIFAR-10's.
12. Real images (Table 2). Of the N images replayed of a class, rN are real (--real-ratio), or K
    divided by the classes so far, the task's own too (--memory-size). N is the number of images of
    a class in the current task. --choice herding takes them by iCaRL's Algorithm 4, when their
    class has just been learned. A classifier that learns from generated images sees the same number
    of real images of new and of old classes: else it could tell old ones by looking real.
13. WGAN-GP. The gradient penalty has weight 1, the critic one step for each of G's, on the same
    fakes, Adam (0.5, 0.999). The paper gives none of these (see 18); Gulrajani et al. (2017), whom
    it cites, have 10, five steps, (0, 0.9), and no BatchNorm in the critic. --preset paper has
    DCGAN's there for digits; real, fake and replayed images then go through it one kind after the
    other.
14. Data. ImageNet-50 is 50 classes of Tiny ImageNet, 500 training images each (the paper: 1,300 of
    each class of ILSVRC-2012); CIFAR-10 is from JPEG copies; SVHN could not be had.
15. Losses. L_c is added to L_G; Sec. 3.3 prints a minus, which would have G generate what D does
    *not* recognise. In D's L_c all classes weigh the same, the new ones half in real images, half
    in fakes. R^t and α count weights (DGMw) or units (DGMa) of the masked layers. s_max and λ_RU
    differ between DGMw and DGMa, so the growth of the two cannot be compared for itself. Adam is
    new in every task. Figure 4's DGMa is the paper's “comparable” one (96.98 %); ours is that of
    Table 1.
16. Bounds. JT trains one net for each number of classes reported, on those classes alone; laptop
    shows it distorted images (row joint-raw: not). On photographs and with improved JT takes the
    separate classifier's net and the steps of all tasks, also for fewer classes. --replay none has
    a new D in each task, which has nothing to forget: it knows the newest classes alone. Both, and
    the classifier's own steps, use Adam (0.9, 0.999).
17. Of Table 4 the paper says that masks are stored sparse: we count four bytes for each open entry,
    a bit each besides (disc_bytes). Sec. 3.2 has np or np + p free weights after growth; rounding
    up leaves fewer than n more than np. iCaRL is beyond/episodic.py's, not the published code; it
    sees no distorted images, the rows of Table 2 that stand beside it do.
18. What the paper leaves open, --preset paper has as the authors' published code has it for MNIST
    (github.com/SAP-archive/machine-learning-dgm, cfg/): 128 inputs with the one-hot class in front,
    widths 6 and 20 of G and 32 of D, kernels, a new D, own BatchNorm and last layer per task, 101
    epochs, batches of 64, Adam's 2e-3 and (0.5, 0.999), s_max, λ_RU and λ_GP. That code differs
    from the paper: on MNIST L_G has no L_c. And from ours: HAT's compensation of the mask's
    gradient, a step of D's classifier for each old class in every step, no fakes in it, the epoch
    with the best validation accuracy. For SVHN it has 151 epochs at 5e-4 and λ_RU 0.001, for
    ImageNet 64 units, 128 in D, λ_RU 0.001 and λ_GP 0.6; there our values are our own. No line of
    it is used here.
"""


if __name__ == "__main__":
    common.exit_in_one_line(main)
