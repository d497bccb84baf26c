"""tools/tuning.py: the runs by which settings were chosen; test images choose nothing."""

import json
from pathlib import Path

import pytest

import common
from tools import tuning

ROOT = Path(__file__).parent.parent


def result(**args):
    """A result as scripts write it, in miniature."""
    args = {"validation": 2000, "seed": 10, "dataset": "mnist"} | args
    return {"script": "dgm", "command": "python dgm.py --jitter 0.2 --seed 10 --out 'a b.json'",
            "args": args, "metrics": {"ACC": 0.5, "A": [1.0, 0.5]}, "timing": {"wall_s": 7.4},
            "environment": {"commit": "c", "torch": "2"}}  # fmt: skip


def test_a_try_becomes_a_line_and_a_row(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, seed in zip(paths, (10, 11)):
        path.write_text(json.dumps(result(seed=seed)))
    tuning.add("of use?", [str(path) for path in paths], tmp_path / "t")
    tuning.add("really?", [str(paths[0])], tmp_path / "t")
    lines = tuning.read(tmp_path / "t")["dgm"]
    assert [line["args"]["seed"] for line in lines] == [10, 11, 10]
    assert lines[0]["metrics"] == {"ACC": 0.5}
    page = tuning.table(tmp_path / "t")
    assert "| `--seed` | accuracy, % | time |" in page and "| 11 | 50.0 | 7 s |" in page
    assert page.index("of use?") < page.index("really?")  # where nothing differs: no such column
    assert page.count("\n| accuracy, % | time |\n| --- | --- |\n| 50.0 | 7 s |\n") == 1


@pytest.mark.parametrize("args", [{"validation": 0}, {"seed": 9}])
def test_a_run_on_test_images_or_with_a_seed_of_the_results_is_refused(args, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(result(**args)))
    with pytest.raises(common.UserError, match="--validation and --seed"):
        tuning.add("?", [str(path)], tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_no_result_was_chosen_on_test_images():
    """Results measure on test images, tries on held-out ones, and they share no seed."""
    seeds = set()
    for path in ROOT.glob("reference/*/*-seed*.json"):
        args = json.loads(path.read_text())["args"]
        assert not args["validation"], path
        seeds.add(args["seed"])
    tries = [line for lines in tuning.read(ROOT / tuning.FOLDER).values() for line in lines]
    assert len(seeds) > 1 and len(tries) > 1
    assert all(line["args"]["validation"] for line in tries)
    assert seeds.isdisjoint(line["args"]["seed"] for line in tries)


def test_the_page_is_of_these_tries():
    assert (ROOT / tuning.PAGE).read_text() == tuning.table(ROOT / tuning.FOLDER)
