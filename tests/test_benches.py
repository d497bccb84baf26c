"""make bench and make bench-avalanche in miniature: they call the scripts, which change."""

import importlib
import json
import sys
import types

import pytest
import torch

import gan_replay

FEW = "--dataset glyphs --images 400 --epochs 1 --times 1 --race-images 400 --race-epochs 1".split()


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """A bench may set these of gan_replay."""
    monkeypatch.setattr(gan_replay, "POINTS", gan_replay.POINTS)
    monkeypatch.setattr(gan_replay, "LATENT", gan_replay.LATENT)


@pytest.mark.parametrize(
    "name, flags, positive",
    [
        ("bench_loops", "--images 300 --times 1", ("solver_ratio", "gan_step_s", "layers_share")),
        ("bench_growth", "--factors 1 --times 1 --least 200", ("rows",)),
        ("bench_grad_predict", "--steps 3 --times 1", ("exact_s", "lookup_s", "positive")),
    ],
)
def test_a_bench_measures_what_it_says(name, flags, positive, tmp_path):
    out = tmp_path / "bench.json"
    importlib.import_module(name).main([*flags.split(), "--out", str(out)])
    found = json.loads(out.read_text())
    assert all(found[key] and (key == "rows" or found[key] > 0) for key in positive)
    assert all(row["seconds"] > 0 for row in found.get("rows", []))


def test_the_bench_of_a_meta_step_measures_it():
    bench = importlib.import_module("bench_synthetic_meta")
    found = bench.one("ours", 1)
    assert found["seconds"] > 0 and found["gradient"][0] > 0


class Vae(torch.nn.Module):
    """In the place of avalanche's MlpVAE: a decoder, and a reconstruction."""

    def __init__(self, shape, nhid):
        super().__init__()
        self.decoder = torch.nn.Sequential(
            torch.nn.Linear(nhid, 28 * 28), torch.nn.Unflatten(1, shape)
        )

    def forward(self, x):
        return self.decoder(x.flatten(1)[:, :2])


@pytest.fixture
def without_avalanche(monkeypatch):
    """The bench with stubs for what it imports of avalanche."""
    stubs = {"benchmarks": {"nc_benchmark": None}, "training": {},
             "models": {"MlpVAE": Vae, "VAE_loss": lambda a, b: ((a - b) ** 2).mean()},
             "training.plugins": {"GenerativeReplayPlugin": None},
             "training.supervised": {"GenerativeReplay": None, "VAETraining": None},
             "training.templates": {"SupervisedTemplate": object}, "": {}}  # fmt: skip
    for name, parts in stubs.items():
        module = types.ModuleType(f"avalanche.{name}".rstrip("."))
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "bench_avalanche", raising=False)
    yield importlib.import_module("bench_avalanche")
    sys.modules.pop("bench_avalanche", None)


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_our_side_of_the_race_with_avalanche(kind, without_avalanche, tmp_path, monkeypatch):
    """Our loop trains the peer's VAE in the place of our GAN, or our GAN, and counts its images."""
    monkeypatch.setattr(gan_replay, "LATENT", 2 if kind == "vae" else 100)
    flags = (
        "--dataset glyphs --train-size 400 --test-size 100 --final-gan --n-gen-mode total "
        "--n-gen 80 --solver-epochs 1 --gan-epochs 1 --device cpu --threads 1"
    )
    args = gan_replay.parse_args([*flags.split(), "--out", str(tmp_path / "r.json")])
    found = without_avalanche.ours(kind, args)
    assert found["solver_images"] == found["generator_images"] == 400 + 4 * 80
    assert min(without_avalanche.rates(found).values()) > 0


def test_the_race_with_avalanche_in_miniature(tmp_path):
    pytest.importorskip("avalanche")
    out = tmp_path / "bench.json"
    importlib.import_module("bench_avalanche").main([*FEW, "--out", str(out)])
    found = json.loads(out.read_text())
    assert all(found[kind]["ratio"]["both"] > 0 for kind in ("vae", "gan"))
    assert found["race"][0]["epochs"] == 1 and 0 <= found["race"][0]["accuracy"] <= 1
