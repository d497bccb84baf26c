"""Which runs a figure or a table needs: rules for make, read from the scripts' own tables.

Each script owns three literals, which are read here without importing it, so without torch:

    ROWS  = {name: (the paper's item, flags, label)}
    ITEMS = {"figure1": ("name", "name", "episodic:name", ...), "table2": ("@imagenet50", ...)}
    DEMO  = {"": flags that all rows of the demo share, name: flags}

An item names the rows it is drawn from: SCRIPT:NAME is a row of another script, @DATA says that the
item has a data set of its own. The Makefile includes what this prints and holds the templates `run`
and `item` that it calls.

DATASET=demo stands for the runs of the demo: each item is drawn from those of its rows that are in
DEMO, in seconds or minutes.

    python tools/plan.py --data mnist --preset laptop --seeds 0 1 2     # for make
    python tools/plan.py --items                                       # for make help
"""

import argparse
import ast
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {"gan_replay": "gan_replay.py", "dgm": "dgm.py", "synthetic_meta": "synthetic_meta.py",
           "grad_predict": "grad_predict.py", "episodic": "beyond/episodic.py",
           "generators": "beyond/generators.py"}  # fmt: skip


def literals(path: Path) -> dict[str, dict]:
    """ROWS, ITEMS and DEMO of a script."""
    found: dict[str, dict] = {"ROWS": {}, "ITEMS": {}, "DEMO": {}}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in found:
                found[target.id] = ast.literal_eval(node.value)
    return found


def start(script: str) -> str:
    """What Python is told to run it."""
    file = SCRIPTS[script]
    return file if "/" not in file else "-m " + file.removesuffix(".py").replace("/", ".")


def folder(script: str) -> str:
    """Where its results lie: the generators' beside DGM's, in whose tables they stand."""
    return "dgm" if script == "generators" else script


class Plan:
    """Runs and items for a data set, a preset of dgm.py and some seeds."""

    def __init__(self, data: str, preset: str, seeds: list[str]):
        self.data, self.preset = data, preset
        self.seeds = ["0"] if data == "demo" else seeds
        self.tables = {script: literals(ROOT / file) for script, file in SCRIPTS.items()}

    def rows_of(self, script: str, item: str) -> tuple[str, list[tuple[str, str]]]:
        """An item's data set and its rows, each with its script."""
        data, rows = self.data, []
        for name in self.tables[script]["ITEMS"][item]:
            if name.startswith("@"):
                data = name[1:]
                continue
            other, _, row = name.rpartition(":")
            of = other or script
            if self.preset == "paper" and f"{row}-paper" in self.tables[of]["ROWS"]:
                row = f"{row}-paper"
            rows.append((of, row))
        return data, rows

    def result(self, data: str, script: str, row: str, seed: str) -> str:
        return f"results/{data}/{folder(script)}/{row}-seed{seed}.json"

    def rules(self) -> str:
        """Calls of the Makefile's templates, and the targets of a script's items."""
        runs: dict[tuple[str, str, str], None] = {}
        lines = []
        for script, table in self.tables.items():
            wanted: dict[str, None] = {}
            for item in table["ITEMS"]:
                data, rows = self.rows_of(script, item)
                if self.data == "demo":  # its runs have rules of their own, below
                    data = "demo"
                    rows = [(of, row) for of, row in rows if row in self.tables[of]["DEMO"]]
                else:
                    runs |= dict.fromkeys((data, of, row) for of, row in rows)
                needs = [self.result(data, *row, seed) for row in rows for seed in self.seeds]
                lines.append(f"$(eval $(call item,{script},{item},{data},{' '.join(needs)}))")
                if data == self.data:
                    wanted |= dict.fromkeys(needs)
            if table["ITEMS"] and self.data != "demo":
                lines.append(f"figures/{self.data}/{script}/tables.md: {' '.join(wanted)}")
        for data, script, row in runs:
            flags = self.tables[script]["ROWS"][row][1]
            kept = re.search(r"--generator ([\w-]+)", flags)
            for seed in self.seeds:
                first = self.result(data, script, kept[1], seed) if kept else ""
                words = [folder(script), row, seed, data, start(script), first]
                lines.append(f"$(eval $(call run,{','.join(words)}))")
        every = [self.result(data, script, row, seed) for data, script, row in runs
                 if data == self.data for seed in self.seeds]  # fmt: skip
        lines.append(f"RESULTS := {' '.join(every)}")
        small = [f"results/demo/{script}/{row}-seed0.json" for script, table in self.tables.items()
                 for row in table["DEMO"] if row]  # fmt: skip
        lines.append(f"DEMO_RUNS := {' '.join(small)}")
        for script, table in self.tables.items():
            demo = [f"results/demo/{script}/{row}-seed0.json" for row in table["DEMO"] if row]
            lines += [f"$(eval $(call demo_run,{script},{row},{start(script)}))"
                      for row in table["DEMO"] if row]  # fmt: skip
            lines.append(f"figures/demo/{script}/tables.md: {' '.join(demo)}" if demo else "")
        return "\n".join(lines) + "\n"

    def items(self) -> str:
        """A line per item: its target, how many rows, and the hours they took us on one core.

        "+": and more, as some rows are not in reference/; "?": none is.
        """
        lines = []
        for script, table in self.tables.items():
            for item in table["ITEMS"]:
                data, rows = self.rows_of(script, item)
                known = [s for of, row in rows if (s := seconds(data, of, row))]
                more = " " if len(known) == len(rows) else "+"  # some were never timed
                hours = f"{sum(known) / 3600:.1f}{more}" if known else "? "
                lines.append(f"  make {script + '/' + item:<30} {len(rows):>3} rows {hours:>7} h"
                             + (f"  ({data})" if data != self.data else ""))  # fmt: skip
        return "\n".join(lines) + "\n"


def seconds(data: str, script: str, row: str) -> float:
    """How long a row took us, the mean of its seeds; 0 where reference/ does not have it."""
    found = []
    for place in (f"{folder(script)}-{data}", folder(script)):
        for path in (ROOT / "reference" / place).glob(f"{row}-seed*.json"):
            found.append(json.loads(path.read_text(encoding="utf-8"))["timing"]["wall_s"])
        if found:
            return statistics.fmean(found)
    return 0.0


def main() -> None:
    """Print the rules, or the items."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--data", default="mnist", help="name of the data set, for its folders")
    parser.add_argument("--preset", default="laptop", choices=["laptop", "paper"], help="of dgm.py")
    parser.add_argument("--seeds", nargs="+", default=["0"], help="seeds of every run")
    parser.add_argument("--items", action="store_true", help="print the items and their hours")
    args = parser.parse_args()
    plan = Plan(args.data, args.preset, args.seeds)
    sys.stdout.write(plan.items() if args.items else plan.rules())


if __name__ == "__main__":
    main()
