"""common.Run on toy trainings: killed at every checkpoint, and again, it ends in the same bytes."""

import dataclasses

import pytest
import torch
from torch import nn

import common

CPU = torch.device("cpu")


@dataclasses.dataclass
class Past:
    """What a toy keeps from task to task."""

    net: nn.Module
    images: torch.Tensor  # grows with the tasks
    notes: list
    maybe: torch.Tensor | None = None


def toy(run, nested=True):
    """Three tasks of two loops, with random numbers drawn before, between, in and after them."""
    torch.manual_seed(0)
    net, record = nn.Linear(3, 2), {"R": [], "curve": []}
    past = Past(nn.Linear(3, 2), torch.zeros(0, 3), [])
    for t in run.tasks(3, net=net, past=past, record=record):
        x = torch.randn(8, 3) + past.images.sum()
        opt = torch.optim.Adam(net.parameters(), 0.1)
        for e in run.epochs("net", 3, net=net, opt=opt, record=record):
            loss = (net(x + torch.randn(8, 3)) - past.net(x)).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            record["curve"].append([t, e, loss.item()])
        record["R"].append(torch.rand(1).item() + net.weight.sum().item())
        other = nn.Linear(3, 2)  # made between the loops, from the generator's state there
        opt = torch.optim.SGD(other.parameters(), 0.1, momentum=0.9)
        for e in run.epochs("other", 2 + t, other=other, opt=opt):
            if e == 3:
                break
            loss = other(torch.randn(4, 3)).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
        past.net.load_state_dict(other.state_dict())
        past.images = torch.cat([past.images, torch.randn(1, 3)])
        for note in past.notes:
            note["x"] += torch.randn(2)  # in place: what a checkpoint keeps must not follow
        past.notes.append({"t": t, "x": torch.randn(2)})
        past.maybe = None if t == 1 else torch.randn(t + 1)
    whole = [net.weight, net.bias, *past.net.parameters(), past.images, past.maybe, torch.rand(3)]
    return [v.tolist() for v in whole], record, [(n["t"], n["x"].tolist()) for n in past.notes]


def flat(run):
    """Two loops and no tasks."""
    torch.manual_seed(1)
    net = nn.Linear(2, 2)
    for name in ("first", "second"):
        for _ in run.epochs(name, 4, net=net):
            net.weight.data += torch.randn(2, 2)
        net.bias.data += torch.randn(2)
    return net.weight.tolist(), net.bias.tolist(), torch.rand(2).tolist()


def between(run):
    """An optimizer of the first loop steps between the loops, too, and after them."""
    torch.manual_seed(2)
    net, other = nn.Linear(2, 2), torch.zeros(2)
    opt = torch.optim.Adam(net.parameters(), 0.1)

    def step():
        opt.zero_grad()
        net(torch.randn(4, 2)).square().mean().backward()
        opt.step()

    for _ in run.epochs("first", 3, net=net, opt=opt):
        step()
    step()
    for _ in run.epochs("second", 4, other=other):
        other += torch.randn(2)
    step()
    return net.weight.tolist(), other.tolist(), torch.rand(2).tolist()


def start(path):
    return common.Run(str(path), {"lr": 0.1}, CPU, every=0)


class Killed(Exception):
    pass


def killed(train, path, monkeypatch, *saves):
    """Kill a training after so many checkpoints, start it again, and so on; what it ends in."""
    save, left = common.save_checkpoint, [0]

    def save_and_kill(*args):
        save(*args)
        left[0] -= 1
        if not left[0]:
            raise Killed

    monkeypatch.setattr(common, "save_checkpoint", save_and_kill)
    for n in saves:
        left[0] = n
        with pytest.raises(Killed):
            train(start(path))
    left[0] = -1
    result = train(start(path))
    monkeypatch.setattr(common, "save_checkpoint", save)
    path.with_name(path.name + ".ckpt").unlink()
    return result


def checkpoints(train, path, monkeypatch):
    count, save = [], common.save_checkpoint
    monkeypatch.setattr(common, "save_checkpoint", lambda *args: count.append(0))
    whole = train(start(path))
    monkeypatch.setattr(common, "save_checkpoint", save)
    return whole, len(count)


@pytest.mark.parametrize("train", [toy, flat, between])
def test_a_training_killed_at_any_checkpoint_ends_in_the_same_bytes(train, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    whole, n = checkpoints(train, path, monkeypatch)
    assert n == {toy: 3 * (1 + 3) + 2 + 3 + 3, flat: 8, between: 7}[train]
    for first in range(1, n + 1):
        assert killed(train, path, monkeypatch, first) == whole, first


@pytest.mark.parametrize("train", [toy, flat, between])
def test_a_second_kill_changes_nothing_either(train, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    whole, n = checkpoints(train, path, monkeypatch)
    for first in range(1, n, 2):
        for second in (1, 2):
            if first + second < n - 1:
                assert killed(train, path, monkeypatch, first, second) == whole, (first, second)


def test_what_is_not_named_is_lost(tmp_path, monkeypatch):
    """So that the tests above could fail: a loop that changes what it does not name."""

    def forgetful(run):
        net, other = torch.zeros(1), torch.zeros(1)
        for _ in run.epochs("net", 3, net=net):
            net += 1
            other += 1
        return net.item(), other.item()

    path = tmp_path / "r.json"
    whole, _ = checkpoints(forgetful, path, monkeypatch)
    assert whole == (3, 3) and killed(forgetful, path, monkeypatch, 2) == (3, 1)


def test_two_loops_of_one_name_are_a_mistake(tmp_path):
    run = start(tmp_path / "r.json")
    list(run.epochs("net", 1))
    with pytest.raises(ValueError, match="called net"):
        list(run.epochs("net", 1))


def test_seconds_are_counted_by_task_and_loop_over_all_starts(tmp_path, monkeypatch):
    clock = [0.0]

    def tick(seconds):
        clock[0] += seconds

    def work(run):
        for _ in run.tasks(2):
            for _ in run.epochs("net", 2):
                tick(3)
                with run.aside("evaluation", "net"):
                    tick(1)
            tick(10)
        return run.seconds, run.wall_s()

    monkeypatch.setattr(common.time, "perf_counter", lambda: clock[0])
    whole = work(common.Run(str(tmp_path / "a.json"), {}, CPU, every=1e9))
    assert whole == ([{"before net": 0.0, "net": 6.0, "evaluation": 2.0}] * 2, 36.0)
    clock[0] = 0.0
    seconds, wall = killed(work, tmp_path / "b.json", monkeypatch, 3)
    assert seconds == whole[0]
    assert wall >= 36.0


def test_a_checkpoint_of_another_run_is_refused(tmp_path, monkeypatch):
    with pytest.raises(AttributeError):
        killed(lambda run: list(run.epochs("net", 3)) and None.x, tmp_path / "r.json", monkeypatch)
    with pytest.raises(common.UserError, match="lr=0.1, this run has lr=0.2"):
        common.Run(str(tmp_path / "r.json"), {"lr": 0.2}, CPU, every=0)


def test_a_loss_that_is_not_finite_names_task_and_epoch(tmp_path):
    run = start(tmp_path / "r.json")
    for _ in run.tasks(2):
        for _ in run.epochs("net", 3):
            run.check_finite("lower --lr", 1.0)
        with pytest.raises(common.RunError, match="r, task 1/2, net epoch 3: .*nan; lower --lr"):
            run.check_finite("lower --lr", 1.0, float("nan"))
        break
