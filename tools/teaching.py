"""The exercises of docs/teaching.md: what to change, and what came out when we did.

    python -m tools.teaching              # renews the page's tables from reference/teaching.json
    python -m tools.teaching --measure 3  # three seeds of each, what is missing; then renews both

An exercise is a command with other flags, or with one line of the script changed in a copy of it.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import common
from tools.tables import fill_between_markers, markdown_table

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {  # the paper's method in miniature, which the exercises change
    "gan_replay": "--dataset glyphs --train-size 2000 --test-size 1000 --n-gen 400 "
        "--gan-epochs 10 --gan-batch-size 16 --gan-width 32 --solver-epochs 8",
    "dgm": "--preset laptop --dataset glyphs --train-size 3000 --tasks 3 --batch-size 16",
    "synthetic_meta": "--dataset glyphs --image-size 16 --train-size 3000 --test-size 1000 "
        "--gen-width 16 --meta-steps 80 --real-batch 200 --learner-seeds 4 --horizons 5 25 "
        "--batches 40",
    "grad_predict": "--dataset glyphs --image-size 14 --train-size 5000 --test-size 1000 "
        "--iterations 300 --lr 0.03 --record-death",
}  # fmt: skip


class Exercise(NamedTuple):
    """A change, in words; the flags or the lines (old, new) that make it."""

    name: str  # of its runs; two exercises may look at the same
    does: str
    flags: str = ""
    edit: tuple[str, str] = ("", "")
    metric: str = ""  # empty: accuracy on all tasks after the last


EXERCISES = {
    "gan_replay": (
        Exercise("base", "as it is"),
        Exercise("none", "nothing stands for old tasks: `--replay none`", "--replay none"),
        Exercise("real", "real images instead of generated ones: `--replay real`",
                 "--replay real"),
        Exercise("rate", "the GAN at DCGAN's rate: `--gan-lr 2e-4`", "--gan-lr 2e-4"),
        Exercise("new", "the GAN learns from the new task alone, not from the mix", "", (
            "    B = min(args.gan_batch_size, n)",
            "    images = images.pick(slice(images.new))._replace(new=images.new)\n"
            "    n = len(images.x)\n"
            "    B = min(args.gan_batch_size, n)")),
    ),
    "dgm": (
        Exercise("base", "as it is"),
        Exercise("none", "nothing stands for old tasks: `--replay none`", "--replay none"),
        Exercise("no-veto", "masks, but old weights may change: `--no-veto`", "--no-veto"),
        Exercise("veto", "the same in the code: `veto` returns the gradient unchanged", "",
                 ("    return gradient * ~used\n", "    return gradient\n")),
    ),
    "synthetic_meta": (
        Exercise("base", "as it is"),
        Exercise("base", "the same runs; a test image may not see the others", "", ("", ""),
                 "no transduction"),
        Exercise("base", "the same learners and rates on real images", "", ("", ""),
                 "on real images"),
        Exercise("graph", "no gradient through the learner's gradients: `create_graph=False`", "",
                 ("create_graph=graph)", "create_graph=False)")),
    ),
    "grad_predict": (
        Exercise("sgd", "plain SGD: `--method sgd`", "--method sgd"),
        Exercise("oracle", "Eq. (5) with true gradients: `--method mask --predictor oracle`",
                 "--method mask --predictor oracle"),
        Exercise("wrong", "the same, and in `masked` `< 0` for `> 0`",
                 "--method mask --predictor oracle",
                 ("grad * old > 0", "grad * old < 0")),
        Exercise("zero", "Eq. (5) with old gradients of 0: `--method mask --predictor zero`",
                 "--method mask --predictor zero"),
        Exercise("scalar", "Eq. (5) with the paper's h: `--method mask`",
                 "--method mask"),
        Exercise("improved", "gradients of learned inputs: `--preset improved --n-pseudo 200`",
                 "--preset improved --n-pseudo 200"),
    ),
}  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Where the page, the numbers and the runs are."""
    parser = common.new_parser(__doc__)
    add = parser.add_argument
    add("--page", default="docs/teaching.md", metavar="FILE", help="whose tables are renewed")
    add("--numbers", default="reference/teaching.json", metavar="FILE", help="what was measured")
    add("--measure", type=int, default=-1, metavar="SEEDS", help="measure again: so many seeds of "
        "each exercise are run, unless they are in --runs; 0: with those that are there")
    add("--runs", default="results/teaching", metavar="DIR", help="where the runs go; kept")
    return parser.parse_args(argv)


def changed(script: str, exercise: Exercise) -> str:
    """The text of a script with the exercise's line changed; UserError if it is not there."""
    text, (old, new) = (ROOT / f"{script}.py").read_text(encoding="utf-8"), exercise.edit
    if old and text.count(old) != 1:
        raise common.UserError(f"{script}.py must have once: {old.strip()}")
    return text.replace(old, new) if old else text


def carry_out(script: str, exercise: Exercise, seed: int, out: Path) -> None:
    """One run, in a copy of the script; if it stops, what it said is its result."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copy(ROOT / "common.py", copy)
        Path(copy, f"{script}.py").write_text(changed(script, exercise), encoding="utf-8")
        command = [sys.executable, f"{script}.py", *COMMANDS[script].split(),
                   *exercise.flags.split(), "--threads", "1", "--seed", str(seed),
                   "--out", str(out.resolve())]  # fmt: skip
        done = subprocess.run(command, cwd=copy, capture_output=True, encoding="utf-8")
    if done.returncode:
        common.write_text(out, json.dumps({"says": done.stderr.strip().splitlines()[-1]}) + "\n")


def number(run: dict[str, Any], exercise: Exercise) -> float:
    """Per cent."""
    return 100 * float(run["metrics"][exercise.metric] if exercise.metric
                       else statistics.fmean(run["R"][-1]))  # fmt: skip


def measure(folder: Path, seeds: int) -> dict[str, list[dict]]:
    """What came out of every exercise, by script; at most `seeds` of each are run."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict]] = {}
    for script, exercises in EXERCISES.items():
        for exercise in exercises:
            name = f"{script}-{exercise.name}"
            for seed in range(seeds):
                out = folder / f"{name}-{seed}.json"
                if not out.exists():
                    carry_out(script, exercise, seed, out)
            runs = [common.read_json(path) for path in sorted(folder.glob(f"{name}-[0-9].json"))]
            if not runs:
                raise common.UserError(f"{folder} has no {name}-SEED.json: --measure 1")
            entry: dict[str, Any] = {"does": exercise.does, "seeds": len(runs)}
            if says := [run["says"] for run in runs if "says" in run]:
                entry["says"] = re.sub(r"(\.\d)\d+", r"\1", says[0]).removeprefix("error: ")
            else:
                entry["values"] = [round(number(run, exercise), 2) for run in runs]
            found.setdefault(script, []).append(entry)
    return found


def table(entries: list[dict]) -> str:
    """A row for each exercise: what to change, what comes out."""
    rows = []
    for entry in entries:
        if "says" in entry:
            came = f"stops: “{entry['says']}”"
        else:
            low, high = (f"{end(entry['values']):.0f}" for end in (min, max))
            came = f"{low} %" if low == high else f"{low} to {high} %"
        rows.append([entry["does"], came, str(entry["seeds"])])
    return markdown_table(["change", "accuracy on all tasks", "seeds"], rows)


def main(argv: list[str] | None = None) -> None:
    """Measure, if asked; then the page."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    if args.measure >= 0:
        found = measure(Path(args.runs), args.measure)
        text = json.dumps(found, indent=1, ensure_ascii=False)
        common.write_text(args.numbers, text + "\n")
    for script, entries in common.read_json(args.numbers).items():
        words = f"python {script}.py {COMMANDS[script]}"
        lines = textwrap.wrap(words, 98, subsequent_indent="    ", break_on_hyphens=False)
        command = " \\\n".join(lines)
        block = f"```sh\n{command}\n```\n\n{table(entries)}"
        fill_between_markers(args.page, f"teaching {script}", block)
    print(f"{args.page} is renewed")


if __name__ == "__main__":
    common.exit_in_one_line(main)
