"""DGM's Table 1 on all data sets, from the runs of dgm.py and of the methods in beyond/."""

import math
import statistics

from matplotlib.figure import Figure

import tools.figures.dgm as dgm
from tools.runs import figures_of, read_all
from tools.style import look, new_figure
from tools.tables import markdown_table, mean_sd

# The rows of DGM's Table 1: label, script, run
TABLE_1 = (
    ("JT", "dgm", "joint"), ("iCaRL-S", "episodic", "icarl"), ("EWC-S", "episodic", "ewc"),
    ("RWalk-S", "episodic", "rwalk"), ("PI-S", "episodic", "pi"), ("EWC-M", "dgm", "ewc"),
    ("DGR", "dgm", "dgr"), ("MeRGAN, retrained", "dgm", "mergan"),
    ("MeRGAN, aligned", "dgm", "mergan-align"), ("DGMw", "dgm", "dgmw"), ("DGMa", "dgm", "dgma"),
)  # fmt: skip
TABLE_1_DATA = ("mnist", "glyphs-rgb", "cifar10", "imagenet50")
DATA_NAMES = {"mnist": "MNIST", "glyphs-rgb": "glyphs-rgb", "cifar10": "CIFAR-10",
              "imagenet50": "ImageNet-50"}  # fmt: skip


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
            paper = figures_of(script).PAPER if data == "mnist" else dgm.PAPER_ELSEWHERE[data]
            said = paper.get(name, {})
            if data == "imagenet50" and name == "icarl":  # the one of Table 2 that Table 1 repeats
                name, said = "icarl-k1000", {"A_50 (%)": dgm.TABLE_2["icarl-k1000"][1]}
            if runs := read_all(folder, script, data).get(name):
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
            text = mean_sd(values, 2) if values else "–"
            cells.append(text + (f" (paper {paper:.2f})" if math.isfinite(paper) else ""))
        rows.append([label, *cells])
    titles = [f"{DATA_NAMES[data]}, A_{50 if data == 'imagenet50' else 10} (%)" for data in found]
    return markdown_table(["Table 1", *titles], rows)


def draw_table_1(folder: str) -> Figure:
    """Table 1 as a picture: a panel a data set, a line a row; ours filled, the paper's hollow."""
    found = table_1(folder)
    fig = new_figure("Table 1 of DGM: what is known of all classes after the last task",
                     2.2 + 2.6 * len(found), 4.2)  # fmt: skip
    axes = fig.subplots(1, len(found), sharey=True, squeeze=False)[0]
    labels = [label for label, _, _ in TABLE_1][::-1]
    color = {label: look(script, name).color for label, script, name in TABLE_1}
    for ax, (data, rows) in zip(axes, found.items()):
        for label, (values, paper) in rows.items():
            y = labels.index(label)
            ax.plot([min(values), max(values)], [y, y], color=color[label], lw=4, alpha=0.3)
            here = dict(color=color[label], ms=6, label="here; bar: range over seeds")
            ax.plot(statistics.fmean(values), y, "o", **here)
            ax.plot(paper, y, "D", mfc="none", mec="k", ms=7, label="the paper")
        ax.set(title=DATA_NAMES[data], xlabel="accuracy (%)", yticks=range(len(labels)),
               yticklabels=labels)  # fmt: skip
    handles = dict(zip(*reversed(axes[0].get_legend_handles_labels())))
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    return fig
