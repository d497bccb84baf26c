"""Figures and tables of gan_replay.py, from the JSON of its runs."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import common
from gan_replay import ITEMS
from tools import quality
from tools.style import look, of_tasks, tiled
from tools.tables import Picture, Runs, Table, markdown_table, results_table, unpack_images

METRICS = ("ACC", "BWT", "FWT", "forgetting")
PAPER = {  # the table of Sec. 4
    "ngen12000": {"BWT": -0.609, "FWT": -0.100},
    "ngen1200": {"BWT": -0.661, "FWT": -0.116},
    "ngen120000": {"BWT": -0.954, "FWT": -0.131},
}


def draw_training(rows: Runs, figure: Figure) -> None:
    """Figures 1-3: accuracy on every task met so far, and their mean, while the solver trains."""
    (runs,), ax = rows.values(), figure.subplots()
    points = min(len(run["curve"]) for run in runs)
    curves = np.array([run["curve"][:points] for run in runs])  # [seeds, points, 1 + T]
    steps, curve = curves[0, :, 0], curves.mean(0)[:, 1:]
    ends = [task["last_step"] for task in runs[0]["tasks"]]
    for j, (begin, style) in enumerate(zip([0, *ends[:-1]], of_tasks(len(ends)))):
        now = steps > begin
        ax.plot(steps[now], curve[now, j], lw=1, ms=3.5, markevery=5, **style)
        low, high = curves[:, now, 1 + j].min(0), curves[:, now, 1 + j].max(0)
        ax.fill_between(steps[now], low, high, color=style["color"], alpha=0.15, lw=0)
        ax.axvline(ends[j], color="0.6", lw=0.8, zorder=0)
    met = 1 + np.searchsorted(ends, steps)
    ax.plot(steps, [row[:k].mean() for row, k in zip(curve, met)], "k", lw=2.2, label="mean")
    ax.set(xlabel="solver step", ylabel="test accuracy", ylim=(-0.02, 1.02))
    figure.legend(loc="outside right")


def draw_tasks(rows: Runs, figure: Figure) -> None:
    """Figures 4-6: accuracy on each task after each task, mean and SD over the seeds."""
    (runs,), ax = rows.values(), figure.subplots()
    R = np.array([run["R"] for run in runs])  # [seeds, T + 1, T]
    T = R.shape[2]
    spread = R.std(0, ddof=1) if len(R) > 1 else np.zeros_like(R[0])
    for j, style in enumerate(of_tasks(T)):
        after = np.arange(j + 1, T + 1)
        ax.errorbar(after, R.mean(0)[after, j], spread[after, j], capsize=2, **style)
    ax.set(xlabel="after task", ylabel="test accuracy", ylim=(-0.02, 1.02), xticks=range(1, T + 1))
    figure.legend(loc="outside right")


def draw_averages(runs: Runs, figure: Figure) -> None:
    """A_t, the accuracy over the classes met so far, of the method, its bounds and our preset."""
    ax = figure.subplots()
    for name, some in runs.items():
        style = look("gan_replay", name).line(some[0])
        if name == "joint":
            style |= dict(marker="")
            ax.axhline(np.mean([run["metrics"]["ACC"] for run in some]), **style)
            continue
        A = np.array([run["metrics"]["A"] for run in some])  # [seeds, T]
        t = range(1, A.shape[1] + 1)
        ax.plot(t, A.mean(0), **style)
        ax.set_xticks(t)
    ax.set(xlabel="after task", ylabel="accuracy on all classes so far", ylim=(0, 1.02))
    figure.legend(loc="outside lower center", ncols=3)


def seconds_of(run: dict) -> list[float]:
    """Seconds of each task, of drawing and training alone.

    Where the GAN learns first, measuring its images also stands in the seconds "before solver".
    """
    times = 1 + (run["args"].get("solver_images", "real") != "real")
    return [sum(v.values()) - v.get("evaluation_s", 0) - times * v.get("measuring_s", 0)
            for v in run["timing"]["tasks"]]  # fmt: skip


def draw_cost(runs: Runs, figure: Figure) -> None:
    """Sec. 4, computation: images trained on and seconds for each task."""
    axes = figure.subplots(1, 2)
    for name in [name for name in ITEMS["cost"] if name in runs]:
        images = [[(v["solver_images"] + v["gan_images"]) / 1000 for v in run["tasks"]]
                  for run in runs[name]]  # fmt: skip
        for ax, values in zip(axes, (images, [seconds_of(run) for run in runs[name]])):
            mean = np.mean(values, axis=0)
            ax.plot(range(1, len(mean) + 1), mean, **look("gan_replay", name).line(runs[name][0]))
    for ax, what in zip(axes, ("thousand images trained on", "seconds")):
        ax.set(xlabel="task", ylabel=what, ylim=(0, None))
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")


def draw_trade_off(runs: Runs, figure: Figure) -> bool:
    """The trade-off Sec. 4 proposes: accuracy, BWT and time against a fixed total of images."""
    totals = [some for name, some in runs.items() if name.startswith("total")]
    if not totals:
        return False
    axes = figure.subplots(1, 3)
    n = [some[0]["args"]["n_gen"] for some in totals]
    values = (
        ("final accuracy", lambda run: run["metrics"]["ACC"]),
        ("BWT", lambda run: run["metrics"].get("BWT", math.nan)),
        ("seconds, drawing and training", lambda run: sum(seconds_of(run))),
    )
    for ax, (what, value) in zip(axes, values):
        style = look("gan_replay", "total12000").line(totals[0][0])
        style |= dict(label="GAN replay, a fixed total")
        ax.plot(n, [np.mean([value(run) for run in some]) for some in totals], **style)
        for name, words in (("ngen12000", ", {n_gen:,} images per task"), ("bytes", "")):
            if name in runs:
                style = look("gan_replay", name).line(runs[name][0]) | dict(marker="")
                style["label"] += words.format(**runs[name][0]["args"])
                ax.axhline(np.mean([value(run) for run in runs[name]]), **style)
        ax.set(xlabel="generated images in total", ylabel=what, xscale="log")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center")
    return True


def draw_digits(rows: Runs, figure: Figure) -> bool:
    """What the generator draws after each task: 60 images, sorted by the solver's label."""
    (runs,) = rows.values()
    grids = runs[0]["grids"]
    if not grids:
        return False
    figure.set_figheight(1.3 * len(grids) + 0.3)
    axes = figure.subplots(len(grids), squeeze=False)[:, 0]
    for t, (ax, packed) in enumerate(zip(axes, grids)):
        ax.imshow(tiled(unpack_images(packed), 20))  # three lines of twenty
        ax.set(xticks=[], yticks=[], ylabel=f"after task {t + 1}")
        ax.spines[:].set_visible(False)
    return True


def memory_table(runs: Runs) -> str:
    """Sec. 4, memory: what each kind of replay keeps after every task, in MB of 10^6 bytes."""
    run = runs["ngen12000"][0]
    memory, tasks = run["memory"], run["tasks"]
    nets = [memory[name] / 1e6 for name in ("solver", "G", "D")]
    rows = [["solver + generator + discriminator (paper: 5.7)"] + [f"{sum(nets):.2f}"] * len(tasks),
            ["of these, the generator, which alone stands for the past"]
            + [f"{nets[1]:.2f}"] * len(tasks)]  # fmt: skip
    stored = np.cumsum([task["new"] for task in tasks]) * memory["image"] / 1e6
    rows.append(["all images as float32 (paper: around 180)"] + [f"{4 * v:.1f}" for v in stored])
    rows.append(["all images as bytes"] + [f"{v:.1f}" for v in stored])
    header = ["MB kept", *(f"after task {t + 1}" for t in range(len(tasks)))]
    return markdown_table(header, rows)


def bench(folder: Path) -> tuple[dict[str, str], dict[str, Figure]]:
    """Images a second on this machine's cores, from what `make bench` left in a folder."""
    rows = []
    for path in sorted(folder.glob("speed-*.json")):
        run = common.read_json(path)
        tasks, times = run["tasks"], run["timing"]["tasks"]
        rates = (sum(v[f"{net}_images"] for v in tasks) / sum(v.get(f"{net}_s", 0) for v in times)
                 for net in ("gan", "solver"))  # fmt: skip
        env = run["environment"]
        rows.append([env["device"], str(env["threads"]), *(f"{rate:.0f}" for rate in rates)])
    header = ["device", "threads", "GAN images/s", "solver images/s"]
    return ({"speed": markdown_table(header, rows)} if rows else {}), {}


def table_of(runs: Runs) -> str:
    """Metrics of each run, the paper's beside where the run has the paper's data."""
    flags = next(iter(runs.values()))[0]["args"]
    whole = flags["dataset"] == "mnist" and not flags["train_size"]
    return results_table(runs, METRICS, PAPER if whole else {})


EXTRA = ("total300", "total1200", "total4000", "total12000")
PICTURES = {
    **{f"figure{i}": Picture(draw_training, ITEMS[f"figure{i}"], f"Figure {i}: {{label}}")
       for i in (1, 2, 3)},
    **{f"figure{i}": Picture(draw_tasks, ITEMS[f"figure{i}"], f"Figure {i}: {{label}}")
       for i in (4, 5, 6)},
    "averages": Picture(draw_averages, ("none", "ngen12000", "bytes", "real", "improved", "joint"),
                        "Accuracy on all classes met so far", (6, 4.4)),
    "cost": Picture(draw_cost, ITEMS["cost"], "Cost of every task (Sec. 4)", (8, 3.9)),
    "tradeoff": Picture(draw_trade_off, ITEMS["tradeoff"],
                        "A fixed total of generated images (the trade-off of Sec. 4)", (10, 3.6)),
    "quality": Picture(quality.of("gan_replay"), ITEMS["quality"],
                       "What can be learned from the generated images", (9, 3.4)),
    **{f"digits_{name}": Picture(draw_digits, (name,), "What is generated: {label}", (8, 1.6))
       for name in ("ngen12000", "improved")},
}  # fmt: skip
TABLES = {
    "table": Table(table_of, (*ITEMS["table"], *EXTRA)),
    "improved": Table(table_of, ITEMS["improved"]),
    "memory": Table(memory_table, ("ngen12000",)),
}
