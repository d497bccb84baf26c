"""Every learning experiment at one seed, against the thresholds in reference/margins.json.

And the file itself: it is complete, and every margin is wide enough to tell a method that works
from one that is switched off, on any version of torch. The experiments are in learning.py.
"""

import functools
import json
import math
import re
import statistics

import learning
import pytest
from learning import CLAIMS, EXAMPLES, ROOT, Claim, Example

import common

MARGINS = common.read_json(learning.FILE, needs=("claims", "examples", "values"))
DEVIATIONS = 4  # pooled, at least, between the method's worst and the ablation's best
VERSIONS = 3  # of torch, at least
SCRIPTS = list(dict.fromkeys(example.script for example in EXAMPLES.values()))


@functools.cache
def measured(experiment):
    """What an experiment gives at seed 0: trained once, however many claims are about it."""
    return learning.measure(experiment, 0)[0]


# ------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize("name", CLAIMS)
def test_a_method_reaches_what_its_ablation_does_not(name):
    claim, threshold = CLAIMS[name], MARGINS["claims"][name]["threshold"]
    numbers = measured(claim.experiment.__name__)
    for side in ("method", "ablation"):
        value = numbers[getattr(claim, side)]
        assert claim.side(value, threshold) == side, f"{value}, threshold {threshold}"


# --------------------------------------------------------------------------- the file of margins


def test_every_experiment_is_measured_as_it_is_now():
    """With all seeds and on enough versions; after a change: make margins with each of them."""
    assert MARGINS["claims"].keys() == CLAIMS.keys()
    assert MARGINS["examples"].keys() == EXAMPLES.keys()
    assert MARGINS["values"].keys() == learning.experiments().keys()
    for name, (_, _, seeds) in learning.experiments().items():
        rows = learning.known(MARGINS["values"], name)
        assert len(rows) >= VERSIONS, name
        assert all(row["seeds"] == list(range(len(row["seeds"]))) for row in rows.values()), name
        assert all(len(row["seeds"]) >= seeds for row in rows.values()), name
        assert all(len(v) == len(row["seeds"]) for row in rows.values()
                   for v in row["numbers"].values()), name


@pytest.mark.parametrize("name", CLAIMS)
def test_a_margin_is_wide_and_has_the_threshold_in_its_middle(name):
    claim, entry = CLAIMS[name], MARGINS["claims"][name]
    rows, sides = MARGINS["values"][claim.experiment.__name__].values(), []
    for side in (claim.method, claim.ablation):
        sides.append([v for row in rows for v in row["numbers"][side]])
    worst, best = min(sides[0]), max(sides[1])
    if claim.better == "lower":
        worst, best = max(sides[0]), min(sides[1])
    pooled = math.sqrt(sum(map(statistics.variance, sides)) / 2)
    assert (worst > best) == (claim.better == "higher") and abs(worst - best) >= DEVIATIONS * pooled
    assert entry["threshold"] == pytest.approx((worst + best) / 2, abs=1e-4)
    assert (entry["worst"], entry["best"]) == (worst, best)
    assert entry["pooled_sd"] == pytest.approx(pooled, abs=1e-4)


def test_the_file_is_what_its_numbers_give():
    assert learning.as_text(MARGINS["values"]) == learning.FILE.read_text(), "run make margins"


def test_measuring_adds_what_is_missing_and_drops_what_was_defined_otherwise(tmp_path, monkeypatch):
    def tried(seed, folder):
        return {"on": 5.0 + seed, "off": 1.0 - seed}

    path, definition = tmp_path / "margins.json", 1
    monkeypatch.setattr(learning, "CLAIMS", {"it works": Claim(tried, "on", "off")})
    monkeypatch.setattr(learning, "EXAMPLES", {})
    monkeypatch.setattr(learning, "experiments", lambda: {"tried": (tried, definition, 10)})
    for version, seed in (("2.4.0", 1), ("2.4.0", 0), ("2.14.1", 0), ("2.9.1", 0)):
        monkeypatch.setattr(learning, "VERSION", version)
        learning.add(path, "tried", seed, learning.measure("tried", seed)[0])
    whole = json.loads(path.read_text())
    assert list(whole["values"]["tried"]) == ["2.4.0", "2.9.1", "2.14.1"]
    assert whole["values"]["tried"]["2.4.0"]["seeds"] == [0, 1]
    assert whole["values"]["tried"]["2.4.0"]["numbers"] == {"on": [5, 6], "off": [1, 0]}
    entry = whole["claims"]["it works"]
    assert entry["by version"] == {"2.4.0": [5, 1], "2.9.1": [5, 1], "2.14.1": [5, 1]}
    assert (entry["worst"], entry["best"], entry["threshold"]) == (5, 1, 3)
    assert entry["pooled_sd"] == 0.5 and entry["margin"] == 8  # 5 5 5 6 and 1 1 1 0
    definition = 2
    learning.add(path, "tried", 0, {"on": 1.0, "off": 5.0})
    whole = json.loads(path.read_text())
    assert list(whole["values"]["tried"]) == ["2.9.1"]
    assert whole["claims"]["it works"]["margin"] < 0


def test_a_definition_is_all_that_an_experiment_uses():
    definitions = {name: learning.definition(claim.experiment) for name, claim in CLAIMS.items()}
    experiments = {claim.experiment for claim in CLAIMS.values()}
    assert len(set(definitions.values())) == len(experiments)
    before = learning.definition(learning.dgm_spring), learning.definition(learning.grad_h)
    learning.DGM, kept = learning.DGM + " ", learning.DGM
    after = learning.definition(learning.dgm_spring), learning.definition(learning.grad_h)
    learning.DGM = kept
    assert before[0] != after[0] and before[1] == after[1]


# ----------------------------------------------------------------------------------- promises


def words(text):
    """Without line ends, also where a comment or a command goes on."""
    return " ".join(re.sub(r"\\\n|#", " ", text).split())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_promises_what_seeds_and_versions_span(name):
    example, entry = EXAMPLES[name], MARGINS["examples"][name]
    promise = example.promise(entry["least"], entry["most"])
    assert promise in words(example.script.__doc__)
    page = words((ROOT / "README.md").read_text())
    assert example.command() not in page or promise in page


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_other_commands_promise_no_number(script):
    """RESULTS.md has them, written by make report."""
    text = words(script.__doc__)
    name = script.__name__
    text = text[text.index(f"python -m {name}" if "." in name else f"python {name}.py") :]
    for name, example in EXAMPLES.items():
        entry = MARGINS["examples"][name]
        text = text.replace(example.promise(entry["least"], entry["most"]), "")
    assert not re.search(r"\b(?:ACC|BWT|A_\d+) [-−\d]", text) and "RESULTS.md" in text


def test_a_range_is_rounded_outwards():
    example = Example(learning.gan_replay, "", "ACC", "ACC {}", 2)
    assert example.promise(0.625, 0.7001) == "ACC 0.62 to 0.71"
    assert example.promise(0.7, 0.7) == "ACC 0.70"
