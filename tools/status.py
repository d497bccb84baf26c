"""Which results of a plan are there, which are missing, and how long the others took us.

    python -m tools.status mnist results/mnist/gan_replay/none-seed0.json ...     # for make
"""

import argparse
import json
import math
import re
import statistics
import sys
from pathlib import Path

import common
from tools.runs import SCRIPTS
from tools.tables import markdown_table


def parse_args(argv: list[str]) -> argparse.Namespace:
    """A data set and the results that are wanted."""
    parser = common.new_parser(__doc__)
    parser.add_argument("dataset", help="name of the data set")
    parser.add_argument("results", nargs="*", help="results/DATASET/SCRIPT/NAME-seedS.json")
    parser.add_argument("--reference", default="reference", metavar="DIR", help="how long it took")
    return parser.parse_args(argv)


def told(path: Path) -> dict:
    """A result, or {} if there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def seconds_of(path: Path) -> float:
    """How long a run took, seconds; NaN if there is no such result, or it does not say."""
    try:
        return float(told(path)["timing"]["wall_s"])
    except (ValueError, KeyError, TypeError):
        return math.nan


def status(dataset: str, results: list[str], reference: str) -> str:
    """What is there and what is missing; the missing runs take as long as in `reference`.

    A run that the reference lacks takes as long as its script's middle one. What was skipped, as
    the data do not fit, is named below.
    """
    rows, spent, left, skipped = [], 0.0, 0.0, []
    for script in SCRIPTS:
        paths = [Path(path) for path in results if Path(path).parent.name == script]
        if not paths:
            continue
        beside = Path(reference) / f"{script}-{dataset}"
        ours = {path.name: seconds_of(path) for folder in (Path(reference) / script, beside)
                for path in folder.glob("*-seed*.json")}  # fmt: skip
        known = [seconds for seconds in ours.values() if math.isfinite(seconds)]
        middle = statistics.median(known) if known else 0.0
        there = [path for path in paths if path.exists()]
        took = sum(filter(math.isfinite, map(seconds_of, there)))
        missing = 0.0
        for path in set(paths) - set(there):
            first = re.sub(r"-seed\d+", "-seed0", path.name)
            expected = ours.get(path.name, ours.get(first, math.nan))
            missing += expected if math.isfinite(expected) else middle
        skipped += [(path, told(path)["skipped"]) for path in there if "skipped" in told(path)]
        figures = f"figures/{dataset}/{script}"
        drawn = f"{figures}/tables.md" if Path(figures, "tables.md").exists() else "–"
        rows.append([script, str(len(paths)), str(len(there)), f"{took / 3600:.1f}",
                     f"{missing / 3600:.1f}", drawn])  # fmt: skip
        spent, left = spent + took, left + missing
    rows.append(["all", str(len(results)), str(sum(int(row[2]) for row in rows)),
                 f"{spent / 3600:.1f}", f"{left / 3600:.1f}", ""])  # fmt: skip
    header = ["script", "runs", "done", "hours spent", "hours to go (one core)", "tables, figures"]
    lines = [f"skipped, as these data do not fit: {path}: {why}\n" for path, why in skipped]
    return markdown_table(header, rows) + "".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Print the table."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    print(status(args.dataset, args.results, args.reference), end="")


if __name__ == "__main__":
    common.exit_in_one_line(main)
