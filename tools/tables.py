"""Tables in Markdown: mean ± sample standard deviation (n); pages that they are written into."""

import base64
import functools
import os
import re
import statistics
import textwrap
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import common

Runs = dict[str, list[dict[str, Any]]]  # a row's runs, one for each seed


class Picture(NamedTuple):
    """A figure: drawn from those of `rows` that are there, as soon as there is one of them."""

    draw: Callable[[Runs, Figure], object]
    rows: tuple[str, ...]
    title: str  # may name the first row's {label}
    size: tuple[float, float] = (6, 3.4)  # inches
    each: float = 0.0  # more inches to the right for every row but the first


class Table(NamedTuple):
    """A table in Markdown, of those of `rows` that are there."""

    make: Callable[[Runs], str]
    rows: tuple[str, ...]


def mean_sd(values: Sequence[float], digits: int = 3, scale: float = 1.0) -> str:
    """`mean ± sample standard deviation (n)`; with one value there is none."""
    values = [scale * v for v in values]
    mean = f"{statistics.fmean(values):.{digits}f}"
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean}{spread} ({len(values)})".replace("-", "−")


def metric(runs: Sequence[dict[str, Any]], name: str) -> str:
    """`mean_sd` of a metric over the runs that have it, or a dash where there is none."""
    values = [run["metrics"][name] for run in runs if name in run["metrics"]]
    return mean_sd(values, metric_digits(name)) if values else "–"


def metric_digits(name: str) -> int:
    """Digits behind the point: two for what is in per cent (a name that ends in "(%)")."""
    return 2 if name.endswith("(%)") else 3


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown text, all cells strings."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def results_table(runs: Runs, metrics: Sequence[str], paper: dict[str, dict[str, float]]) -> str:
    """A row of each of `runs`: metrics (the paper's beside), command, time, hardware, JSON."""
    rows = []
    for name, some in runs.items():
        cells = [metric(some, what) for what in metrics]
        for i, what in enumerate(metrics):
            if what in paper.get(name, {}):
                value = f"{paper[name][what]:.{metric_digits(what)}f}"
                cells[i] = f"**{cells[i]}** (paper {value})".replace("-", "−")
        first, env = some[0], some[0]["environment"]
        wall = statistics.fmean(run["timing"]["wall_s"] for run in some)
        threads = f"{env['threads']} thread{'s' * (env['threads'] > 1)}"
        links = " ".join(f"[{run['seed']}]({run['path']})" for run in some)
        command = f"python {first['start']} --row {first['row']}"
        if first["args"]["dataset"] != "mnist":
            command += f" --dataset {first['args']['dataset']}"
        rows.append([first["item"], first["label"], *cells, f"`{command} --seed S`",
                     f"{wall:.0f} s, {env['device']}, {threads}", links])  # fmt: skip
    header = ["paper's item", "run", *metrics, "command", "time, hardware", "JSON, by seed"]
    return markdown_table(header, rows)


def numbered_list(text: str) -> str:
    """The items "1. ...", "2. ..." of a script's DEVIATIONS as Markdown."""
    block = re.split(r"^(?= *1\. )", text, maxsplit=1, flags=re.M)[1].split("\n\n")[0]
    items = re.split(r"\n\s*(?=\d+\. )", "\n" + block)
    fill = functools.partial(textwrap.fill, width=120, subsequent_indent="   ",
                             break_long_words=False, break_on_hyphens=False)  # fmt: skip
    return "\n".join(fill(" ".join(item.split())) for item in items if item.strip())


def unpack_images(packed: dict[str, Any]) -> np.ndarray:
    """Undo `common.pack_images`: uint8 [N, C, H, W]."""
    data = zlib.decompress(base64.b64decode(packed["zlib"]))
    return np.frombuffer(data, np.uint8).reshape(packed["shape"])


def fill_between_markers(path: str | Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` in a text file.

    Links in `text` to files are seen from this folder; in the page they are seen from the page's.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    try:
        old = Path(path).read_text(encoding="utf-8")
        head, rest = old.split(begin)
        _, tail = rest.split(end)
    except (OSError, ValueError) as error:
        what = f"{path} must be a text file with {begin} and {end}, once each"
        raise common.UserError(what) from error
    here = os.path.dirname(path) or "."
    text = re.sub(r"\]\((?!\w+:|#)([^)]+)\)", lambda m: f"]({os.path.relpath(m[1], here)})", text)
    common.write_text(path, f"{head}{begin}\n{text.strip()}\n{end}{tail}")
