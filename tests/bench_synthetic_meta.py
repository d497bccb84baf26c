"""Seconds and memory of a meta-step: ours, that of `higher`, and how both grow with inner steps.

    python -m pip install higher && python tests/bench_synthetic_meta.py --out bench.json

Each measurement is a process of its own, one thread, the paper's preset on glyphs. Identical nets,
images and steps; `higher` (Grefenstette et al. 2019) unrolls torch's own SGD. The meta-gradients
are compared too: if they differ, nothing is written.
"""

import argparse
import importlib.metadata
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent.parent))
import common
import synthetic_meta as sm


def with_higher(
    nets: sm.Nets, data: sm.Data, method: sm.Method, args: argparse.Namespace
) -> torch.Tensor:
    """The same as sm.meta_loss for one learner, as the examples of `higher` do it."""
    import higher

    S, device = nets.S, data.x.device
    n = args.steps * args.batch_size // args.classes_per_task
    S.train()
    with torch.no_grad():
        w_0 = sm.start(nets, method.weights)
        for name in sm.trained(S):
            S.get_parameter(name).copy_(w_0[name])
    x, y = method.images(n, nets, data), sm.labels(n, data)
    chosen = torch.randint(len(data.y), (args.real_batch,), device=device)
    x_r = data.standard(data.x[chosen])
    tasks = method.tasks(data.K, args.classes_per_task).to(device)
    rows = sm.draw_batches(tasks, n, args.steps, args.batch_size)
    batches = [zip(*of_task) for of_task in zip(x[rows], y[rows])]
    rates, momentum = sm.hyperparameters(nets)
    groups = [{"params": [p], "lr": args.lr} for p in S.parameters()]
    optimizer = torch.optim.SGD(groups, lr=args.lr, momentum=sm.MOMENTUM)
    override = {"lr": list(rates.values()), "momentum": [momentum] * len(rates)}
    with higher.innerloop_ctx(S, optimizer, override=override) as (learner, inner):
        for task, own in zip(tasks, batches):
            for images, labels in own:
                inner.step(method.inner_loss(learner(images), labels, task))
        return F.cross_entropy(learner(x_r), data.y[chosen])


def one(kind: str, steps: int) -> dict:
    """Median seconds of a meta-step, peak MB of the process, and one gradient's norm."""
    torch.set_num_threads(1)
    args = sm.parse_args(["--dataset", "glyphs", "--train-size", "5000", "--steps", str(steps)])
    common.seed_everything(0)
    data, method = sm.load_data(args, torch.device("cpu")), sm.method_of(args)
    nets = sm.make_nets(data, method, args)
    loss_of = sm.meta_loss if kind == "ours" else with_higher
    seconds = []
    for _ in range(8):
        torch.manual_seed(1)
        begun = time.perf_counter()
        loss = loss_of(nets, data, method, args)
        nets.opt.zero_grad()
        loss.backward()
        seconds.append(time.perf_counter() - begun)
    tensors = [nets.log_rates, nets.logit_momentum, *nets.G.parameters()]
    grads = [p.grad for p in tensors]
    probe = torch.cat([g.flatten() for g in grads])  # all of it, weighed at random
    weights = torch.randn(len(probe), generator=torch.Generator().manual_seed(0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"kind": kind, "steps": steps, "seconds": sorted(seconds[2:])[3], "peak_mb": peak,
            "loss": loss.item(), "gradient": [probe.norm().item(), (probe @ weights).item()]}


def same(ours: dict, theirs: dict) -> None:
    """Stop if the losses or meta-gradients differ."""
    pairs = zip([ours["loss"], *ours["gradient"]], [theirs["loss"], *theirs["gradient"]])
    if any(abs(a - b) > 1e-2 * abs(b) for a, b in pairs):
        sys.exit(f"the losses or meta-gradients differ: {ours} {theirs}")


def main() -> None:
    """Each kind and number of steps in a process of its own; all rows into one JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="bench.json")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 15, 25, 50, 75])
    parser.add_argument("--peer-steps", type=int, default=25, help="`higher` only up to so many")
    parser.add_argument("--one", nargs=2, default=[], metavar=("KIND", "STEPS"))
    args = parser.parse_args()
    if args.one:
        return print(json.dumps(one(args.one[0], int(args.one[1]))))
    rows = []
    for steps in args.steps:
        kinds = ("ours", "higher") if steps <= args.peer_steps else ("ours",)
        for kind in kinds:
            command = [sys.executable, __file__, "--one", kind, str(steps)]
            rows.append(json.loads(subprocess.check_output(command, text=True)))
            print(rows[-1])
        if len(kinds) == 2:
            same(*rows[-2:])
    environment = common.environment(torch.device("cpu")) | {
        "threads": 1, "higher": importlib.metadata.version("higher")}  # fmt: skip
    common.write_result(args.out, {"rows": rows, "environment": environment})


if __name__ == "__main__":
    main()
