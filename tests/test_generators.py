"""beyond/generators.py: its equations, what each memory shows and holds, resuming, wrong inputs."""

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import pytest
import test_dgm
import torch
from test_dgm import CPU, ROOT, TINY, numbers, train
from torch import nn

import common
import dgm
from beyond import generators

MEMORIES = pytest.mark.parametrize("memory", generators.MEMORY)


@pytest.fixture(autouse=True)
def fisher_of_few_images(monkeypatch):
    """EWC looks at one image after the other; a tenth of them is enough here."""
    monkeypatch.setattr(generators.consolidate, "__defaults__", (50,))


def parse(*flags):
    return generators.parse_args([*TINY, *flags])


def run(path, *flags):
    """Run the script in this process and return its result."""
    generators.main([*TINY, *flags, "--out", str(path)])
    return json.loads(path.read_text())


def generator(memory="mergan", width=2):
    """A generator whose classes differ, as if it had been trained."""
    torch.manual_seed(0)
    G = generators.Generator((1, 16, 16), 10, width, generators.MEMORY[memory].told)
    with torch.no_grad():
        for style in G.own[0]:
            style.add_(0.3 * torch.randn_like(style))
    return G


# ------------------------------------------------------------------------------------ equations


def test_the_residual_generator():
    """Each block passes what it is given, doubled, where its convolutions give nothing."""
    G = generators.ResidualGenerator((1, 16, 16), 10, 5)
    assert [W.shape[2] for W in G.W] == [4, 3, 3, 3, 3, 3] and G.widths() == [5] * 5
    z, y = torch.randn(2, 128), torch.tensor([3, 0])
    with torch.no_grad():
        for layer in (1, 2, 3, 4):
            G.W[layer].zero_()
    one_hot = nn.functional.one_hot(y, 10)
    h = torch.einsum("bn,npij->bpij", torch.cat([one_hot, z[:, 10:]], 1), G.W[0])
    h = nn.functional.group_norm(h, 1).relu().repeat_interleave(4, 2).repeat_interleave(4, 3)
    image = nn.functional.conv_transpose2d(h, G.W[5], padding=1).tanh()
    assert torch.allclose(G(z, y), image, atol=1e-6)


def test_the_generator_against_modules():
    G = generator()
    z, y = torch.randn(3, 128), torch.tensor([4, 0, 4])
    h = z.clone()
    h[:, :10] = nn.functional.one_hot(y, 10)
    h = nn.functional.conv_transpose2d(h.view(3, 128, 1, 1), G.W[0])
    for W, style in zip(G.W[1:], G.own[0]):
        p = W.shape[0]
        h = (h - h.mean((1, 2, 3), keepdim=True)) / h.var((1, 2, 3), False, True).add(1e-5).sqrt()
        for i in range(3):  # by hand: every image by the row of its class
            h[i] = h[i] * style[y[i], :p, None, None] + style[y[i], p:, None, None]
        h = nn.functional.conv_transpose2d(h.relu(), W, stride=2, padding=1)
    assert torch.allclose(G(z, y), h.tanh(), atol=1e-5)
    blind = generator("dgr")  # DGR knows no classes
    assert torch.equal(blind(z, y), blind(z, y.flip(0) + 1))


def test_fisher_against_the_gradient_of_every_image():
    G, D = generator(), dgm.Critic((1, 16, 16), 2, 3, "layer")
    z, y = torch.randn(4, 128), torch.tensor([2, 2, 0, 2])
    weights = {k: v.detach() for k, v in G.named_parameters()}

    def loss(weights, z, y):
        score, logits = D(torch.func.functional_call(G, weights, (z[None], y[None])))
        return nn.functional.cross_entropy(logits, y[None]) - score[0]

    each = [torch.func.grad(loss)(weights, *one) for one in zip(z, y)]
    for (key, p), f in zip(G.named_parameters(), generators.fisher(G, D, z, y)):
        squares = torch.stack([g[key] ** 2 for g in each])
        assert torch.allclose(f, squares.mean(0), rtol=1e-3, atol=1e-9), key
        assert f.shape == p.shape and f.max() > 0
        # not the square of the mean gradient, a common mistake
        assert not torch.allclose(f, torch.stack([g[key] for g in each]).mean(0) ** 2, rtol=0.1)


def test_the_penalty_of_ewc_and_the_alignment_by_hand():
    G, before = generator(), generator()
    with torch.no_grad():
        for p in G.parameters():
            p.add_(0.1 * torch.randn_like(p))
    F_sum = [torch.rand_like(p) for p in G.parameters()]
    penalty = 0.0
    for f, p, q in zip(F_sum, G.parameters(), before.parameters()):
        pairs = zip(f.flatten().tolist(), p.flatten().tolist(), q.flatten().tolist())
        penalty += sum(a / 2 * (b - c) ** 2 for a, b, c in pairs)
    assert generators.ewc_penalty(G, before, F_sum).item() == pytest.approx(penalty, rel=1e-4)
    z, y = torch.randn(3, 128), torch.tensor([1, 1, 5])
    moved = 0.0
    for a, b in zip(G(z, y), before(z, y)):  # ||·||² of an image, the mean over images
        moved += sum((u - v) ** 2 for u, v in zip(a.flatten().tolist(), b.flatten().tolist())) / 3
    assert generators.alignment(G, before, z, y).item() == pytest.approx(moved, rel=1e-4)
    assert generators.alignment(before, before, z, y).item() == 0


@MEMORIES
def test_what_each_memory_adds_to_the_generators_loss(memory):
    args = parse("--memory", memory, "--ewc-lambda", "3", "--align-weight", "0.5")
    G, D = generator(memory), dgm.Critic((1, 16, 16), 4, 2, "layer")
    past = generators.past_of(generator(memory))
    past.fisher = [torch.rand_like(p) for p in G.parameters()]
    with torch.no_grad():
        for p in past.before.parameters():
            p.add_(0.1)
    label, old_y = torch.ones(5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    fake = G(torch.randn(5, 128), label)
    score, logits = D(fake)
    by_hand = -score.mean()
    if memory != "dgr":
        by_hand = by_hand + nn.functional.cross_entropy(logits, label)
    torch.manual_seed(3)
    z = torch.randn(4, 128)
    if memory == "mergan-align":
        by_hand = by_hand + 0.5 * generators.alignment(G, past.before, z, old_y)
    if memory == "ewc":
        by_hand = by_hand + 3 * generators.ewc_penalty(G, past.before, past.fisher)
    torch.manual_seed(3)
    gan = dgm.Gan(G, D, args)
    loss = generators.generator_step(gan, fake, label, old_y, past)
    assert loss.item() == pytest.approx(by_hand.item())


@MEMORIES
def test_what_the_critic_is_shown_as_real(memory):
    """Joint retraining: every class as often, each image with its class, as many as in DGM."""
    task = SimpleNamespace(
        x=torch.full((16, 1, 1, 1), 3, dtype=torch.uint8), y=torch.full((16,), 3),
        old=torch.arange(3, dtype=torch.uint8).repeat(40).view(-1, 1, 1, 1),
        old_y=torch.arange(3).repeat(40), old_B=16, share=3 / 4,
    )  # fmt: skip
    batch = generators.MEMORY[memory].batch
    shown = batch(task, torch.arange(16))
    real, y, old, old_y = shown.real, shown.y, shown.old, shown.old_y
    assert torch.equal(dgm.to_uint8(real).flatten(), y.to(torch.uint8))
    assert torch.equal(dgm.to_uint8(old).flatten(), old_y.to(torch.uint8))
    if memory in ("mergan", "dgr"):
        assert len(real) == 24 and len(old) == 0 and (y == 3).sum() == 24 / 4
        assert (y[:12] != 3).any() and (y[:12] == 3).any()  # mixed: L_gp sees the first
    else:
        assert (y == 3).all() and len(real) == 16 and len(old) == 16 and (old_y < 3).all()
    task.old, task.old_y, task.old_B = task.old[:0], task.old_y[:0], 0  # the first task
    shown = batch(task, torch.arange(16))
    sizes = [len(part) for part in (shown.real, shown.y, shown.old, shown.old_y)]
    assert sizes == [16, 16, 0, 0]


# ------------------------------------------------------------------------------------- learning


def test_the_old_classifier_names_what_dgr_generates(tmp_path, monkeypatch):
    name, begin, solvers, seen = generators.name, dgm.task_data, [], []

    def remember(solver, *rest):
        with torch.no_grad():  # as if it were sure of class 0 in all it sees, after task 2
            solver.aux.bias[0] += 1e6 if len(solvers) == 1 else 0
        solvers.append({k: v.clone() for k, v in solver.state_dict().items()})
        return name(solver, *rest)

    def spy(*rest):
        task = begin(*rest)
        seen.append(task)
        return task

    monkeypatch.setattr(generators, "name", remember)
    monkeypatch.setattr(dgm, "task_data", spy)
    run(tmp_path / "r.json", "--memory", "dgr", "--train-size", "1000")
    assert len(seen[0].old) == 0
    for t in (1, 2):
        solver = dgm.Critic((1, 16, 16), 4, t, "layer")
        solver.load_state_dict(solvers[t - 1])
        old, names = seen[t].old, seen[t].old_y
        with torch.no_grad():
            assert torch.equal(names, solver(dgm.to_float(old))[1].argmax(1))
        assert len(old) == 100 * t
    assert (seen[2].old_y == 0).all()  # so the names are that classifier's


def test_a_critic_that_goes_on_begins_with_the_last_ones_weights(tmp_path, monkeypatch):
    began, add_outputs = [], dgm.add_outputs

    def note(D, last):
        add_outputs(D, last)
        began.append(last and all(torch.equal(D.state_dict()[key][: len(v)], v)
                                  for key, v in last.items() if key.startswith("a")))  # fmt: skip

    monkeypatch.setattr(dgm, "add_outputs", note)
    run(tmp_path / "new.json")
    assert began == []  # the default: a new one in each task
    run(tmp_path / "kept.json", "--keep-critic")
    assert began[0] == {} and len(began) > 1 and all(began[1:])


@MEMORIES
def test_a_generator_keeps_its_size_and_says_how_it_drifts(memory, tmp_path):
    result = run(tmp_path / "r.json", "--memory", memory)
    size = generator(memory, 4).size(0)
    for task in result["tasks"]:
        assert task["base"] == size and 4 * size == sum(task["disc"].values())
    assert result["tasks"][0]["drift"] == 0 and result["tasks"][2]["drift"] > 0


def test_a_penalty_strong_enough_holds_what_it_should(tmp_path):
    """Weights with no Fisher information are free; a huge λ holds all the others."""
    drift = {}
    for weight in ("0", "1e6"):
        flags = ["--memory", "ewc", "--ewc-lambda", weight, "--epochs", "8", "--tasks", "2"]
        drift[weight] = run(tmp_path / f"{weight}.json", *flags)["tasks"][1]["drift"]
    assert drift["1e6"] < 0.1 * drift["0"]


@pytest.mark.parametrize("memory", ["mergan-align", "ewc"])
def test_a_generator_may_be_held_while_its_critic_sees_no_old_image(memory, tmp_path, monkeypatch):
    shown, held = [], []
    critic_step, generator_step = dgm.critic_step, generators.generator_step

    def of_critic(gan, batch, fake):
        shown.append(len(batch.old))
        return critic_step(gan, batch, fake)

    def of_generator(gan, fake, label, old_y, *rest):
        held.append(len(old_y))
        return generator_step(gan, fake, label, old_y, *rest)

    monkeypatch.setattr(dgm, "critic_step", of_critic)
    monkeypatch.setattr(generators, "generator_step", of_generator)
    run(tmp_path / "a.json", "--memory", memory, "--no-critic-replay", "--classifier-images",
        "generated")  # fmt: skip
    assert set(shown) == {0} and set(held) == {0, 64}  # old classes: in the first task none


def test_what_is_still_generated_of_the_first_class(tmp_path, monkeypatch):
    """After a second class, as another net sees it; without what the memory adds it is gone."""
    flags = ["--train-size", "1000", "--tasks", "2", "--epochs", "12", "--ngf", "8", "--ndf", "8",
             "--classifier-steps", "60", "--augment", "0.1"]  # fmt: skip
    data = dgm.load_data(parse(*flags), CPU)
    torch.manual_seed(0)
    judge = dgm.Critic(data.shape, 8, 2, "batch")
    train(judge, data.x, data.y, 100, 64, *flags)
    judge.eval()
    assert test_dgm.run(tmp_path / "none.json", *flags, "--replay", "none")["metrics"]["ACC"] == 0.5
    kept, seen, learn = {}, [], generators.learn

    def spy(*args):
        seen[:] = learn(*args)
        return tuple(seen)

    monkeypatch.setattr(generators, "learn", spy)
    ablated = {"align 0": ["mergan-align", "--align-weight", "0"],
               "ewc 0": ["ewc", "--ewc-lambda", "0"]}  # fmt: skip
    for name, memory in ({k: [k] for k in generators.MEMORY} | ablated).items():
        accuracy = run(tmp_path / f"{name}.json", *flags, "--memory", *memory)["metrics"]["ACC"]
        assert accuracy > 0.6, name
        y = torch.zeros(200, dtype=torch.int64)
        x = dgm.generate(seen[1], 0, y, torch.randn(200, 128))
        with torch.no_grad():
            kept[name] = (judge(x)[1].argmax(1) == 0).float().mean().item()
    assert min(kept["mergan"], kept["mergan-align"], kept["ewc"]) > 0.85, kept
    assert max(kept["align 0"], kept["ewc 0"]) < 0.7, kept
    assert 0.25 < kept["dgr"] < 0.75, kept  # which class it generates is left to chance


# ----------------------------------------------------------------------- resuming, the command line


@pytest.mark.parametrize("flags", [*generators.MEMORY, "ewc --net resnet"])
def test_a_run_stopped_after_any_checkpoint_ends_in_the_same_bytes(flags, tmp_path, monkeypatch):
    flags = ["--checkpoint-every", "0", "--memory", *flags.split()]
    run(tmp_path / "whole.json", *flags)
    save, target = common.save_checkpoint, tmp_path / "parts.json"

    def save_and_stop(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "save_checkpoint", save_and_stop)
    for _ in range(40):
        try:
            run(target, *flags)
            break
        except KeyboardInterrupt:
            assert not target.exists()
    assert numbers(target) == numbers(tmp_path / "whole.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parts.json", "whole.json"]


def test_presets_give_each_memory_its_size():
    cifar = generators.parse_args(["--dataset", "cifar10", "--preset", "laptop"])
    assert (cifar.ngf, cifar.ndf, cifar.classifier_images) == (78, 32, "generated")
    mergan = generators.parse_args([])
    assert (mergan.ngf, mergan.veto, mergan.aux_fakes) == (37, False, True)
    size = sum(W.numel() for W in generators.Generator((1, 32, 32), 10, mergan.ngf).W)
    assert size == pytest.approx(5.18e5, rel=0.01)  # Table 3
    dgr = generators.parse_args(["--memory", "dgr", "--preset", "laptop"])
    assert (dgr.ngf, dgr.aux_fakes, dgr.classifier_images) == (52, False, "real")
    assert generators.parse_args(["--memory", "dgr", "--preset", "laptop", "--ngf", "9"]).ngf == 9


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--no-critic-replay --memory dgr", "learn from old images"),
        ("--no-critic-replay --memory mergan", "learn from old images"),
        ("--no-critic-replay --memory ewc --classifier-steps 0 --augment 0", "--classifier-steps"),
        ("--memory dgr --classifier-images generated", "have no class"),
        ("--memory dgr --aux-fakes", "have no class"),
        ("--memory ewcc", "invalid choice"),
        ("--memory mergan --veto", "unrecognized arguments"),
        ("--keep-generator", "unrecognized arguments"),
        ("--real-ratio 0.5", "unrecognized arguments"),
        ("--memory ewc --ewc-lambda -1", "--ewc-lambda takes numbers from 0"),
        ("--align-weight nan", "--align-weight takes numbers from 0"),
        ("--classifier-steps 0", "--augment, --flip, --jitter, --label-smoothing: for"),
        ("--out {tmp}", "is a folder"),
    ],
)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(flags, says, tmp_path, capsys):
    out = [] if "--out" in flags else ["--out", str(tmp_path / "r.json")]
    with pytest.raises(SystemExit) as stop:
        argv = [*TINY, *out, *flags.format(tmp=tmp_path).split()]
        common.exit_in_one_line(lambda: generators.main(argv))
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and lines[0].startswith("error: ")
    assert says in lines[0] and list(tmp_path.iterdir()) == []


def test_a_diverging_net_is_named(tmp_path, monkeypatch):
    good = dgm.gradient_penalty
    monkeypatch.setattr(dgm, "gradient_penalty", lambda *args: good(*args) * math.nan)
    with pytest.raises(common.RunError, match="task 1/3, gan epoch 1: the loss is nan"):
        run(tmp_path / "r.json")


def test_it_runs_as_a_module_from_the_command_line(tmp_path):
    out = tmp_path / "run-seed0.json"
    command = [sys.executable, "-m", "beyond.generators", *TINY, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "ACC" in done.stdout
    result = json.loads(out.read_text())
    assert len(result["R"]) == 4 and result["command"].startswith("python -m beyond.generators")
    assert result["script"] == "dgm"  # so its row stands in dgm's tables
