"""Figures and tables of beyond/episodic.py, from the JSON of its runs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beyond.episodic import ITEMS
from tools.style import look
from tools.tables import Picture, Runs, Table, results_table

PAPER = {  # DGM's Table 1, MNIST; the first four are quoted there from Chaudhry et al. (2018)
    "icarl": {"A_10 (%)": 55.8}, "ewc": {"A_10 (%)": 79.7}, "rwalk": {"A_10 (%)": 82.5},
    "pi": {"A_10 (%)": 78.7}, "joint": {"A_5 (%)": 97.66, "A_10 (%)": 98.10},
}  # fmt: skip
PAPER |= {f"{name}-pairs": PAPER[name] for name in ("icarl", "ewc", "rwalk", "pi")}
CURVES = {"one class per task, a convolutional net": (
              "samples", "icarl", "ewc", "pi", "rwalk", "none", "samples-2000", "icarl-2000"),
          "two classes per task, an MLP": (
              "samples-pairs", "icarl-pairs", "ewc-pairs", "pi-pairs", "rwalk-pairs",
              "ewc-alone-pairs")}  # fmt: skip


def draw_averages(runs: Runs, figure: Figure) -> None:
    """Accuracy on the classes met so far against their number: one class per task, pairs."""
    panels = {title: {name: runs[name] for name in names if name in runs}
              for title, names in CURVES.items()}  # fmt: skip
    panels = {title: panel for title, panel in panels.items() if panel}
    figure.set_figwidth(5 * len(panels))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, panel) in zip(axes, panels.items()):
        draw_panel(panel, ax)
        ax.set_title(title)
    once = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(once.values(), once.keys(), ncols=5, loc="outside lower center")


def draw_panel(runs: Runs, ax: Axes) -> None:
    """A line for each row, mean and range over seeds."""
    for name, some in runs.items():
        values = np.array([run["metrics"]["A"] for run in some])  # [seeds, T]
        n = [task["classes"] for task in some[0]["tasks"]]
        style = look("episodic", name).line(some[0])
        ax.plot(n, values.mean(0), **style)
        ax.fill_between(n, values.min(0), values.max(0), color=style["color"], alpha=0.15, lw=0)
    ax.set(xlabel="classes met", ylabel="accuracy on them", ylim=(0, 1.02), xticks=n)


def classes_of(metric: str) -> int:
    """10 of "A_10 (%)" and of "top-5 A_10 (%)"."""
    return int(metric.split("_")[1].removesuffix(" (%)"))


def metric_names(runs: Runs) -> list[str]:
    """The accuracies that the runs report: A_5, A_10 and so on, then the top-5 ones."""
    found = {key for some in runs.values() for key in some[0]["metrics"] if key.endswith("(%)")}
    return sorted(found, key=lambda key: (key.startswith("top"), classes_of(key)))


def table_of(runs: Runs) -> str:
    """Accuracies, the paper's beside where the run has the paper's data; forgetting; MB kept."""
    whole = dict(dataset="mnist", train_size=0, validation=0, tasks=0)
    every = [run["args"] for some in runs.values() for run in some]
    paper = PAPER if all(whole.items() <= given.items() for given in every) else {}
    return results_table(runs, [*metric_names(runs), "forgetting", "kept (MB)"], paper)


PICTURES = {
    "averages": Picture(draw_averages, tuple(sum(CURVES.values(), ())),
                        "Accuracy on the classes met so far", (5, 4)),
}  # fmt: skip
TABLES = {
    "table": Table(table_of, ITEMS["table"]),
    "pairs": Table(table_of, ITEMS["pairs"]),
    "table2": Table(table_of, ITEMS["table2"][1:]),
}
