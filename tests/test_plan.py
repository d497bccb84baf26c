"""Rows and items stand once, in the scripts; make runs what an item needs, and no more."""

import importlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import common
from tools import fetch, models, plan

ROOT = Path(__file__).parent.parent
TABLES = {script: plan.literals(ROOT / file) for script, file in plan.SCRIPTS.items()}
EACH = pytest.mark.parametrize("script", TABLES)
PAPERS = {  # every figure and table of the four papers
    "gan_replay": "figure1 figure2 figure3 figure4 figure5 figure6 table tradeoff",
    "dgm": "table1 table2 table3 table4 figure2 figure3a figure3b figure4 figure5",
    "synthetic_meta": "figure1 figure3 figure4 figure5",
    "grad_predict": "figure1 boundaries distillation",
}


def module_of(script):
    return importlib.import_module(plan.SCRIPTS[script].removesuffix(".py").replace("/", "."))


def make(*words, code=0):
    """What `make -n` with these words would run, or says on stderr if it ends with `code`."""
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-n", "VENV=", *words], cwd=ROOT, env=alone,
                          capture_output=True, encoding="utf-8")  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@EACH
def test_the_tables_are_literals_and_say_what_the_script_says(script):
    module = module_of(script)
    table = TABLES[script]
    assert table["ROWS"] == module.ROWS and table["ITEMS"] == module.ITEMS
    assert table["DEMO"] == module.DEMO
    assert table["DEMO"].keys() - {""} <= table["ROWS"].keys()


@EACH
def test_every_row_is_in_an_item_and_every_item_has_rows_that_exist(script):
    used = {}
    for other, table in TABLES.items():
        for item, names in table["ITEMS"].items():
            for name in names:
                if not name.startswith("@"):
                    of, _, row = name.rpartition(":")
                    used.setdefault(of or other, set()).add(row)
                    assert row in TABLES[of or other]["ROWS"], f"{other}/{item}: {name}"
    paper = {row for row in TABLES[script]["ROWS"] if row.endswith("-paper")}  # PRESET=paper
    kept = {row for name, row in models.ROWS.items() if name == script}  # make models
    assert kept <= TABLES[script]["ROWS"].keys()
    assert TABLES[script]["ROWS"].keys() - paper - {"small"} == used[script]
    assert "small" in kept or "small" not in TABLES[script]["ROWS"]


@pytest.mark.parametrize("script", PAPERS)
def test_every_figure_and_table_of_the_papers_is_an_item(script):
    assert set(PAPERS[script].split()) <= TABLES[script]["ITEMS"].keys()


@EACH
@pytest.mark.parametrize("dataset", ["mnist", "cifar10", "imagenet50", "pets"])
def test_every_row_passes_the_check_of_flags(script, dataset):
    """Otherwise `make reproduce` on these data would stop there: only what is Unfit is skipped."""
    module = module_of(script)
    for name in [*module.ROWS, *(f"demo/{row}" for row in module.DEMO if row)]:
        if name.startswith("demo/") and dataset != "mnist":
            continue  # it has data of its own
        argv = ["--row", name, "--seed", "3", "--dataset", dataset]
        argv = common.with_row(argv, module.ROWS, module.DEMO)
        if "--generator" not in argv or dataset == "imagenet50":  # Table 2
            assert module.parse_args(argv).seed == 3, name


def test_an_item_runs_its_rows_and_no_other():
    text = make("dgm/table1", "SEEDS=0 1", "DATASET=glyphs", "PRESET=laptop")
    runs = re.findall(r"(\S+) --row (\S+) .*--seed (\d)", text)
    rows = TABLES["dgm"]["ITEMS"]["table1"]
    assert len(runs) == 2 * len(rows)
    assert {row for _, row, _ in runs} == {name.rpartition(":")[2] for name in rows}
    assert text.count("tools.draw dgm --item") == 1


def test_an_item_brings_its_own_data_and_the_runs_that_others_need():
    text = make("dgm/table2", "DATASET=glyphs", "PRESET=laptop")
    assert "--dataset glyphs" not in text and "--dataset imagenet50" in text
    lines = [line for line in text.splitlines() if "--row" in line]
    order = [re.search(r"--row (\S+)", line)[1] for line in lines]
    assert order.index("dgmw") < order.index("r50")  # whose generator it uses


def test_an_item_in_miniature_runs_its_rows_of_the_demo():
    text = make("dgm/table1", "DATASET=demo", "SEEDS=0 1", "PRESET=laptop")
    here = {name.rpartition(":")[2] for name in TABLES["dgm"]["ITEMS"]["table1"]}
    small = (TABLES["dgm"]["DEMO"].keys() | TABLES["episodic"]["DEMO"].keys()) & here
    assert small and sorted(re.findall(r"--row demo/(\S+)", text)) == sorted(small)
    assert "--runs results/demo/dgm --figures figures/demo/dgm" in text


def test_a_paper_runs_all_its_rows_on_these_data():
    text = make("grad_predict", "DATASET=glyphs")
    assert set(re.findall(r"--row (\S+)", text)) == TABLES["grad_predict"]["ROWS"].keys()
    paper = make("dgm/table1", "DATASET=glyphs", "PRESET=paper")
    assert "--row dgmw-paper" in paper and "--row dgmw " not in paper


@pytest.mark.parametrize("words", [
    "VENV=my env", "DATA=my data", "DATA=it's", 'DATASET="pets"', "DATASET=my pets", "DATASET=",
    "DATASET=a(b", "DATASET=a#b", "DATASET=a,b", "DATASET=C:x", "SEEDS=it's", "SEEDS=0 0",
    "SEEDS=0 a", "SEEDS=", "SEEDS=-1", "IMAGE_SIZE=1 6", "IMAGE_SIZE=x", "DEVICE=it's",
    "THREADS=1 2", "MINUTES=1.5"])  # fmt: skip
def test_what_make_cannot_take_is_refused_in_one_line_before_anything_is_made(words):
    line = make("demo", words, code=2)
    assert line.count("\n") == 1 and f"{words.partition('=')[0]}: make takes no spaces" in line


@pytest.mark.parametrize("words", ["DEVICE=cuda:0", "SEEDS=0 10", "IMAGE_SIZE=", "DATA=~/x"])
def test_what_make_can_take_is_not_refused(words):
    assert "--row" in make("gan_replay/figure1", words)


def test_two_folders_of_one_name_do_not_share_results(tmp_path):
    for place in "ab":
        (tmp_path / place / "pets-of-a-test/train").mkdir(parents=True)
    mark = ROOT / "results/pets-of-a-test/.data-is-there"
    mark.parent.mkdir(parents=True)
    try:
        mark.write_text(f"{tmp_path}/a/pets-of-a-test\n", encoding="utf-8")
        assert "--row" in make("gan_replay/figure1", f"DATASET={tmp_path}/a/pets-of-a-test")
        line = make("gan_replay/figure1", f"DATASET={tmp_path}/b/pets-of-a-test", code=2)
        assert "move it away" in line and line.count("\n") == 1
        line = make("gan_replay/figure1", f"DATASET={tmp_path}/a/pets-of-a-test", "IMAGE_SIZE=9",
                    code=2)  # fmt: skip
        assert "not of" in line and "pets-of-a-test@9: " in line and "move it away" in line
    finally:
        mark.unlink()
        mark.parent.rmdir()


def test_a_mark_of_other_data_stops_only_what_needs_these_data(tmp_path):
    mark = ROOT / "results/imagenet50/.data-is-there"
    if mark.exists():
        pytest.skip("there are results of ImageNet-50")
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        mark.write_text("/elsewhere/imagenet50\n", encoding="utf-8")
        assert "--row" in make("gan_replay/figure1", "DATASET=glyphs")
        line = make("dgm/table2", "DATASET=glyphs", code=2)
        assert "is of /elsewhere/imagenet50, not of" in line and line.count("\n") == 1
    finally:
        mark.unlink()
        if not any(mark.parent.iterdir()):
            mark.parent.rmdir()


def test_results_of_other_images_are_seen_before_the_first_run(tmp_path):
    """A script made them, not make, so that no mark was left."""
    run = json.loads((ROOT / "reference/gan_replay/improved-seed0.json").read_text())
    common.write_text(tmp_path / "gan_replay/improved-seed0.json", json.dumps(run))
    about = run["data"] | {"shape": [1, 9, 9]}  # resized: the files are the same
    fetch.see_results(tmp_path, about)
    with pytest.raises(common.UserError, match="other images or labels.*move"):
        fetch.see_results(tmp_path, about | {"checksum": 1})
    fetch.main(["glyphs", "data", str(tmp_path / "new"), "--image-size", "8", "--mark", "a@8"])
    assert (tmp_path / "new" / fetch.MARK).read_text() == "a@8\n"


def test_help_lists_every_item_with_its_hours():
    done = subprocess.run(["make", "help", "VENV="], cwd=ROOT, capture_output=True, check=True,
                          encoding="utf-8")  # fmt: skip
    for script, table in TABLES.items():
        for item in table["ITEMS"]:
            assert re.search(rf"make {script}/{item} .* rows +(\d+\.\d[+ ]|\? ) h", done.stdout)
    assert (ROOT / "Makefile").read_text(encoding="utf-8").count("\n") <= 180


def test_an_unknown_row_is_one_line():
    with pytest.raises(common.UserError, match="did you mean improved"):
        common.with_row(["--row", "improvd"], TABLES["gan_replay"]["ROWS"], {})
    with pytest.raises(common.UserError, match="see --rows"):
        common.with_row(["--row", "demo/nothing"], TABLES["gan_replay"]["ROWS"], {"": ""})


def test_a_row_comes_before_the_flags_of_a_user(capsys):
    rows = {"one": ("Fig. 1", "--lr 0.1 --out 'a b'", "a label")}
    assert common.with_row(["--lr", "3", "--row", "one"], rows, {}) == [
        "--lr", "0.1", "--out", "a b", "--lr", "3"]  # fmt: skip
    assert common.with_row(["--row", "one"], rows, {}, "--all")[-1] == "--all"
    with pytest.raises(SystemExit) as stop:
        common.with_row(["--rows"], rows, {})
    assert not stop.value.code and "one" in capsys.readouterr().out
