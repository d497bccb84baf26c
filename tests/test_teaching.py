"""The class in docs/teaching.md, and what a release says of itself."""

import ast
import re
from pathlib import Path

import pytest

import common
import gan_replay
from tools import teaching

ROOT = Path(__file__).parent.parent
EVERY = [(script, exercise) for script, some in teaching.EXERCISES.items() for exercise in some]


@pytest.mark.parametrize("script, exercise", EVERY)
def test_the_line_that_an_exercise_changes_is_there_and_the_flags_are_known(script, exercise):
    text = teaching.changed(script, exercise)
    ast.parse(text)
    assert (text != (ROOT / f"{script}.py").read_text(encoding="utf-8")) == bool(exercise.edit[0])
    flags = [*teaching.COMMANDS[script].split(), *exercise.flags.split()]
    __import__(script).parse_args([*flags, "--seed", "0"])


def test_a_line_that_is_gone_is_named():
    gone = teaching.Exercise("x", "y", "", ("no such line", ""))
    with pytest.raises(common.UserError, match="gan_replay.py must have once: no such line"):
        teaching.changed("gan_replay", gone)


def test_the_page_shows_what_was_measured(tmp_path):
    page = tmp_path / "teaching.md"
    page.write_text((ROOT / "docs/teaching.md").read_text(encoding="utf-8"), encoding="utf-8")
    numbers = str(ROOT / "reference/teaching.json")
    teaching.main(["--page", str(page), "--numbers", numbers])
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/teaching.md").read_text("utf-8")
    does = {script: [e["does"] for e in some] for script, some in common.read_json(numbers).items()}
    assert does == {script: [e.does for e in some] for script, some in teaching.EXERCISES.items()}


def test_runs_that_are_there_are_not_made_again(tmp_path, monkeypatch):
    some = {"gan_replay": teaching.EXERCISES["gan_replay"][:2]}
    monkeypatch.setattr(teaching, "EXERCISES", some)
    for exercise, accuracy in zip(some["gan_replay"], (0.5, 0.25)):
        for seed in range(3):
            run = {"R": [[0.1, 0.1], [accuracy + seed / 100] * 2]}
            common.write_result(tmp_path / f"gan_replay-{exercise.name}-{seed}.json", run)
    found = teaching.measure(tmp_path, 3)
    assert found["gan_replay"][1]["values"] == [25.0, 26.0, 27.0]
    assert "| as it is | 50 to 52 % | 3 |" in teaching.table(found["gan_replay"])
    (tmp_path / "gan_replay-none-0.json").write_text('{"says": "error: changed by 1.2345: stop"}')
    found = teaching.measure(tmp_path, 0)
    assert "| stops: “changed by 1.2: stop” | 3 |" in teaching.table(found["gan_replay"])


def test_question_and_answer_are_numbered_alike():
    text = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")
    asked = re.findall(r"\*\*Question (\d+)\.\*\*", text)
    answered = re.findall(r"^(\d+)\. ", text.partition("## Answers")[2], re.M)
    assert asked == answered == [str(i) for i in range(1, 9)]


def test_the_version_is_the_same_everywhere(capsys):
    with pytest.raises(SystemExit) as stop:
        gan_replay.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"{common.__version__}\n"
    cited = re.search(r"^version: (.*)\ndate-released: (.*)$",
                      (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)  # fmt: skip
    newest = re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest[1] == f"{common.__version__} ({cited[2]})" and cited[1] == common.__version__
