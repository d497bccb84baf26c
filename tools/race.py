"""Time to accuracy: how long one run takes from the first to the last task, and what it then knows.

What others' code took on this kind of machine was measured apart from the runs here, and is marked.
"""

import statistics
from typing import NamedTuple

from matplotlib.figure import Figure

from tools.figures.dgm import PAPER
from tools.runs import read_all
from tools.speed import bench
from tools.style import look, new_figure
from tools.tables import markdown_table, mean_sd


class Elsewhere(NamedTuple):
    """What somebody would take instead; accuracy in per cent."""

    name: str
    seconds: float
    accuracy: float
    note: str


# Ours: script, row and its word. Accuracy is that of `A (%)`: ten classes, after the last task.
RACES = {
    "Split-MNIST, five tasks of two classes": (
        (("gan_replay", "ngen12000"), ("gan_replay", "improved"), ("gan_replay", "bytes"),
         ("dgm", "split-dgmw"), ("dgm", "split-improved"), ("synthetic_meta", "synthetic"),
         ("synthetic_meta", "improved"), ("grad_predict", "split-improved")),
        (Elsewhere("van de Ven's generative replay", 500, 88.9, "their code"),
         Elsewhere("van de Ven's with distillation", 500, 91.8, "their code")),
    ),
    "MNIST, class by class": (
        (("dgm", "dgmw"), ("dgm", "dgma"), ("dgm", "improved"), ("dgm", "mergan"),
         ("dgm", "mergan-align"), ("dgm", "dgr"), ("dgm", "dgmw-paper")),
        (Elsewhere("DGM as published", 9.6 * 3600, PAPER["dgmw"]["A_10 (%)"],
                   "0.236 s a step; their accuracy"),),
    ),
}  # fmt: skip


def accuracy(run: dict) -> float:
    """On all classes at the end, per cent; of synthetic_meta.py without transduction."""
    metrics = run["metrics"]
    for name in ("A_10 (%)", "ACC (%)"):
        if name in metrics:
            return metrics[name]
    return 100 * metrics.get("no transduction", metrics["ACC"])


def avalanche(folder: str) -> list[Elsewhere]:
    """avalanche-lib's generative replay as it comes, as `make bench-avalanche` measured it."""
    found = bench(folder, "gan_replay/bench_avalanche.json").get("race", [])
    return [Elsewhere("avalanche-lib's generative replay", one["seconds"], 100 * one["accuracy"],
                      f"{one['epochs']} epochs") for one in found]  # fmt: skip


def ours(folder: str, rows: tuple) -> list[tuple[str, str, list[dict]]]:
    """Script, row and its runs, of those that were made."""
    found = [(script, row, read_all(folder, script).get(row, [])) for script, row in rows]
    return [entry for entry in found if entry[2]]


def entries(folder: str) -> list[tuple[str, list[tuple[float, str, list[float], dict]]]]:
    """Of each benchmark, the quickest first: seconds, name, accuracies [seeds], how it is drawn."""
    out = []
    for title, (rows, others) in RACES.items():
        some = []
        for script, row, runs in ours(folder, rows):
            style = look(script, row).line(runs[0])
            some.append((statistics.fmean(run["timing"]["wall_s"] for run in runs),
                         f"{script}: {style['label']}", [accuracy(run) for run in runs], style))
        far = dict(color="0.4", marker="s", mfc="white")
        others = others + tuple(avalanche(folder)) if title.startswith("Split") else others
        some += [(o.seconds, f"{o.name} ({o.note})", [o.accuracy], far) for o in others]
        out.append((title, sorted(some, key=lambda entry: entry[0])))
    return out


def draw_race(folder: str) -> Figure:
    """Seconds of one core, and accuracy: a line for each method, the quickest first; hollow: not
    measured in these runs."""
    every = entries(folder)
    lines = sum(1 + len(some) for _, some in every)
    fig = new_figure("How long a run takes, and what it knows at its end", 9, 1 + 0.26 * lines)
    left, right = fig.subplots(1, 2, sharey=True)
    names: list[str] = []
    for title, some in every:
        names.append(title)
        for seconds, name, known, style in some:
            y = len(names)
            left.barh(y, seconds, 0.5, color=style["mfc"], edgecolor=style["color"])
            right.plot([min(known), max(known)], [y, y], color=style["color"], alpha=0.4, lw=4)
            right.plot(statistics.fmean(known), y, **style | dict(ls="", label=None))
            names.append(name)
    left.set_yticks(range(len(names)), names)
    left.set(xscale="log", xlabel="seconds of one core", ylim=(len(names) - 0.4, -0.6))
    for label in left.get_yticklabels():
        if label.get_text() in RACES:
            label.set_fontweight("bold")
    right.set(xlabel="accuracy, %; bar: range of seeds", xlim=(None, 100.5))
    right.tick_params(axis="y", length=0)
    return fig


def race_table(folder: str) -> str:
    """The same as a table; what was measured elsewhere has no number of seeds."""
    far = {f"{other.name} ({other.note})" for _, others in RACES.values() for other in others}
    lines = [[title, name, f"{seconds:,.0f}",
              f"{known[0]:.1f}, elsewhere" if name in far else mean_sd(known, 1)]
             for title, some in entries(folder) for seconds, name, known, _ in some]  # fmt: skip
    return markdown_table(["benchmark", "method", "seconds", "accuracy, % (seeds)"], lines)
