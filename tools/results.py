"""RESULTS.md: what each paper claims, what came out here, and whether it held; from JSON alone.

    reference/SCRIPT/NAME-seedS.json ──► tools/claims.py: measured, judged ──► RESULTS.md
                                    └──► all methods on Split-MNIST ──► benchmark.png
    reference/growth.json, what `make bench` left ──► growth.png

    python -m tools.results                            # our runs in reference/; renews README.md
    python -m tools.results --runs results/mnist --out figures/mnist/RESULTS.md   # yours
"""

import argparse
import importlib
import inspect
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import common
from tools import benchmark, quality, race, speed, table1
from tools.claims import CLAIMS, RULES, UNTESTED, Claim, Verdict, judge
from tools.contents import CONTENTS, contents_table
from tools.runs import SCRIPTS, figures_of, for_claims, read_all
from tools.style import BLACK, look, new_figure, save_figure
from tools.tables import (
    Runs,
    fill_between_markers,
    markdown_table,
    metric,
    metric_digits,
    numbered_list,
)  # fmt: skip

TITLES = {
    "gan_replay": "Montagna 2024, Generative continual learning",
    "dgm": "Ostapenko et al. 2019, Learning to Remember: A Synaptic Plasticity Driven Framework "
        "for Continual Learning",
    "synthetic_meta": "Masarczyk & Tautkute 2020, Reducing catastrophic forgetting with learning "
        "on synthetic data",
    "grad_predict": "Enabling continual learning in neural networks with meta learning (AMTL "
        "workshop, ICML 2019)",
    "episodic": "Methods that store images, of DGM's Table 1",
}  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Folders and pages."""
    parser = common.new_parser(__doc__)
    add = parser.add_argument
    add("--runs", default="reference", metavar="DIR", help="results, in DIR/SCRIPT/NAME-seedS.json")
    add("--out", default="RESULTS.md", metavar="FILE", help="the page")
    add("--figures", default="", metavar="DIR", help="where its figures go; empty: --runs")
    add("--readme", default="", metavar="FILE",
        help="also renew the blocks of this page, and of docs/ beside it")
    add("--format", choices=["png", "pdf"], default="png", help="pdf: each picture as PDF, too")
    args = parser.parse_args(argv)
    args.figures = args.figures or args.runs
    common.expand_home(args)
    return args


def file_of(script: str) -> str:
    """Where the first script of a folder of results lies."""
    return SCRIPTS[script][0].replace(".", "/") + ".py"


def link_to(path: str | Path, base: str | Path) -> str:
    """A path as a link from a page in the folder `base`."""
    return Path(os.path.relpath(path, base)).as_posix()


# --------------------------------------------------------------------------------------------
# Claims: a short line each, its evidence folded below
# --------------------------------------------------------------------------------------------


def claims_of(script: str, folder: str, base: str) -> str:
    """A paper's claims as a table, and what each verdict rests on."""
    runs = for_claims(folder, script)
    rows, folded = [], []
    for i, claim in enumerate(CLAIMS[script], 1):
        verdict, anchor = judge(claim, runs), f"{script}-{i}"
        rows.append([f"[{i}](#{anchor})", claim.item, claim.says, claim.paper or "–",
                     verdict.short, verdict.shown])  # fmt: skip
        folded.append(evidence(f'<details id="{anchor}"><summary>{i}. {claim.says}: '
                               f"{verdict.shown}</summary>", claim, verdict, runs, folder, script,
                               base))  # fmt: skip
    header = ["#", "where", "claim", "paper", "ours (seeds), means", "held"]
    return markdown_table(header, rows).strip() + "\n\n" + "\n".join(folded)


def evidence(
    opening: str, claim: Claim, verdict: Verdict, runs: Runs, folder: str, script: str, base: str
) -> str:
    """The note, every measured value, the figure, and the runs' JSON."""
    ours = Path(folder).resolve().name == "reference"  # a note is about what came out there
    lines = [opening, ""]
    lines += [f"*Here:* {claim.note}", ""] if claim.note and ours else []
    lines += [f"- {line}" for line in verdict.said]
    figure = Path(folder) / script / claim.figure
    links = [f"[figure]({link_to(figure, base)})"] if claim.figure and figure.exists() else []
    for name in (*claim.runs, *claim.whole):
        for run in runs.get(name, [])[:1]:
            spent = sum(r["timing"]["wall_s"] for r in runs[name]) / len(runs[name])
            links.append(f"[{name}]({link_to(run['path'], base)}) {spent:.0f} s")
    return "\n".join([*lines, "", " · ".join(links), "", "</details>"])


# --------------------------------------------------------------------------------------------
# Robustness and hours
# --------------------------------------------------------------------------------------------


def stress_table(folder: str) -> str:
    """What `make stress` counted: tries, and how many of them ended wrong."""
    totals, rows = speed.bench(folder, "stress.json").get("totals", {}), []
    for name, counts in totals.items():
        killed = sum(counts.get("kills", {}).values())
        wrong = [f"{counts[f'{kind}, wrong']}" if f"{kind}, wrong" in counts else "–" for kind in
                 ("full disk", "read-only", "one target")]  # fmt: skip
        inputs = f"{counts['inputs, wrong']} of {counts['inputs']}" if "inputs" in counts else "–"
        lost = f"{counts['ends in other bytes']} of {killed}" if killed else "–"
        hurt = counts.get("damaged")
        harmed = f"{counts['damaged, wrong']} of {hurt}" if hurt else "–"
        rows.append([name, lost, harmed, inputs, *wrong])
    header = ["went wrong", "killed and resumed: other bytes",
              "damaged files: other bytes, a crash", "wrong inputs let through", "full disk",
              "read-only folder", "two runs, one target"]  # fmt: skip
    return markdown_table(header, rows) if rows else ""


def tested_at(folder: str) -> list[str]:
    """Which version `make stress` was run on."""
    commit = speed.bench(folder, "stress.json").get("environment", {}).get("commit")
    return [f"Counted at commit {commit[:7]}; the tests repeat a few of each."] if commit else []


def hours_table(folder: str) -> str:
    """What `make reproduce` costs: of each script the first seed's runs, their hours, versions."""
    rows, every = [], []
    for script in SCRIPTS:
        some = sum(read_all(folder, script).values(), [])
        runs = [run for run in some if run["seed"] == 0]
        if runs:
            rows.append(hours_row(script, runs))
            every += runs
    rows.append(hours_row("all", every))
    header = ["script", "runs", "hours of one core", "longest run, minutes", "commits"]
    return markdown_table(header, rows)


def hours_row(name: str, runs: list[dict]) -> list[str]:
    """A row of `hours_table`."""
    seconds = [run["timing"]["wall_s"] for run in runs]
    commits = {run["environment"]["commit"][:7] for run in runs}
    cost = [f"{sum(seconds) / 3600:.1f}", f"{max(seconds, default=0.0) / 60:.0f}"]
    return [name, str(len(runs)), *cost, commits.pop() if len(commits) == 1 else str(len(commits))]


def log_of(folder: str, base: str) -> list[str]:
    """A link to the log of a whole `make reproduce`, if it is there."""
    log = Path(folder, "reproduce.log")
    return [f"[Log of one from the first run to the last]({link_to(log, base)}), stopped and "
            "continued several times, a part of it beside other work: the hours at its end are "
            "more than those above."] * log.exists()


# --------------------------------------------------------------------------------------------
# The page, and the blocks of the README
# --------------------------------------------------------------------------------------------


def growth_figure(folder: str, figures: str, base: str) -> list[str]:
    """The paragraph that shows growth.png, once growth.json is there."""
    if not speed.bench(folder, "growth.json"):
        return []
    where = link_to(Path(figures) / "growth.png", base)
    return [f"![seconds against tasks, images and inner steps]({where})",
            "Both axes are logarithmic: power 1 is proportional. In gan_replay's runs every task "
            "replays more images, for more epochs, than the one before."]  # fmt: skip


def page(folder: str, figures: str, base: str) -> str:
    """RESULTS.md as text; `base` is its folder."""
    out = [
        "# Results",
        "Written by `make report` from the JSON of the runs; no number and no verdict here is "
        "typed. How verdicts are made ([tools/claims.py](tools/claims.py)):",
        "\n".join(f"- {rule}" for rule in RULES),
        "“(control)” marks our question, not the paper's claim. Below each table its evidence, "
        "claim by claim: mean ± sample standard deviation (number of seeds), the claim's parts, "
        "our comment in words, and the JSON with command, seed, commit, versions and machine.",
    ]
    for script, title in TITLES.items():
        out += [f"## {title}: `{file_of(script)}`", claims_of(script, folder, base)]
        if script in CONTENTS:
            out += ["### Every equation, procedure, figure and table",
                    contents_table(script, link_to(Path(folder, script), base)).strip()]
    out += [
        "## All methods on Split-MNIST",
        "Five tasks of two classes, one head, all ten test classes competing; in order, but for "
        "`synthetic_meta.py`, whose learners each meet a random order and pairing. The rows "
        "differ in nets, image size (dgm: 16×16) and training, as the papers do; compare within a "
        "script first. `synthetic_meta.py` keeps nothing between tasks, but its generator, or its "
        "rates, were learned beforehand on images of all classes. Peak MB is of the whole process.",
        f"![accuracy, MB kept between tasks]({link_to(Path(figures) / 'benchmark.png', base)})",
        benchmark.benchmark_table(benchmark.benchmark(folder)).strip(),
        *benchmark.without_forgetting(folder),
        "## Table 1 of DGM, all rows",
        "What is known of all classes after the last task, mean ± sample standard deviation over "
        "seeds, the paper's number in brackets. Ours are at laptop scale: 16×16 pixels. The four "
        "rows ending in S store images (ten per class; on ImageNet-50 1,000 in all), JT has all, "
        "the others none.",
        f"![Table 1 as a picture]({link_to(Path(figures) / 'table1.png', base)})",
        table1.table_1_text(folder).strip(),
        "## Time to accuracy",
        "One run from the first task to the last, evaluation and all, by seconds of one core. "
        "Hollow: measured apart from these runs, on this kind of machine. Seconds of ours are "
        "upper bounds: the machine was shared.",
        f"![seconds and accuracy]({link_to(Path(figures) / 'race.png', base)})",
        race.race_table(folder).strip(),
        "## Speed",
        "`make bench`, `make bench-higher` and `make bench-avalanche` measure this on an idle "
        "machine; how time grows with the tasks is taken from the runs, which shared theirs. A "
        "goal is what we set out for.",
        speed.speed_table(folder).strip(),
        *growth_figure(folder, figures, base),
        "## How long make reproduce takes",
        "One seed of every row on MNIST (`dgm.py` at laptop scale), one thread each. Two are made "
        "at a time, so the hours at the clock are about half of these. Upper bounds: the machine "
        "was shared; where a run was made twice with equal numbers, the shorter time stands here. "
        "The last column: the commit that made the runs, or how many did.",
        hours_table(folder).strip(),
        *log_of(folder, base),
        "## Robustness",
        "`make stress` kills every script at random moments and while it samples, evaluates and "
        "writes, damages its files, fills its disk and misuses it; counted is what went wrong.",
        stress_table(folder).strip(),
        *tested_at(folder),
        "## Deviations",
        "Where a script departs from its paper, or the paper is silent; docs/ has the reasons.",
    ]
    for script in SCRIPTS:
        text = importlib.import_module(SCRIPTS[script][0]).DEVIATIONS
        out.append(f"<details><summary><code>{file_of(script)}</code></summary>\n\n"
                   f"{numbered_list(text)}\n\n</details>")  # fmt: skip
    runs = [run for script in SCRIPTS for some in read_all(folder, script).values() for run in some]
    commits, torches, machines = ({run["environment"][key] for run in runs}
                                  for key in ("commit", "torch", "device"))  # fmt: skip
    out.append(f"Origin: {len(runs)} runs, made at {len(commits)} states of the code, with torch "
               f"{', '.join(sorted(torches))}, on {', '.join(sorted(machines))}; each JSON names "
               "its own.")  # fmt: skip
    return "\n\n".join(out) + "\n"


# The number of each paper that the README shows: what it is, row, metric.
HEADLINES = {
    "gan_replay": (("BWT, n_gen = 12k", "ngen12000", "BWT"),
                   ("BWT, `improved`", "improved", "BWT")),
    "dgm": (("A_10 of DGMw", "dgmw", "A_10 (%)"), ("A_10, `improved`", "improved", "A_10 (%)")),
    "synthetic_meta": (("ACC, synthetic", "synthetic", "ACC"), ("ACC, real", "real", "ACC"),
                       ("ACC, `improved`", "improved", "ACC")),
    "grad_predict": (("ACC, Eq. (5)", "scalar", "ACC (%)"), ("ACC, plain SGD", "sgd", "ACC (%)"),
                     ("ACC, `improved`", "improved", "ACC (%)")),
}  # fmt: skip


def verdicts_of(script: str, folder: str) -> list[Verdict]:
    """The verdicts on a paper's own claims, in their order."""
    return [judge(claim, for_claims(folder, script)) for claim in CLAIMS[script]
            if "control" not in claim.item]  # fmt: skip


def how_many(verdicts: list[Verdict]) -> str:
    """How many of the claims judged held, and how many of these on fewer than three seeds."""
    judged = [verdict for verdict in verdicts if verdict.held not in ("–", UNTESTED)]
    held = [verdict for verdict in judged if verdict.held == "✅"]
    few, left = sum(verdict.seeds < 3 for verdict in held), len(verdicts) - len(judged)
    return (f"{len(held)} of {len(judged)}" + (f" ({few} on few seeds)" if few else "")
            + (f"; {left} not judged" if left else ""))


def verdict_list(script: str, folder: str) -> str:
    """The claims of a paper by their verdict, as links to RESULTS.md; (1): on one seed."""
    runs, found = for_claims(folder, script), dict[str, list[str]]()
    for i, claim in enumerate(CLAIMS[script], 1):
        verdict = judge(claim, runs)
        few = f" ({verdict.seeds})" if verdict.held in "✅❌" and verdict.seeds < 3 else ""
        link = f"[{i}](RESULTS.md#{script}-{i}){few}"
        found.setdefault(verdict.held, []).append(link)
    order = ("✅", "partly", "inconclusive", "❌", UNTESTED, "–")
    words = {"–": "not run yet"}
    return "\n".join(f"- {words.get(held, held)}: {', '.join(found[held])}"
                     for held in order if held in found)  # fmt: skip


def headlines(folder: str) -> str:
    """A row per number of HEADLINES: the paper's, ours; and how many of its claims held."""
    rows = []
    for script, numbers in HEADLINES.items():
        runs, paper = read_all(folder, script), figures_of(script).PAPER
        held = how_many(verdicts_of(script, folder))
        for i, (what, name, key) in enumerate(numbers):
            value = paper.get(name, {}).get(key)
            shown = "–" if value is None else f"{value:.{metric_digits(key)}f}"
            first = (f"`{script}.py`", held) if i == 0 else ("", "")
            rows.append([first[0], what, shown.replace("-", "−"), metric(runs.get(name, []), key),
                         first[1]])  # fmt: skip
    return markdown_table(["script", "number", "paper", "ours", "claims held"], rows)


def draw_overview(folder: str) -> Figure:
    """The README's figure: each paper's numbers against ours, and a mark for each of its claims.

    Filled: the claim held; half filled: partly; empty: it did not; a dot: open, or not tested.
    """
    fig = new_figure("", 10, 5.4)
    fill = {"✅": "full", "partly": "left", "❌": "none"}
    parts: Any = fig.subfigures(2, 2)
    for part, (script, numbers) in zip(parts.flat, HEADLINES.items()):
        above, below = part.subplots(2, 1, height_ratios=(4, 1))
        part.suptitle(f"{script}.py")
        runs, paper = read_all(folder, script), figures_of(script).PAPER
        for y, (_, name, key) in enumerate(reversed(numbers)):
            values = [run["metrics"][key] for run in runs.get(name, []) if key in run["metrics"]]
            if values:
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                above.errorbar(statistics.fmean(values), y, xerr=spread, fmt="o", capsize=3,
                               color=look(script, name).color)  # fmt: skip
            if key in paper.get(name, {}):
                above.plot(paper[name][key], y, "D", mfc="none", mec="k", ms=9)
        above.set_yticks(range(len(numbers)), [what.replace("`", "") for what, *_ in numbers[::-1]])
        above.set_ylim(-0.6, len(numbers) - 0.4)
        above.margins(x=0.15)
        above.set_xlabel(numbers[0][2])
        verdicts = [verdict.held for verdict in verdicts_of(script, folder)]
        for x, held in enumerate(verdicts):
            below.plot(x, 0, "o" if held in fill else ".", ms=8, color=BLACK, mec=BLACK,
                       markerfacecoloralt="white", fillstyle=fill.get(held, "full"))  # fmt: skip
        below.text(0, -1.4, f"{verdicts.count('✅')} of {len(verdicts)} claims held, "
                   f"{verdicts.count('partly')} in part", va="center")  # fmt: skip
        below.set(xlim=(-1, 36), ylim=(-2, 1))
        below.set_axis_off()
    marks = [Line2D([], [], marker="o", color=BLACK),
             Line2D([], [], marker="D", ls="", mfc="none", mec="k", ms=9)]  # fmt: skip
    fig.legend(marks, ["here, ± standard deviation over seeds", "the paper"], ncols=2,
               loc="outside lower center")  # fmt: skip
    return fig


PARTS = ("what it is about", "the method", "beyond it", "the run, rows", "flags, deviations")


def lengths() -> str:
    """How many lines of every script are the paper's method, and how many are all the rest."""
    rows = []
    for name in ("gan_replay", "dgm", "synthetic_meta", "grad_predict"):
        counts, part = dict.fromkeys(PARTS, 0), PARTS[0]
        lines = inspect.getsource(importlib.import_module(name)).splitlines()
        for line, after in zip(lines, [*lines[1:], ""]):
            title = after.removeprefix("# ")
            if line.startswith("# ---") and title.startswith("Flags"):
                part = PARTS[4]
            elif line.startswith("# ---") and title.startswith("The run"):
                part = PARTS[3]
            elif line.startswith("# ---") and title.startswith("Beyond"):
                part = PARTS[2]
            elif line.startswith("# ---") and part == PARTS[0]:
                part = PARTS[1]
            counts[part] += 1
        rows.append([f"`{name}.py`", *map(str, counts.values())])
    return markdown_table(["lines", *PARTS], rows)


def main(argv: list[str] | None = None) -> None:
    """The page and its figures."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    if not any(read_all(args.runs, script) for script in SCRIPTS):
        raise common.UserError(f"{args.runs} has no SCRIPT/NAME-seedS.json yet: make reproduce")
    figures = Path(args.figures)
    for path in (args.out, figures / "benchmark.png"):
        common.check_writable(path)
    pictures = {"benchmark": benchmark.draw_benchmark(benchmark.benchmark(args.runs)),
                "claims": draw_overview(args.runs), "race": race.draw_race(args.runs)}  # fmt: skip
    if table1.table_1(args.runs):
        pictures["table1"] = table1.draw_table_1(args.runs)
    if speed.bench(args.runs, "growth.json"):
        pictures["growth"] = speed.draw_growth(args.runs)
    for name, figure in pictures.items():
        save_figure(figure, figures / f"{name}.png", args.format)
    base = str(Path(args.out).resolve().parent)
    common.write_text(args.out, page(args.runs, str(figures.resolve()), base))
    if args.readme:
        fill_between_markers(args.readme, "lengths", lengths())
        fill_between_markers(args.readme, "headlines", headlines(args.runs))
        docs = Path(args.readme).parent / "docs"
        fill_between_markers(docs / "your_data.md", "example", quality.example_table(args.runs))
        for script in SCRIPTS:
            fill_between_markers(docs / f"{script}.md", f"{script} verdicts",
                                 verdict_list(script, args.runs))  # fmt: skip
    print(f"{args.out} is written, its figures are in {figures}")


if __name__ == "__main__":
    common.exit_in_one_line(main)
