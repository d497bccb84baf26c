"""RESULTS.md: what each paper claims, what came out here, and whether it held; from JSON alone.

A claim is an entry of CLAIMS: the paper's words, the runs that speak to it, what is taken from
them, and the conditions under which it holds. The verdict is computed: all conditions ✅, some of
them "partly", none ❌. Whoever thinks a condition unfair changes it here, and sees the page change.
A note says in words, without numbers, what the verdict hangs on. The scripts are imported for what
they already say (their runs, the papers' numbers, the deviations), so that nothing is typed twice;
no method imports another.

    reference/SCRIPT/NAME-seedS.json ──► measured values ──► conditions ──► RESULTS.md
                                    └──► all methods on Split-MNIST ──► benchmark.png
    reference/growth.json, what `make bench` left ──► growth.png

    python report.py                                   # our runs in reference/
    python report.py --runs results/mnist --out figures/mnist/RESULTS.md   # yours
    python report.py --runs reference --compare results/mnist   # both, side by side
"""

import argparse
import inspect
import json
import math
import os
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

import common
import dgm
import episodic
import gan_replay
import grad_predict
import synthetic_meta

SCRIPTS = {
    "gan_replay": (gan_replay, "Montagna 2024, Generative continual learning"),
    "dgm": (dgm, "Ostapenko et al. 2019, Learning to Remember: A Synaptic Plasticity Driven "
        "Framework for Continual Learning"),
    "synthetic_meta": (synthetic_meta, "Masarczyk & Tautkute 2020, Reducing catastrophic "
        "forgetting with learning on synthetic data"),
    "grad_predict": (grad_predict,
        "Enabling continual learning in neural networks with meta learning (ICML submission)"),
    "episodic": (episodic, "Comparators that store images, of DGM's Table 1"),
}  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Folders, a page, and what is asked."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    common.errors_in_one_line(parser)
    add = parser.add_argument
    add("--runs", default="reference", metavar="DIR", help="results, in DIR/SCRIPT/NAME-seedS.json")
    add("--out", default="RESULTS.md", metavar="FILE", help="the page")
    add("--figure", default="", metavar="FILE",
        help="the scatter of all methods; empty: benchmark.png in --runs")
    add("--compare", default="", metavar="DIR",
        help="write nothing; print the table of all methods from --runs and from DIR")
    add("--readme", default="", metavar="FILE", help="also renew the blocks of this page")
    add("--plan", default="", metavar="DATASET",
        help="write nothing; say which of --results are there, and how long the others took us")
    add("--results", default=[], nargs="+", metavar="FILE",
        help="for --plan: results/DATASET/SCRIPT/NAME-seedS.json")
    return parser.parse_args(argv)


# --------------------------------------------------------------------------------------------
# What is taken from a run: a function from its JSON to numbers, each with a name
# --------------------------------------------------------------------------------------------

Values = dict[str, float]
Measure = Callable[[dict], Values]


def of(*names: str) -> Measure:
    """These metrics of a run; a dead one lacks them, that is, they are NaN."""
    return lambda run: {name: run["metrics"].get(name, math.nan) for name in names}


def by_task(run: dict) -> Values:
    """Accuracy on each task at the end, the oldest first."""
    return {f"task {t + 1}": v for t, v in enumerate(run["R"][-1])}


def later(run: dict) -> Values:
    """Accuracy on a task when it is learned, one task later and two tasks later; means of all."""
    R = np.array(run["R"])[1:]  # [T, T]
    names = ("when learned", "one task later", "two tasks later")
    return {name: float(R.diagonal(-lag).mean()) for lag, name in enumerate(names)}


def first_task(run: dict) -> Values:
    """Accuracy at the end on the first task, and on those between it and the newest."""
    last = run["R"][-1]
    return {"task 1": last[0], "tasks between": float(np.mean(last[1:-1]))}


def line_of_images(run: dict) -> Values:
    """Images that solver and GAN see in a task, in an epoch of each: R² of a straight line through
    tasks 1, 2, ..., and last over first; and last over first of all epochs."""
    pairs = [(task["solver_images"], task["gan_images"]) for task in run["tasks"]]
    every = np.array(pairs, float)  # [T, 2]
    epochs = gan_replay.gan_epochs(argparse.Namespace(**run["args"]), len(pairs))
    images = (every / np.array([[run["args"]["solver_epochs"], n] for n in epochs])).sum(1)
    t = np.arange(len(images))
    rest = images - np.polyval(np.polyfit(t, images, 1), t)
    return {"an epoch of a task, R² of a line": float(1 - rest.var() / images.var()),
            "last task / first": float(images[-1] / images[0]),
            "the same, all epochs": float(every[-1].sum() / every[0].sum())}  # fmt: skip


def plateau(run: dict) -> Values:
    """Images that the solver sees in the last task, over those of the second."""
    images = [task["solver_images"] for task in run["tasks"]]
    return {"last task / task 2": images[-1] / images[1]}


def times_smaller(run: dict) -> Values:
    """All training images over solver, generator and discriminator, in bytes."""
    kept = run["memory"]
    nets, images = kept["solver"] + kept["G"] + kept["D"], kept["image"] * kept["train"]
    return {"images as float32 / nets": 4 * images / nets, "images as bytes / nets": images / nets,
            "images as bytes / generator": images / kept["G"]}  # fmt: skip


def change_of_old_images(run: dict) -> Values:
    """Largest change of a pixel (from -1 to 1) in the drawings of old classes, over all tasks."""
    return {"largest change of a pixel": max(task["drift"] for task in run["tasks"])}


def disc(run: dict) -> Values:
    """MB that DGM keeps after the last task: masks as indices, all of it; and all images."""
    kept = run["tasks"][-1]["disc"]
    total = sum(kept.values()) - kept["masks_bits"]
    images = run["images"]["n"] * run["images"]["bytes"]
    return {"masks, MB": kept["masks_sparse"] / 1e6, "in total, MB": total / 1e6,
            "images as bytes, MB": images / 1e6}  # fmt: skip


def reuse(run: dict) -> Values:
    """Share of what a task's mask covers that earlier tasks had reserved."""
    def share(task: dict) -> float:
        new, old = (sum(layer[key] for layer in task["layers"]) for key in ("new", "reused"))
        return old / (new + old)

    return {"task 2": share(run["tasks"][1]), "last task": share(run["tasks"][-1])}


def growth(run: dict) -> Values:
    """Units after the last task, over what they would be if every task filled the net."""
    units = [sum(task["widths"]) for task in run["tasks"]]
    return {"units / worst case": units[-1] / (units[0] * len(units))}


def occupation(run: dict) -> Values:
    """Figure 3(b): mean mask value in the second task, at first, at least, at the end."""
    mean = [row[0] for row in run["tasks"][1]["trace"]]
    return {"first epoch": mean[0], "least": min(mean), "last epoch": mean[-1]}


def seen(run: dict) -> Values:
    """Accuracy on the classes seen, after the first and the last task, with and without
    transduction."""
    out = {}
    for mode, name in (("batch", "transductive"), ("running", "not")):
        mean = np.mean(run["learners"][mode]["seen"], axis=0)
        out |= {f"{name}: first": float(mean[0]), f"{name}: last": float(mean[-1])}
    return out


def forgets(run: dict) -> Values:
    """How far accuracy on a task falls from its best to the end, with and without transduction."""
    return {name: common.summarise(run["learners"][mode]["R"])["forgetting"]
            for mode, name in (("batch", "transductive"), ("running", "not"))}  # fmt: skip


def shrinks(key: str) -> Measure:
    """Accuracy at the paper's setting and at 15 times as much of `key`, with and without
    transduction."""
    def measure(run: dict) -> Values:
        some, out = run[key], {}
        for mode, name in (("batch", "transductive"), ("running", "not")):
            for times, which in ((1, min), (15, max)):
                out[f"{name} × {times}"] = statistics.fmean(some[which(some, key=int)][mode])
        return out

    return measure


def fidelity(run: dict) -> Values:
    """Share of coordinates where g, distilled last, has the sign of the mean of all h."""
    return {"equal signs": run["fidelity"][-1]["sign"] if run["fidelity"] else math.nan}


def one_h(run: dict) -> Values:
    """Numbers in one h, and in all that are kept, in per cent of the network's."""
    every = run["metrics"].get("memory (%)", math.nan)
    return {"one h (%)": every / (run["args"]["tasks"] - 1), "all (%)": every}


def boundaries(which: int) -> Measure:
    """Boundaries that a statistic finds within 50 iterations, and its false alarms."""
    def measure(run: dict) -> Values:
        every, T = run["args"]["iterations"], run["args"]["tasks"]
        found = grad_predict.alarms([row[which] for row in run["signals"]],
                                    run["args"]["threshold"])  # fmt: skip
        hits = sum(any(0 <= a - t * every < 50 for a in found) for t in range(1, T))
        return {"found": hits / (T - 1), "false alarms": len(found) - hits}

    return measure


def newest_alone(run: dict) -> Values:
    """A_10, and what it would be if only the newest task were known, without a mistake."""
    return {"A_10 (%)": run["metrics"]["A_10 (%)"], "newest task alone": 100 / len(run["R"][-1])}


def with_memory(run: dict) -> Values:
    """A_10, and MB kept between tasks."""
    kept = {"dgm": kept_by_dgm, "episodic": kept_by_episodic}[run["script"]](run)
    return {"A_10 (%)": run["metrics"]["A_10 (%)"], "kept, MB": kept / 1e6}


# --------------------------------------------------------------------------------------------
# The papers' claims
# --------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """`holds` gets the means of all values, run by run, in the order in which they are measured.

    A run of another script is named SCRIPT/NAME. `note`: words, no measured number; the page
    prints it below the paper's.
    """

    item: str
    says: str
    runs: tuple[str, ...]
    measure: Measure
    holds: Callable[..., tuple[bool, ...]]
    figure: str = ""
    note: str = ""


CLAIMS = {
    "gan_replay": (
        Claim("Sec. 4", "n_gen = 12k “is able to slow down the rate at which the model forgets”",
              ("none", "ngen12000"), of("ACC", "BWT"),
              lambda acc, bwt, ours, ours_bwt: (ours > acc, ours_bwt > bwt), "averages.png",
              "Our BWT is far milder than the paper's. Its nets and schedules are not given, so we "
              "cannot say why; a GAN that learns more slowly (row “DCGAN's learning rate”) "
              "goes more than half of the way there."),
        Claim("Sec. 4", "“the further in the past a task is the worse the performance”",
              ("ngen12000",), by_task,
              lambda *a: (max(a) == a[-1], sorted(a) == list(a)), "figure4.png",
              "The newest task is known best and the one before it next; below those there is no "
              "order."),
        Claim("Sec. 4", "n_gen = 1.2k: good on the last two tasks, then a sharp drop",
              ("ngen1200",), later, lambda new, one, two: (min(new, one) > 0.8, two < one / 2),
              "figure5.png",
              "There is a drop, but not to less than half. The first task is lost: the run warns "
              "that the GAN no longer draws one of its digits."),
        Claim("Sec. 4", "n_gen = 120k “is able to remember only the first task”",
              ("ngen120000",), first_task, lambda first, between: (between < first / 2,),
              "figure6.png",
              "The first task is the best kept of the old ones, as the paper explains, but the "
              "others are not lost. With 12k the result is better, at a fraction of the cost."),
        Claim("Sec. 4", "backward transfer “is always negative”",
              ("ngen1200", "ngen12000", "ngen120000", "improved"), of("BWT"),
              lambda *bwt: (max(bwt) < 0,)),
        Claim("Sec. 2", "the convolutional GAN is “more reliable and produced better results” than "
              "the MLP", ("ngen12000", "mlp"), of("ACC"), lambda conv, mlp: (conv > mlp,), "",
              "The MLP at the rate and epochs that were chosen for the convolutional one."),
        Claim("Sec. 4", "the cost grows quadratically with the tasks, that of a task linearly",
              ("digits",), line_of_images,
              lambda r2, times, every: (r2 > 0.98 and times > 2, every < 1.2 * times), "cost.png",
              "The images of an epoch, solver's and GAN's, grow linearly from task to task. But "
              "our GAN trains for one epoch more after each (Deviation 1), so that a task's whole "
              "cost grows faster. (This run trains a GAN after the last task too.)"),
        Claim("Sec. 4", "with a fixed total of drawn images a task's data stop growing",
              ("total12000",), plateau, lambda times: (times < 1.1,), "cost.png",
              "The GAN still trains for an epoch more in every task (Deviation 1). What this costs "
              "in accuracy: trade_off.png."),
        Claim("Sec. 4", "memory: “around 30 times more efficient” than the images",
              ("ngen12000",), times_smaller, lambda floats, small, _: (floats > 25, small > 25), "",
              "True of images kept as float32, four bytes a pixel; not of images kept as bytes, "
              "unless the generator alone is counted. (It stands for the past, but the old solver "
              "names what it draws.)"),
        Claim("– (control)", "drawn images keep more than real ones in as many bytes; the paper's "
              "solver, then that of --preset improved",
              ("bytes", "ngen12000", "improved-bytes", "improved"), of("ACC"),
              lambda real, ours, real_2, improved: (ours > real, improved > real_2), "averages.png",
              "The bytes are those of the generator, in the improved preset with the "
              "discriminator, which goes on from task to task."),
        Claim("Sec. 2", "equal numbers a class: “quite difficult to train”",
              ("ngen12000", "balance"), of("ACC"), lambda free, equal: (equal < free,), "",
              "Tried with n_gen = 12k alone, where no class ran out. Draws are bounded, and a "
              "class that never appears is named."),
    ),
    "dgm": (
        Claim("Sec. 1", "the generator learns new classes “without the need to replay previous "
              "knowledge” to it (last row: without the veto of Eq. 5)", ("dgmw", "dgma", "no-veto"),
              change_of_old_images, lambda w, a, without: (w == 0 < without, a == 0 < without),
              "figure5.png",
              "With the veto no bit of an old image ever changes: every run checks it after every "
              "task."),
        Claim("Sec. 3.1", "the masks' veto (Eq. 5) keeps old classes",
              ("dgmw", "no-veto", "none"), of("A_10 (%)"),
              lambda ours, without, none: (ours > without + 5,), "figure5.png"),
        Claim("Table 1", "DGMw: 98.75 / 96.46 after five / ten classes; last row: in the paper's "
              "manner, no steps of the classifier alone", ("dgmw", "raw"),
              of("A_5 (%)", "A_10 (%)"), lambda  a5, a10, raw5, raw10: (
                  a5 >= 98.75, a10 >= 96.46, raw5 >= 98.75, raw10 >= 96.46), "averages.png",
              "At a quarter of the pixels. It takes a classifier that goes on learning, on "
              "distorted images, when the generator is frozen (Deviation 9)."),
        Claim("Table 1", "DGMa: 99.17 / 97.92", ("dgma",), of("A_5 (%)", "A_10 (%)"),
              lambda a5, a10: (a5 >= 99.17, a10 >= 97.92), "averages.png",
              "After ten classes it is as good as DGMw, which the paper has lower."),
        Claim("Sec. 4", "DGM “outperforms the state of the art” without stored images, EWC-M and "
              "DGR; “an increase in performance over” MeRGAN (retrained; then aligned)",
              ("dgmw", "dgma", "ewc", "dgr", "mergan", "mergan-align"), of("A_10 (%)"),
              lambda w, a, *others: tuple(min(w, a) > other for other in others), "averages.png",
              "Same critic, steps and images. MeRGAN with joint retraining and DGR copy copies and "
              "fall far behind. MeRGAN with replay alignment does not: it is as good as DGM, with "
              "a generator of fixed size, which goes through all old classes in every task. The "
              "paper does not say which of the two it quotes; its own table has DGMw below it."),
        Claim("Sec. 4", "both “outperform JT on MNIST (A_5)”",
              ("dgmw", "dgma", "joint-raw", "joint"), of("A_5 (%)"),
              lambda w, a, *joint: (w > max(joint), a > max(joint)), "",
              "Joint training is better than either, with distorted images and without, and better "
              "than the paper's JT."),
        Claim("Sec. 4", "the nets stay below the worst case, where each task fills them, and DGMw "
              "“significantly slows down the network growth”",
              ("dgmw", "dgma"), growth, lambda w, a: (w < a / 2, a < 1), "figure4.png",
              "DGMa only just."),
        Claim("Sec. 4", "“the ratio of reused units is increasing between tasks”",
              ("dgmw", "dgma"), reuse, lambda w2, w, a2, a: (w > w2, a > a2), "figure3a.png"),
        Claim("Table 3", "the final generator is smaller than MeRGAN's (5.18e5 there)",
              ("dgmw", "dgma", "mergan"), lambda run: {"numbers": run["tasks"][-1]["base"]},
              lambda w, a, mergan: (w < mergan, a < mergan), "",
              "Table 3 is about DGMw alone. Our MeRGAN's size was chosen so that DGMw ends at "
              "about the paper's share of it, so the row tells only that DGMa does not."),
        Claim("Table 4", "DGMw's masks take more disc than DGMa's, all of it less; both less than "
              "the images", ("dgmw", "dgma"), disc,
              lambda wm, w, x, am, a, _: (wm > am, w < a, w < x, a < x)),
        Claim("Fig. 3(b)", "a mask first closes, then opens again", ("dgmw", "dgma"), occupation,
              lambda w, w_least, w_last, a, a_least, a_last: (
                  w_least < min(w, w_last) - 0.02, a_least < min(a, a_last) - 0.02),
              "figure3b.png",
              "Seen in 13 epochs only: DGMw's mask settles early; units of DGMa open and close to "
              "the last epoch, when a few are not yet 0 or 1 (Deviation 5 cuts them)."),
    ),
    "synthetic_meta": (
        Claim("Fig. 4", "synthetic data “learned in sequence does not result in catastrophic "
              "forgetting”", ("synthetic",), seen,
              lambda first, last, not_first, not_last: (last > first, not_last > not_first - 0.1),
              "figure4.png",
              "The claim hangs on BatchNorm. With the statistics of the test batch accuracy rises "
              "with every task; without them it falls, less because old pairs are forgotten (next "
              "row) than because later ones are learned less well among more classes."),
        Claim("Fig. 1", "“accuracy at the end of each task does not decrease” on synthetic data "
              "(by 0.02 at most), while on real data “it deteriorates sharply” (by 0.1 at least)",
              ("synthetic", "real"), forgets, lambda ours, ours_not, real, real_not: (
                  ours < 0.02, ours_not < 0.02, real > 0.1, real_not > 0.1), "figure1.png",
              "With learned rates real data are forgotten little, too; what forgets is the MLP at "
              "a rate that is not learned."),
        Claim("Sec. 4", "the advantage over real data comes from the meta-learned samples",
              ("synthetic", "real", "running", "real-running"), of("ACC", "no transduction"),
              lambda a, a_not, real, real_not, b, b_not, real_b, real_b_not: (
                  a > real + 0.05, a_not > real_not + 0.05, b_not > real_b_not + 0.05),
              "figure4.png",
              "Without transduction the difference is less than the spread over learners; it is "
              "there when running statistics stand in the meta-loss too, so that the samples are "
              "made for them."),
        Claim("Sec. 4", "a GAN's images are “almost identical” to real data",
              ("gan", "real"), of("ACC", "no transduction"),
              lambda gan, gan_not, real, real_not: (abs(gan - real) < 0.03,
                                                    abs(gan_not - real_not) < 0.03),
              "figure4.png",
              "A classifier trained on real digits agrees with nearly all of its labels (`judge` "
              "in the JSON)."),
        Claim("Sec. 4", "real data with learned rates is above the MLP", ("real", "mlp"),
              of("ACC", "no transduction"),
              lambda real, real_not, mlp, mlp_not: (real > mlp, real_not > mlp_not), "figure4.png",
              "The MLP has no BatchNorm either."),
        Claim("Fig. 5", "longer training: synthetic data “suffers significantly less”",
              ("synthetic", "real"), shrinks("by_steps"),
              lambda a, a15, b, b15, real_a, real_a15, real_b, real_b15: (
                  a15 / a > real_a15 / real_a + 0.1, b15 / b > real_b15 / real_b + 0.1),
              "figure5.png"),
        Claim("Sec. 5", "robust to a batch 15 times as large", ("synthetic", "real"),
              shrinks("by_batch"), lambda a, a15, b, b15, *_: (a15 > a - 0.02, b15 > b - 0.02),
              "figure5.png", "So is real data."),
    ),
    "grad_predict": (
        Claim("Fig. 1(a)", "plain SGD forgets", ("sgd", "std-sgd"), of("BWT (%)"),
              lambda *bwt: tuple(v < -2 for v in bwt), "figure1.png"),
        Claim("Eq. (5)", "vetoing steps against the old gradient keeps and improves old tasks "
              "(gradients measured on old data)", ("sgd", "oracle", "std-sgd", "std-oracle"),
              of("ACC (%)", "BWT (%)"),
              lambda a, _a, b, bwt, c, _c, d, bwt2: (b > a and bwt > 0, d > c and bwt2 > 0),
              "improved.png",
              "On pixels in [0, 1] a BWT above 0 alone proves little: the net is still learning "
              "all along, and SGD at half the rate has it too."),
        # A dead network's NaN fulfils no condition.
        Claim("Fig. 1(b)", "with predicted gradients “the performance on old tasks is maintained "
              "or even improved”", ("scalar", "std-scalar"), of("ACC (%)", "BWT (%)"),
              lambda _, bwt, _2, bwt2: (bwt > -2, bwt2 > -2), "figure1.png",
              "Far below plain SGD, and some networks die; all do on standardised pixels. h "
              "explains next to nothing of a gradient. The next four rows look for the cause."),
        Claim("– (control)", "a parameter's value says enough: the best function of it, computed "
              "from old data, is above plain SGD",
              ("sgd", "best-scalar", "std-sgd", "std-best-scalar"), of("ACC (%)"),
              lambda a, b, c, d: (b > a, d > c), "",
              "A little above, far below the measured gradient. It is fitted anew in every step, "
              "to old data; so the input is poor, and h, trained as it is here while the task "
              "lasts, does not keep what is in it."),
        Claim("– (control)", "h is better than signs thrown by chance",
              ("scalar", "random-sign", "fixed-sign"), of("ACC (%)"),
              lambda h, *chance: (h > max(chance),), "",
              "Chance, new in each step or drawn once a task, costs about what half the rate "
              "costs. h is far worse."),
        Claim("– (control)", "it is the noise of the minibatches: averaging the gradient before "
              "the veto undoes the harm (most of it; all of it)", ("sgd", "scalar", "scalar-ema"),
              of("ACC (%)"), lambda sgd, h, mean: (mean > (sgd + h) / 2, mean >= sgd), "",
              "A veto that stays the same for all parameters of about one value lets one side of "
              "the noise through, and they drift."),
        Claim("– (control)", "forward transfer, more than plain SGD has", ("sgd", "scalar"),
              of("FWT (%)"), lambda sgd, ours: (ours > sgd + 2,)),
        Claim("Sec. 1", "“the size of a meta-network is typically orders of magnitude smaller than "
              "that of the main network” (at most a tenth)", ("scalar",), one_h,
              lambda one, every: (one < 10,), "",
              "Four h of the paper's sizes hold more numbers than the network."),
        Claim("Sec. 5.2", "one g can stand for all h", ("distill",), fidelity,
              lambda sign: (sign > 0.95,), "",
              "In the memory of one, and a task later still. What it distils is of no use, "
              "though."),
        Claim("Sec. 5.1", "the loss of h signals a new task", ("detect",), boundaries(1),
              lambda found, false: (found == 1 and false == 0,), "detection.png",
              "It is, in effect, the norm of the gradient, as h explains so little of it."),
        Claim("– (control)", "f's own loss does, without any h", ("detect",), boundaries(2),
              lambda found, false: (found == 1 and false == 0,), "detection.png"),
    ),
    "episodic": (
        Claim("DGM, Table 1", "with ten images a class all four lie below DGM",
              ("icarl", "pi", "ewc", "rwalk", "dgm/dgmw", "dgm/dgma", "dgm/raw"), of("A_10 (%)"),
              lambda *v: tuple(one < min(v[4:]) for one in v[:4]), "averages.png",
              "DGM's classifier learns for longer; the last row has neither more steps when the "
              "generator is frozen nor distorted images."),
        Claim("– (control)", "nor does plain replay of 2,000 images, without a brake and in fewer "
              "bytes than DGMw keeps, come within a point of it", ("samples-2000", "dgm/dgmw"),
              with_memory, lambda ours, mb, dgm, dgm_mb: (ours < dgm - 1 or mb > dgm_mb,), "",
              "It does: on MNIST the case for a generator is privacy, not bytes."),
        Claim("DGM, Table 1", "PI-S 78.7, EWC-S 79.7, RWalk-S 82.5 (within three points)",
              ("pi-pairs", "ewc-pairs", "rwalk-pairs"), of("A_10 (%)"),
              lambda *v: tuple(abs(a - b) < 3 for a, b in zip(v, (78.7, 79.7, 82.5))), "",
              "Each has a spread over seeds that is wider than the distances in the paper."),
        Claim("DGM, Table 1", "iCaRL-S 55.8 (within three points)",
              ("icarl", "icarl-pairs", "icarl-balanced", "icarl-head"), of("A_10 (%)"),
              lambda *v: tuple(abs(a - 55.8) < 3 for a in v), "",
              "It is level with the others in both protocols, and with pairs the least dependent "
              "on the seed. Nothing that we tried with its nearest means comes down to the figure "
              "quoted; its last layer alone comes below it."),
        Claim("DGM, Table 1", "with ten images a class iCaRL (55.8) is below PI (78.7) and EWC "
              "(79.7), and these below RWalk (82.5); pairs, MLP",
              ("icarl-pairs", "pi-pairs", "ewc-pairs", "rwalk-pairs"), of("A_10 (%)"),
              lambda icarl, pi, ewc, rwalk: (icarl < min(pi, ewc), max(pi, ewc) < rwalk),
              "averages.png", "The spread over seeds allows no order."),
        Claim("DGM, Table 1", "the same order; one class a task",
              ("icarl", "pi", "ewc", "rwalk"), of("A_10 (%)"),
              lambda icarl, pi, ewc, rwalk: (icarl < min(pi, ewc), max(pi, ewc) < rwalk),
              "averages.png", "EWC-S leads by about the spread; the others are level."),
        Claim("– (control)", "each is above the same images without any brake; pairs, MLP",
              ("samples-pairs", "icarl-pairs", "pi-pairs", "ewc-pairs", "rwalk-pairs"),
              of("A_10 (%)"), lambda alone, *others: tuple(v > alone for v in others),
              "averages.png", "EWC-S and RWalk-S by little more than the spread over seeds."),
        Claim("– (control)", "the same; one class a task",
              ("samples", "icarl", "pi", "ewc", "rwalk"), of("A_10 (%)"),
              lambda alone, *others: tuple(v > alone for v in others), "averages.png"),
        Claim("Chaudhry et al.", "without stored samples a single head forgets all the same",
              ("ewc-alone", "ewc-alone-pairs"), newest_alone,
              lambda a, one, b, one_b: (a < one + 1, b < one_b + 1)),
        Claim("iCaRL, Alg. 3", "train on the union of new and stored images (not on equal parts)",
              ("icarl", "icarl-balanced"), of("A_10 (%)", "forgetting"),
              lambda union, lost, equal, equal_lost: (union > equal, lost < equal_lost), "",
              "Ten images a class are too rare in the union: equal parts are more accurate, though "
              "they forget more."),
    ),
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# All methods on one benchmark: Split-MNIST, five tasks of two classes, one head for all ten
# --------------------------------------------------------------------------------------------


def kept_by_gan_replay(run: dict) -> float:
    """The generator, and D if it is not reset; or the images, one byte a pixel."""
    if run["args"]["replay"] == "gan" and not run["args"]["joint"]:
        goes_on = run["args"]["align"] > 0  # then D keeps its weights, too
        return run["memory"]["G"] + (run["memory"]["D"] if goes_on else 0)
    stored = run["memory"]["train"] if run["args"]["joint"] else run["tasks"][-1]["stored"]
    return stored * run["memory"]["image"]


def kept_by_dgm(run: dict) -> float:
    """The generator and its masks; joint training keeps the images."""
    if run["args"]["joint"]:
        return 60_000 * run["args"]["image_size"] ** 2
    kept = run["tasks"][-1].get("disc", {"masks_bits": 0})
    return sum(kept.values()) - kept["masks_bits"]


def kept_by_synthetic_meta(run: dict) -> float:
    """Nothing is kept between tasks: there is no replay."""
    return 0.0


def kept_by_grad_predict(run: dict) -> float:
    """The predictors, four bytes a number; the oracle and joint training keep the images."""
    if run["args"]["predictor"] == "oracle" or run["args"]["method"] == "joint":
        return 60_000 * 784
    return 4 * run["parameters"] * run["metrics"].get("memory (%)", 0.0) / 100


def kept_by_episodic(run: dict) -> float:
    """Stored images as bytes, and what a penalty needs."""
    return 1e6 * run["metrics"]["kept (MB)"]


# script: its runs on this benchmark. Real images kept: those that say so.
BENCHMARK = {
    "gan_replay": (kept_by_gan_replay,
        ("none", "ngen12000", "improved", "improved-reset", "bytes", "improved-bytes", "real",
         "joint")),
    "dgm": (kept_by_dgm,
        ("split-none", "split-dgmw", "split-dgma", "split-improved", "split-joint")),
    "synthetic_meta": (kept_by_synthetic_meta,
        ("mlp", "real", "synthetic", "improved", "improved-learned")),
    "grad_predict": (kept_by_grad_predict,
        ("split-sgd", "split-ewc", "split-improved", "split-oracle", "split-oracle-sum",
         "split-joint")),
    "episodic": (kept_by_episodic,
        ("samples-pairs", "icarl-pairs", "ewc-pairs", "pi-pairs", "rwalk-pairs")),
}  # fmt: skip
KEEPS_IMAGES = ("bytes", "improved-bytes", "real", "joint", "split-joint", "split-oracle",
                "split-oracle-sum", *BENCHMARK["episodic"][1])  # fmt: skip
HEADER = ("method", "accuracy", "forgetting", "BWT", "s", "peak MB", "MB kept between tasks",
          "real images kept")  # fmt: skip


def accuracies(run: dict) -> list[list[float]]:
    """R; of synthetic_meta.py without transduction, as all other scripts."""
    modes = run.get("learners", {})
    untold = [mode for mode in modes if mode != "batch"]
    return modes[untold[0]]["R"] if untold else run["R"]


def benchmark(folder: str) -> list[dict]:
    """An entry for every method that has runs: label, script, accuracy [seeds] and so on."""
    out = []
    for script, (kept, names) in BENCHMARK.items():
        runs = read(folder, script)
        for name in names:
            some = runs.get(name, [])
            if not some:
                continue
            summary = [common.summarise(accuracies(run)) for run in some]
            images = name in KEEPS_IMAGES and (script, name) != ("synthetic_meta", "real")
            out.append({
                "script": script, "name": name, "label": label_of(script, name, some[0]),
                "ACC": [s["ACC"] for s in summary],  # a dead network's is chance
                "forgetting": [s["forgetting"] for s in summary if "forgetting" in s],
                "BWT": [s["BWT"] for s in summary if "BWT" in s],
                "s": statistics.fmean(run["timing"]["wall_s"] for run in some),
                "MB": max(run["environment"]["peak_memory_mb"] for run in some),
                "kept": statistics.fmean(kept(run) for run in some) / 1e6, "images": images,
            })  # fmt: skip
    return out


def benchmark_table(entries: list[dict]) -> str:
    """One row a method."""
    rows = []
    for e in entries:
        numbers = [common.mean_sd(e[key]) if e[key] else "–"
                   for key in ("ACC", "forgetting", "BWT")]  # fmt: skip
        rows.append([f"{e['script']}: {e['label']}", *numbers, f"{e['s']:.0f}", f"{e['MB']:.0f}",
                     f"{e['kept']:.2f}", "yes" if e["images"] else "no"])  # fmt: skip
    return common.markdown_table(HEADER, rows)


def draw_benchmark(entries: list[dict], path: str) -> None:
    """Accuracy against megabytes kept; one colour a script, hollow where images are kept.

    At the right the crowd at the top again, enlarged.
    """
    fig = Figure(figsize=(12, 5.5), layout="constrained", dpi=150)
    fig.suptitle("Split-MNIST, five tasks of two classes, one head", fontsize=11)
    whole, near = fig.subplots(1, 2, width_ratios=(3, 2))
    scripts = list(BENCHMARK)
    points = [(e["kept"], statistics.fmean(e["ACC"]), e) for e in entries]
    for x, y, e in points:
        i = scripts.index(e["script"])
        for ax in (whole, near):
            ax.plot(x, y, "os^Dv"[i], color=f"C{i}", mfc="none" if e["images"] else f"C{i}", ms=7)
    for i, script in enumerate(scripts):
        if any(e["script"] == script for e in entries):
            whole.plot([], [], "os^Dv"[i], color=f"C{i}", label=script)
    crowd = [point for point in points if 0.5 < point[0] < 5 and point[1] > 0.9]
    rest = [point for point in points if point not in crowd]
    put_names(whole, rest, 0.028, 0.9, lambda x: np.arcsinh(10 * x))
    if crowd:
        low, high = min(y for _, y, _ in crowd) - 0.005, max(y for _, y, _ in crowd) + 0.005
        left, right = min(x for x, _, _ in crowd) - 0.2, max(x for x, _, _ in crowd) + 0.6
        near.set(xlim=(left, right), ylim=(low, high))
        put_names(near, crowd, 0.035 * (high - low), 0.3 * (right - left), lambda x: x)
    whole.set_xscale("symlog", linthresh=0.1)
    whole.set(xlim=(-0.02, 120), ylabel="accuracy on all ten classes", ylim=(0, 1.02))
    near.set_title("the crowd at the top", fontsize=9)
    for ax in (whole, near):
        ax.set_xlabel("MB kept between tasks (hollow: real images among them)")
    whole.legend(fontsize=8, loc="lower right")
    common.save_figure(fig, path)


def put_names(
    ax: Axes, points: list[tuple[float, float, dict]], height: float, width: float,
    along: Callable[[float], float],
) -> None:
    """The name of each run beside its point [x, y]; those that would touch go up by `height`.

    Names touch that are nearer than `height` in y and `width` in along(x).
    """
    written: list[tuple[float, float]] = []
    for x, y, e in sorted(points, key=lambda point: point[1]):
        place, y_text = along(x), y
        for other in sorted(h for there, h in written if abs(place - there) < width):
            y_text = other + height if abs(y_text - other) < height else y_text
        written.append((place, y_text))
        right = x > 10  # no room there
        ax.annotate(e["name"], (x, y_text), fontsize=7, textcoords="offset points",
                    color=f"C{list(BENCHMARK).index(e['script'])}", xytext=(-6 if right else 6, -2),
                    ha="right" if right else "left")  # fmt: skip


# --------------------------------------------------------------------------------------------
# The page
# --------------------------------------------------------------------------------------------


def read(folder: str, script: str, data: str = "mnist") -> dict[str, list[dict]]:
    """Results of a script on a data set by name; none where there is no such folder."""
    where = Path(folder) / (script if data == "mnist" else f"{script}-{data}")
    return common.read_results(where, script) if any(where.glob("*-seed*.json")) else {}


def read_all(folder: str) -> dict[str, list[dict]]:
    """Results of all scripts, by SCRIPT/NAME."""
    return {f"{script}/{name}": some for script in SCRIPTS
            for name, some in read(folder, script).items()}  # fmt: skip


def label_of(script: str, name: str, run: dict) -> str:
    """What the script calls this run; another script's is named SCRIPT/NAME."""
    if "/" in name:
        script, name = name.split("/")
    return rows_of(script)[name][2].format(**run["args"])


def rows_of(script: str) -> dict[str, tuple[str, str, str]]:
    """All rows of a script's tables, those of beyond/ among them."""
    module = SCRIPTS[script][0]
    return module.all_rows() if hasattr(module, "all_rows") else module.ROWS


def judged(claim: Claim, script: str, runs: dict[str, list[dict]]) -> tuple[str, str]:
    """What was measured, as text, and the verdict, on the seeds that all runs of the claim have."""
    missing = [name for name in claim.runs if name not in runs]
    if missing:
        return f"not run: {', '.join(missing)}", "–"
    seeds = {name: {run["args"]["seed"] for run in runs[name]} for name in claim.runs}
    shared = set.intersection(*seeds.values())
    said, means, judged_by = [], [], []
    for name in claim.runs:
        all_values = {run["args"]["seed"]: claim.measure(run) for run in runs[name]}
        cells, of_all = [], []
        for key in next(iter(all_values.values())):
            known = {seed: v[key] for seed, v in all_values.items() if not math.isnan(v[key])}
            of_shared = [value for seed, value in known.items() if seed in shared or not shared]
            means.append(statistics.fmean(of_shared) if of_shared else math.nan)
            of_all.append(number(of_shared) if of_shared else "–")
            cells.append(f"{key} {number(list(known.values()))}" if known else f"{key} –")
        if dead := sum(run["metrics"].get("dead", 0) for run in runs[name]):
            cells.append(f"dead {dead:.0f} of {len(all_values)}")
        label = label_of(script, name, runs[name][0])
        said.append(f"`{name}` *{label}*: {', '.join(cells)}")
        judged_by.append(f"`{name}` {', '.join(of_all)}")
    if shared and any(seeds[name] != shared for name in claim.runs):
        which = ", ".join(map(str, sorted(shared)))
        plural = "s" * (len(shared) > 1)
        said.append(f"Judged on what all have (seed{plural} {which}): {'; '.join(judged_by)}")
    held = claim.holds(*means)
    verdict = "✅" if all(held) else "partly" if any(held) else "❌"
    return "<br>".join(said), verdict


def number(values: list[float]) -> str:
    """mean ± SD (n), with digits by size."""
    size = abs(statistics.fmean(values))
    return common.mean_sd(values, 0 if size >= 1000 else 1 if size >= 20 else 2 if size >= 2 else 3)


def evidence(claim: Claim, runs: dict[str, list[dict]], folder: str, script: str, base: str) -> str:
    """The figure, and the runs' JSON, which hold the command, seed, commit and machine."""
    def link(path: Path) -> str:
        return Path(os.path.relpath(path, base)).as_posix()

    parts = []
    figure = Path(folder) / script / claim.figure
    if claim.figure and figure.exists():
        parts.append(f"[figure]({link(figure)})")
    for name in claim.runs:
        some = runs.get(name, [])
        if some:
            seconds = statistics.fmean(run["timing"]["wall_s"] for run in some)
            parts.append(f"[{name}]({link(Path(some[0]['path']))}) {seconds:.0f} s")
    return "<br>".join(parts)


def deviations(script: str) -> str:
    """The numbered deviations of a script, as Markdown."""
    module = SCRIPTS[script][0]
    doc = inspect.cleandoc(getattr(module, "DEVIATIONS", module.__doc__))
    block = doc[re.search(r"^ *1\. ", doc, flags=re.M).start() :].split("\n\n")[0]
    items = re.split(r"\n\s*(?=\d+\. )", "\n" + block)
    return "\n".join(" ".join(item.split()) for item in items if item.strip())


# The rows of DGM's Table 1: label, script, run
TABLE_1 = (
    ("JT", "dgm", "joint"), ("iCaRL-S", "episodic", "icarl"), ("EWC-S", "episodic", "ewc"),
    ("RWalk-S", "episodic", "rwalk"), ("PI-S", "episodic", "pi"), ("EWC-M", "dgm", "ewc"),
    ("DGR", "dgm", "dgr"), ("MeRGAN, retrained", "dgm", "mergan"),
    ("MeRGAN, aligned", "dgm", "mergan-align"), ("DGMw", "dgm", "dgmw"), ("DGMa", "dgm", "dgma"),
)  # fmt: skip
TABLE_1_DATA = ("mnist", "glyphs-rgb", "cifar10", "imagenet50")


def last_average(runs: list[dict]) -> tuple[str, list[float]]:
    """The name of the average over all classes, such as "A_10 (%)", and its value in each run."""
    names = [key for key in runs[0]["metrics"] if key.startswith("A_")]
    name = max(names, key=lambda key: int(key[2:-4]))
    return name, [run["metrics"][name] for run in runs]


def table_1(folder: str) -> dict[str, dict[str, tuple[list[float], float]]]:
    """DGM's Table 1: data set -> row -> our values after all classes, and the paper's (or NaN)."""
    found: dict[str, dict[str, tuple[list[float], float]]] = {}
    for data in TABLE_1_DATA:
        for label, script, name in TABLE_1:
            paper = SCRIPTS[script][0].PAPER if data == "mnist" else dgm.PAPER_ELSEWHERE[data]
            said = paper.get(name, {})
            if data == "imagenet50" and name == "icarl":  # the one of Table 2 that Table 1 repeats
                name, said = "icarl-k1000", {"A_50 (%)": dgm.TABLE_2["icarl-k1000"][1]}
            if runs := read(folder, script, data).get(name):
                metric, values = last_average(runs)
                found.setdefault(data, {})[label] = (values, said.get(metric, math.nan))
    return found


def table_1_text(folder: str) -> str:
    """`table_1` in Markdown: ours, the paper's in brackets."""
    found, rows = table_1(folder), []
    for label, _, _ in TABLE_1:
        cells = []
        for rows_of in found.values():
            values, paper = rows_of.get(label, ([], math.nan))
            text = common.mean_sd(values, 2) if values else "–"
            cells.append(text + (f" (paper {paper:.2f})" if math.isfinite(paper) else ""))
        rows.append([label, *cells])
    titles = {"imagenet50": "ImageNet-50, A_50 (%)", "mnist": "MNIST, A_10 (%)",
              "cifar10": "CIFAR-10, A_10 (%)", "glyphs-rgb": "glyphs-rgb, A_10 (%)"}  # fmt: skip
    return common.markdown_table(["Table 1", *(titles[data] for data in found)], rows)


def draw_table_1(folder: str, path: str) -> None:
    """Table 1 as a picture: a panel a data set, a line a row; ours filled, the paper's hollow."""
    found = table_1(folder)
    fig = Figure(figsize=(2.2 + 2.6 * len(found), 4.2), layout="constrained", dpi=150)
    axes = fig.subplots(1, len(found), sharey=True, squeeze=False)[0]
    labels = [label for label, _, _ in TABLE_1][::-1]
    for ax, (data, rows) in zip(axes, found.items()):
        for label, (values, paper) in rows.items():
            y = labels.index(label)
            ax.plot([min(values), max(values)], [y, y], color="C0", lw=4, alpha=0.3)
            ax.plot(statistics.fmean(values), y, "o", color="C0", label="here")
            ax.plot(paper, y, "o", mfc="none", mec="k", label="the paper")
        ax.set(title=data, xlabel="accuracy on all classes (%)", yticks=range(len(labels)),
               yticklabels=labels)  # fmt: skip
        ax.grid(color="0.92")
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels())))
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, fontsize=9)
    common.save_figure(fig, path)


def exponent(x: list[float], y: list[float]) -> float:
    """Of the power of x that y grows with: the slope of a line through their logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def bench(folder: str, name: str) -> dict:
    """What a script in tests/ measured, or {} if it has not been run."""
    path = Path(folder) / name
    return common.read_json(path) if path.exists() else {}


def costs(folder: str) -> dict[str, dict[str, tuple[list[int], list[float]]]]:
    """What seconds grow with (tasks, images, inner steps) -> who -> how many, and the seconds."""
    tasks, images, steps = {}, {}, {}
    for script, name in (("gan_replay", "ngen12000"), ("dgm", "dgmw"), ("dgm", "dgma")):
        if some := read(folder, script).get(name, []):
            spent = np.mean([[sum(v for k, v in task.items() if k.endswith("_s"))
                              for task in run["timing"]["tasks"]] for run in some], axis=0).tolist()
            # gan_replay's last task trains no GAN
            spent = spent[:-1] if script == "gan_replay" else spent
            tasks[f"{script} `{name}`"] = (list(range(1, len(spent) + 1)),
                                           np.cumsum(spent).tolist())  # fmt: skip
    for row in bench(folder, "growth.json").get("rows", []):
        for values, key in zip(images.setdefault(row["script"], ([], [])), ("images", "seconds")):
            values.append(row[key])
    for row in bench(folder, "synthetic_meta/bench.json").get("rows", []):
        label = {"ours": "synthetic_meta", "higher": "the same by `higher`"}[row["kind"]]
        for values, key in zip(steps.setdefault(label, ([], [])), ("steps", "seconds")):
            values.append(row[key])
    return {"tasks": tasks, "training images": images, "inner steps a task": steps}


def draw_growth(folder: str, path: str) -> None:
    """Seconds against tasks, images and inner steps: a panel each, log axes, fitted powers."""
    kinds = {kind: lines for kind, lines in costs(folder).items() if lines}
    fig = Figure(figsize=(4.2 * len(kinds), 3.9), layout="constrained", dpi=150)
    panels = fig.subplots(1, len(kinds), squeeze=False)[0]
    colours = {script: f"C{i}" for i, script in enumerate(SCRIPTS)}
    for ax, (kind, lines) in zip(panels, kinds.items()):
        for marker, (label, (x, y)) in zip("os^", lines.items()):
            power, start = np.polyfit(np.log(x), np.log(y), 1)
            style = {"color": colours.get(label.split()[0], "0.4")}
            ax.loglog(x, np.exp(start) * np.array(x, float) ** power, lw=1.2, **style)
            ax.loglog(x, y, marker, ms=6, mfc="none", **style,
                      label=f"{label.replace('`', '')}: power {power:.2f}")  # fmt: skip
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axis.set_minor_locator(NullLocator())
        low, high = ax.get_ylim()
        ax.set(xlabel=kind, title={"tasks": "a run so far", "training images": "one epoch"}.get(
            kind, "one meta-step"), ylim=(low, high * (high / low) ** 0.3))  # room for the legend
        ax.grid(color="0.92")
        ax.legend(fontsize=8, loc="upper left")
    panels[0].set_ylabel("seconds")
    common.save_figure(fig, path)


def speed_table(folder: str) -> str:
    """What `make bench` and its kin left, and how a run's time grows with its tasks."""
    rows, machine = [], ""

    def row(what: str, ours: str, other: str, ratio: float, goal: float) -> None:
        verdict = "✅" if ratio >= goal else "❌"
        rows.append([what, ours, other, f"{ratio:.2f} {verdict} (goal {goal:g})"])

    if found := bench(folder, "gan_replay/bench.json"):
        row("gan_replay's solver, images/s, against a DataLoader loop",
            f"{found['solver_images_per_s']:.0f}", f"{found['dataloader_images_per_s']:.0f}",
            found["solver_ratio"], 2)  # fmt: skip
        row("gan_replay's GAN, ms a step, against its layers alone",
            f"{1e3 * found['gan_step_s']:.1f}", f"{1e3 * found['layers_alone_s']:.1f}",
            found["layers_share"], 0.5)  # fmt: skip
        machine = f"{found['environment']['device']}, one thread"
    if found := bench(folder, "gan_replay/bench_avalanche.json"):
        for kind, net in (("vae", "its VAE"), ("gan", "our GAN")):
            one = found[kind]
            row(f"gan_replay on Split-MNIST, images/s, against avalanche-lib's generative replay, "
                f"{net} in both ({one['flops_per_image'] / 1e6:.0f} MFLOP an image)",
                f"{one['ours']['both']:.0f}", f"{one['avalanche']['both']:.0f}",
                one["ratio"]["both"], 2)  # fmt: skip
    if found := bench(folder, "synthetic_meta/bench.json"):
        kinds = {kind: {r["steps"]: r["seconds"] for r in found["rows"] if r["kind"] == kind}
                 for kind in ("ours", "higher")}  # fmt: skip
        ours, other = kinds["ours"], kinds["higher"]
        row("synthetic_meta's meta-step, s, against `higher`", f"{ours[5]:.2f}", f"{other[5]:.2f}",
            other[5] / ours[5], 2)  # fmt: skip
        power = exponent(list(ours), list(ours.values()))
        rows.append([f"the same, {min(ours)} to {max(ours)} inner steps a task",
                     f"grows with power {power:.2f}", "–", "–"])  # fmt: skip
    if found := bench(folder, "grad_predict/bench.json"):
        row("grad_predict's mean old gradient, ms: looked up, against computed",
            f"{1e3 * found['lookup_s']:.2f}", f"{1e3 * found['exact_s']:.0f}",
            found["exact_s"] / found["lookup_s"], 2)  # fmt: skip
    grown = costs(folder)
    for label, (x, y) in grown["tasks"].items():
        rows.append([f"{label}: seconds for the first 1 ... {len(x)} tasks",
                     f"grow with power {exponent(x, y):.2f}", "–", "–"])  # fmt: skip
    for label, (x, y) in grown["training images"].items():
        rows.append([f"{label}: seconds for an epoch of {min(x)} ... {max(x)} training images",
                     f"grow with power {exponent(x, y):.2f}", "–", "–"])  # fmt: skip
    header = [f"what ({machine})" if machine else "what", "ours", "other",
              "how many times better (of its layers: their share)"]  # fmt: skip
    return common.markdown_table(header, rows)


def stress_table(folder: str) -> str:
    """What `make stress` counted: tries, and how many of them ended wrong."""
    totals, rows = bench(folder, "stress.json").get("totals", {}), []
    for name, counts in totals.items():
        killed = sum(counts.get("kills", {}).values())
        wrong = [f"{counts[f'{kind}, wrong']}" if f"{kind}, wrong" in counts else "–" for kind in
                 ("full disk", "read-only", "one target")]  # fmt: skip
        inputs = f"{counts['inputs, wrong']} of {counts['inputs']}" if "inputs" in counts else "–"
        lost = f"{counts['ends in other bytes']} of {killed}" if killed else "–"
        rows.append([name, lost, f"{counts['damaged, wrong']} of {counts['damaged']}", inputs,
                     *wrong])  # fmt: skip
    header = ["went wrong", "killed and resumed: other bytes",
              "damaged files: other bytes, a crash", "wrong inputs let through", "full disk",
              "read-only folder", "two runs, one target"]  # fmt: skip
    return common.markdown_table(header, rows) if rows else ""


def tested_at(folder: str) -> list[str]:
    """Which version `make stress` was run on."""
    commit = bench(folder, "stress.json").get("environment", {}).get("commit")
    return [f"Counted at commit {commit[:7]}; the tests repeat a few of each."] if commit else []


def hours_table(folder: str) -> str:
    """What `make reproduce` costs: of each script the first seed's runs, their hours, versions."""
    rows, every = [], []
    for script in SCRIPTS:
        paths = [Path(folder, script, f"{name}-seed0.json") for name in rows_of(script)]
        runs = [common.read_json(path) for path in paths if path.exists()]
        if runs:
            rows.append(hours_row(script, runs))
            every += runs
    rows.append(hours_row("all", every))
    header = ["script", "runs", "hours of one core", "longest run, minutes", "commits"]
    return common.markdown_table(header, rows)


def hours_row(name: str, runs: list[dict]) -> list[str]:
    """A row of `hours_table`."""
    seconds = [run["timing"]["wall_s"] for run in runs]
    commits = {run["environment"]["commit"][:7] for run in runs}
    cost = [f"{sum(seconds) / 3600:.1f}", f"{max(seconds, default=0.0) / 60:.0f}"]
    return [name, str(len(runs)), *cost, commits.pop() if len(commits) == 1 else str(len(commits))]


def log_of(folder: str, base: str) -> list[str]:
    """A link to the log of a whole `make reproduce`, if it is there."""
    log = Path(folder, "reproduce.log")
    return [f"[Log of one from the first run to the last]({link_to(log, base)}), stopped and "
            "continued several times, a part of it beside other work: the hours at its end are "
            "more than those above."] * log.exists()


def link_to(path: str | Path, base: str) -> str:
    """A path as a link from a page in the folder `base`."""
    return Path(os.path.relpath(path, base)).as_posix()


def growth_figure(folder: str, figure: str, base: str) -> list[str]:
    """The paragraph that shows growth.png, once growth.json is there."""
    if not bench(folder, "growth.json"):
        return []
    where = link_to(Path(figure).with_name("growth.png"), base)
    return [f"![seconds against tasks, images and inner steps]({where})",
            "Both axes are logarithmic: power 1 is proportional. In gan_replay's runs every task "
            "replays more images, for more epochs, than the one before."]  # fmt: skip


def page(folder: str, figure: str, base: str) -> str:
    """RESULTS.md as text."""
    entries, ours = benchmark(folder), Path(folder).resolve().name == "reference"
    out = [
        "# Results",
        "Written by `python report.py` (`make report`) from the JSON of the runs; no number and no "
        "verdict here is typed. A verdict is ✅ when all conditions of a claim hold, ❌ when none "
        "does, else “partly”; the conditions stand in [`report.py`](report.py). A row “(control)” "
        "is our question, not the paper's claim; *Here:* is our comment, in words. Mean ± sample "
        "standard deviation (number of seeds). Each JSON holds its command, seed, commit, "
        "versions and machine; times are means over the seeds, often with another run beside.",
    ]
    runs = read_all(folder)
    machines = {run["environment"]["device"] for some in runs.values() for run in some}
    for script, (_, title) in SCRIPTS.items():
        here = runs | {name.split("/")[1]: some for name, some in runs.items()
                       if name.startswith(f"{script}/")}  # fmt: skip
        rows = []
        for claim in CLAIMS[script]:
            said, verdict = judged(claim, script, here)
            noted = claim.note and ours  # it is about what came out here
            says = f"{claim.says}<br>*Here:* {claim.note}" if noted else claim.says
            rows.append([claim.item, says, said, verdict,
                         evidence(claim, here, folder, script, base)])  # fmt: skip
        header = ["where", "the paper", "measured", "held", "figure, runs, seconds"]
        out += [f"## {title}: `{script}.py`", common.markdown_table(header, rows).strip()]
    out += [
        "## All methods on Split-MNIST",
        "Five tasks of two classes, one head, all ten test classes competing; in order, but for "
        "`synthetic_meta.py`, whose learners each meet a random order and pairing. The rows "
        "differ in nets, image size (dgm: 16×16) and training, as the papers do; compare within a "
        "script first. `synthetic_meta.py` keeps nothing between tasks, but its generator, or its "
        "rates, were learned beforehand on images of all classes. Peak MB is of the whole process.",
        f"![accuracy against bytes kept]({link_to(figure, base)})",
        benchmark_table(entries).strip(),
        "## Table 1 of DGM, all rows",
        "What is known of all classes after the last task, mean ± sample standard deviation over "
        "seeds, the paper's number in brackets. Ours are at laptop scale: 16×16 pixels. The four "
        "rows ending in S store images (ten a class; on ImageNet-50 1,000 in all), JT has all, the "
        "others none.",
        f"![Table 1 as a picture]({link_to(Path(figure).with_name('table1.png'), base)})",
        table_1_text(folder).strip(),
        "## Speed",
        "`make bench`, `make bench-higher` and `make bench-avalanche` measure this on an idle "
        "machine; how time grows with the tasks is taken from the runs, which had company. A goal "
        "is what we set out for.",
        speed_table(folder).strip(),
        *growth_figure(folder, figure, base),
        "## How long make reproduce takes",
        "One seed of every row on MNIST (`dgm.py` at laptop scale), one thread each. Two are made "
        "at a time, so the hours at the clock are about half of these. Where a run was made twice "
        "with equal numbers, the shorter time stands here; where the machine did more beside, it "
        "is still too long. The commit that made the runs, or how many did.",
        hours_table(folder).strip(),
        *log_of(folder, base),
        "## Robustness",
        "`make stress` kills every script at random moments and while it samples, evaluates and "
        "writes, damages its files, fills its disk and misuses it; counted is what went wrong.",
        stress_table(folder).strip(),
        *tested_at(folder),
        "## Deviations",
        "Where a script departs from its paper, or the paper is silent; docs/ has the reasons.",
    ]
    for script in SCRIPTS:
        out += [f"### {script}.py", deviations(script)]
    out.append(f"Machines: {', '.join(sorted(machines))}.")
    return "\n\n".join(out) + "\n"


def comparison(reference: str, yours: str) -> str:
    """Accuracy and megabytes of every method, the reference's and yours."""
    data = [{str(run["args"]["dataset"]) for some in read_all(folder).values() for run in some}
            for folder in (reference, yours)]  # fmt: skip
    if data[0] != data[1]:
        named = [" and ".join(sorted(some)) for some in data]
        return f"no table of all methods: {yours} is of {named[1]}, {reference} of {named[0]}\n"
    both = [{(e["script"], e["name"]): e for e in benchmark(folder)}
            for folder in (reference, yours)]  # fmt: skip
    rows = []
    for key in dict.fromkeys([*both[0], *both[1]]):
        pair = [side.get(key) for side in both]
        label = next(e["label"] for e in pair if e)
        cells = [common.mean_sd(e["ACC"]) if e else "–" for e in pair]
        kept = [f"{e['kept']:.2f}" if e else "–" for e in pair]
        rows.append([f"{key[0]}: {label}", *cells, *kept])
    header = ["Split-MNIST", "accuracy, reference", "yours", "MB kept, reference", "yours"]
    return common.markdown_table(header, rows) + "\n" + repeated(reference, yours)


def repeated(reference: str, yours: str) -> str:
    """How many runs that both folders have came out alike to the last bit, and which did not."""
    about = {"command", "args", "timing", "environment", "path", "checksum"}  # not what came out
    ours, others = ({(name, run["args"]["seed"]): run for name, some in read_all(folder).items()
                     for run in some} for folder in (reference, yours))  # fmt: skip
    shared = ours.keys() & others.keys()
    differ = [(name, seed) for name, seed in sorted(shared)
              if any(ours[name, seed][key] != others[name, seed][key]
                     for key in (ours[name, seed].keys() & others[name, seed].keys()) - about)]
    said = f"{len(shared) - len(differ)} of {len(shared)} runs have the reference's very numbers"
    which = ", ".join(f"{name} (seed {seed})" for name, seed in differ)
    return f"{said}; not {which}.\n" if differ else f"{said}.\n"


# The number of each paper that the README shows: what it is, row, metric, and the paper's value.
HEADLINES = {
    "gan_replay": (("BWT, n_gen = 12k", "ngen12000", "BWT"),
                   ("BWT, `improved`", "improved", "BWT")),
    "dgm": (("A_10 of DGMw", "dgmw", "A_10 (%)"), ("A_10, `improved`", "improved", "A_10 (%)")),
    "synthetic_meta": (("ACC, synthetic", "synthetic", "ACC"), ("ACC, real", "real", "ACC"),
                       ("ACC, `improved`", "improved", "ACC")),
    "grad_predict": (("ACC, Eq. (5)", "scalar", "ACC (%)"), ("ACC, plain SGD", "sgd", "ACC (%)"),
                     ("ACC, `improved`", "improved", "ACC (%)")),
}  # fmt: skip


def headlines(folder: str) -> str:
    """A row per number of HEADLINES: the paper's, ours; and how many of its claims held."""
    rows = []
    for script, numbers in HEADLINES.items():
        runs = read(folder, script)
        verdicts = [judged(claim, script, runs)[1] for claim in CLAIMS[script]
                    if "control" not in claim.item]  # fmt: skip
        held = f"{verdicts.count('✅')} of {len(verdicts)}"
        for i, (what, name, metric) in enumerate(numbers):
            value = SCRIPTS[script][0].PAPER.get(name, {}).get(metric)
            shown = "–" if value is None else f"{value:.{common.metric_digits(metric)}f}"
            first = (f"`{script}.py`", held) if i == 0 else ("", "")
            rows.append([first[0], what, shown.replace("-", "−"),
                         common.metric(runs.get(name, []), metric), first[1]])  # fmt: skip
    return common.markdown_table(["script", "number", "paper", "ours", "claims held"], rows)


PARTS = ("what it is about", "the method", "beyond it, and the run", "figures and tables", "flags")


def lengths() -> str:
    """How many lines of every script are the paper's method, and how many are all the rest."""
    rows = []
    for script, (module, _) in SCRIPTS.items():
        counts = dict.fromkeys(PARTS, 0)
        part = "what it is about"
        for line in inspect.getsource(module).splitlines():
            title = line.removeprefix("# ")
            if line.startswith("def parse_args") or title == "Flags and checks":
                part = "flags"
            elif title.startswith("Figures and tables"):
                part = "figures and tables"
            elif title.startswith(("Beyond the paper", "The run")):
                part = "beyond it, and the run"
            elif line.startswith("# ---") and part in ("what it is about", "flags"):
                part = "the method"
            counts[part] += 1
        rows.append([f"`{script}.py`", *map(str, counts.values())])
    return common.markdown_table(["lines", *PARTS], rows)


def seconds_of(path: Path) -> float:
    """How long a run took, seconds; NaN if there is no such result, or it does not say."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["timing"]["wall_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return math.nan


def plan(dataset: str, results: list[str], reference: str) -> str:
    """What is there and what is missing; the missing runs take as long as in `reference`.

    A run that the reference lacks takes as long as its script's middle one.
    """
    rows, spent, left = [], 0.0, 0.0
    for script in SCRIPTS:
        paths = [Path(path) for path in results if Path(path).parent.name == script]
        if not paths:
            continue
        beside = Path(reference) / f"{script}-{dataset}"
        ours = {path.name: seconds_of(path) for folder in (Path(reference) / script, beside)
                for path in folder.glob("*-seed*.json")}  # fmt: skip
        known = [seconds for seconds in ours.values() if math.isfinite(seconds)]
        middle = statistics.median(known) if known else 0.0
        there = [path for path in paths if path.exists()]
        took = sum(filter(math.isfinite, map(seconds_of, there)))
        missing = 0.0
        for path in set(paths) - set(there):
            first = re.sub(r"-seed\d+", "-seed0", path.name)
            expected = ours.get(path.name, ours.get(first, math.nan))
            missing += expected if math.isfinite(expected) else middle
        figures = f"figures/{dataset}/{script}"
        drawn = f"{figures}/tables.md" if Path(figures, "tables.md").exists() else "–"
        rows.append([script, str(len(paths)), str(len(there)), f"{took / 3600:.1f}",
                     f"{missing / 3600:.1f}", drawn])  # fmt: skip
        spent, left = spent + took, left + missing
    rows.append(["all", str(len(results)), str(sum(int(row[2]) for row in rows)),
                 f"{spent / 3600:.1f}", f"{left / 3600:.1f}", ""])  # fmt: skip
    header = ["script", "runs", "done", "hours spent", "hours to go (one core)", "tables, figures"]
    return common.markdown_table(header, rows)


def main(argv: list[str] | None = None) -> None:
    """The page and its figure, or the comparison."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    if args.plan:
        return print(plan(args.plan, args.results, args.runs), end="")
    for folder in filter(None, (args.runs, args.compare)):
        if not any(Path(folder).glob("*/*-seed*.json")):
            raise common.UserError(f"{folder} has no SCRIPT/NAME-seedS.json yet: make reproduce")
    if args.compare:
        return print(comparison(args.runs, args.compare), end="")
    figure = args.figure or f"{args.runs}/benchmark.png"
    for path in (args.out, figure):
        common.check_writable(path)
    draw_benchmark(benchmark(args.runs), figure)
    if table_1(args.runs):
        draw_table_1(args.runs, str(Path(figure).with_name("table1.png")))
    if bench(args.runs, "growth.json"):
        draw_growth(args.runs, str(Path(figure).with_name("growth.png")))
    base = str(Path(args.out).resolve().parent)
    common.write_text(args.out, page(args.runs, str(Path(figure).resolve()), base))
    if args.readme:
        common.fill_between_markers(args.readme, "lengths", lengths())
        common.fill_between_markers(args.readme, "headlines", headlines(args.runs))
    print(f"{args.out} and {figure} are written")


if __name__ == "__main__":
    common.exit_in_one_line(main)
