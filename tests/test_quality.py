"""common.memory_quality: how good a memory of generated images is (margins: test_learning)."""

import pytest
import torch

import common

OWNER = torch.arange(10) // 2


def images(n, classes, seed=0):
    """n images uint8 [n, 1, 16, 16], each class a bright row of its own, and labels [n]."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.tensor(classes)[torch.arange(n) % len(classes)]
    x = torch.randint(0, 60, (n, 1, 16, 16), generator=rng, dtype=torch.uint8)
    x[torch.arange(n), 0, y + 3] = 220
    return x, y


def measure(generated, real, seed=0):
    return common.memory_quality(generated, real, images(200, range(10), 7), OWNER, seed)


def test_a_measured_run_draws_the_same_random_numbers():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = measure(images(200, range(4)), images(100, [2, 3], 1))
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert measure(images(200, range(4)), images(100, [2, 3], 1)) == first
    assert measure(images(200, range(4)), images(100, [2, 3], 1), seed=1) != first


def test_what_is_measured_and_of_which_tasks():
    found = measure(images(400, range(4)), images(100, [2, 3], 1))
    assert list(found) == ["GAN-train", "by task", "GAN-test", "told apart"]
    assert len(found["by task"]) == 2
    assert min(found["GAN-train"], found["GAN-test"], *found["by task"]) > 0.9  # a bright row
    assert 0.2 < found["told apart"] < 0.8  # the same images but for the noise


def test_a_class_that_is_not_generated_is_not_known():
    found = measure(images(200, [0, 1]), images(100, [2, 3], 1))
    assert found["GAN-train"] == 0 and found["by task"][1] == 0
    assert found["GAN-test"] is None and found["told apart"] is None


def test_a_task_of_one_class_has_no_gan_test():
    found = common.memory_quality(
        images(100, [0, 1]), images(50, [1], 1), images(100, range(3)), torch.arange(3), 0
    )
    assert found["GAN-test"] is None and found["told apart"] is not None


@pytest.mark.parametrize("size", [4, 16, 28, 64, 100])
def test_images_of_any_size(size):
    x = torch.randint(0, 256, (40, 3, size, size), dtype=torch.uint8)
    y = torch.arange(40) % 2
    found = common.memory_quality((x, y), (x, y), (x, y), torch.zeros(2, dtype=torch.int64), 0)
    assert 0 <= found["GAN-train"] <= 1


def test_a_line_says_when_the_memory_is_poor(capsys):
    for knows, classes, says in ((0.74, 2, True), (0.76, 2, False), (0.54, 10, True),
                                 (0.56, 10, False), (0.2, 1, False)):  # fmt: skip
        common.tell_quality({"GAN-train": knows}, "task 3", classes, "train longer (--steps)")
        err = capsys.readouterr().err
        assert err.startswith("warning: task 3: the memory is poor") == says
        assert ("--steps" in err and f"{knows:.0%}" in err) == says


def test_negatives_and_noise():
    x = torch.full((400, 1, 2, 2), 0.5)
    seen = common.jitter(x, 0.1)
    share = (seen.mean((1, 2, 3)) < 0).float().mean()
    assert 0.4 < share < 0.6 and (seen.abs() - 0.5).abs().mean() < 0.1
    assert torch.equal(common.jitter(x, 0.0).abs(), x)
