"""gan_replay.py's loop against avalanche-lib's generative replay: `make bench-avalanche`.

Split-MNIST, five tasks of two classes, one thread; images a second over drawing, solver and
generator, at equal batches, epochs and images: in every batch half is new and half is replayed.
The nets would decide such a race (avalanche's VAE is a small MLP, ours a convolutional GAN), so
both loops train the same ones, in two rounds: "vae", avalanche's own MlpVAE and its loss, in its
GenerativeReplay as it comes and in gan_replay.run; "gan", our GAN in both, in avalanche as a
strategy with its plugin. The solver is ours everywhere. What is left is what differs: a DataLoader
of float images against bytes on the device; plugins and callbacks against a plain loop; and when
the past is drawn: avalanche draws anew for every batch, gan_replay.py once per task.

Nothing holds avalanche back: no metrics and no logger, fused Adam at the same rate, and our nets
draw without gradients there. (Its VAE's own `generate` tracks them; that stays as it comes.)

And once with all images, its VAE as it comes and more epochs ("race"): seconds and accuracy.

    python -m pip install avalanche-lib "wandb<0.22"
    python tests/bench_avalanche.py --out reference/gan_replay/bench_avalanche.json
"""

import argparse
import contextlib
import importlib.metadata
import io
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import Compose, Normalize
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
import common  # noqa: E402
import gan_replay  # noqa: E402

os.environ |= {"WANDB_MODE": "disabled", "WANDB_ERROR_REPORTING": "false"}  # nothing goes out
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from avalanche.benchmarks import nc_benchmark
        from avalanche.models import MlpVAE, VAE_loss
        from avalanche.training.plugins import GenerativeReplayPlugin
        from avalanche.training.supervised import GenerativeReplay, VAETraining
        from avalanche.training.templates import SupervisedTemplate
except ImportError as error:
    sys.exit(f'error: {error}; python -m pip install avalanche-lib "wandb<0.22"')

MEAN, SD = 0.1307, 0.3081  # that MlpVAE's pictures have, whatever it was shown


# --------------------------------------------------------------------------------------------
# Our loop: gan_replay.run, as it is or with avalanche's VAE in the place of the GAN
# --------------------------------------------------------------------------------------------


class Vae(nn.Module):
    """MlpVAE in the place of gan_replay.Generator: z [B, 100] -> images in [-1, 1]."""

    def __init__(self, kind: str, shape: tuple[int, int, int], width: int, K: int):
        super().__init__()
        self.net = MlpVAE(shape, nhid=gan_replay.LATENT)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return (self.net.decoder(z) * SD + MEAN) * 2 - 1


def vae_step(gan: gan_replay.Gan, real: Tensor, y: Tensor) -> Tensor:
    """gan_replay.gan_step, for a VAE; its loss [1]."""
    x = ((real + 1) / 2 - MEAN) / SD
    loss = VAE_loss(x, gan.G.net(x))
    gan.opt_G.zero_grad()
    loss.backward()
    gan.opt_G.step()
    return loss.detach()[None]


def ours(kind: str, args: argparse.Namespace) -> dict:
    """Seconds and images of gan_replay.run."""
    swap = contextlib.nullcontext()
    if kind == "vae":
        swap = mock.patch.multiple(
            gan_replay, Generator=Vae, Discriminator=lambda *_: nn.Linear(1, 1), gan_step=vae_step
        )
    quiet = io.StringIO()
    with swap, contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        run = gan_replay.run(args)
    seconds = {key: sum(task.get(f"{key}_s", 0) for task in run["timing"]["tasks"])
               for key in ("before solver", "solver", "gan")}  # fmt: skip
    return {"solver_images": sum(task["solver_images"] for task in run["tasks"]),
            "generator_images": sum(task["gan_images"] for task in run["tasks"]),
            "solver_s": seconds["before solver"] + seconds["solver"],
            "generator_s": seconds["gan"]}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Their loop: GenerativeReplay with its VAE as it comes, or with our GAN
# --------------------------------------------------------------------------------------------


class Pictures(Dataset):
    """As avalanche's TensorMNIST gives them: a float image in [0, 1] and its class."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.targets = x, y.tolist()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.x[i].float() / 255.0, self.targets[i]


class Gan(nn.Module):
    """Our G and D, and `generate`, which GenerativeReplayPlugin asks for."""

    def __init__(self, gan: gan_replay.Gan):
        super().__init__()
        self.G, self.D = gan.G, gan.D

    @torch.no_grad()
    def generate(self, batch_size: int) -> Tensor:
        return self(batch_size)

    def forward(self, n: int) -> Tensor:
        z = torch.randn(n, gan_replay.LATENT)
        return self.G(z, torch.zeros(n, dtype=torch.int64))


class GanTraining(SupervisedTemplate):
    """gan_replay.gan_step in avalanche's training loop: first D's, then G's."""

    G_opt: torch.optim.Optimizer  # self.optimizer is D's

    def make_optimizer(self, **kwargs: object) -> None:
        """They are made already; avalanche would give G's weights to D's optimizer too."""

    def forward(self) -> Tensor:
        return self.model(len(self.mb_x))

    def criterion(self) -> Tensor:
        self.model.D.requires_grad_(True)
        score = self.model.D(torch.cat([self.mb_x, self.mb_output.detach()]), self.mb_y)
        return gan_replay.discriminator_loss(*score.chunk(2))

    def optimizer_step(self) -> None:
        self.optimizer.step()
        self.model.D.requires_grad_(False)
        loss = gan_replay.generator_loss(self.model.D(self.mb_output, self.mb_y))
        self.G_opt.zero_grad()
        loss.backward()
        self.G_opt.step()


def theirs(kind: str, args: argparse.Namespace) -> dict:
    """Seconds, images, accuracy of GenerativeReplay; its first task has no replay, so whole
    batches."""
    common.seed_everything(args.seed)
    data = gan_replay.load_data(args, torch.device("cpu"))
    scale = Normalize((MEAN,), (SD,)) if kind == "vae" else Normalize((0.5,), (0.5,))
    scenario = nc_benchmark(
        Pictures(data.x, data.y), Pictures(data.x_test, data.y_test), 5,
        task_labels=False, shuffle=False, train_transform=Compose([scale]), eval_transform=scale,
    )  # fmt: skip
    solver = gan_replay.new_solver(data, args)
    quiet = {"device": "cpu", "evaluator": None}
    flags = quiet | {"train_epochs": args.gan_epochs[0], "plugins": [GenerativeReplayPlugin()]}
    if kind == "vae":
        net = MlpVAE(data.shape, nhid=gan_replay.LATENT)
        optimizer = torch.optim.Adam(net.parameters(), args.gan_lr, fused=True)
        generator = VAETraining(model=net, optimizer=optimizer, **flags)
    else:
        gan = gan_replay.Gan(*gan_replay.new_nets(data, args), args.gan_lr)
        generator = GanTraining(model=Gan(gan), optimizer=gan.opt_D, **flags)
        generator.G_opt = gan.opt_G
    counts, train = {"generator_images": 0, "generator_s": 0.0}, generator.train

    def timed(experience: object) -> None:
        begun = time.perf_counter()
        train(experience)
        counts["generator_s"] += time.perf_counter() - begun

    generator.train = timed
    replay = GenerativeReplay(
        model=solver, optimizer=torch.optim.Adam(solver.parameters(), args.solver_lr, fused=True),
        train_epochs=args.solver_epochs, generator_strategy=generator, **quiet,
    )  # fmt: skip
    begun, images = time.perf_counter(), 0
    for t, experience in enumerate(scenario.train_stream):
        replay.train_mb_size = args.batch_size // (1 + (t > 0))
        generator.train_mb_size = args.gan_batch_size // (1 + (t > 0))
        replay.train(experience)
        images += len(experience.dataset) * (1 + (t > 0))
    counts["generator_images"] = images * args.gan_epochs[0]
    seconds = time.perf_counter() - begun
    with torch.no_grad():
        answers = [solver.eval()(scale(x.float() / 255)).argmax(1) for x in data.x_test.split(500)]
    right = (torch.cat(answers) == data.y_test).float().mean().item()
    return counts | {"solver_images": images * args.solver_epochs, "accuracy": right,
                     "solver_s": seconds - counts["generator_s"]}  # fmt: skip


# --------------------------------------------------------------------------------------------


def rates(run: dict) -> dict:
    """Images a second: of the solver (with the drawing), of the generator, of both together."""
    images, seconds = ([run[f"{part}_{unit}"] for part in ("solver", "generator")]
                       for unit in ("images", "s"))  # fmt: skip
    return {"solver": images[0] / seconds[0], "generator": images[1] / seconds[1],
            "both": sum(images) / sum(seconds)}  # fmt: skip


def race(given: argparse.Namespace, flags: list[str], epochs: int) -> dict:
    """avalanche's generative replay on all images, both nets for `epochs`: accuracy, seconds."""
    gan_replay.LATENT = 2
    args = gan_replay.parse_args([
        *flags, "--gan-batch-size", "128", "--train-size", str(given.race_images), "--test-size",
        "0", "--solver-epochs", str(epochs), "--gan-epochs", str(epochs),
    ])  # fmt: skip
    found = theirs("vae", args)
    seconds = found["solver_s"] + found["generator_s"]
    print(f"avalanche, {epochs} epochs: accuracy {found['accuracy']:.3f} in {seconds:.0f} s")
    return {"epochs": epochs, "accuracy": found["accuracy"], "seconds": seconds}


def main(argv: list[str] | None = None) -> None:
    """Both loops by turns, for both generators; medians into one JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="bench_avalanche.json")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data-dir", default="data")
    # n_gen is a fifth of it, and a multiple of the 1,000 that gan_replay.generate makes at once
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--race-images", type=int, default=60_000)
    parser.add_argument("--race-epochs", type=int, nargs="+", default=[5, 20])
    given = parser.parse_args(argv)
    common.check_writable(given.out)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    flags = ["--dataset", given.dataset, "--data-dir", given.data_dir, "--device", "cpu",
             "--train-size", str(given.images), "--test-size", "100", "--final-gan",
             "--n-gen-mode", "total", "--n-gen", str(given.images // 5),
             "--solver-epochs", str(given.epochs), "--gan-epochs", str(given.epochs),
             "--checkpoint-every", "1e9"]  # fmt: skip
    result: dict = {}
    for kind, more in (("vae", ["--gan-batch-size", "128"]), ("gan", [])):
        args = gan_replay.parse_args([*flags, *more])
        gan_replay.POINTS, gan_replay.LATENT = 1, 2 if kind == "vae" else 100
        loops = {"ours": ours, "avalanche": theirs}
        runs: dict = {name: [] for name in loops}
        for _ in tqdm(range(given.times), desc=kind, disable=None, leave=False):
            for name, loop in loops.items():
                runs[name].append(rates(loop(kind, args)))
        result[kind] = {name: {key: statistics.median(run[key] for run in some) for key in some[0]}
                        for name, some in runs.items()}  # fmt: skip
        with FlopCounterMode(display=False) as flops:
            once = ours(kind, args)
        images = once["solver_images"] + once["generator_images"]
        result[kind]["flops_per_image"] = flops.get_total_flops() / images
        ratio = {k: result[kind]["ours"][k] / result[kind]["avalanche"][k] for k in ("solver",
                 "generator", "both")}  # fmt: skip
        result[kind]["ratio"] = ratio
        print(f"the same {kind.upper()} in both loops: ours {ratio['both']:.2f} times as fast "
              f"(solver {ratio['solver']:.2f}, generator {ratio['generator']:.2f})")  # fmt: skip
    result["images"], result["epochs"] = given.images, given.epochs
    result["race"] = [race(given, flags, epochs) for epochs in given.race_epochs]
    version = {"avalanche-lib": importlib.metadata.version("avalanche-lib")}
    result["environment"] = common.environment(torch.device("cpu")) | version
    common.write_result(given.out, result)
    print(given.out)


if __name__ == "__main__":
    common.exit_in_one_line(main)
