"""How figures look: one label, colour, line and marker for each method of a script, everywhere.

The colours are those of Okabe and Ito (2008), which colour-blind people tell apart, and two darker
ones. What may meet in a figure also differs in its line or its marker, for print in grey.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torchvision.utils import make_grid

import common

matplotlib.rcParams.update({
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8,
    "figure.titlesize": 10, "legend.frameon": False, "lines.markersize": 5, "lines.linewidth": 1.4,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "0.92",
    "axes.axisbelow": True, "pdf.fonttype": 42,  # letters that other programs can edit
})  # fmt: skip

BLACK, GREY, BLUE, SKY, GREEN = "#000000", "#5A5A5A", "#0072B2", "#56B4E9", "#009E73"
ORANGE, RED, PURPLE, BROWN, WINE = "#E69F00", "#D55E00", "#CC79A7", "#7A4A00", "#7B2D5E"


class Look(NamedTuple):
    """How a method is called and drawn; the label may name a flag in braces."""

    label: str
    color: str
    marker: str = "o"
    ls: str | tuple = "-"  # a tuple: dashes as matplotlib takes them
    hollow: bool = False

    def line(self, run: dict[str, Any]) -> dict[str, Any]:
        """What `Axes.plot` is told for a run of this method."""
        return dict(label=self.label.format(**run["args"]), color=self.color, marker=self.marker,
                    ls=self.ls, mfc="white" if self.hollow else self.color)  # fmt: skip


# Wine: our preset of a method. Orange: real images. Red: regularisers. Black, grey: the bounds.
NONE, JOINT = Look("no replay", GREY, "x", ":"), Look("joint training", BLACK, "*", "--")
STORED = Look("stored images", ORANGE, "s", "-", hollow=True)
LOOKS = {  # script -> row -> look
    "gan_replay": {
        "none": NONE, "joint": JOINT,
        "ngen12000": Look("GAN replay", BLUE),
        "ngen1200": Look("GAN replay, {n_gen:,} images per task", SKY, "v", "-.", hollow=True),
        "total12000": Look("GAN replay, {n_gen:,} images in total", SKY, "^", "--"),
        "real": STORED._replace(label="all images stored", ls=":"),
        "bytes": Look("{n_gen:,} images stored", ORANGE, "v", "-."),
        "improved": Look("GAN replay, improved", WINE, "D"),
        "improved-reset": Look("improved, GAN reset", PURPLE, "d", "--"),
        "improved-bytes": Look("improved solver, {n_gen:,} stored", ORANGE, "P", "--"),
    },
    "dgm": {
        "none": NONE, "joint": JOINT,
        "joint-raw": Look("joint training, images as they are", BLACK, "h", "-."),
        "joint-improved": Look("joint training, improved", BLACK, "8", ":", hollow=True),
        "dgmw": Look("DGMw", GREEN, "s"), "dgma": Look("DGMa", SKY, "^", "--"),
        "dgmw-residual": Look("DGMw, residual nets", GREEN, "h", "-.", hollow=True),
        "raw": Look("DGMw, the GAN's own classifier", GREEN, "p", "--", hollow=True),
        "no-veto": Look("DGMw without the veto", GREEN, "X", ":"),
        "improved": Look("DGMw, improved", WINE, "D"),
        "improved-plain": Look("improved, no augmentation", PURPLE, "d", "--"),
        "mergan": Look("MeRGAN, retrained", BLUE, "v", "--"),
        "mergan-align": Look("MeRGAN, aligned", BLUE, "<"),
        "dgr": Look("DGR", BROWN, "P", "-."), "ewc": Look("EWC-M", RED, "X", "-."),
        # ImageNet-50: what stands beside DGMw's images, or for them
        "k1000": Look("DGMw, K = 1,000 real images", ORANGE, "o"),
        "k2000": Look("DGMw, K = 2,000", ORANGE, "D", "--"),
        "k1000-herding": Look("DGMw, K = 1,000, herded", ORANGE, "o", "-.", hollow=True),
        "k2000-herding": Look("DGMw, K = 2,000, herded", ORANGE, "D", ":", hollow=True),
        "r75": Look("DGMw, r = 0.75 real", GREEN, "^", "--"),
        "r50": Look("DGMw, r = 0.5", GREEN, "v", "-."),
        "r25": Look("DGMw, r = 0.25", GREEN, "<", ":", hollow=True),
        "r10": Look("DGMw, r = 0.1", GREEN, ">", (0, (5, 1, 1, 1, 1, 1)), hollow=True),
    },
    "synthetic_meta": {
        "synthetic": Look("synthetic data", GREEN),
        "real": Look("real data, learned rates", ORANGE, "s", "--"),
        "real-pool": Look("real data, 1,500 images per class", BROWN, "P", ":"),
        "gan": Look("a GAN's images, learned rates", BLUE, "^", "-."),
        "mlp": NONE._replace(label="real data, MLP"),
        "improved": Look("improved, (a) random learners", WINE, "D"),
        "improved-learned": Look("improved, (b) learned start", PURPLE, "d", "--"),
    },
    "grad_predict": {
        "sgd": NONE._replace(label="plain SGD"), "joint": JOINT,
        "scalar": Look("Eq. (5), predicted gradients", BLUE),
        "oracle": Look("Eq. (5), true gradients", ORANGE, "s", hollow=True),
        "oracle-sum": Look("sum of true gradients", ORANGE, "P", "--"),
        "ewc": Look("online EWC, λ = {ewc_lambda:g}", RED, "s", "-."),
        "improved": Look("improved: learned inputs", WINE, "D"),
    },
    "episodic": {
        "none": NONE, "joint": JOINT, "samples": STORED,
        "icarl": Look("iCaRL", BROWN, "D"), "ewc": Look("EWC-S", RED, "v", "-."),
        "pi": Look("PI-S", GREEN, "^", "--"), "rwalk": Look("RWalk-S", SKY, "o", "-"),
        "ewc-alone": Look("EWC, nothing stored", RED, "X", ":"),
        "samples-2000": STORED._replace(label="2,000 stored images", ls="--", hollow=False),
        "icarl-2000": Look("iCaRL, 2,000 images", BROWN, "d", "--", hollow=True),
        "icarl-k1000": Look("iCaRL, K = 1,000", BROWN, "P", ":"),
        "icarl-k2000": Look("iCaRL, K = 2,000", BROWN, "X", "-."),
    },
}  # fmt: skip
BEGINS, ENDS = ("split-", "std-"), ("-pairs", "-paper")  # the same method on another benchmark


def look(script: str, row: str) -> Look:
    """A row's look; what it has in common with others of its method is looked up without the ends.

    Beside the laptop's runs those at the paper's size have other markers.
    """
    method = row
    for ends in (*BEGINS, *ENDS):
        method = method.removeprefix(ends).removesuffix(ends)
    found = LOOKS[script][method]
    if row.endswith("-paper"):
        found = found._replace(label=found.label + ", paper's size", hollow=not found.hollow)
    return found


def of_tasks(T: int) -> list[dict[str, Any]]:
    """What `Axes.plot` is told for tasks 1 ... T: from dark to light, so in grey too."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, T))
    return [dict(color=tuple(colour), marker="os^Dv"[j % 5], label=f"task {j + 1}")
            for j, colour in enumerate(colours)]  # fmt: skip


def new_figure(title: str, wide: float, high: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(layout="constrained", dpi=150, figsize=(wide, high))
    if title:
        figure.suptitle(title)
    return figure


def tiled(x: np.ndarray, across: int, gap: int = 0) -> np.ndarray:
    """Images uint8 [N, C, H, W] as one [H', W', 3], so many in a line, white between and behind."""
    grid = make_grid(torch.from_numpy(x.copy()), across, padding=gap, pad_value=255)
    return grid.permute(1, 2, 0).numpy()


def save_figure(figure: Figure, path: str | Path, form: str = "png") -> None:
    """Write a figure as PNG, and as PDF too if that is asked; the folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    for kind in dict.fromkeys(("png", form)):
        about = {"CreationDate": None} if kind == "pdf" else None  # the same bytes every time
        save = functools.partial(figure.savefig, format=kind, metadata=about)
        common.write_atomically(Path(path).with_suffix(f".{kind}"), save)
