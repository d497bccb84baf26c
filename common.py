"""What all scripts share. What a method's reader needs comes first, what carries a run last:

    splits; R and its metrics; distorted images; quality of a memory; data sets
    THE RUN: from the command line to the result; errors; flags; files; checkpoints; Run; models

Nothing here decides how a paper's method works: no network, no loss, no optimizer, no loop (but for
the small classifier that measures generated images). Images are uint8 [N, C, H, W], labels int64
[N]. A mistake that the user can mend raises UserError (exit code 2), a failure while running
RunError (exit code 1); `exit_in_one_line` prints one line.
"""

import argparse
import base64
import codecs
import contextlib
import copy
import dataclasses
import difflib
import errno
import functools
import gzip
import importlib.metadata
import importlib.util
import json
import math
import os
import pickle
import platform
import random
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

try:
    import matplotlib
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath
    from PIL import Image, ImageOps
    from torch import Tensor
    from tqdm import tqdm

    importlib.metadata.version("torchvision")  # imported later, where it is used
except KeyboardInterrupt:
    print("error: interrupted; nothing was begun", file=sys.stderr)
    sys.exit(130)
except ImportError as error:
    print(f"error: {error.name or error} is not installed: python -m pip install -r "
          "requirements.txt, or make install", file=sys.stderr)  # fmt: skip
    sys.exit(2)

try:  # not on Windows
    import fcntl  # locks
    import resource  # peak memory
except ImportError:
    fcntl = resource = None  # type: ignore[assignment]

PROJECT = "learning without forgetting, by making the past"
__version__ = "0.3.0"  # as in CITATION.cff
SCHEMA = 1  # of the result files
CHECKPOINT_FORMAT = 2
MODEL_FORMAT = 1  # of what --save writes


class UserError(Exception):
    """A mistake the user can mend: shown as one line, exit code 2, no stack trace."""


class Unfit(UserError):
    """These data do not fit these flags; with --skip-unfit the result says so, and all is well."""


class RunError(Exception):
    """A failure while running: shown as one line, exit code 1, no stack trace."""


# ----------------------------------------------------------------------------------------------
# Splits: which classes, or which order of the pixels, make a task
# ----------------------------------------------------------------------------------------------


def class_order(n_classes: int, seed: int = 0, shuffle: bool = False) -> list[int]:
    """The order in which classes are met: 0, 1, 2, ... or a permutation that depends on `seed`."""
    if not shuffle:
        return list(range(n_classes))
    return torch.randperm(n_classes, generator=torch.Generator().manual_seed(seed)).tolist()


def split_classes(order: Sequence[int], per_task: int) -> list[list[int]]:
    """Cut a class order into tasks of `per_task` classes; the last task takes what is left.

    Unfit if there are not so many classes, UserError if one occurs twice.

    >>> split_classes([0, 1, 2, 3, 4], 2)
    [[0, 1], [2, 3], [4]]
    """
    if not 1 <= per_task <= len(order):
        raise Unfit(f"classes per task must lie between 1 and {len(order)}, not {per_task}")
    if len(set(order)) != len(order):
        raise UserError(f"a class occurs twice in the class order {list(order)}")
    return [list(order[i : i + per_task]) for i in range(0, len(order), per_task)]


def task_of_class(tasks: Sequence[Sequence[int]]) -> Tensor:
    """int64 [n_classes]: the task that each class belongs to; UserError if it is in two."""
    owner = torch.full((1 + max(max(task) for task in tasks),), -1)
    for t, task in enumerate(tasks):
        for c in task:
            if owner[c] >= 0:
                raise UserError(f"class {c} is in task {owner[c]} and in task {t}")
            owner[c] = t
    return owner


def indices_of(y: Tensor, classes: Sequence[int]) -> Tensor:
    """int64 [n]: where the labels y [N] are one of `classes`, in the order of the data."""
    return torch.isin(y, torch.tensor(list(classes), device=y.device)).nonzero().squeeze(1)


def pixel_permutations(n_tasks: int, n_pixels: int, seed: int) -> Tensor:
    """int64 [n_tasks, n_pixels]: row 0 is the identity, the others are random permutations."""
    rng = torch.Generator().manual_seed(seed)
    rows = [torch.arange(n_pixels)]
    rows += [torch.randperm(n_pixels, generator=rng) for _ in range(n_tasks - 1)]
    return torch.stack(rows)


# ----------------------------------------------------------------------------------------------
# Metrics. R[i][j] is the accuracy on task j after learning task i; row 0 is the untrained net,
# so R has T + 1 rows and T columns, and the tasks are columns 0 ... T - 1.
# ----------------------------------------------------------------------------------------------


def average_accuracy(R: Sequence[Sequence[float]], t: int) -> float:
    """A_t = 1/t sum_{j<=t} R[t][j]: mean over the tasks seen after task t (1 <= t <= T).

    ACC of Lopez-Paz & Ranzato (2017), Sec. 2, at t = T; A_k of Chaudhry et al. (2018), Sec. 3.
    """
    return sum(R[t][:t]) / t


def backward_transfer(R: Sequence[Sequence[float]]) -> float:
    """BWT = 1/(T-1) sum_{j<T} (R[T][j] - R[j][j]) (Lopez-Paz & Ranzato 2017, Eq. 3), tasks 1..T.

    Negative: old tasks were forgotten. -1 is the worst there is. NaN for a single task.
    """
    T = len(R) - 1
    gaps = [R[T][j] - R[j + 1][j] for j in range(T - 1)]
    return sum(gaps) / len(gaps) if gaps else math.nan


def forward_transfer(R: Sequence[Sequence[float]]) -> float:
    """FWT = 1/(T-1) sum_{j>1} (R[j-1][j] - b_j) (Lopez-Paz & Ranzato 2017, Eq. 4), b = R[0].

    Where an unseen class is never predicted (most of our runs: README), R[j-1][j] is 0 and FWT is
    minus the chance accuracy of the untrained net, about -1/K. NaN for one task.
    """
    T = len(R) - 1
    gaps = [R[j][j] - R[0][j] for j in range(1, T)]
    return sum(gaps) / len(gaps) if gaps else math.nan


def forgetting(R: Sequence[Sequence[float]]) -> float:
    """F_T = 1/(T-1) sum_{j<T} max_{i<T} (R[i][j] - R[T][j]) (Chaudhry et al. 2018, Eq. 3).

    The maximum runs over the earlier rows in which task j was already learned, i = j .. T-1, never
    over the last row: a task that kept improving has negative forgetting. NaN for a single task.
    """
    T = len(R) - 1
    drops = [max(R[i][j] for i in range(j + 1, T)) - R[T][j] for j in range(T - 1)]
    return sum(drops) / len(drops) if drops else math.nan


def summarise(R: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The metrics of one run: ACC = A_T, every A_t and, of two tasks or more, BWT, FWT, forgetting.

    Joint training has one row for all T tasks, the last: then ACC alone is defined.
    """
    T = len(R[0])
    if len(R) != T + 1:
        return {"ACC": sum(R[-1]) / T}
    A = [average_accuracy(R, t) for t in range(1, T + 1)]
    old = {"BWT": backward_transfer(R), "FWT": forward_transfer(R), "forgetting": forgetting(R)}
    return {"ACC": A[-1], "A": A} | (old if T > 1 else {})


@torch.no_grad()
def accuracy_by_task(
    logits: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, owner: Tensor, batch: int = 2000
) -> list[float]:
    """A row of R: accuracy, 0 to 1, on every task, all classes competing (one head, no task label).

    logits maps a slice of x [n, ...] to [n, K]; y [N] are labels; owner [K] is `task_of_class`.
    """
    hits = torch.cat([logits(x[i : i + batch]).argmax(1) for i in range(0, len(x), batch)]) == y
    task = owner.to(y.device)[y]
    n_tasks = int(owner.max()) + 1
    right = torch.zeros(n_tasks, device=y.device).index_add_(0, task, hits.float())
    return (right / torch.bincount(task, minlength=n_tasks)).tolist()


def top_k_accuracy(logits: Tensor, y: Tensor, k: int = 5) -> float:
    """Share, 0 to 1, of rows of logits [N, K] whose k largest entries include the label y [N]."""
    if not 1 <= k <= logits.shape[1]:
        raise UserError(f"top-k needs 1 <= k <= {logits.shape[1]} classes, not {k}")
    return (logits.topk(k, dim=1).indices == y[:, None]).any(1).float().mean().item()


# ----------------------------------------------------------------------------------------------
# Distorted images, for a classifier to learn from
# ----------------------------------------------------------------------------------------------


def augment(x: Tensor, most: float) -> Tensor:
    """Turn, scale, shear and shift images float [B, C, H, W] in [-1, 1] at random; edges: -1.

    `most` bounds each: radians, fractions of the size, and shifts in halves of a side.
    """
    angle, zoom, shear, right, down = most * (2 * torch.rand(5, len(x), device=x.device) - 1)
    # From a point of the result back to the image:  [(1 + zoom) cos   shear - sin      right]
    #                                                [sin              (1 + zoom) cos   down ]
    cos, sin = (1 + zoom) * angle.cos(), angle.sin()
    matrix = torch.stack([cos, shear - sin, right, sin, cos, down], 1).view(-1, 2, 3)  # [B, 2, 3]
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)  # [B, H, W, 2]
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def jitter(x: Tensor, most: float = 0.2) -> Tensor:
    """Half of the images float [B, C, H, W] in [-1, 1] as negatives, and noise of up to `most`."""
    sign = 1 - 2 * (torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5).float()
    return sign * x + most * torch.rand_like(sign) * torch.randn_like(x)


# ----------------------------------------------------------------------------------------------
# How good a memory of generated images is
# ----------------------------------------------------------------------------------------------

QUALITY_IMAGES = 1000  # at most, of each kind
QUALITY_PER_TASK = 500  # to be generated
ALIKE = 0.8  # of images told apart: below, new classes may be learned from real ones
QUALITY_SIDE = 14  # pixels: larger images are averaged down to 14 ... 27


def memory_quality(
    generated: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor],
    owner: Tensor, seed: int,
) -> dict[str, Any]:
    """What can be learned from generated images alone; each value is a share, 0 to 1.

    Images are uint8 [n, C, H, W], with labels int64 [n]: `generated` of all classes so far, `real`
    of the newest task alone, as there are no others, `test` of all tasks; `owner` [K] is
    `task_of_class`. Of a small classifier that is trained on

    - generated images: "GAN-train", its accuracy on `real` (Shmelkov et al. 2018, Sec. 3; Ravuri &
      Vinyals 2019), and "by task" on the test images of each task so far (as R: only reported);
    - real images: "GAN-test", its accuracy on generated images of the same classes: high where
      these are good, even if they are all alike (None if the task is a single class);
    - both: "told apart", how many of others it knows to be real or generated; 0.5 is best.

    Draws its own random numbers and leaves no trace: a run that is measured stays the same.
    """
    device = real[0].device
    before = rng_state(device)
    torch.manual_seed(seed)
    real = some(*real)
    t = int(owner[real[1].cpu()].max())
    own = torch.isin(generated[1], real[1].unique())
    copies, generated = some(generated[0][own], generated[1][own]), some(*generated)
    n = min(len(real[0]), len(copies[0]))

    net = small_classifier(*generated, len(owner))
    task = owner.to(device)[test[1]]
    by_task = [hits(net, test[0][task == j], test[1][task == j]) for j in range(t + 1)]
    out: dict[str, Any] = {"GAN-train": hits(net, *real), "by task": by_task, "GAN-test": None,
                           "told apart": None}  # fmt: skip
    if len(real[1].unique()) > 1 and n:
        out["GAN-test"] = hits(small_classifier(*real, len(owner)), *copies)
    if n > 1:
        x = torch.stack([real[0][:n], copies[0][:n]], 1).flatten(0, 1)  # real, generated, ...
        y, half = torch.arange(2 * n, device=device) % 2, n // 2 * 2
        out["told apart"] = hits(small_classifier(x[:half], y[:half], 2), x[half:], y[half:])
    set_rng_state(before, device)
    return out


def some(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """At most QUALITY_IMAGES of the images x [n, C, H, W] with labels y [n], at random; small."""
    index = torch.randperm(len(x))[:QUALITY_IMAGES].to(x.device)
    return x[index], y[index]


def small_classifier(x: Tensor, y: Tensor, K: int) -> nn.Module:
    """Two convolutions, trained on images uint8 [n, C, H, W] with labels y [n] of K classes.

    It sees each image with noise, half of them as negatives, so that a pattern of pixels that a
    generator puts into all images of a class does not stand for the class.
    """
    net = nn.Sequential(
        nn.AvgPool2d(max(min(x.shape[-2:]) // QUALITY_SIDE, 1)),
        nn.Conv2d(x.shape[1], 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, K),
    ).to(x.device)  # fmt: skip
    opt = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(100):
        opt.param_groups[0]["lr"] = 2e-3 * (1 - step / 100)
        index = torch.randint(len(x), (64,), device=x.device)
        loss = F.cross_entropy(net(jitter(x[index].float() / 127.5 - 1)), y[index])
        opt.zero_grad()
        loss.backward()
        opt.step()
    return net.eval()


@torch.no_grad()
def hits(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the images uint8 [n, C, H, W] that the net knows as y [n]."""
    answers = [net(part.float() / 127.5 - 1).argmax(1) for part in x.split(500)]
    return (torch.cat(answers) == y).float().mean().item()


def tell_quality(quality: dict[str, Any], label: str, classes: int, what: str) -> None:
    """A line where the memory is poor: GAN-train less than halfway from chance to all."""
    knows, chance = quality["GAN-train"], 1 / classes
    if knows < (1 + chance) / 2 and classes > 1:
        print(f"warning: {label}: the memory is poor: what learns from generated images alone "
              f"knows {knows:.0%} of the task's real images (chance: {chance:.0%}); {what}; "
              "docs/your_data.md", file=sys.stderr)  # fmt: skip


# ----------------------------------------------------------------------------------------------
# Data sets
# ----------------------------------------------------------------------------------------------


class Dataset(NamedTuple):
    """A whole data set in memory: N and M images of C channels, H by W pixels."""

    name: str
    x_train: Tensor  # uint8 [N, C, H, W], 0..255
    y_train: Tensor  # int64 [N], 0..len(classes)-1
    x_test: Tensor  # uint8 [M, C, H, W]
    y_test: Tensor  # int64 [M]
    classes: tuple[str, ...]
    checksum: int = 0  # of what was read (files, labels), so the same on every machine

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, H, W."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width


class Source(NamedTuple):
    """A data set that torchvision downloads, and what a complete copy of it holds."""

    cls: str  # its class in torchvision.datasets
    files: str  # where they belong, below the data folder
    train: int  # images
    test: int
    shape: tuple[int, int, int]  # C, H, W


GREY, RGB = (1, 28, 28), (3, 32, 32)
IDX = "raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz"
SOURCES = {
    "mnist": Source("MNIST", f"MNIST/{IDX}", 60_000, 10_000, GREY),
    "fashion-mnist": Source("FashionMNIST", f"FashionMNIST/{IDX}", 60_000, 10_000, GREY),
    "kmnist": Source("KMNIST", f"KMNIST/{IDX}", 60_000, 10_000, GREY),
    "svhn": Source("SVHN", "{train,test}_32x32.mat", 73_257, 26_032, RGB),
    "cifar10": Source("CIFAR10", "cifar-10-python.tar.gz", 50_000, 10_000, RGB),
}
GLYPHS = ("glyphs", "glyphs-rgb")
NO_FILES = "use --dataset glyphs (embedded, needs no files)"
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte from the server
LOCK_NEWS = 60.0  # seconds between two lines of a run that waits for another
# A folder that cannot be used: there is no permission, a file in its place, a full disk.
NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC,
             errno.EDQUOT)  # fmt: skip
# What torchvision, Pillow and the archive readers raise on a lost connection or a damaged file.
DAMAGE = (
    *(OSError, EOFError, HTTPException, zlib.error, tarfile.TarError, pickle.UnpicklingError),
    *(RuntimeError, ValueError, TypeError, LookupError, AssertionError, SyntaxError, struct.error),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, Image.DecompressionBombError),
)


def load_chosen(args: argparse.Namespace) -> Dataset:
    """`load_dataset` as the data flags say."""
    names = ("image_size", "train_size", "test_size", "validation", "seed")
    return load_dataset(args.dataset, args.data_dir, **{k: getattr(args, k) for k in names})


def load_dataset(
    name: str, data_dir: str = "data", *, image_size: int = 0, train_size: int = 0,
    test_size: int = 0, validation: int = 0, seed: int = 0,
) -> Dataset:
    """Load a data set by name, whole, as uint8 tensors on the CPU; every class is in both parts.

    `name` is a key of SOURCES (downloaded into `data_dir` when absent), `glyphs` or `glyphs-rgb`
    (drawn here, no files), or a folder, itself or below `data_dir`, that holds train/CLASS/ and
    test/CLASS/ images. `image_size` > 0 resizes every image to that square. `train_size` and
    `test_size` of 0 mean all (60,000 and 10,000 glyphs); a smaller number takes a random subset,
    fixed by `seed`, in which the classes are about as frequent as in the whole. Glyphs are drawn
    from `seed` too. `validation` > 0 holds out that many of the training images, the same of a
    whole data set for every seed, and puts them in the place of the test images. Raises UserError
    on what the user has to mend.
    """
    if min(image_size, train_size, test_size, validation) < 0:
        raise UserError("--image-size, --train-size, --test-size and --validation: 0 or more")
    root = Path(os.path.expanduser(data_dir))
    if name in GLYPHS:
        rgb = name == "glyphs-rgb"
        train = make_glyphs(len(choose(60_000, train_size, 0, "train")), 2 * seed, rgb)
        test = make_glyphs(len(choose(10_000, test_size, 0, "test")), 2 * seed + 1, rgb)
        labels = crc_of(train[1], test[1])  # the pixels' last bits are the machine's
        data = Dataset(name, *train, *test, tuple("0123456789"), labels)
    elif name in SOURCES and not os.path.isdir(root / name / "train"):
        data = load_torchvision(name, root, train_size, test_size, seed)
    else:  # image folders; they are resized while they are read, as their sizes may differ
        data = load_folder(name, root, image_size, train_size, test_size, seed)
    if validation:
        data = hold_out(data, validation)
    if data.x_train.min() == data.x_train.max():
        raise UserError(f"every training image of {name} is blank, one colour: look at the files")
    for part, y in (("training", data.y_train), ("test", data.y_test)):
        count = torch.bincount(y, minlength=len(data.classes))
        if not count.all():
            missing = data.classes[int(count.argmin())]
            raise UserError(f"there is no {part} image of class {missing}: use more images "
                            "(--train-size, --test-size, --validation)")  # fmt: skip
    x_train, x_test = (resize(x, image_size) for x in (data.x_train, data.x_test))
    return data._replace(x_train=x_train, x_test=x_test)


def hold_out(data: Dataset, n: int) -> Dataset:
    """n training images, always the same ones, in the place of the test images."""
    if n >= len(data.y_train):
        raise UserError(f"--validation must be less than the {len(data.y_train)} training images")
    order = torch.randperm(len(data.y_train), generator=torch.Generator().manual_seed(0))
    held, kept = order[:n], order[n:]
    x, y = data.x_train, data.y_train
    return data._replace(x_train=x[kept], y_train=y[kept], x_test=x[held], y_test=y[held])


def choose(total: int, size: int, seed: int, split: str) -> Tensor:
    """Indices [size] of a random subset of `total` images; all of them, in order, for size 0."""
    if size > total:
        raise UserError(f"--{split}-size {size} is more than the {total} images of the {split} set")
    if size == 0:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:size]


def resize(x: Tensor, size: int) -> Tensor:
    """uint8 [N, C, H, W] -> uint8 [N, C, size, size], bilinear with antialiasing; size 0: as is."""
    if size == 0 or x.shape[-2:] == (size, size):
        return x
    parts = (F.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
             for part in x.split(4096))  # the floats of a part at a time  # fmt: skip
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])


def about_data(data: Dataset) -> dict[str, Any]:
    """What makes a data set this one: classes, images of each, shape, a checksum of all of it."""
    labels = {"train": data.y_train, "test": data.y_test}
    count = {k: torch.bincount(y, minlength=len(data.classes)).tolist() for k, y in labels.items()}
    return {"classes": list(data.classes), **count, "shape": list(data.x_train.shape[1:]),
            "checksum": data.checksum}  # fmt: skip


def data_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """In words, where two results of `about_data` differ first; empty if they are the same."""
    if old["classes"] != new["classes"]:
        return f"classes {', '.join(old['classes'])}, not {', '.join(new['classes'])}"
    for part, name in (("train", "training"), ("test", "test")):
        for label, n, m in zip(old["classes"], old[part], new[part]):
            if n != m:
                return f"{n} {name} images of class {label}, not {m}"
    if old["shape"] != new["shape"]:
        return f"images of shape {old['shape']}, not {new['shape']}"
    return "other images or labels" if old["checksum"] != new["checksum"] else ""


def crc_of(*tensors: Tensor) -> int:
    """CRC-32 of the bytes of tensors on the CPU."""
    crc = 0
    for tensor in tensors:
        crc = zlib.crc32(tensor.contiguous().numpy().data.cast("B"), crc)
    return crc


def one_line(error: object) -> str:
    """The message of an exception on one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


# ---- data sets of torchvision ----


def load_torchvision(name: str, root: Path, train_size: int, test_size: int, seed: int) -> Dataset:
    """Download (when absent), read and check a data set of SOURCES; UserError when that fails."""
    from torchvision import datasets  # here, as importing it takes as long as all the rest

    source = SOURCES[name]
    cls = getattr(datasets, source.cls)
    if name == "svhn" and importlib.util.find_spec("scipy") is None:
        raise UserError("svhn comes as .mat files, which need scipy to be read: pip install scipy")
    try:
        with locked(root):
            socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torchvision would wait for ever
            if issubclass(cls, datasets.MNIST):
                mend_idx_files(source, cls, root)
            train, test = read_or_download(name, cls, root)
        x, y = to_tensors(train, source.train, source.shape)
        x_test, y_test = to_tensors(test, source.test, source.shape)
    except DAMAGE as error:
        why = one_line(error)
        if getattr(error, "errno", None) in NO_ACCESS:
            raise UserError(f"cannot read or write in {root}: {why}; choose another folder with "
                            f"--data-dir, or {NO_FILES}") from error  # fmt: skip
        if isinstance(error, TimeoutError):
            why = f"timed out, the server sent nothing for {DOWNLOAD_TIMEOUT:g} s"
        raise UserError(f"cannot load {name} from {root}: {why}; run again to retry the download "
                        f"of what is absent or damaged, or put {root / source.files} there by "
                        f"hand, or {NO_FILES}") from error  # fmt: skip
    finally:
        socket.setdefaulttimeout(None)
    i = choose(source.train, train_size, seed, "train")
    j = choose(source.test, test_size, seed, "test")
    kept = x[i], y[i], x_test[j], y_test[j]
    classes = tuple(getattr(train, "classes", "0123456789"))  # svhn does not name its classes
    return Dataset(name, *kept, classes, crc_of(*kept))


def read_or_download(name: str, cls: Any, root: Path) -> list[Any]:
    """torchvision's training and test split; what is absent or damaged is downloaded."""
    which = [{"split": part} if name == "svhn" else {"train": part == "train"}
             for part in ("train", "test")]  # fmt: skip
    try:
        return [cls(root, **split) for split in which]
    except RuntimeError:  # torchvision misses a file, or its checksum is wrong
        print(f"downloading or unpacking {name} in {root}", file=sys.stderr, flush=True)
        return [cls(root, download=True, **split) for split in which]


def mend_idx_files(source: Source, cls: Any, root: Path) -> None:
    """Unpack MNIST-like files that are absent or cut short; ValueError where that cannot be done.

    torchvision checks the .gz files, but takes any unpacked file for a complete one, even what an
    interrupted unpacking left. So each is measured here, and unpacked again, whole or not at all.
    """
    from torchvision.datasets.utils import check_integrity

    pixels = math.prod(source.shape)
    sizes = [16 + source.train * pixels, 8 + source.train]  # bytes: header and one per pixel, label
    sizes += [16 + source.test * pixels, 8 + source.test]
    for (gz_name, md5), size in zip(cls.resources, sizes):
        packed = root / source.cls / "raw" / gz_name
        raw = packed.with_suffix("")
        if raw.exists() and raw.stat().st_size == size:
            continue
        if check_integrity(packed, md5):
            part = raw.with_suffix(".part")
            with gzip.open(packed) as src, open(part, "wb") as dst:
                shutil.copyfileobj(src, dst)
            os.replace(part, raw)
        elif raw.exists():
            found = raw.stat().st_size
            raise ValueError(f"{raw} is damaged ({found} bytes, not {size}): delete it")


def to_tensors(split: Any, n: int, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """A torchvision split -> x uint8 [n, C, H, W], y int64 [n] of all of 0 to 9; or ValueError."""
    x = torch.as_tensor(split.data)
    if x.ndim == 3:  # MNIST and its like: [N, H, W]
        x = x.unsqueeze(1)
    elif x.shape[-1] == 3:  # CIFAR-10: [N, H, W, C]
        x = x.permute(0, 3, 1, 2)
    labels = split.labels if hasattr(split, "labels") else split.targets  # SVHN has labels
    y = torch.as_tensor(labels, dtype=torch.int64)
    if x.dtype != torch.uint8 or x.shape != (n, *shape):
        raise ValueError(f"images are {x.dtype} {list(x.shape)}, not uint8 {[n, *shape]}")
    if len(y) != n or y.unique().tolist() != list(range(10)):
        raise ValueError(f"labels are not {n} numbers from 0 to 9")
    return x.contiguous(), y


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Other processes wait here until this one is done, or all would download the same files.

    Where there are no locks, nobody waits. A folder that cannot be written, or not be opened, may
    still hold all that is needed.
    """
    if not os.path.isdir(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as at_exit:
        with contextlib.suppress(OSError):  # some network drives cannot lock
            handle = os.open(folder, os.O_RDONLY)
            at_exit.callback(os.close, handle)  # and with it the lock
            next_news = time.monotonic()
            while fcntl:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= next_news:
                        next_news += LOCK_NEWS
                        print(f"waiting for another run that is loading data into {folder}",
                              file=sys.stderr, flush=True)  # fmt: skip
                    time.sleep(0.1)
        yield


# ---- image folders ----

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def load_folder(
    name: str, root: Path, image_size: int, train_size: int, test_size: int, seed: int
) -> Dataset:
    """Read FOLDER/train/CLASS/* and FOLDER/test/CLASS/*; one channel if all images are grey."""
    folder = find_folder(name, root)
    places = folder / "train", folder / "test"
    try:
        classes, test_classes = map(class_names, places)
        if classes != test_classes:
            odd = ", ".join(sorted(set(classes) ^ set(test_classes)))
            raise ValueError(f"classes in only one of train/ and test/: {odd}")
        train, test = ([(path, y) for y, label in enumerate(classes)
                        for path in list_images(place / label)] for place in places)  # fmt: skip
        chosen = [train[i] for i in choose(len(train), train_size, seed, "train")]
        n = len(chosen)
        chosen += [test[i] for i in choose(len(test), test_size, seed, "test")]
        x = read_images([path for path, _ in chosen], image_size)
    except DAMAGE as error:
        raise UserError(f"cannot read {folder}: {one_line(error)}; download or copy the folder "
                        f"again, or put images by hand in {folder}/{{train,test}}/CLASS/, or "
                        f"{NO_FILES}") from error  # fmt: skip
    y = torch.tensor([label for _, label in chosen])
    crc = crc_of(y)
    for path, _ in chosen:
        crc = zlib.crc32(Path(path).read_bytes(), crc)
    return Dataset(name, x[:n], y[:n], x[n:], y[n:], tuple(classes), crc)


def find_folder(name: str, root: Path) -> Path:
    """The image folder of that name, itself or below `root`; UserError when there is none."""
    places = [root / name] if name in SOURCES else [Path(os.path.expanduser(name)), root / name]
    folder = next((p for p in places if os.path.isdir(p)), None)
    known = [*SOURCES, *GLYPHS]
    hint = did_you_mean(name.lower(), known)
    # torchvision's own folders are called MNIST and the like, and hold no train/.
    if folder is None or (hint and Path(name).name == name and not (folder / "train").is_dir()):
        raise UserError(f"no dataset {name!r}: {hint}choose one of {', '.join(known)} (--dataset "
                        f"glyphs needs no files), or put images in {root / name}/{{train,test}}/"
                        "CLASS/")  # fmt: skip
    return folder


def has_colour(name: str, root: str | Path) -> bool:
    """Whether images are in colour, for presets: a folder's first training image stands for all."""
    if name in SOURCES:
        return SOURCES[name].shape[0] > 1
    if name in GLYPHS:
        return name == "glyphs-rgb"
    try:
        train = find_folder(name, Path(root)) / "train"
        return read_images(list_images(train / class_names(train)[0])[:1], 32).shape[1] > 1
    except (UserError, *DAMAGE):
        return False  # the loader will say what is wrong


def class_names(folder: Path) -> list[str]:
    """The folders in a folder: numbers in their order, then others as text; ValueError if none."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name)]
    if not names:
        raise ValueError(f"there is no class folder in {folder}")
    return sorted(names, key=lambda n: (not n.isdecimal(), int(n) if n.isdecimal() else 0, n))


def list_images(folder: Path) -> list[str]:
    """Paths of the images below a class's folder, sorted by folder; ValueError when there is none.

    Links are followed, but every real folder is read once, and none that holds the class itself.
    """

    def stop(error: OSError) -> None:
        raise error

    found: dict[str, list[str]] = {}
    above = folder.parent.resolve()
    seen = {above, *above.parents, *folder.resolve().parents}  # the class itself may be a link
    for place, folders, files in os.walk(folder, followlinks=True, onerror=stop):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()  # os.walk goes no further
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        names = sorted(n for n in files if n.lower().endswith(IMAGES) and not is_hidden(n))
        found[place] = [os.path.join(place, name) for name in names]
    if not any(found.values()):
        raise ValueError(f"there is no image ({', '.join(IMAGES)}) in {folder}")
    return [path for place in sorted(found) for path in found[place]]


def is_hidden(name: str) -> bool:
    """What file managers, notebooks and zip programs leave behind: .DS_Store, ._x.png, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


# ---- pictures, as their authors saw them ----

WHITE, BLACK = 255, 0
FAINT = 8  # levels of 255 by which nobody tells a picture from its ground


def read_images(paths: list[str], image_size: int, lost: str = "") -> Tensor:
    """Image files -> uint8 [N, 3, H, W], or [N, 1, H, W] when every pixel of all is grey.

    What is transparent is put on white; on black, all of them, if a picture, `lost`, would vanish
    on white. ValueError names a file that cannot be read; UserError one whose size differs from the
    first's, whose range is unknown, or that vanishes on black.
    """
    out = np.empty((0, 3, 0, 0), np.uint8)
    for i, path in enumerate(paths):
        try:
            image = open_upright(path)
        except DAMAGE as error:
            raise ValueError(f"{path} is not a readable image ({one_line(error)})") from error
        if image.mode == "RGBA":
            image, vanished = put_on(image, BLACK if lost else WHITE)
            if vanished and not lost:
                return read_images(paths, image_size, lost=path)
            if vanished:
                raise UserError(f"{path} would vanish on black, and {lost} on white: save the "
                                "images of this folder without transparency")  # fmt: skip
        if image_size and image.size != (image_size, image_size):
            image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
        if i == 0:
            out = np.empty((len(paths), 3, image.height, image.width), np.uint8)
        if (image.height, image.width) != out.shape[2:]:
            raise UserError(f"images differ in size: {path} is {image.width}x{image.height}, not "
                            f"{out.shape[3]}x{out.shape[2]}; pass --image-size")  # fmt: skip
        out[i] = np.asarray(image).transpose(2, 0, 1)
    grey = all(np.array_equal(out[:, 0], out[:, other]) for other in (1, 2))
    if lost:
        print(f"{lost} would vanish on white: the transparent are put on black", file=sys.stderr)
    return torch.from_numpy(out[:, :1].copy() if grey else out)


def open_upright(path: str) -> Image.Image:
    """An image file as its author saw it: RGB, or RGBA where it can be transparent.

    UserError where nothing tells which value is white; Pillow's errors (DAMAGE) for a damaged file.
    """
    # Not by its name: Pillow 11 to 13 would map the file, and mix up the rows of a turned TIFF.
    with open(path, "rb") as stream, Image.open(stream) as file:
        ends = black_and_white(file, path) if file.mode[0] in "IF" else None  # more than 8 bits
        key = transparent_key(file)
        file.load()
        image: Image.Image = file
        if file.format != "TIFF":  # which load() has turned, and older Pillow would turn again
            with contextlib.suppress(*DAMAGE):  # damaged EXIF data, in a picture that is sound
                image = ImageOps.exif_transpose(file)
        if ends:
            return shallow(image, *ends, key)
        if key is not None:
            image.info["transparency"] = key
        clear = "transparency" in image.info or image.mode[-1] in "Aa"
        return image.convert("RGBA" if clear else "RGB")


def put_on(image: Image.Image, ground: int) -> tuple[Image.Image, bool]:
    """RGBA -> RGB on a grey level, and whether nothing of a picture that has something is seen."""
    below = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    flat = Image.alpha_composite(below, image).convert("RGB")
    seen = abs(np.asarray(flat, int) - ground).max()
    there = np.ptp(np.asarray(image, int), axis=(0, 1)).max()
    return flat, bool(seen <= FAINT < there)


def black_and_white(file: Any, path: str) -> tuple[int, int]:
    """The values of black and white in an open file of 16-bit grey; UserError if none are known."""
    tags = file.tag_v2 if file.format == "TIFF" else {}
    # Older Pillow has the 16 bits of a PNG in 32, and all versions have a PGM's.
    if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM")):
        bits = tags.get(258, (16,))[0]  # BitsPerSample; 12 fill 16 with zeros above
        full = 2**bits - 1
        return (full, 0) if tags.get(262) == 0 else (0, full)  # PhotometricInterpretation
    raise UserError(f"{path}: nothing tells which value is white in an image of mode {file.mode} "
                    f"({file.format}): save it as 8-bit or 16-bit grey, or as RGB")  # fmt: skip


def transparent_key(file: Any) -> int | tuple[int, ...] | None:
    """The grey or colour that an open PNG declares transparent, in units of its pixels, or None.

    Pillow gives it in the file's bits: 2 or 4 of grey, which it widens to 8, or 16 of each colour,
    of which it keeps the upper 8.
    """
    key = file.info.get("transparency")
    if file.format != "PNG" or file.mode == "P" or key is None:
        return None
    raw = file.tile[0][3]
    if raw == "RGB;16B":
        return tuple(level >> 8 for level in key)
    return key * {"L;2": 85, "L;4": 17}.get(raw, 1)


def shallow(image: Image.Image, black: int, white: int, key: Any) -> Image.Image:
    """16-bit grey -> RGB of 8 bits, or RGBA where a value, `key`, stands for nothing at all."""
    values = np.asarray(image.convert("I"))  # int32 [H, W]
    levels = np.rint((values - black) * (255 / (white - black))).clip(0, 255)
    grey = Image.fromarray(levels.astype(np.uint8))
    if key is None:
        return grey.convert("RGB")
    grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey.convert("RGBA")


# ---- glyphs: digits drawn from fonts ----

FONTS = """
    DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSans-BoldOblique DejaVuSansMono
    DejaVuSansMono-Bold DejaVuSansMono-Oblique DejaVuSansMono-BoldOblique DejaVuSerif
    DejaVuSerif-Bold DejaVuSerif-Italic DejaVuSerif-BoldItalic STIXGeneral STIXGeneralBol
    STIXGeneralItalic STIXGeneralBolIta cmr10 cmss10 cmtt10 cmb10""".split()
BLOCK = 1000  # images drawn at a time from one generator


def make_glyphs(n: int, seed: int, rgb: bool = False) -> tuple[Tensor, Tensor]:
    """Digits drawn from matplotlib's fonts, bent and blurred, as a stand-in for real data.

    Images are uint8 [n, 1, 28, 28], white on black like MNIST, or with `rgb` uint8 [n, 3, 32, 32],
    coloured with parts of neighbours like SVHN; labels int64 [n]. Image i depends on `seed` and i
    alone. Every block of 1000 holds 100 of each digit, shuffled.
    """
    images, labels = [], []
    for block in range(math.ceil(n / BLOCK)):
        g = torch.Generator().manual_seed(100_000 * seed + block)
        digits = torch.arange(BLOCK)[torch.randperm(BLOCK, generator=g)] % 10
        if rgb:
            image = paint_digits(digits, g)
        else:
            light = uniform(g, 0.7, 1.0, BLOCK, 1, 1, 1)
            image = light * draw_ink(digits, g, 28, torch.zeros(BLOCK))
        images.append((image * 255).round().to(torch.uint8))
        labels.append(digits)
    return torch.cat(images)[:n], torch.cat(labels)[:n]


def paint_digits(digits: Tensor, g: torch.Generator) -> Tensor:
    """Digits [n] -> images [n, 3, 32, 32] in 0..1: one in the middle, others cut by both sides."""
    n = len(digits)
    ink = draw_ink(digits, g, 32, torch.zeros(n))
    for side in (-1, 1):
        others = torch.randint(10, (n,), generator=g)
        ink = ink.maximum(draw_ink(others, g, 32, side * uniform(g, 16, 24, n)))
    ground = uniform(g, 0.2, 0.8, n, 1, 1, 1) + uniform(g, -0.15, 0.15, n, 3, 1, 1)
    # The pen is lighter or darker than the ground, whichever leaves more room for contrast.
    sign = torch.where(ground.mean(1, keepdim=True) < 0.5, 1.0, -1.0)
    pen = ground + sign * uniform(g, 0.35, 0.65, n, 1, 1, 1) + uniform(g, -0.15, 0.15, n, 3, 1, 1)
    ground = ground + 0.08 * smooth_noise(g, n, 3, 3, 32)
    image = ground + ink * (pen - ground)
    return (image + 0.03 * torch.randn(n, 3, 32, 32, generator=g)).clamp(0, 1)


def draw_ink(digits: Tensor, g: torch.Generator, size: int, shift: Tensor) -> Tensor:
    """Digits [n], each moved right by shift [n] px -> how much ink, 0..1, [n, 1, size, size]."""
    n = len(digits)
    outlines = glyph_atlas()[torch.randint(len(FONTS), (n,), generator=g), digits]
    angle, shear = uniform(g, -0.2, 0.2, n), uniform(g, -0.2, 0.2, n)
    width, height = uniform(g, 0.8, 1.2, n), uniform(g, 0.85, 1.05, n)
    cos, sin = angle.cos(), angle.sin()
    # From a point of the image back to the outline's plane: turn, slant, then scale. [n, 2, 2]
    turn = torch.stack([cos, sin, -sin, cos], 1).view(n, 2, 2)
    slant = torch.stack([1 / width, shear, 0 * shear, 1 / height], 1).view(n, 2, 2)
    axis = torch.arange(size) - (size - 1) / 2  # px from the middle
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 2)
    middle = torch.stack([shift, 0 * shift], 1) + uniform(g, -1, 1, n, 2)
    points = (points - middle.unsqueeze(1)) @ (slant @ turn).transpose(1, 2)  # [n, size*size, 2]
    wobble = smooth_noise(g, n, 3, 4, size)  # bends x, bends y, presses the pen
    points = points.view(n, size, size, 2) + 0.8 * wobble[:, :2].permute(0, 2, 3, 1)
    distance = F.grid_sample(
        outlines.unsqueeze(1), points / 14, padding_mode="border", align_corners=False
    )
    pen = uniform(g, -0.2, 0.9, n, 1, 1, 1) + 0.3 * wobble[:, 2:]  # px added to each edge
    blur = uniform(g, 0.8, 2.0, n, 1, 1, 1)  # px over which an edge fades
    return ((pen - distance) / blur + 0.5).clamp(0, 1)


def smooth_noise(g: torch.Generator, n: int, channels: int, knots: int, size: int) -> Tensor:
    """Standard normal noise, smooth over size / knots px: [n, channels, size, size]."""
    steps = torch.linspace(0, knots - 1, size).unsqueeze(1) - torch.arange(knots)
    weights = F.normalize((-1.4 * steps.square()).exp())  # [size, knots]; keeps the variance at 1
    return weights @ torch.randn(n, channels, knots, knots, generator=g) @ weights.T


def uniform(g: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """float32 [*shape], uniform between low and high."""
    return low + (high - low) * torch.rand(*shape, generator=g)


@functools.cache
def glyph_atlas() -> Tensor:
    """Distances from the outlines of all digits, px, negative inside: [fonts, 10, 56, 56].

    A digit stands 20 px high in the middle of 28x28 px, two samples a px. With distances instead
    of pixels, a wider pen or a softer edge is one addition or division.
    """
    axis = (torch.arange(56) + 0.5) / 2 - 14
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    planes = []
    for font in FONTS:
        face = FontProperties(fname=folder / f"{font}.ttf")
        for digit in "0123456789":
            polygons = TextPath((0, 0), digit, size=100, prop=face).to_polygons()
            corners = np.concatenate(polygons)
            low, high = corners.min(0), corners.max(0)
            to_px = np.array([20, -20]) / (high[1] - low[1])  # rows count downwards
            rings = [torch.tensor((ring - (low + high) / 2) * to_px).float() for ring in polygons]
            planes.append(outline_distance(points, rings).view(56, 56))
    return torch.stack(planes).view(len(FONTS), 10, 56, 56)


def outline_distance(points: Tensor, rings: list[Tensor]) -> Tensor:
    """Distance of points [k, 2] from closed polygons [m, 2] each, negative inside: [k]."""
    start = torch.cat([ring[:-1] for ring in rings])  # a ring ends on the corner it begins with
    edge = torch.cat([ring[1:] - ring[:-1] for ring in rings])
    start, edge = start[edge.norm(dim=1) > 0], edge[edge.norm(dim=1) > 0]
    away = points.unsqueeze(1) - start  # [k, m, 2]
    along = ((away * edge).sum(-1) / (edge * edge).sum(-1)).clamp(0, 1)  # nearest point on an edge
    distance = (away - along.unsqueeze(-1) * edge).norm(dim=-1).amin(1)
    # Inside: a ray to the right crosses an odd number of edges.
    spans = (away[..., 1] < 0) != (away[..., 1] < edge[:, 1])
    crosses = spans & (away[..., 0] < away[..., 1] / edge[:, 1] * edge[:, 0])
    return torch.where(crosses.sum(1) % 2 == 1, -distance, distance)


# ----------------------------------------------------------------------------------------------
# THE RUN: nothing below is about learning. It carries a script from its command line to a result
# that is written whole, or not at all.
# ----------------------------------------------------------------------------------------------


# ---- from the command line to the result ----


def carry_out(
    run: Callable[[argparse.Namespace], dict[str, Any]], args: argparse.Namespace,
    argv: Sequence[str], script: str, program: str = "", metric: str = "ACC",
) -> dict[str, Any]:
    """Train, write the result to --out, remove the checkpoint, print `metric`; -> the result.

    What `run` returns as "kept" is no part of the result: --save FILE keeps it (`save_model`).
    `program` is what Python is told to run, `script`.py unless it says something else.
    """
    check_writable(args.out)
    save = getattr(args, "save", "")
    if save:
        check_writable(save)
        if os.path.realpath(save) in map(os.path.realpath, (args.out, f"{args.out}.ckpt")):
            raise UserError(f"--save {save}: the result is written there; name another file")
    command = shlex.join(["python", *(program or f"{script}.py").split(), *argv])
    result = {"schema": SCHEMA, "script": script, "seed": args.seed, "command": command,
              "args": vars(args).copy()}  # fmt: skip
    try:
        result |= run(args)
        value, digits = result["metrics"].get(metric), 2 if "%" in metric else 4
        said = f"no {metric}" if value is None else f"{metric} {value:.{digits}f}"
        said += f", {result['timing']['wall_s']:.0f} s"
    except Unfit as error:
        if not args.skip_unfit:
            raise
        result["skipped"] = one_line(error)
        said = f"skipped, as these data do not fit: {one_line(error)}"
    kept = result.pop("kept", {})
    if save and kept:
        save_model(save, result, kept)
        print(f"the trained nets: {save}")
    write_result(args.out, result)
    if "skipped" not in result:  # then a checkpoint there is of another run
        Path(f"{args.out}.ckpt").unlink(missing_ok=True)
    print(f"{said}: {args.out}")
    return result


def start(args: argparse.Namespace) -> tuple[torch.device, dict[str, Any]]:
    """The device and what `environment` says of it; threads and seeds are set."""
    if args.threads:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    seed_everything(args.seed)
    return device, environment(device)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; UserError for a device that is not there."""
    there, mps = torch.cuda.device_count(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if there else "mps" if mps else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise UserError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= there:
        raise UserError(f"--device {name}: this machine has {there} CUDA devices; try --device cpu")
    if name == "mps" and not mps:
        raise UserError("--device mps: not available on this machine; try --device cpu")
    return torch.device(name)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask cuDNN for repeatable kernels."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def tell_classes(tasks: Sequence[Sequence[str]]) -> None:
    """Print the names of the classes, task by task, so that a wrong one is seen at once."""
    what = "classes by task" if len(tasks) > 1 else "classes"
    print(f"{what}: {' | '.join(', '.join(task) for task in tasks)}", flush=True)


def tell_fewer_steps(n: float, of_ours: float, what: str = "class") -> None:
    """A line where epochs of n images per `what` are fewer steps than in our rows on MNIST."""
    if n < 0.9 * of_ours:
        print(f"warning: the paper's preset counts epochs: {n:.0f} images per {what} make "
              f"{n / of_ours:.0%} of the steps that our results on MNIST took; --preset improved "
              "counts steps", file=sys.stderr)  # fmt: skip


# ---- errors in one line ----

NO_MEMORY = ("out of memory", "allocate memory", "invalid buffer size")  # torch's words


def exit_in_one_line(main: Callable[[], None]) -> None:
    """Run `main`; turn what can go wrong into one line on stderr and an exit code, no stack trace.

    2: the user can mend it before anything ran (UserError). 1: it failed while running (RunError,
    a full disk, no memory). 130: interrupted. A programming error still shows its trace.
    """
    mend_streams()
    try:
        main()
    except UserError as error:
        stop(error, 2)
    except RunError as error:
        stop(error, 1)
    except (MemoryError, RuntimeError) as error:
        said = str(error).lower()
        if isinstance(error, MemoryError) or any(sign in said for sign in NO_MEMORY):
            stop("out of memory: use fewer or smaller images, nets or batches", 1)
        raise
    except BrokenPipeError:  # `... | head` closed our output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        stop(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        kept = [path for path in CHECKPOINTS if path.exists()]
        how = f"continues from {kept[-1]}" if kept else "starts anew, as there is no checkpoint yet"
        stop(f"interrupted; the same command {how}", 130)


def stop(what: object, code: int) -> NoReturn:
    """End with an exit code and one line on stderr."""
    print(f"error: {one_line(what)}", file=sys.stderr)
    sys.exit(code)


def mend_streams() -> None:
    """Let output survive: closed streams (`2>&-`) lead nowhere, and a stream that is not UTF-8 gets
    plain characters where it has none of ours."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: the closed one
            setattr(sys, name, os.fdopen(nowhere, "w" if number else "r", encoding="utf-8"))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


PLAIN = {"−": "-", "–": "-", "·": "*", "×": "x", "≥": ">=", "≤": "<=", "±": "+-", "→": "->",
         "∇": "grad ", "∈": "in", "Σ": "sum", "’": "'", "…": "..."}  # fmt: skip


def plainly(error: Any) -> tuple[str, int]:
    """For characters that an encoding lacks: λ is written lamda, − is -, what is unknown is ?."""
    lost = error.object[error.start : error.end]
    greek = {c: unicodedata.name(c, "").split()[-1].lower() for c in lost if "Α" <= c <= "ω"}
    return "".join(PLAIN.get(c) or greek.get(c, "?") for c in lost), error.end


codecs.register_error("plain", plainly)


# ---- flags ----


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser that is described by the first line of `doc` and shows the defaults in its help."""
    parser = errors_in_one_line(argparse.ArgumentParser(
        description=(doc or "").split("\n")[0], allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter))  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def errors_in_one_line(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Make argparse report a bad flag as a UserError instead of printing the whole usage."""

    def error(message: str) -> None:
        wrong = re.fullmatch(r"argument (\S+): invalid \w+ value: '(.*,.*)'", message)
        if wrong and parser._option_string_actions[wrong[1]].nargs:
            flag, several = wrong[1], " ".join(wrong[2].replace(",", " ").split())
            message = f"{flag} takes numbers with spaces between them: {flag} {several}"
        raise UserError(f"{message} (see --help)")

    parser.error = error  # type: ignore[method-assign,assignment]
    return parser


def add_data_flags(parser: argparse.ArgumentParser, image_size: int = 0) -> Callable:
    """The flags that say which images; returns the group's `add_argument`, for more of them."""
    add = parser.add_argument_group("data").add_argument
    add("--dataset", default="mnist", help="mnist, fashion-mnist, kmnist, svhn, cifar10, glyphs, "
        "glyphs-rgb or a folder, also below --data-dir, with train/CLASS/* and test/CLASS/*")
    add("--data-dir", default="data", help="where data sets are, or are downloaded to")
    add("--image-size", type=int, default=image_size, help="resize to this; 0: as they are")
    add("--train-size", type=int, default=0, help="use so many training images; 0: all")
    add("--test-size", type=int, default=0, help="use so many test images; 0: all")
    add("--validation", type=int, default=0, help="measure on so many held-out training images")
    return add


def add_run_flags(parser: argparse.ArgumentParser, script: str) -> Callable:
    """The flags of every run; returns the group's `add_argument`, for more of them."""
    add = parser.add_argument_group("run").add_argument
    add("--row", metavar="NAME", default=argparse.SUPPRESS,
        help="the flags of a row of the table, then yours; demo/NAME: in miniature")
    add("--rows", action="store_true", default=argparse.SUPPRESS, help="list the rows, and end")
    add("--seed", type=int, default=0, help="seed of everything random")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add("--threads", type=int, default=0, help="CPU threads; 0: torch's choice")
    add("--checkpoint-every", type=float, default=30.0, help="seconds between checkpoints")
    add("--skip-unfit", action="store_true", help="data that do not fit the flags are no error")
    add("--out", default=f"results/{script}/run-seed{{seed}}.json",
        help="the result, one JSON file; {seed} stands for --seed")
    return add


def preset_of(argv: Sequence[str]) -> str:
    """What --preset asks for, read before the other flags, whose defaults it moves."""
    chooser = errors_in_one_line(argparse.ArgumentParser(add_help=False, allow_abbrev=False))
    chooser.add_argument("--preset", default="paper")
    return chooser.parse_known_args(argv)[0].preset


def given(argv: Sequence[str], flag: str) -> bool:
    """Whether a flag stands on the command line, and not only in a preset."""
    return any(word == flag or word.startswith(f"{flag}=") for word in argv)


def with_row(argv: list[str], rows: dict, demo: dict[str, str], always: str = "") -> list[str]:
    """`--row NAME` replaced by the flags of that row and those of `always`, before all others.

    `--row demo/NAME` is the same row in miniature. `--rows` lists all of them and ends.
    """
    chooser = errors_in_one_line(argparse.ArgumentParser(add_help=False, allow_abbrev=False))
    chooser.add_argument("--row", default="")
    chooser.add_argument("--rows", action="store_true")
    asked, rest = chooser.parse_known_args(argv)
    if asked.rows:
        for name, (item, flags, label) in rows.items():
            print(f"{name:<24} {item:<24} {flags}   # {label}")
        sys.exit(0)
    if not asked.row:
        return rest
    flags_of = {name: flags for name, (_, flags, _) in rows.items()}
    flags_of |= {f"demo/{name}": f"{flags} {demo['']}" for name, flags in demo.items() if name}
    if asked.row not in flags_of:
        hint = did_you_mean(asked.row, rows)
        raise UserError(f"--row {asked.row}: there is none; {hint}see --rows")
    return [*shlex.split(f"{flags_of[asked.row]} {always}"), *rest]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for what was mistyped, or "" where nothing is like it."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {close[0]}? " if close else ""


def check_ranges(args: argparse.Namespace, least: Mapping[str, float]) -> None:
    """Expand the paths; UserError if a number of a flag is below `least`, or absurdly large."""
    expand_home(args)
    largest = {"threads": 4 * (os.cpu_count() or 1), "generate": MOST_IMAGES}
    for name, bound in least.items():
        most = largest.get(name, 2**31 - 1)
        value = getattr(args, name)
        if not all(bound <= v <= most for v in (value if isinstance(value, list) else [value])):
            raise UserError(f"--{name.replace('_', '-')} takes numbers from {bound} to {most}")


def expand_home(args: argparse.Namespace) -> None:
    """`{seed}` in each flag that is a path, and `~`, as the shell leaves it in --out=~/run.json."""
    for name in ("out", "save", "load", "data_dir", "generator", "runs", "figures", "docs"):
        if getattr(args, name, ""):
            path = getattr(args, name).replace("{seed}", str(getattr(args, "seed", 0)))
            setattr(args, name, os.path.expanduser(path))


# ---- results: written whole or not at all ----


def write_result(path: str | Path, result: dict[str, Any]) -> None:
    """Write one run's JSON: one line per top-level key, so that `diff` and `grep` are of use."""
    result = result | {"checksum": checksum(result)}
    rows = [f"{json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in result.items()]
    write_text(path, "{\n" + ",\n".join(rows) + "\n}\n")


def checksum(result: dict[str, Any]) -> int:
    """CRC-32 of all of a result but its own "checksum", whatever the order of its keys."""
    rest = {key: value for key, value in result.items() if key != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def pack_images(x: Tensor) -> dict[str, Any]:
    """Images uint8 [N, C, H, W] as JSON: the shape, and the bytes compressed, in base 64."""
    data = zlib.compress(x.cpu().contiguous().numpy().tobytes(), 9)
    return {"shape": list(x.shape), "zlib": base64.b64encode(data).decode()}


def read_json(path: str | Path, needs: Sequence[str] = ()) -> Any:
    """What a JSON file holds; UserError if it cannot be read or lacks one of the keys `needs`."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON: delete it and run it again") from error
    if needs and (not isinstance(found, dict) or not set(needs) <= found.keys()):
        raise UserError(f"{path} lacks one of {', '.join(needs)}: delete it and run it again")
    return found


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole, its folder made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file through a temporary one beside it, fsync, rename: never half a file.

    A link is followed. RunError on a full disk, UserError on what is no regular file.
    """
    path, part = path_and_part(path)
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        why = getattr(error, "strerror", None) or "the disk may be full"
        raise RunError(f"cannot write {path}: {why}; free some space and start again") from error
    finally:
        part.unlink(missing_ok=True)


def path_and_part(path: str | Path) -> tuple[Path, Path]:
    """Where `path` leads, through links, and the temporary file beside it; UserError if no file."""
    real = Path(os.path.realpath(path))
    if real.exists() and not real.is_file():
        what = "is a folder, not a file" if real.is_dir() else "not a regular file; name another"
        raise UserError(f"{path}: cannot write there: {what}")
    return real, real.with_name(f".{real.name}.{os.getpid()}.part")


def check_writable(path: str | Path) -> Path:
    """Make the folder of `path` and try its temporary files, before hours of training, not after.

    The one of its checkpoint, `path`.ckpt, has the longest name. UserError when that fails.
    """
    try:
        for _, part in (path_and_part(name) for name in (path, f"{path}.ckpt")):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
            part.unlink()
    except OSError as error:
        raise UserError(f"{path}: cannot write there: {error.strerror}") from error
    return Path(path)


# ---- what makes a number ----


def environment(device: torch.device) -> dict[str, Any]:
    """What makes a number: commit, versions, machine, threads, date. Ask when a run starts."""
    cuda = device.type == "cuda"
    return {
        **_git_state(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": importlib.metadata.version("torchvision"),
        "numpy": np.__version__,
        "device": torch.cuda.get_device_name(device) if cuda else f"{_cpu_name()} ({device.type})",
        "cpu": f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def machine(device: torch.device) -> dict[str, str]:
    """What the last digits of a number depend on: torch's version, and the kind of device."""
    cpu = f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return {"torch": str(torch.__version__), "device": name}


def machines(stored: dict[str, Any], device: torch.device) -> list[dict[str, str]]:
    """Each `machine` that has worked on a run, this one last; says so if it is another."""
    before, now = stored.get("machines", []), machine(device)
    if before and before[-1] != now:
        print("note: the checkpoint was made with torch {torch} on {device}; ".format(**before[-1])
              + "this is torch {torch} on {device}: ".format(**now)
              + "the run goes on, but not to the same bytes", file=sys.stderr)  # fmt: skip
    return before if before and before[-1] == now else [*before, now]


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


CODE = (":(top,glob)*.py", ":(top,glob)beyond/*.py")  # what git calls all that trains


def _git_state() -> dict[str, Any]:
    """The last commit that touched the code, and whether files differ from it.

    Unknown outside a checkout of this project: a copy in another repository is not of its commits.
    """
    file = Path(__file__).resolve()

    def git(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().strip()

    try:
        if git("ls-files", "--full-name", file.name) == file.name:  # tracked, and at the top
            commit = git("log", "-1", "--format=%H", "--", *CODE)
            return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--", *CODE))}
    except (OSError, subprocess.SubprocessError, UnicodeError):
        pass  # no git, or not a checkout
    return {"commit": "unknown", "dirty": True}


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory used until now, MB of 10^6 bytes: of the process, of the accelerator."""
    unit = 1e6 if sys.platform == "darwin" else 1e3  # ru_maxrss is in bytes there, else in kB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit if resource else 0.0
    on_device = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0
    return {"peak_memory_mb": round(peak, 1), "peak_device_memory_mb": round(on_device, 1)}


# ---- checkpoints ----

CHECKPOINTS: list[Path] = []  # of this process: those it has begun with or written
# Flags that do not change the result: a checkpoint may be continued with other values of these.
NO_EFFECT = ("out", "data_dir", "checkpoint_every", "skip_unfit", "save")


def identity(args: argparse.Namespace, about: dict, free: Sequence[str] = ()) -> dict[str, Any]:
    """What a checkpoint must agree in: data, and all flags but those without effect and `free`."""
    kept = {k: v for k, v in vars(args).items() if k not in (*NO_EFFECT, *free)}
    return kept | {"data": about}


def save_checkpoint(
    path: str | Path, args: dict[str, Any], state: dict[str, Any], device: torch.device,
    worked: Sequence[dict[str, str]] = (),
) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts), its `args`, and `machines`."""
    whole = {"format": CHECKPOINT_FORMAT, "args": args, "state": state,
             "machines": list(worked) or [machine(device)]}  # fmt: skip
    write_atomically(path, lambda file: torch.save(whole, file))
    if Path(path) not in CHECKPOINTS:
        CHECKPOINTS.append(Path(path))


def load_checkpoint(path: str | Path, args: dict[str, Any], way_out: str = "") -> dict[str, Any]:
    """`state` and `machines` of a checkpoint made by the same `args`; {} if there is no file.

    UserError, ending in `way_out`, if it is damaged, of another format or made by other arguments.
    """
    path = Path(path)
    if not path.exists():
        return {}
    way_out = way_out or f"delete {path} to start anew, or choose another --out"
    try:
        whole = read_saved(path)
        version, old, state = whole["format"], dict(whole["args"]), whole["state"]
        worked = list(whole.get("machines", []))
    except DAMAGE as error:
        raise UserError(f"checkpoint {path} is damaged: {way_out}") from error
    if version != CHECKPOINT_FORMAT:
        raise UserError(f"checkpoint {path} has format {version}, this code reads "
                        f"{CHECKPOINT_FORMAT}: {way_out}")  # fmt: skip
    data, here = old.pop("data", None), args.get("data")
    for key in sorted(old.keys() | args.keys() - {"data"}):
        if old.get(key) != args.get(key):
            raise UserError(f"checkpoint {path} was made with {key}={old.get(key)}, this run has "
                            f"{key}={args.get(key)}: {way_out}")  # fmt: skip
    if data and here and (differs := data_difference(data, here)):
        raise UserError(f"checkpoint {path} was made with other data ({differs}): {way_out}")
    CHECKPOINTS.append(path)
    return {"state": state, "machines": worked}


def read_saved(path: str | Path) -> Any:
    """What torch.save wrote, if it is plain tensors and values; one of DAMAGE where it is not."""
    with zipfile.ZipFile(path) as parts:  # what torch.save writes; torch.load sums nothing up
        if parts.testzip() is not None:
            raise ValueError("a checksum is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)


def rng_state(device: torch.device) -> dict[str, Any]:
    """The state of every random generator in use, in types that `weights_only` loading allows."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    numpy = [kind, np.asarray(keys).tolist(), *rest]
    state = {"python": random.getstate(), "numpy": numpy, "torch": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any], device: torch.device) -> None:
    """Undo `rng_state`; UserError if it was taken on another kind of device."""
    of = next((kind for kind in ("cuda", "mps") if kind in state), "cpu")
    if of != device.type:
        raise UserError(f"the checkpoint was made on {of}, not on {device.type}, which computes "
                        f"other numbers: go on with --device {of}, or delete it")  # fmt: skip
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


# ---- Run: killed at any moment and started again, it ends in the same bytes ----


class Run:
    """Loops over tasks and epochs that go on where a killed run was.

        for t in run.tasks(T, net=net, record=record):
            opt = torch.optim.Adam(net.parameters())
            for e in run.epochs("net", n, net=net, opt=opt, record=record):
                train(net, opt)

    How: what `tasks` names is kept as each task begins, with the states of the random generators;
    a run that is started again loads both and runs that task again. Only the long inner loops are
    not run twice: what `epochs` names is kept after an epoch, once `every` seconds have passed, and
    at the end of the loop, so that the code between two loops runs again from the right state.

    So each loop must name all that its body changes: modules, optimizers, dicts, lists, tensors of
    constant shape, or dataclasses of these (and of numbers). A `break` or an error leaves the last
    good checkpoint. Seconds are kept too: `seconds[t][loop]`, `seconds[t]["before " + loop]`.
    """

    def __init__(self, out: str, identity: dict[str, Any], device: torch.device, every: float):
        """`out`: the result's path; `identity`: what a checkpoint must agree in (UserError)."""
        self.name, self.path = Path(out).stem, f"{out}.ckpt"
        self.identity, self.device, self.every = identity, device, every
        stored = load_checkpoint(self.path, identity)
        self.machines = machines(stored, device)
        self.resumed: dict[str, Any] | None = stored.get("state")
        fresh = {"task": 0, "start": {}, "loops": {}, "seconds": [{}], "wall_s": 0.0}
        kept: dict[str, Any] = self.resumed or fresh
        self.task, self.start, self.loops = kept["task"], kept["start"], kept["loops"]
        self.seconds: list[dict[str, float]] = kept["seconds"]  # of each task, by loop
        self.saved = self.mark = time.perf_counter()
        self.begun = self.saved - kept["wall_s"]
        self.n_tasks, self.where, self.entered = 0, "", set[str]()
        if self.resumed:
            where = f" in task {self.task + 1}" if self.start else ""
            print(f"continuing from {self.path}{where}", file=sys.stderr)

    def tasks(self, n: int, **state: Any) -> Iterator[int]:
        """0 ... n - 1, or from the task that a killed run was in."""
        self.n_tasks = n
        if self.resumed:
            self._put(state, self.start)
        for t in range(self.task, n):
            self.task = t
            if not self.resumed:
                self.start, self.loops = self._take(state), {}
                self.seconds = [*self.seconds[:t], {}]
                self._save_if_due()
            self.resumed, self.entered = None, set()
            self.mark = time.perf_counter()
            yield t

    def epochs(self, name: str, n: int, unit: str = "epoch", **state: Any) -> Iterator[int]:
        """0 ... n - 1, or from where a killed run was; `name` is unique in its task.

        Works without `tasks` too: then the code before is run again from the seed.
        """
        if name in self.entered:
            raise ValueError(f"two loops of one task are called {name}")
        self.entered.add(name)
        done = 0
        if name in self.loops:
            done = self.loops[name]["done"]
            self._put(state, self.loops[name])
        seconds = self.seconds[self.task]
        seconds.setdefault(name, 0.0)
        seconds[f"before {name}"] = time.perf_counter() - self.mark
        bar = tqdm(range(done, n), f"{self.label()} {name}", initial=done, total=n, disable=None,
                   leave=False)  # fmt: skip
        for epoch in bar:
            self.where, clock = f"{name} {unit} {epoch + 1}", time.perf_counter()
            yield epoch
            seconds[name] += time.perf_counter() - clock
            if self._due() and epoch + 1 < n:
                self.loops[name] = self._take(state) | {"done": epoch + 1}
                self._save_if_due()
        if done < n or name not in self.loops:
            self.loops[name] = self._take(state) | {"done": n}
            self._save_if_due()
        self.mark = time.perf_counter()

    @contextlib.contextmanager
    def aside(self, name: str, loop: str = "") -> Iterator[None]:
        """Count the seconds within under `name`, not under the loop, if any, that they are in."""
        clock, seconds = time.perf_counter(), self.seconds[self.task]
        yield
        spent = time.perf_counter() - clock
        seconds[name] = seconds.get(name, 0.0) + spent
        if loop:
            seconds[loop] -= spent

    def label(self) -> str:
        """The run and its task, for a reader who watches several runs at once."""
        return f"{self.name}, task {self.task + 1}/{self.n_tasks}" if self.n_tasks else self.name

    def check_finite(self, what: str, *values: float) -> None:
        """RunError when a loss is NaN or infinite; `what` says which flags to lower."""
        if not all(math.isfinite(v) for v in values):
            losses = ", ".join(map(str, values))
            raise RunError(f"{self.label()}, {self.where}: the loss is {losses}; {what}, and "
                           f"delete the last good checkpoint, {self.path}, if there is one")

    def wall_s(self) -> float:
        """Seconds of training until now, over all starts."""
        return time.perf_counter() - self.begun

    def _due(self) -> bool:
        return time.perf_counter() - self.saved >= self.every

    def _save_if_due(self) -> None:
        if self._due():
            state = {"task": self.task, "start": self.start, "loops": self.loops,
                     "seconds": self.seconds, "wall_s": self.wall_s()}  # fmt: skip
            save_checkpoint(self.path, self.identity, state, self.device, self.machines)
            self.saved = time.perf_counter()

    def _take(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"state": plain(state, copy.deepcopy), "rng": rng_state(self.device)}

    def _put(self, state: dict[str, Any], kept: dict[str, Any]) -> None:
        for name, old in kept["state"].items():
            restore(state[name], old, self.device)
        set_rng_state(kept["rng"], self.device)


def plain(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """`value` in dicts and lists, with leaf(v) for each tensor, number, string, ... v in it.

    Of a module or an optimizer this is the state_dict, of a dataclass its fields by name.
    """
    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(v, leaf) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v, leaf) for v in value]
    return leaf(value)


def restore(value: Any, kept: Any, device: torch.device) -> Any:
    """Undo `plain`, in `value` itself where it can change, else returned; tensors on `device`."""
    if hasattr(value, "load_state_dict"):
        value.load_state_dict(copy.deepcopy(kept))  # an optimizer takes the very tensors
    elif dataclasses.is_dataclass(value):
        for name, old in kept.items():
            setattr(value, name, restore(getattr(value, name), old, device))
    elif isinstance(value, dict):
        new = {key: restore(value.get(key), old, device) for key, old in kept.items()}
        value.clear()
        value.update(new)
    elif isinstance(value, list):
        value[:] = [restore(None, old, device) for old in kept]
    elif isinstance(kept, Tensor):
        if not isinstance(value, Tensor) or value.shape != kept.shape:
            return kept.to(device, copy=True)  # what is kept must not change with the value
        value.data.copy_(kept)
    elif isinstance(kept, (dict, list)):
        return restore(type(kept)(), kept, device)
    else:
        return kept
    return value


# ---- trained models: --save keeps the nets, --load measures them or looks at their images ----

OF_DATA = ("dataset", "data_dir", "image_size", "train_size", "test_size", "validation")
MOST_IMAGES = 1000  # of each class, --generate


class Model(NamedTuple):
    """What a file of --save holds."""

    args: argparse.Namespace  # the flags of its run, and over them those of --load
    data: dict[str, Any]  # `about_data` of what it was trained on: classes, shape ...
    classes: list[list[str]]  # by task
    accuracy: list[float]  # on each task, as its run measured it at the end
    command: str  # that made it
    kept: dict[str, Any]  # the script's own: weights by name, and what its nets need

    def no_images(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """x uint8 [0, C, H, W], y int64 [0]: nets are built for this shape, on this device."""
        x = torch.empty(0, *self.data["shape"], dtype=torch.uint8, device=device)
        return x, torch.empty(0, dtype=torch.int64, device=device)


def add_model_flags(parser: argparse.ArgumentParser) -> Callable:
    """The flags of a trained model, in `args` only if given; returns the group's `add_argument`."""
    group = parser.add_argument_group("a trained model (with --load nothing is trained)")
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--save", metavar="FILE", help="when the run ends, keep its nets in this file")
    add("--load", metavar="FILE", help="use what --save kept; the flags of its run are in it")
    add("--evaluate", action="store_true", help="measure it on the data of its run, or --dataset")
    add("--generate", type=int, metavar="N", help="N images of every class, in the picture --out")
    return add


def use_model(
    argv: Sequence[str], script: str, parse: Callable[[list[str]], argparse.Namespace],
    rebuild: Callable[[Model, torch.device], Any], load: Callable, evaluate: Callable,
    generate: Callable | None = None, more: Callable = add_model_flags,
) -> bool:
    """Do what --load asks for; False if it is not there, and the command is one that trains.

    rebuild(model, device): the nets; load(args, device): the script's data; evaluate(nets, data,
    args): the accuracy on each task; generate(nets, model, n): images uint8 [n, C, H, W] by class.
    """
    asked = model_asked(argv, script, more)
    if asked is None:
        return False
    if "generate" in asked and generate is None:
        raise UserError(f"--generate: {script}.py makes no images")
    model = load_model(asked.load, script, parse([]))
    if "generate" in asked:
        check_writable(asked.out)
    if model.args.device != "cpu":  # its machine's
        model.args.device = "auto"
    flags = {name: v for name, v in vars(asked).items() if name not in ("load", "evaluate")}
    vars(model.args).update(flags)
    device, _ = start(model.args)
    try:
        nets = rebuild(model, device)
    except (*DAMAGE, AttributeError) as error:
        raise UserError(f"--load: {asked.load} does not fit the nets of this version: "
                        f"{one_line(error)[:200]}") from error  # fmt: skip
    print(f"made by {model.command}")
    if generate is not None and "generate" in asked:
        draw_rows(generate(nets, model, asked.generate), asked.generate, asked)
        return True
    data = load(model.args, device)
    check_fit(model, data.about, any(f in flags for f in OF_DATA if f != "data_dir"))
    found = evaluate(nets, data, model.args)
    ACC, then = (sum(some) / len(some) for some in (found, model.accuracy))
    only_mean = len(set(model.accuracy)) == 1  # dgm.py --joint notes no more
    same = found == model.accuracy or (only_mean and math.isclose(ACC, then))
    other = bool(data_difference(model.data, data.about))
    as_then = "as its run measured" if same else f"its run had {then:.4f}" + " on its data" * other
    print(f"accuracy by task {' '.join(f'{a:.3f}' for a in found)}")
    print(f"ACC {ACC:.4f}: {as_then}")
    return True


def model_asked(argv: Sequence[str], script: str, more: Callable) -> argparse.Namespace | None:
    """The flags given of a command with --load, or None for one that trains.

    UserError for flags that do not go together, before any file is read. `more` adds flags.
    """
    if {"-h", "--help"} & set(argv):
        return None
    parser = new_parser("")
    add_data_flags(parser)
    add_run_flags(parser, script)
    more(parser)
    for action in parser._actions:
        action.default = argparse.SUPPRESS  # what was not given is not there
    asked, rest = parser.parse_known_args(argv)
    uses = [name for name in ("evaluate", "generate", "after") if name in asked]
    if "load" not in asked:
        if uses:
            raise UserError(f"--{uses[0]} needs --load FILE, a model that --save kept")
        return None
    if len({"evaluate", "generate"} & set(uses)) != 1:
        raise UserError("--load FILE needs either --evaluate or --generate N")
    fit = OF_DATA if uses[0] == "evaluate" else ("out", "seed", "after")
    odd = [f"--{name.replace('_', '-')}" for name in vars(asked)
           if name not in ("load", uses[0], "device", "threads", *fit)]  # fmt: skip
    if odd or rest:
        raise UserError(f"{(odd + rest)[0]} does not go with --load FILE --{uses[0]}: leave it out")
    asked.out = getattr(asked, "out", "generated.png")
    least = {"generate": 1, "after": 1, "seed": 0, "threads": 0}
    check_ranges(asked, {name: bound for name, bound in least.items() if name in asked})
    if "generate" in asked and not asked.out.lower().endswith(".png"):
        raise UserError(f"--out {asked.out}: the picture's name must end in .png")
    return asked


def load_model(path: str, script: str, defaults: argparse.Namespace) -> Model:
    """What --save kept; UserError if the file is none of ours, damaged, or another script's."""
    if not os.path.isfile(path):
        raise UserError(f"--load: there is no file {path}")
    try:
        whole = read_saved(path)
        if not isinstance(whole, dict) or whole.get("project") != PROJECT:
            raise UserError(f"--load: {path} was not written by --save of this project")
        if whole["script"] != script:
            other = f"{whole['script']}.py"
            raise UserError(f"--load: {path} is of {other}: python {other} --load {path} ...")
        if whole["format"] != MODEL_FORMAT:
            raise UserError(f"--load: {path} has format {whole['format']}, this code reads "
                            f"{MODEL_FORMAT}: use version {whole['version']}")  # fmt: skip
        if not (whole["accuracy"] and all(isinstance(a, float) for a in whole["accuracy"])):
            raise ValueError("no accuracies")
        args = argparse.Namespace(**(vars(defaults) | whole["args"]))
        for name in sorted(whole["args"].keys() - vars(defaults).keys() - set(NO_EFFECT)):
            print(f"note: {path} was made with --{name.replace('_', '-')}, a flag of version "
                  f"{whole['version']} that is gone", file=sys.stderr)  # fmt: skip
        whole["kept"] = whole_again(whole["kept"])
        return Model(args, *(whole[name] for name in Model._fields[1:]))
    except DAMAGE as error:
        raise UserError(f"--load: {path} cannot be read, or --save did not write it") from error


def check_fit(model: Model, about: dict[str, Any], others: bool) -> None:
    """UserError if the nets cannot take these data, or had other ones and no `others` are meant."""
    here, there = ((len(some["classes"]), *some["shape"]) for some in (about, model.data))
    if here != there:
        words = ["{} classes, images of {}x{}x{}".format(*some) for some in (here, there)]
        raise UserError(f"--dataset: the data have {words[0]}, the model has {words[1]}")
    differs = data_difference(model.data, about)
    if differs and not others:
        raise UserError(f"the data are not those of the model's run ({differs}): give --dataset "
                        "to measure on them all the same")  # fmt: skip
    if about["classes"] != model.data["classes"]:
        print(f"note: {differs}, taken for each other in this order", file=sys.stderr)


def draw_rows(rows: Mapping[str, Tensor], n: int, asked: argparse.Namespace) -> None:
    """A picture, a row for each class, of n images uint8 [n, C, H, W]; black where fewer came."""
    from torchvision.utils import make_grid, save_image  # here, as it takes as long as the rest

    if os.path.realpath(asked.out) == os.path.realpath(asked.load):
        raise UserError(f"--out {asked.out}: the model is there; name another file")
    full = [torch.cat([x, x.new_zeros(n - len(x), *x.shape[1:])]) for x in rows.values()]
    grid = make_grid(torch.cat(full).cpu() / 255, nrow=n)
    write_atomically(asked.out, lambda file: save_image(grid, file, format="png"))
    few = [name for name, x in rows.items() if len(x) < n]
    if few:
        print(f"note: fewer than {n} images were found of {', '.join(few)}", file=sys.stderr)
    print(f"a row for each class, from the top: {', '.join(rows)}")
    print(f"the picture: {asked.out}")


def save_model(path: str, result: dict[str, Any], kept: dict[str, Any]) -> None:
    """Write what a run keeps: plain tensors and values, for torch.load(weights_only=True)."""
    header = {"project": PROJECT, "version": __version__, "format": MODEL_FORMAT}
    about = {name: result[name] for name in ("script", "command", "args", "data", "classes")}
    about |= {name: result["environment"][name] for name in ("commit", "torch", "device")}
    whole = header | plain(about | {"accuracy": result["R"][-1], "kept": kept}, packed)
    write_atomically(path, lambda file: torch.save(whole, file))


def packed(value: Any) -> Any:
    """A tensor as one on the CPU that shares no memory; of bools, a bit each: `whole_again`."""
    if not isinstance(value, Tensor):
        return value
    if value.dtype == torch.bool:
        bits = torch.from_numpy(np.packbits(value.cpu().numpy()))
        return {"bits": bits, "shape": list(value.shape)}
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def whole_again(value: Any) -> Any:
    """Undo what `packed` did to bools."""
    if isinstance(value, dict) and value.keys() == {"bits", "shape"}:
        shape = value["shape"]
        flat = np.unpackbits(value["bits"].numpy(), count=math.prod(shape)).astype(bool)
        return torch.from_numpy(flat).view(shape)
    if isinstance(value, dict):
        return {key: whole_again(v) for key, v in value.items()}
    return [whole_again(v) for v in value] if isinstance(value, list) else value
