"""Learning classes in sequence with a few stored images: the comparators of DGM's Table 1.

Ostapenko et al. (2019, here `dgm.py`) compare their generator with methods that keep real images.
A net meets one class after another and must tell all of them apart; of old classes it sees only
the K images that it was allowed to keep. Trained on so few it forgets, so each method adds
something. EWC, PI and RWalk are regularisers: they hold weights that mattered, and differ in what
"mattered" means. iCaRL holds the answers that the net gave before (distillation), keeps the images
whose mean is nearest to their class's, and classifies by the nearest of these means instead of by
its last layer.

    task t:  the task's images ─┐
                                ├─► loss + λ Σ_i importance_i (θ_i − θ*_i)² ─► net ─► scores
             stored images ─────┘       (EWC, PI, RWalk)              θ* = θ after task t − 1

paper                             here                what
Rebuffi 2017: φ, μ_y, P_y         features, means, memory    iCaRL, Algs. 1 to 5
Kirkpatrick 2017: F               fisher              per weight: mean squared gradient
Zenke 2017: ω, Ω                  path, importance    PI (also called SI), Eqs. (3)-(5)
Chaudhry 2018: F, s               fisher, score       EWC++ and RWalk
DGM: A_t                          "A_5 (%)"           accuracy on the classes met so far

The deviations that matter most (all of them: DEVIATIONS, at the end of this file): all methods run
in DGM's protocol, with the trunk of dgm.py's critic; λ was chosen on held-out images.

    python -m beyond.episodic --dataset glyphs --train-size 3000 --tasks 4 --epochs 8 \\
        --batch-size 16
    python -m beyond.episodic --method icarl
    # The first: A_4 95 to 98 %, seconds. The second: a minute or two; numbers: RESULTS.md
    # Both on one core of an AMD EPYC.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import common  # first: it says in one line which package is missing

# isort: split
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, vmap

import dgm
from dgm import Data, herding, to_float

# --------------------------------------------------------------------------------------------
# iCaRL (Rebuffi et al. 2017): which images are kept, how they classify, what is learned
# --------------------------------------------------------------------------------------------


def class_means(features: Tensor, label: Tensor, n_seen: int) -> Tensor:
    """μ_y [n_seen, d], of norm 1, from the features [m, d] of stored images, classes label [m]."""
    phi = F.normalize(features, dim=1)
    # Alg. 1: μ_y = 1/|P_y| Σ_{p in P_y} φ(p); normalising makes the division unnecessary
    sums = torch.zeros(n_seen, phi.shape[1], device=phi.device).index_add_(0, label, phi)
    return F.normalize(sums, dim=1)


def nearness(features: Tensor, means: Tensor) -> Tensor:
    """Scores [n, n_seen], the highest for the nearest mean, of features [n, d]."""
    # Alg. 1: y* = argmin_y || φ(x) - μ_y ||
    return -torch.cdist(F.normalize(features, dim=1), means)


def icarl_losses(logits: Tensor, label: Tensor, q: Tensor) -> Tensor:
    """Alg. 3, for each image [B]: logits [B, n_seen], q [B, n_old] the old net's answers."""
    target = F.one_hot(label, logits.shape[1]).to(logits.dtype)  # [B, n_seen]
    target[:, : q.shape[1]] = q  # old classes: what the net said before; new ones: the label
    # Alg. 3: ℓ = -Σ_y [target_y log g_y + (1 - target_y) log(1 - g_y)],  g = σ(logits)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)


# --------------------------------------------------------------------------------------------
# Regularisers: how much each weight matters. Lists of tensors run over the net's parameters.
# --------------------------------------------------------------------------------------------


def fisher(net: nn.Module, x: Tensor, label: Tensor, weight: Tensor, n_seen: int) -> list[Tensor]:
    """F of every parameter on images x [n, C, S, S] of classes label [n], weight [n], sum 1."""
    params = {name: p.detach() for name, p in net.named_parameters()}

    def log_loss(params: dict, x: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(net, params, (x.unsqueeze(0),))[:, :n_seen]
        return F.cross_entropy(logits, label.unsqueeze(0))

    net.eval()  # BatchNorm must not mix the images
    gradients = vmap(grad(log_loss), (None, 0, 0))(params, x, label)  # each [n, *shape]
    net.train()
    # F_i = E[(∂ log p(y|x) / ∂θ_i)²] (Kirkpatrick et al., diagonal; Chaudhry et al., "empirical")
    return [torch.einsum("n,n...->...", weight, g * g) for g in gradients.values()]


def moving_average(old: list[Tensor], new: list[Tensor], alpha: float) -> None:
    """Chaudhry et al., EWC++: F^t = α F_t + (1 - α) F^{t-1}; `old` is changed."""
    for a, b in zip(old, new):
        a.mul_(1 - alpha).add_(b, alpha=alpha)


def add_path(path: list[Tensor], gradients: list[Tensor], moved: list[Tensor]) -> None:
    """The fall of the loss that each weight has brought about: path [like θ] is changed."""
    for w, g, d in zip(path, gradients, moved):
        # Zenke et al., Eq. (3): ω_i = -Σ_t g_i(t) (θ_i(t+1) - θ_i(t)); Chaudhry et al.: ΔL
        w.sub_(g * d)


def add_synaptic(
    importance: list[Tensor], path: list[Tensor], moved: list[Tensor], xi: float
) -> None:
    """PI's Ω gains what the task's path ω and its whole movement θ - θ* give; it is changed."""
    for omega, w, d in zip(importance, path, moved):
        # Zenke et al., Eq. (5): Ω_i = Σ_tasks ω_i / (Δ_i² + ξ)
        omega.add_((w / (d * d + xi)).clamp(min=0))  # Deviation 5


def add_score(
    score: list[Tensor], path: list[Tensor], information: list[Tensor], moved: list[Tensor],
    epsilon: float,
) -> None:
    """RWalk's score gains an interval's fall of the loss over its length in KL; it is changed."""
    for s, w, f, d in zip(score, path, information, moved):
        # Chaudhry et al.: s_i = Σ ΔL_i / (1/2 F_i Δθ_i² + ε)
        s.add_(w / (0.5 * f * d * d + epsilon))


def average_score(old: list[Tensor], new: list[Tensor]) -> list[Tensor]:
    """Over tasks: s = 1/2 (s up to the last task + s of this one), no negative ones."""
    return [0.5 * (a + b.clamp(min=0)) for a, b in zip(old, new)]


def to_unit(values: list[Tensor]) -> list[Tensor]:
    """Divide by the largest value of all, so that they lie in [0, 1] (Deviation 6)."""
    largest = max(v.max() for v in values)
    return [v / largest.clamp(min=1e-30) for v in values]


def add_penalty(
    params: list[Any], importance: list[Tensor], anchor: list[Tensor], weight: float
) -> None:
    """Add the gradient of weight · Σ_i importance_i (θ_i - θ*_i)² to the parameters' own."""
    for p, omega, a in zip(params, importance, anchor):
        # Kirkpatrick et al., Eq. (3), Zenke et al., Eq. (4), Chaudhry et al.: the penalty's slope
        p.grad.add_(omega * (p.detach() - a), alpha=2 * weight)


class Regulariser:
    """What --method ewc, pi or rwalk knows of the weights: lists of tensors like the parameters.
    For other methods all stay zeros.

    anchor θ* and importance hold in the penalty; the others are gathered while a task is learned:
    fisher, score (of old tasks), walk (score of this task), path (fall of the loss since `since`,
    the weights at the start of the task for PI, of the interval for RWalk).
    """

    def __init__(self, net: nn.Module, args: argparse.Namespace):
        self.params: list[Any] = list(net.parameters())
        self.args = args
        # EWC's λ stands with a half, 1/2 λ Σ F (θ - θ*)²; RWalk's λ and PI's c do not
        self.weight = args.weight / 2 if args.method == "ewc" else args.weight
        self.anchor, self.importance = self.zeros(), self.zeros()
        self.fisher, self.score, self.walk = self.zeros(), self.zeros(), self.zeros()
        self.path, self.since = self.zeros(), self.zeros()

    def zeros(self) -> list[Tensor]:
        """A zero for every weight."""
        return [torch.zeros_like(p, requires_grad=False) for p in self.params]

    def now(self) -> list[Tensor]:
        """A copy of the weights."""
        return [p.detach().clone() for p in self.params]

    def begin_task(self) -> None:
        """The weights as they are become θ*; the task's path is empty."""
        self.anchor, self.since = self.now(), self.now()
        self.path, self.walk = self.zeros(), self.zeros()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """A step against the gradients of the loss, which are in place, and of the penalty."""
        before, gradients = self.now(), [p.grad.clone() for p in self.params]
        add_penalty(self.params, self.importance, self.anchor, self.weight)
        optimizer.step()
        if self.args.method != "ewc":  # the loss's own gradient, without the penalty's
            add_path(self.path, gradients, self.moved(before))

    def moved(self, before: list[Tensor]) -> list[Tensor]:
        """How far the weights are from `before`."""
        return [p.detach() - b for p, b in zip(self.params, before)]

    def end_interval(self, information: list[Tensor]) -> None:
        """EWC and RWalk, every --interval steps: the moving average of F, RWalk's score."""
        moving_average(self.fisher, information, self.args.alpha)
        if self.args.method == "rwalk":
            add_score(self.walk, self.path, self.fisher, self.moved(self.since), self.args.epsilon)
            self.path, self.since = self.zeros(), self.now()

    def end_task(self) -> None:
        """The importance that holds during the next task."""
        if self.args.method == "pi":
            add_synaptic(self.importance, self.path, self.moved(self.since), self.args.xi)
        elif self.args.method == "ewc":
            self.importance = [f.clone() for f in self.fisher]
        elif self.args.method == "rwalk":
            self.score = average_score(self.score, self.walk)
            # Chaudhry et al.: λ Σ_i (F_i + s_i) (θ_i - θ*_i)²
            pairs = zip(to_unit(self.fisher), to_unit(self.score))
            self.importance = [f + s for f, s in pairs]

    def kept(self) -> int:
        """Bytes that a regulariser needs beside the net: θ* and Ω, or θ* and F, or θ*, F and s."""
        lists = {"pi": 2, "ewc": 2, "rwalk": 3}.get(self.args.method, 0)
        return 4 * lists * sum(p.numel() for p in self.params)

    def state_dict(self) -> dict:
        """For a checkpoint."""
        return {"anchor": self.anchor, "importance": self.importance, "fisher": self.fisher,
                "score": self.score, "walk": self.walk, "path": self.path,
                "since": self.since}  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        """Undo `state_dict`."""
        for name, tensors in state.items():
            setattr(self, name, [v.to(p.device) for v, p in zip(tensors, self.params)])


# --------------------------------------------------------------------------------------------
# The memory: for every class met, the numbers of its stored images, best first
# --------------------------------------------------------------------------------------------


def renew_memory(
    memory: list[Tensor], net: "Net", data: Data, t: int, args: argparse.Namespace
) -> None:
    """After task t: fewer images of each old class, the first ones, and new ones of the new."""
    n_seen = len(memory) + len(data.tasks[t])
    # Alg. 2: m = K / t for each of the t classes met
    m = 0 if args.method == "none" else args.memory_size // n_seen
    memory[:] = [index[:m] for index in memory]  # Alg. 5: the first m of each list
    net.eval()
    for c in data.tasks[t]:
        index = common.indices_of(data.y, [c])
        if args.choice == "herding":
            chosen = herding(in_chunks(net.features, data.x[index]), m).to(index.device)
        else:
            chosen = torch.randperm(len(index), device=index.device)[:m]
        memory.append(index[chosen])


def scorer(net: "Net", memory: list[Tensor], data: Data, args: argparse.Namespace) -> Callable:
    """What classifies: images [B, C, S, S] -> scores [B, classes met], in the class order."""
    n_seen = len(memory)
    net.eval()
    if args.classify == "head":
        return lambda x: net(x)[:, :n_seen]
    index = torch.cat(memory)
    means = class_means(in_chunks(net.features, data.x[index]), data.y[index], n_seen)
    return lambda x: nearness(net.features(x), means)


# --------------------------------------------------------------------------------------------
# Training of one task, and the sequence of tasks
# --------------------------------------------------------------------------------------------


@dataclass
class Task:
    """What a task is learned from: its own images, then the stored ones, N in all."""

    index: Tensor  # int64 [N], their numbers in data.x
    y: Tensor  # int64 [N], their classes, numbered in the order in which they are met
    q: Tensor  # float [N, n_old], what the net answered before the task (iCaRL); else [N, 0]
    n_new: int  # images that are the task's own
    n_old: int  # classes of earlier tasks
    n_seen: int  # the same and the task's own


def begin(
    net: nn.Module, memory: list[Tensor], data: Data, t: int, args: argparse.Namespace
) -> Task:
    """Task t (0 is the first), with the stored images of the classes before."""
    new = common.indices_of(data.y, data.tasks[t])
    old = torch.cat(memory) if memory else new[:0]
    index, n_old = torch.cat([new, old]), len(memory)
    q = torch.empty(len(index), 0, device=index.device)
    if args.method == "icarl" and args.distill and n_old:
        net.eval()
        # Alg. 3: q_i^y = g_y(x_i), y = 1 ... s - 1, before the net changes
        q = in_chunks(lambda x: net(x)[:, :n_old].sigmoid(), data.x[index])
    n_seen = n_old + len(data.tasks[t])
    return Task(index, data.y[index], q, len(new), n_old, n_seen)


def epoch_size(task: Task, args: argparse.Namespace) -> tuple[int, int, int]:
    """B, new images per step (or of the union); R, stored images beside them; steps of an epoch."""
    halves = args.mix == "balanced" and len(task.index) > task.n_new
    n = task.n_new if halves else len(task.index)
    B = min(args.batch_size, n)
    return B, args.replay_batch_size if halves else 0, n // B


def batches(task: Task, args: argparse.Namespace) -> list[tuple[Tensor, Tensor]]:
    """An epoch: positions in task.index, and their weights in the loss, sum 1, step by step."""
    device = task.index.device
    B, R, steps = epoch_size(task, args)
    if not R:
        order = torch.randperm(len(task.index), device=device)[: steps * B].split(B)
        weight = torch.full((B,), 1 / B, device=device)
        return [(part, weight) for part in order]
    share = task.n_old / task.n_seen  # every class weighs the same
    weight = torch.full((B + R,), (1 - share) / B, device=device)
    weight[B:] = share / R
    order = torch.randperm(task.n_new, device=device)[: steps * B].split(B)
    stored = torch.randint(task.n_new, len(task.index), (steps, R), device=device)
    return [(torch.cat([a, b]), weight) for a, b in zip(order, stored)]


def train_epoch(
    net: nn.Module, regulariser: Regulariser, optimizer: torch.optim.Optimizer, task: Task,
    data: Data, i: int, args: argparse.Namespace,
) -> float:
    """Epoch i (from 0) of a task: the mean loss."""
    parts = batches(task, args)
    n_seen, steps = task.n_seen, len(parts)
    total = torch.zeros((), device=task.index.device)
    net.train()
    for step, (position, weight) in enumerate(parts, i * steps + 1):  # of the task
        if args.lr_decay:
            left = 1 - (step - 1) / (args.epochs * steps)
            optimizer.param_groups[0]["lr"] = args.lr * left
        x, label = to_float(data.x[task.index[position]]), task.y[position]
        logits = net(x)[:, :n_seen]
        if args.method == "icarl":
            losses = icarl_losses(logits, label, task.q[position])
        else:
            losses = F.cross_entropy(logits, label, reduction="none")
        loss = (weight * losses).sum()
        optimizer.zero_grad()
        loss.backward()
        if args.method in REGULARISERS:
            regulariser.step(optimizer)
            due = step % args.interval == 0 or step == args.epochs * steps
            if args.method != "pi" and due:
                n = args.fisher_samples or len(x)
                some = torch.linspace(0, len(x) - 1, min(n, len(x)), device=x.device).long()
                share = weight[some] / weight[some].sum()
                regulariser.end_interval(fisher(net, x[some], label[some], share, n_seen))
        else:
            optimizer.step()
        total += loss.detach()
    return total.item() / steps


def learn(
    net: "Net", regulariser: Regulariser, data: Data, args: argparse.Namespace, run: common.Run
) -> tuple[list, list[dict]]:
    """All tasks in turn: R [T + 1, T], and a note on each task."""
    memory: list[Tensor] = []  # of every class met, which images are stored
    R = [evaluate(net.eval(), data, len(data.owner))[0]]  # row 0: untrained
    notes: list[dict] = []
    state = {"net": net, "regulariser": regulariser, "memory": memory, "R": R, "notes": notes}
    for t in run.tasks(len(data.tasks), **state):
        task = begin(net, memory, data, t, args)
        optimizer = torch.optim.Adam(net.parameters(), args.lr, fused=True)
        regulariser.begin_task()
        losses: list[float] = []
        parts: dict[str, Any] = {"net": net, "regulariser": regulariser, "optimizer": optimizer,
                                 "losses": losses}  # fmt: skip
        for i in run.epochs("net", args.epochs, **parts):
            loss = train_epoch(net, regulariser, optimizer, task, data, i, args)
            run.check_finite("lower --lr or --weight", loss)
            losses.append(round(loss, 5))
        regulariser.end_task()
        renew_memory(memory, net, data, t, args)
        row, top5 = evaluate(scorer(net, memory, data, args), data, len(memory))
        R.append(row)
        notes.append({"losses": losses, **kept(memory, regulariser, data), "top5": top5})
        text = "" if top5 < 0 else f", top-5 {top5:.4f}"
        mean = sum(row[: t + 1]) / (t + 1)
        print(f"{run.label()}: accuracy so far {mean:.4f}{text}", flush=True)
    return R, notes


def kept(memory: list[Tensor], regulariser: Regulariser, data: Data) -> dict[str, int]:
    """What is kept of the classes met beside the net: counts, and bytes."""
    images = sum(len(index) for index in memory)
    return {"classes": len(memory), "images": images,
            "image_bytes": images * data.x[0].numel(), "other_bytes": regulariser.kept()}


def evaluate(score: Callable, data: Data, n_seen: int) -> tuple[list[float], float]:
    """A row of R, and top-5 on the classes met (-1 for fewer than ten); others are not answered."""
    known, y = in_chunks(score, data.x_test), data.y_test  # [N, n_seen], [N]
    scores = F.pad(known, (0, data.K - n_seen), value=-math.inf)
    row = common.accuracy_by_task(lambda s: s, scores, y, data.owner)
    if n_seen < 10:
        return row, -1.0
    met = y < n_seen
    return row, common.top_k_accuracy(scores[met], y[met])


# --------------------------------------------------------------------------------------------
# Models: images are [B, C, S, S] in [-1, 1]; all K outputs exist from the start
# --------------------------------------------------------------------------------------------


def dcgan_trunk(shape: tuple[int, int, int], width: int, norm: str) -> nn.Sequential:
    """The trunk of dgm.py's critic: [B, C, S, S] -> [B, 4 width · S/8 · S/8]."""
    layers, _ = dgm.dcgan_features(shape, width, norm)
    return nn.Sequential(*layers, nn.Flatten())


class Block(nn.Module):
    """Two convolutions around which their input goes on (He et al. 2016, Fig. 2)."""

    def __init__(self, n: int, p: int, stride: int, norm: str):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(n, p, 3, stride, 1, bias=False), *dgm.normalise(norm, p), nn.ReLU(),
            nn.Conv2d(p, p, 3, 1, 1, bias=False), *dgm.normalise(norm, p),
        )  # fmt: skip
        self.skip = nn.Sequential()
        if stride > 1 or n != p:
            self.skip = nn.Sequential(
                nn.Conv2d(n, p, 1, stride, bias=False), *dgm.normalise(norm, p)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.skip(x))


def resnet_trunk(shape: tuple[int, int, int], width: int, norm: str) -> nn.Sequential:
    """ResNet-18 without its first pooling, for small images: [B, C, S, S] -> [B, 8 width]."""
    first = nn.Conv2d(shape[0], width, 3, 1, 1, bias=False)
    layers, n = [first, *dgm.normalise(norm, width), nn.ReLU()], width
    for i in range(4):
        p = width * 2**i
        layers += [Block(n, p, 1 + (i > 0), norm), Block(p, p, 1, norm)]
        n = p
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def mlp_trunk(shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """Two layers of `width` units: [B, C, S, S] -> [B, width]."""
    pixels = math.prod(shape)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    )


class Net(nn.Module):
    """images [B, C, S, S] -> logits [B, K]; `features` is iCaRL's φ, before it is normalised."""

    def __init__(self, args: argparse.Namespace, shape: tuple[int, int, int], K: int):
        super().__init__()
        if args.net == "mlp":
            self.features = mlp_trunk(shape, args.width)
        else:
            trunk = dcgan_trunk if args.net == "dcgan" else resnet_trunk
            self.features = trunk(shape, args.width, args.norm)
        with torch.no_grad():
            size = self.features.eval()(torch.zeros(1, *shape)).shape[1]
        self.head = nn.Linear(size, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


@torch.no_grad()
def in_chunks(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f of images uint8 [N, C, S, S], 500 at a time: [N, ...]."""
    return torch.cat([f(to_float(part)) for part in x.split(500)])


# --------------------------------------------------------------------------------------------
# The run: data in, result out
# --------------------------------------------------------------------------------------------


def load_data(args: argparse.Namespace, device: torch.device) -> Data:
    """The data set on the device, cut into tasks; Unfit where it does not fit the flags."""
    data = common.load_chosen(args)
    if args.net != "mlp" and min(data.shape[1:]) < 8:
        raise common.Unfit(f"images of {data.shape[1]}x{data.shape[2]} are too small: "
                           "--image-size 16")  # fmt: skip
    found = dgm.cut(data, args, device)
    if args.classify == "means" and args.memory_size < len(found.owner):
        raise common.Unfit(f"--classify means needs an image per class: --memory-size "
                           f"{len(found.owner)} or more")  # fmt: skip
    return found


def joint(data: Data, args: argparse.Namespace, run: common.Run) -> dict[str, float]:
    """JT: a new net on all images of the first k classes, for every mark k; the metrics."""
    metrics: dict[str, float] = {}
    at = dgm.marks(data)
    for t in run.tasks(len(at), metrics=metrics):
        k = at[t]
        net = Net(args, data.shape, len(data.owner)).to(data.x.device)
        index = common.indices_of(data.y, range(k))
        nothing = torch.empty(len(index), 0, device=index.device)
        task = Task(index, data.y[index], nothing, len(index), n_old=0, n_seen=k)
        regulariser = Regulariser(net, args)
        optimizer = torch.optim.Adam(net.parameters(), args.lr, fused=True)
        for i in run.epochs("joint", args.epochs, net=net, optimizer=optimizer):
            loss = train_epoch(net, regulariser, optimizer, task, data, i, args)
            run.check_finite("lower --lr", loss)
        net.eval()
        row, top5 = evaluate(lambda x, net=net, k=k: net(x)[:, :k], data, k)
        metrics["ACC"] = statistics.fmean(row[: data.owner[k - 1] + 1])
        metrics[f"A_{k} (%)"] = 100 * metrics["ACC"]
        if top5 >= 0:
            metrics[f"top-5 A_{k} (%)"] = 100 * top5
    return metrics


def metrics_of(R: list, notes: list[dict], data: Data) -> dict:
    """Those of common.summarise, A_k and top-5 at the marks, and what is kept."""
    metrics = common.summarise(R)
    by_classes = {note["classes"]: t for t, note in enumerate(notes)}
    for k in dgm.marks(data):
        note = notes[by_classes[k]]
        metrics[f"A_{k} (%)"] = 100 * metrics["A"][by_classes[k]]
        if note["top5"] >= 0:
            metrics[f"top-5 A_{k} (%)"] = 100 * note["top5"]
    last = notes[-1]
    return metrics | {"kept (MB)": (last["image_bytes"] + last["other_bytes"]) / 1e6}


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence; the result, but for what common.carry_out adds."""
    device, environment = common.start(args)
    data = load_data(args, device)
    common.tell_classes(data.names)
    identity = common.identity(args, data.about)
    here = common.Run(args.out, identity, device, args.checkpoint_every)
    if args.joint:
        metrics: dict = joint(data, args, here)
        R, notes = [[metrics["ACC"]] * len(data.tasks)], list[dict]()
    else:
        net = Net(args, data.shape, len(data.owner)).to(device)
        R, notes = learn(net, Regulariser(net, args), data, args, here)
        metrics = metrics_of(R, notes, data)
    return {
        "classes": data.names, "data": data.about,
        "metrics": metrics, "R": R, "tasks": notes,
        "timing": {"wall_s": here.wall_s(), "tasks": here.seconds},
        "environment": environment | {"machines": here.machines} | common.peak_memory(device),
    }  # fmt: skip


# --------------------------------------------------------------------------------------------
# Rows and items of the figures and tables (tools/ runs and draws them)
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). `make episodic` runs them.
ROWS = {
    "none": ("–", "--method none", "nothing stored (lower bound)"),
    "samples": ("–", "--method samples", "{memory_size} stored images, no regulariser"),
    "icarl": ("Table 1, iCaRL-S", "--method icarl", "iCaRL, {memory_size} images"),
    "ewc": ("Table 1, EWC-S", "--method ewc", "EWC-S, {memory_size} images"),
    "pi": ("Table 1, PI-S", "--method pi", "PI-S, {memory_size} images"),
    "rwalk": ("Table 1, RWalk-S", "--method rwalk", "RWalk-S, {memory_size} images"),
    "joint": ("Table 1, JT", "--joint", "joint training (upper bound)"),
    "ewc-alone": ("–", "--method ewc --memory-size 0", "EWC, nothing stored"),
    "icarl-head": ("–", "--method icarl --classify head", "iCaRL, classified by its last layer"),
    "icarl-balanced": ("–", "--method icarl --mix balanced",
                       "iCaRL, new and stored images in equal parts"),
    "samples-2000": ("–", "--method samples --memory-size 2000",
                     "{memory_size} stored images, no regulariser"),
    "icarl-2000": ("–", "--method icarl --memory-size 2000", "iCaRL, {memory_size} images"),
    "samples-pairs": ("–", "--preset source --method samples",
                      "pairs, MLP: {memory_size} images, no regulariser"),
    "icarl-pairs": ("Table 1, iCaRL-S", "--preset source --method icarl", "pairs, MLP: iCaRL"),
    "ewc-pairs": ("Table 1, EWC-S", "--preset source --method ewc", "pairs, MLP: EWC-S"),
    "pi-pairs": ("Table 1, PI-S", "--preset source --method pi", "pairs, MLP: PI-S"),
    "rwalk-pairs": ("Table 1, RWalk-S", "--preset source --method rwalk", "pairs, MLP: RWalk-S"),
    "ewc-alone-pairs": ("–", "--preset source --method ewc --memory-size 0",
                        "pairs, MLP: EWC, nothing stored"),
    # on ImageNet-50 alone: the classifier of dgm.py --preset laptop there
    "icarl-k1000": (
        "DGM's Table 2",
        "--method icarl --classes-per-task 10 --epochs 20 --width 24 --norm batch "
        "--memory-size 1000", "iCaRL, {memory_size} images"),
    "icarl-k2000": (
        "DGM's Table 2",
        "--method icarl --classes-per-task 10 --epochs 20 --width 24 --norm batch "
        "--memory-size 2000", "iCaRL, {memory_size} images"),
}  # fmt: skip
ITEMS = {  # `make episodic/table`
    "table": ("none", "samples", "icarl", "ewc", "pi", "rwalk", "joint", "ewc-alone", "icarl-head",
              "icarl-balanced", "samples-2000", "icarl-2000"),
    "pairs": ("samples-pairs", "icarl-pairs", "ewc-pairs", "pi-pairs", "rwalk-pairs",
              "ewc-alone-pairs"),
    "table2": ("@imagenet50", "icarl-k1000", "icarl-k2000"),
}  # fmt: skip
DEMO = {  # the same in miniature
    "": "--dataset glyphs --train-size 2000 --test-size 600 --tasks 4 --epochs 4 --width 8 "
        "--batch-size 16 --replay-batch-size 16",
    "none": "--method none", "icarl": "--method icarl",
}  # fmt: skip


# --------------------------------------------------------------------------------------------
# Flags and checks
# --------------------------------------------------------------------------------------------

# A preset only moves defaults, so that each change can be undone by its flag.
PRESETS = {
    "laptop": {},
    "paper": dict(image_size=32, width=32, norm="batch", lr=2e-3, lr_decay=False, epochs=20),
    "colour": dict(image_size=32, net="resnet", width=32, norm="batch", epochs=20,
                   memory_size=2000, classes_per_task=10),
    "source": dict(image_size=0, net="mlp", width=256, norm="none", lr_decay=False,
                   classes_per_task=2),
}  # fmt: skip
METHOD = {"icarl": dict(choice="herding", mix="union", classify="means")}
# λ, chosen on --validation 10000 (docs/ tells how): of the MLP of --preset source, of all else.
WEIGHT_SOURCE = {"ewc": 1e4, "pi": 10.0, "rwalk": 3.0}
WEIGHT = {"ewc": 1e4, "pi": 1.0, "rwalk": 10.0}
REGULARISERS = ("ewc", "pi", "rwalk")


def add_paper_flags(parser: argparse.ArgumentParser) -> None:
    """Those of the methods and of the net."""
    yes_no = argparse.BooleanOptionalAction
    paper = parser.add_argument_group("paper (what Table 1 compares; see Deviations)")
    add = paper.add_argument
    add("--method", choices=["samples", "icarl", *REGULARISERS, "none"], default="samples",
        help="samples: stored images alone; none: nothing stored, the lower bound")
    add("--joint", action="store_true", help="JT, the upper bound: all classes at once")
    add("--preset", choices=[*PRESETS], default="laptop",
        help="laptop and paper: sizes of dgm.py's presets; colour: a ResNet, ten classes per task "
        "(ImageNet-50; CIFAR-10: with --classes-per-task 1); source: pairs of classes and an MLP, "
        "near Chaudhry et al.")
    add("--memory-size", type=int, default=100, help="K, stored images, shared by the classes met "
        "(100: ten per class at the end, as Chaudhry et al.; iCaRL on CIFAR-100: 2000)")
    add("--choice", choices=["random", "herding"], default="random",
        help="which images are stored (herding: iCaRL, Alg. 4)")
    add("--mix", choices=["balanced", "union"], default="balanced",
        help="a step's images: new and stored by halves, every class weighs the same; or drawn "
        "from the union (iCaRL, Alg. 3)")
    add("--classify", choices=["head", "means"], default="head",
        help="by the last layer, or by the nearest mean of exemplars (iCaRL, Alg. 1)")
    add("--distill", action=yes_no, default=True, help="iCaRL's distillation (Alg. 3)")
    add("--weight", type=float, default=0.0,
        help="λ of the penalty (EWC, RWalk), c (PI); our choice, on held-out images")
    add("--alpha", type=float, default=0.1,
        help="α, share of the new in the moving average of F (EWC++; our choice)")
    add("--interval", type=int, default=10,
        help="Δt, steps between updates of F and of RWalk's score (our choice)")
    add("--fisher-samples", type=int, default=32,
        help="images of the step that F is measured on; 0: all (our choice)")
    add("--xi", type=float, default=1e-3, help="ξ of PI (our choice)")
    add("--epsilon", type=float, default=1e-8, help="ε of RWalk (our choice)")
    add("--tasks", type=int, default=0, help="stop after so many tasks; 0: all")
    add("--classes-per-task", type=int, default=1, help="classes in a task (DGM, Sec. 4)")
    add("--shuffle-classes", action=yes_no, default=False, help="class order by --seed")
    add("--epochs", type=int, default=5, help="epochs per task (our choice)")
    add("--batch-size", type=int, default=64, help="new images per step (Chaudhry et al.)")
    add("--replay-batch-size", type=int, default=64, help="stored images per step, --mix balanced")
    add("--net", choices=["dcgan", "resnet", "mlp"], default="dcgan",
        help="dcgan: the trunk of dgm.py's critic; resnet: ResNet-18 for small images")
    add("--width", type=int, default=16, help="channels of the first layer; of mlp: its units")
    add("--norm", choices=["batch", "layer", "none"], default="layer", help="normalisation")
    add("--lr", type=float, default=1e-3, help="Adam's rate (Chaudhry et al.)")
    add("--lr-decay", action=yes_no, default=True, help="the rate falls to 0 within a task")


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Flags; `--preset` and `--method` move defaults, so that each change can be undone by name."""
    parser = common.new_parser(__doc__)
    parser.prog = "python -m beyond.episodic"
    add_paper_flags(parser)
    common.add_data_flags(parser, image_size=16)
    common.add_run_flags(parser, "episodic")
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument("--preset", default="laptop")
    chooser.add_argument("--method", default="samples")
    common.errors_in_one_line(chooser)
    chosen = chooser.parse_known_args(argv)[0]
    parser.set_defaults(**METHOD.get(chosen.method, {}))
    parser.set_defaults(**PRESETS.get(chosen.preset, {}))
    weights = WEIGHT_SOURCE if chosen.preset == "source" else WEIGHT
    parser.set_defaults(weight=weights.get(chosen.method, 0.0))
    args = parser.parse_args(argv)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    least = {"threads": 0, "weight": 0, "seed": 0, "checkpoint_every": 0, "tasks": 0,
             "memory_size": 0, "fisher_samples": 0, "classes_per_task": 1, "epochs": 1,
             "interval": 1, "width": 1, "replay_batch_size": 1, "batch_size": 2}  # fmt: skip
    common.check_ranges(args, least)
    if not (0 < args.lr < 1 and 0 < args.alpha <= 1):
        raise common.UserError("--lr must lie between 0 and 1, --alpha be above 0 and at most 1")
    if not (0 < args.xi < math.inf and 0 < args.epsilon < math.inf):
        raise common.UserError("--xi and --epsilon are divided by: give numbers above 0")
    if args.weight and args.method not in REGULARISERS:
        raise common.UserError(f"--weight is of --method {', '.join(REGULARISERS)}")
    if args.classify == "means" and args.method == "none":
        raise common.UserError("--classify means needs stored images: take another --method")
    if args.joint and (args.method != "samples" or args.classify != "head"):
        raise common.UserError("--joint has no old tasks to remember: leave --method and "
                               "--classify out")  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says and write the result."""
    argv = common.with_row(sys.argv[1:] if argv is None else argv, ROWS, DEMO)
    common.carry_out(run, parse_args(argv), argv, "episodic", "-m beyond.episodic")


DEVIATIONS = """Deviations, and choices where the papers are silent (docs/ gives the reasons):
 1. All methods run in DGM's protocol, with the trunk of dgm.py's critic and Adam at its rate: one
    class per task (rows icarl-k: ten, --preset source: two), one head, so that rows differ in the
    memory alone. The figures that DGM quotes were measured by Chaudhry et al. in another one;
    --preset source comes near it. Unlike dgm.py's D, the net keeps its weights from task to task,
    as weights are what three of the methods keep.
 2. Every step shows as many stored images as new ones, and every class weighs the same in the
    loss, as in dgm.py. iCaRL draws from the union of both, as its Algorithm 3 says (--mix).
 3. One penalty with the weights after the last task, not one for every task (EWC++).
 4. F is a moving average over the iterations (EWC++), of per-sample gradients at the true labels,
    of --fisher-samples images every --interval steps, weighted as in the loss.
 5. PI's Ω, like RWalk's s, is cut at 0 from below: a negative one would push weights away.
 6. F and s of RWalk are divided by their largest value before they are added (its Sec. 4 scales
    both to [0, 1]).
 7. Herding stores no image twice. iCaRL has no weight decay and no distorted images.
 8. BatchNorm's statistics, where there are any (--norm), are not held by a penalty.
 9. λ of EWC, PI and RWalk was chosen on held-out images; the sources' are for other nets.
"""


if __name__ == "__main__":
    common.exit_in_one_line(main)
