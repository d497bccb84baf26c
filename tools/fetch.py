"""Fetch a data set before the first run on it, and see that results that are there are of it.

    python -m tools.fetch mnist data results/mnist --image-size 0 --mark mnist      # for make
"""

import argparse
import sys
from pathlib import Path

import common
from tools.runs import SIZES

MARK = ".data-is-there"  # holds whose results the folder has: the Makefile compares it


def parse_args(argv: list[str]) -> argparse.Namespace:
    """A data set, where it is or goes, the folder of its results, and what to note there."""
    parser = common.new_parser(__doc__)
    add = parser.add_argument
    add("dataset", help="name or folder")
    add("data_dir", help="where data sets are, or are downloaded to")
    add("results", help="folder of the results")
    add("--image-size", type=int, default=0, help="resize to this; 0: as they are")
    add("--mark", default="", help="what to write there, in a hidden file")
    return parser.parse_args(argv)


def see_results(folder: Path, about: dict) -> None:
    """UserError if a result below a folder is of other data than `about`, whatever their size."""
    for path in sorted(folder.glob("*/*-seed*.json")):
        run = common.read_json(path)
        if "data" not in run or any(run["args"].get(size) for size in SIZES):
            continue
        differs = common.data_difference(run["data"] | {"shape": about["shape"]}, about)
        if differs and run["args"]["dataset"] not in common.GLYPHS:  # which go by the seed
            raise common.UserError(f"{path} is of other data ({differs}): move {folder} away")


def main(argv: list[str] | None = None) -> None:
    """Load the data once, compare, leave the mark."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    data = common.load_dataset(args.dataset, args.data_dir, image_size=args.image_size)
    see_results(Path(args.results), common.about_data(data))
    common.write_text(Path(args.results, MARK), f"{args.mark or args.dataset}\n")


if __name__ == "__main__":
    common.exit_in_one_line(main)
