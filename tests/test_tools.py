"""Which results the tools believe: those that are what their names say."""

import json
import re
import shutil
from pathlib import Path

import pytest

import common
import gan_replay
from tools import draw, runs, story

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "reference/gan_replay"


@pytest.fixture
def folder(tmp_path):
    """Two sound results of the row `none`, and one of `joint`."""
    (tmp_path / "runs").mkdir()
    for name in ("none-seed0", "none-seed1", "joint-seed0"):
        shutil.copy(SOURCE / f"{name}.json", tmp_path / "runs")
    return tmp_path / "runs"


def put(folder, name, of="none-seed2", **change):
    """A result under a name, changed, with a checksum that is right; "args" are merged."""
    run = json.loads((SOURCE / f"{of}.json").read_text())
    run["args"] |= change.pop("args", {})
    run |= change
    run.pop("checksum")
    common.write_result(folder / f"{name}.json", run)


def left_out(folder, capsys):
    """What is said of files that are left out; the others are those of the fixture."""
    capsys.readouterr()
    found = runs.read(folder, "gan_replay")
    assert {name: len(some) for name, some in found.items()} == {"none": 2, "joint": 1}
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]


def test_a_row_at_another_size_than_the_others_is_left_out(folder, capsys):
    put(folder, "ngen1200-seed0", "ngen1200-seed0", args={"image_size": 14})
    (line,) = left_out(folder, capsys)
    assert "ngen1200-seed0.json" in line and "where it has --image-size 14" in line


def test_a_script_whose_rows_were_all_skipped_stops_no_tool(folder, capsys):
    (folder / "gan_replay").mkdir()
    put(folder / "gan_replay", "none-seed0", skipped="too few classes")
    assert runs.read_all(str(folder), "gan_replay") == {}
    assert "no row of gan_replay could run" in capsys.readouterr().err


def test_what_draws_nothing_says_so(folder, capsys):
    draw.main(["gan_replay", "--item", "figure6", "--runs", str(folder), "--figures", str(folder)])
    assert "nothing to draw: none of the rows of figure6" in capsys.readouterr().out


def test_dgms_results_may_lie_in_a_folder_of_any_name(tmp_path, capsys):
    shutil.copy(ROOT / "reference/dgm/none-seed0.json", tmp_path)
    draw.main(["dgm", "--runs", str(tmp_path), "--figures", str(tmp_path)])
    assert "figures and tables are in" in capsys.readouterr().out


@pytest.mark.parametrize("name, of, change, says", [
    ("none-seed7", "none-seed0", {}, "it is of seed 0, not of 7"),  # a copied seed
    ("improved-seed0", "none-seed0", {}, "not of the row improved, whose flags are --preset imp"),
    ("joint-seed1", "none-seed1", {}, "--joint is False, not True"),
    ("best-seed2", "none-seed2", {}, "best is no row of gan_replay (python gan_replay.py --rows)"),
    ("none-seed2", "none-seed2", {"args": {"solver_epochs": 7}}, "--solver-epochs is 7, not 5"),
    ("none-seed2", "none-seed2", {"args": {"dataset": "kmnist"}}, "have mnist where it has kmnist"),
    ("none-seed2", "none-seed2", {"args": {"train_size": 500}}, "it has mnist --train-size 500"),
    ("none-seed2", "none-seed2", {"args": {"image_size": 32}}, "it has --image-size 32"),
    ("none-seed2", "none-seed2", {"skipped": "too few classes"}, "do not fit: too few classes"),
])  # fmt: skip
def test_a_file_that_is_not_what_its_name_says_is_named_and_left_out(
    name, of, change, says, folder, capsys
):
    put(folder, name, of, **change)
    (line,) = left_out(folder, capsys)
    assert f"{folder}/{name}.json" in line and says in line


def test_other_images_under_the_same_name_are_left_out(folder, capsys):
    data = {"classes": list("0123456789"), "train": [6000] * 10, "test": [1000] * 10,
            "shape": [1, 28, 28], "checksum": 1}  # fmt: skip
    for seed in (0, 1):
        put(folder, f"none-seed{seed}", f"none-seed{seed}", data=data)
    put(folder, "joint-seed0", "joint-seed0", data=data)
    put(folder, "none-seed2", data=data | {"checksum": 2})
    (line,) = left_out(folder, capsys)
    assert "it is of other data than" in line and "other images or labels" in line


def test_a_row_of_another_script_in_the_folder_is_known_by_its_own_flags(tmp_path, capsys):
    """DGM's folder has rows of beyond/generators.py too."""
    for name in ("dgmw-seed0", "mergan-seed0"):
        shutil.copy(ROOT / f"reference/dgm/{name}.json", tmp_path)
    shutil.copy(tmp_path / "dgmw-seed0.json", tmp_path / "dgr-seed0.json")
    found = runs.read(tmp_path, "dgm")
    assert list(found) == ["dgmw", "mergan"]
    assert found["mergan"][0]["start"] == "-m beyond.generators"
    assert "not of the row dgr" in capsys.readouterr().err


def test_a_damaged_file_stops_the_tools(folder):
    good = (folder / "none-seed1.json").read_text()
    for text, says in (("{", "not readable JSON"), ("[1]", "is not a result of gan_replay"),
                       ('{"schema": 1, "script": "gan_replay"}', "damaged"),
                       (good.replace("0.9", "0.8", 1), "damaged, or was edited")):  # fmt: skip
        (folder / "none-seed1.json").write_text(text)
        with pytest.raises(common.UserError, match=says):
            runs.read(folder, "gan_replay")
    with pytest.raises(common.UserError, match="is not a result of dgm"):
        (folder / "none-seed1.json").write_text(good)
        runs.read(folder, "dgm")
    with pytest.raises(common.UserError, match="no results of gan_replay.*train first"):
        runs.read(folder / "nowhere", "gan_replay")


def test_a_result_must_have_all_parts(folder):
    run = json.loads((folder / "none-seed1.json").read_text())
    common.write_result(folder / "none-seed1.json",
                        {key: run[key] for key in run.keys() - {"R", "timing", "checksum"}})
    with pytest.raises(common.UserError, match="lacks R, timing"):
        runs.read(folder, "gan_replay")


def test_rows_of_the_demo_are_believed_and_do_not_count_as_missing(tmp_path, capsys):
    out = tmp_path / "none-seed0.json"
    argv = ["--row", "demo/none", "--solver-epochs", "1", "--train-size", "300", "--out", str(out)]
    gan_replay.main([*argv, "--test-size", "100"])
    with pytest.raises(common.UserError):  # these are not the row's epochs
        runs.read(tmp_path, "gan_replay")
    assert "it is not of the row none" in capsys.readouterr().err
    gan_replay.main([*argv[:2], *argv[4:], "--test-size", "100"])
    found = runs.read(tmp_path, "gan_replay")
    assert found["none"][0]["demo"]
    capsys.readouterr()
    runs.say_missing(found, ["none", "joint", "real"], "gan_replay", tmp_path)
    assert capsys.readouterr().err == (
        "2 rows of the full tables of gan_replay are not in the demo\n")


def test_missing_rows_are_three_commands_and_a_count_with_the_sizes_of_the_others(folder, capsys):
    for name in ("none-seed0", "none-seed1", "joint-seed0"):
        put(folder, name, name, args={"train_size": 500, "validation": 100})
    found = runs.read(folder, "gan_replay")
    wanted = list(gan_replay.ROWS)
    runs.say_missing(found, wanted, "gan_replay", folder)
    lines = capsys.readouterr().err.splitlines()
    runs.say_missing(found, wanted, "gan_replay", "my results")
    assert "--out 'my results/ngen12000-seed0.json'" in capsys.readouterr().err
    n = len(wanted)
    assert len(lines) == 4 and lines[-1].startswith(f"missing: {n - 5} more of the {n} ")
    assert lines[0] == (
        "missing: python gan_replay.py --row ngen12000 --dataset mnist --data-dir data "
        f"--train-size 500 --validation 100 --seed 0 --out {folder}/ngen12000-seed0.json")


def test_files_left_out_for_one_reason_are_one_line(folder, capsys):
    for seed in (2, 3):
        put(folder, f"none-seed{seed}", seed=seed, args={"seed": seed, "solver_epochs": 7})
    (line,) = left_out(folder, capsys)
    assert f"{folder}/none-seed2.json {folder}/none-seed3.json: it is not of" in line


def test_a_row_that_was_left_out_is_not_missing_but_one_that_was_killed_is(folder, capsys):
    put(folder, "ngen12000-seed0", skipped="too few classes")
    (folder / "real-seed0.json.ckpt").touch()
    found = runs.read(folder, "gan_replay")
    capsys.readouterr()
    runs.say_missing(found, ["ngen12000", "real"], "gan_replay", folder)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("missing: python gan_replay.py --row real ")


@pytest.mark.parametrize("argv, says", [
    (["nothing"], "invalid choice"), ([], "required"),
    (["gan_replay", "--item", "figure99"], "gan_replay has figure1, figure2"),
    (["gan_replay", "--docs", "/nowhere/page.md"], "/nowhere/page.md"),
    (["gan_replay", "--figures", "/dev/null/f"], "/dev/null"),
])  # fmt: skip
def test_bad_input_is_one_line(argv, says, folder, tmp_path, capsys):
    more = ["--runs", str(folder)] + ["--figures", str(tmp_path)] * ("--figures" not in argv)
    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(lambda: draw.main([*argv, *more]))
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert stop.value.code == 2 and len(errors) == 1 and says in errors[0]


def test_our_own_results_are_all_believed(capsys):
    for place in sorted((ROOT / "reference").iterdir()):
        script = place.name.partition("-")[0]
        if script in runs.SCRIPTS:
            runs.read(place, script)
    assert capsys.readouterr().err == ""


def test_the_story_has_three_lines_a_paper_and_a_page_that_needs_nothing_else(
    tmp_path, capsys, monkeypatch
):
    for script, row in (("gan_replay", "none"), ("grad_predict", "oracle")):
        place = tmp_path / "results/mnist" / script
        place.mkdir(parents=True)
        shutil.copy(ROOT / f"reference/{script}/{row}-seed0.json", place)
    (tmp_path / "figures/mnist/gan_replay").mkdir(parents=True)
    shutil.copy(SOURCE / "averages.png", tmp_path / "figures/mnist/gan_replay")
    (tmp_path / "page.md").write_text("<!-- begin mnist prints -->\n<!-- end mnist prints -->\n")
    monkeypatch.chdir(tmp_path)
    story.main(["mnist", "--page", "all.html", "--readme", "page.md"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and "no replay 20 %, the paper's –" in lines[1]
    assert "\n".join(lines[:6]) in (tmp_path / "page.md").read_text(encoding="utf-8")
    page = (tmp_path / "all.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1 and "true gradients<td>–" in page
    links = re.findall(r"""(?:src|href)="([^"]*)""", page)
    assert all(link.startswith("data:") for link in links) and "<script" not in page
    with pytest.raises(common.UserError, match="results/nothing has no results"):
        story.main(["nothing"])


def test_a_part_of_a_data_set_renews_no_table_of_the_whole(tmp_path):
    page = tmp_path / "page.md"
    marks = ("dgm table1", "dgm glyphs-rgb table1")
    text = "\n".join(f"<!-- begin {mark} -->\nold\n<!-- end {mark} -->" for mark in marks) + "\n"
    for dataset in ("mnist", "glyphs-rgb"):
        page.write_text(text)
        draw.renew(str(page), "dgm", {"table1": "new"},
                   {"args": {"dataset": dataset, "train_size": 500}})  # fmt: skip
        assert page.read_text() == text
        draw.renew(str(page), "dgm", {"table1": "new"}, {"args": {"dataset": dataset}})
        assert page.read_text().count("new") == 1
