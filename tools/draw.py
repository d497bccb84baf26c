"""Figures and tables from the results of finished runs; nothing is trained.

    python -m tools.draw gan_replay                    # results/mnist/gan_replay -> figures/...
    python -m tools.draw gan_replay --item figure1     # one of the script's ITEMS
    python -m tools.draw gan_replay --runs reference/gan_replay --figures reference/gan_replay \\
        --docs docs/gan_replay.md                      # also renews the tables of a page
    python -m tools.draw gan_replay --format pdf       # each picture as PNG and as PDF

What can be drawn stands in tools/figures/SCRIPT.py: PICTURES and tables.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import common
from tools import runs as results
from tools.runs import figures_of
from tools.style import new_figure, save_figure
from tools.tables import Runs, fill_between_markers, numbered_list


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Folders, and what is asked."""
    parser = common.new_parser(__doc__)
    add = parser.add_argument
    add("script", choices=list(results.SCRIPTS), help="whose results")
    add("--runs", default="", metavar="DIR", help="results; empty: results/mnist/SCRIPT")
    add("--figures", default="", metavar="DIR", help="where to draw; empty: figures/mnist/SCRIPT")
    add("--item", default="", metavar="NAME", help="draw one of the script's ITEMS alone")
    add("--docs", default="", metavar="FILE", help="also renew the tables of this page")
    add("--format", choices=["png", "pdf"], default="png", help="pdf: each picture as PDF, too")
    args = parser.parse_args(argv)
    args.runs = args.runs or f"results/mnist/{args.script}"
    args.figures = args.figures or f"figures/mnist/{args.script}"
    common.expand_home(args)
    return args


def rows_of_item(script: str, item: str, data: str) -> list[str]:
    """The rows of a folder that an item is drawn from; for an empty item those of all items.

    An item that brings other data (@DATA) than `data` is not among all items.
    """
    items = importlib.import_module(results.SCRIPTS[script][0]).ITEMS
    if item and item not in items:
        raise common.UserError(f"--item {item}: {script} has {', '.join(items)}")
    here = {"generators"} if script == "dgm" else set()
    chosen = [items[item]] if item else [
        some for some in items.values() if not some[0].startswith("@") or some[0] == f"@{data}"
    ]  # fmt: skip
    every = [name for some in chosen for name in some if not name.startswith("@")]
    own = [name.rpartition(":")[2] for name in every
           if ":" not in name or name.partition(":")[0] in here]  # fmt: skip
    return list(dict.fromkeys(own))


def draw(
    script: str, runs: Runs, folder: Path, item: str = "", form: str = "png"
) -> tuple[dict[str, str], list[str]]:
    """Pictures of `runs` into a folder, all or an item's; -> the tables by name, the pictures."""
    module, drawn = figures_of(script), []
    for name, picture in module.PICTURES.items():
        some = {row: runs[row] for row in picture.rows if row in runs}
        if not some or (item and item not in (name, name.partition("_")[0])):
            continue
        wide, high = picture.size
        title = picture.title.format(label=next(iter(some.values()))[0]["label"])
        figure = new_figure(title, wide + picture.each * (len(some) - 1), high)
        if picture.draw(some, figure) is not False:
            save_figure(figure, folder / f"{name}.png", form)
            drawn.append(name)
    tables = {}
    for name, table in module.TABLES.items():
        some = {row: runs[row] for row in table.rows or runs if row in runs}
        if some and (not item or item == name):
            tables[name] = table.make(some)
    return {name: table for name, table in tables.items() if table}, drawn


def renew(page: str, script: str, tables: dict[str, str], run: dict[str, Any]) -> None:
    """The tables of a page, between its marks SCRIPT NAME; of other data than all of MNIST those
    alone that have marks SCRIPT DATA NAME there. Between SCRIPT deviations stands the script's
    list."""
    data = results.of_data(results.data_of(run))
    text = Path(page).read_text(encoding="utf-8") if Path(page).is_file() else ""
    if data == "mnist" and f"<!-- begin {script} deviations -->" in text:
        module = importlib.import_module(results.SCRIPTS[script][0])
        tables = tables | {"deviations": numbered_list(module.DEVIATIONS)}
    for name, table in tables.items():
        mark = f"{script} {name}" if data == "mnist" else f"{script} {data} {name}"
        if data == "mnist" or f"<!-- begin {mark} -->" in text:
            fill_between_markers(page, mark, table)


def main(argv: list[str] | None = None) -> None:
    """Draw what the results allow; say what is missing."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    try:
        runs = results.read(args.runs, args.script)
    except common.Unfit as nothing:  # make goes on with the other scripts
        return print(nothing)
    folder = Path(args.figures)
    common.check_writable(folder / "tables.md")
    data = results.data_of(next(iter(runs.values()))[0])[0]
    wanted = [name for name in rows_of_item(args.script, args.item, data)
              if f"{name}-paper" not in runs]  # fmt: skip
    results.say_missing(runs, wanted, args.script, args.runs)
    tables, drawn = draw(args.script, runs, folder, args.item, args.format)
    module = figures_of(args.script)
    if hasattr(module, "bench") and not args.item:  # what `make bench` left there
        found, pictures = module.bench(Path(args.runs))
        tables |= found
        for name, figure in pictures.items():
            save_figure(figure, folder / f"{name}.png", args.format)
    text = "\n".join(f"## {args.script} {name}\n\n{table}" for name, table in tables.items())
    if text:
        name = f"{args.item}.md" if args.item else "tables.md"
        common.write_text(folder / name, text)
    if args.docs:
        renew(args.docs, args.script, tables, next(iter(runs.values()))[0])
    print(f"figures and tables are in {args.figures}" if drawn or text else
          f"nothing to draw: none of the rows of {args.item or args.script} is there, or these "
          "runs did not measure it")  # fmt: skip


if __name__ == "__main__":
    common.exit_in_one_line(main)
