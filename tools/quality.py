"""The figure of how good a memory is, task after task (common.memory_quality)."""

import functools
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from tools.style import look
from tools.tables import Runs


def draw_quality(script: str, runs: Runs, figure: Figure) -> bool:
    """Known of the newest task, of all tasks so far, and how often real is told from generated.

    A mean over seeds; rows whose runs were not measured are left out.
    """
    runs = {name: [run for run in some if run.get("quality")] for name, some in runs.items()}
    runs = {name: some for name, some in runs.items() if some}
    if not runs:
        return False
    axes = figure.subplots(1, 3)
    measures: tuple[tuple[str, Callable[[dict], float]], ...] = (
        ("GAN-train: newest task", lambda q: q["GAN-train"]),
        ("the same, all tasks so far", lambda q: float(np.mean(q["by task"]))),
        ("told apart", lambda q: np.nan if q["told apart"] is None else q["told apart"]),
    )
    for ax, (what, value) in zip(axes, measures):
        for name, some in runs.items():
            mean = np.mean([[value(q) for q in run["quality"]] for run in some], axis=0)
            ax.plot(range(1, len(mean) + 1), mean, **look(script, name).line(some[0]))
        ax.set(xlabel="after task", title=what, ylim=(-0.02, 1.02))
    axes[0].set(ylabel="share of images")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center")
    return True


def of(script: str) -> Callable[[Runs, Figure], bool]:
    """`draw_quality` for a script."""
    return functools.partial(draw_quality, script)
