"""What a folder of results shows: a few lines per paper, and one page that needs nothing else.

    python -m tools.story demo                  # of results/demo; `make demo` ends with it
    python -m tools.story mnist --page figures/mnist/index.html     # `make page`
    python -m tools.story demo --readme README.md                   # what it prints, pasted there
"""

import argparse
import base64
import html
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import common
from tools.draw import draw
from tools.runs import data_of, figures_of, read_all
from tools.tables import Runs, fill_between_markers


class Story(NamedTuple):
    """What a paper claims, in one sentence; rows with the words for them; the picture to open, and
    what there is to see in it; and what is otherwise in miniature."""

    says: str
    rows: dict[str, str]
    picture: str
    see: str
    small: str = ""


STORIES = {
    "gan_replay": Story(
        "A GAN that generates old classes slows forgetting down.",
        {"none": "no replay", "ngen12000": "the paper's", "improved": "our preset",
         "joint": "all at once"}, "averages",
        "Without replay only the newest task is known, a smaller share of all with each. What "
        "a GAN generates of the others holds the curve up."),
    "dgm": Story(
        "Learned masks freeze what a generator needs for old classes: it never forgets one.",
        {"none": "no replay", "dgmw": "the paper's", "improved": "our preset",
         "joint": "all at once"}, "figure5",
        "A line of images for each class, the oldest on top, all generated after the last task: "
        "under the masks' veto they are, to the last bit, as when they were learned."),
    "synthetic_meta": Story(
        "Meta-learned images can be learned in sequence, with less forgetting than real ones.",
        {"mlp": "real images, plain", "real": "real, learned rates", "synthetic": "the paper's",
         "improved": "our preset"}, "figure4",
        "Left, a test image is normalised beside the others, as in the paper; right, it is not: "
        "see how much of the advantage over real data is left. Our preset needs no such help.",
        "in miniature, after so few meta-steps, only our preset is above learned rates"),
    "grad_predict": Story(
        "A veto by predicted gradients keeps old tasks, if only the predictions were right.",
        {"sgd": "plain SGD", "scalar": "the paper's", "oracle": "true gradients",
         "improved": "our preset"}, "figure1",
        "A curve for each task: it should stay up when the next one begins. With predicted "
        "gradients it does not; with true ones (the table) the same rule works."),
}  # fmt: skip


def parse_args(argv: list[str]) -> argparse.Namespace:
    """A folder below results/, and where the page goes."""
    parser = common.new_parser(__doc__)
    add = parser.add_argument
    add("name", help="of the folder below results/ and figures/")
    add("--page", default="", metavar="FILE", help="also write a page, with the pictures in it")
    add("--readme", default="", metavar="FILE", help="also paste what is printed into this page")
    return parser.parse_args(argv)


def percent(run: dict) -> float:
    """Accuracy on all tasks at the end, of a network that died too; per cent."""
    return 100 * statistics.fmean(run["R"][-1])


def shown(runs: list[dict]) -> str:
    """The mean over seeds, as a whole number, or a dash."""
    return f"{statistics.fmean(map(percent, runs)):.0f} %" if runs else "–"


def found(name: str) -> dict[str, Runs]:
    """The results of the four papers below results/NAME."""
    runs = {script: read_all(f"results/{name}", script) for script in STORIES}
    return {script: some for script, some in runs.items() if some}


def picture_of(name: str, script: str, runs: Runs) -> Path | None:
    """A paper's picture, drawn if it is not there; None if these runs do not allow it."""
    file = Path("figures", name, script, f"{STORIES[script].picture}.png")
    if not file.exists():
        draw(script, runs, file.parent, STORIES[script].picture)
    return file if file.exists() else None


def in_words(name: str, every: dict[str, Runs]) -> str:
    """Three lines per paper."""
    lines = []
    for script, runs in every.items():
        story = STORIES[script]
        values = [f"{words} {shown(runs.get(row, []))}" for row, words in story.rows.items()]
        small = f" ({story.small})" if name == "demo" and story.small else ""
        lines += [f"{script}.py, the claim: {story.says}",
                  f"    accuracy on all tasks: {', '.join(values)}{small}",
                  f"    look at {picture_of(name, script, runs) or 'more rows, once they are run'}"
                  ]  # fmt: skip
    return "\n".join(lines) + "\n"


STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; background: white; border-radius: 4px }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
td { border-top: 1px solid #8888 }
pre { white-space: pre-wrap; background: #8882; padding: .5rem; overflow-wrap: anywhere }
"""


def table(script: str, runs: Runs) -> str:
    """The rows of a story: the paper's number, the reference's, these."""
    story = STORIES[script]
    first = next(iter(runs.values()))[0]
    data = data_of(first)[0]
    whole = not any(data_of(first)[1:])  # else there is nothing to stand beside
    figures = figures_of(script)
    elsewhere = getattr(figures, "PAPER_ELSEWHERE", {}).get(data, {})
    paper = (figures.PAPER if data == "mnist" else elsewhere) if whole else {}
    theirs = read_all("reference", script, data) if whole else {}
    whole = whole and bool(data == "mnist" or paper or theirs)
    cells = ["<tr><th>accuracy on all tasks" + "<th>paper<th>reference" * whole + "<th>here"]
    for row, words in story.rows.items():
        known = [v for key, v in paper.get(row, {}).items() if key in ("A_10 (%)", "ACC (%)")]
        quoted = f"{known[0]:.0f} %" if known else "–"
        beside = f"<td>{quoted}<td>{shown(theirs.get(row, []))}" * whole
        cells.append(f"<tr><td>{html.escape(words)}{beside}<td>{shown(runs.get(row, []))}")
    return f"<table>{''.join(cells)}</table>"


def page(name: str, every: dict[str, Runs]) -> str:
    """The page as HTML; nothing in it comes from elsewhere."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>",
             '<meta name=viewport content="width=device-width">',
             f"<title>Learning without forgetting: {html.escape(name)}</title>",
             f"<style>{STYLE}</style>",
             f"<h1>Learning without forgetting: {html.escape(name)}</h1>",
             "<p>Four papers that generate what they need of the past instead of storing it. A "
             "network learns one task after the other; at the end it is asked about all of "
             "them."]  # fmt: skip
    if name == "demo":
        parts.append("<p>In miniature: digits drawn from fonts, small nets, minutes. It shows in "
                     "which direction things go, not the papers' numbers.")  # fmt: skip
    for script, runs in every.items():
        story, file = STORIES[script], picture_of(name, script, runs)
        parts += [f"<h2>{script}.py</h2><p>The claim: {html.escape(story.says)}",
                  table(script, runs)]  # fmt: skip
        if file is None:
            parts.append(f"<p>No picture yet: it needs more rows (make {script}).")
        else:
            data = base64.b64encode(file.read_bytes()).decode()
            parts.append(f'<p><img alt="{html.escape(story.says)}" src="data:image/png;base64,'
                         f'{data}">')  # fmt: skip
            small = f" {story.small.capitalize()}." if name == "demo" and story.small else ""
            parts.append(f"<p>{html.escape(story.see + small)}")
        row = next(row for row, words in story.rows.items() if words == "the paper's")
        if row in runs:
            parts.append(f"<p>“The paper's” alone, made by:<pre>"
                         f"{html.escape(runs[row][0]['command'])}</pre>")  # fmt: skip
    return "\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Print the lines; write the page; renew the README."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    every = found(args.name)
    if not every:
        raise common.UserError(f"results/{args.name} has no results: make demo, or make reproduce")
    text = in_words(args.name, every)
    print(text, end="")
    if args.page:
        common.write_text(args.page, page(args.name, every))
        print(f"all of it on one page: {args.page}")
    if args.readme:
        fill_between_markers(args.readme, f"{args.name} prints", f"```\n{text}```")


if __name__ == "__main__":
    common.exit_in_one_line(main)
