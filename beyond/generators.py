"""How other generators remember: the rows of DGM's Table 1 that have a generator of fixed size.

One generator for all classes, without masks; the critic, the classifier and the data are dgm.py's,
so that rows differ in the memory alone. A frozen copy of G generates the classes of earlier tasks.

--memory
mergan         Memory replay GANs (Wu et al. 2018), joint retraining: what the copy generates is
               real to D, among the images of the new task
mergan-align   the same with replay alignment: G must generate what the copy generates
dgr            Deep generative replay (Shin et al. 2017): joint retraining of a G that is not told
               a class; the classifier of the last task names what it generates
ewc            EWC-M (Seff et al. 2017): weights that earlier tasks need are held back

papers           here                 shape
G_t, G_{t-1}     G, past.before       z [B, 128], y [B] -> images [B, C, S, S] in [-1, 1]
F_i              past.fisher          as G's parameters, summed over tasks

    python -m beyond.generators --preset laptop --memory mergan-align  # A_10 97.2 %, 12 minutes
    # on one core of an AMD EPYC. DEVIATIONS, at the end of this file, says what was our choice.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import common  # first: it says in one line which package is missing

# isort: split
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

import dgm
from dgm import LATENT, Batch, Data, Gan, Task, to_float, up

# --------------------------------------------------------------------------------------------
# What each memory adds
# --------------------------------------------------------------------------------------------


def alignment(G: nn.Module, before: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """How far G has moved from its frozen copy on old classes y [B], at the same z [B, 128]."""
    # Wu et al. 2018, replay alignment: L_RA = E ||G_t(z, y) - G_{t-1}(z, y)||²
    return (G(z, y) - before(z, y)).square().flatten(1).sum(1).mean()


def ewc_penalty(G: nn.Module, before: nn.Module, F_sum: list[Tensor]) -> Tensor:
    """EWC's regulariser: F_sum are the Fisher informations of all tasks so far."""
    # Kirkpatrick et al. 2017, Eq. (3): Σ_i F_i / 2 (θ_i - θ*_i)²
    terms = zip(F_sum, G.parameters(), before.parameters())
    total: Any = sum((f * (p - q).square()).sum() / 2 for f, p, q in terms)
    return total


def fisher(G: nn.Module, D: nn.Module, z: Tensor, y: Tensor) -> list[Tensor]:
    """What D's judgement of the classes y [n] depends on: as G's parameters, n images of z."""
    total = [torch.zeros_like(p) for p in G.parameters()]
    D.eval()
    for one in zip(z.split(1), y.split(1)):
        score, logits = D(G(*one))
        loss = F.cross_entropy(logits, one[1]) - score.mean()
        # Kirkpatrick et al. 2017: F_i = E (∂L/∂θ_i)², here of L_G, image by image
        for sums, g in zip(total, torch.autograd.grad(loss, list(G.parameters()))):
            sums += g.square() / len(z)
    return total


# --------------------------------------------------------------------------------------------
# The generator
# --------------------------------------------------------------------------------------------


class Generator(nn.Module):
    """The layers of dgm.Generator for all classes at once: z [B, 128], y [B] -> images.

    An image is normalised by itself, then scaled and shifted by its class (DGM: BatchNorm of the
    task). Statistics of a batch would follow the newest class, and that alone would be forgetting.
    `told`: whether the generator knows the class.
    """

    own: Any  # nn.ModuleList

    def __init__(self, shape: tuple[int, int, int], K: int, width: int, told: bool = True):
        super().__init__()
        self.K, self.told = K, told
        widths, kernels = self.sizes(width, *dgm.halvings(shape[1]))
        sizes = zip([LATENT, *widths], [*widths, shape[0]], kernels)
        self.W = nn.ParameterList(0.02 * torch.randn(n, p, k, k) for n, p, k in sizes)
        rows = K if told else 1
        styles = [torch.cat([torch.ones(rows, p), torch.zeros(rows, p)], 1) for p in widths]
        self.own = nn.ModuleList([nn.ParameterList(styles)])  # of each class its scales, shifts
        self.masks: list[list[Tensor]] = [[]] * K  # none in any task

    def sizes(self, width: int, base: int, d: int) -> tuple[list[int], list[int]]:
        """Units of all layers but the last, kernels of all."""
        return [width * 2**k for k in reversed(range(d))], [base] + [4] * d

    def widths(self) -> list[int]:
        """Units of every layer but the last."""
        return [W.shape[1] for W in list(self.W)[:-1]]

    def learned(self) -> list[Tensor]:
        """What a task may change: all."""
        return list(self.parameters())

    def size(self, t: int) -> int:
        """Parameters, the same in each task."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, z: Tensor, y: Tensor, t: int = 0, masks: Sequence[Tensor] = ()) -> Tensor:
        """Images [B, C, S, S] from z [B, 128] and classes y [B]; every task generates alike."""
        if self.told:
            z = torch.cat([F.one_hot(y, self.K).to(z.dtype), z[:, self.K :]], dim=1)  # [B, 128]
        else:
            y = torch.zeros_like(y)
        styles = [style[y][:, :, None, None].chunk(2, dim=1) for style in self.own[0]]
        return torch.tanh(self.rest(up(z, self.W[0]), list(zip(list(self.W)[1:], styles))))

    def rest(self, h: Tensor, layers: list[tuple]) -> Tensor:
        """Behind the projection: [B, p, base, base] -> [B, C, S, S]."""
        for W, (scale, shift) in layers:  # [B, p, 1, 1] both
            h = up(F.relu(F.group_norm(h, 1) * scale + shift), W)
        return h


class ResidualGenerator(Generator):
    """The same with the layers of dgm.ResidualGenerator, all of one width."""

    def sizes(self, width: int, base: int, d: int) -> tuple[list[int], list[int]]:
        return [width] * (1 + 2 * d), [base] + [3] * (1 + 2 * d)

    def rest(self, h: Tensor, layers: list[tuple]) -> Tensor:
        shortcut = torch.zeros_like(h)
        for layer, (W, (scale, shift)) in enumerate(layers, 1):
            h = F.group_norm(h, 1) * scale + shift
            h = F.relu(h + shortcut if layer % 2 else h)  # behind a block
            if layer % 2 and layer < len(layers):  # a block begins
                h = shortcut = F.interpolate(h, scale_factor=2)
            h = dgm.convolve(h, W)
        return h


# --------------------------------------------------------------------------------------------
# One step, one epoch
# --------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Past(dgm.Kept):
    """All that is kept of earlier tasks: what DGM keeps, and more."""

    before: nn.Module  # G_{t-1}, frozen
    fisher: list[Tensor]  # EWC: as G's parameters
    names: Tensor  # DGR: int64 [M], the classes that its classifier gives to replayed images


def together(task: Task, index: Tensor) -> Batch:
    """Joint retraining: replayed images are real ones among others, every class as often.

    With the fakes D sees as many images as in DGM. In the first task there is nothing to replay.
    """
    if not task.old_B:
        return dgm.batch_of(task, index)
    total = len(index) + task.old_B // 2
    new = min(len(index), max(1, round(total * (1 - task.share))))
    index = index[:new]
    chosen = torch.randint(len(task.old), (total - new,), device=index.device)
    order = torch.randperm(total, device=index.device)  # L_gp looks at the first few
    x = torch.cat([task.x[index], task.old[chosen]])[order]
    y = torch.cat([task.y[index], task.old_y[chosen]])[order]
    return Batch(to_float(x), y, to_float(task.old[:0]), task.old_y[:0], task.share)


def aligned(gan: Gan, past: Past, old_y: Tensor) -> Tensor:
    """λ_RA L_RA on the old classes old_y [n]."""
    z = torch.randn(len(old_y), LATENT, device=old_y.device)
    return gan.args.align_weight * alignment(gan.G, past.before, z, old_y)


def held(gan: Gan, past: Past, old_y: Tensor) -> Tensor:
    """λ times EWC's regulariser."""
    return gan.args.ewc_lambda * ewc_penalty(gan.G, past.before, past.fisher)


@dataclass
class Memory:
    """What the four memories exchange."""

    told: bool = True  # G knows the class, so D must recognise it
    batch: Callable = dgm.batch_of
    more: Callable | None = None  # of L_G
    end: Callable = lambda *_: None  # after the GAN has learned a task


def generator_step(gan: Gan, fake: Tensor, y: Tensor, old_y: Tensor, past: Past) -> Tensor:
    """One step of G on L_G = -E[D(G)] + L_c and what the memory adds; the loss, a scalar.

    fake [B, C, S, S] are of classes y [B]; old_y [n] are old classes, none in the first task.
    """
    memory = MEMORY[gan.args.memory]
    gan.D.requires_grad_(False)  # G's step needs no gradients of D's weights
    with dgm.running_statistics_frozen(gan.D):
        score, logits = gan.D(fake)
    loss = -score.mean()
    if memory.told:
        loss = loss + F.cross_entropy(logits, y)
    if memory.more and len(old_y):
        loss = loss + memory.more(gan, past, old_y)
    gan.opt_G.zero_grad()
    loss.backward(inputs=list(gan.G.parameters()))
    gan.opt_G.step()
    gan.D.requires_grad_(True)
    return loss.detach()


def train_gan(gan: Gan, task: Task, i: int) -> list[float]:
    """Epoch i (from 1) of the GAN on a task; mean losses [D, G]."""
    args, device, memory = gan.args, task.x.device, MEMORY[gan.args.memory]
    n_old = task.seen - len(task.data.tasks[task.t])
    some_old = n_old and memory.batch is dgm.batch_of
    held = (args.replay_batch_size or task.B) if some_old else 0
    losses = torch.zeros(task.steps, 2, device=device)
    order = torch.randperm(len(task.x), device=device)
    for b, index in enumerate(order[: task.steps * task.B].split(task.B), 1):
        if args.lr_decay:
            dgm.decay_rates(gan, i, b, task.steps)
        batch = memory.batch(task, index)
        fake = gan.G(torch.randn(len(batch.y), LATENT, device=device), batch.y)
        losses[b - 1, 0] = dgm.critic_step(gan, batch, fake.detach())
        old_y = torch.randint(max(n_old, 1), (held,), device=device)
        losses[b - 1, 1] = generator_step(gan, fake, batch.y, old_y, task.kept)
    return [losses[:, 0].mean().item(), losses[:, 1].mean().item()]


def consolidate(gan: Gan, task: Task, n: int = 500) -> None:
    """EWC, when the GAN has learned a task: add what n images of its classes depend on."""
    data, past = task.data, task.kept
    y = torch.tensor(data.tasks[task.t], device=task.x.device).repeat(n)[:n]
    z = torch.randn(n, LATENT, device=y.device)
    now = fisher(gan.G, gan.D, z, y)
    past.fisher = [old + new for old, new in zip(past.fisher, now)]


@torch.no_grad()
def name(solver: nn.Module, task: Task) -> Tensor:
    """What the solver of task t calls the images that task t + 1 will replay: classes [M]."""
    past, data, t = task.kept, task.data, task.t
    if t + 1 == len(data.tasks):
        return past.names[:0]
    classes = data.tasks[t + 1]
    n = len(common.indices_of(data.y, classes)) // len(classes)
    x, _ = dgm.replay(past, data, t + 1, n)
    solver.eval()
    # Shin et al. 2017: a replayed image x' is to be called S(x'; θ_{t-1}), by the old solver
    return torch.cat([solver(to_float(part))[1].argmax(1) for part in x.split(2000)])


MEMORY = {"mergan": Memory(batch=together), "mergan-align": Memory(more=aligned),
          "dgr": Memory(told=False, batch=together),
          "ewc": Memory(more=held, end=consolidate)}  # fmt: skip


# --------------------------------------------------------------------------------------------
# The sequence of tasks, the run
# --------------------------------------------------------------------------------------------


def learn(
    data: Data, args: argparse.Namespace, run: common.Run
) -> tuple[dgm.Record, Generator]:
    """All tasks in turn."""
    G, memory = new_generator(data, args), MEMORY[args.memory]
    past, record = past_of(G), dgm.start_record(data, args)
    for t in run.tasks(len(data.tasks), past=past, record=record):
        past.before.load_state_dict(G.state_dict())
        task = dgm.task_data(data, t, past, args)
        if not memory.told:
            task.old_y = past.names

        D = dgm.new_critic(data, task.seen, args)
        if args.keep_critic:
            dgm.add_outputs(D, past.D)
        gan = Gan(G, D, args)
        for i in run.epochs("gan", args.epochs, G=G, D=D, opt_G=gan.opt_G, opt_D=gan.opt_D,
                            record=record):  # fmt: skip
            losses = train_gan(gan, task, i + 1)
            run.check_finite("lower --lr", *losses)
            dgm.note_epoch(record, i + 1, losses)
        memory.end(gan, task)

        iterations = args.epochs * task.steps
        dgm.note_task(record, task, args, named=memory.told, iterations=iterations)
        solver = dgm.finish(D, task, args, run) if args.classifier_steps else D
        if args.keep_critic:
            past.D = D.state_dict()
        if not memory.told:
            past.names = name(solver, task)
        record.R.append(dgm.evaluate(solver, data))
        dgm.note_result(record, solver, task, run)
    return record, G


def past_of(G: Generator) -> Past:
    """That of the first task: nothing."""
    names = torch.empty(0, dtype=torch.int64, device=G.W[0].device)
    weights = [torch.zeros_like(p) for p in G.parameters()]
    before = copy.deepcopy(G).requires_grad_(False)
    return Past(G, before=before, fisher=weights, names=names)


def new_generator(data: Data, args: argparse.Namespace) -> Generator:
    """Untrained, on the device."""
    kind = Generator if args.net == "dcgan" else ResidualGenerator
    return kind(data.shape, data.K, args.ngf, MEMORY[args.memory].told).to(data.x.device)


def run(args: argparse.Namespace) -> dict:
    """Learn all tasks in sequence; the result, but for what common.carry_out adds."""
    result, data, here = dgm.prepare(args)
    record, G = learn(data, args, here)
    images = [dgm.snapshot(G, data, t) for t in range(len(data.tasks))]  # as they are now
    return dgm.conclude(result, record, images, data, here)


# --------------------------------------------------------------------------------------------
# Rows, flags
# --------------------------------------------------------------------------------------------

# name: (the paper's item, flags, what a reader is told). They stand in dgm.py's tables.
ROWS = {
    "mergan-paper": ("Table 1", "--memory mergan", "MeRGAN, joint retraining, --preset paper"),
    "mergan-align-paper": ("Table 1", "--memory mergan-align",
                           "MeRGAN, replay alignment, --preset paper"),
    "dgr-paper": ("Table 1", "--memory dgr", "DGR, --preset paper"),
    "ewc-paper": ("Table 1", "--memory ewc", "EWC-M, --preset paper"),
    "mergan": ("Tables 1, 3", "--preset laptop --memory mergan",
               "MeRGAN, joint retraining, laptop"),
    "mergan-align": ("Tables 1, 3", "--preset laptop --memory mergan-align",
                     "MeRGAN, replay alignment, laptop"),
    "dgr": ("Table 1", "--preset laptop --memory dgr --keep-critic", "DGR, laptop"),
    "dgr-new-critic": ("–", "--preset laptop --memory dgr",
                       "DGR, laptop, a new critic in each task"),
    "ewc": ("Table 1", "--preset laptop --memory ewc", "EWC-M, laptop"),
}  # fmt: skip
ITEMS: dict = {}
DEMO: dict = {}
# As dgm.PRESETS, and after it.
PRESETS = (
    ("paper", "*", dgm.OTHERS, dict(ngf=37)),
    ("laptop improved", "*", "grey imagenet50", dict(ngf=52)),
    ("laptop improved", "*", "cifar10 colour", dict(ngf=78)),
    ("*", "mergan dgr", "*", dict(critic_replay=True)),  # G itself learns from old images
    ("*", "dgr", "*", dict(aux_fakes=False, classifier_images="real")),  # what it generates has no
)  # name


def parse_args(argv: list[str]) -> argparse.Namespace:
    """All flags, checked."""
    parser = common.new_parser(__doc__)
    parser.prog = "python -m beyond.generators"
    dgm.shared_flags(parser)
    add = parser.add_argument_group("how G remembers (values are our choice)").add_argument
    add("--memory", choices=[*MEMORY], default="mergan", help="which of the four")
    add("--align-weight", type=float, default=1.0, help="λ_RA, weight of the replay alignment")
    add("--ewc-lambda", type=float, default=1e6, help="λ, weight of EWC's penalty")
    # what dgm.py's flags can do besides, and these generators cannot
    parser.set_defaults(veto=False, replay="gan", real_ratio=0.0, memory_size=0)
    args = dgm.parse_with_presets(parser, argv, dgm.PRESETS, PRESETS)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """UserError for values that argparse lets through."""
    dgm.check_shared(args)
    if args.memory == "dgr" and (args.aux_fakes or args.classifier_images != "real"):
        flag = "--aux-fakes" if args.aux_fakes else f"--classifier-images {args.classifier_images}"
        raise common.UserError(f"{flag}: the images that DGR generates have no class")
    if not args.critic_replay and MEMORY[args.memory].batch is together:
        raise common.UserError("--no-critic-replay: mergan and dgr learn from old images")


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says and write the result."""
    argv = common.with_row(sys.argv[1:] if argv is None else argv, ROWS, DEMO)
    common.carry_out(run, parse_args(argv), argv, "dgm", "-m beyond.generators")


DEVIATIONS = """What was our choice.

All four are built from their papers' equations on DGM's nets: D (but in row dgr, see below) and
Adam are new in every task, where the sources go on with the old ones. The generator has MeRGAN's
size (37 units; in laptop 52, in colour 78, so that DGMw ends at about the share of it that Table 3
has). It normalises every image by itself, with a scale and a shift for each class; BatchNorm's
statistics would follow the newest class. Joint retraining shows D as many images per step as DGM
does, every class as often; alignment and EWC show it what DGM does. In the residual nets at the
paper's size all generators begin at 128 units. DGR's fakes have no class, so D does not classify
them; a replayed image has the most likely class of the last task's classifier. EWC's Fisher
information is taken of L_G, on 500 generated images one by one at the end of a task, summed over
tasks, around the latest weights. λ = 1e6 (of 1e4, 1e6, 1e7, 1e8) and λ_RA = 1 (of 0.1, 1, 10) were
chosen after four classes of MNIST, on 10,000 held-out images, with 20,000 training images and seed
0, and are taken everywhere: on glyphs-rgb EWC's generator hardly changes, nor learns. Rate and
steps are DGM's: each method, DGMw and DGMa too, had three tries on held-out images of five classes
(docs/tuning.md). Twice the rate changes little; twice the steps helps all a little but retrained
MeRGAN. A D that goes on with added outputs (--keep-critic) helped DGR by a point (after ten
classes, by far more) and harmed the other three: so in row dgr it has one, the others have a new D
in each task. On colour images DGR's classifier learns from real images of the new class, as what it
generates has no name: a handicap that no other row has.
"""


if __name__ == "__main__":
    common.exit_in_one_line(main)
