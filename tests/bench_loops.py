"""How fast are the loops? Against a DataLoader, and against the layers alone: `make bench`.

Two questions about gan_replay.py, one machine, one run, one thread, medians: how many images a
second does the solver see when all of them lie on the device as bytes, against a DataLoader with
ToTensor over the same images; and which part of a GAN's step is spent in its convolutions and
matrix products, that is, how long do the same layers take alone, forwards and backwards, on inputs
of the same shapes?

    python tests/bench_loops.py --out reference/gan_replay/bench.json
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.functional import to_pil_image, to_tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
import common  # noqa: E402
import gan_replay  # noqa: E402


class Pictures(Dataset):
    """As torchvision.datasets.MNIST gives them: a PIL image through ToTensor, one at a time."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return to_tensor(to_pil_image(self.x[i])), int(self.y[i])


def seconds(run: Callable[[], object], times: int) -> float:
    """Median of `times` calls, after one that warms up."""
    taken = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def plain_loop(net: nn.Module, data: gan_replay.Data, args: argparse.Namespace) -> None:
    """An epoch as tutorials write it."""
    loader = DataLoader(Pictures(data.x, data.y), args.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), args.solver_lr)
    for x, y in loader:
        loss = F.cross_entropy(net(x * 2 - 1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def layers_alone(
    gan: gan_replay.Gan, data: gan_replay.Data, args: argparse.Namespace, times: int
) -> float:
    """Seconds that the layers of one GAN step take, each on its own, forwards and backwards.

    A step: G on B, D on 2 B with gradients of its weights, D on B with gradients of its input only.
    """
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    calls: list[tuple[nn.Module, tuple[int, ...]]] = []
    hooks = [m.register_forward_hook(lambda m, x, _: calls.append((m, tuple(x[0].shape))))
             for net in (gan.G, gan.D) for m in net.modules() if isinstance(m, kinds)]
    B, y = args.gan_batch_size, data.y
    gan.G(torch.randn(B, gan_replay.LATENT), y[:B])
    G = len(calls)
    gan.D(torch.zeros(2 * B, *data.shape), y[: 2 * B])
    D = len(calls)
    gan.D(torch.zeros(B, *data.shape), y[:B])
    for hook in hooks:
        hook.remove()
    total = 0.0
    for i, (layer, shape) in enumerate(calls):
        first = i in (0, G)  # its input needs no gradient: noise, or images
        layer.requires_grad_(i < D)
        x = torch.randn(shape, requires_grad=not first)
        if x.dim() == 4:  # as the nets have it
            x = x.detach().to(memory_format=torch.channels_last).requires_grad_(not first)
        slope = torch.randn_like(layer(x))

        def both(layer: nn.Module = layer, x: Tensor = x, slope: Tensor = slope) -> None:
            layer.zero_grad()
            x.grad = None
            layer(x).backward(slope)

        total += seconds(both, times)
        layer.requires_grad_(True)
    return total


def main(argv: list[str] | None = None) -> None:
    """Measure both, print, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="bench.json")
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    common.seed_everything(0)
    args = gan_replay.parse_args(["--dataset", "glyphs", "--train-size", str(given.images),
                                  "--test-size", "100"])  # fmt: skip
    data = gan_replay.load_data(args, torch.device("cpu"))
    solver = gan_replay.new_solver(data, args)
    opt = torch.optim.Adam(solver.parameters(), args.solver_lr, fused=True)
    n, target = given.images, F.one_hot(data.y, data.K).float()

    def solver_epoch() -> None:
        for index in torch.randperm(n).split(args.batch_size):
            x = gan_replay.to_float(data.x[index])
            gan_replay.solver_step(solver, opt, x, target[index])

    ours = seconds(solver_epoch, given.times)
    theirs = seconds(lambda: plain_loop(solver, data, args), max(1, given.times // 2))
    G, D = gan_replay.new_nets(data, args)
    gan = gan_replay.Gan(G.train(), D, args.gan_lr)
    batches = torch.randperm(n).split(args.gan_batch_size)[: min(50, n // args.gan_batch_size)]

    def gan_steps() -> None:
        for index in batches:
            gan_replay.gan_step(gan, gan_replay.to_float(data.x[index]), data.y[index])

    step = seconds(gan_steps, given.times) / len(batches)
    alone = layers_alone(gan, data, args, 20)
    result = {"solver_images_per_s": n / ours, "dataloader_images_per_s": n / theirs,
              "solver_ratio": theirs / ours, "gan_step_s": step, "layers_alone_s": alone,
              "layers_share": alone / step,
              "environment": common.environment(torch.device("cpu"))}  # fmt: skip
    common.write_result(given.out, result)
    print(f"solver: {theirs / ours:.1f} times a DataLoader loop; {100 * alone / step:.0f} % of a "
          f"GAN step is what its layers take alone: {given.out}")  # fmt: skip


if __name__ == "__main__":
    main()
