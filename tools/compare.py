"""Your results beside the reference's and the paper's, seed by seed.

    python -m tools.compare results/mnist               # against reference/

Shown are the rows that you have. Two runs of one seed are equal to the last bit, or the difference
of their main number stands beside the spread that the reference has over its seeds; other versions
of torch compute other last digits, which training makes grow, so both versions are named.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import common
from tools import benchmark
from tools.runs import SCRIPTS, data_of, figures_of, of_data, read_all, rows_of
from tools.tables import Runs, markdown_table, mean_sd, metric, metric_digits

# What does not tell how a run came out: where, when and by whom it was made.
ABOUT = ("command", "args", "timing", "environment", "path", "checksum", "label", "item", "start",
         "row", "demo", "size", "left_out", "data", "schema")  # fmt: skip
SMALL = 1e-4  # differences of an accuracy that are shown as less than this


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Two folders."""
    parser = common.new_parser(__doc__)
    parser.add_argument("yours", metavar="YOURS", help="your results, in YOURS/SCRIPT")
    parser.add_argument("--reference", default="reference", metavar="DIR",
        help="in DIR/SCRIPT, or DIR/SCRIPT-DATA for another data set than mnist")  # fmt: skip
    return parser.parse_args(argv)


def main_metric(runs: Runs) -> str:
    """The average accuracy over all tasks, as this script calls it."""
    metrics = {key for some in runs.values() for run in some for key in run["metrics"]}
    named = [key for key in metrics if key.startswith("A_")]
    most = max(named, key=lambda key: int(key[2:].split(" ")[0]), default="")
    return most or ("ACC (%)" if "ACC (%)" in metrics else "ACC")


def paper_of(script: str, row: str, key: str, data: str) -> str:
    """The paper's number for a row, or a dash."""
    figures = figures_of(script)
    known = figures.PAPER if data == "mnist" else getattr(figures, "PAPER_ELSEWHERE", {}).get(data)
    value = (known or {}).get(row, {}).get(key)
    return "–" if value is None else f"{value:.{metric_digits(key)}f}"


def come_out(run: dict) -> dict:
    """All of a run that tells how it came out."""
    return {key: value for key, value in run.items() if key not in ABOUT}


def difference(mine: dict, theirs: dict, key: str) -> str:
    """In words, how far two runs of one seed are apart."""
    a, b = come_out(mine), come_out(theirs)
    if all(a[k] == b[k] for k in a.keys() & b.keys()):
        return "equal to the last bit"
    of_R = [np.array(run["R"]) for run in (mine, theirs)]
    apart = abs(of_R[0] - of_R[1]).max() if of_R[0].shape == of_R[1].shape else np.inf
    of_R_text = f"R by up to {apart:.4f}" if apart >= SMALL else f"R by less than {SMALL:g}"
    if not (key in mine["metrics"] and key in theirs["metrics"]):
        return of_R_text
    gap = mine["metrics"][key] - theirs["metrics"][key]
    return f"{gap:+.{metric_digits(key) + 1}f}, {of_R_text}".replace("-", "−")


def shown(run: dict | None, key: str) -> str:
    """A run's main number, or a dash: there is no such run, or its network died."""
    value = (run or {"metrics": {}})["metrics"].get(key)
    return "–" if value is None else f"{value:.{metric_digits(key)}f}"


def compared(script: str, mine: Runs, theirs: Runs, data: str) -> tuple[str, int, int]:
    """A line per row and seed of `mine`; how many have a counterpart, and how many are equal."""
    key, rows, both, equal = main_metric(mine), [], 0, 0
    for name, some in mine.items():
        known = {run["seed"]: run for run in theirs.get(name, [])}
        for run in some:
            other = known.get(run["seed"])
            said = "no such seed there" if known else "no such row there"
            if other:
                said = difference(run, other, key)
                both, equal = both + 1, equal + (said == "equal to the last bit")
                made = [made_with({name: [one]}) for one in (run, other)]
                said += f" (yours: {made[0]}, reference: {made[1]})" * (made[0] != made[1])
            rows.append([name, str(run["seed"]), paper_of(script, name, key, data),
                         shown(other, key), shown(run, key), said, metric([*known.values()], key)])
    header = ["row", "seed", f"{key}: paper", "reference", "yours", "yours − reference",
              "reference, all seeds"]  # fmt: skip
    return markdown_table(header, rows), both, equal


def made_with(runs: Runs) -> str:
    """The versions of torch that made some runs."""
    every = [run["environment"] for some in runs.values() for run in some]
    found = {environment["torch"].partition("+")[0] for environment in every}
    return "torch " + " and ".join(sorted(found))


def comparison(yours: str, reference: str) -> str:
    """All scripts of which there are results in both folders."""
    parts, alone, none, total, alike = [], list[str](), list[str](), 0, 0
    for script in SCRIPTS:
        here, mine = Path(yours) / script, read_all(yours, script)
        if not mine:
            none.append(script)
            continue
        data = data_of(next(iter(mine.values()))[0])
        beside = Path(reference) / f"{script}-{data[0]}"
        there = beside if any(beside.glob("*-seed*.json")) else Path(reference) / script
        theirs = read_all(reference, script, "mnist" if there != beside else data[0])
        if theirs and data_of(next(iter(theirs.values()))[0]) != data:
            other = data_of(next(iter(theirs.values()))[0])
            parts.append(f"{script}: {here} is of {of_data(data)}, {there} of {of_data(other)}: "
                         "nothing to compare")  # fmt: skip
            continue
        table, both, equal = compared(script, mine, theirs, data[0])
        total, alike = total + both, alike + equal
        absent = len([name for name in rows_of(script) if name in theirs and name not in mine])
        made = f", made with {made_with(theirs)}" if theirs else " (no results there)"
        parts.append(f"## {script}: {here} (made with {made_with(mine)}) and {there}{made}\n\n"
                     + table)
        alone += [f"{absent} of {script}"] * (absent > 0)
    if not parts:
        raise common.UserError(f"{yours} has no results of yours yet: make reproduce")
    if alone or none:
        parts.append("Rows that are in the reference alone: "
                     + ", ".join([*alone, *(f"all of {script}" for script in none)]) + ".\n")
    if total:
        parts.append(f"{alike} of {total} runs are equal to the reference's to the last bit.\n")
    return "\n".join(parts)


def all_methods(yours: str) -> str:
    """Accuracy and megabytes of your methods on Split-MNIST."""
    rows = [[f"{e['script']}: {e['label']}", mean_sd(e["ACC"]), f"{e['kept']:.2f}"]
            for e in benchmark.benchmark(yours)]  # fmt: skip
    return markdown_table(["Split-MNIST", "accuracy", "MB kept"], rows) if rows else ""


def main(argv: list[str] | None = None) -> None:
    """Print the comparison."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    print(comparison(args.yours, args.reference))
    some = [run for script in SCRIPTS for runs in read_all(args.yours, script).values()
            for run in runs]  # fmt: skip
    if some and {data_of(run)[0] for run in some} == {"mnist"}:
        print(all_methods(args.yours), end="")


if __name__ == "__main__":
    common.exit_in_one_line(main)
