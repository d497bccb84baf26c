"""Seconds of the mean predicted gradient of four old tasks: computed, and looked up in a table.

    python tests/bench_grad_predict.py --out bench.json

One thread, the paper's networks. θ has moved since the table was made, as in training.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
import common
import grad_predict as gp


def seconds(function: Callable[[], torch.Tensor], times: int) -> float:
    """Median of some calls, after one that is not counted."""
    taken = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begun)
    return sorted(taken[1:])[times // 2]


def main(argv: list[str] | None = None) -> None:
    """Train four small predictors for a moment, then measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="bench.json")
    parser.add_argument("--steps", type=int, default=100, help="of each of four tasks")
    parser.add_argument("--times", type=int, default=51)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    common.seed_everything(0)
    args = gp.parse_args(["--dataset", "glyphs", "--train-size", "2000", "--test-size", "100"])
    data = gp.load_data(args, torch.device("cpu"))
    theta = gp.new_parameters(data.shapes, data.x.device)
    past = gp.Predictors()
    for task in data.tasks[:4]:
        past.begin(data, args)
        for _ in range(given.steps):
            x, y = gp.draw(data, task, args.batch_size)
            grad, _ = gp.measured(theta, x, y, data.shapes)
            past.learn(theta, grad, task)
            theta -= 0.1 * grad
        past.end(theta, task)
    theta += 0.02 * torch.randn_like(theta)
    exact, quick = past.mean(theta), past.predict(theta)
    result = {
        "exact_s": seconds(lambda: past.mean(theta), min(3, given.times)),
        "lookup_s": seconds(lambda: past.predict(theta), given.times),
        "agreement": ((exact > 0) == (quick > 0)).float().mean().item(),
        "positive": (exact > 0).float().mean().item(), "parameters": theta.numel(),
        "environment": common.environment(data.x.device),
    }  # fmt: skip
    common.write_result(given.out, result)
    ratio = result["exact_s"] / result["lookup_s"]
    print(f"{ratio:.0f} times as fast, {100 * result['agreement']:.3f} % of the signs agree: "
          f"{given.out}")  # fmt: skip


if __name__ == "__main__":
    main()
