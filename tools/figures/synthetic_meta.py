"""Figures and tables of synthetic_meta.py, from the JSON of its runs."""

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import common
from synthetic_meta import ITEMS, ROWS, SHOWN, honest
from tools.style import GREEN, look, new_figure, of_tasks, tiled
from tools.tables import (
    Picture,
    Runs,
    Table,
    markdown_table,
    mean_sd,
    results_table,
    unpack_images,
)  # fmt: skip

METRICS = ("ACC", "no transduction", "masked", "longest", "one pass, shuffled", "on real images")
PAPER: dict = {}  # its results are curves without numbers
NO_LONGER = {"best pool of 20"}  # controls that only older results hold


def draw_sequence(runs: Runs, figure: Figure) -> bool:
    """Figure 1, right: accuracy on each task after each task, synthetic against real.

    Above with the statistics of the test batch, below with running ones: without transduction.
    """
    if len(runs) < 2:
        return False
    axes = figure.subplots(2, len(runs))
    for row, mode in zip(axes, ("batch", "running")):
        for ax, name in zip(row, runs):
            every = [run["learners"] for run in runs[name]]
            shown = mode if mode in every[0] else "none"
            R = np.mean([known[shown]["R"] for known in every], axis=0)  # [T + 1, T]
            for j, style in enumerate(of_tasks(R.shape[1])):
                after = np.arange(j + 1, R.shape[1] + 1)
                ax.plot(after, R[after, j], **style)
            how = f", {mode} statistics" if shown == mode else ""
            ax.set(title=f"{named(name, runs)}{how}", ylim=(-0.02, 1.02),
                   xticks=range(1, R.shape[1] + 1))  # fmt: skip
    for ax in axes[:, 0]:
        ax.set(ylabel="test accuracy")
    for ax in axes[-1]:
        ax.set(xlabel="after task")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right")
    return True


def named(name: str, runs: Runs) -> str:
    """What a row's method is called."""
    return str(line_of(name, runs)["label"])


def line_of(name: str, runs: Runs) -> dict[str, Any]:
    """What `Axes.plot` is told for a row."""
    return look("synthetic_meta", name).line(runs[name][0])


def draw_samples(runs: Runs, figure: Figure) -> bool:
    """Figure 3: three images of each class, at the beginning, along the way and at the end."""
    ((run, *_),) = runs.values()
    if not run["grids"]:
        return False
    figure.set_figheight(2.2 * len(run["grids"]) + 0.3)
    axes = figure.subplots(len(run["grids"]), squeeze=False)[:, 0]
    for ax, (step, packed) in zip(axes, run["grids"]):
        x = unpack_images(packed)  # [K * n, C, H, W], by class
        K = len(x) // SHOWN
        by_class = np.arange(K * SHOWN).reshape(K, SHOWN).T.ravel()  # a column for each class
        ax.imshow(tiled(x[by_class], K, gap=2))
        ax.set(xticks=[], yticks=[], title=f"after meta-step {step}")
        ax.spines[:].set_visible(False)
        ax.grid(False)
    W = x.shape[3] + 2
    ax.set_xticks([W * (c + 0.5) for c in range(K)], range(K))
    ax.set(xlabel="class")
    return True


def draw_seen(runs: Runs, figure: Figure) -> None:
    """Figure 4: accuracy on the classes seen so far; mean and SD over learners and seeds."""
    axes = figure.subplots(1, 2)
    for name in [name for name in runs if drawable(runs[name])]:
        for ax, mode_of in zip(axes, (lambda run: run["args"]["bn"], honest)):
            seen = np.concatenate([run["learners"].get(mode_of(run), run["learners"][honest(run)])
                                   ["seen"] for run in runs[name]])  # [learners, T]
            t = np.arange(1, seen.shape[1] + 1)
            ax.errorbar(t, seen.mean(0), seen.std(0, ddof=min(1, len(seen) - 1)), capsize=2,
                        **line_of(name, runs))  # fmt: skip
            ax.set(xlabel="after task", xticks=t, ylim=(0, 1.02))
    for ax, title in zip(axes, ("as trained (by default: with the test batch's statistics)",
                              "without transduction")):
        ax.set_title(title)
    axes[0].set(ylabel="accuracy on the classes seen")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center")


def drawable(runs: list[dict]) -> bool:
    """A GAN's curve only if a judge agrees with nine of ten of its labels."""
    bad = [run for run in runs if run["judge"] and run["judge"]["agreement"] < 0.9]
    for run in bad:
        print(f"not drawn: {run['path']}: the judge agrees with {run['judge']['agreement']:.0%} of "
              "the GAN's labels only; it needs more epochs", file=sys.stderr)  # fmt: skip
    return not bad


def draw_robustness(runs: Runs, figure: Figure) -> None:
    """Figure 5: final accuracy against the steps per task, and the batch size (Sec. 5)."""
    axes = figure.subplots(1, 2)
    whats = ("steps per task", "images per step")
    for ax, key, what in zip(axes, ("by_steps", "by_batch"), whats):
        for name in runs:
            for mode, style in (("batch", "-"), ("running", "--"), ("none", "-")):
                if mode not in runs[name][0]["learners"]:
                    continue
                x = [v for v in runs[name][0][key] if all(v in run[key] for run in runs[name])]
                y = [np.concatenate([run[key][v][mode] for run in runs[name]]).mean() for v in x]
                x = [int(v) for v in x]
                how = f", {mode} statistics" if mode != "none" else ""
                ax.plot(x, y, **line_of(name, runs) | dict(ls=style, label=named(name, runs) + how))
        ax.set(xlabel=what, ylim=(0, 1.02))
    axes[0].set(ylabel="accuracy after the last task")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")


def draw_curves(runs: Runs, figure: Figure) -> None:
    """The meta-loss, and the learner's rates and momentum, along the meta-training."""
    axes = figure.subplots(1, 2)
    for name in runs:
        if all(run["curve"] for run in runs[name]):
            points = min(len(run["curve"]) for run in runs[name])
            curve = np.mean([np.array(run["curve"])[:points, :2] for run in runs[name]], axis=0)
            axes[0].plot(curve[:, 0], curve[:, 1], **line_of(name, runs), markevery=8)
    axes[0].set(xlabel="meta-step", ylabel="meta-loss", ylim=(0, 2.6))
    axes[0].legend()
    if "synthetic" in runs and runs["synthetic"][0]["curve"]:
        curve = np.array(runs["synthetic"][0]["curve"])
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, curve.shape[1] - 2))
        for i, what in enumerate(["momentum", *runs["synthetic"][0]["trained"]]):
            if 2 + i < curve.shape[1]:
                look_of = dict(color=colours[i], marker="os^Dv<>PX*"[i % 10], markevery=10, lw=1)
                axes[1].plot(curve[:, 0], curve[:, 2 + i], label=what, **look_of)
        axes[1].set(title=named("synthetic", runs))
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right")
    axes[1].set(xlabel="meta-step", ylabel="momentum, rates", yscale="log")


def draw_by_task(runs: Runs, figure: Figure) -> None:
    """Accuracy at the end on each task, oldest to newest, among all classes and masked."""
    ax = figure.subplots()
    for name in runs:
        for what, ls, words in (("last", "-", ""), ("masked", ":", ", masked")):
            values = np.concatenate([r["learners"][honest(r)][what] for r in runs[name]])
            style = line_of(name, runs) | dict(ls=ls, label=named(name, runs) + words)
            ax.plot(range(1, 1 + values.shape[1]), values.mean(0), **style)
    ax.set(xlabel="task, oldest to newest", ylabel="accuracy after the last task", ylim=(0, 1.02))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(ncols=2, loc="outside lower center")


def controls_table(runs: Runs) -> str:
    """Every control of every run, without transduction: mean, SD and n over learners and seeds."""
    names = list(dict.fromkeys(c for some in runs.values() for c in some[0]["controls"]
                               if c not in NO_LONGER))  # fmt: skip
    rows = []
    for some in runs.values():
        cells = []
        for name in names:
            found = [v for r in some if name in r["controls"]
                     for v in r["controls"][name][honest(r)]]  # fmt: skip
            cells.append(mean_sd(found) if found else "–")
        rows.append([some[0]["label"], *cells])
    return markdown_table(["accuracy after the last task", *names], rows)


def tasks_table(runs: Runs) -> str:
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
    return markdown_table(header, rows)


def draw_cost(rows: list[dict], figure: Figure) -> None:
    """Seconds and memory of a meta-step against the learner's steps, from `make bench-higher`."""
    axes = figure.subplots(1, 2)
    looks = (("ours", "synthetic_meta.py", "o-", GREEN), ("higher", "by higher", "s--", "0.4"))
    for kind, label, style, colour in looks:
        own = [row for row in rows if row["kind"] == kind]
        for ax, what in zip(axes, ("seconds", "peak_mb")):
            x, y = [5 * r["steps"] for r in own], [r[what] for r in own]
            ax.plot(x, y, style, color=colour, label=label)
    for ax, what in zip(axes, ("seconds per meta-step", "peak memory of the process, MB")):
        ax.set(xlabel="the learner's steps, all tasks", ylabel=what, ylim=(0, None))
    axes[0].legend()


def bench(folder: Path) -> tuple[dict[str, str], dict[str, Figure]]:
    """Our meta-step beside that of `higher`, on identical nets, images and steps."""
    if not (folder / "bench.json").exists():
        return {}, {}
    found = common.read_json(folder / "bench.json", ("environment", "rows"))
    figure = new_figure("A meta-step of the paper's preset", 8, 3.4)
    draw_cost(found["rows"], figure)
    rows = []
    ours, theirs = ([r for r in found["rows"] if r["kind"] == k] for k in ("ours", "higher"))
    for a, b in zip(ours, theirs):
        rows.append([f"5 x {a['steps']}", f"{a['seconds']:.2f}", f"{b['seconds']:.2f}",
                     f"{b['seconds'] / a['seconds']:.2f}", f"{a['peak_mb']:.0f}",
                     f"{b['peak_mb']:.0f}"])  # fmt: skip
    env = found["environment"]
    header = [f"the learner's steps ({env['device']}, {env['threads']} thread)", "s, ours",
              f"s, higher {env['higher']}", "ratio", "MB, ours", "MB, higher"]  # fmt: skip
    return {"speed": markdown_table(header, rows)}, {"cost": figure}


def table_of(runs: Runs) -> str:
    """Metrics of each run."""
    return results_table(runs, METRICS, PAPER)


MAIN = ("synthetic", "real", "improved", "improved-learned")
PICTURES = {
    "figure1": Picture(draw_sequence, ITEMS["figure1"], "Figure 1: accuracy on each task", (11, 6)),
    **{f"figure3_{name}": Picture(draw_samples, (name,), "Figure 3: {label}", (7, 2.5))
       for name in ITEMS["figure3"]},
    "figure4": Picture(draw_seen, ITEMS["figure4"], "Figure 4: accuracy on the classes seen so far",
                       (9, 4.4)),
    "figure5": Picture(draw_robustness, ITEMS["figure5"],
                       "Figure 5: longer training, larger batches", (9, 4.6)),
    "curves": Picture(draw_curves, MAIN, "Meta-training", (10, 3.6)),
    "tasks": Picture(draw_by_task, MAIN, "Oldest to newest task, without transduction", (6, 4.6)),
}  # fmt: skip
TABLES = {
    "results": Table(table_of, tuple(name for name in ROWS if "improved" not in name)),
    "improved": Table(table_of, ITEMS["improved"]),
    "controls": Table(controls_table, tuple(ROWS)),
    "tasks": Table(tasks_table, tuple(ROWS)),
}
