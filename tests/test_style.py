"""Figures: every method has one look, and what meets in a figure can be told apart."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tools import benchmark, draw, race, runs, style

ROOT = Path(__file__).parent.parent
MANY = [(script, name, picture) for script in runs.SCRIPTS
        for name, picture in draw.figures_of(script).PICTURES.items()
        if name in ("averages", "cost", "quality", "figure2", "figure4", "figure5")
        and len(picture.rows) > 1 and (script, name) != ("dgm", "figure5")]  # fmt: skip
# linear RGB as people without green cones see it (Machado et al. 2009)
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])


def alike(a, b):
    """Whether two looks have the same colour, to someone without green cones, and the same line."""
    seen = [np.array(to_rgb(one.color)) ** 2.2 @ DEUTERANOPIA.T for one in (a, b)]
    return np.abs(seen[0] - seen[1]).max() < 0.05 and a.ls == b.ls


@pytest.mark.parametrize("script, name, picture", MANY)
def test_lines_that_meet_differ_in_marker_and_in_colour_or_line(script, name, picture):
    looks = [style.look("episodic" if row.startswith("icarl") else script, row)
             for row in picture.rows if not row.endswith("-paper")]  # fmt: skip
    for a, b in itertools.combinations(dict.fromkeys(looks), 2):
        assert a.label != b.label and not alike(a, b), (a, b)
        assert (a.marker, a.hollow, a.ls) != (b.marker, b.hollow, b.ls), (a, b)  # in grey


def test_every_method_of_the_benchmark_and_the_race_has_a_name_that_is_no_rows():
    every = [(script, row) for script, (_, rows) in benchmark.BENCHMARK.items() for row in rows]
    every += [entry for ours, _ in race.RACES.values() for entry in ours]
    for script, row in every:
        label = style.look(script, row).label
        assert label not in runs.rows_of(script) and "split-" not in label


def test_tasks_go_from_dark_to_light():
    for T in (2, 5, 10):
        light = [np.dot(one["color"][:3], (0.299, 0.587, 0.114)) for one in style.of_tasks(T)]
        assert min(np.diff(light)) > 0.02 and light[-1] < 0.8  # seen on white, too


def test_tiles_are_the_images_in_lines():
    x = np.arange(2 * 3 * 1 * 4 * 5, dtype=np.uint8).reshape(6, 1, 4, 5)
    tiles = style.tiled(x, 3)
    assert tiles.shape == (8, 15, 3) and tiles.dtype == np.uint8
    assert np.array_equal(tiles[4:8, 5:10, 1], x[4, 0])
    assert (style.tiled(x, 3, gap=1)[0] == 255).all()


def test_a_pdf_is_written_beside_the_png_and_is_the_same_every_time(tmp_path):
    argv = ["gan_replay", "--runs", str(ROOT / "reference/gan_replay"), "--item", "figure4"]
    for place in ("a", "b"):
        draw.main([*argv, "--figures", str(tmp_path / place), "--format", "pdf"])
    first, second = ((tmp_path / place / "figure4.pdf").read_bytes() for place in ("a", "b"))
    assert first.startswith(b"%PDF") and first == second
    assert (tmp_path / "a/figure4.png").exists()
    draw.main([*argv, "--figures", str(tmp_path / "c")])
    assert not (tmp_path / "c/figure4.pdf").exists()


def test_figure_3b_shows_a_few_masks_thin_and_their_mean_bold():
    run = json.loads((ROOT / "reference/dgm/dgma-seed0.json").read_text(encoding="utf-8"))
    units = len(run["tasks"][1]["trace"][0]) - 1
    figure = Figure()
    draw.figures_of("dgm").draw_trace({"dgma": [run]}, figure)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    *thin, bold = lines
    assert units > 12 == len(thin) and bold.get_linewidth() > 3 * thin[0].get_linewidth()
    mean = [row[0] for row in run["tasks"][1]["trace"]]
    assert np.allclose(bold.get_ydata(), mean)
