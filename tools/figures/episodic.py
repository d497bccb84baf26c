"""Figures and tables of beyond/episodic.py, from the JSON of its runs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beyond.episodic import ITEMS
from tools.tables import Picture, Runs, Table, results_table

PAPER = {  # DGM's Table 1, MNIST; the first four are quoted there from Chaudhry et al. (2018)
    "icarl": {"A_10 (%)": 55.8}, "ewc": {"A_10 (%)": 79.7}, "rwalk": {"A_10 (%)": 82.5},
    "pi": {"A_10 (%)": 78.7}, "joint": {"A_5 (%)": 97.66, "A_10 (%)": 98.10},
}  # fmt: skip
PAPER |= {f"{name}-pairs": PAPER[name] for name in ("icarl", "ewc", "rwalk", "pi")}
CURVES = (("samples", "icarl", "ewc", "pi", "rwalk", "none", "samples-2000", "icarl-2000"),
          ("samples-pairs", "icarl-pairs", "ewc-pairs", "pi-pairs", "rwalk-pairs",
           "ewc-alone-pairs"))  # fmt: skip


def draw_averages(runs: Runs, figure: Figure) -> None:
    """Accuracy on the classes met so far against their number: one class per task, pairs."""
    panels = [{name: runs[name] for name in names if name in runs} for names in CURVES]
    panels = [panel for panel in panels if panel]
    figure.set_figwidth(5 * len(panels))
    for panel, ax in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0]):
        draw_panel(panel, ax)


def draw_panel(runs: Runs, ax: Axes) -> None:
    """A line for each row, mean and range over seeds."""
    for some in runs.values():
        values = np.array([run["metrics"]["A"] for run in some])  # [seeds, T]
        n = [task["classes"] for task in some[0]["tasks"]]
        line = ax.plot(n, values.mean(0), marker="o", ms=4, label=some[0]["label"])[0]
        ax.fill_between(n, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0)
    ax.set(xlabel="classes met", ylabel="accuracy on them", ylim=(0, 1.02))
    ax.legend(fontsize=7)


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
    "averages": Picture(draw_averages, (*CURVES[0], *CURVES[1]),
                        "Accuracy on the classes met so far", (5, 4)),
}  # fmt: skip
TABLES = {
    "table": Table(table_of, ITEMS["table"]),
    "pairs": Table(table_of, ITEMS["pairs"]),
    "table2": Table(table_of, ITEMS["table2"][1:]),
}
