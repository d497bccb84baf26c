"""What reference/models holds: a picture beside each model, and a table on docs/reproducing.md.

    python -m tools.models    # of reference/models/*.pt, which `make models` trains
"""

import importlib
from pathlib import Path

import common
from tools.runs import rows_of
from tools.tables import fill_between_markers, markdown_table

FOLDER, PAGE = "reference/models", "docs/reproducing.md"


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


def main() -> None:
    """Draw, then renew the table."""
    draw()
    fill_between_markers(PAGE, "models", table())


if __name__ == "__main__":
    common.exit_in_one_line(main)
