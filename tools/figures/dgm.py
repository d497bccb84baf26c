"""Figures and tables of dgm.py and beyond/generators.py, from the JSON of their runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import common
from dgm import ITEMS
from tools import quality
from tools.figures import episodic
from tools.runs import read
from tools.style import BLUE, GREY, ORANGE, Look, look, tiled
from tools.tables import (
    Picture,
    Runs,
    Table,
    markdown_table,
    mean_sd,
    metric,
    results_table,
    unpack_images,
)  # fmt: skip

TABLE_2 = {  # ImageNet-50: the paper's A_30, A_50 and their top-5
    "joint": (57.35, 49.88, 84.70, 78.24),
    "icarl-k1000": (29.38, 28.98, 69.98, 59.49), "icarl-k2000": (39.38, 29.96, 70.57, 60.07),
    "k1000": (36.87, 18.84, 69.13, 43.12), "k2000": (41.93, 22.56, 69.20, 51.84),
    "k1000-herding": (), "k2000-herding": (), "stored-k1000": (), "stored-k2000": (),  # ours
    "r75": (50.80, 38.22, 78.27, 64.64), "r50": (48.80, 40.72, 79.40, 71.72),
    "r25": (46.93, 35.04, 75.80, 65.60), "r10": (41.67, 30.48, 71.80, 61.04),
    "dgmw": (32.14, 17.82, 62.53, 40.76),
}  # fmt: skip
TABLE_2 |= {f"real-{name}": TABLE_2[name] for name in ("k1000", "k2000", "r75", "r10")}
TABLE_2["real-r0"] = TABLE_2["dgmw"]
PAPER = {  # Table 1, MNIST; it stands beside the laptop runs too, as docs/dgm.md says
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
for some_rows in PAPER_ELSEWHERE.values():
    some_rows |= {f"{name}-paper": some_rows[name] for name in tuple(some_rows)}


def draw_curves(
    runs: Runs, ax: Axes, what: str, value: Callable[[dict], list],
    worst: bool = False,
) -> None:
    """A number for every task, mean and range over seeds; dotted: growth if all were reserved."""
    starts = set()  # of dotted lines: one for equal ones
    for name, some in runs.items():
        values = np.array([value(run) for run in some])  # [seeds, T]
        t = np.arange(1, values.shape[1] + 1)
        style = look_of(name).line(some[0])
        ax.plot(t, values.mean(0), **style)
        ax.fill_between(t, values.min(0), values.max(0), color=style["color"], alpha=0.15, lw=0)
        if worst and values[0, 0] not in starts:
            starts.add(values[0, 0])
            ax.plot(t, values[0, 0] * t, ":", color="0.4",
                    label=f"worst case, linear from {values[0, 0]:.0f}")  # fmt: skip
    ax.set(xlabel="task", ylabel=what, xticks=t)
    for old in ax.figure.legends:  # one legend, of the last axes
        old.remove()
    ax.figure.legend(*ax.get_legend_handles_labels(), ncols=3, loc="outside lower center")


def look_of(name: str) -> Look:
    """A row's look; episodic:ROW is one of beyond/episodic.py."""
    other, _, row = name.rpartition(":")
    return look(other or "dgm", row)


def named(name: str, runs: Runs) -> str:
    """What a row's method is called."""
    return str(look_of(name).line(runs[name][0])["label"])


def pair_of(runs: Runs) -> Runs:
    """DGMw and DGMa, at the paper's size if they are there."""
    paper = {name: some for name, some in runs.items() if name in ("dgmw-paper", "dgma-paper")}
    return paper or {name: some for name, some in runs.items() if name in ("dgmw", "dgma")}


def draw_growth(runs: Runs, figure: Figure) -> None:
    """Figure 4: units of the masked layers after every task."""
    draw_curves(pair_of(runs), figure.subplots(), "units",
                lambda run: [sum(task["widths"]) for task in run["tasks"]], worst=True)  # fmt: skip


def draw_averages(runs: Runs, figure: Figure) -> None:
    """A_t, the accuracy on the classes met so far; right: those that end near the best, or two."""
    runs = {name: some for name, some in runs.items() if "A" in some[0]["metrics"]}
    axes = figure.subplots(1, 2)
    ends = {name: min(run["metrics"]["A"][-1] for run in some) for name, some in runs.items()}
    least = min(sorted(ends.values())[-2:][0], 0.85 * max(ends.values()))
    best = {name: runs[name] for name in runs if ends[name] >= least}
    for ax, chosen in zip(axes[::-1], (best, runs)):  # the legend is that of the last, of all
        draw_curves(chosen, ax, "accuracy on the classes so far",
                    lambda run: run["metrics"]["A"])  # fmt: skip
    axes[0].set_title("all")
    axes[1].set_title("those that end near the best, enlarged")


def draw_cost(runs: Runs, figure: Figure) -> None:
    """Milliseconds for an iteration, and the process's peak memory, task by task."""
    runs = pair_of(runs) | {name: some for name, some in runs.items() if name == "improved"}
    axes = figure.subplots(1, 2)

    def milliseconds(run: dict) -> list[float]:
        pairs = zip(run["timing"]["tasks"], run["tasks"])
        return [1000 * time["gan_s"] / task["iterations"] for time, task in pairs]

    draw_curves(runs, axes[0], "ms per iteration", milliseconds)
    draw_curves(runs, axes[1], "peak memory, MB",
                lambda run: [task["memory_mb"] for task in run["timing"]["tasks"]])  # fmt: skip
    for ax in axes:
        ax.set_ylim(0, None)


def draw_reuse(runs: Runs, figure: Figure) -> None:
    """Figure 3(a): what a task's mask covers, newly blocked and reused, as shares of their sum."""
    runs = pair_of(runs)
    figure.set_figwidth(4 * len(runs))
    for ax, name in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs):
        layers = [[[sum(layer[key] for layer in task["layers"]) for key in ("new", "reused")]
                   for task in run["tasks"]] for run in runs[name]]  # fmt: skip
        share = np.array(layers, float)  # [seeds, tasks, 2]
        share /= share.sum(2, keepdims=True)
        t = np.arange(1, share.shape[1] + 1)
        new, reused = share.mean(0).T
        ax.bar(t, reused, label="reused", color=BLUE)
        ax.bar(t, new, bottom=reused, label="newly blocked", color=ORANGE, hatch="///", ec="white")
        ax.set(xlabel="task", ylabel="share of what the task uses", xticks=t,
               title=named(name, runs))  # fmt: skip
        ax.grid(False)
    ax.figure.legend(*ax.get_legend_handles_labels(), ncols=2, loc="outside lower center")


def draw_trace(runs: Runs, figure: Figure, t: int = 1) -> None:
    """Figure 3(b), of the last seed: one layer's masks in task t + 1.

    Thin: a dozen of them, evenly spaced in the layer; bold: the mean of all, its occupation.
    """
    runs = pair_of(runs)
    figure.set_figwidth(4 * len(runs))
    for ax, name in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs):
        tasks = runs[name][-1]["tasks"]
        trace = np.array(tasks[min(t, len(tasks) - 1)]["trace"])  # [epochs, 1 + units]
        epochs = range(1, len(trace) + 1)
        ax.plot(epochs, few(trace[:, 1:]), lw=0.8, color=GREY)
        ax.plot([], [], lw=0.8, color=GREY, label="mask values, a few")
        ax.plot(epochs, trace[:, 0], "k", lw=3, label="occupation, the mean of all")
        ax.set(xlabel="epoch", ylabel="mask value", ylim=(-0.02, 1.02),
               title=f"{named(name, runs)}, task {min(t, len(tasks) - 1) + 1}, "
                     f"seed {runs[name][-1]['seed']}")  # fmt: skip
        ax.grid(False)
    figure.legend(*ax.get_legend_handles_labels(), ncols=2, loc="outside lower center")


def few(values: np.ndarray, n: int = 12) -> np.ndarray:
    """n of the columns of [epochs, units], evenly spaced; all, if there are no more."""
    return values[:, np.unique(np.linspace(0, values.shape[1] - 1, n).astype(int))]


def draw_samples(runs: Runs, figure: Figure) -> None:
    """Figure 5: ten images of every class, a row per class, generated after the last task.

    More than ten classes go into several columns.
    """
    runs = pair_of(runs) | {name: runs[name] for name in ("improved", "mergan-align", "no-veto")
                            if name in runs and "grids" in runs[name][0]}  # fmt: skip
    if any(is_wide(some) for some in runs.values()):
        figure.set_size_inches(10 * len(runs), 2.8)
    else:
        figure.set_size_inches(max(3 * len(runs), 5), 3.4)  # the title must fit
    for ax, name in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs):
        x = np.concatenate([unpack_images(g) for g in runs[name][0]["grids"]])  # [N, C, H, W]
        H, parts = x.shape[2], [tiled(x[i : i + 100], 10) for i in range(0, len(x), 100)]
        tall = [np.pad(part, ((0, 10 * H - len(part)), (0, 0), (0, 0)), constant_values=255)
                for part in parts] if len(parts) > 1 else parts  # fmt: skip
        ax.imshow(np.concatenate(tall, axis=1))
        ax.set(xticks=[], yticks=[], title=named(name, runs))
        ax.spines[:].set_visible(False)


def size_table(runs: Runs) -> str:
    """Table 3: parameters of the base network in the first task and after the last, and A."""
    rows = [["DGMw (paper)", "5.58e+04", "3.83e+05", "96.46"],
            ["MeRGAN (paper)", "5.18e+05", "5.18e+05", "97.00"]]  # fmt: skip
    for some in [some for some in runs.values() if "grids" in some[0]]:
        first, last = ([run["tasks"][i]["base"] for run in some] for i in (0, -1))
        final = mean_sd([100 * run["metrics"]["ACC"] for run in some], 2)
        rows.append([some[0]["label"], *(f"{np.mean(v):.2e}" for v in (first, last)), final])
    return markdown_table(["generator", "first size", "final size", "accuracy (%)"], rows)


def beside(runs: Runs, names: tuple[str, ...]) -> Runs:
    """Rows of beyond/episodic.py, named episodic:ROW: what lies in the folder beside dgm's."""
    here = Path(next(iter(runs.values()))[0]["path"]).parent
    there = here.with_name(here.name.replace("dgm", "episodic"))
    if there == here or not any(there.glob("*-seed*.json")):
        return {}
    found = read(there, "episodic")
    return {f"episodic:{name}": found[name] for name in names if name in found}


def is_wide(runs: list[dict]) -> bool:
    """Whether there are more than ten classes: then top-5 accuracy is measured too."""
    return any("top5" in run for run in runs)


def paper_of(runs: Runs) -> dict[str, dict[str, float]]:
    """The paper's numbers, if these runs are of its data, whole, in its tasks."""
    every = [run["args"] for some in runs.values() for run in some]
    data = Path(every[0]["dataset"]).name
    whole = dict(train_size=0, validation=0, tasks=0,
                 classes_per_task=10 if data == "imagenet50" else 1)  # fmt: skip
    known = {"mnist": PAPER, **PAPER_ELSEWHERE}.get(data, {})
    return known if all(whole.items() <= given.items() for given in every) else {}


def table_of(runs: Runs) -> str:
    """Accuracy on the classes so far at the paper's two marks, the paper's beside; forgetting."""
    metrics = {key for some in runs.values() for key in some[0]["metrics"] if key.startswith("A_")}
    ordered = sorted(metrics, key=lambda key: int(key[2:-4]))
    return results_table(runs, [*ordered, "forgetting"], paper_of(runs))


def table_1(runs: Runs) -> str:
    """Table 1: what was trained here, and what stores images."""
    paper = paper_of(runs)
    stored = beside(runs, tuple(name.partition(":")[2] for name in ITEMS["table1"]
                                if name.startswith("episodic:")))  # fmt: skip
    known = {f"episodic:{name}": numbers for name, numbers in episodic.PAPER.items()}
    every = runs | stored
    metrics = {key for some in every.values() for key in some[0]["metrics"] if key.startswith("A_")}
    ordered = sorted(metrics, key=lambda key: int(key[2:-4]))
    return results_table(every, [*ordered, "forgetting"], paper | (known if paper else {}))


def split_table(runs: Runs) -> str:
    """Split-MNIST: two classes per task."""
    return results_table(runs, ("ACC", "forgetting", "BWT"), {})


def real_table(runs: Runs) -> str:
    """Table 2: top-1 and top-5 in per cent, the paper's of ImageNet-50 beside."""
    if not any(map(is_wide, runs.values())):
        return ""
    icarl = beside(runs, ("icarl-k1000", "icarl-k2000"))
    every = runs | {name.partition(":")[2]: some for name, some in icarl.items()}
    runs = {name: every[name] for name in TABLE_2 if name in every}
    first = runs[next(iter(runs))][0]
    names = [key for key in first["metrics"] if key.endswith("(%)")]
    names.sort(key=lambda key: (key.startswith("top"), key))  # A_30, A_50, top-5 of both
    whole = Path(first["args"]["dataset"]).name == "imagenet50" and not first["args"]["train_size"]
    rows = []
    for name, some in runs.items():
        cells = [metric(some, what) for what in names]
        for i, value in enumerate(TABLE_2[name] if whole else ()):
            cells[i] += f" (paper {value:.2f})"
        rows.append([some[0]["label"], *cells])
    return markdown_table(["replay", *names], rows)


def draw_top5(runs: Runs, figure: Figure) -> bool:
    """Figure 2: top-5 accuracy on the classes so far; stars: joint training."""
    if not any(map(is_wide, runs.values())):
        return False
    ax = figure.subplots()
    runs = runs | beside(runs, ("icarl-k1000", "icarl-k2000"))
    curves = {name: some for name, some in runs.items() if name != "joint"}
    draw_curves(curves, ax, "top-5 accuracy",
                lambda run: run.get("top5") or [task["top5"] for task in run["tasks"]])  # fmt: skip
    for run in runs.get("joint", []):
        for key, value in run["metrics"].items():
            if key.startswith("top-5"):
                style = look("dgm", "joint").line(run) | dict(ls="", ms=9)
                ax.plot(int(key[8:-4]) / run["args"]["classes_per_task"], value / 100, **style)
    by_label = dict(zip(*ax.get_legend_handles_labels()[::-1]))  # each once
    figure.legends[0].remove()
    figure.legend(by_label.values(), by_label.keys(), ncols=3, loc="outside lower center")
    return True


def disc_table(runs: Runs) -> str:
    """Table 4: MB (10^6 bytes) to keep the memory, after half of the tasks and after all."""
    rows = [["DGMa (paper)", "6.7 / 14.0", "", "0.4 / 0.8", "7.1 / 14.8", ""],
            ["DGMw (paper)", "1.1 / 2.0", "", "3.8 / 9.9", "4.9 / 11.9", ""]]  # fmt: skip
    for some in pair_of(runs).values():
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
    return markdown_table(header, rows)


def bench(folder: Path) -> tuple[dict[str, str], dict[str, Figure]]:
    """Milliseconds per iteration in a task with replay, from `make bench`."""
    rows = []
    for path in sorted(folder.glob("speed-*.json")):
        run = common.read_json(path)
        seconds, task = run["timing"]["tasks"][-1]["gan_s"], run["tasks"][-1]
        flags, env = run["args"], run["environment"]
        batches = [str(flags[f"{name}_batch_size"] or flags["batch_size"])
                   for name in ("gp", "replay")]  # fmt: skip
        rows.append([flags["preset"], *batches, env["device"], str(env["threads"]),
                     f"{1000 * seconds / task['iterations']:.0f}"])  # fmt: skip
    header = ["preset", "images for L_gp", "replayed images", "device", "threads", "ms per step"]
    return ({"speed": markdown_table(header, rows)} if rows else {}), {}

PAIR = ("dgmw-paper", "dgma-paper", "dgmw", "dgma")
MAIN = tuple(name.partition(":")[2] or name for name in ITEMS["table1"]
             if not name.startswith("episodic:"))  # fmt: skip
EVERY = (*(f"{name}-paper" for name in MAIN), *MAIN)
PICTURES = {
    "figure3a": Picture(draw_reuse, PAIR, "Figure 3(a): what a task's mask covers", (4, 3.6)),
    "figure3b": Picture(draw_trace, PAIR, "Figure 3(b): mask values", (4, 3.4)),
    "figure4": Picture(draw_growth, PAIR, "Figure 4: units of the generator", (6, 4)),
    "figure5": Picture(draw_samples, (*PAIR, "improved", "mergan-align", "no-veto"),
                       "Figure 5: what is generated after the last task", (3, 3.4)),
    "quality": Picture(quality.of("dgm"), ITEMS["quality"],
                       "What can be learned from the generated images", (9, 3.4)),
    "cost": Picture(draw_cost, (*PAIR, "improved"), "Cost of every task", (8, 3.6)),
    "averages": Picture(draw_averages, (*EVERY, "joint-raw", "raw", "no-veto",
                                        *ITEMS["residual"][1:], *ITEMS["improved"]),
                        "Accuracy on the classes so far", (9, 5)),
    "figure2": Picture(draw_top5, (*ITEMS["figure2"][1:], "k1000", "k2000", "k1000-herding",
                                   "k2000-herding"), "Figure 2: real images replayed", (6, 5)),
}  # fmt: skip
TABLES = {
    "table1": Table(table_1, EVERY),
    "ablations": Table(table_of, tuple(name.rpartition(":")[2] for name in ITEMS["ablations"])),
    "orders": Table(table_of, ITEMS["orders"]),
    "residual": Table(table_of, ITEMS["residual"][1:]),
    "improved": Table(table_of, ITEMS["improved"]),
    "split": Table(split_table, ITEMS["split"]),
    "table2": Table(real_table, tuple(TABLE_2)),
    "table3": Table(size_table, EVERY),
    "table4": Table(disc_table, PAIR),
}
