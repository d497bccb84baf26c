"""Figures and tables of grad_predict.py, from the JSON of its runs."""

import statistics
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import common
from grad_predict import HISTORY, ITEMS, SIGNALS, WINDOW, alarm
from tools.style import BLUE, RED, look, of_tasks
from tools.tables import Picture, Runs, Table, markdown_table, mean_sd, results_table

TITLES = ("(loss of h − loss of 0) / ‖h‖²", "log10, loss of h", "log10, loss of f",
          "log10, norm of f's gradient")  # fmt: skip
DETECTORS = {"gain": "loss of h less that of predicting 0, over ‖h‖²",
             "predictor": "loss of h",
             "loss": "loss of f", "gradient": "norm of f's gradient"}  # fmt: skip
METRICS = ("ACC (%)", "BWT (%)", "FWT (%)", "when learned (%)", "memory (%)", "dead")
PAPER: dict = {}  # its results are curves without numbers


def draw_stream(runs: Runs, figure: Figure) -> None:
    """Accuracy on each task over the iterations, mean and SD over seeds; a panel for each run.

    Dead runs are left out where there are others.
    """
    axes = figure.subplots(1, len(runs), squeeze=False)[0]
    for ax, (name, some) in zip(axes, runs.items()):
        label = look("grad_predict", name).line(some[0])["label"]
        some = [run for run in some if not run["metrics"]["dead"]] or some
        points = min(len(run["curve"]) for run in some)  # a dead run has no more
        curve = np.array([run["curve"][:points] for run in some])  # [seeds, points, 1 + T]
        at, mean = curve[0, :, 0], curve[..., 1:].mean(0)
        spread = curve[..., 1:].std(0, ddof=min(1, len(some) - 1))
        for j, style in enumerate(of_tasks(mean.shape[1])):
            ax.plot(at, mean[:, j], lw=1.2, ms=3.5, markevery=0.1, **style)
            ax.fill_between(at, mean[:, j] - spread[:, j], mean[:, j] + spread[:, j], alpha=0.2,
                            color=style["color"], lw=0)  # fmt: skip
        for t in range(1, mean.shape[1]):
            ax.axvline(t * some[0]["args"]["iterations"], color="0.3", lw=0.7, ls="--", zorder=0)
        ax.grid(False, axis="x")
        ax.set(title=f"{label} (n = {len(some)})", xlabel="iteration", ylim=(0, 1))
    axes[0].set(ylabel="test accuracy")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right")


def draw_detection(rows: Runs, figure: Figure) -> None:
    """The four statistics of Sec. 5.1 over the stream of one seed, boundaries and alarms."""
    ((run, *_),) = rows.values()
    axes = figure.subplots(4, sharex=True)
    every = run["args"]["iterations"]
    for i, (ax, what) in enumerate(zip(axes, TITLES)):
        series = [row[i] for row in run["signals"]]
        ax.plot(series, lw=0.3, color=BLUE)
        for t in range(1, run["args"]["tasks"]):
            ax.axvline(t * every, color="k", lw=1, ls="--")
        if i == 0:  # before a task's h is of any use, the quotient can be anything
            ax.set_ylim(*np.percentile(series, (1, 99)))
        for at in alarms(series):
            ax.plot(at, 1.0, "v", color=RED, transform=ax.get_xaxis_transform(), clip_on=False)
        ax.set_title(what, loc="left")
        ax.grid(False, axis="x")
    axes[-1].set(xlabel="iteration; dashed: a task begins; triangle: alarm")


def alarms(series: list[float]) -> list[int]:
    """Where a detector would have raised an alarm, each time beginning anew."""
    found, since = [], 0
    for i in range(len(series)):
        if alarm(series[max(since, i + 1 - WINDOW - HISTORY) : i + 1]):
            found.append(i)
            since = i + 1
    return found


def detection_table(runs: Runs) -> str:
    """Hits within 50 iterations, delays and false alarms of each statistic, over all seeds."""
    rows = []
    for some in runs.values():
        for i, name in enumerate(SIGNALS):
            delays: list[int] = []
            false = boundaries = 0
            for run in some:
                every, T = run["args"]["iterations"], run["args"]["tasks"]
                found = alarms([row[i] for row in run["signals"]])
                # The first alarm within 50 iterations of each boundary; all others are false.
                late = [[a - t * every for a in found if 0 <= a - t * every < 50]
                        for t in range(1, T)]  # fmt: skip
                hits = [some_late[0] for some_late in late if some_late]
                delays, false = delays + hits, false + len(found) - len(hits)
                boundaries += T - 1
            total = sum(len(run["signals"]) for run in some)
            said = mean_sd([explained(run) for run in some]) if name == "predictor" else "–"
            rows.append([some[0]["label"], DETECTORS[name], f"{len(delays)} of {boundaries}",
                         mean_sd(delays, 1) if delays else "–",
                         str(max(delays, default="–")), f"{1e4 * false / total:.2f}",
                         said])  # fmt: skip
    header = ["run", "statistic", "found within 50 iterations", "delay", "longest",
              "false alarms in 10,000 iterations", "R², median"]  # fmt: skip
    return markdown_table(header, rows)


def explained(run: dict) -> float:
    """R² of the predictor, median over a stream: 1 - |∇ - h|² / |∇|², from log10 of both."""
    P = run["parameters"]
    return statistics.median(1 - P * 10 ** (row[1] - 2 * row[3]) for row in run["signals"])


def distill_table(some_runs: Runs) -> str:
    """How well g stands for the mean of all h, after each task."""
    rows, runs = [], some_runs["distill"]
    for k in range(max(len(run["fidelity"]) for run in runs)):  # a dead run has fewer
        some, cells = [run["fidelity"][k] for run in runs if k < len(run["fidelity"])], []
        for key in ("sign", "error", "sign_later", "error_later"):
            values = [found[key] for found in some if key in found]
            cells.append(mean_sd(values) if values else "–")
        rows.append([str(some[0]["tasks"]), *cells])
    header = ["tasks in g", "coordinates with the sign of the mean of all h",
              "RMS error, relative to its RMS", "sign, a task later",
              "error, a task later"]  # fmt: skip
    return markdown_table(header, rows)


def bench(folder: Path) -> tuple[dict[str, str], dict[str, Figure]]:
    """The mean of four h at every coordinate, computed and looked up, from `make bench`."""
    if not (folder / "bench.json").exists():
        return {}, {}
    found = common.read_json(folder / "bench.json", ("environment", "exact_s"))
    env = found["environment"]
    header = [f"{found['parameters']:,} coordinates, 4 old tasks ({env['device']}, "
              f"{env['threads']} thread)", "ms", "signs that agree"]  # fmt: skip
    rows = [["computed", f"{1e3 * found['exact_s']:.1f}", "–"],
            ["looked up", f"{1e3 * found['lookup_s']:.2f}", f"{100 * found['agreement']:.3f} %"],
            ["ratio", f"{found['exact_s'] / found['lookup_s']:.0f}", "–"]]  # fmt: skip
    return {"speed": markdown_table(header, rows)}, {}


def table_of(runs: Runs) -> str:
    """Metrics of each run."""
    return results_table(runs, METRICS, PAPER)


PICTURES = {
    "figure1": Picture(draw_stream, ITEMS["figure1"], "Figure 1: accuracy on each task",
                       (4.4, 3.2), 3.4),
    "improved": Picture(draw_stream, ("sgd", "oracle", "improved"), "Pixels in [0, 1]",
                        (4.4, 3.2), 3.4),
    "standardised": Picture(draw_stream, ("std-sgd", "std-ewc", "std-improved"),
                            "Standardised pixels", (4.4, 3.2), 3.4),
    "boundaries": Picture(draw_detection, ("detect",), "A stream without task labels", (8, 6)),
}  # fmt: skip
TABLES = {
    "table": Table(table_of, (*ITEMS["table"], *ITEMS["improved"])),
    "standardised": Table(table_of, ITEMS["standardised"]),
    "split": Table(table_of, ITEMS["split"]),
    "boundaries": Table(detection_table, ITEMS["boundaries"]),
    "distillation": Table(distill_table, ("distill",)),
}
