"""Dynamic Generative Memory (Ostapenko, Puscas, Klein, Jähnichen, Nabi, 2019): a GAN that grows.

A classifier must learn one class after another, and no image may be kept. So a generator learns
to draw each class, and the classifier is shown its drawings of old ones. But a generator forgets
too, unless what an old class needs is frozen. DGM learns, with the weights, a mask that says which
weights (DGMw) or units (DGMa) a class needs. At the end of a task the mask is binary, what it
covers never changes again, and the net grows by as much. So the images of an old class are the
same for ever, bit for bit (checked after every task). D's answer to "which class?" is the result.

    task t:  z, y ─► G under mask m_t ───► fakes ─► D: real or fake? which class?
             the task's images ──────────────────► D: real or fake? which class?
             G under m_1 ... m_{t-1} ──► replay ─► D:                which class?

paper            here                 shape
m_l^t            soft_mask(e, s)      weights [n, p, k, k] (DGMw) or units [1, p, 1, 1] (DGMa)
e_l^t, s         G.e[l], s            as m; a number that rises to s_max
m_l^{<t}         G.used[l]            as m, bool: what earlier tasks have reserved
W_l              G.W[l]               [n, p, k, k]: n units below, p units of the layer
D                D                    images -> score [B], logits [B, classes so far]
A_t              "A_5 (%)"            accuracy on the classes so far, one head (Sec. 4)

Deviations, and choices where the paper is silent (README.md gives the reasons and the numbers):
 1. Sizes and rates are mostly not given: our choice. The first inputs of G are the one-hot class.
    BatchNorm and the last layer of G belong to a task each, unmasked. D is new for every task (the
    paper adds outputs to it). In L_G the cross entropy is added (Sec. 3.3 prints a minus).
 2. The mask's gradient is taken through σ(e), not σ(s·e): HAT's compensation (Serrà et al. 2018) up
    to a factor that Adam cancels, without vanishing where σ(s·e) saturates.
 3. Eq. (3) starts below 1, so the first epoch's s would fall instead of rise: s^i_max >= 1 here.
 4. DGMa masks behind BatchNorm and ReLU, or the shift of BatchNorm would leak through the mask; and
    nothing new flows into reserved units.
 5. A task's mask is cut at e > 0, and BatchNorm's statistics are taken anew with the binary mask.
    Eq. (5) takes the union of the masks of all earlier tasks, not of the last two.
 6. Growth counts the weights that a layer gains when the one below grows (`more_units`).
 7. D classifies the fakes too, as in AC-GAN (--aux-fakes); every class weighs the same in L_c.
 8. The last epoch's nets are taken: nothing is chosen on real images of old classes. What a task
    replays is drawn once before it, as bytes.
 9. laptop: fewer pixels and epochs, LayerNorm in D, falling rates, more weight on L_c; when G is
    frozen, D's classifier learns some steps more, on slightly distorted images (photographs: one of
    its own, on drawn images alone).
10. Table 1's other generators (--memory mergan, dgr, ewc) have D and the rest in common with DGM.
11. The residual nets normalise behind each convolution; G's shortcuts have no weights (`fit`).

    python dgm.py --preset laptop --dataset glyphs --train-size 3000 --tasks 3 --batch-size 16
    python dgm.py --preset laptop  # many GPUs: torchrun --nproc-per-node=N dgm.py ...
    # A_3 97 to 100 % in half a minute; 8 minutes, numbers: RESULTS.md; one core of an AMD EPYC
"""

import argparse
import contextlib
import copy
import math
import os
import shlex
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import common  # first: it says in one line which package is missing

# isort: split
import numpy as np
import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

# A preset only moves defaults, so that each change can be undone by its flag. Per memory: λ_RU,
# s_max and the generator's size ("10 % of MeRGAN's size for DGMw, and 44 % for DGMa").
MEMORY = {
    "dgmw": dict(ngf=6, lambda_ru=0.08, s_max=1e4),
    "dgma": dict(ngf=20, lambda_ru=0.01, s_max=1e5),
    "mergan": dict(ngf=37, veto=False),
    "dgr": dict(ngf=37, veto=False, aux_fakes=False),
    "ewc": dict(ngf=37, veto=False),
}
PLAIN = ("mergan", "dgr", "ewc")  # one generator without masks, which does not grow
LAPTOP = dict(
    image_size=16, ngf=16, ndf=16, norm="layer", epochs=13, lr=1e-3, lr_decay=True, aux_weight=4.0,
    replay_batch_size=64, classifier_steps=400, augment=0.1,
)  # fmt: skip
LAPTOP_PLAIN = {"cifar10": dict(ngf=78)}  # else 52: DGMw ends at 74 % of it, as in Table 3
IMPROVED = dict(
    separate_classifier=True, classifier_steps=1200, classifier_lr=2e-3, augment=0.15,
    label_smoothing=0.1, lambda_ru=0.02,
)  # fmt: skip
# The nets of Sec. 4 are chosen by the data set (their sizes are our choice).
DATASET = {
    "cifar10": dict(net="resnet", ngf=128, ndf=128, norm="layer", lr=2e-4),
    "imagenet50": dict(
        net="resnet18", ngf=128, ndf=64, norm="layer", lr=2e-4, classes_per_task=10
    ),
}  # fmt: skip
# Photographs: MNIST's nets, as residual ones take longer to learn as much; the classifier learns
# from drawings alone, so that looking real tells nothing. Without old images in the GAN one
# generator serves all rows of Table 2 (README.md).
PHOTOS = dict(
    net="dcgan", ngf=24, ndf=32, norm="none", batch_size=32, gp_batch_size=16, replay_batch_size=32,
    separate_classifier=True, classifier_steps=600, classifier_width=24,
    classifier_images="drawn", flip=True,
)  # fmt: skip
LAPTOP_DATASET = {
    "cifar10": PHOTOS | dict(epochs=8),
    "imagenet50": PHOTOS | dict(epochs=40, critic_replay=False, keep_generator=True),
}
REPORT = ("report", "figures", "readme", "compare")
# Flags that do not change the result: a checkpoint may be continued with other values of these.
NO_EFFECT = ("out", "data_dir", "checkpoint_every", "keep_generator", *REPORT)


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Flags; `--preset` and `--memory` move defaults, so that each change can be undone by name."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    common.errors_in_one_line(parser)
    yes_no = argparse.BooleanOptionalAction
    paper = parser.add_argument_group("paper (defaults are the paper's, or our choice: Deviations)")
    add = paper.add_argument
    add("--memory", "--method", choices=[*MEMORY, "none"], default="dgmw",
        help="how G remembers: masks on weights (DGMw) or activations (DGMa), or as in the rows "
        "that Table 1 quotes; none: --replay none")
    add("--preset", choices=["paper", "laptop", "improved"], default="paper",
        help="which defaults to use")
    add("--replay", choices=["gan", "none"], default="gan", help="none: the naive bound, no GAN")
    add("--joint", action="store_true", help="JT, the upper bound: D's classifier on all")
    add("--tasks", type=int, default=0, help="stop after so many tasks; 0: all")
    add("--classes-per-task", type=int, default=1, help="classes in a task (Sec. 4)")
    add("--shuffle-classes", action=yes_no, default=False, help="class order by --seed")
    add("--epochs", type=int, default=101, help="I, epochs a task (Eq. 3; our choice)")
    add("--batch-size", type=int, default=64, help="images a step (our choice)")
    add("--n-critic", type=int, default=1, help="steps of D for one of G (our choice)")
    add("--net", choices=["dcgan", "resnet", "resnet18"], default="dcgan",
        help="resnet: residual G and D; resnet18: with ResNet-18 as D. --preset paper takes "
        "resnet for cifar10, resnet18 for imagenet50, dcgan for the others (Sec. 4)")
    add("--nz", type=int, default=128, help="size of the generator's input (our choice)")
    add("--ngf", type=int, default=6, help="units of G's last masked layer; the others have twice "
        "as many as the next (Sec. 4: a tenth of MeRGAN for DGMw, 44 %% for DGMa); "
        "of all of them in the residual nets")
    add("--ndf", type=int, default=32, help="channels of D's first layer (our choice)")
    add("--norm", choices=["batch", "layer", "none"], default="batch",
        help="normalisation in D's layers 2 and 3 (our choice)")
    add("--lr", type=float, default=2e-3, help="Adam's rate for D, G, masks (our choice)")
    add("--lr-decay", action=yes_no, default=False,
        help="the rate falls to 0: the GAN's over the second half of a task (our choice)")
    add("--gp", type=float, default=1.0, help="λ_GP, gradient penalty (Sec. 3.3; our choice)")
    add("--gp-batch-size", type=int, default=32,
        help="images a step that it is measured on; 0: the batch (our choice)")
    add("--replay-batch-size", type=int, default=32,
        help="replayed images a step; 0: the batch (our choice)")
    add("--aux-weight", type=float, default=1.0, help="weight of L_c in L_D (Sec. 3.3)")
    add("--lambda-ru", type=float, default=0.08,
        help="λ_RU, sparsity of the masks (Sec. 3.3; our choice)")
    add("--s-max", type=float, default=1e4, help="s_max of Eq. (3) (our choice)")
    add("--aux-fakes", action=yes_no, default=True, help="D classifies fakes too (our choice)")
    add("--critic-replay", action=yes_no, default=True,
        help="D classifies replayed images in every step; without, the GAN sees a task alone, and "
        "only --classifier-steps see all classes")
    add("--veto", action=yes_no, default=True, help="Eq. (5); without it G forgets")
    add("--real-ratio", type=float, default=0.0,
        help="r, share of stored real images among the replayed ones (Table 2)")
    add("--memory-size", type=int, default=0, help="K, real images stored in all, K / classes of "
        "each (Table 2); 0: as many as --real-ratio asks for")
    add("--choice", choices=["random", "herding"], default="random",
        help="which real images are stored; herding: as iCaRL does, what Sec. 4 suggests")
    other = parser.add_argument_group("other generators of Table 1 (values are our choice)")
    add = other.add_argument
    add("--mergan", choices=["joint", "align"], default="joint",
        help="MeRGAN: joint retraining with replay, or replay alignment")
    add("--align-weight", type=float, default=1.0, help="λ_RA, weight of the replay alignment")
    add("--ewc-lambda", type=float, default=1e6, help="λ, weight of EWC's penalty")
    beyond = parser.add_argument_group("beyond the paper")
    add = beyond.add_argument
    add("--classifier-steps", type=int, default=0,
        help="steps of the classifier alone, on real and replayed images, at the end of a task")
    add("--separate-classifier", action=yes_no, default=False,
        help="a net of its own instead of D's auxiliary output takes these steps")
    add("--classifier-images", choices=["real", "drawn"], default="real", help="there, the task's "
        "own classes; drawn: as the old ones, so that looking real tells nothing about the class")
    add("--classifier-width", type=int, default=32, help="channels of the separate classifier")
    add("--classifier-lr", type=float, default=1e-3, help="Adam's rate in these steps")
    add("--label-smoothing", type=float, default=0.0, help="in these steps and in --joint, "
        "--replay none (Szegedy et al. 2016)")
    add("--augment", type=float, default=0.0,
        help="there, too, images are turned, scaled, sheared and shifted by up to this")
    add("--flip", action=yes_no, default=False, help="there, too, a random half is mirrored")
    add("--generator", default="", metavar="FILE", help="learn only the classifiers, on what the "
        "generator draws that another run with --keep-generator has left in FILE ({seed}: --seed)")
    data = parser.add_argument_group("data")
    add = data.add_argument
    add("--dataset", default="mnist", help="mnist, fashion-mnist, kmnist, svhn, cifar10, glyphs, "
        "glyphs-rgb or a folder, also below --data-dir, with train/CLASS/* and test/CLASS/*")
    add("--data-dir", default="data", help="where data sets are, or are downloaded to")
    add("--image-size", type=int, default=32, help="resize to this (Sec. 4); 0: as they are")
    add("--train-size", type=int, default=0, help="use so many training images; 0: all")
    add("--test-size", type=int, default=0, help="use so many test images; 0: all")
    add("--validation", type=int, default=0,
        help="hold out so many training images and measure on them instead of the test images")
    run = parser.add_argument_group("run")
    add = run.add_argument
    add("--seed", type=int, default=0, help="seed of everything random")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    add("--checkpoint-every", type=float, default=30.0, help="seconds between checkpoints")
    add("--out", default="results/dgm/run-seed{seed}.json",
        help="the result, one JSON file; {seed} stands for --seed")
    add("--keep-generator", action=yes_no, default=False,
        help="also write the generator, beside --out, as .generator instead of .json")
    report = parser.add_argument_group("report (no training: figures and tables from JSON)")
    add = report.add_argument
    add("--report", default="", metavar="DIR", help="draw everything from the results in DIR")
    add("--figures", default="figures/dgm", metavar="DIR", help="where --report draws")
    add("--readme", default="", metavar="FILE", help="--report also renews its tables in FILE")
    add("--compare", nargs=2, default=[], metavar=("REFERENCE", "YOURS"),
        help="print paper, reference and your results side by side")
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", default="paper")
    chooser.add_argument("--memory", "--method", default="dgmw")
    chooser.add_argument("--mergan", default="joint")
    chooser.add_argument("--dataset", default="mnist")
    common.errors_in_one_line(chooser)
    chosen = chooser.parse_known_args(argv)[0]
    small, plain = chosen.preset in ("laptop", "improved"), chosen.memory in PLAIN
    name = Path(chosen.dataset).name
    parser.set_defaults(**MEMORY.get(chosen.memory, {}))
    parser.set_defaults(**DATASET.get(name, {}))
    parser.set_defaults(**(LAPTOP | LAPTOP_DATASET.get(name, {}) if small else {}))
    parser.set_defaults(**(LAPTOP_PLAIN.get(name, dict(ngf=52)) if small and plain else {}))
    if plain:
        parser.set_defaults(keep_generator=False)
    if retrained(chosen):
        parser.set_defaults(critic_replay=True)  # G itself learns from old images
    if chosen.memory == "dgr":  # what it draws of the new classes has no name
        parser.set_defaults(classifier_images="real")
    parser.set_defaults(**(IMPROVED if chosen.preset == "improved" else {}))
    args = parser.parse_args(argv)
    check(args)
    return args


def retrained(args: argparse.Namespace) -> bool:
    """Whether G is trained anew on what it drew of old classes (joint retraining, DGR)."""
    return args.memory == "dgr" or (args.memory == "mergan" and args.mergan == "joint")


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    least = {"threads": 0, "augment": 0, "gp": 0, "lambda_ru": 0, "aux_weight": 0, "seed": 0,
             "checkpoint_every": 0, "tasks": 0, "classifier_steps": 0, "gp_batch_size": 0,
             "replay_batch_size": 0, "classes_per_task": 1, "epochs": 1, "n_critic": 1, "nz": 1,
             "ngf": 1, "ndf": 1, "classifier_width": 1, "s_max": 1, "batch_size": 2,
             "align_weight": 0, "ewc_lambda": 0, "memory_size": 0}  # fmt: skip
    common.check_ranges(args, least)
    if not (0 < args.lr < 1 and 0 < args.classifier_lr < 1 and 0 <= args.label_smoothing < 1):
        raise common.UserError("--lr, --classifier-lr, --label-smoothing: between 0 and 1")
    if args.separate_classifier and not args.classifier_steps:
        raise common.UserError("--separate-classifier learns in --classifier-steps: give some")
    distorts = args.augment or args.flip or args.label_smoothing
    if distorts and not (args.classifier_steps or args.joint or args.replay == "none"):
        raise common.UserError("--augment, --flip and --label-smoothing are for the images of "
                               "--classifier-steps: give some, or --joint")  # fmt: skip
    if args.memory in PLAIN and args.veto:
        raise common.UserError(f"--veto is DGM's: --memory {args.memory} has no masks")
    if args.memory == "dgr" and (args.aux_fakes or args.classifier_images == "drawn"):
        flag = "--aux-fakes" if args.aux_fakes else "--classifier-images drawn"
        raise common.UserError(f"{flag}: the images that DGR draws have no class")
    if args.memory != "mergan" and args.mergan != "joint":
        raise common.UserError(f"--mergan {args.mergan} goes with --memory mergan")
    args.replay = "none" if args.memory == "none" else args.replay
    if not 0 <= args.real_ratio <= 1:
        raise common.UserError("--real-ratio: from 0 to 1")
    stores = args.real_ratio or args.memory_size
    if stores and (args.replay == "none" or args.joint):
        raise common.UserError("--real-ratio and --memory-size mix real images into a replay")
    if args.choice != "random" and not stores:
        raise common.UserError("--choice: of what --real-ratio or --memory-size stores; give one")
    if args.memory in PLAIN and (args.generator or args.keep_generator):
        raise common.UserError("--generator and --keep-generator are for DGM's own generators")
    if not args.critic_replay and retrained(args):
        raise common.UserError("--no-critic-replay: DGR and --mergan joint learn from old images")
    if not args.critic_replay and not args.classifier_steps:
        raise common.UserError("--no-critic-replay: old classes need --classifier-steps")
    if args.generator and (args.critic_replay or not args.separate_classifier):
        raise common.UserError("--generator: with --no-critic-replay and --separate-classifier, "
                               "so that no other part of the run depends on what is replayed")
    if args.generator and (args.replay == "none" or args.joint):
        raise common.UserError("--generator draws what --replay none and --joint have no use for")
    args.out = args.out.replace("{seed}", str(args.seed))
    args.generator = args.generator.replace("{seed}", str(args.seed))


# --------------------------------------------------------------------------------------------
# Masks and growth: the paper's equations
# --------------------------------------------------------------------------------------------


def soft_mask(e: Tensor, s: float) -> Tensor:
    """Embeddings e of any shape -> mask in [0, 1], all but binary for large s."""
    # Eq. (2): m = σ(s·e), forwards; backwards the slope of σ(e) (Deviation 2)
    slope = torch.sigmoid(e)
    return (torch.sigmoid(s * e) - slope).detach() + slope


def steepness(i: int, n_i: int, b: int, n_b: int, s_max: float, local: bool) -> float:
    """s in batch b of n_b (B) in epoch i of n_i (I), counted from 1; `local` annealing: DGMw."""
    # Eq. (3): global annealing, over the epochs
    s_i = 1 / s_max + (s_max - 1 / s_max) * (i - 1) / (n_i - 1) if n_i > 1 else s_max
    s_i = max(s_i, 1.0)  # Deviation 3
    if not local or n_b == 1:
        return s_i
    # Eq. (4): local annealing, over the batches of an epoch
    return 1 / s_i + (s_i - 1 / s_i) * (b - 1) / (n_b - 1)


def veto(gradient: Tensor, used: Tensor) -> Tensor:
    """A layer's gradient [n, p, k, k] where nothing is reserved yet; used: as the mask, bool."""
    # Eq. (5): g' = [1 - m] g, m what tasks before t have reserved: t itself may still learn
    return gradient * ~used


def sparsity(masks: list[Tensor], used: list[Tensor]) -> Tensor:
    """R^t: the share of what was free (not `used` by earlier tasks) that the masks now claim."""
    # Eq. (6): R^t = Σ m^t (1 - m^{<t}) / Σ (1 - m^{<t}), over layers and weights (units)
    claimed = sum((m * ~u).sum() for m, u in zip(masks, used))
    return claimed / max(count_free(used), 1)


def count_free(used: list[Tensor]) -> int:
    """Weights (DGMw) or units (DGMa) that no task has reserved, in all layers."""
    return sum(int((~u).sum()) for u in used)


def alpha(used: list[Tensor]) -> float:
    """α = S_t / S_free, the net's size over its free part before a task (Sec. 3.3)."""
    return sum(u.numel() for u in used) / max(count_free(used), 1)


def more_units(goal: int, free: int, brings: int) -> int:
    """Units to add to a layer so that at least `goal` weights or units are free again (Sec. 3.2).

    DGMw: a unit brings n weights; with goal = np and free = np - δ this is the paper's ⌈δ/n⌉, and
    `free` also counts what a wider layer below has brought (Deviation 6). DGMa: n = 1, so it is δ.
    """
    return max(0, -(-(goal - free) // brings))


def to_sparse(mask: Tensor) -> dict:
    """A bool tensor as the flat indices of what is True, int32: how masks are kept and stored."""
    return {"shape": list(mask.shape), "index": mask.flatten().nonzero().squeeze(1).int()}


def from_sparse(stored: dict, device: torch.device) -> Tensor:
    """Undo `to_sparse`."""
    mask = torch.zeros(math.prod(stored["shape"]), dtype=torch.bool, device=device)
    mask[stored["index"].to(device).long()] = True
    return mask.view(stored["shape"])


# --------------------------------------------------------------------------------------------
# Several processes: `torchrun --nproc-per-node=N dgm.py ...`. All of them draw the same random
# numbers for the whole batch, and each works on every N-th image of it. So weights, masks and
# growth are the same everywhere, and those of one process, up to the rounding of sums.
# --------------------------------------------------------------------------------------------


def processes() -> tuple[int, int]:
    """(the number of this process, how many there are): (0, 1) without torchrun."""
    together = dist.is_available() and dist.is_initialized()
    return (dist.get_rank(), dist.get_world_size()) if together else (0, 1)


def meet(args: argparse.Namespace) -> torch.device:
    """This process's device; under torchrun, one CUDA device each, and all wait for all."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return common.choose_device(args.device)
    number, n = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    for name in ("batch_size", "gp_batch_size", "replay_batch_size"):
        if getattr(args, name) % n or args.batch_size < 2 * n:
            flag = f"--{name.replace('_', '-')}"
            raise common.UserError(f"{flag} is shared by {n} processes: give a multiple of {n}, "
                                   f"and at least 2 images to each")  # fmt: skip
    if args.memory in PLAIN:
        raise common.UserError(f"--memory {args.memory} runs in one process, without torchrun")
    device = common.choose_device(args.device)
    if device.type == "cuda":
        device = common.choose_device(f"cuda:{number}")
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def mine(x: Tensor) -> Tensor:
    """This process's share of a batch [B, ...]: every N-th row, so that a part shares a part."""
    number, n = processes()
    return x[number::n]


def average(tensors: list[Tensor]) -> None:
    """Each of the tensors, in place, becomes its mean over the processes."""
    n = processes()[1]
    if n > 1:
        flat = torch.cat([x.flatten() for x in tensors])  # one message instead of many
        dist.all_reduce(flat)
        for x, part in zip(tensors, (flat / n).split([x.numel() for x in tensors])):
            x.copy_(part.view(x.shape))


class SumOverProcesses(torch.autograd.Function):
    """The sum over the processes; so is its gradient, and that one's, for the penalty L_gp."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return SumOverProcesses.apply(gradient)


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of the whole batch, of which each process has a share."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or processes()[1] == 1:
            return super().forward(x)
        n = processes()[1] * x[:, 0].numel()
        mean = SumOverProcesses.apply(x.sum((0, 2, 3))) / n  # [C]
        x = x - mean.view(1, -1, 1, 1)
        var = SumOverProcesses.apply(x.square().sum((0, 2, 3))) / n
        if self.track_running_stats:
            self.num_batches_tracked += 1
            share = self.momentum or 1 / self.num_batches_tracked
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(var.detach() * n / (n - 1), share)
        scale = self.weight * (var + self.eps).rsqrt()
        return x * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def as_one(main: Callable[[], None]) -> None:
    """Run `main`; under torchrun process 0 speaks, and of those that fail only the first."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return main()
    store, number, _ = next(dist.rendezvous("env://"))
    ended = "another process has ended, or torchrun was told to end: see its report"

    def stop(signal_number: int, frame: object) -> None:  # torchrun ends the rest, in a hurry
        raise common.RunError(ended)

    signal.signal(signal.SIGTERM, stop)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.ExitStack() as silence:
        if number:
            silence.enter_context(contextlib.redirect_stdout(nowhere))
            silence.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            main()
            if dist.is_initialized():  # gloo's threads must not outlive Python: some would abort
                dist.destroy_process_group()
        except (common.UserError, common.RunError, RuntimeError, OSError, MemoryError,
                KeyboardInterrupt) as error:  # fmt: skip
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # there is time for a line
            if store.add("failed", 1) > 1:  # another says why, and torchrun ends the rest
                os._exit(1)
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                error = common.RunError(ended)
            raise error from None


# --------------------------------------------------------------------------------------------
# Models: images are [B, C, S, S] in [-1, 1]
# --------------------------------------------------------------------------------------------


def halvings(S: int) -> tuple[int, int]:
    """(base, d) with S = base·2^d, d as large as leaves a base above 3: 16 -> 4·2², 28 -> 7·2²."""
    d = 0
    while S % 2 == 0 and S > 7:
        S, d = S // 2, d + 1
    return S, d


class TaskLayers(nn.Module):
    """What one task has for itself, never masked: BatchNorm of every layer, and the last layer."""

    def __init__(self, widths: list[int], channels: int, residual: bool):
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(p) for p in widths)
        kernel, stride = (3, 1) if residual else (4, 2)
        self.last = nn.ConvTranspose2d(widths[-1], channels, kernel, stride, 1, bias=False)
        nn.init.normal_(self.last.weight, 0, 0.02)


def fit(x: Tensor, p: int) -> Tensor:
    """[B, n, S, S] -> [B, p, S, S], channels cut off or zeros added (He et al. 2016, option A)."""
    return F.pad(x[:, :p], (0, 0, 0, 0, 0, max(0, p - x.shape[1])))


class Generator(nn.Module):
    """A generator whose layers are masked, frozen and widened: z [B, nz], y [B] -> images.

    Images of side S = base·2^d (base 4 to 7). dcgan takes d masked layers: a projection to
    base x base, then d - 1 doublings; the last doubling is the task's own. The residual net takes
    1 + 2d: behind the projection d blocks, each of which doubles the side, then has two 3x3
    convolutions, and past them a shortcut without weights, so that layers may grow one by one.
    `masks` [task][layer] are bool.
    """

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int):
        super().__init__()
        C, S, _ = shape
        self.weights_masked = args.memory == "dgmw"
        self.C, self.K, self.nz = C, K, args.nz
        self.base, doublings = halvings(S)
        self.residual = args.net != "dcgan"
        widths = [args.ngf * 2**k for k in reversed(range(doublings))]
        kernels = [self.base] + [4] * (doublings - 1)
        if self.residual:
            widths, kernels = [args.ngf] * (1 + 2 * doublings), [self.base] + [3] * 2 * doublings
        sizes = list(zip([args.nz, *widths], widths, kernels))
        self.W = nn.ParameterList(0.02 * torch.randn(n, p, k, k) for n, p, k in sizes)
        self.e = nn.ParameterList()
        self.own = nn.ModuleList()
        self.used = [torch.zeros(self.mask_shape(W), dtype=torch.bool) for W in self.W]
        self.masks: list[list[Tensor]] = []
        self.goal = [u.numel() for u in self.used]  # weights (units) that each task finds free

    def mask_shape(self, W: Tensor) -> tuple[int, ...]:
        """DGMw: as the weights W [n, p, k, k]; DGMa: one for each unit, [1, p, 1, 1]."""
        return tuple(W.shape) if self.weights_masked else (1, W.shape[1], 1, 1)

    def widths(self) -> list[int]:
        """Units of every masked layer."""
        return [W.shape[1] for W in self.W]

    def forward(self, z: Tensor, y: Tensor, t: int, masks: list[Tensor]) -> Tensor:
        """Images [B, C, S, S] as task t draws them, z [B, nz] and classes y [B].

        Later tasks may have widened the layers: task t uses the part that existed in its time, so
        that its sums have the same terms, in the same order, and its images the same bits.
        """
        one_hot = F.one_hot(y, self.K).to(z.dtype)
        h = torch.cat([one_hot, z[:, self.K :]], dim=1)  # [B, nz]
        for layer, (W, m, norm) in enumerate(zip(self.W, masks, self.own[t].norms)):
            W = W[: h.shape[1], : norm.num_features].contiguous()  # [n, p, k, k]
            # Eq. (1): y_l = act[(m_l ∘ W_l)^T x]
            W = W * m if self.weights_masked else W
            if layer == 0:  # a transposed convolution of a 1x1 image is a matrix product
                h = norm((h @ W.flatten(1)).view(len(h), -1, self.base, self.base))
            elif not self.residual:
                h = norm(F.conv_transpose2d(h, W, stride=2, padding=1))
            elif layer % 2:  # the first convolution of a block
                shortcut = F.interpolate(h, scale_factor=2)
                h = norm(F.conv_transpose2d(shortcut, W, padding=1))
            else:
                h = norm(F.conv_transpose2d(h, W, padding=1)) + fit(shortcut, W.shape[1])
            h = F.relu(h)
            h = h if self.weights_masked else h * m  # Deviation 4
        return torch.tanh(self.own[t].last(h))

    def begin_task(self) -> None:
        """Widen the layers by what the last task has reserved, and take fresh masks (Sec. 3.2)."""
        device = self.W[0].device
        added = 0  # units that the layer below has gained
        for i, (W, used) in enumerate(zip(self.W, self.used)):
            n, p, k, _ = W.shape
            free, brings = int((~used).sum()), 1  # DGMa: a unit brings one free unit, itself
            if self.weights_masked:  # DGMw: its weights; so did each unit that the layer below got
                free, brings = free + added * p * k * k, (n + added) * k * k
            more = more_units(self.goal[i], free, brings)
            if added or more:
                wider = 0.02 * torch.randn(n + added, p + more, k, k, device=device)
                if not self.weights_masked:  # nothing new flows into units that are reserved
                    wider[n:, :p] *= ~used
                wider[:n, :p] = W.detach()
                self.W[i] = nn.Parameter(wider)
                self.used[i] = torch.zeros(self.mask_shape(wider), dtype=torch.bool, device=device)
                self.used[i][: used.shape[0], :p] = used
            added = more
        self.e = nn.ParameterList(torch.zeros(u.shape, device=device) for u in self.used)
        self.own.append(TaskLayers(self.widths(), self.C, self.residual).to(device))

    def end_task(self) -> list[dict[str, int]]:
        """Make the masks binary, reserve what they cover; for every layer, how much that was."""
        masks = [e.detach() > 0 for e in self.e]  # Deviation 5
        counts = [
            dict(size=u.numel(), used=int(u.sum()), new=int((m & ~u).sum()),
                 reused=int((m & u).sum()))
            for m, u in zip(masks, self.used)
        ]  # fmt: skip
        self.masks.append(masks)
        self.used = [u | m for u, m in zip(self.used, masks)]  # m^{<=t} = max(m^t, m^{<t})
        self.own[-1].requires_grad_(False).eval()
        return counts

    def state(self) -> dict:
        """Everything, in tensors, lists and numbers; masks in sparse form."""
        return {
            "W": [W.detach() for W in self.W], "e": [e.detach() for e in self.e],
            "own": [own.state_dict() for own in self.own],
            "used": [to_sparse(u) for u in self.used],
            "masks": [[to_sparse(m) for m in masks] for masks in self.masks],
        }  # fmt: skip

    def load(self, state: dict) -> None:
        """Undo `state`."""
        device = self.W[0].device
        self.W = nn.ParameterList(W.to(device) for W in state["W"])
        self.e = nn.ParameterList(e.to(device) for e in state["e"])
        self.used = [from_sparse(u, device) for u in state["used"]]
        self.masks = [[from_sparse(m, device) for m in masks] for masks in state["masks"]]
        self.own = nn.ModuleList()
        for t, own in enumerate(state["own"]):
            widths = [len(own[f"norms.{i}.weight"]) for i in range(len(self.W))]
            self.own.append(TaskLayers(widths, self.C, self.residual).to(device))
            self.own[-1].load_state_dict(own)
            if t < len(self.masks):
                self.own[-1].requires_grad_(False).eval()


def normalise(norm: str, p: int) -> list[nn.Module]:
    """A layer's normalisation of p channels, or none."""
    return {"batch": [BatchNorm(p)], "layer": [nn.GroupNorm(1, p)], "none": []}[norm]


class Block(nn.Module):
    """[B, n, S, S] -> [B, p, S/stride, S/stride]: two convolutions and a shortcut (He 2016)."""

    def __init__(self, n: int, p: int, stride: int, norm: str):
        super().__init__()
        first = [nn.Conv2d(n, p, 3, stride, 1), *normalise(norm, p), nn.LeakyReLU(0.2)]
        self.path = nn.Sequential(*first, nn.Conv2d(p, p, 3, 1, 1), *normalise(norm, p))
        self.shortcut = nn.Conv2d(n, p, 1, stride) if stride > 1 or n != p else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.path(x) + self.shortcut(x), 0.2)


def residual_layers(net: str, n: int, width: int, norm: str) -> tuple[list[nn.Module], int]:
    """The residual critic for images of n channels, and the channels that its mean leaves."""
    # resnet: four blocks of one width (Gulrajani 2017); resnet18: eight, wider every second
    strides = [2, 2, 1, 1] if net == "resnet" else [1, 1, 2, 1, 2, 1, 2, 1]
    first = 1 if net == "resnet" else 2  # ResNet-18 halves the side before its blocks, too
    layers, p = [nn.Conv2d(n, width, 3, first, 1), nn.LeakyReLU(0.2)], width
    for stride in strides:
        wider = 2 * p if net == "resnet18" and stride == 2 else p
        layers.append(Block(p, wider, stride, norm))
        p = wider
    return [*layers, nn.AdaptiveAvgPool2d(1)], p


class Critic(nn.Module):
    """images -> score [B], high for real, and logits [B, K]: discriminator and classifier."""

    def __init__(
        self, shape: tuple[int, int, int], width: int, K: int, norm: str, net: str = "dcgan"
    ):
        super().__init__()
        (n, S, _), layers = shape, []
        if net == "dcgan":
            for i, p in enumerate((width, 2 * width, 4 * width)):
                layers.append(nn.Conv2d(n, p, 5, 2, 2))
                layers += normalise(norm, p) if i else []
                layers.append(nn.LeakyReLU(0.2))
                n, S = p, (S + 1) // 2
        else:
            layers, n = residual_layers(net, n, width, norm)
            S = 1
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.adv = nn.Linear(n * S * S, 1)
        self.aux = nn.Linear(n * S * S, K)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)  # [B, 4 width · S/8 · S/8]
        return self.adv(h).squeeze(1), self.aux(h)


def to_float(x: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1, any shape."""
    return x.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Undo `to_float`."""
    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def augment(x: Tensor, most: float) -> Tensor:
    """Turn, scale, shear and shift images [B, C, S, S] at random; edges are filled with -1.

    `most` bounds each: radians, fractions of the size, and shifts in halves of a side.
    """
    n = len(x) * processes()[1]
    drawn = mine(torch.rand(5, n, device=x.device).T).T  # [5, B]
    angle, zoom, shear, right, down = most * (2 * drawn - 1)
    # From a point of the result back to the image:  [(1 + zoom) cos   shear - sin      right]
    #                                                [sin              (1 + zoom) cos   down ]
    cos, sin = (1 + zoom) * angle.cos(), angle.sin()
    matrix = torch.stack([cos, shear - sin, right, sin, cos, down], 1).view(-1, 2, 3)  # [B, 2, 3]
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # [B, S, S, 2]
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


# --------------------------------------------------------------------------------------------
# Losses and steps (Sec. 3.3). Labels are ranks: 0 is the first class met, 1 the second, ...
# --------------------------------------------------------------------------------------------


def gradient_penalty(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """L_gp = E(||∇_x D(x)|| - 1)², x between real and fake [B, C, S, S] (Gulrajani 2017, Eq. 3)."""
    share = mine(torch.rand(len(real) * processes()[1], 1, 1, 1, device=real.device))
    x = (share * real + (1 - share) * fake).requires_grad_(True)
    gradient = torch.autograd.grad(D(x)[0].sum(), x, create_graph=True)[0]
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def keep_statistics(D: nn.Module, on: bool) -> None:
    """Whether BatchNorm's running statistics, which classify at test time, follow what D sees."""
    for module in D.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = on


def critic_step(
    nets: dict, real: Tensor, rank: Tensor, fake: Tensor, old: Tensor, old_rank: Tensor,
    n_old: int, args: argparse.Namespace,
) -> Tensor:
    """One step of D on L_D = L_c + L_s + λ_GP L_gp; the loss, a scalar.

    real, fake [B, C, S, S] are of the task, of classes rank [B]; old are replayed images, old_rank
    their classes, n_old of them.
    """  # fmt: skip
    D, B = nets["D"], len(real)
    if args.norm == "batch":  # each kind with its own statistics, as in the passes of L_gp and L_G
        passes = [D(x) for x in (real, fake, old) if len(x)]
        score, logits = (torch.cat(outputs) for outputs in zip(*passes))
    else:
        score, logits = D(torch.cat([real, fake, old]))  # [2B + len(old)], [2B + len(old), K_t]
    adversarial = score[B : 2 * B].mean() - score[:B].mean()  # L_s of a Wasserstein critic
    classes = F.cross_entropy(logits[:B], rank)  # L_c
    if args.aux_fakes:
        classes = 0.5 * classes + 0.5 * F.cross_entropy(logits[B : 2 * B], rank)  # Deviation 7
    if len(old):
        share = n_old / logits.shape[1]  # every class weighs the same
        replayed = F.cross_entropy(logits[2 * B :], old_rank)
        classes = (1 - share) * classes + share * replayed
    keep_statistics(D, False)
    n = args.gp_batch_size // processes()[1] or B
    penalty = args.gp * gradient_penalty(D, real[:n], fake[:n])
    loss = args.aux_weight * classes + adversarial + penalty
    keep_statistics(D, True)
    nets["D_opt"].zero_grad()
    loss.backward(inputs=list(D.parameters()))
    average([p.grad for p in D.parameters()])
    nets["D_opt"].step()
    return loss.detach()


def generator_step(
    nets: dict, fake: Tensor, rank: Tensor, masks: list[Tensor], args: argparse.Namespace
) -> Tensor:
    """One step of G and its masks on L_G = -E[D(G)] + L_c + λ_RU α R^t; the loss, a scalar.

    fake [B, C, S, S] are images that G has just drawn with `masks`, of the classes rank [B].
    """
    G, D = nets["G"], nets["D"]
    keep_statistics(D, False)
    score, logits = D(fake)
    keep_statistics(D, True)
    regulariser = args.lambda_ru * nets["alpha"] * sparsity(masks, G.used)
    loss = -score.mean() + F.cross_entropy(logits, rank) + regulariser
    nets["G_opt"].zero_grad()
    loss.backward(inputs=nets["G_opt"].param_groups[0]["params"])
    average([p.grad for p in nets["G_opt"].param_groups[0]["params"]])
    if args.veto:
        for W, used in zip(G.W, G.used):
            W.grad = veto(W.grad, used)
    # A gradient of exactly 0 leaves a weight as it is: Adam is new in each task, so it has no
    # momentum there, and there is no weight decay.
    nets["G_opt"].step()
    return loss.detach()


def train_classifier(
    net: nn.Module, x: Tensor, rank: Tensor, steps: int, lr: float, decay: bool,
    args: argparse.Namespace, what: str, batch_size: int,
) -> None:
    """`steps` steps of cross entropy on images x uint8 [N, C, S, S] of classes rank [N] alone."""
    used = [p for name, p in net.named_parameters() if not name.startswith("adv")]
    optimizer = torch.optim.Adam(used, lr, fused=True)
    total = torch.zeros((), device=x.device)
    net.train()
    for step in tqdm(range(steps), desc=what, disable=None, leave=False):
        index = mine(torch.randint(len(x), (batch_size,), device=x.device))
        image = to_float(x[index])
        if args.augment:
            image = augment(image, args.augment)
        if args.flip:
            mirrored = mine(torch.rand(batch_size, 1, 1, 1, device=x.device)) < 0.5
            image = torch.where(mirrored, image.flip(3), image)
        if decay:
            optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        loss = F.cross_entropy(net(image)[1], rank[index], label_smoothing=args.label_smoothing)
        optimizer.zero_grad()
        loss.backward(inputs=used)
        average([p.grad for p in used])
        optimizer.step()
        total += loss.detach()
    average([total])
    if not math.isfinite(total.item()):
        raise common.RunError(f"{what}: the loss is {total.item()}; lower the rate")


# --------------------------------------------------------------------------------------------
# The memory: drawing old classes, and proof that they do not change
# --------------------------------------------------------------------------------------------


@torch.no_grad()
def draw(G: Generator, t: int, y: Tensor, z: Tensor, chunk: int = 500) -> Tensor:
    """Images float [N, C, S, S] of task t's classes y [N] from the noise z [N, nz].

    Always in chunks of one size, the last one filled up, so that equal noise gives equal bits.
    """
    masks, images = [m.float() for m in G.masks[t]], []
    for a, b in zip(z.split(chunk), y.split(chunk)):
        n = len(a)
        a, b = F.pad(a, (0, 0, 0, chunk - n)), F.pad(b, (0, chunk - n))
        images.append(G(a, b, t, masks)[:n])
    return torch.cat(images)


def replay(
    G: Generator, data: dict, t: int, n: int, args: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """n images of each class before task t: uint8 [N, C, S, S] and their ranks [N]."""
    device = data["x"].device
    x = torch.empty(0, *data["shape"], dtype=torch.uint8, device=device)
    rank = torch.empty(0, dtype=torch.int64, device=device)
    if args.replay == "none":
        return x, rank
    rng = torch.Generator(device).manual_seed(args.seed * 1000 + t)  # a resumed run draws the same
    for j in range(t):
        y = torch.tensor(data["tasks"][j], device=device).repeat_interleave(n)
        z = torch.randn(len(y), G.nz, generator=rng, device=device)
        x = torch.cat([x, to_uint8(draw(G, j, y, z))])
        rank = torch.cat([rank, data["rank"][y]])
    return x, rank


def snapshot(G: Generator, data: dict, t: int, args: argparse.Namespace, n: int = 10) -> Tensor:
    """n images of each class of task t from noise that only the seed and t determine, as floats."""
    rng = torch.Generator().manual_seed(args.seed * 1000 + 500 + t)
    y = torch.tensor(data["tasks"][t]).repeat_interleave(n)
    z = torch.randn(len(y), G.nz, generator=rng)
    return draw(G, t, y.to(data["x"].device), z.to(data["x"].device))


def drift(G: Generator, data: dict, snapshots: list[Tensor], args: argparse.Namespace) -> float:
    """The largest change of any pixel, in [-1, 1], of the snapshots of old tasks: 0, by Eq. (5).

    RunError when it is not 0 although the veto is on: this is the claim of the method.
    """
    most = 0.0
    for t, before in enumerate(snapshots):
        change = (snapshot(G, data, t, args) - before).abs().max().item()
        if change and args.veto:
            raise common.RunError(f"images of task {t + 1} changed by {change}: report this bug")
        most = max(most, change)
    return most


@torch.no_grad()
def renew_statistics(G: Generator, data: dict, t: int, args: argparse.Namespace) -> None:
    """BatchNorm's mean and variance of task t, taken anew with its binary mask (Deviation 5)."""
    classes = torch.tensor(data["tasks"][t], device=data["x"].device)
    masks = [m.float() for m in G.masks[t]]
    for norm in G.own[t].norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    G.own[t].train()
    for _ in range(50):
        y = classes[torch.randint(len(classes), (args.batch_size,), device=classes.device)]
        G(mine(torch.randn(len(y), G.nz, device=y.device)), mine(y), t, masks)
    G.own[t].eval()


def disc_bytes(G: Generator) -> dict[str, int]:
    """Bytes that G takes: float32 weights, the tasks' own layers, masks sparse and as bits."""
    own = [v for layers in G.own for v in layers.state_dict().values() if v.is_floating_point()]
    sparse = sum(4 * int(m.sum()) for masks in G.masks for m in masks)
    bits = sum(-(-m.numel() // 8) for masks in G.masks for m in masks)
    weights = 4 * sum(W.numel() for W in G.W)
    return {"weights": weights, "own": 4 * sum(v.numel() for v in own), "masks_sparse": sparse,
            "masks_bits": bits}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Training of one task
# --------------------------------------------------------------------------------------------


def adam(parameters, args: argparse.Namespace) -> torch.optim.Adam:
    """With DCGAN's moments (Radford et al. 2016)."""
    return torch.optim.Adam(parameters, args.lr, betas=(0.5, 0.999), fused=True)


def start_task(
    nets: dict, data: dict, t: int, args: argparse.Namespace, grow: bool = True
) -> None:
    """G grows (Sec. 3.2), unless `grow` is False; D, for all classes so far, and Adam are new."""
    G, device = nets["G"], data["x"].device
    n_seen = sum(len(classes) for classes in data["tasks"][: t + 1])
    if args.memory in PLAIN:
        learns = list(G.parameters())
    else:
        if grow:
            G.begin_task()
        learns = [*G.W, *G.e, *G.own[t].parameters()]
        nets["alpha"] = alpha(G.used)
    nets["D"] = Critic(data["shape"], args.ndf, n_seen, args.norm, args.net).to(device)
    nets["D_opt"] = adam(nets["D"].parameters(), args)
    nets["G_opt"] = adam(learns, args)


def train_epoch(
    nets: dict, task: dict, data: dict, t: int, i: int, args: argparse.Namespace, bar: tqdm
) -> Tensor:
    """Epoch i (from 1) of the GAN on task t: the losses of D and G at every step, [steps, 2]."""
    G, B, n_old = nets["G"], task["B"], len(task["seen"]) - len(task["classes"])
    order = torch.randperm(len(task["x"]), device=task["x"].device)
    losses = torch.zeros(task["steps"], 2, device=order.device)
    local = args.memory == "dgmw"
    for b, index in enumerate(order[: task["steps"] * B].split(B), 1):
        s = steepness(i, args.epochs, b, task["steps"], args.s_max, local)
        if args.lr_decay:
            left = 1 - ((i - 1) * task["steps"] + b - 1) / (args.epochs * task["steps"])
            for name in ("D_opt", "G_opt"):
                nets[name].param_groups[0]["lr"] = args.lr * min(1.0, 2 * left)
        index = mine(index)
        real, y, rank = to_float(task["x"][index]), task["y"][index], task["rank"][index]
        masks = [soft_mask(e, s) for e in G.e]
        fake = G(mine(torch.randn(B, G.nz, device=y.device)), y, t, masks)
        n = (args.replay_batch_size or B) if len(task["old"]) and args.critic_replay else 0
        chosen = mine(torch.randint(max(len(task["old"]), 1), (n,), device=y.device))
        old, old_rank = to_float(task["old"][chosen]), task["old_rank"][chosen]
        loss = critic_step(nets, real, rank, fake.detach(), old, old_rank, n_old, args)
        losses[b - 1, 0] = loss
        if b % args.n_critic == 0:
            nets["D"].requires_grad_(False)  # G's step needs no gradients of D's weights
            losses[b - 1, 1] = generator_step(nets, fake, rank, masks, args)
            nets["D"].requires_grad_(True)
        bar.update()
    average([losses])
    return losses


def evaluate(net: nn.Module, data: dict, n_seen: int) -> list[float]:
    """A row of R: the accuracy on every task; classes not met yet are never answered."""
    seen = torch.tensor(data["order"][:n_seen], device=data["x"].device)

    def logits(x: Tensor) -> Tensor:
        out = torch.full((len(x), data["K"]), -math.inf, device=x.device)
        out[:, seen] = net(to_float(x))[1]  # [B, n_seen], in the order the classes were met
        return out

    net.eval()
    return common.accuracy_by_task(logits, data["x_test"], data["y_test"], data["owner"])


def top5(net: nn.Module, data: dict, n_seen: int) -> float:
    """Share of the test images of the classes so far that are of one of D's five best guesses."""
    index = common.indices_of(data["y_test"], data["order"][:n_seen])
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(to_float(data["x_test"][i]))[1] for i in index.split(2000)])
    return common.top_k_accuracy(logits, data["rank"][data["y_test"][index]], min(5, n_seen))


def label(data: dict, t: int, args: argparse.Namespace) -> str:
    """Which run and which task; make runs two at a time."""
    return f"{Path(args.out).stem}, task {t + 1}/{len(data['tasks'])}"


def check_finite(losses: Tensor, t: int, i: int, args: argparse.Namespace) -> None:
    """RunError that names the task and the step when a loss [steps, 2] is NaN or infinite."""
    bad = (~losses.isfinite().all(1)).nonzero()
    if len(bad):
        step = int(bad[0]) + 1
        raise common.RunError(
            f"task {t + 1}, epoch {i}, iteration {step}: the losses of D and G are "
            f"{losses[step - 1].tolist()}; lower --lr or raise --gp, which needs a new start: "
            f"delete {args.out}.ckpt, the last good checkpoint, if it is there"
        )


def train_gan(
    nets: dict, task: dict, data: dict, t: int, done: dict, note: dict,
    args: argparse.Namespace, save: Callable[[], None],
) -> None:
    """All epochs of the GAN on task t, from epoch done["epoch"] on; then its masks are final."""
    G, plain = nets["G"], args.memory in PLAIN
    # Figure 3(b) follows one layer: the first where units are masked, else the second.
    traced = min(1, len(G.W) - 1) if args.memory == "dgmw" else 0
    with tqdm(desc=f"{label(data, t, args)} GAN", total=args.epochs * task["steps"], unit="it",
              initial=done["epoch"] * task["steps"], disable=None, leave=False) as bar:  # fmt: skip
        while done["epoch"] < args.epochs:
            clock, i = time.perf_counter(), done["epoch"] + 1
            epoch = plain_epoch if plain else train_epoch
            losses = epoch(nets, task, data, t, i, args, bar)
            check_finite(losses, t, i, args)
            if not plain:
                s = steepness(i, args.epochs, task["steps"], task["steps"], args.s_max,
                              args.memory == "dgmw")  # fmt: skip
                m = soft_mask(G.e[traced].detach(), s).flatten()
                some = torch.linspace(0, len(m) - 1, min(24, len(m))).long().to(m.device)
                note["trace"].append([round(v, 3) for v in [m.mean().item(), *m[some].tolist()]])
            of_d, of_g = losses[:, 0].mean(), losses[args.n_critic - 1 :: args.n_critic, 1].mean()
            note["losses"].append([round(v, 3) for v in (of_d.item(), of_g.item())])
            note["gan_s"] += time.perf_counter() - clock
            done["epoch"] = i
            save()
    if args.memory == "ewc":
        consolidate(nets, task, data)
    if plain:
        return
    note["layers"] = G.end_task()
    if not all(int(m.sum()) for m in G.masks[t]):
        raise common.RunError(f"task {t + 1}: the mask of a layer is all 0; lower --lambda-ru")
    renew_statistics(G, data, t, args)


def learn_task(
    nets: dict, data: dict, t: int, done: dict, record: dict, snapshots: list[Tensor],
    args: argparse.Namespace, save: Callable[[], None],
) -> None:
    """One task: grow, train the GAN (its D classifies), freeze, check, finish the classifier."""
    classes, device = data["tasks"][t], data["x"].device
    seen = sum(data["tasks"][: t + 1], [])
    index = common.indices_of(data["y"], classes)
    x, y = data["x"][index], data["y"][index]
    B = min(args.batch_size, len(x) - len(x) % processes()[1])
    task = dict(x=x, y=y, rank=data["rank"][y], classes=classes, seen=seen, B=B, steps=len(x) // B)
    n, plain = len(x) // len(classes), args.memory in PLAIN  # n: replayed images of a class
    if not done["epoch"]:
        if plain and t:
            freeze_plain(nets, data, t, n, args)
        start_task(nets, data, t, args, grow=not args.generator)
        record["tasks"].append(dict(trace=[], losses=[], gan_s=0.0, draw_s=0.0, classifier_s=0.0))
    note, clock = record["tasks"][t], time.perf_counter()
    shown = args.critic_replay or args.classifier_images == "real"  # else the GAN sees no old ones
    artist = nets["before" if plain else "G"]  # of the old classes
    task["old"], task["old_rank"] = replay(artist, data, t if shown else 0, n, args)
    if args.memory == "dgr":
        task["old_rank"] = nets["names"]
    mix_real(task, nets["stored"], data, n, args)
    note["draw_s"] += time.perf_counter() - clock
    what = f"{label(data, t, args)} classifier"
    net, clock = nets["D"], time.perf_counter()
    if args.replay == "none":  # the naive bound: the classifier sees the task's images alone
        steps = args.epochs * task["steps"]
        train_classifier(net, x, task["rank"], steps, args.lr, args.lr_decay, args, what, B)
    else:
        G = nets["G"]
        if not args.generator:
            train_gan(nets, task, data, t, done, note, args, save)
        note["drift"] = drift(G, data, snapshots, args)
        snapshots.append(snapshot(G, data, t, args))
        own = G.own[0 if plain else t].parameters()
        note.update(widths=G.widths(), disc=disc_bytes(G),
                    iterations=0 if args.generator else args.epochs * task["steps"],
                    base=sum(W.numel() for W in G.W) + sum(v.numel() for v in own))  # fmt: skip
        clock = time.perf_counter()
        if args.classifier_steps:
            if args.separate_classifier:
                shape, width = data["shape"], args.classifier_width
                net = Critic(shape, width, len(seen), "batch", args.net).to(device)
            images = torch.cat([x, task["old"]])
            ranks = torch.cat([task["rank"], task["old_rank"]])
            if args.classifier_images == "drawn":
                images, ranks = replay(G, data, t + 1, n, args)
                if args.real_ratio or args.memory_size:
                    real = nets["stored"] + same_share(nets["stored"], data, t, n, args)
                    mix_real({"old": images, "old_rank": ranks}, real, data, n, args)
            lr, steps = args.classifier_lr, args.classifier_steps
            train_classifier(net, images, ranks, steps, lr, True, args, what, 2 * B)
    nets["solver"] = net
    if args.real_ratio or args.memory_size:
        store_real(nets, net, data, t, n, args)
    note["classifier_s"] = time.perf_counter() - clock
    memory = common.peak_memory(device)
    note["memory_mb"] = memory["peak_device_memory_mb"] or memory["peak_memory_mb"]
    record["R"].append(evaluate(net, data, len(seen)))
    if "top5" in record:
        record["top5"].append(top5(net, data, len(seen)))
    accuracy = sum(record["R"][-1][: t + 1]) / (t + 1)
    print(f"{label(data, t, args)}: accuracy so far {accuracy:.4f}", flush=True)
    done.update(task=t + 1, epoch=0)


# --------------------------------------------------------------------------------------------
# Real images among the replayed ones (Table 2): r = n_r / N of a class's N, or K in all
# --------------------------------------------------------------------------------------------


def quota(n: int, n_classes: int, args: argparse.Namespace) -> int:
    """Real images kept of each of n_classes classes, where n of a class are replayed."""
    n_r = round(args.real_ratio * n) if args.real_ratio else n
    return min(n_r, args.memory_size // n_classes) if args.memory_size else n_r


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
def store_real(
    nets: dict, net: nn.Module, data: dict, t: int, n: int, args: argparse.Namespace
) -> None:
    """After task t: keep images of its classes, as indices, the best first, and fewer of others."""
    rng = torch.Generator().manual_seed(args.seed * 1000 + 700 + t)
    m = quota(n, len(nets["stored"]) + len(data["tasks"][t]), args)
    nets["stored"] = [index[:m] for index in nets["stored"]]
    net.eval()
    for c in data["tasks"][t]:
        index = common.indices_of(data["y"], [c])
        if args.choice == "herding":
            parts = [net.features(to_float(data["x"][i])) for i in index.split(2000)]
            chosen = herding(torch.cat(parts), m)
        else:
            chosen = torch.randperm(len(index), generator=rng)[:m].to(index.device)
        nets["stored"].append(index[chosen])


def same_share(
    stored: list[Tensor], data: dict, t: int, n: int, args: argparse.Namespace
) -> list[Tensor]:
    """Of each of task t's own classes as many real images as are stored of an old one, indices.

    Where the classifier sees the new classes drawn, too: else looking real would mean being old.
    """
    rng = torch.Generator().manual_seed(args.seed * 1000 + 800 + t)
    m = len(stored[0]) if stored else quota(n, len(data["tasks"][t]), args)
    own = [common.indices_of(data["y"], [c]) for c in data["tasks"][t]]
    return [index[torch.randperm(len(index), generator=rng)[:m].to(index.device)] for index in own]


def mix_real(
    task: dict, stored: list[Tensor], data: dict, n: int, args: argparse.Namespace
) -> None:
    """Put stored images in the place of some of the replayed ones, n of which are of each class."""
    for rank, index in enumerate(stored):
        many = round(args.real_ratio * n) if args.real_ratio else len(index)
        place = (task["old_rank"] == rank).nonzero().squeeze(1)[:many]
        if len(index):  # repeated where K is less than r asks for
            real = index[torch.arange(len(place), device=index.device) % len(index)]
            task["old"][place] = data["x"][real]


# --------------------------------------------------------------------------------------------
# How other generators remember: the rows that Table 1 quotes. One generator for all classes, of a
# fixed size and without masks; D and the classifier are DGM's.
#   mergan  memory replay GANs (Wu et al. 2018): a frozen copy of G draws the old classes. They
#           count as real (joint retraining), or G must draw what the copy draws (alignment)
#   dgr     deep generative replay (Shin et al. 2017): joint retraining of a G that knows no
#           classes; the classifier of the last task names what is drawn
#   ewc     EWC-M (Seff et al. 2017): weights that the old classes need are held back
# --------------------------------------------------------------------------------------------


class PlainGenerator(nn.Module):
    """The layers of `Generator` for all classes at once: z [B, nz], y [B] -> images.

    An image is normalised by itself, then scaled and shifted by its class (DGM: BatchNorm of the
    task). Statistics of a batch would follow the newest class, and that alone would be forgetting.
    """

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int):
        super().__init__()
        C, S, _ = shape
        self.K, self.nz, self.conditional = K, args.nz, args.memory != "dgr"
        self.base, doublings = halvings(S)
        self.residual = args.net != "dcgan"
        widths = [args.ngf * 2**k for k in reversed(range(doublings))]
        kernels = [self.base] + [4] * doublings
        if self.residual:
            layers = 1 + 2 * doublings
            widths, kernels = [args.ngf] * layers, [self.base] + [3] * layers
        sizes = zip([args.nz, *widths], [*widths, C], kernels)
        self.W = nn.ParameterList(0.02 * torch.randn(n, p, k, k) for n, p, k in sizes)
        rows = K if self.conditional else 1
        styles = [torch.cat([torch.ones(rows, p), torch.zeros(rows, p)], 1) for p in widths]
        self.own = nn.ModuleList([nn.ParameterList(styles)])  # a class's scales and shifts
        self.masks: list[list[Tensor]] = [[]] * K  # none in any task

    def widths(self) -> list[int]:
        """Units of every layer but the last."""
        return [W.shape[1] for W in list(self.W)[:-1]]

    def forward(self, z: Tensor, y: Tensor, t: int = 0, masks: Sequence[Tensor] = ()) -> Tensor:
        """Images [B, C, S, S] from z [B, nz] and classes y [B]; every task draws alike."""
        h = z
        if self.conditional:
            h = torch.cat([F.one_hot(y, self.K).to(z.dtype), z[:, self.K :]], dim=1)  # [B, nz]
        h = (h @ self.W[0].flatten(1)).view(len(h), -1, self.base, self.base)
        row = y if self.conditional else torch.zeros_like(y)
        shortcut, last = torch.zeros_like(h), len(self.W) - 1
        for layer, (W, style) in enumerate(zip(list(self.W)[1:], self.own[0]), 1):
            scale, shift = style[row][:, :, None, None].chunk(2, dim=1)  # [B, p, 1, 1] each
            h = F.group_norm(h, 1) * scale + shift
            if not self.residual:
                h = F.conv_transpose2d(F.relu(h), W, stride=2, padding=1)
                continue
            h = F.relu(h + shortcut if layer % 2 else h)  # behind a block
            if layer % 2 and layer < last:  # a block begins
                h = shortcut = F.interpolate(h, scale_factor=2)
            h = F.conv_transpose2d(h, W, padding=1)
        return torch.tanh(h)


def plain_nets(args: argparse.Namespace, data: dict) -> dict:
    """G, its frozen copy, EWC's Fisher information of G's weights, DGR's names of what is drawn."""
    device = data["x"].device
    G = PlainGenerator(args, data["shape"], data["K"]).to(device)
    return {"G": G, "before": copy.deepcopy(G).requires_grad_(False),
            "fisher": [torch.zeros_like(p) for p in G.parameters()],
            "names": torch.empty(0, dtype=torch.int64, device=device)}  # fmt: skip


def plain_state(nets: dict) -> dict:
    """Everything that `plain_nets` made, for a checkpoint."""
    return {"G": nets["G"].state_dict(), "before": nets["before"].state_dict(),
            "fisher": nets["fisher"], "names": nets["names"]}  # fmt: skip


def load_plain(nets: dict, state: dict) -> None:
    """Undo `plain_state`."""
    nets["G"].load_state_dict(state["G"])
    nets["before"].load_state_dict(state["before"])
    nets["fisher"] = [f.to(p.device) for f, p in zip(state["fisher"], nets["G"].parameters())]
    nets["names"] = state["names"].to(nets["names"].device)


@torch.no_grad()
def freeze_plain(nets: dict, data: dict, t: int, n: int, args: argparse.Namespace) -> None:
    """Before task t: copy G, which will draw the old classes; DGR's classifier names what it draws.

    It draws n images a class, the same that `replay` will draw.
    """
    nets["before"].load_state_dict(nets["G"].state_dict())
    if args.memory == "dgr":
        solver = nets["solver"].eval()
        x, _ = replay(nets["before"], data, t, n, args)
        # Shin et al. 2017: a replayed image x' is to be called S(x'; θ_{t-1}), by the old solver
        names = [solver(to_float(part))[1].argmax(1) for part in x.split(2000)]
        nets["names"] = torch.cat(names)  # ranks


def alignment(G: nn.Module, before: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """How far G has moved from its frozen copy on old classes y [B], at the same z [B, nz]."""
    # Wu et al. 2018, replay alignment: L_RA = E ||G_t(z, y) - G_{t-1}(z, y)||²
    return (G(z, y) - before(z, y)).square().flatten(1).sum(1).mean()


def fisher(G: nn.Module, D: nn.Module, z: Tensor, y: Tensor, rank: Tensor) -> list[Tensor]:
    """What D's judgement of the classes y [n] depends on: as G's parameters, n images of z."""
    total = [torch.zeros_like(p) for p in G.parameters()]
    D.eval()
    for one in zip(z.split(1), y.split(1), rank.split(1)):
        score, logits = D(G(*one[:2]))
        loss = F.cross_entropy(logits, one[2]) - score.mean()
        # Kirkpatrick et al. 2017: F_i = E (∂L/∂θ_i)², here of L_G, image by image
        for sums, g in zip(total, torch.autograd.grad(loss, list(G.parameters()))):
            sums += g.square() / len(z)
    return total


def ewc_penalty(G: nn.Module, before: nn.Module, F_sum: list[Tensor]) -> Tensor:
    """EWC's spring: F_sum are the Fisher informations of all tasks so far, as G's parameters."""
    # Kirkpatrick et al. 2017, Eq. (3): Σ_i F_i / 2 (θ_i - θ*_i)²
    terms = zip(F_sum, G.parameters(), before.parameters())
    return sum((f * (p - q).square()).sum() / 2 for f, p, q in terms)


def plain_step(
    nets: dict, fake: Tensor, rank: Tensor, old_y: Tensor, args: argparse.Namespace
) -> Tensor:
    """One step of G on L_G = -E[D(G)] + L_c and what the memory adds; the loss, a scalar.

    fake [B, C, S, S] are of classes rank [B]; old_y [n] are old classes, none in the first task.
    """
    G, D, before = nets["G"], nets["D"], nets["before"]
    keep_statistics(D, False)
    score, logits = D(fake)
    keep_statistics(D, True)
    loss = -score.mean()
    if args.memory != "dgr":
        loss = loss + F.cross_entropy(logits, rank)
    if len(old_y) and args.memory == "mergan" and args.mergan == "align":
        z = torch.randn(len(old_y), G.nz, device=old_y.device)
        loss = loss + args.align_weight * alignment(G, before, z, old_y)
    if len(old_y) and args.memory == "ewc":
        loss = loss + args.ewc_lambda * ewc_penalty(G, before, nets["fisher"])
    nets["G_opt"].zero_grad()
    loss.backward(inputs=list(G.parameters()))
    nets["G_opt"].step()
    return loss.detach()


def plain_batch(task: dict, index: Tensor, args: argparse.Namespace) -> tuple[Tensor, ...]:
    """A step's images as D sees them: "real" ones with ranks, then replayed ones with ranks.

    Alignment and EWC: as in DGM. Joint retraining (MeRGAN, DGR): the replayed images are real ones
    among others, every class as often; together with the fakes D sees as many as in DGM.
    """
    x, rank, old, old_rank = (task[key] for key in ("x", "rank", "old", "old_rank"))
    n = (args.replay_batch_size or task["B"]) if len(old) and args.critic_replay else 0
    mixes = n and retrained(args)
    if mixes:
        total = len(index) + n // 2
        new = min(len(index), max(1, round(total * len(task["classes"]) / len(task["seen"]))))
        index, n = index[:new], total - new
    chosen = torch.randint(max(len(old), 1), (n,), device=x.device)
    new, drawn = (x[index], rank[index]), (old[chosen], old_rank[chosen])
    if mixes:
        order = torch.randperm(total, device=x.device)  # L_gp looks at the first few
        new = tuple(torch.cat(pair)[order] for pair in zip(new, drawn))
        drawn = (old[:0], old_rank[:0])
    return to_float(new[0]), new[1], to_float(drawn[0]), drawn[1]


def plain_epoch(
    nets: dict, task: dict, data: dict, t: int, i: int, args: argparse.Namespace, bar: tqdm
) -> Tensor:
    """`train_epoch` of a generator without masks: the losses of D and G, [steps, 2]."""
    G, B, n_old = nets["G"], task["B"], len(task["seen"]) - len(task["classes"])
    seen = torch.tensor(task["seen"], device=task["x"].device)
    held = (args.replay_batch_size or B) if n_old and not retrained(args) else 0  # old classes
    order = torch.randperm(len(task["x"]), device=seen.device)
    losses = torch.zeros(task["steps"], 2, device=seen.device)
    for b, index in enumerate(order[: task["steps"] * B].split(B), 1):
        if args.lr_decay:
            left = 1 - ((i - 1) * task["steps"] + b - 1) / (args.epochs * task["steps"])
            for name in ("D_opt", "G_opt"):
                nets[name].param_groups[0]["lr"] = args.lr * min(1.0, 2 * left)
        real, rank, old, old_rank = plain_batch(task, index, args)
        fake = G(torch.randn(len(rank), G.nz, device=seen.device), seen[rank])
        loss = critic_step(nets, real, rank, fake.detach(), old, old_rank, n_old, args)
        losses[b - 1, 0] = loss
        if b % args.n_critic == 0:
            nets["D"].requires_grad_(False)  # G's step needs no gradients of D's weights
            old_y = seen[torch.randint(max(n_old, 1), (held,), device=seen.device)]
            losses[b - 1, 1] = plain_step(nets, fake, rank, old_y, args)
            nets["D"].requires_grad_(True)
        bar.update()
    return losses


def consolidate(nets: dict, task: dict, data: dict, n: int = 500) -> None:
    """EWC, when a task ends: add what n images of its classes depend on."""
    y = torch.tensor(task["classes"], device=task["x"].device).repeat(n)[:n]
    z = torch.randn(n, nets["G"].nz, device=y.device)
    now = fisher(nets["G"], nets["D"], z, y, data["rank"][y])
    nets["fisher"] = [old + new for old, new in zip(nets["fisher"], now)]


# --------------------------------------------------------------------------------------------
# The whole sequence of tasks
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> dict:
    """On the device: x, y, x_test, y_test, `rank` (class -> when it is met); order, tasks, ..."""
    data = common.load_dataset(
        args.dataset, args.data_dir, image_size=args.image_size, train_size=args.train_size,
        test_size=args.test_size, validation=args.validation, seed=args.seed,
    )  # fmt: skip
    K, shape = len(data.classes), tuple(data.x_train.shape[1:])
    base, doublings = halvings(shape[1])
    if shape[1] != shape[2] or not 4 <= base <= 7 or not doublings:
        raise common.UserError(
            f"images of {shape[1]}x{shape[2]} cannot be drawn: use --image-size 16, 28 or 32"
        )
    if args.nz <= K:
        raise common.UserError(f"--nz {args.nz} has no room for {K} classes and noise")
    if torch.bincount(data.y_train).min() < 2 * processes()[1]:
        raise common.UserError("a class has one training image a process: use more images")
    order = common.class_order(K, args.seed, args.shuffle_classes)
    tasks = common.split_classes(order, args.classes_per_task)
    if args.tasks > len(tasks):
        raise common.UserError(f"--tasks {args.tasks}: there are {len(tasks)}")
    tasks = tasks[: args.tasks or None]
    order = sum(tasks, [])  # with --tasks, the classes of later tasks do not exist
    tensors = {}
    for name in ("train", "test"):
        x, y = getattr(data, f"x_{name}"), getattr(data, f"y_{name}")
        index = common.indices_of(y, order)
        tensors |= {f"x_{name}": x[index].to(device), f"y_{name}": y[index].to(device)}
    images = min(len(common.indices_of(tensors["y_train"], task)) for task in tasks)
    if images // min(args.batch_size, images) < args.n_critic:
        raise common.UserError(f"--n-critic {args.n_critic}: an epoch has too few steps for it")
    rank = torch.zeros(K, dtype=torch.int64)
    rank[order] = torch.arange(len(order))
    return {"classes": [[data.classes[c] for c in task] for task in tasks],
            "about": common.about_data(data), "x": tensors["x_train"], "y": tensors["y_train"],
            "x_test": tensors["x_test"], "y_test": tensors["y_test"], "rank": rank.to(device),
            "order": order, "tasks": tasks,
            "owner": common.task_of_class(tasks), "K": K,
            "shape": shape}  # fmt: skip


def joint(data: dict, args: argparse.Namespace) -> dict[str, float]:
    """JT: the classifier on all real images of the first k classes; how well it knows them."""
    metrics = {}
    for k in marks(data):
        index = common.indices_of(data["y"], data["order"][:k])
        x, rank = data["x"][index], data["rank"][data["y"][index]]
        if args.separate_classifier:
            width = args.classifier_width
            net = Critic(data["shape"], width, k, "batch", args.net).to(x.device)
            steps, B = args.classifier_steps * len(data["tasks"]), 2 * args.batch_size
            lr = args.classifier_lr
        else:
            net = Critic(data["shape"], args.ndf, k, args.norm, args.net).to(x.device)
            B, lr = min(args.batch_size, len(x) - len(x) % processes()[1]), args.lr
            steps = args.epochs * (len(x) // B)
        decay = args.lr_decay or args.separate_classifier
        train_classifier(net, x, rank, steps, lr, decay, args, f"joint, {k} classes", B)
        row = evaluate(net, data, k)
        met = [set(task) <= set(data["order"][:k]) for task in data["tasks"]]
        accuracy = statistics.fmean(a for a, yes in zip(row, met) if yes)
        metrics[f"A_{k} (%)"] = 100 * accuracy
        if len(data["order"]) > 10:
            metrics[f"top-5 A_{k} (%)"] = 100 * top5(net, data, k)
    return {"ACC": accuracy} | metrics


def marks(data: dict) -> list[int]:
    """Class counts that the paper reports at, 5 and 10 or 30 and 50, where a task ends there."""
    K = len(data["order"])
    ends = np.cumsum([len(task) for task in data["tasks"]]).tolist()
    return [k for k in ((K // 2, K) if K <= 10 else (3 * K // 5, K)) if k in ends]


def estimate(nets: dict, data: dict, args: argparse.Namespace) -> None:
    """Say how many iterations there will be and how long they take: five are tried on copies."""
    device = data["x"].device
    sizes = [len(common.indices_of(data["y"], task)) for task in data["tasks"]]
    n = sum(args.epochs * (size // min(args.batch_size, size)) for size in sizes)
    rng, trial = common.rng_state(device), copy.deepcopy(nets)
    start_task(trial, data, 0, args)
    trial["D"] = Critic(data["shape"], args.ndf, 2, args.norm, args.net).to(device)
    trial["D_opt"] = adam(trial["D"].parameters(), args)
    x, B = data["x"], min(args.batch_size, len(data["x"]) // 2)
    zeros = torch.zeros(B * 5, dtype=torch.int64, device=device)
    x = x[torch.arange(B * 5, device=device) % len(x)]
    task = dict(x=x, y=zeros, rank=zeros, classes=[0], seen=[0, 1], old=x, old_rank=zeros, B=B)
    with tqdm(disable=True) as bar:
        for steps in (1, 4):  # the first one warms up
            clock = time.perf_counter()
            epoch = plain_epoch if args.memory in PLAIN else train_epoch
            epoch(trial, task | {"steps": steps}, data, 0, 1, args, bar)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = n * (time.perf_counter() - clock) / 4
    common.set_rng_state(rng, device)
    memory = common.peak_memory(device)
    most = memory["peak_device_memory_mb"] or memory["peak_memory_mb"]
    print(f"{len(data['tasks'])} tasks of {args.epochs} epochs, {n} iterations: about "
          f"{seconds / 60:.1f} minutes, {most:.0f} MB, more as the generator grows",
          file=sys.stderr)  # fmt: skip


def about_generator(args: argparse.Namespace, data: dict) -> dict:
    """What must agree for a run to use another's generator: its sizes, its classes, the data."""
    names = ("memory", "tasks", "classes_per_task", "shuffle_classes", "net", "nz", "ngf",
             "dataset", "image_size", "train_size", "validation", "seed")  # fmt: skip
    return {name: getattr(args, name) for name in names} | {"data": data["about"]}


def read_generator(args: argparse.Namespace, data: dict) -> dict:
    """The state that a run with --keep-generator has left in the file --generator.

    UserError when there is none, or when it draws other classes, sizes or orders than asked for.
    """
    if not Path(args.generator).is_file():
        raise common.UserError(f"--generator: there is no file {args.generator}; make it with "
                               "--keep-generator")  # fmt: skip
    way_out = "give --generator of a run with the same flags"
    return common.load_checkpoint(args.generator, about_generator(args, data), way_out)["state"]


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence and return the result (see common.write_result)."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = meet(args)
    environment = common.environment(device)
    common.seed_everything(args.seed)
    data = load_data(args, device)
    common.tell_classes(data["classes"])
    T, K = len(data["tasks"]), len(data["order"])
    plain = args.memory in PLAIN
    if plain:
        nets = plain_nets(args, data)
    else:
        nets = {"G": Generator(args, data["shape"], data["K"]).to(device)}
        nets["G"].used = [u.to(device) for u in nets["G"].used]
    nets["stored"] = []  # of every class so far, which real images are kept
    if args.generator:
        nets["G"].load(read_generator(args, data))
    result = {"schema": common.SCHEMA, "script": "dgm", "seed": args.seed,
              "classes": data["classes"], "data": data["about"],
              "args": {k: v for k, v in vars(args).items() if k not in REPORT}}  # fmt: skip
    begun = time.perf_counter()
    if args.joint:
        metrics = joint(data, args)
        seconds = time.perf_counter() - begun
        return result | {"metrics": metrics, "R": [[metrics["ACC"]] * T], "tasks": [],
                         "timing": {"wall_s": seconds},
                         "environment": environment | common.peak_memory(device)}  # fmt: skip

    # done: finished tasks, epochs of the current task, seconds in all. record: what becomes JSON.
    done: dict = {"task": 0, "epoch": 0, "seconds": 0.0}
    untrained = Critic(data["shape"], args.ndf, K, args.norm, args.net).to(device)
    record: dict = {"R": [evaluate(untrained, data, K)], "tasks": []}
    if K > 10:  # Table 2, Figure 2
        record["top5"] = []
    snapshots: list[Tensor] = []
    identity = {k: v for k, v in vars(args).items() if k not in NO_EFFECT}
    identity["data"] = data["about"]
    number, n_processes = processes()
    if n_processes > 1:  # sums of other parts are rounded otherwise
        identity["processes"] = environment["processes"] = n_processes
    checkpoint = f"{args.out}.ckpt"
    stored = common.load_checkpoint(checkpoint, identity)
    environment["machines"] = worked = common.machines(stored, device)
    if stored:  # continue as if nothing had happened
        state = stored["state"]
        done, record, snapshots = state["done"], state["record"], state["snapshots"]
        snapshots = [x.to(device) for x in snapshots]
        if plain:
            load_plain(nets, state["G"])
        else:
            nets["G"].load(state["G"])
        nets["stored"] = [index.to(device) for index in state["stored"]]
        start_task(nets, data, done["task"], args, grow=False)
        for name in ("D", "D_opt", "G_opt"):
            nets[name].load_state_dict(state[name])
        common.set_rng_state(stored["rng"], device)
        print(f"continuing from {checkpoint} in task {done['task'] + 1}", file=sys.stderr)
    elif args.replay == "gan" and not args.generator:
        estimate(nets, data, args)
    begun, saved = time.perf_counter() - done["seconds"], time.perf_counter()

    def save() -> None:
        nonlocal saved
        if number == 0 and time.perf_counter() - saved >= args.checkpoint_every:
            done["seconds"] = time.perf_counter() - begun
            state = {name: nets[name].state_dict() for name in ("D", "D_opt", "G_opt")}
            G = plain_state(nets) if plain else nets["G"].state()
            state |= {"G": G, "stored": nets["stored"], "done": done, "record": record,
                      "snapshots": snapshots}  # fmt: skip
            common.save_checkpoint(checkpoint, identity, state, device, worked)
            saved = time.perf_counter()

    for t in range(done["task"], T):
        learn_task(nets, data, t, done, record, snapshots, args, save)
    if args.keep_generator and args.replay == "gan" and not args.generator and number == 0:
        path = Path(args.out).with_suffix(".generator")
        common.save_checkpoint(path, about_generator(args, data), nets["G"].state(), device)
    if (plain or not args.veto) and args.replay == "gan":  # as G draws them now
        snapshots = [snapshot(nets["G"], data, t, args) for t in range(T)]
    if args.replay == "gan":
        record["grids"] = [common.pack_images(to_uint8(x)) for x in snapshots]
    metrics = common.summarise(record["R"])
    ends = np.cumsum([len(task) for task in data["tasks"]]).tolist()
    metrics |= {f"A_{k} (%)": 100 * metrics["A"][ends.index(k)] for k in marks(data)}
    for k in marks(data) if "top5" in record else ():
        metrics[f"top-5 A_{k} (%)"] = 100 * record["top5"][ends.index(k)]
    timing = [{k: task.pop(k) for k in ("gan_s", "draw_s", "classifier_s", "memory_mb")}
              for task in record["tasks"]]  # fmt: skip
    return result | {
        "metrics": metrics, **record,
        "images": {"n": len(data["x"]), "bytes": data["x"][0].numel()},
        "timing": {"wall_s": time.perf_counter() - begun, "tasks": timing},
        "environment": environment | common.peak_memory(device),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# Figures and tables, from the JSON of finished runs alone
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make reproduce-dgm` runs them.
RUNS = {
    "dgmw-paper": ("Tables 1, 3, 4", "--method dgmw", "DGMw, --preset paper"),
    "dgma-paper": ("Tables 1, 4", "--method dgma", "DGMa, --preset paper"),
    "joint-paper": ("Table 1, JT", "--joint", "joint training, --preset paper"),
    "none-paper": ("–", "--replay none", "no replay, --preset paper"),
    "mergan-paper": ("Table 1", "--memory mergan", "MeRGAN, joint retraining, --preset paper"),
    "mergan-align-paper": ("Table 1", "--memory mergan --mergan align",
                           "MeRGAN, replay alignment, --preset paper"),
    "dgr-paper": ("Table 1", "--memory dgr", "DGR, --preset paper"),
    "ewc-paper": ("Table 1", "--memory ewc", "EWC-M, --preset paper"),
    "dgmw": ("Tables 1, 3, 4", "--preset laptop --method dgmw", "DGMw, laptop"),
    "dgma": ("Tables 1, 4", "--preset laptop --method dgma", "DGMa, laptop"),
    "joint": ("Table 1, JT", "--preset laptop --joint", "joint training (upper bound), laptop"),
    "joint-raw": ("Table 1, JT", "--preset laptop --joint --classifier-steps 0 --augment 0",
                  "joint training, laptop, images as they are"),
    "none": ("–", "--preset laptop --replay none", "no replay (naive bound), laptop"),
    "dgmw-residual": ("Table 1", "--preset laptop --net resnet --norm layer --lr 3e-4",
                      "DGMw, laptop, residual nets"),
    "mergan": ("Tables 1, 3", "--preset laptop --memory mergan",
               "MeRGAN, joint retraining, laptop"),
    "mergan-align": ("Tables 1, 3", "--preset laptop --memory mergan --mergan align",
                     "MeRGAN, replay alignment, laptop"),
    "dgr": ("Table 1", "--preset laptop --memory dgr", "DGR, laptop"),
    "ewc": ("Table 1", "--preset laptop --memory ewc", "EWC-M, laptop"),
    "raw": ("Sec. 3.3", "--preset laptop --classifier-steps 0 --augment 0",
            "DGMw, laptop, the classifier as the GAN leaves it"),
    "no-veto": ("Eq. (5)", "--preset laptop --no-veto", "DGMw, laptop, without the veto"),
    "improved": ("–", "--preset improved", "DGMw, improved"),
    "improved-plain": ("–", "--preset improved --augment 0", "improved, no augmentation"),
    "joint-improved": ("–", "--preset improved --joint", "joint training, improved"),
    "split-none": ("–", "--preset laptop --classes-per-task 2 --replay none", "no replay, laptop"),
    "split-dgmw": ("–", "--preset laptop --classes-per-task 2 --method dgmw", "DGMw, laptop"),
    "split-dgma": ("–", "--preset laptop --classes-per-task 2 --method dgma", "DGMa, laptop"),
    "split-improved": ("–", "--preset improved --classes-per-task 2", "DGMw, improved"),
    "split-joint": ("–", "--preset laptop --classes-per-task 2 --joint", "joint training, laptop"),
}  # fmt: skip
# Table 2, for data of more than ten classes: name -> (flags, label, the paper's four numbers)
REAL = {
    "k1000": ("--memory-size 1000", "K=1000", (36.87, 18.84, 69.13, 43.12)),
    "k2000": ("--memory-size 2000", "K=2000", (41.93, 22.56, 69.20, 51.84)),
    "k1000-herding": ("--memory-size 1000 --choice herding", "K=1000, herded", ()),
    "k2000-herding": ("--memory-size 2000 --choice herding", "K=2000, herded", ()),
    "r75": ("--real-ratio 0.75", "r=0.75", (50.80, 38.22, 78.27, 64.64)),
    "r50": ("--real-ratio 0.5", "r=0.5", (48.80, 40.72, 79.40, 71.72)),
    "r25": ("--real-ratio 0.25", "r=0.25", (46.93, 35.04, 75.80, 65.60)),
    "r10": ("--real-ratio 0.1", "r=0.1", (41.67, 30.48, 71.80, 61.04)),
}
KEPT = "--generator results/imagenet50/dgm/dgmw-seed{seed}.generator"  # of the run dgmw
RUNS |= {name: ("Table 2, Figure 2", f"--preset laptop {flags} {KEPT}", f"DGMw, {label}, laptop")
         for name, (flags, label, _) in REAL.items()}  # fmt: skip
TABLE_2 = {"joint": (57.35, 49.88, 84.70, 78.24),
           "icarl-k1000": (29.38, 28.98, 69.98, 59.49), "icarl-k2000": (39.38, 29.96, 70.57, 60.07),
           **{k: v[2] for k, v in REAL.items()},
           "dgmw": (32.14, 17.82, 62.53, 40.76)}  # fmt: skip
PAPER = {  # Table 1, MNIST; it stands beside the laptop runs too, as the README says
    "dgmw": {"A_5 (%)": 98.75, "A_10 (%)": 96.46},
    "dgma": {"A_5 (%)": 99.17, "A_10 (%)": 97.92},
    "joint": {"A_5 (%)": 97.66, "A_10 (%)": 98.10},
    "joint-raw": {"A_5 (%)": 97.66, "A_10 (%)": 98.10},
    "mergan": {"A_5 (%)": 98.19, "A_10 (%)": 97.00},  # without saying which of the two
    "mergan-align": {"A_5 (%)": 98.19, "A_10 (%)": 97.00},
    "dgr": {"A_5 (%)": 90.39, "A_10 (%)": 85.40},
    "ewc": {"A_5 (%)": 70.62, "A_10 (%)": 77.03},
}
PAPER_ELSEWHERE = {  # Table 1, the other data sets; glyphs-rgb is ours
    "svhn": {"dgmw": {"A_5 (%)": 83.93, "A_10 (%)": 74.38},
             "dgma": {"A_5 (%)": 81.07, "A_10 (%)": 66.89},
             "joint": {"A_5 (%)": 85.30, "A_10 (%)": 84.82},
             "mergan": {"A_5 (%)": 80.90, "A_10 (%)": 66.78},
             "mergan-align": {"A_5 (%)": 80.90, "A_10 (%)": 66.78},
             "dgr": {"A_5 (%)": 61.29, "A_10 (%)": 47.28},
             "ewc": {"A_5 (%)": 39.84, "A_10 (%)": 33.02}},
    "cifar10": {"dgmw": {"A_5 (%)": 64.94, "A_10 (%)": 51.70},
                "dgma": {"A_5 (%)": 62.50, "A_10 (%)": 50.80},
                "joint": {"A_5 (%)": 82.20, "A_10 (%)": 64.20}},
    "imagenet50": {"dgmw": {"A_30 (%)": 32.14, "A_50 (%)": 17.82},
                   "dgma": {"A_30 (%)": 25.93, "A_50 (%)": 15.16},
                   "joint": {"A_30 (%)": 57.35, "A_50 (%)": 49.88}},
    "glyphs-rgb": {},
}  # fmt: skip
PAPER |= {f"{name}-paper": PAPER[name] for name in list(PAPER) if name != "joint-raw"}
for rows in PAPER_ELSEWHERE.values():
    rows |= {f"{name}-paper": rows[name] for name in tuple(rows)}


def draw_curves(
    runs: dict[str, list[dict]], ax: Axes, what: str, value: Callable[[dict], list],
    worst: bool = False, among: dict[str, list[dict]] | None = None,
) -> None:
    """A number for every task, mean and range over seeds; dotted: growth if all were reserved.

    A run's colour is that of its place `among` others, else among `runs`.
    """
    starts, places = set(), list(among or runs)  # starts of dotted lines: one for equal ones
    for name, some in runs.items():
        i = places.index(name)
        values = np.array([value(run) for run in some])  # [seeds, T]
        t = np.arange(1, values.shape[1] + 1)
        line = ax.plot(t, values.mean(0), color=f"C{i % 10}", ls="-" if i < 10 else "--",
                       marker="o", ms=4, label=some[0]["label"])[0]  # fmt: skip
        ax.fill_between(t, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0)
        if worst and values[0, 0] not in starts:
            starts.add(values[0, 0])
            ax.plot(t, values[0, 0] * t, ":", color="0.4",
                    label=f"worst case, linear from {values[0, 0]:.0f}")  # fmt: skip
    ax.set(xlabel="task", ylabel=what, xticks=t)
    for old in ax.figure.legends:  # one legend, of the last axes
        old.remove()
    ax.figure.legend(*ax.get_legend_handles_labels(), fontsize=8, ncols=2,
                     loc="outside lower center")  # fmt: skip


def draw_growth(runs: dict[str, list[dict]], ax: Axes) -> None:
    """Figure 4: units of the masked layers after every task."""
    draw_curves(runs, ax, "units", lambda run: [sum(t["widths"]) for t in run["tasks"]], worst=True)


def draw_averages(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """A_t, the accuracy on the classes met so far; right: those that end near the best, or two."""
    ends = {name: min(run["metrics"]["A"][-1] for run in some) for name, some in runs.items()}
    least = min(sorted(ends.values())[-2:][0], 0.85 * max(ends.values()))
    best = {name: runs[name] for name in runs if ends[name] >= least}
    for ax, chosen in zip(axes[::-1], (best, runs)):  # the legend is that of the last, of all
        draw_curves(chosen, ax, "accuracy on the classes so far",
                    lambda run: run["metrics"]["A"], among=runs)  # fmt: skip
        ax.grid(color="0.92")


def draw_cost(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Milliseconds for an iteration, and the process's peak memory, task by task."""

    def milliseconds(run: dict) -> list[float]:
        pairs = zip(run["timing"]["tasks"], run["tasks"])
        return [1000 * time["gan_s"] / task["iterations"] for time, task in pairs]

    draw_curves(runs, axes[0], "ms an iteration", milliseconds)
    draw_curves(runs, axes[1], "peak memory, MB",
                lambda run: [task["memory_mb"] for task in run["timing"]["tasks"]])  # fmt: skip
    for ax in axes:
        ax.set_ylim(0, None)


def draw_reuse(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Figure 3(a): what a task's mask covers, newly blocked and reused, as shares of their sum."""
    for ax, name in zip(np.atleast_1d(axes), runs):
        layers = [[[sum(layer[key] for layer in task["layers"]) for key in ("new", "reused")]
                   for task in run["tasks"]] for run in runs[name]]  # fmt: skip
        share = np.array(layers, float)  # [seeds, tasks, 2]
        share /= share.sum(2, keepdims=True)
        t = np.arange(1, share.shape[1] + 1)
        new, reused = share.mean(0).T
        ax.bar(t, reused, label="reused")
        ax.bar(t, new, bottom=reused, label="newly blocked")
        ax.set(xlabel="task", ylabel="share of the units a task uses", xticks=t,
               title=runs[name][0]["label"])  # fmt: skip
    ax.figure.legend(*ax.get_legend_handles_labels(), fontsize=8, ncols=2,
                     loc="outside lower center")  # fmt: skip


def draw_trace(runs: dict[str, list[dict]], axes: list[Axes], t: int = 1) -> None:
    """Figure 3(b), of the last seed: one layer's masks in task t + 1; bold: their mean."""
    for ax, name in zip(np.atleast_1d(axes), runs):
        tasks = runs[name][-1]["tasks"]
        trace = np.array(tasks[min(t, len(tasks) - 1)]["trace"])  # [epochs, 1 + units]
        epochs = range(1, len(trace) + 1)
        ax.plot(epochs, trace[:, 1:], lw=0.7, alpha=0.7)
        ax.plot(epochs, trace[:, 0], "k", lw=2.5, label="occupation")
        ax.set(xlabel="epoch", ylabel="mask value", ylim=(-0.02, 1.02),
               title=f"{runs[name][0]['label']}, task {min(t, len(tasks) - 1) + 1}, "
                     f"seed {runs[name][-1]['seed']}")  # fmt: skip
        ax.legend(fontsize=8)


def draw_samples(runs: dict[str, list[dict]], axes: list[Axes]) -> None:
    """Figure 5: ten images of every class, one row a class, drawn after the last task.

    More than ten classes go into several columns.
    """
    for ax, name in zip(np.atleast_1d(axes), runs):
        x = np.concatenate([common.unpack_images(g) for g in runs[name][0]["grids"]])
        N, C, H, W = x.shape
        tiled = x.reshape(N // 10, 10, C, H, W).transpose(0, 3, 1, 4, 2).reshape(-1, 10 * W, C)
        if N > 100:
            spare = np.full((-len(tiled) % (10 * H), 10 * W, C), 255, np.uint8)
            columns = np.split(np.concatenate([tiled, spare]), -(-N // 100))  # [10 H, 10 W, C]
            tiled = np.concatenate(columns, axis=1)
        ax.imshow(tiled.squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.set_title(runs[name][0]["label"], fontsize=9)


def size_table(runs: dict[str, list[dict]]) -> str:
    """Table 3: parameters of the base network, at first and after the last task, and A."""
    rows = [["DGMw (paper)", "5.58e+04", "3.83e+05", "96.46"],
            ["MeRGAN (paper)", "5.18e+05", "5.18e+05", "97.00"]]  # fmt: skip
    trained = [some for some in runs.values() if not some[0]["args"].get("generator")]
    for some in trained:  # not those that were given a grown one
        first, last = ([run["tasks"][i]["base"] for run in some] for i in (0, -1))
        final = common.mean_sd([100 * run["metrics"]["ACC"] for run in some], 2)
        rows.append([some[0]["label"], *(f"{np.mean(v):.2e}" for v in (first, last)), final])
    return common.markdown_table(["generator", "size at first", "final size", "accuracy (%)"], rows)


def icarl_beside(folder: str) -> dict[str, list[dict]]:
    """iCaRL with 1,000 and 2,000 images: what episodic.py has left in the folder beside dgm's."""
    beside = Path(folder).with_name(Path(folder).name.replace("dgm", "episodic"))
    found = common.read_results(beside, "episodic") if any(beside.glob("icarl-k*.json")) else {}
    found = {name: found[name] for name in TABLE_2 if name in found}
    for first, *_ in found.values():
        first["label"] = f"iCaRL, K={first['args']['memory_size']}"
    return found


def real_table(runs: dict[str, list[dict]]) -> str:
    """Table 2: top-1 and top-5 in per cent, the paper's of ImageNet-50 beside."""
    first = runs[next(iter(runs))][0]
    names = [key for key in first["metrics"] if key.endswith("(%)")]
    names.sort(key=lambda key: (key.startswith("top"), key))  # A_30, A_50, top-5 of both
    whole = Path(first["args"]["dataset"]).name == "imagenet50" and not first["args"]["train_size"]
    rows = []
    for name, some in runs.items():
        cells = [common.metric(some, what) for what in names]
        for i, value in enumerate(TABLE_2[name] if whole else ()):
            cells[i] += f" (paper {value:.2f})"
        rows.append([some[0]["label"], *cells])
    return common.markdown_table(["replay", *names], rows)


def draw_top5(runs: dict[str, list[dict]], ax: Axes) -> None:
    """Figure 2: top-5 accuracy on the classes so far; stars: joint training."""
    curves = {name: some for name, some in runs.items() if name != "joint"}
    draw_curves(curves, ax, "top-5 accuracy",
                lambda run: run.get("top5") or [task["top5"] for task in run["tasks"]])  # fmt: skip
    for run in runs.get("joint", []):
        for key, value in run["metrics"].items():
            if key.startswith("top-5"):
                ax.plot(int(key[8:-4]) / run["args"]["classes_per_task"], value / 100, "k*")


def speed_table(runs: dict[str, list[dict]]) -> str:
    """Milliseconds an iteration in a task with replay, from `make bench`."""
    rows = []
    for run in sum(runs.values(), []):
        seconds, task = run["timing"]["tasks"][-1]["gan_s"], run["tasks"][-1]
        flags, env = run["args"], run["environment"]
        batches = [str(flags[f"{name}_batch_size"] or flags["batch_size"])
                   for name in ("gp", "replay")]  # fmt: skip
        rows.append([flags["preset"], *batches, env["device"], str(env["threads"]),
                     f"{1000 * seconds / task['iterations']:.0f}"])  # fmt: skip
    header = ["preset", "images for L_gp", "replayed images", "device", "threads", "ms a step"]
    return common.markdown_table(header, rows)


def disc_table(runs: dict[str, list[dict]]) -> str:
    """Table 4: MB (10^6 bytes) to keep the memory, after half of the tasks and after all."""
    rows = [["DGMa (paper)", "6.7 / 14.0", "", "0.4 / 0.8", "7.1 / 14.8", ""],
            ["DGMw (paper)", "1.1 / 2.0", "", "3.8 / 9.9", "4.9 / 11.9", ""]]  # fmt: skip
    for some in runs.values():
        run, T = some[0], len(some[0]["tasks"])
        pair = [run["tasks"][i]["disc"] for i in (max(T // 2 - 1, 0), T - 1)]
        total = [sum(v.values()) - v["masks_bits"] for v in pair]
        cells = [[v[key] for v in pair] for key in ("weights", "own", "masks_sparse")]
        cells += [total, [v["masks_bits"] for v in pair]]
        rows.append([run["label"], *(" / ".join(f"{v / 1e6:.2f}" for v in c) for c in cells)])
        stored = run["images"]["n"] * run["images"]["bytes"] / 1e6
        rows.append(["of this size, all real images as bytes", "", "", "", f"{stored:.2f}", ""])
    header = ["kept on disc, MB, after half / all tasks", "weights", "BatchNorm and last layers",
              "masks (sparse)", "total", "masks, one bit each"]  # fmt: skip
    return common.markdown_table(header, rows)


def rows_for(data: str, wide: bool, paper: bool = False) -> list[str]:
    """The runs that a report on a data set is made of, as in the Makefile; `paper`: full size."""
    few, end = ["dgmw", "dgma", "joint", "none"], "-paper" if paper else ""
    table_1 = [name + end for name in (*few, "mergan", "mergan-align", "dgr", "ewc")]
    if wide:  # more than ten classes
        return [*(name + end for name in few), *(["dgmw"] if paper else []), *REAL]
    if data in PAPER_ELSEWHERE:
        return [*table_1, *(["dgmw-residual"] if data == "cifar10" and not paper else [])]
    if paper:
        return [*table_1, *(name for name in RUNS if "improved" in name or "split" in name)]
    return [name for name in RUNS
            if not name.endswith("-paper") and name not in ("dgmw-residual", *REAL)]  # fmt: skip


def report(args: argparse.Namespace) -> None:
    """Draw every figure and table that the results in --report allow; name what is missing."""
    runs = common.read_results(args.report, "dgm")
    common.check_writable(Path(args.figures) / "tables.md")
    wide = any("top5" in run for some in runs.values() for run in some)  # more than ten classes
    dataset = next(iter(runs.values()))[0]["args"]["dataset"]
    data = Path(dataset).name
    paper = any(name.endswith("-paper") for name in runs if name in RUNS)
    asked = {name: RUNS[name] for name in rows_for(data, wide, paper)}
    common.name_missing(runs, asked, "dgm", args.report)
    speed = {name: runs[name] for name in runs if name.startswith("speed")}
    split = {name: runs[name] for name in RUNS if name in runs and name.startswith("split-")}
    runs = {name: runs[name] for name in RUNS if name in runs and name not in split}
    for name, (first, *_) in runs.items():
        first["label"] = RUNS[name][2]
    grown = {name: some for name, some in runs.items() if all("grids" in run for run in some)}
    paper_scale = [name for name in ("dgmw-paper", "dgma-paper") if name in grown]
    pair = {k: grown[k] for k in paper_scale or ("dgmw", "dgma") if k in grown}
    if not pair:
        raise common.UserError(f"{args.report} has no run of dgmw or dgma: see the lines above")

    def figure(file: str, draw_it, chosen: dict, title: str, columns: int = 1, **size):
        fig = Figure(layout="constrained", dpi=150, **size)
        fig.suptitle(title, fontsize=10)
        draw_it(chosen, fig.subplots(1, columns))
        common.save_figure(fig, Path(args.figures) / f"{file}.png")

    n = len(pair)
    figure("figure3a", draw_reuse, pair, "Figure 3(a): new and reused", n, figsize=(4 * n, 3.6))
    figure("figure3b", draw_trace, pair, "Figure 3(b): mask values", n, figsize=(4 * n, 3.4))
    figure("figure4", draw_growth, pair, "Figure 4: growth", figsize=(6, 4))
    drawn = pair | {k: v for k, v in grown.items() if k in ("improved", "no-veto", "mergan-align")}
    size = (10, 2.8) if wide else (3, 3.4)
    figure("figure5", draw_samples, drawn, "Figure 5: what is drawn after the last task",
           len(drawn), figsize=(size[0] * len(drawn), size[1]))  # fmt: skip
    chosen = {k: v for k, v in drawn.items() if k in pair or k == "improved"}
    figure("cost", draw_cost, chosen, "Cost of a task", 2, figsize=(8, 3.6))
    curves = {name: some for name, some in runs.items() if "A" in some[0]["metrics"]}
    figure("averages", draw_averages, curves, "Accuracy on the classes so far", 2,
           figsize=(9, 5))  # fmt: skip
    whole = dict(dataset=dataset, train_size=0, validation=0, tasks=0,
                 classes_per_task=DATASET.get(data, {}).get("classes_per_task", 1))  # fmt: skip
    every = [run["args"] for some in runs.values() for run in some]
    paper = {"mnist": PAPER, **PAPER_ELSEWHERE}.get(data, {})
    paper = paper if all(whole.items() <= given.items() for given in every) else {}
    metrics = sorted({key for some in runs.values() for key in some[0]["metrics"]
                      if key.startswith("A_")}, key=lambda key: int(key[2:-4]))  # fmt: skip
    tables = {
        "dgm results": common.results_table(runs, RUNS, [*metrics, "forgetting"], paper),
        "dgm size": size_table(grown), "dgm disc": disc_table(pair),
        "dgm speed": speed_table(speed),
    }  # fmt: skip
    if split:
        tables["dgm split"] = common.results_table(split, RUNS, ["ACC", "forgetting", "BWT"], {})
    if wide:
        known = runs | icarl_beside(args.report)
        chosen = {name: known[name] for name in TABLE_2 if name in known}
        tables["dgm real"] = real_table(chosen)
        chosen |= {name: runs[name] for name in ("none",) if name in runs}
        figure("figure2", draw_top5, chosen, "Figure 2: real images replayed", figsize=(6, 5))
    text = "\n".join(f"## {name}\n\n{table}" for name, table in tables.items())
    common.write_text(Path(args.figures) / "tables.md", text)
    page = Path(args.readme).read_text(encoding="utf-8") if args.readme else ""
    if f"<!-- begin dgm {data} -->" in page:
        short = {"dgm results": f"dgm {data}", "dgm real": f"dgm {data} real"}  # beside MNIST's
        tables = {short[name]: table for name, table in tables.items() if name in short}
    for name, table in tables.items() if args.readme else ():
        common.fill_between_markers(args.readme, name, table)
    print(f"figures and tables are in {args.figures}")


def main(argv: list[str] | None = None) -> None:
    """What the command line asks for: a comparison, a report or (as a rule) a training run."""
    argv = sys.argv[1:] if argv is None else argv
    args = parse_args(argv)
    if args.compare:
        runs = common.read_results(args.compare[0], "dgm")
        data = Path(next(iter(runs.values()))[0]["args"]["dataset"]).name
        paper = PAPER_ELSEWHERE.get(data, PAPER)
        metrics = (*paper.get("dgmw", PAPER["dgmw"]), "forgetting")
        return print(common.comparison(*args.compare, "dgm", RUNS, metrics, paper), end="")
    if args.report or "--report" in argv:
        return report(args)
    common.check_writable(args.out)
    result = {"command": shlex.join(["python", "dgm.py", *argv]), **run(args)}
    if processes()[0]:
        return  # the first process writes
    common.write_result(args.out, result)
    Path(f"{args.out}.ckpt").unlink(missing_ok=True)
    print(f"ACC {result['metrics']['ACC']:.4f}, {result['timing']['wall_s']:.0f} s: {args.out}")


if __name__ == "__main__":
    common.exit_in_one_line(lambda: as_one(main))
