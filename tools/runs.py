"""Results of finished runs, by row. A file that is not what its name says is named and left out.

NAME-seedS.json must hold seed S and the flags of the row NAME, in full size or in miniature, and
be of the same data as the others of its folder.
"""

import argparse
import importlib
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import common
from tools.tables import Runs

SCRIPTS = {  # whose rows lie in a folder of results
    "gan_replay": ("gan_replay",), "dgm": ("dgm", "beyond.generators"),
    "synthetic_meta": ("synthetic_meta",), "grad_predict": ("grad_predict",),
    "episodic": ("beyond.episodic",),
}  # fmt: skip
ALWAYS = {"grad_predict": "--record-death"}  # flags that every row of a script has
SIZES = ("train_size", "test_size", "validation")  # of the data: alike in a folder
# Flags that are not the row's: which images, on which machine.
FREE = ("dataset", "image_size", *SIZES, "seed", "device", "threads", *common.NO_EFFECT)
# Flags that a script's other methods do not look at: a new default makes no result of theirs old.
ONLY_OF = {("grad_predict", "ewc_lambda"): ("ewc", "ewc-each")}


class Row(NamedTuple):
    """A line of a script's ROWS."""

    module: ModuleType
    item: str  # the paper's
    flags: str
    label: str  # may name a flag in braces

    @property
    def start(self) -> str:
        """What Python is told to run."""
        name = self.module.__name__
        return f"-m {name}" if "." in name else f"{name}.py"


@cache
def rows_of(script: str) -> dict[str, Row]:
    """All rows of a folder of results, in the order of its tables."""
    return {name: Row(module, *about)
            for module in map(importlib.import_module, SCRIPTS[script])
            for name, about in module.ROWS.items()}  # fmt: skip


def start_of(script: str) -> str:
    """What Python is told to run for the first row of a folder of results."""
    return next(iter(rows_of(script).values())).start


def figures_of(script: str) -> ModuleType:
    """The module of tools/figures that draws a script's results."""
    return importlib.import_module(f"tools.figures.{script}")


def read(folder: str | Path, script: str) -> Runs:
    """The runs of every row that are in a folder, each with `path`, `label`, `item` and `start`.

    Says on stderr which files are left out, and why. UserError for a file that is damaged or no
    result, and when there is nothing to use.
    """
    files = sorted(Path(folder).glob("*-seed*.json"))
    runs = [load(path, script) for path in files if not path.name.startswith("speed")]
    for run in runs:
        run["left_out"] = run.get("left_out") or wrong_with(run, script)
    kept = [run for run in runs if not run["left_out"]]
    leave_out_the_few(kept, lambda run: "", lambda run: of_data(data_of(run)))
    leave_out_the_few(kept, lambda run: "", lambda run: run["size"])
    leave_out_other_images(kept)
    for why in dict.fromkeys(run["left_out"] for run in runs if run["left_out"]):
        names = " ".join(run["path"] for run in runs if run["left_out"] == why)
        print(f"left out: {names}: {why}", file=sys.stderr)
    found: Runs = {}
    for name in rows_of(script):
        some = [run for run in kept if run["row"] == name and not run["left_out"]]
        if some:
            found[name] = sorted(some, key=lambda run: run["seed"])
    if not found and runs and all("skipped" in run for run in runs):
        raise common.Unfit(f"no row of {script} could run on these data: {folder}")
    if not found:
        raise common.UserError(f"there are no results of {script} in '{folder}' to use: train "
                               f"first (python {start_of(script)} --rows lists them)")  # fmt: skip
    return found


def load(path: Path, script: str) -> dict[str, Any]:
    """One result; UserError if it is damaged, or none of this script and schema."""
    run = common.read_json(path)
    if not isinstance(run, dict) or (run.get("schema"), run.get("script")) != (
        common.SCHEMA, script):  # fmt: skip
        raise common.UserError(f"{path} is not a result of {script}, schema {common.SCHEMA}: "
                               "remove it")  # fmt: skip
    if run.pop("checksum", None) != common.checksum(run):
        raise common.UserError(f"{path} is damaged, or was edited: delete it and run it again")
    if "skipped" in run:
        return run | {"path": str(path), "left_out": f"these data do not fit: {run['skipped']}"}
    parts = {"args", "command", "R", "metrics", "timing", "environment"}
    if not parts <= run.keys():
        lacks = ", ".join(sorted(parts - run.keys()))
        raise common.UserError(f"{path} lacks {lacks}: delete it and run it again")
    if not isinstance(run["args"], dict) or "dataset" not in run["args"]:
        raise common.UserError(f"{path} does not say which data set it is of: run it again")
    return run | {"path": str(path), "left_out": ""}


def wrong_with(run: dict[str, Any], script: str) -> str:
    """In words, why a run is not what its file's name says; else "", and the row is noted in it."""
    name, _, seed = Path(run["path"]).stem.rpartition("-seed")
    if str(run["seed"]) != seed:
        return f"it is of seed {run['seed']}, not of {seed}"
    row = rows_of(script).get(name)
    if row is None:
        return f"{name} is no row of {script} (python {start_of(script)} --rows)"
    flags = expected(row, name, run)
    why = differs(run, flags)
    if why and name in row.module.DEMO:
        in_demo = expected(row, f"demo/{name}", run)
        run["demo"] = not differs(run, in_demo)
        why, flags = ("", in_demo) if run["demo"] else (why, flags)
    size = run["args"].get("image_size")
    own = size == getattr(flags, "image_size", size)
    run["size"] = "images of the row's size" if own else f"--image-size {size}"
    label = row.label.format(**run["args"])
    run |= {"row": name, "label": label, "item": row.item, "start": row.start}
    return why and f"it is not of the row {name}, whose flags are {row.flags or 'none'}: {why}"


def expected(row: Row, name: str, run: dict[str, Any]) -> argparse.Namespace | None:
    """The flags of a row for the data of a run; None if the row refuses them."""
    dataset, seed = run["args"]["dataset"], str(run["seed"])
    argv = ["--row", name, "--dataset", dataset, "--seed", seed]
    always = ALWAYS.get(row.module.__name__, "")
    try:
        return row.module.parse_args(
            common.with_row(argv, row.module.ROWS, row.module.DEMO, always)
        )
    except common.UserError:
        return None


def differs(run: dict[str, Any], flags: argparse.Namespace | None) -> str:
    """In words, the first flag of a run that is not as expected; "" if all are."""
    if flags is None:
        return "it refuses these data"
    for key, value in vars(flags).items():
        methods = ONLY_OF.get((run.get("script", ""), key))
        idle = key in FREE or methods and flags.method not in methods
        if not idle and key in run["args"] and run["args"][key] != value:
            return f"--{key.replace('_', '-')} is {run['args'][key]}, not {value}"
    return ""


def data_of(run: dict[str, Any]) -> tuple:
    """The data set and how many images were asked for."""
    return Path(run["args"]["dataset"]).name, *(run["args"].get(size, 0) for size in SIZES)


def of_data(data: tuple) -> str:
    """A data set and how much of it, in words."""
    sizes = zip(SIZES, data[1:])
    return " ".join([data[0], *(f"--{size.replace('_', '-')} {n}" for size, n in sizes if n)])


def leave_out_the_few(
    runs: list[dict[str, Any]], group: Callable[[dict], Hashable], value: Callable[[dict], Hashable]
) -> None:
    """In each group those runs are left out whose value is not that of most (else of the first)."""
    runs = [run for run in runs if not run["left_out"]]
    for one in dict.fromkeys(map(group, runs)):
        some = [run for run in runs if group(run) == one]
        most = Counter(map(value, some)).most_common(1)[0][0]
        for run in some:
            if value(run) != most:
                run["left_out"] = f"the others have {most} where it has {value(run)}"


def leave_out_other_images(runs: list[dict[str, Any]]) -> None:
    """Those are left out that name the same data, and the same part of it, but had other images."""

    def part(run: dict[str, Any]) -> tuple:
        args = run["args"]
        drawn = args["dataset"] in common.GLYPHS or args["train_size"] or args["test_size"]
        return *data_of(run), args.get("image_size"), run["seed"] if drawn else None

    runs = [run for run in runs if "data" in run and not run["left_out"]]
    for one in dict.fromkeys(map(part, runs)):
        some = [run for run in runs if part(run) == one]
        most = Counter(run["data"]["checksum"] for run in some).most_common(1)[0][0]
        usual = next(run for run in some if run["data"]["checksum"] == most)
        for run in some:
            if why := common.data_difference(usual["data"], run["data"]):
                run["left_out"] = f"it is of other data than {usual['path']}: {why}"


def say_missing(runs: Runs, wanted: list[str], script: str, folder: str | Path) -> None:
    """The commands of the first three rows that a folder lacks, and how many more there are."""
    there = Path(folder)  # what is there but left out was named before
    absent = [name for name in wanted
              if name not in runs and not any(there.glob(f"{name}-seed*.json"))]  # fmt: skip
    some = [run for row in runs.values() for run in row]
    if not absent:
        return
    if all(run.get("demo") for run in some):
        print(f"{len(absent)} rows of the full tables of {script} are not in the demo",
              file=sys.stderr)  # fmt: skip
        return
    flags, own = some[0]["args"], expected(rows_of(script)[some[0]["row"]], some[0]["row"], some[0])
    where = ["--dataset", flags["dataset"], "--data-dir", flags["data_dir"]]
    for size in (*SIZES, "image_size"):
        if flags.get(size, 0) != getattr(own, size, 0):
            where += [f"--{size.replace('_', '-')}", str(flags[size])]
    for name in absent[:3]:
        command = ["--row", name, *where, "--seed", "0", "--out", f"{folder}/{name}-seed0.json"]
        start = rows_of(script)[name].start
        print(f"missing: python {start} {shlex.join(command)}", file=sys.stderr)
    if absent[3:]:
        print(f"missing: {len(absent) - 3} more of the {len(wanted)} rows of the full tables "
              f"(python {start_of(script)} --rows)", file=sys.stderr)  # fmt: skip


def for_claims(folder: str, script: str) -> Runs:
    """A script's runs by row; those of all scripts by SCRIPT/ROW, of other data than MNIST by
    SCRIPT-DATA/ROW."""
    found: Runs = {}
    for other in SCRIPTS:
        for place in Path(folder).glob(f"{other}*"):
            data = place.name.removeprefix(other).lstrip("-") or "mnist"
            some = read_all(folder, other, data)
            found |= {f"{place.name}/{name}": runs for name, runs in some.items()}
    return found | read_all(folder, script)


@cache
def read_all(folder: str, script: str, data: str = "mnist") -> Runs:
    """`read` of FOLDER/SCRIPT, or FOLDER/SCRIPT-DATA for other data; {} where there are none."""
    where = Path(folder) / (script if data == "mnist" else f"{script}-{data}")
    try:
        return read(where, script) if any(where.glob("*-seed*.json")) else {}
    except common.Unfit as nothing:
        print(nothing, file=sys.stderr)
        return {}
