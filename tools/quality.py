"""How good a memory is, task after task (common.memory_quality): a figure, and an example."""

import functools
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from tools.runs import read_all
from tools.style import look
from tools.tables import Runs, markdown_table, mean_sd


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


EXAMPLE = ("gan_replay", "glyphs-rgb")  # the worked example of docs/your_data.md
BESIDE = ("dgm", "glyphs-rgb-12000")  # dgm.py on the same images


def example_table(folder: str) -> str:
    """What the example's run knew and measured after each task; no replay and joint training."""
    found = read_all(folder, *EXAMPLE)
    run = found["improved"][0]
    rows = [[str(t), f"{100 * a:.1f}", f"{q['GAN-train']:.2f}", f"{q['by task'][0]:.2f}",
             f"{q['GAN-test']:.2f}", f"{q['told apart']:.2f}"]
            for t, (a, q) in enumerate(zip(run["metrics"]["A"], run["quality"]), 1)]  # fmt: skip
    header = ["after task", "accuracy on the tasks so far, %", "`GAN-train`", "`by task`: task 1",
              "`GAN-test`", "`told apart`"]  # fmt: skip
    others = [f"{words} {100 * found[name][0]['metrics']['ACC']:.1f} %" for name, words in
              (("none", "without replay"), ("joint-improved", "all at once")) if name in found]
    seconds, device = run["timing"]["wall_s"], run["environment"]["device"]
    table = markdown_table(header, rows).rstrip()
    every = mean_sd([100 * run["metrics"]["ACC"] for run in found["improved"]], 1)
    beside = read_all(folder, *BESIDE)
    dgm = dict.fromkeys(("none", "joint-improved"), "–") | {
        name: mean_sd([100 * run["metrics"]["ACC"] for run in some], 1)
        for name, some in beside.items()}  # fmt: skip
    minutes = [run["timing"]["wall_s"] / 60 for run in beside["improved"]]
    return (f"{table}\n\nAfter the last task, {' and '.join(others)}; one seed each, "
            f"{seconds / 60:.0f} minutes on one core of an {device.split(' (')[0]}.\n"
            f"This preset over all its seeds, in per cent (how many): {every}.\n"
            f"`dgm.py --preset improved` on these images, a class at a time: {dgm['improved']} in "
            f"{min(minutes):.0f} to {max(minutes):.0f} minutes;\nwithout replay {dgm['none']}, all "
            f"at once {dgm['joint-improved']} ([tables](reference/dgm-{BESIDE[1]}/tables.md)).")
