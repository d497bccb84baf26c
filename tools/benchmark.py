"""All methods on one benchmark, Split-MNIST: five tasks of two classes, one head for all ten."""

import statistics

from matplotlib.figure import Figure

import common
from tools.runs import read_all
from tools.style import look, new_figure
from tools.tables import markdown_table, mean_sd


def kept_by_gan_replay(run: dict) -> float:
    """The generator, and D if it is not reset; or the images, one byte a pixel."""
    if run["args"]["replay"] == "gan" and not run["args"]["joint"]:
        goes_on = run["args"]["keep_gan"]  # then D keeps its weights, too
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
                "style": look(script, name).line(some[0]),
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


def draw_benchmark(entries: list[dict]) -> Figure:
    """Accuracy, and megabytes kept: a line for each method, by script; hollow: images are kept."""
    scripts = [script for script in BENCHMARK if any(e["script"] == script for e in entries)]
    title = ("Split-MNIST, five tasks of two classes, one head\n"
             "hollow: real images are kept; bar: range over seeds")  # fmt: skip
    figure = new_figure(title, 8, 1.4 + 0.24 * (len(entries) + len(scripts)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places, names, y = [], [], 0
    for script in scripts:
        places.append(y)
        names.append(f"{script}.py" if script != "episodic" else "beyond/episodic.py")
        for e in [e for e in entries if e["script"] == script]:
            y += 1
            places.append(y)
            names.append(e["style"]["label"])
            color = e["style"]["color"]
            style = e["style"] | dict(ms=6, ls="", mfc="white" if e["images"] else color)
            left.plot([min(e["ACC"]), max(e["ACC"])], [y, y], color=color, alpha=0.4, lw=4)
            left.plot(statistics.fmean(e["ACC"]), y, **style)
            right.plot(e["kept"], y, **style)
        y += 1
    left.set(xlim=(0, 1.02), ylim=(y - 0.3, -0.7), xlabel="accuracy on all ten classes")
    left.set_yticks(places, names)
    for label in left.get_yticklabels():
        if label.get_text().endswith(".py"):
            label.set_fontweight("bold")
    right.set_xscale("symlog", linthresh=0.1)
    right.set(xlim=(-0.02, 120), xlabel="MB kept between tasks")
    right.tick_params(axis="y", length=0)
    return figure
