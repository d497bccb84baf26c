"""Every item of the four papers is where tools/contents.py says, and its claims are judged."""

import ast
import importlib
from pathlib import Path

import pytest

from tools import contents
from tools.claims import CLAIMS

ROOT = Path(__file__).parent.parent


def look_up(file: str, name: str) -> object:
    """What has that name in a file of ours; AttributeError if there is none."""
    found: object = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("script", contents.CONTENTS)
def test_what_is_said_of_the_code_is_there(script):
    tests = ast.parse((ROOT / "tests" / f"test_{script}.py").read_text(encoding="utf-8"))
    known = {node.name for node in ast.walk(tests) if isinstance(node, ast.FunctionDef)}
    for item in contents.CONTENTS[script]:
        for name in item.code:
            assert look_up(*contents.file_of(script, name)), name
        assert not item.test or item.test in known, item.test
        assert item.code or item.note, item


@pytest.mark.parametrize("script", contents.CONTENTS)
def test_every_beginning_of_a_claim_is_one(script):
    for item in contents.CONTENTS[script]:
        for start in item.claims:
            assert any(claim.says.startswith(start) for claim in CLAIMS[script]), start


def test_figures_named_here_are_drawn():
    for script, items in contents.CONTENTS.items():
        for item in items:
            if item.figure:
                assert (ROOT / "reference" / script / item.figure).exists(), item.figure
