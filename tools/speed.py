"""Speed and cost: what `make bench` left, and how the time of runs grows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

import common
from tools.runs import read_all
from tools.style import LOOKS, Look, new_figure
from tools.tables import markdown_table

GROWING = {  # what `costs` calls a line -> how it is drawn
    "gan_replay `ngen12000`": LOOKS["gan_replay"]["ngen12000"],
    "dgm `dgmw`": LOOKS["dgm"]["dgmw"], "dgm `dgma`": LOOKS["dgm"]["dgma"],
    "gan_replay": LOOKS["gan_replay"]["ngen12000"], "dgm": LOOKS["dgm"]["dgmw"],
    "synthetic_meta": LOOKS["synthetic_meta"]["synthetic"],
    "the same by `higher`": Look("by higher", "0.4", "s"),
}  # fmt: skip
Costs = dict[str, tuple[list[int], list[float]]]  # who -> how many, and seconds


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the power of x that y grows with: the slope of a line through their logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def bench(folder: str, name: str) -> dict:
    """What a script in tests/ measured, or {} if it has not been run."""
    path = Path(folder) / name
    return common.read_json(path) if path.exists() else {}


def costs(folder: str) -> dict[str, Costs]:
    """What seconds grow with (tasks, images, inner steps) -> who -> how many, and the seconds."""
    tasks: Costs = {}
    images: Costs = {}
    steps: Costs = {}
    for script, name in (("gan_replay", "ngen12000"), ("dgm", "dgmw"), ("dgm", "dgma")):
        if some := read_all(folder, script).get(name, []):
            spent = np.mean([[sum(v for k, v in task.items() if k.endswith("_s"))
                              for task in run["timing"]["tasks"]] for run in some], axis=0).tolist()
            # gan_replay's last task trains no GAN
            spent = spent[:-1] if script == "gan_replay" else spent
            tasks[f"{script} `{name}`"] = (list(range(1, len(spent) + 1)),
                                           np.cumsum(spent).tolist())  # fmt: skip
    for row in bench(folder, "growth.json").get("rows", []):
        n, s = images.setdefault(row["script"], ([], []))
        n.append(row["images"])
        s.append(row["seconds"])
    for row in bench(folder, "synthetic_meta/bench.json").get("rows", []):
        label = {"ours": "synthetic_meta", "higher": "the same by `higher`"}[row["kind"]]
        n, s = steps.setdefault(label, ([], []))
        n.append(row["steps"])
        s.append(row["seconds"])
    return {"tasks": tasks, "training images": images, "inner steps per task": steps}


def draw_growth(folder: str) -> Figure:
    """Seconds against tasks, images and inner steps: a panel each, log axes, fitted powers."""
    kinds = {kind: lines for kind, lines in costs(folder).items() if lines}
    fig = new_figure("How time grows", 4 * len(kinds), 3.9)
    panels = fig.subplots(1, len(kinds), squeeze=False)[0]
    for ax, (kind, lines) in zip(panels, kinds.items()):
        for label, (x, y) in lines.items():
            power, start = np.polyfit(np.log(x), np.log(y), 1)
            method = GROWING[label]
            ax.loglog(x, np.exp(start) * np.array(x, float) ** power, lw=1.2, color=method.color)
            ax.loglog(x, y, method.marker, ms=6, mfc="none", color=method.color,
                      label=f"{method.label}: power {power:.2f}")  # fmt: skip
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axis.set_minor_locator(NullLocator())
        low, high = ax.get_ylim()
        ax.set(xlabel=kind, title={"tasks": "a run so far", "training images": "one epoch"}.get(
            kind, "one meta-step"), ylim=(low, high * (high / low) ** 0.3))  # room for the legend
        ax.legend(loc="upper left")
    panels[0].set_ylabel("seconds")
    return fig


def speed_table(folder: str) -> str:
    """What `make bench` and its kin left, and how a run's time grows with its tasks."""
    rows, machine = [], ""

    def row(what: str, ours: str, other: str, ratio: float, goal: float) -> None:
        verdict = "✅" if ratio >= goal else "❌"
        rows.append([what, ours, other, f"{ratio:.2f} {verdict} (goal {goal:g})"])

    if found := bench(folder, "gan_replay/bench.json"):
        row("gan_replay's solver, images/s, against a DataLoader loop",
            f"{found['solver_images_per_s']:.0f}", f"{found['dataloader_images_per_s']:.0f}",
            found["solver_ratio"], 2)  # fmt: skip
        row("gan_replay's GAN, ms per step, against its layers alone",
            f"{1e3 * found['gan_step_s']:.1f}", f"{1e3 * found['layers_alone_s']:.1f}",
            found["layers_share"], 0.5)  # fmt: skip
        machine = f"{found['environment']['device']}, one thread"
    if found := bench(folder, "gan_replay/bench_avalanche.json"):
        for kind, net in (("vae", "its VAE"), ("gan", "our GAN")):
            one = found[kind]
            row(f"gan_replay on Split-MNIST, images/s, against avalanche-lib's generative replay, "
                f"{net} in both ({one['flops_per_image'] / 1e6:.0f} MFLOP an image)",
                f"{one['ours']['both']:.0f}", f"{one['avalanche']['both']:.0f}",
                one["ratio"]["both"], 2)  # fmt: skip
    if found := bench(folder, "synthetic_meta/bench.json"):
        kinds = {kind: {r["steps"]: r["seconds"] for r in found["rows"] if r["kind"] == kind}
                 for kind in ("ours", "higher")}  # fmt: skip
        ours, other = kinds["ours"], kinds["higher"]
        row("synthetic_meta's meta-step, s, against `higher`", f"{ours[5]:.2f}", f"{other[5]:.2f}",
            other[5] / ours[5], 2)  # fmt: skip
        power = exponent(list(ours), list(ours.values()))
        rows.append([f"the same, {min(ours)} to {max(ours)} inner steps per task",
                     f"grows with power {power:.2f}", "–", "–"])  # fmt: skip
    if found := bench(folder, "grad_predict/bench.json"):
        row("grad_predict's mean old gradient, ms: looked up, against computed",
            f"{1e3 * found['lookup_s']:.2f}", f"{1e3 * found['exact_s']:.0f}",
            found["exact_s"] / found["lookup_s"], 2)  # fmt: skip
    grown = costs(folder)
    for label, (x, y) in grown["tasks"].items():
        rows.append([f"{label}: seconds for the first 1 ... {len(x)} tasks",
                     f"grow with power {exponent(x, y):.2f}", "–", "–"])  # fmt: skip
    for label, (x, y) in grown["training images"].items():
        rows.append([f"{label}: seconds for an epoch of {min(x)} ... {max(x)} training images",
                     f"grow with power {exponent(x, y):.2f}", "–", "–"])  # fmt: skip
    header = [f"what ({machine})" if machine else "what", "ours", "other",
              "how many times better (of its layers: their share)"]  # fmt: skip
    return markdown_table(header, rows)
