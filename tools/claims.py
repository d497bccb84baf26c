"""The papers' claims: the runs that speak to each, what is taken from them, and when it holds.

Verdicts are computed, by RULES. Whoever thinks a condition unfair changes it here, and sees
RESULTS.md change. A note says in words, without numbers, what the verdict hangs on.
"""

import argparse
import functools
import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import gan_replay
from tools.benchmark import forgetting_of, kept_by_dgm, kept_by_episodic
from tools.figures import grad_predict
from tools.runs import start_of
from tools.tables import Runs, mean_sd

# --------------------------------------------------------------------------------------------
# The rules, for all claims alike: RESULTS.md prints them, `decide` and `in_one` compute them
# --------------------------------------------------------------------------------------------

POINTS = 3.0  # per cent: as far as this from a number is "the same"
POINT = POINTS / 100  # where accuracy is a share
SHARP = 0.1  # of accuracy: what "sharply" and "catastrophic" are taken for

RULES = (
    f"A number holds if the mean over seeds is within {POINTS:.0f} points of the paper's, in all "
    "tables alike; “the same”, “does not fall” and “maintained” mean the same distance.",
    "A direction (“A beats B”) is judged by the difference of A and B seed by seed: its mean and "
    "the t interval of that mean (95 %). What the interval leaves open is inconclusive.",
    "✅ and ❌ need three seeds, else “one seed” or “two seeds” stands beside them. One seed has "
    "no interval: the spread of those of its runs that have more seeds takes its place, if any.",
    "✅: all parts of a claim hold. ❌: all fail. Inconclusive: none holds and one at least is "
    "open. Partly: all else. A network that died fails, whatever the others did.",
    "Not tested at this scale: runs of a laptop's size cannot decide it; the reason stands below. "
    "A dash: not run, or not measured yet.",
)
# Student's t, 97.5 %, for 2, 3, ... seeds; more than ten count as ten.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)

Margin = Any  # masked float [seeds], above 0 where it holds, or bool; a list of them: all must


class Part(NamedTuple):
    """A condition of a claim, judged."""

    state: str  # holds, fails, open; "" if no seed has all that it needs
    seeds: int
    says: str = ""  # how far, and the interval


def decide(margin: Margin, filled: Margin) -> Part:
    """Is a margin above 0? Its mean over seeds and the t interval of that mean say so.

    margin: masked array [seeds]; a seed that one of the runs lacks is masked, NaN is a network that
    died. Booleans hold if they do with every seed, and fail if with none. `filled`: the same with
    the mean of its run in place of what is lacking, for the spread where one seed is left.
    """
    if isinstance(margin, list):
        parts = [decide(one, more) for one, more in zip(margin, filled)]
        states = {part.state for part in parts}
        state = next((one for one in ("", "fails", "open") if one in states), "holds")
        return next(p for p in parts if p.state == state)._replace(
            state=state, seeds=min(part.seeds for part in parts))  # fmt: skip
    known = np.ma.asarray(margin).compressed()
    alive = known[~np.isnan(known)]
    n, dead = len(known), len(known) - len(alive)
    if not len(alive):
        return Part("fails" if dead else "", n, "dead" if dead else "")
    if known.dtype == bool:
        return Part("holds" if known.all() else "open" if known.any() else "fails", n)
    mean, half = float(alive.mean()), half_width(alive)
    says = f"by {digits(mean, mean)}" + (f" ({digits(mean - half, mean)} to "
            f"{digits(mean + half, mean)})" if len(alive) > 1 else "")  # fmt: skip
    if len(alive) == 1:
        half = half_width(np.asarray(filled)[~np.isnan(np.asarray(filled))], of_mean=False)
        says += f"; ± {digits(half, mean)} by its runs of more seeds" if half else ""
    if half and abs(mean) <= half:
        return Part("open", n, says)
    return Part("fails" if mean <= 0 else "open" if dead else "holds", n, says)


def half_width(values: np.ndarray, of_mean: bool = True) -> float:
    """Of the 95 % t interval of the mean of values [n], or of one more value; 0 from one alone."""
    n = len(values)
    if n < 2:
        return 0.0
    t = T95[min(n, len(T95) + 1) - 2]
    return float(t * np.std(values, ddof=1) / (math.sqrt(n) if of_mean else 1.0))


def in_one(parts: list[Part]) -> str:
    """The verdict on a claim from its parts."""
    states = {part.state for part in parts}
    if "" in states:
        return "–"
    if states == {"holds"}:
        return "✅"
    if states == {"fails"}:
        return "❌"
    return "partly" if "holds" in states else "inconclusive"


def near(x: Margin, number: float, points: float = POINTS) -> Margin:
    """Within three points of a number."""
    return [x - (number - points), (number + points) - x]


def least(*values: Margin) -> Margin:
    """The smallest, seed by seed."""
    return functools.reduce(np.minimum, values)


def most(*values: Margin) -> Margin:
    """The largest, seed by seed."""
    return functools.reduce(np.maximum, values)

# --------------------------------------------------------------------------------------------
# What is taken from a run: a function from its JSON to numbers, each with a name
# --------------------------------------------------------------------------------------------

Values = dict[str, float | None]  # None: a result of before this was measured
Measure = Callable[[dict], Values]


def of(*names: str) -> Measure:
    """These metrics of a run; a dead one lacks them, that is, they are NaN."""
    return lambda run: {name: run["metrics"].get(name, math.nan) for name in names}


def by_task(run: dict) -> Values:
    """Accuracy on each task at the end, the oldest first."""
    return {f"task {t + 1}": v for t, v in enumerate(run["R"][-1])}


def later(run: dict) -> Values:
    """Accuracy on a task when it is learned, one task later and two tasks later; means of all.

    And that on the first task at the end.
    """
    R = np.array(run["R"])[1:]  # [T, T]
    names = ("when learned", "one task later", "two tasks later")
    means: Values = {name: float(R.diagonal(-lag).mean()) for lag, name in enumerate(names)}
    return means | {"task 1 at the end": float(R[-1, 0])}


def first_task(run: dict) -> Values:
    """Accuracy at the end on the first task, and on those between it and the newest."""
    last = run["R"][-1]
    return {"task 1": last[0], "tasks between": float(np.mean(last[1:-1]))}


def line_of_images(run: dict) -> Values:
    """Images that solver and GAN see in a task, in an epoch of each: R² of a straight line through
    tasks 1, 2, ..., and last over first; and last over first of all epochs. Only tasks with a GAN.
    """
    pairs = [(task["solver_images"], task["gan_images"]) for task in run["tasks"]]
    args = argparse.Namespace(**{"final_gan": False} | run["args"])  # which old results lack
    epochs = gan_replay.gan_epochs(args, len(pairs))
    every = np.array(pairs, float)[np.array(epochs) > 0]  # [tasks, 2]
    each = [[run["args"]["solver_epochs"], n] for n in epochs if n]
    images = (every / np.array(each)).sum(1)  # [tasks]
    t = np.arange(len(images))
    rest = images - np.polyval(np.polyfit(t, images, 1), t)
    return {"an epoch of a task, R² of a line": float(1 - rest.var() / images.var()),
            "last task / first": float(images[-1] / images[0]),
            "the same, all epochs": float(every[-1].sum() / every[0].sum())}  # fmt: skip


def scarcity(run: dict) -> Values:
    """Of balanced replay: images drawn for one that is kept, and the least that an old class got of
    its share; over all tasks."""
    later = run["tasks"][1:]
    shares, classes = [], 0
    for t, task in enumerate(later, 1):
        classes += len(run["classes"][t - 1])
        wanted = run["args"]["n_gen"] * (t if run["args"]["n_gen_mode"] == "per-task" else 1)
        shares.append(sorted(task["replayed"], reverse=True)[classes - 1] / (wanted // classes))
    drawn = [task.get("drawn") for task in later]
    kept = sum(sum(task["replayed"]) for task in later)
    return {"drawn / kept": None if None in drawn else sum(drawn) / kept,
            "least share of a class": min(shares)}  # fmt: skip


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
    """Largest change of a pixel (-1 to 1) in generated images of old classes, over all tasks."""
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
    """Units that the first three and the last three tasks added, means; and all tasks' growth."""
    units = [sum(task["widths"]) for task in run["tasks"]]
    added = np.diff(units)
    return {"added early": float(added[:3].mean()), "late": float(added[-3:].mean()),
            "in all": float(added.sum())}  # fmt: skip


def occupation(run: dict) -> Values:
    """Figure 3(b): mean mask value in the second task, at first, at least, at the end."""
    mean = [row[0] for row in run["tasks"][1]["trace"]]
    return {"first epoch": mean[0], "least": min(mean), "last epoch": mean[-1]}


def transition(run: dict) -> Values:
    """Figure 3(b): how undecided a few masks of the second task are, 4 m (1 - m), in the first
    epoch and where epochs 45 and 65 of 70 would be."""
    m = np.array(run["tasks"][1]["trace"])[:, 1:]  # [epochs, masks]
    undecided = (4 * m * (1 - m)).mean(1)
    at = [round(share * (len(m) - 1)) for share in (0, 45 / 70, 65 / 70)]
    return dict(zip(("first epoch", "45 of 70", "65 of 70"), undecided[at].tolist()))


def room(run: dict) -> Values:
    """A_10, and the share of the generator that is still free at the end, in per cent."""
    layers = run["tasks"][-1]["layers"]
    free = sum(layer["size"] - layer["used"] - layer["new"] for layer in layers)
    return {"A_10 (%)": run["metrics"]["A_10 (%)"],
            "free (%)": 100 * free / sum(layer["size"] for layer in layers)}  # fmt: skip


def while_training(run: dict) -> Values:
    """MB of the masked layers in the first task and in the last: weights and mask embeddings, each
    with its gradient and Adam's two moments, four bytes a number."""
    some = {"first task, MB": run["tasks"][0], "last task, MB": run["tasks"][-1]}
    return {name: 4 * (task["disc"]["weights"] + 4 * sum(layer["size"] for layer in task["layers"]))
            / 1e6 for name, task in some.items()}  # fmt: skip


def time_of_gan(run: dict) -> Values:
    """Seconds that the GAN learned, over all tasks; forgetting."""
    seconds = sum(task["gan_s"] for task in run["timing"]["tasks"])
    return {"GAN, s": seconds, "forgetting": run["metrics"]["forgetting"]}


def drop(run: dict) -> Values:
    """How far accuracy falls from five classes to ten."""
    return {"A_5 - A_10 (%)": run["metrics"]["A_5 (%)"] - run["metrics"]["A_10 (%)"]}


STATISTICS = {  # BatchNorm's, when a learner is tested (synthetic_meta.py, Deviation 4)
    "batch": "test batch", "running": "rate 0.1", "mean": "plain mean", "own": "own images",
}  # fmt: skip


def forgets(run: dict) -> Values:
    """How far accuracy on a task falls from its best to the end, each learner's, then their mean;
    by the statistics that the learners were tested with."""
    return {name: forgetting_of(run["learners"][mode]) if mode in run["learners"] else None
            for mode, name in STATISTICS.items()}  # fmt: skip


def at_the_end(run: dict) -> Values:
    """Accuracy on all classes, by the statistics that the learners were tested with."""
    known = run["learners"]
    return {name: float(np.mean(known[mode]["last"])) if mode in known else None
            for mode, name in STATISTICS.items()}  # fmt: skip


def shrinks(key: str) -> Measure:
    """Accuracy at the paper's setting and at 15 times as much of `key`, with and without
    transduction."""
    def measure(run: dict) -> Values:
        some, out = run[key], dict[str, float | None]()
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
    """`holds` gets all values, run by run, in the order in which they are measured, each a masked
    array over the seeds; it gives the parts of the claim by name, each a margin (see `decide`).

    A run of another script is named SCRIPT/NAME. `note`: words, no measured number; the page
    prints it with the evidence. `untested`: why our runs cannot decide it; rows of `whole`, at the
    paper's size, are judged in their place as soon as all are there.
    """

    item: str
    says: str
    runs: tuple[str, ...]
    measure: Measure
    holds: Callable[..., dict[str, Margin]]
    figure: str = ""
    note: str = ""
    paper: str = ""  # its number
    untested: str = ""
    whole: tuple[str, ...] = ()


def same(a: Margin, b: Margin, points: float = POINTS) -> Margin:
    """Within three points of each other."""
    return [a - b + points, b - a + points]


OTHERS = ("EWC-M", "DGR", "MeRGAN, retrained", "MeRGAN, aligned")
GENERATIVE = ("dgmw", "dgma", "ewc", "dgr", "mergan", "mergan-align")
DGM50, ICARL = "dgm-imagenet50", ("episodic-imagenet50/icarl-k1000",
                                  "episodic-imagenet50/icarl-k2000")  # fmt: skip
TABLE_2 = of("A_30 (%)", "A_50 (%)", "top-5 A_30 (%)", "top-5 A_50 (%)")
WAYS = ("", "; real new images, more steps")  # as in all rows here; as iCaRL learns


def above_others(w: Margin, a: Margin, *others: Margin) -> dict[str, Margin]:
    """DGMw and DGMa above each of OTHERS."""
    return {f"both above {name}": [w - v, a - v] for name, v in zip(OTHERS, others)}


def without_real(*v: Margin) -> dict[str, Margin]:
    """Table 2: r = 0, in both WAYS, below iCaRL with K = 1000 and 2000."""
    marks = ((1, "A_50"), (2, "top-5 A_30"), (3, "top-5 A_50"))
    return {f"{name} below{way}": least(v[8 + i], v[12 + i]) - v[4 * j + i]
            for j, way in enumerate(WAYS) for i, name in marks}  # fmt: skip


def with_a_tenth(*v: Margin) -> dict[str, Margin]:
    """Table 2: r = 0.1 above iCaRL with K = 1000 and 2000, and above r = 0, in both WAYS."""
    parts: dict[str, Margin] = {}
    for j, way in enumerate(WAYS):
        r0, r10 = v[8 * j : 8 * j + 4], v[8 * j + 4 : 8 * j + 8]
        parts |= {f"{name} above iCaRL{way}": r10[i] - most(v[16 + i], v[20 + i])
                  for i, name in enumerate(("A_30", "A_50"))}  # fmt: skip
        parts[f"A_50 more than {POINTS:.0f} points above r=0{way}"] = r10[1] - r0[1] - POINTS
    return parts


def with_equal_memory(*v: Margin) -> dict[str, Margin]:
    """Table 2: DGMw above iCaRL after 30 classes and below after 50, K = 1000 and 2000."""
    parts: dict[str, Margin] = {}
    for j, way in enumerate(WAYS):
        for k, K in enumerate(("K=1000", "K=2000")):
            dgm, icarl = v[8 * j + 4 * k :], v[16 + 4 * k :]
            parts |= {f"{K}, A_30 above{way}": dgm[0] - icarl[0],
                      f"{K}, A_50 below{way}": icarl[1] - dgm[1]}  # fmt: skip
    return parts


ALL_FOUR = ("iCaRL-S", "PI-S", "EWC-S", "RWalk-S")


def order_of_table_1(icarl: Margin, pi: Margin, ewc: Margin, rwalk: Margin) -> dict[str, Margin]:
    """iCaRL below PI and EWC, these below RWalk."""
    return {"iCaRL-S below both": least(pi, ewc) - icarl,
            "both below RWalk-S": rwalk - most(pi, ewc)}  # fmt: skip


CLAIMS = {
    "gan_replay": (
        Claim("Sec. 4", "n_gen = 12k “is able to slow down the rate at which the model forgets”",
              ("none", "ngen12000"), of("ACC", "BWT"),
              lambda acc, bwt, ours, ours_bwt: {"ACC above no replay": ours - acc,
                                                "BWT above no replay": ours_bwt - bwt},
              "averages.png",
              "Our BWT is far milder than the paper's. Its nets and schedules are not given, so we "
              "cannot say why; a GAN that learns more slowly (row “DCGAN's learning rate”) "
              "goes more than half of the way there.", "BWT −0.609"),
        Claim("Sec. 4", "“the further in the past a task is the worse the performance”",
              ("ngen12000",), by_task,
              lambda *a: {"the newest is known best": a[-1] - most(*a[:-1]),
                          "each better than the one before": [y - x for x, y in zip(a, a[1:])]},
              "figure4.png",
              "The newest task is known best and the one before it next; below those there is no "
              "order."),
        Claim("Sec. 4", "n_gen = 1.2k: “performs very well on task n” and, a task later, still; "
              "then it “drops significantly”", ("ngen1200",), later,
              lambda new, one, two, _: {
                  "above 0.8 until one task later": least(new, one) - 0.8,
                  "falls by more than 0.1 with the next": one - two - SHARP,
                  "and by more than with the one before": (one - two) - (new - one)},
              "figure5.png",
              "The first task is lost in the end: the run warns that the GAN no longer generates "
              "one of its digits."),
        Claim("Sec. 4", "n_gen = 120k “is able to remember only the first task”",
              ("ngen120000",), first_task,
              lambda first, between: {"those between at most half as well": first / 2 - between},
              "figure6.png",
              "The first task is the best kept of the old ones, as the paper explains, but the "
              "others are not lost. With 12k the result is better, at a fraction of the cost."),
        Claim("Sec. 4", "backward transfer “is always negative”",
              ("ngen1200", "ngen12000", "ngen120000", "improved"), of("BWT"),
              lambda *bwt: {name: -v for name, v in zip(("1.2k", "12k", "120k", "improved"), bwt)}),
        Claim("Sec. 2", "the convolutional GAN is “more reliable and produced better results” than "
              "the MLP", ("ngen12000", "mlp"), of("ACC"),
              lambda conv, mlp: {"better results": conv - mlp}, "",
              "The MLP at the rate and epochs that were chosen for the convolutional one. "
              "Reliability would take many seeds."),
        Claim("Sec. 4", "the cost of a task grows linearly with the tasks, so that of all "
              "quadratically (as many epochs in all)", ("ngen12000",), line_of_images,
              lambda r2, times, _: {"a line (R² above 0.98)": r2 - 0.98,
                                    "more than twice the first": times - 2}, "cost.png",
              "The images of an epoch, solver's and GAN's. Our GAN trains for an epoch more after "
              "each task (Deviation 1), as the paper found “beneficial”, so that a task's whole "
              "cost grows faster still."),
        Claim("Sec. 4", "with a fixed total of generated images, the data of a task stop growing",
              ("total12000",), plateau, lambda times: {"by less than a tenth": 1.1 - times},
              "cost.png",
              "The GAN still trains for an epoch more in every task (Deviation 1). What this costs "
              "in accuracy: tradeoff.png."),
        Claim("Sec. 4", "memory: “around 30 times more efficient” than the images (at least 25)",
              ("ngen12000",), times_smaller,
              lambda floats, small, _: {"images as float32": floats - 25,
                                        "images as bytes": small - 25}, "",
              "True of images kept as float32, four bytes a pixel, as the paper counts; not of "
              "images kept as bytes, unless the generator alone is counted. (It stands for the "
              "past, but the old solver names what it generates.)", "180 MB / 5.7 MB"),
        Claim("– (control)", "generated images keep more than real ones in as many bytes; the "
              "paper's solver, then that of --preset improved",
              ("bytes", "ngen12000", "improved-bytes", "improved"), of("ACC"),
              lambda real, ours, real_2, improved: {"the paper's": ours - real,
                                                    "improved": improved - real_2},
              "averages.png",
              "The bytes are those of the generator, in the improved preset with the "
              "discriminator, which goes on from task to task."),
        Claim("Sec. 2", "equal numbers per class: “quite difficult to train”, as a class may never "
              "come", ("balance1200", "balance"), scarcity,
              lambda drawn, share, *_: {"a class gets less than half its share": 0.5 - share,
                                        "more than twice as many drawn as kept": drawn - 2}, "",
              "Judged with n_gen = 1.2k, where the GAN forgets a digit; with 12k no class runs "
              "out. The number of images drawn is bounded, and a class that never appears is "
              "named."),
    ),
    "dgm": (
        Claim("Sec. 1", "the generator learns new classes “without the need to replay previous "
              "knowledge” to it (last row: without the veto of Eq. 5)", ("dgmw", "dgma", "no-veto"),
              change_of_old_images,
              lambda w, a, without: {"DGMw: no bit changes": w == 0, "DGMa: no bit changes": a == 0,
                                     "they do without the veto": without > 0}, "figure5.png",
              "With the veto no bit of an old image ever changes: every run checks it after every "
              "task."),
        Claim("Sec. 3.1", "the masks' veto (Eq. 5) keeps old classes",
              ("dgmw", "no-veto", "none"), of("A_10 (%)"),
              lambda ours, without, none: {
                  f"more than {POINTS:.0f} points above no veto": ours - without - POINTS,
                  "above no replay": ours - none}, "figure5.png"),
        Claim("Table 1", "DGMw, accuracy after five / ten classes; last row: in the paper's "
              "manner, no steps of the classifier alone", ("dgmw", "raw"),
              of("A_5 (%)", "A_10 (%)"), lambda a5, a10, raw5, raw10: {
                  "A_5": near(a5, 98.75), "A_10": near(a10, 96.46),
                  "A_5, last row": near(raw5, 98.75), "A_10, last row": near(raw10, 96.46)},
              "averages.png",
              "At a quarter of the pixels. In the first row the classifier goes on learning, "
              "on distorted images, when the generator is frozen (Deviation 9).", "98.75 / 96.46"),
        Claim("Table 1", "DGMa, accuracy after five / ten classes", ("dgma",),
              of("A_5 (%)", "A_10 (%)"),
              lambda a5, a10: {"A_5": near(a5, 99.17), "A_10": near(a10, 97.92)}, "averages.png",
              "At a quarter of the pixels. After ten classes it is as good as DGMw, which the "
              "paper has lower.", "99.17 / 97.92"),
        Claim("Sec. 4", "DGM “outperforms the state of the art” without stored images, EWC-M and "
              "DGR; “an increase in performance over” MeRGAN (retrained; then aligned)",
              GENERATIVE, of("A_10 (%)"), above_others, "averages.png",
              "Same critic, steps and images. MeRGAN with joint retraining and DGR copy copies and "
              "fall far behind. MeRGAN with replay alignment does not: it is as good as DGM, with "
              "a generator of fixed size, which goes through all old classes in every task. The "
              "paper does not say which of the two it quotes; its own table has DGMw below it."),
        Claim("Table 1", "EWC-M, DGR, MeRGAN (retrained; then aligned), after five / ten classes",
              GENERATIVE[2:], of("A_5 (%)", "A_10 (%)"),
              lambda *v: {f"{name}, {mark}": near(x, number) for name, mark, x, number in zip(
                  np.repeat(OTHERS, 2), ("A_5", "A_10") * 4, v,
                  (70.62, 77.03, 90.39, 85.40, 98.19, 97.00, 98.19, 97.00))}, "averages.png",
              "Of these methods we built the generator's memory alone; the critic, the classifier "
              "and the images are DGM's.", "70.62 / 77.03, 90.39 / 85.40, 98.19 / 97.00"),
        Claim("Sec. 4", "MeRGAN's replay leads to “increased training time and sensitivity to "
              "semantic drift” (retrained; then aligned)", ("dgmw", "mergan", "mergan-align"),
              time_of_gan,
              lambda s, lost, s2, lost2, s3, lost3: {
                  "retrained: longer": s2 - s, "retrained: forgets more": lost2 - lost,
                  "aligned: longer": s3 - s, "aligned: forgets more": lost3 - lost}, "cost.png",
              "Equal numbers of steps and of images for the critic; seconds of a shared machine."),
        Claim("Table 1", "JT, accuracy after five / ten classes; last row: images as they are",
              ("joint", "joint-raw"), of("A_5 (%)", "A_10 (%)"),
              lambda a5, a10, raw5, raw10: {
                  "A_5": near(a5, 97.66), "A_10": near(a10, 98.10), "A_5, last row":
                  near(raw5, 97.66), "A_10, last row": near(raw10, 98.10)}, "averages.png", "",
              "97.66 / 98.10"),
        Claim("Sec. 4", "of both, DGM and MeRGAN, accuracy “between 5 and 10-tasks of the MNIST "
              "benchmark has changed a little” (by less than 3 points)",
              ("dgmw", "dgma", "mergan", "mergan-align"), drop,
              lambda *v: {name: POINTS - x for name, x in
                          zip(("DGMw", "DGMa", *OTHERS[2:]), v)}, "averages.png"),
        Claim("Sec. 4", "both “outperform JT on MNIST (A_5)”",
              ("dgmw", "dgma", "joint-raw", "joint"), of("A_5 (%)"),
              lambda w, a, *joint: {"DGMw": w - most(*joint), "DGMa": a - most(*joint)}, "",
              "Joint training is better than either, with distorted images and without, and better "
              "than the paper's JT.", "JT 97.66"),
        Claim("Sec. 4", "“sub-linear growth”: tasks add fewer units as time goes on; and DGMw "
              "“significantly slows down the network growth” (to less than half of DGMa's)",
              ("dgmw", "dgma"), growth,
              lambda w, w_late, w_all, a, a_late, a_all: {
                  "DGMw adds fewer at last": w - w_late, "DGMa adds fewer at last": a - a_late,
                  "DGMw less than half of DGMa": a_all / 2 - w_all}, "figure4.png",
              "Of DGMa the curve is nearly a line: what its tasks add falls by little. λ_RU and "
              "s_max of the two differ, too, by our choice."),
        Claim("Sec. 4", "removing the expansion “would lead to the inability of the generator to "
              "accommodate for memorizing new task” (more than 3 points below)",
              ("dgmw", "no-growth"), room,
              lambda ours, _, without, _2: {"below": ours - without - POINTS}),
        Claim("Sec. 4", "“the ratio of reused units is increasing between tasks”",
              ("dgmw", "dgma"), reuse,
              lambda w2, w, a2, a: {"DGMw": w - w2, "DGMa": a - a2}, "figure3a.png"),
        Claim("Sec. 1", "DGMw has “better parameter reusability” than DGMa (in the last task)",
              ("dgmw", "dgma"), reuse, lambda w2, w, a2, a: {"last task": w - a}, "figure3a.png",
              "λ_RU and s_max of the two differ, by our choice."),
        Claim("Sec. 3.1", "DGMa with “global annealing” alone “showed better performance” than "
              "with local annealing, too", ("dgma", "dgma-local"), of("A_10 (%)"),
              lambda ours, local: {"above local": ours - local}),
        Claim("Table 3", "DGMw's final generator is smaller than MeRGAN's (5.18e5)",
              ("dgmw", "mergan"), lambda run: {"numbers": run["tasks"][-1]["base"]},
              lambda w, *_: {"smaller than 5.18e5": 5.18e5 - w}, "",
              "", "3.83e5 / 5.18e5",
              "at 16×16 pixels we chose MeRGAN's size ourselves, in the paper's proportion to "
              "where DGMw ends, so that comparing them tests nothing. At the paper's size MeRGAN's "
              "is given, and the row dgmw-paper decides", ("dgmw-paper",)),
        Claim("Table 4", "DGMw's masks take more disc than DGMa's, all of it less; both less than "
              "the images", ("dgmw", "dgma"), disc,
              lambda wm, w, x, am, a, _: {"masks": wm - am, "in total": a - w,
                                          "both below the images": [x - w, x - a]}, "",
              "λ_RU and s_max of the two differ, by our choice."),
        Claim("Sec. 4", "“During the training, DGMw still exhibits a larger memory consumption”",
              ("dgmw", "dgma"), while_training,
              lambda w, w_last, a, a_last: {"first task": w - a, "last task": w_last - a_last}, "",
              "Counted, not measured. Both begin with as many weights; DGMa grows faster."),
        Claim("Sec. 4", "on ImageNet-50 the generator takes 27.5 % less disc than the images (it "
              "takes less)", (f"{DGM50}/dgmw",), disc,
              lambda _, total, images: {"less": images - total}, "",
              "At 16×16 pixels, with a generator whose size we chose; images are counted as bytes.",
              "228 / 315 MB"),
        Claim("Fig. 3(b)", "DGMa's mask first closes, then opens again (by 0.02)", ("dgma",),
              occupation, lambda first, lowest, last: {"closes": first - lowest - 0.02,
                                                       "opens again": last - lowest - 0.02},
              "figure3b.png",
              "Units of DGMa open and close to the last epoch, when a few are not yet 0 or 1 "
              "(Deviation 5 cuts them).", "",
              "the figure is of some 70 epochs and the mask opens from the tenth on; a task here "
              "has 13 epochs in all. The row dgma-paper decides", ("dgma-paper",)),
        Claim("Fig. 3(b)", "the transition to binary masks “occurs largely within the epochs 45-65”"
              " (more than half of it)", ("dgma",), transition,
              lambda first, begin, end: {"more than half": begin - end - first / 2},
              "figure3b.png", "", "",
              "a task here has 13 epochs. The row dgma-paper decides, at the same shares of its "
              "epochs", ("dgma-paper",)),
        Claim("Sec. 5", "“missing backward knowledge transfer”", ("dgmw", "dgma"), of("BWT"),
              lambda w, a: {"DGMw: BWT not above 0": -w, "DGMa: BWT not above 0": -a}, "",
              "Of the generator it is true by construction: no bit of an old image changes."),
        Claim("Table 1", "CIFAR-10, after five / ten classes: DGMw, DGMa, JT",
              tuple(f"dgm-cifar10/{name}" for name in ("dgmw", "dgma", "joint")),
              of("A_5 (%)", "A_10 (%)"),
              lambda *v: {f"{name}, {mark}": near(x, number) for name, mark, x, number in zip(
                  np.repeat(("DGMw", "DGMa", "JT"), 2), ("A_5", "A_10") * 3, v,
                  (64.94, 51.70, 62.50, 50.80, 82.20, 64.20))}, "",
              "At a quarter of the pixels, with MNIST's nets.",
              "64.94 / 51.70, 62.50 / 50.80, 82.20 / 64.20"),
        Claim("Table 1", "ImageNet-50, after 30 / 50 classes: DGMw, DGMa, JT",
              tuple(f"{DGM50}/{name}" for name in ("dgmw", "dgma", "joint")),
              of("A_30 (%)", "A_50 (%)"),
              lambda *v: {f"{name}, {mark}": near(x, number) for name, mark, x, number in zip(
                  np.repeat(("DGMw", "DGMa", "JT"), 2), ("A_30", "A_50") * 3, v,
                  (32.14, 17.82, 25.93, 15.16, 57.35, 49.88))}, "",
              "At a quarter of the pixels, with MNIST's nets, and fewer images of each class.",
              "32.14 / 17.82, 25.93 / 15.16, 57.35 / 49.88"),
        Claim("Sec. 5", "“neural masking works more efficient when applied directly to layers' "
              "weights” (DGMw above DGMa), and joint training is above both; CIFAR-10, ImageNet-50",
              tuple(f"dgm-{data}/{name}" for data in ("cifar10", "imagenet50")
                    for name in ("dgmw", "dgma", "joint")), of("ACC"),
              lambda w, a, jt, w50, a50, jt50: {
                  "CIFAR-10: DGMw above DGMa": w - a, "CIFAR-10: JT above": jt - most(w, a),
                  "ImageNet-50: DGMw above DGMa": w50 - a50,
                  "ImageNet-50: JT above": jt50 - most(w50, a50)}),
        Claim("Sec. 4", "“DGM strongly outperforms all other methods on the SVHN benchmark”",
              tuple(f"dgm-glyphs-rgb/{name}" for name in GENERATIVE), of("A_10 (%)"), above_others,
              "", "", "", "SVHN could not be had. On glyphs-rgb, our stand-in, see the next line"),
        Claim("– (control)", "the same on glyphs-rgb",
              tuple(f"dgm-glyphs-rgb/{name}" for name in GENERATIVE), of("A_10 (%)"), above_others,
              "", "DGMa is far below DGMw there; EWC-M's generator hardly changes, nor learns."),
        Claim("– (control)", "on more diverse images accuracy falls from five classes to ten by "
              "more than on MNIST “in all methods” (the paper: SVHN; here: glyphs-rgb)",
              (*(f"dgm-glyphs-rgb/{name}" for name in GENERATIVE), *GENERATIVE), drop,
              lambda *v: {name: v[i] - v[6 + i] for i, name in
                          enumerate(("DGMw", "DGMa", *OTHERS))}),
        Claim("Table 2", "without real images DGMw is below iCaRL after 50 classes in top-1 and "
              "after 30 and 50 in top-5", (f"{DGM50}/dgmw", f"{DGM50}/real-r0", *ICARL), TABLE_2,
              without_real, "", "The last three parts: as much as iCaRL, the classifier learns "
              "from the new classes' real images, and for as many steps."),
        Claim("Table 2", "without real images DGMw is above iCaRL with K = 1000 in top-1 after 30 "
              "classes", (f"{DGM50}/dgmw", f"{DGM50}/real-r0", ICARL[0]), of("A_30 (%)"),
              lambda ours, longer, icarl: dict(zip((f"above{way}" for way in WAYS),
                                                   (ours - icarl, longer - icarl))), "", "",
              "32.14 / 29.38"),
        Claim("Table 2", "“already for r = 0.1” accuracy is improved, and beyond iCaRL's (K = 1000 "
              "and 2000)", (f"{DGM50}/dgmw", f"{DGM50}/r10", f"{DGM50}/real-r0",
                            f"{DGM50}/real-r10", *ICARL), TABLE_2, with_a_tenth),
        Claim("Table 2", "with the same K DGMw is above iCaRL in top-1 after 30 classes, and below "
              "after 50", (*(f"{DGM50}/{name}" for name in
                             ("k1000", "k2000", "real-k1000", "real-k2000")), *ICARL), TABLE_2,
              with_equal_memory),
        Claim("Sec. 4", "iCaRL's selection of images “can also be applied to DGM”: it helps, after "
              "50 classes", tuple(f"{DGM50}/{name}" for name in
                                  ("k1000", "k1000-herding", "k2000", "k2000-herding")),
              of("A_50 (%)"), lambda a, a_herded, b, b_herded: {
                  "K=1000": a_herded - a, "K=2000": b_herded - b}),
        Claim("– (control)", "it matters that D classifies the new class's fakes, too (Deviation "
              "7; by more than 3 points)", ("dgmw", "no-aux-fakes"), of("A_10 (%)"),
              lambda ours, without: {"with them": ours - without - POINTS}),
        Claim("– (control)", "one critic that is given outputs, as in the paper, ends where new "
              "ones do (within 3 points; Deviation 1)", ("dgmw", "kept-critic"), of("A_10 (%)"),
              lambda ours, kept: {"the same": same(ours, kept)}),
        Claim("– (control)", "other class orders end at the same accuracy (within 3 points)",
              ("dgmw", "dgmw-order", "dgma", "dgma-order"), of("A_10 (%)"),
              lambda w, w2, a, a2: {"DGMw": same(w, w2), "DGMa": same(a, a2)}),
    ),
    "synthetic_meta": (
        Claim("Fig. 4", "synthetic data “learned in sequence does not result in catastrophic "
              "forgetting” (a task falls by less than 0.1), whatever statistics BatchNorm has",
              ("synthetic",), forgets,
              lambda *f: {name: SHARP - v for name, v in zip(STATISTICS.values(), f)},
              "figure4.png",
              "Statistics of the test batch are transductive. Running ones (rate 0.1) hang on the "
              "last tasks alone, so that their drift counts as forgetting; the plain mean over "
              "all batches does not, nor do statistics of the learner's own images of all classes "
              "seen (kept for that alone)."),
        Claim("Fig. 1", "“accuracy at the end of each task does not decrease” on synthetic data "
              "(by less than 0.03), while on real data “it deteriorates sharply” (by more than "
              "0.1)", ("synthetic", "real"), forgets,
              lambda *f: {f"synthetic: {name}": POINT - v
                          for name, v in zip(STATISTICS.values(), f[:4])}
              | {f"real: {name}": v - SHARP for name, v in zip(STATISTICS.values(), f[4:])},
              "figure1.png",
              "What forgets most is the MLP, at a rate that is not learned."),
        Claim("Sec. 4", "“the main advantage comes from using meta learned data samples” (more "
              "than 3 points over real data); last: running statistics in the meta-loss too",
              ("synthetic", "real", "running", "real-running"), at_the_end,
              lambda *v: {name: v[i] - v[4 + i] - POINT
                          for i, name in enumerate(STATISTICS.values())}
              | {"meta-trained with rate 0.1": v[9] - v[13] - POINT}, "figure4.png",
              "Running statistics (rate 0.1) hide most of the difference, unless they stand in the "
              "meta-loss too, so that the samples are made for them."),
        Claim("Sec. 4", "a GAN's images are “almost identical” to real data (within 3 points)",
              ("gan", "real"), of("ACC", "no transduction"),
              lambda gan, gan_not, real, real_not: {"ACC": near(gan - real, 0, POINT),
                                                    "no transduction": near(gan_not - real_not, 0,
                                                                            POINT)},
              "figure4.png",
              "A classifier trained on real digits agrees with nearly all of its labels (`judge` "
              "in the JSON)."),
        Claim("Sec. 4", "real data with learned rates is above the MLP", ("real", "mlp"),
              of("ACC", "no transduction"),
              lambda real, real_not, mlp, mlp_not: {"ACC": real - mlp,
                                                    "no transduction": real_not - mlp_not},
              "figure4.png", "The MLP has no BatchNorm either."),
        Claim("Fig. 5", "longer training: synthetic data “suffers significantly less” (keeps a "
              "share larger by 0.1)", ("synthetic", "real"), shrinks("by_steps"),
              lambda a, a15, b, b15, real_a, real_a15, real_b, real_b15: {
                  "transductive": a15 / a - real_a15 / real_a - SHARP,
                  "not": b15 / b - real_b15 / real_b - SHARP}, "figure5.png"),
        Claim("Sec. 5", "robust to a batch 15 times as large (does not fall)",
              ("synthetic", "real"), shrinks("by_batch"),
              lambda a, a15, b, b15, *_: {"transductive": a15 - a + POINT, "not": b15 - b + POINT},
              "figure5.png", "So is real data."),
    ),
    "grad_predict": (
        Claim("Fig. 1(a)", "plain SGD forgets (more than 3 points)", ("sgd", "std-sgd"),
              of("BWT (%)"), lambda bwt, std: {"pixels in [0, 1]": -POINTS - bwt,
                                               "standardised": -POINTS - std}, "figure1.png"),
        Claim("Eq. (5)", "vetoing steps against the old gradient keeps and improves old tasks "
              "(gradients measured on old data)", ("sgd", "oracle", "std-sgd", "std-oracle"),
              of("ACC (%)", "BWT (%)"),
              lambda a, _a, b, bwt, c, _c, d, bwt2: {
                  "ACC above SGD": b - a, "BWT above 0": bwt,
                  "standardised: ACC above SGD": d - c, "standardised: BWT above 0": bwt2},
              "improved.png",
              "On pixels in [0, 1] a BWT above 0 alone proves little: the net is still learning "
              "all along, and SGD at half the rate has it too."),
        Claim("Fig. 1(b)", "with predicted gradients “the performance on old tasks is maintained "
              "or even improved” (falls by less than 3 points)", ("scalar", "std-scalar"),
              of("ACC (%)", "BWT (%)"),
              lambda _, bwt, _2, bwt2: {"pixels in [0, 1]": bwt + POINTS,
                                        "standardised": bwt2 + POINTS}, "figure1.png",
              "Far below plain SGD, and some networks die; all do on standardised pixels. The "
              "paper does not say how h is trained; as trained here it explains next to nothing of "
              "a gradient. The next four rows look for the cause."),
        Claim("– (control)", "a parameter's value says enough: the best function of it, computed "
              "from old data, is above plain SGD",
              ("sgd", "best-scalar", "std-sgd", "std-best-scalar"), of("ACC (%)"),
              lambda a, b, c, d: {"pixels in [0, 1]": b - a, "standardised": d - c}, "",
              "Far below the measured gradient, however it compares with SGD. It is fitted anew in "
              "every step, to old data; so the input is poor, and h, trained as it is here while "
              "the task lasts, does not keep what is in it."),
        Claim("– (control)", "h is better than signs thrown by chance",
              ("scalar", "random-sign", "fixed-sign"), of("ACC (%)"),
              lambda h, new, fixed: {"new in each step": h - new, "drawn once per task": h - fixed},
              "",
              "Chance, new in each step or drawn once per task, costs about what half the rate "
              "costs. h is far worse."),
        Claim("– (control)", "it is the noise of the minibatches: averaging the gradient before "
              "the veto undoes the harm (most of it; all of it)", ("sgd", "scalar", "scalar-ema"),
              of("ACC (%)"), lambda sgd, h, mean: {"most of it": mean - (sgd + h) / 2,
                                                   "all of it": mean - sgd}, "",
              "A veto that stays the same for all parameters of about one value lets one side of "
              "the noise through, and they drift."),
        Claim("– (control)", "forward transfer, more than plain SGD has", ("sgd", "scalar"),
              of("FWT (%)"), lambda sgd, ours: {"FWT": ours - sgd}),
        Claim("Sec. 1", "“the size of a meta-network is typically orders of magnitude smaller than "
              "that of the main network” (at most a tenth)", ("scalar",), one_h,
              lambda one, _: {"at most a tenth": 10 - one}, "",
              "At the sizes of the paper's own experiment: four h hold more numbers than the "
              "network. The size of an h does not grow with the network's, so for a large one it "
              "is true by arithmetic."),
        Claim("Sec. 5.2", "one g can stand for all h", ("distill",), fidelity,
              lambda sign: {"signs equal in more than 95 of 100": sign - 0.95}, "",
              "In the memory of one, and a task later still. What it distils is of no use, "
              "though."),
        Claim("Sec. 5.1", "the loss of h signals a new task: without false alarm, most, all",
              ("detect",), boundaries(1),
              lambda found, false: {"no false alarm": false == 0, "most are found": found - 0.5,
                                    "all are found": found == 1}, "boundaries.png",
              "It misses some with every seed. It is, in effect, the norm of the gradient, "
              "as h explains so little of it."),
        Claim("– (control)", "f's own loss does, without any h", ("detect",), boundaries(2),
              lambda found, false: {"no false alarm": false == 0, "all are found": found == 1},
              "boundaries.png",
              "All tasks here share their loss and their scale. The paper proposes h for tasks "
              "that do not, which no row has."),
    ),
    "episodic": (
        Claim("DGM, Table 1", "with ten images per class all four lie below DGM",
              ("icarl", "pi", "ewc", "rwalk", "dgm/dgmw", "dgm/dgma", "dgm/raw"), of("A_10 (%)"),
              lambda *v: {name: least(*v[4:]) - one for name, one in zip(ALL_FOUR, v)},
              "averages.png",
              "DGM's classifier learns for longer; the last row has neither more steps when the "
              "generator is frozen nor distorted images."),
        Claim("– (control)", "nor does plain replay of 2,000 images, without a regulariser and in "
              "fewer bytes than DGMw keeps, come within 3 points of it",
              ("samples-2000", "dgm/dgmw"), with_memory,
              lambda ours, mb, dgm, dgm_mb: {"below": dgm - ours - POINTS}, "",
              "It does: on MNIST the case for a generator is privacy, not bytes."),
        Claim("DGM, Table 1", "PI-S, EWC-S and RWalk-S",
              ("pi-pairs", "ewc-pairs", "rwalk-pairs"), of("A_10 (%)"),
              lambda pi, ewc, rwalk: {"PI-S": near(pi, 78.7), "EWC-S": near(ewc, 79.7),
                                      "RWalk-S": near(rwalk, 82.5)}, "",
              "Each has a spread over seeds that is wider than the distances in the paper.",
              "78.7, 79.7, 82.5"),
        Claim("DGM, Table 1", "iCaRL-S",
              ("icarl", "icarl-pairs", "icarl-balanced", "icarl-head"), of("A_10 (%)"),
              lambda *v: {name: near(a, 55.8) for name, a in
                          zip(("one class per task", "pairs", "equal parts", "last layer"), v)}, "",
              "It is level with the others in both protocols, and with pairs the least dependent "
              "on the seed. Nothing that we tried with its nearest means comes down to the figure "
              "quoted; its last layer alone comes below it.", "55.8"),
        Claim("DGM, Table 1", "with ten images per class iCaRL (55.8) is below PI (78.7) and EWC "
              "(79.7), and these below RWalk (82.5); pairs, MLP",
              ("icarl-pairs", "pi-pairs", "ewc-pairs", "rwalk-pairs"), of("A_10 (%)"),
              order_of_table_1, "averages.png", "The spread over seeds allows no order."),
        Claim("DGM, Table 1", "the same order; one class per task",
              ("icarl", "pi", "ewc", "rwalk"), of("A_10 (%)"), order_of_table_1,
              "averages.png", "EWC-S leads by about the spread; the others are level."),
        Claim("– (control)", "each is above the same images without any regulariser; pairs, MLP",
              ("samples-pairs", "icarl-pairs", "pi-pairs", "ewc-pairs", "rwalk-pairs"),
              of("A_10 (%)"),
              lambda alone, *v: {name: one - alone for name, one in zip(ALL_FOUR, v)},
              "averages.png"),
        Claim("– (control)", "the same; one class per task",
              ("samples", "icarl", "pi", "ewc", "rwalk"), of("A_10 (%)"),
              lambda alone, *v: {name: one - alone for name, one in zip(ALL_FOUR, v)},
              "averages.png"),
        Claim("Chaudhry et al.", "without stored samples a single head forgets all the same",
              ("ewc-alone", "ewc-alone-pairs"), newest_alone,
              lambda a, one, b, one_b: {"one class per task": one + POINTS - a,
                                        "pairs": one_b + POINTS - b}),
        Claim("iCaRL, Alg. 3", "train on the union of new and stored images (not on equal parts)",
              ("icarl", "icarl-balanced"), of("A_10 (%)", "forgetting"),
              lambda union, lost, equal, equal_lost: {"more accurate": union - equal,
                                                      "forgets less": equal_lost - lost}, "",
              "Ten images per class are too rare in the union: equal parts are more accurate, "
              "though they forget more."),
    ),
}  # fmt: skip

# --------------------------------------------------------------------------------------------
# Measured and judged
# --------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What came out of a claim: `said` has a line for each run, `short` all of it in one."""

    said: list[str]
    short: str
    held: str  # ✅, partly, inconclusive, ❌, not tested at this scale; –: something is missing
    seeds: int  # the least that a part has

    @property
    def shown(self) -> str:
        """The verdict, and how few seeds ✅ or ❌ rests on."""
        few = {1: ", one seed", 2: ", two seeds"}.get(self.seeds, "")
        return self.held + (few if self.held in ("✅", "❌") else "")


def judge(claim: Claim, runs: Runs) -> Verdict:
    """Measure a claim's runs, and judge each part by the seeds that all which it needs have.

    `runs` has the script's rows by name and those of others by SCRIPT/NAME.
    """
    at_size = bool(claim.whole) and all(name in runs for name in claim.whole)
    names = claim.whole if at_size else claim.runs
    missing = [name for name in names if name not in runs]
    if missing:
        return Verdict([f"not run: {', '.join(missing)}"], f"not run: {', '.join(missing)}", "–", 0)
    measured = {name: {run["seed"]: claim.measure(run) for run in runs[name]} for name in names}
    said = [line_of(name, runs[name], measured[name]) for name in names]
    said += [old for name in names if (old := too_old(runs[name], measured[name]))]
    short = in_short(measured)
    if claim.untested and not at_size:
        return Verdict([*said, f"Not tested at this scale: {claim.untested}."], short,
                       "not tested at this scale", 0)  # fmt: skip
    arrays = as_arrays(list(measured.values()))
    with np.errstate(invalid="ignore"):
        margins, whole = claim.holds(*arrays), claim.holds(*map(without_gaps, arrays))
    parts = {words: decide(margins[words], whole[words]) for words in margins}
    for words, part in parts.items():
        n = f"{part.seeds} seed{'s' * (part.seeds != 1)}"
        how = f"{part.state}, {part.says}" if part.says else part.state
        said.append(f"{words}: {how}; {n}" if part.state else f"{words}: not measured yet")
    return Verdict(said, short, in_one(list(parts.values())), min(p.seeds for p in parts.values()))


def as_arrays(measured: list[dict[int, Values]]) -> list[np.ma.MaskedArray]:
    """Each value of each run over all seeds of the claim: [seeds], masked where there is none."""
    seeds = sorted(set().union(*measured))
    out: list[np.ma.MaskedArray] = []
    for values in measured:
        for key in next(iter(values.values())):
            found = [values[seed][key] if seed in values else None for seed in seeds]
            gaps = [v is None for v in found]
            out.append(np.ma.array([0.0 if v is None else v for v in found], float, mask=gaps))
    return out


def without_gaps(values: np.ma.MaskedArray) -> np.ndarray:
    """The mean of those that are there in place of those that are not: [seeds]."""
    known = values.compressed()
    known = known[~np.isnan(known)]
    mean = known.mean() if len(known) else math.nan
    return np.where(np.ma.getmaskarray(values), mean, values.data)


def line_of(name: str, runs: list[dict], values: dict[int, Values]) -> str:
    """A run's label and all that was measured, mean ± deviation (number of seeds)."""
    cells = []
    for key in next(iter(values.values())):
        known = [x for v in values.values() if (x := v[key]) is not None and not math.isnan(x)]
        cells.append(f"{key} {number(known) if known else '–'}")
    if dead := sum(run["metrics"].get("dead", 0) for run in runs):
        cells.append(f"dead {dead:.0f} of {len(values)}")
    return f"`{name}` *{runs[0]['label']}*: {', '.join(cells)}"


def too_old(runs: list[dict], values: dict[int, Values]) -> str:
    """One line for results that were made before something was measured; "" if there are none."""
    seeds = [str(seed) for seed, v in values.items() if None in v.values()]
    if not seeds:
        return ""
    row, which = runs[0]["row"], f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"
    again = f"python {start_of(runs[0]['script'])} --row {row} --seed {seeds[0]}"
    return f"`{row}`, {which}: of before all of this was measured; again: `{again}`"


def in_short(measured: dict[str, dict[int, Values]], limit: int = 150) -> str:
    """What was measured, and the means with the number of seeds, of as many runs as fit."""
    parts, kinds = [], list(dict.fromkeys(
        ", ".join(next(iter(values.values()))) for values in measured.values()))  # fmt: skip
    for name, values in measured.items():
        means = []
        for key in next(iter(values.values())):
            known = [x for v in values.values() if (x := v[key]) is not None and not math.isnan(x)]
            means.append(number(known).split(" ")[0] if known else "–")
        parts.append(f"{name} ({len(values)}) {', '.join(means)}")
    kind = ", ".join(kinds)
    text = f"{kind}: {parts[0]}" if len(kind) < limit / 2 else parts[0]
    for part in parts[1:]:
        if len(text) + len(part) > limit:
            return f"{text}; …"
        text += f"; {part}"
    return text


def number(values: list[float]) -> str:
    """mean ± SD (n), with digits by size."""
    return mean_sd(values, places(statistics.fmean(values)))


def places(size: float) -> int:
    """How many digits a number of this size is shown with."""
    size = abs(size)
    return 0 if size >= 1000 else 1 if size >= 20 else 2 if size >= 2 else 3


def digits(value: float, size: float) -> str:
    """A number with as many digits as one of `size`, with a typographic minus."""
    return f"{value:.{places(size)}f}".replace("-", "−")
