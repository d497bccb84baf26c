"""The runs by which settings were chosen, a line each: reference/tuning/SCRIPT.jsonl.

    python dgm.py --preset improved --jitter 0.2 --validation 5000 --seed 10 --out tried.json
    python -m tools.tuning add "is jitter of use?" tried.json ...   # keeps what the table needs
    python -m tools.tuning table                                    # docs/tuning.md

Every such run holds training images out (--validation) and measures on them, with seeds that no
result in reference/ has. Test images choose nothing.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import common
from tools.tables import markdown_table

FOLDER = Path("reference/tuning")
PAGE = Path("docs/tuning.md")
FIRST_SEED = 10  # of the choosing runs
HEAD = """# What was chosen, and how

Where a paper is silent, or where a preset goes beyond it, some settings were chosen by these runs:
on training images that were held out, never on test images, and with seeds of ten and more, which
no result has. Each line is a try; times are upper bounds, as the machine was shared.
`python -m tools.tuning table` makes this page from [reference/tuning/](../reference/tuning/).
"""


def line_of(result: dict[str, Any], question: str, path: str) -> dict[str, Any]:
    """What is kept of a run; UserError unless it measured on held-out training images."""
    args = result["args"]
    if not args["validation"] or args["seed"] < FIRST_SEED:
        raise common.UserError(f"{path}: a choosing run has --validation and --seed {FIRST_SEED} "
                               "or more")  # fmt: skip
    metrics = {k: v for k, v in result["metrics"].items() if isinstance(v, (int, float))}
    kept = {k: v for k, v in args.items() if k not in common.NO_EFFECT}
    return {
        "question": question, "args": kept, "metrics": metrics,
        "wall_s": round(result["timing"]["wall_s"]),
        "commit": result["environment"]["commit"], "torch": result["environment"]["torch"],
    }  # fmt: skip


def add(question: str, paths: list[str], folder: Path = FOLDER) -> None:
    """Append a line for each result to the file of its script."""
    for path in paths:
        result = common.read_json(path, ["args", "metrics", "script", "command"])
        line = line_of(result, question, path)
        target = folder / f"{result['script']}.jsonl"
        old = target.read_text(encoding="utf-8") if target.exists() else ""
        common.write_text(target, old + json.dumps(line) + "\n")


def read(folder: Path = FOLDER) -> dict[str, list[dict[str, Any]]]:
    """The tries of each script."""
    return {path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for path in sorted(folder.glob("*.jsonl"))}  # fmt: skip


def table(folder: Path = FOLDER) -> str:
    """The page: for each script and question, what was tried and what came out."""
    parts = [HEAD, "<!-- begin tuning -->"]
    for script, tries in read(folder).items():
        parts.append(f"\n## {script}\n")
        for question in dict.fromkeys(t["question"] for t in tries):
            some = [t for t in tries if t["question"] == question]
            shared = [k for k in some[0]["args"] if all(k in t["args"] for t in some)]
            names = [k for k in shared if len({str(t["args"][k]) for t in some}) > 1]
            rows = [[*(str(t["args"][k]) for k in names),
                     "died" if math.isnan(accuracy(t)) else f"{accuracy(t):.1f}",
                     f"{t['wall_s']} s"] for t in some]  # fmt: skip
            fixed = some[0]["args"]
            parts.append(f"\n**{question}** {fixed['dataset']}, {fixed['validation']:,} images "
                         f"held out; tries: {len(some)}\n")
            header = [f"`--{k.replace('_', '-')}`" for k in names]
            parts.append(markdown_table([*header, "accuracy, %", "time"], rows))
    return "\n".join([*parts, "<!-- end tuning -->"]) + "\n"


def accuracy(line: dict[str, Any]) -> float:
    """After the last task, per cent; NaN of a run that died."""
    metrics = line["metrics"]
    return metrics.get("ACC (%)", 100 * metrics.get("ACC", math.nan))


def main(argv: list[str] | None = None) -> None:
    """`add QUESTION RESULT ...` or `table`."""
    parser = common.new_parser(__doc__)
    parser.add_argument("what", choices=["add", "table"])
    parser.add_argument("rest", nargs="*")
    args: argparse.Namespace = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if args.what == "add":
        if len(args.rest) < 2:
            raise common.UserError("tools.tuning add: a question, then results")
        add(args.rest[0], args.rest[1:])
    common.write_text(PAGE, table())


if __name__ == "__main__":
    common.exit_in_one_line(main)
