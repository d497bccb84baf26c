"""What reference/models holds: a picture beside each model, and a table on docs/reproducing.md.

    python -m tools.models            # of reference/models/*.pt
    python -m tools.models --train    # trains them first (`make models`)

`python SCRIPT.py --load reference/models/SCRIPT.pt --evaluate` says what each is worth.
"""

import importlib
import sys
from pathlib import Path

import common
from tools.runs import rows_of
from tools.tables import fill_between_markers, markdown_table

FOLDER, PAGE = "reference/models", "docs/reproducing.md"
ROWS = {"gan_replay": "improved", "dgm": "dgmw", "synthetic_meta": "small",
        "grad_predict": "improved"}  # fmt: skip


def train(data_dir: str, folder: str = FOLDER) -> None:
    """Each script's row, with seed 0."""
    for script, row in ROWS.items():
        flags = ["--row", row, "--threads", "1", "--data-dir", data_dir]
        files = ["--out", f"results/models/{script}.json", "--save", f"{folder}/{script}.pt"]
        importlib.import_module(script).main([*flags, *files])


def row_of(script: str, command: str) -> str:
    """The name of the row that a command has the flags of: the longest that fit."""
    fit = [name for name, row in rows_of(script).items() if f"{row.start} {row.flags} " in command]
    return max(fit, key=lambda name: len(rows_of(script)[name].flags), default="–")


def table(folder: str = FOLDER) -> str:
    """A row for each model: file, picture, row, accuracy, size."""
    rows = []
    for path in sorted(Path(folder).glob("*.pt")):
        file, picture = common.read_saved(path), path.with_suffix(".png")
        accuracy, (C, H, W) = file["accuracy"], file["data"]["shape"]
        shown = f"[{picture.name}]({picture})" if picture.exists() else "–"
        row = row_of(file["script"], file["command"])
        rows.append([f"[{path.name}]({path})", shown, f"`{row}`",
                     f"{sum(accuracy) / len(accuracy):.3f}", f"{C}x{H}x{W}",
                     f"{path.stat().st_size / 1e6:.1f} MB"])  # fmt: skip
    return markdown_table(["file", "images", "row", "ACC", "of images", "size"], rows)


def draw(folder: str = FOLDER) -> None:
    """Ten images of each class beside every model that has a generator."""
    for path in sorted(Path(folder).glob("*.pt")):
        script = importlib.import_module(common.read_saved(path)["script"])
        if hasattr(script, "draw_classes"):
            picture = str(path.with_suffix(".png"))
            script.main(["--load", str(path), "--generate", "10", "--out", picture])


def main(argv: list[str] | None = None) -> None:
    """Train if asked to, draw, then renew the table."""
    parser = common.new_parser(__doc__)
    parser.add_argument("--train", action="store_true", help="train the models first")
    parser.add_argument("--data-dir", default="data", help="where MNIST is, or is downloaded to")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    if args.train:
        train(args.data_dir)
    draw()
    fill_between_markers(PAGE, "models", table())


if __name__ == "__main__":
    common.exit_in_one_line(main)
