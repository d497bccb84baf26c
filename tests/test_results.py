"""RESULTS.md and its kin: claims are judged, not typed; numbers come from the JSON alone."""

import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import common
from tools import benchmark, claims, compare, race, results, runs, speed, status
from tools.figures import dgm, episodic, gan_replay, grad_predict, synthetic_meta

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path):
    """A folder with a few results of gan_replay.py, which a test may change."""
    (tmp_path / "runs/gan_replay").mkdir(parents=True)
    for name in ("none-seed0", "ngen12000-seed0", "ngen12000-seed1", "bytes-seed0", "joint-seed0"):
        shutil.copy(ROOT / f"reference/gan_replay/{name}.json", tmp_path / "runs/gan_replay")
    runs.read_all.cache_clear()
    return tmp_path / "runs"


def judge(folder, i=0):
    """What came out of the claim number i of gan_replay.py."""
    some = runs.read(folder / "gan_replay", "gan_replay")
    return claims.judge(claims.CLAIMS["gan_replay"][i], some)


def change(path, edit):
    run = json.loads(path.read_text())
    edit(run)
    run.pop("checksum", None)
    common.write_result(path, run)


def rows_with(text, words):
    return [line for line in text.splitlines() if words in line]


def test_every_claim_names_runs_that_exist():
    for script, some in claims.CLAIMS.items():
        known = {f"{other}{data}/{name}" for other in runs.SCRIPTS for name in runs.rows_of(other)
                 for data in ("", "-glyphs-rgb", "-cifar10", "-imagenet50")}  # fmt: skip
        known |= runs.rows_of(script).keys()
        for claim in some:
            assert set(claim.runs) | set(claim.whole) <= known, claim.says
            assert bool(claim.whole) <= bool(claim.untested), claim.says
        assert set(benchmark.BENCHMARK[script][1]) <= known


def test_a_verdict_follows_the_numbers(folder):
    path = folder / "gan_replay/ngen12000-seed0.json"
    other = path.with_name("ngen12000-seed1.json")
    change(folder / "gan_replay/none-seed0.json",
           lambda run: run["metrics"].update(ACC=0.196, BWT=-0.995))  # fmt: skip
    change(path, lambda run: run["metrics"].update(ACC=0.862, BWT=-0.148))
    change(other, lambda run: run["metrics"].update(ACC=0.86, BWT=-0.15))
    out = judge(folder)  # GAN replay slows forgetting down
    run = [json.loads(one.read_text()) for one in (path, other)]
    mean = sum(r["metrics"]["ACC"] for r in run) / 2
    assert (out.held, out.shown, out.seeds) == ("✅", "✅, one seed", 1)
    assert f"ACC {mean:.3f}" in out.said[1] and "(2)" in out.said[1]
    assert out.short == "ACC, BWT: none (1) 0.196, −0.995; ngen12000 (2) 0.861, −0.149"
    change(path, lambda run: run["metrics"].update(ACC=-9.0))
    change(other, lambda run: run["metrics"].update(ACC=-9.0))
    assert judge(folder).held == "partly"
    change(path, lambda run: run["metrics"].update(BWT=-9.0))
    change(other, lambda run: run["metrics"].update(BWT=-9.0))
    assert judge(folder).shown == "❌, one seed"
    (folder / "gan_replay/none-seed0.json").unlink()
    out = judge(folder)
    assert (out.said, out.held, out.seeds) == (["not run: none"], "–", 0)


def test_a_verdict_compares_runs_of_the_same_seeds(folder):
    """Seed 1 of one run has no counterpart: it does not decide, but it tells of the spread."""
    path = folder / "gan_replay/ngen12000-seed1.json"
    change(path, lambda run: run["metrics"].update(ACC=0.85, BWT=-9.0))
    out = judge(folder)
    assert out.held == "partly" and out.said[2].startswith("ACC above no replay: holds, by 0.6")
    assert out.said[3].startswith("BWT above no replay: open, by 0.8") and "± 7" in out.said[3]
    shutil.copy(ROOT / "reference/gan_replay/none-seed1.json", path.parent)
    out = judge(folder)
    assert (out.held, out.seeds) == ("partly", 2) and "2 seeds" in out.said[2]
    (path.parent / "none-seed0.json").unlink()
    (path.parent / "ngen12000-seed1.json").unlink()
    out = judge(folder)  # seed 1 of one and seed 0 of the other: nothing to compare
    assert (out.held, out.seeds) == ("–", 0) and out.said[2].endswith("not measured yet")


def margin(*values, gaps=()):
    return np.ma.array(values, mask=[i in gaps for i in range(len(values))])


@pytest.mark.parametrize(
    "values, state, seeds",
    [([0.20, 0.22, 0.24], "holds", 3), ([-0.20, -0.22, -0.24], "fails", 3),
     # t of three seeds is 4.303: the half width is 2.484 deviations
     ([1.0, 2.0, 3.0], "open", 3), ([1.5, 2.5, 3.5], "holds", 3), ([1.4, 2.4, 3.4], "open", 3),
     ([0.9, 1.1], "open", 2), ([0.95, 1.05], "holds", 2),  # and of two 12.706: 8.985 deviations
     ([0.0, 0.0, 0.0], "fails", 3), ([0.01], "holds", 1), ([-0.01], "fails", 1),
     ([math.nan, math.nan], "fails", 2), ([0.2, 0.21, 0.22, math.nan], "open", 4),
     ([-0.2, -0.21, -0.22, math.nan], "fails", 4),
     ([-0.1, -1.0, -2.0, math.nan], "fails", 4), ([-0.1, -1.0, -2.0], "open", 3),  # a death
     ([0.1, -1.0, -2.0, math.nan], "open", 4),  # makes no verdict better
     ([True, True], "holds", 2), ([True, False], "open", 2), ([False, False], "fails", 2)],
)  # fmt: skip
def test_a_part_is_decided_by_the_interval_of_its_mean(values, state, seeds):
    part = claims.decide(margin(*values), np.array(values))
    assert (part.state, part.seeds, part.dead) == (state, seeds, np.isnan(values).sum())


def test_a_part_says_how_many_seeds_it_is_from_and_how_many_died():
    for values, says in (([1.0], "1 seed"), ([1.0, 2.0, math.nan], "2 seeds, 1 dead"),
                         ([math.nan] * 3, "3 dead")):  # fmt: skip
        assert claims.decide(margin(*values), np.array(values)).of == says


def test_a_part_of_one_seed_takes_the_spread_of_the_rest():
    """A gap is filled with the mean of its run, so that only the other run's spread is left."""
    alone = margin(0.05, 0.0, 0.0, gaps=(1, 2))
    assert claims.decide(alone, np.array([0.05, 0.06, 0.04])).state == "holds"  # ± 0.043
    part = claims.decide(alone, np.array([0.05, 0.07, 0.03]))  # ± 0.086
    assert part.state == "open" and "± 0.086" in part.says
    assert claims.decide(margin(1.0, 2.0, gaps=(0, 1)), np.array([1.0, 2.0])).state == ""
    both = [margin(-0.10), margin(-0.30)]  # two that fail: the worse one is shown
    assert claims.decide(both, [np.array(one) for one in both]).says == "by −0.300"


@pytest.mark.parametrize(
    "states, verdict",
    [("holds holds", "✅"), ("fails fails", "❌"), ("holds fails", "partly"),
     ("holds open", "partly"), ("open open", "inconclusive"), ("fails open", "inconclusive"),
     ("holds holds -", "–")],
)  # fmt: skip
def test_a_verdict_from_its_parts(states, verdict):
    parts = [claims.Part("" if s == "-" else s, 3) for s in states.split()]
    assert claims.in_one(parts) == verdict


@pytest.mark.parametrize("x, state", [((96.4, 96.5, 96.6), "holds"), ((93.0, 93.1, 93.2), "fails"),
                                      ((99.8, 99.9, 100), "fails"), ((93.0, 96.5, 99.0), "open"),
                                      ((93.7, 93.8, 93.9), "holds")])  # fmt: skip
def test_a_number_holds_within_three_points_on_either_side(x, state):
    part = claims.decide(claims.near(margin(*x), 96.5), claims.near(np.array(x), 96.5))
    assert part.state == state


def two_runs(better, worse):
    run = {"label": "a row", "row": "a", "script": "dgm", "timing": {}}
    return {name: [run | {"seed": s, "metrics": {"A": v}} for s, v in enumerate(values)]
            for name, values in (("a", better), ("b", worse))}  # fmt: skip


A_ABOVE_B = claims.Claim("–", "a beats b", ("a", "b"), claims.of("A"), lambda a, b: {"a": a - b})


def test_a_direction_is_judged_by_pairs_of_seeds():
    """Seeds that are easy for one are easy for the other: the pairs tell what the means do not."""
    paired = two_runs((0.50, 0.70, 0.90), (0.45, 0.66, 0.84))
    assert claims.judge(A_ABOVE_B, paired).shown == "✅"
    crossed = two_runs((0.50, 0.70, 0.90), (0.84, 0.66, 0.45))
    assert claims.judge(A_ABOVE_B, crossed).shown == "inconclusive"
    assert claims.judge(A_ABOVE_B, two_runs((0.4, 0.6, 0.8), (0.5, 0.7, 0.9))).shown == "❌"
    assert claims.judge(A_ABOVE_B, two_runs((0.5, 0.7), (0.4, 0.6))).shown == "✅, two seeds"
    one_dead = two_runs((0.5, 0.7, math.nan), (0.4, 0.6, 0.8))
    assert claims.judge(A_ABOVE_B, one_dead).held == "inconclusive"


def test_what_a_small_run_cannot_decide_is_not_tested_until_the_papers_size_is_there():
    claim = A_ABOVE_B._replace(untested="too small", whole=("big", "other"))
    runs = two_runs((0.5, 0.7, 0.9), (0.4, 0.6, 0.8))
    out = claims.judge(claim, runs)
    assert (out.shown, out.seeds) == ("not tested at this scale", 0)
    assert out.said[-1] == "Not tested at this scale: too small." and "a (3) 0.700" in out.short
    assert claims.judge(claim, runs | {"big": runs["b"]}).held == "not tested at this scale"
    out = claims.judge(claim, runs | {"big": runs["b"], "other": runs["a"]})
    assert out.shown == "❌" and out.said[0].startswith("`big`")


def test_results_of_before_something_was_measured_are_named_and_do_not_count():
    """Old runs of synthetic_meta.py have the forgetting of a mean, which is too low."""
    claim = next(c for c in claims.CLAIMS["synthetic_meta"] if c.measure is claims.forgets)
    R = [[0.1] * 3, [0.8, 0, 0], [0.5, 0.8, 0], [0.5, 0.5, 0.8]]
    old = {"R": R, "seen": [], "last": [[0.5, 0.5, 0.8]], "masked": []}
    new = old | {"forgetting": [0.02, 0.04]}
    run = {"label": "synthetic", "row": "synthetic", "script": "synthetic_meta", "R": R,
           "metrics": {}, "timing": {}}  # fmt: skip
    some = [run | {"seed": seed, "learners": dict.fromkeys(claims.STATISTICS, kind)}
            for seed, kind in enumerate((old, new))]  # fmt: skip
    out = claims.judge(claim, {"synthetic": some})
    assert (out.held, out.seeds) == ("✅", 1) and "test batch 0.030 (1)" in out.said[0]
    assert "seed 0: of before all" in out.said[1] and "--row synthetic --seed 0`" in out.said[1]
    out = claims.judge(claim, {"synthetic": some[:1]})
    assert out.held == "–" and out.short.endswith("synthetic (1) –, –, –, –")
    assert "forgetting" not in benchmark.summary_of(some[0])
    assert benchmark.summary_of(some[1])["forgetting"] == pytest.approx(0.03)


def test_what_is_taken_from_the_learners_of_synthetic_meta():
    seen = [[0.9, 0.6, 0.7], [0.5, 0.8, 0.5]]  # two learners; their mean: 0.7, 0.7, 0.6
    known = {"batch": {"seen": seen, "forgetting": [0.1, 0.2], "last": [[0.5], [0.7]]}}
    run = {"learners": known, "args": {"steps": 5, "order": "random"}, "by_steps": {
        "10": {"batch": [0.5, 0.3], "running": [0.2, 0.2]},
        "5": {"batch": [0.9, 0.7], "running": [0.4, 0.2]},
        "15": {"batch": [0.3, 0.3], "running": [0.2, 0.2]}}}  # fmt: skip
    falls = claims.seen_falls(run)
    assert falls["test batch"] == pytest.approx(0.1) and falls["rate 0.1"] is None
    mlp = {"learners": {"none": known["batch"]}}
    assert claims.seen_falls(mlp) == pytest.approx(dict.fromkeys(falls, 0.1))
    assert set(claims.with_all_classes(run).values()) == {None}
    known["all"] = known["batch"]
    assert list(claims.with_all_classes(run).values()) == pytest.approx([0.15, 0.1])
    drops = claims.largest_drop(run)  # 0.8, 0.4, 0.3; 0.3, 0.2, 0.2
    assert drops == pytest.approx({"transductive": 0.4, "not": 0.1})
    some = claims.elsewhere("wide", "more")
    assert set(some(run).values()) == {None}  # an old result
    wide, more = {"batch": [0.8, 0.7], "running": [0.4, 0.3]}, {"batch": [0.4], "running": [0.1]}
    found = some(run | {"scenarios": {"wide": wide, "more": more}})
    assert list(found.values()) == pytest.approx([0.05, -0.05, 0.5, 0.3])  # the same learners
    found = claims.other_order(run | {"controls": {"fixed order": wide}})
    assert found == pytest.approx({"transductive": 0.05, "not": -0.05})


def test_a_class_that_runs_out_is_told_from_the_counts_of_a_run():
    tasks = [{"replayed": [0, 0, 0, 0], "drawn": 0}, {"replayed": [50, 50, 0, 0], "drawn": 1000},
             {"replayed": [60, 10, 50, 30], "drawn": 5000}]  # fmt: skip
    args = {"n_gen": 100, "n_gen_mode": "per-task", "classes_per_task": 2}
    run = {"tasks": tasks, "args": args}
    found = claims.scarcity(run)
    assert found["drawn / kept"] == pytest.approx(6000 / 250)
    assert found["least share of a class"] == pytest.approx(10 / 50)  # of 200 / 4
    del tasks[1]["drawn"]
    assert claims.scarcity(run)["drawn / kept"] is None  # an old result


def costs(run, *seconds):
    """A run of four tasks with a GAN and one without: solver's and GAN's seconds of an epoch."""
    args = {"solver_epochs": 2, "replay": "gan", "gan_epochs": []}
    tasks = [{"solver_images": 2 * n, "gan_images": (5 + t) * n} for t, n in enumerate(run)]
    times = [{"solver_s": 2.0, "gan_s": (5.0 + t) * s, "before solver_s": 0.5, "evaluation_s": 9.0}
             for t, s in enumerate(seconds)]  # fmt: skip
    tasks.append({"solver_images": 100, "gan_images": 0})  # no GAN after the last
    times.append({"solver_s": 5.0, "gan_s": 0.0})
    return {"tasks": tasks, "args": args, "timing": {"tasks": times}}


def test_reuse_is_set_beside_what_a_mask_would_meet_by_chance():
    layers = [dict(size=100, used=30, new=20, reused=9), dict(size=300, used=70, new=10, reused=1)]
    run = {"tasks": [{"layers": []}, {"layers": layers[:1]}, {"layers": layers}]}
    assert claims.reuse(run) == {"task 2": 9 / 29, "last task": 10 / 40, "by chance": 100 / 400}


def test_what_is_free_and_what_learning_takes_are_counted_from_layers():
    layers = [dict(size=100, used=30, new=20, reused=9), dict(size=300, used=0, new=50, reused=0)]
    task = {"layers": layers, "disc": {"weights": 4 * 500_000}}
    run = {"tasks": [{"layers": layers[:1], "disc": {"weights": 4 * 100}}, task],
           "metrics": {"A_10 (%)": 7.0}}  # fmt: skip
    assert claims.room(run) == {"A_10 (%)": 7.0, "free (%)": 75.0}
    first, last = claims.while_training(run).values()
    assert first == 16 * 200 / 1e6 and last == pytest.approx(16 * 500_400 / 1e6)


def test_what_is_known_of_each_class_is_that_of_the_last_generator():
    run = {"quality": [{"by task": [0.2]}, {"by task": [0.9, 0.4]}]}
    assert claims.by_class(run) == {"least known": 0.4, "all": pytest.approx(0.65)}
    assert set(claims.by_class({}).values()) == {None}  # an old result


def test_what_the_sparsity_of_masks_saves_is_counted():
    first = [dict(size=100, used=0, new=50, reused=0), dict(size=300, used=0, new=50, reused=0)]
    last = [dict(size=200, used=50, new=30, reused=9), dict(size=300, used=50, new=30, reused=1)]
    tasks = [{"layers": first, "widths": [4, 2]}, {"layers": last, "widths": [9, 3]}]
    found = claims.thrift({"tasks": tasks})
    assert found == {"units added": 6, "reserved (%)": pytest.approx((25 + 15) / 2)}


def test_a_transition_is_where_masks_are_decided():
    """Half of the masks are open; all are decided at the same epoch of 71."""
    for decided, parts in ((50, (1, 1, 0)), (30, (1, 0, 0)), (69, (1, 1, 1))):
        trace = [[0.5, 0.5, 0.5] if i < decided else [0.5, 0.0, 1.0] for i in range(71)]
        found = claims.transition({"tasks": [{}, {"trace": trace}]})
        assert tuple(found.values()) == parts
    (claim,) = (c for c in claims.CLAIMS["dgm"] if c.measure is claims.transition)
    much, little = (claim.holds(1.0, v, 0.2)["more than half"] for v in (1.0, 0.6))
    assert much > 0 > little


@pytest.mark.parametrize(
    "parts, ours",
    [
        (claims.without_real, ("dgmw", "dgmw")),
        (claims.with_a_tenth, ("dgmw", "r10", "dgmw", "r10")),
        (claims.with_equal_memory, ("k1000", "k2000", "k1000", "k2000")),
    ],
)
def test_table_2s_claims_hold_of_the_papers_own_numbers(parts, ours):
    """And not where DGM's and iCaRL's are exchanged."""
    some, icarl = ([v for name in names for v in dgm.TABLE_2[name]]
                   for names in (ours, ("icarl-k1000", "icarl-k2000")))  # fmt: skip
    assert min(parts(*some, *icarl).values()) > 0
    assert min(parts(*icarl * (len(some) // 8), *some[:8]).values()) < 0


def test_table_2s_numbers_hold_of_themselves_and_each_counts():
    names = (*claims.NUMBERED, "icarl-k1000", "icarl-k2000")
    numbers = [v for name in names for v in dgm.TABLE_2[name]]
    assert all(min(margins) > 0 for margins in claims.numbers_of_table_2(*numbers).values())
    for i in range(len(numbers)):
        off = [v + 3.1 * (i == j) for j, v in enumerate(numbers)]
        fails = [name for name, m in claims.numbers_of_table_2(*off).items() if min(m) < 0]
        assert fails == [names[i // 4]]


def test_the_cost_of_a_task_is_taken_in_as_many_epochs_everywhere():
    """Images of an epoch of each net, 10 more in every task; the GAN's epochs grow by one."""
    found = claims.growing(costs((10, 20, 30, 40), 3, 5, 7, 11))
    assert list(found.values()) == pytest.approx([1, 4, (1 + 11) / (1 + 3)])
    found = claims.growing(costs((10, 20, 20, 20), 3, 5, 5, 5))
    assert found["images, R² of a line"] < 0.98
    found = claims.plateau(costs((10, 20, 21, 18), 3, 5, 7, 2))
    assert list(found.values()) == pytest.approx([0.9, (1 + 2) / (1 + 5)])
    found = claims.epoch_of_each(costs((10, 20, 30, 40), 3, 5, 7, 11))
    assert list(found.values()) == pytest.approx([26 / 4])


@pytest.mark.parametrize("images, seconds", [("real", 6.0), ("auto", 4.0)])
def test_seconds_of_a_task_are_of_drawing_and_training_alone(images, seconds):
    """A GAN that learns first is measured between its loop and the solver's."""
    task = {"gan_s": 3.0, "solver_s": 2.0, "evaluation_s": 50.0, "measuring_s": 2.0,
            "before solver_s": 1.0 if images == "real" else 1.0 + 2.0 - 2.0}  # fmt: skip
    run = {"args": {"solver_images": images}, "timing": {"tasks": [task]}}
    assert gan_replay.seconds_of(run) == [seconds]
    del run["args"]["solver_images"], task["measuring_s"]  # as old results are
    assert claims.spent(run) == {"seconds": 6.0}


def test_old_tasks_fall_with_a_new_one_by_the_mean_of_all_of_them():
    R = [[0.1, 0.1, 0.1], [1.0, 0, 0], [0.8, 0.9, 0], [0.7, 0.6, 0.95]]
    found = claims.falls({"R": R})
    assert list(found) == ["with task 2", "with task 3"]
    assert list(found.values()) == pytest.approx([0.2, (0.1 + 0.3) / 2])
    assert claims.new_tasks({"R": R})["a new task"] == pytest.approx((0.9 + 0.95) / 2)


def test_accuracy_soon_after_a_task_began_is_the_first_of_its_curve():
    run = {"tasks": [{"last_step": 8}, {}], "curve": [[4, 0.9, 0], [8, 1.0, 0], [10, 0.2, 0.5]]}
    assert claims.soon(run) == {"task 1, early in task 2": 0.2}


def test_images_of_the_first_task_are_followed_from_gan_to_gan():
    quality = [{"by task": [0.9]}, {"by task": [0.7, 0.8]}, {"by task": [0.4, 0.6, 0.85]}]
    assert list(claims.by_gan({"quality": quality}).values()) == [0.9, 0.4, 0.85]
    for old in ({}, {"quality": []}):  # of before they were measured
        assert list(claims.by_gan(old).values()) == [None] * 3


def test_the_share_of_the_first_task_is_counted_where_a_gan_learned_and_generated():
    tasks = [{"replayed": [0] * 4, "new": 50}, {"replayed": [20, 10, 0, 0], "new": 60},
             {"replayed": [10, 5, 45, 0], "new": 50}, {"replayed": [1, 0, 50, 49], "new": 50}]
    run = {"tasks": tasks, "args": {"classes_per_task": 2}}
    assert list(claims.share_of_task_1(run).values()) == pytest.approx([30 / 90, 0.25, 0.01])


def test_what_vanilla_replay_keeps_grows_in_a_line_or_not():
    for stored, line in (((0, 100, 200, 300), True), ((0, 100, 101, 300), False)):
        found = claims.stored_images({"tasks": [{"stored": n} for n in stored]})
        assert found["last task / task 2"] == 3 and (found["R² of a line"] > 0.98) is line


def test_the_rules_stand_on_the_page_once():
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    assert all(text.count(f"- {rule}") == 1 for rule in claims.RULES)


def test_the_page_and_its_figures_from_a_few_runs(folder, tmp_path, capsys):
    results.main(["--runs", str(folder), "--out", str(tmp_path / "R.md")])
    text = (tmp_path / "R.md").read_text()
    for name in ("benchmark.png", "claims.png"):
        assert (folder / name).stat().st_size > 10_000
    assert "](runs/benchmark.png)" in text and "[none](runs/gan_replay/none-seed0.json)" in text
    assert len(rows_with(text, "not run: ")) > 10
    row = rows_with(text, "1787 images stored |")[0].split(" | ")
    assert row[6:] == ["1.40", "yes |"]  # 1,784 images of 784 bytes
    assert rows_with(text, "joint training (upper bound) |")[0].split(" | ")[6] == "47.04"
    for script in runs.SCRIPTS:
        assert f"<code>{results.file_of(script)}</code></summary>\n\n1. " in text


def test_a_claim_is_one_short_line_and_its_evidence_is_folded():
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [cell for row in rows for cell in row.split(" | ")]
    assert max(map(len, cells)) <= 160
    links = re.findall(r"^\| \[\d+\]\(#([\w-]+)\)", text, re.M)
    assert len(links) == sum(map(len, claims.CLAIMS.values()))
    assert links == re.findall(r'^<details id="([\w-]+)"><summary>', text, re.M)
    assert text.count("</details>") == len(links) + len(runs.SCRIPTS)  # and the deviations


def test_your_runs_stand_beside_the_references_seed_by_seed(folder, tmp_path, capsys):
    yours = tmp_path / "yours/gan_replay"
    yours.mkdir(parents=True)
    for name in ("none-seed0", "ngen12000-seed1"):
        shutil.copy(folder / f"gan_replay/{name}.json", yours)

    def compared():
        runs.read_all.cache_clear()
        compare.main([str(tmp_path / "yours"), "--reference", str(folder)])
        return capsys.readouterr().out

    out = compared()
    assert "2 of 2 runs are equal to the reference's to the last bit." in out
    assert [line.split(" | ")[:2] for line in out.splitlines() if "last bit |" in line] == [
        ["| ngen12000", "1"], ["| none", "0"]]  # fmt: skip
    assert "in the reference alone: 2 of gan_replay, all of dgm" in out
    assert "joint | " not in out and len(out.splitlines()) < 20
    change(yours / "ngen12000-seed1.json", lambda run: run["R"][-1].__setitem__(0, 0.5))
    change(yours / "ngen12000-seed1.json", lambda run: run["metrics"].update(ACC=0.75))
    change(yours / "ngen12000-seed1.json", lambda run: run["environment"].update(torch="9.9.0"))
    out = compared()
    run = json.loads((folder / "gan_replay/ngen12000-seed1.json").read_text())
    gap, apart = 0.75 - run["metrics"]["ACC"], abs(0.5 - run["R"][-1][0])
    assert f"{gap:+.4f}, R by up to {apart:.4f}".replace("-", "−") in out
    assert "made with torch 2." in out and "9.9.0" in out and "1 of 2 runs are equal" in out
    row = rows_with(out, "| ngen12000 | 1 |")[0]
    assert row.endswith("(2) |")  # the reference's spread over its seeds
    change(yours / "ngen12000-seed1.json", lambda run: run["metrics"].pop("ACC"))  # it died
    row = rows_with(compared(), "| ngen12000 | 1 |")[0]
    assert f" | – | R by up to {apart:.4f} (yours: torch 9.9.0, reference: " in row
    assert row.endswith("(2) |")
    for name in ("none-seed0", "ngen12000-seed1"):
        change(yours / f"{name}.json", lambda run: run["args"].update(dataset="fashion-mnist"))
    assert "is of fashion-mnist" in compared()


def test_synthetic_data_stand_in_the_table_without_transduction():
    folder = str(ROOT / "reference")
    entry = next(e for e in benchmark.benchmark(folder) if e["name"] == "synthetic")
    some = runs.read_all(folder, "synthetic_meta")["synthetic"]
    untold = [run["metrics"]["no transduction"] for run in some]
    assert entry["ACC"] == pytest.approx(untold, abs=1e-6) and entry["kept"] == 0


def test_the_pages_list_the_verdicts_that_the_reference_gives(monkeypatch):
    monkeypatch.chdir(ROOT)
    for script in runs.SCRIPTS:
        block = results.verdict_list(script, "reference").replace("](RESULTS", "](../RESULTS")
        page = (ROOT / f"docs/{script}.md").read_text(encoding="utf-8")
        assert f"verdicts -->\n{block}\n<!-- end" in page, "run make report"
        assert sum(line.count("](") for line in block.splitlines()) == len(claims.CLAIMS[script])


def test_results_md_is_what_the_reference_gives(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = results.page("reference", "reference", ".")
    assert text == (ROOT / "RESULTS.md").read_text(), "run make report"


@pytest.mark.parametrize(
    "argv, says",
    [(["--runs", "nowhere"], "nowhere has no SCRIPT"), (["--report", "x"], "unrecognized"),
     (["--out", "/dev/null/x.md"], "/dev/null")],
)  # fmt: skip
def test_bad_input_is_one_line(argv, says, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(lambda: results.main(argv))
    err = capsys.readouterr().err
    assert stop.value.code == 2 and says in err and len(err.splitlines()) == 1


def test_the_hours_are_those_of_the_first_seed(folder):
    for i, name in enumerate(("none", "ngen12000", "bytes", "joint")):
        path = folder / f"gan_replay/{name}-seed0.json"
        change(path, lambda run, i=i: run["timing"].update(wall_s=1800.0 * i))
        change(path, lambda run: run["environment"].update(commit="c0ffee1234"))
    table = results.hours_table(str(folder)).splitlines()
    rows = [re.split(r" *\| *", line)[1:-1] for line in table]
    assert rows[2:] == [[name, "4", "3.0", "90", "c0ffee1"] for name in ("gan_replay", "all")]
    empty = results.hours_table(str(folder / "none")).splitlines()
    assert empty[-1] == "| all | 0 | 0.0 | 0 | 0 |"
    assert results.log_of(str(folder), str(folder)) == []
    (folder / "reproduce.log").touch()
    assert "(reproduce.log)" in results.log_of(str(folder), str(folder))[0]


@pytest.mark.parametrize("flags, jobs, threads", [
    ([], ["-j2"], "1"), (["-j3"], [], "1"), (["THREADS=4"], ["-j2"], "4"),
])  # fmt: skip
def test_make_reproduce_makes_two_runs_at_a_time_with_one_thread_each(flags, jobs, threads):
    keys = os.environ.keys() - {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}  # of make test
    alone = {key: os.environ[key] for key in keys}
    plan = subprocess.run(["make", "-n", "reproduce", "VENV=", *flags], cwd=ROOT, env=alone,
                          check=True, capture_output=True, text=True).stdout  # fmt: skip
    assert set(re.findall(r"--threads (\d+)", plan)) == {threads}
    assert re.findall(r"--no-print-directory (-j\d+)", plan) == jobs


def test_every_make_target_that_is_spoken_of_exists():
    rules = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    pages = [*PAGES, *(path for some in ("*.py", "tests/*.py", "tools/**/*.py", "beyond/*.py")
                       for path in ROOT.glob(some))]  # fmt: skip
    named = {name for page in pages for name in
             re.findall(r"`make (?:-\w+ )*([a-z][\w-]*)", page.read_text())}  # fmt: skip
    rules |= set(runs.SCRIPTS)
    assert {"report", "demo", "stress", "bench"} <= named and named <= rules, named - rules


def test_the_status_counts_what_is_there_and_estimates_the_rest(folder, tmp_path, capsys):
    """Two runs that took an hour each in the reference: one is there, the other is to come."""
    for name in ("none-seed0", "joint-seed0"):
        change(folder / f"gan_replay/{name}.json", lambda run: run["timing"].update(wall_s=3600))
    mine = tmp_path / "results/mnist/gan_replay"
    shutil.copytree(folder / "gan_replay", mine)
    for path in mine.glob("*.json"):
        if path.name != "none-seed0.json":
            path.unlink()
    change(mine / "none-seed0.json", lambda run: run["timing"].update(wall_s=1800))
    asked = [str(mine / f"{name}.json") for name in ("none-seed0", "joint-seed0", "joint-seed7")]
    change(mine / "none-seed0.json", lambda run: run.update(skipped="too few classes"))
    status.main(["mnist", *asked, "--reference", str(folder)])
    out = capsys.readouterr().out
    row = rows_with(out, "gan_replay")[0]
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["3", "1", "0.5", "2.0"]
    assert f"skipped, as these data do not fit: {mine}/none-seed0.json: too few classes" in out


def test_the_exponent_of_a_known_power():
    x = [5, 10, 25, 75]
    assert speed.exponent(x, [0.3 * n**1.7 for n in x]) == pytest.approx(1.7)
    assert speed.exponent(x, [4.0] * 4) == pytest.approx(0, abs=1e-9)


def test_growth_is_drawn_from_json_and_only_where_there_is_some(folder, tmp_path, capsys):
    page = ["--runs", str(folder), "--out", str(tmp_path / "R.md")]
    results.main(page)
    text = (tmp_path / "R.md").read_text()
    assert not (folder / "growth.png").exists() and "growth.png" not in text
    assert "training images | grow" not in text and "avalanche-lib" not in text
    rows = [{"script": "dgm", "images": n, "seconds": 1e-3 * n**1.5} for n in (100, 200, 1000)]
    (folder / "growth.json").write_text(json.dumps({"rows": rows}))
    rows = [{"kind": "ours", "steps": n, "seconds": 0.1 * n} for n in (5, 25, 75)]
    rows += [{"kind": "higher", "steps": n, "seconds": 0.2 * n} for n in (5, 25)]
    (folder / "synthetic_meta").mkdir()
    (folder / "synthetic_meta/bench.json").write_text(json.dumps({"rows": rows}))
    one = {"ours": {"both": 600}, "avalanche": {"both": 400}, "ratio": {"both": 1.5},
           "flops_per_image": 3e6}  # fmt: skip
    (folder / "gan_replay/bench_avalanche.json").write_text(json.dumps({"vae": one, "gan": one}))
    results.main(page)
    text = (tmp_path / "R.md").read_text()
    assert (folder / "growth.png").stat().st_size > 10_000 and "](runs/growth.png)" in text
    assert "power 1.50" in rows_with(text, "dgm: seconds for an epoch of 100 ... 1000")[0]
    assert "power 1.00" in rows_with(text, "5 to 75 inner steps")[0]
    assert "2.00 ✅" in rows_with(text, "against `higher`")[0]
    assert len(rows_with(text, "| 600 | 400 | 1.50 ❌ (goal 2) |")) == 2
    grown = speed.costs(str(folder))
    assert grown["inner steps per task"]["the same by `higher`"] == ([5, 25], [1.0, 5.0])
    assert grown["tasks"]["gan_replay `ngen12000`"][0] == [1, 2, 3, 4]


# --------------------------------------------------------------------------------------------
# No measured number is typed: neither in README.md's own words nor in the notes of the claims
# --------------------------------------------------------------------------------------------

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COUNT = r"(?:\d[\d.,]*|half an?|two|three|four|five|six|seven|eight|nine|ten|twenty)"
MEASURED = {  # what a measured result looks like, when somebody types it
    "mean ± deviation": r"\d\s*±\s*\d",
    "a percentage": r"\d[\d.,]*\s?(?:%|per cent)",
    "a duration": rf"\b{COUNT}[ -](?:s|ms|seconds?|minutes?|hours?)\b",
    "a size": rf"\b{COUNT} (?:kB|MB|GB)\b",
    "a ratio": rf"\b{COUNT} times (?:as|more|less|faster|slower|better|worse)\b",
    "points": r"\b(?:half a|a whole|a|\d[\d.,]*|two|three) (?:percentage )?points?\b",
    "seeds counted": rf"\b{COUNT} (?:of|out of) {COUNT} (?:seeds|runs)\b",
    "an accuracy": r"(?<![\d.=])[-−]?(?:0\.\d{3,}|[1-9]\d\.\d+)\b",
}
SETTINGS = (  # no results, though they look like some
    "10 % or 44 %", "44 % of 5.18e5",  # sizes that the paper gives
    "5.7 MB",  # the paper's nets
    "0 %",  # of "why is the accuracy on old tasks 0 %?"
    "16,384 points", "four times as far",  # the table of h
    "Slurm 22.05",
)  # fmt: skip


def papers_numbers():
    """What the papers report, as the scripts have it for their tables."""
    figures = (dgm, episodic, gan_replay, grad_predict, synthetic_meta)
    text = " ".join(str(vars(module).get(name, "")) for module in figures
                    for name in ("PAPER", "PAPER_ELSEWHERE", "TABLE_2"))  # fmt: skip
    return {float(number) for number in re.findall(r"\d+\.\d+", text)}


def own_words(markdown):
    """A page without the blocks that scripts write, code, and targets of links."""
    blocks = r"<!-- begin (.*?) -->.*?<!-- end \1 -->|^```.*?^```"
    markdown = re.sub(blocks, "", markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "`", markdown)


def typed_results(words):
    """What in this text looks like a measured number and is neither a setting nor a paper's."""
    for known in SETTINGS:  # whole numbers: "0 %" is not in "80 %"
        words = re.sub(rf"(?<![\d.,]){re.escape(known)}", "", words)
    numbers, found = papers_numbers(), []
    for kind, pattern in MEASURED.items():
        for match in re.finditer(pattern, " ".join(words.split())):
            digits = re.search(r"\d+\.\d+", match[0])
            if not (kind == "an accuracy" and digits and float(digits[0]) in numbers):
                found.append(f"{kind}: {match[0]}")
    return found


def test_no_measured_number_is_typed():
    for page in PAGES:
        assert typed_results(own_words(page.read_text(encoding="utf-8"))) == [], page
    notes = [claim.note for some in claims.CLAIMS.values() for claim in some]
    assert typed_results(own_words(" ".join(notes))) == []


@pytest.mark.parametrize(
    "typed",
    ["it ends at 96.9 ± 0.2", "ACC is 0.833", "BWT of −11.35", "reaches 97 %", "in 461 s",
     "takes four hours", "needs 3.4 MB", "15 times as fast", "half a point below",
     "in four of five seeds"],
)  # fmt: skip
def test_a_typed_result_is_found(typed):
    assert typed_results(own_words(f"A row, and {typed}.\n"))
    assert not typed_results(own_words(f"<!-- begin x -->\n{typed}\n<!-- end x -->\n`{typed}`\n"))


@pytest.mark.parametrize(
    "setting", ["Adam at 1e-3, 0.15, ε = 1e-8, 5 epochs, 16×16 pixels", "DGMw 74.38 in the paper",
                "three times the rate", "Sec. 3.3, `--gan-lr 2e-4`, minutes on two cores"],
)  # fmt: skip
def test_a_setting_is_no_result(setting):
    assert typed_results(own_words(setting)) == []


def headings(page):
    """As GitHub names them in links, and what has an id of its own."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    named = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in found}
    return named | set(re.findall(r'<details id="([\w-]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_arrive(page):
    """Files, and headings in them."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!\w+:)([^)]*)\)", text)
    links += re.findall(r"^\[\w+\]: (\S+\.md)", text, re.M)
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 200 and len(text.encode()) <= 16_000
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 110


def test_no_result_names_a_folder_of_the_machine_that_made_it():
    for path in sorted((ROOT / "reference").rglob("*-seed*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        for flag in ("out", "save", "data_dir", "dataset", "generator"):
            assert not Path(str(run["args"].get(flag, ""))).is_absolute(), path


def test_the_race_goes_by_seconds_and_counts_no_transduction(monkeypatch, tmp_path):
    def made(script, row, s, metrics):
        return {"metrics": metrics, "timing": {"wall_s": s}, "args": {"n_gen": 1}}

    runs = {"gan_replay": {"improved": [made("gan_replay", "improved", 700.0, {"ACC": 0.97}),
                                        made("gan_replay", "improved", 500.0, {"ACC": 0.95})]},
            "synthetic_meta": {"synthetic": [made("synthetic_meta", "synthetic", 9.0, {
                "ACC": 0.9, "no transduction": 0.6})]}}  # fmt: skip
    monkeypatch.setattr(race, "read_all", lambda folder, script: runs.get(script, {}))
    measured = {"race": [{"epochs": 5, "accuracy": 0.5, "seconds": 70.0}]}
    (tmp_path / "gan_replay").mkdir()
    (tmp_path / "gan_replay/bench_avalanche.json").write_text(json.dumps(measured))
    (_, some), (_, others) = race.entries(str(tmp_path))
    assert [(seconds, known) for seconds, _, known, _ in some] == [
        (9.0, [60.0]), (70.0, [50.0]), (500, [88.9]), (500, [91.8]), (600.0, [97.0, 95.0])
    ]  # fmt: skip
    assert len(others) == 1  # avalanche's is of the first benchmark
    assert len(race.draw_race(str(tmp_path)).axes) == 2
    assert "generative replay (5 epochs) | 70 | 50.0 (1)" in race.race_table(str(tmp_path))


def test_what_is_taken_from_a_run_of_grad_predict():
    R = [[0.10, 0.20, 0.10], [0.70, 0.10, 0.10], [0.60, 0.60, 0.30], [0.60, 0.60, 0.60]]
    run = {"R": R, "metrics": {"dead": 0.0}, "args": {"tasks": 3, "iterations": 300}}
    assert claims.starts(run)["points per task"] == pytest.approx(10)  # 10, 10, 30
    assert math.isnan(claims.starts(run | {"metrics": {"dead": 1.0}})["points per task"])
    assert math.isnan(claims.left(run)["left (%)"])
    run["left"] = [[400, 0.5], [600, 0.5], [700, 0.1], [900, 0.3]]
    assert claims.left(run)["left (%)"] == pytest.approx(20)  # of the last task
    noise = np.random.default_rng(0).normal(0, 1, (900, 4))
    noise[300:, 1] += 9  # h's loss finds the first boundary, f's both, and one that is none
    noise[300:, 2] += 9
    noise[600:, 2] += 9
    noise[850:, 2] += 9
    run["signals"] = noise.tolist()
    assert claims.boundaries(1)(run) == {"first": 1, "later": 0, "false alarms": 0}
    assert claims.boundaries(2)(run) == {"first": 1, "later": 1, "false alarms": 1}
    assert list(claims.h_or_f(run).values()) == [0.5, 1.0]
    rise = claims.gain_of_new(run)["a new task rises by"]
    assert rise == pytest.approx((50 + 30) / 2)  # 10 to 60, 30 to 60
    assert math.isnan(claims.gain_of_new(run | {"metrics": {"dead": 1.0}})["a new task rises by"])
    assert set(claims.explained(run).values()) == {None}  # an old result
    run["explained"] = [[0.5], [0.2, 0.7], [0.1, -0.3]]
    assert list(claims.explained(run).values()) == pytest.approx([0.6, -0.1])
    died = claims.explained(run | {"explained": [[0.5], [0.2, 0.7]]})  # in its last task
    assert died["when learned"] == pytest.approx(0.6) and math.isnan(died["at the end"])
    for early in ([[0.5], [0.2, None], [None, None]], [[0.5]]):
        assert math.isnan(claims.explained(run | {"explained": early})["when learned"])
