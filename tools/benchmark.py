"""All methods on one benchmark, Split-MNIST: five tasks of two classes, one head for all ten."""

import statistics
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import common
from tools.runs import read_all
from tools.tables import markdown_table, mean_sd, save_figure


def kept_by_gan_replay(run: dict) -> float:
    """The generator, and D if it is not reset; or the images, one byte a pixel."""
    if run["args"]["replay"] == "gan" and not run["args"]["joint"]:
        goes_on = run["args"]["align"] > 0  # then D keeps its weights, too
        return run["memory"]["G"] + (run["memory"]["D"] if goes_on else 0)
    stored = run["memory"]["train"] if run["args"]["joint"] else run["tasks"][-1]["stored"]
    return stored * run["memory"]["image"]


def kept_by_dgm(run: dict) -> float:
    """The generator and its masks; joint training keeps the images."""
    if run["args"]["joint"]:
        return 60_000 * run["args"]["image_size"] ** 2
    kept = run["tasks"][-1].get("disc", {"masks_bits": 0})
    return sum(kept.values()) - kept["masks_bits"]


def kept_by_synthetic_meta(run: dict) -> float:
    """Nothing is kept between tasks: there is no replay."""
    return 0.0


def kept_by_grad_predict(run: dict) -> float:
    """The predictors, four bytes a number; the oracle and joint training keep the images."""
    if run["args"]["predictor"] == "oracle" or run["args"]["method"] == "joint":
        return 60_000 * 784
    return 4 * run["parameters"] * run["metrics"].get("memory (%)", 0.0) / 100


def kept_by_episodic(run: dict) -> float:
    """Stored images as bytes, and what a penalty needs."""
    return 1e6 * run["metrics"]["kept (MB)"]


# script: its runs on this benchmark. Real images kept: those that say so.
BENCHMARK = {
    "gan_replay": (kept_by_gan_replay,
        ("none", "ngen12000", "improved", "improved-reset", "bytes", "improved-bytes", "real",
         "joint")),
    "dgm": (kept_by_dgm,
        ("split-none", "split-dgmw", "split-dgma", "split-improved", "split-joint")),
    "synthetic_meta": (kept_by_synthetic_meta,
        ("mlp", "real", "synthetic", "improved", "improved-learned")),
    "grad_predict": (kept_by_grad_predict,
        ("split-sgd", "split-ewc", "split-improved", "split-oracle", "split-oracle-sum",
         "split-joint")),
    "episodic": (kept_by_episodic,
        ("samples-pairs", "icarl-pairs", "ewc-pairs", "pi-pairs", "rwalk-pairs")),
}  # fmt: skip
KEEPS_IMAGES = ("bytes", "improved-bytes", "real", "joint", "split-joint", "split-oracle",
                "split-oracle-sum", *BENCHMARK["episodic"][1])  # fmt: skip
HEADER = ("method", "accuracy", "forgetting", "BWT", "s", "peak MB", "MB kept between tasks",
          "real images kept")  # fmt: skip


def summary_of(run: dict) -> dict:
    """The metrics of R; of synthetic_meta.py without transduction, as all other scripts.

    Its R is a mean over learners, of which forgetting cannot be told: the maximum of a mean is at
    most the mean of the maxima. So forgetting is each learner's, or left out where it is not known.
    """
    modes = run.get("learners", {})
    if not modes:
        return common.summarise(run["R"])
    learners = modes["none" if "none" in modes else "running"]
    out = common.summarise(learners["R"])
    del out["forgetting"]
    lost = forgetting_of(learners)
    return out if lost is None else out | {"forgetting": lost}


def forgetting_of(learners: dict) -> float | None:
    """Mean of each learner's forgetting; None: a result of before it was measured."""
    return statistics.fmean(learners["forgetting"]) if "forgetting" in learners else None


def without_forgetting(folder: str) -> list[str]:
    """One line that names the runs on this benchmark of before each learner's was measured."""
    old = [f"{name}-seed{run['seed']}" for name in BENCHMARK["synthetic_meta"][1]
           for run in read_all(folder, "synthetic_meta").get(name, [])
           if "forgetting" not in summary_of(run)]  # fmt: skip
    return ["Forgetting is left out of these results of `synthetic_meta.py`, which have it of the "
            f"mean of all learners alone (too low): {', '.join(old)}."] if old else []


def benchmark(folder: str) -> list[dict]:
    """An entry for every method that has runs: label, script, accuracy [seeds] and so on."""
    out = []
    for script, (kept, names) in BENCHMARK.items():
        runs = read_all(folder, script)
        for name in names:
            some = runs.get(name, [])
            if not some:
                continue
            summary = [summary_of(run) for run in some]
            images = name in KEEPS_IMAGES and (script, name) != ("synthetic_meta", "real")
            out.append({
                "script": script, "name": name, "label": some[0]["label"],
                "ACC": [s["ACC"] for s in summary],  # a dead network's is chance
                "forgetting": [s["forgetting"] for s in summary if "forgetting" in s],
                "BWT": [s["BWT"] for s in summary if "BWT" in s],
                "s": statistics.fmean(run["timing"]["wall_s"] for run in some),
                "MB": max(run["environment"]["peak_memory_mb"] for run in some),
                "kept": statistics.fmean(kept(run) for run in some) / 1e6, "images": images,
            })  # fmt: skip
    return out


def benchmark_table(entries: list[dict]) -> str:
    """One row a method."""
    rows = []
    for e in entries:
        numbers = [mean_sd(e[key]) if e[key] else "–"
                   for key in ("ACC", "forgetting", "BWT")]  # fmt: skip
        rows.append([f"{e['script']}: {e['label']}", *numbers, f"{e['s']:.0f}", f"{e['MB']:.0f}",
                     f"{e['kept']:.2f}", "yes" if e["images"] else "no"])  # fmt: skip
    return markdown_table(HEADER, rows)


def draw_benchmark(entries: list[dict], path: str) -> None:
    """Accuracy against megabytes kept; one colour a script, hollow where images are kept.

    At the right the crowd at the top again, enlarged.
    """
    fig = Figure(figsize=(12, 5.5), layout="constrained", dpi=150)
    fig.suptitle("Split-MNIST, five tasks of two classes, one head", fontsize=11)
    whole, near = fig.subplots(1, 2, width_ratios=(3, 2))
    scripts = list(BENCHMARK)
    points = [(e["kept"], statistics.fmean(e["ACC"]), e) for e in entries]
    for x, y, e in points:
        i = scripts.index(e["script"])
        for ax in (whole, near):
            ax.plot(x, y, "os^Dv"[i], color=f"C{i}", mfc="none" if e["images"] else f"C{i}", ms=7)
    for i, script in enumerate(scripts):
        if any(e["script"] == script for e in entries):
            whole.plot([], [], "os^Dv"[i], color=f"C{i}", label=script)
    crowd = [point for point in points if 0.5 < point[0] < 5 and point[1] > 0.9]
    rest = [point for point in points if point not in crowd]
    put_names(whole, rest, 0.028, 0.9, lambda x: np.arcsinh(10 * x))
    if crowd:
        low, high = min(y for _, y, _ in crowd) - 0.005, max(y for _, y, _ in crowd) + 0.005
        left, right = min(x for x, _, _ in crowd) - 0.2, max(x for x, _, _ in crowd) + 0.6
        near.set(xlim=(left, right), ylim=(low, high))
        put_names(near, crowd, 0.035 * (high - low), 0.3 * (right - left), lambda x: x)
    whole.set_xscale("symlog", linthresh=0.1)
    whole.set(xlim=(-0.02, 120), ylabel="accuracy on all ten classes", ylim=(0, 1.02))
    near.set_title("the crowd at the top", fontsize=9)
    for ax in (whole, near):
        ax.set_xlabel("MB kept between tasks (hollow: real images among them)")
    whole.legend(fontsize=8, loc="lower right")
    save_figure(fig, path)


def put_names(
    ax: Axes, points: list[tuple[float, float, dict]], height: float, width: float,
    along: Callable[[float], float],
) -> None:
    """The name of each run beside its point [x, y]; those that would touch go up by `height`.

    Names touch that are nearer than `height` in y and `width` in along(x).
    """
    written: list[tuple[float, float]] = []
    for x, y, e in sorted(points, key=lambda point: point[1]):
        place, y_text = along(x), y
        for other in sorted(h for there, h in written if abs(place - there) < width):
            y_text = other + height if abs(y_text - other) < height else y_text
        written.append((place, y_text))
        right = x > 10  # no room there
        ax.annotate(e["name"], (x, y_text), fontsize=7, textcoords="offset points",
                    color=f"C{list(BENCHMARK).index(e['script'])}", xytext=(-6 if right else 6, -2),
                    ha="right" if right else "left")  # fmt: skip
