"""common.py: data (every damage gives one readable line), splits, metrics, results, checkpoints."""

import gzip
import hashlib
import importlib.util
import json
import pickle
import random
import struct
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

import common

CPU = torch.device("cpu")
IDX_NAMES = [gz.removesuffix(".gz") for gz, _ in datasets.MNIST.resources]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Every download fails, whatever machine the tests run on."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A sound MNIST of 20 + 10 images below tmp_path; returns the folder of its four files."""
    small = common.SOURCES["mnist"]._replace(train=20, test=10)
    monkeypatch.setitem(common.SOURCES, "mnist", small)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in zip(IDX_NAMES, (20, 20, 10, 10)):
        if "images" in name:
            pixels = np.arange(count * 784) % 251
            data = struct.pack(">iiii", 0x803, count, 28, 28) + bytes(pixels.astype(np.uint8))
        else:
            data = struct.pack(">ii", 0x801, count) + bytes(i % 10 for i in range(count))
        (raw / name).write_bytes(data)
    return raw


def pack(raw, monkeypatch, names=IDX_NAMES):
    """Put a .gz beside each file, with the checksums that torchvision then asks for."""
    sums = dict(datasets.MNIST.resources)
    for name in names:
        packed = gzip.compress((raw / name).read_bytes())
        (raw / f"{name}.gz").write_bytes(packed)
        sums[f"{name}.gz"] = hashlib.md5(packed).hexdigest()
    monkeypatch.setattr(datasets.MNIST, "resources", list(sums.items()))


def make_folder(root, size=8, classes=("cat", "dog"), mode="RGB"):
    """Three noisy png of every class in root/train and root/test."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in classes:
            (root / split / label).mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(root / split / label / f"{i}.png")
    return root


def complaint(*args, **kwargs):
    """The one line of the UserError that load_dataset must raise."""
    with pytest.raises(common.UserError) as error:
        common.load_dataset(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# ------------------------------------------------------------------------------ MNIST-like files


def test_mnist_is_read_from_unpacked_files(mnist, tmp_path):
    data = common.load_dataset("mnist", tmp_path)
    assert data.x_train.shape == (20, 1, 28, 28) and data.x_train.dtype == torch.uint8
    assert data.x_train.flatten().tolist() == [i % 251 for i in range(20 * 784)]
    assert data.y_test.tolist() == list(range(10)) and data.y_test.dtype == torch.int64
    assert len(data.classes) == 10


def test_mnist_is_unpacked_from_gz(mnist, tmp_path, monkeypatch):
    expected = common.load_dataset("mnist", tmp_path)
    pack(mnist, monkeypatch)
    for name in IDX_NAMES:
        (mnist / name).unlink()
    assert torch.equal(common.load_dataset("mnist", tmp_path).x_test, expected.x_test)


@pytest.mark.parametrize("name", IDX_NAMES)
@pytest.mark.parametrize("keep", [0, 9, -1])
def test_mnist_file_cut_short_is_named(mnist, tmp_path, name, keep):
    (mnist / name).write_bytes((mnist / name).read_bytes()[:keep])
    message = complaint("mnist", tmp_path)
    assert f"{mnist / name} is damaged" in message and "--dataset glyphs" in message
    assert "retry the download" in message and "by hand" in message


@pytest.mark.parametrize("name", IDX_NAMES)
def test_interrupted_unpacking_is_done_again(mnist, tmp_path, monkeypatch, name):
    expected = common.load_dataset("mnist", tmp_path)
    pack(mnist, monkeypatch, [name])
    (mnist / name).write_bytes((mnist / name).read_bytes()[:9])
    data = common.load_dataset("mnist", tmp_path)
    assert torch.equal(data.x_train, expected.x_train)
    assert torch.equal(data.y_test, expected.y_test)


def test_mnist_gz_cut_short_is_not_unpacked(mnist, tmp_path, monkeypatch):
    pack(mnist, monkeypatch)
    packed = mnist / f"{IDX_NAMES[0]}.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    (mnist / IDX_NAMES[0]).unlink()
    assert "retry the download" in complaint("mnist", tmp_path)
    assert not (mnist / IDX_NAMES[0]).exists()


@pytest.mark.parametrize("name", IDX_NAMES)
def test_mnist_file_of_zeros_is_refused(mnist, tmp_path, name):
    (mnist / name).write_bytes(bytes((mnist / name).stat().st_size))
    assert "--dataset glyphs" in complaint("mnist", tmp_path)


@pytest.mark.parametrize("name", [name for name in IDX_NAMES if "labels" in name])
def test_mnist_labels_out_of_range_are_refused(mnist, tmp_path, name):
    labels = mnist / name
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0b")
    assert "labels are not" in complaint("mnist", tmp_path)


# ------------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "svhn", "cifar10"])
def test_failed_download_shows_the_ways_out(name, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module)  # as if scipy is there
    message = complaint(name, tmp_path)
    for part in ("retry", f"put {tmp_path}/", "--dataset glyphs"):
        assert part in message


def test_half_a_download_is_never_taken_for_whole(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b half of it")
    assert "no network" in complaint("cifar10", tmp_path)


def test_runs_that_start_together_do_not_download_together(mnist, tmp_path, monkeypatch):
    inside, most = [], []
    files = {path: path.read_bytes() for path in mnist.iterdir()}
    for path in files:
        path.unlink()

    def download(self):
        inside.append(self)
        most.append(len(inside))
        time.sleep(0.1)
        for path, content in files.items():
            path.write_bytes(content)
        inside.pop()

    monkeypatch.setattr(datasets.MNIST, "download", download)
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: common.load_dataset("mnist", tmp_path), range(2)))
    assert most == [1, 1]  # train and test of one; the other waited and found them
    assert torch.equal(both[0].x_train, both[1].x_train)
    monkeypatch.setattr(common, "fcntl", None)  # Windows: without a lock, but as well
    assert torch.equal(common.load_dataset("mnist", tmp_path).x_test, both[0].x_test)


def test_svhn_without_scipy_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    assert "pip install scipy" in complaint("svhn", tmp_path)


def test_cifar10_archive_keeps_rows_columns_and_channels(tmp_path, monkeypatch, capsys):
    pixels = np.arange(10 * 3072).reshape(10, 3072).astype(np.uint8)  # rows: 1024 red, green, blue
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums = {}
    batch = pickle.dumps({"data": pixels, "labels": list(range(10))})
    names = pickle.dumps({"label_names": list("abcdefghij")})
    for name, content in (("a", batch), ("b", batch), ("batches.meta", names)):
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["a", sums["a"]]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["b", sums["b"]]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", sums["batches.meta"])
    source = common.SOURCES["cifar10"]._replace(train=10, test=10)
    monkeypatch.setitem(common.SOURCES, "cifar10", source)
    data = common.load_dataset("cifar10", tmp_path)
    assert capsys.readouterr().err == ""  # nothing is fetched
    assert torch.equal(data.x_train, torch.from_numpy(pixels).view(10, 3, 32, 32))
    assert data.classes == tuple("abcdefghij")
    (folder / "a").write_bytes(batch[:-5])
    assert "retry the download" in complaint("cifar10", tmp_path)


# --------------------------------------------------------------------------------- image folders


def test_folder_is_read_by_path_and_by_name(tmp_path):
    folder = make_folder(tmp_path / "pets")
    data = common.load_dataset("pets", tmp_path)
    assert data.x_train.shape == (6, 3, 8, 8) and data.classes == ("cat", "dog")
    assert data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    pixels = np.asarray(Image.open(folder / "test" / "dog" / "2.png")).transpose(2, 0, 1)
    assert data.x_test[5].tolist() == pixels.tolist()
    again = common.load_dataset(str(folder), tmp_path / "elsewhere")
    assert torch.equal(again.x_train, data.x_train)


@pytest.mark.parametrize("name", ["cifar10", "kmnist"])
def test_a_folder_of_that_name_goes_before_the_download(tmp_path, name):
    make_folder(tmp_path / name)
    assert common.load_dataset(name, tmp_path).classes == ("cat", "dog")


def test_grey_folder_has_one_channel(tmp_path):
    make_folder(tmp_path / "pets", mode="L")
    assert common.load_dataset("pets", tmp_path).x_test.shape == (6, 1, 8, 8)


def test_images_of_two_sizes_need_image_size(tmp_path):
    folder = make_folder(tmp_path / "pets")
    Image.new("RGB", (9, 7)).save(folder / "test" / "cat" / "1.png")
    message = complaint("pets", tmp_path)
    assert "1.png is 9x7, not 8x8" in message and "--image-size" in message
    assert common.load_dataset("pets", tmp_path, image_size=5).x_test.shape == (6, 3, 5, 5)


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_damaged_image_is_named(tmp_path, damage):
    file = make_folder(tmp_path / "pets", size=32) / "train" / "dog" / "1.png"
    whole = file.read_bytes()
    file.write_bytes({"text": b"not an image", "cut": whole[:-900], "empty": b""}[damage])
    message = complaint("pets", tmp_path)
    assert f"{file} is not a readable image" in message and "--dataset glyphs" in message


def test_folder_problems_are_told(tmp_path):
    (tmp_path / "void").mkdir()
    assert "void/train" in complaint("void", tmp_path)
    (make_folder(tmp_path / "gap") / "train" / "eel").mkdir()
    assert "eel" in complaint("gap", tmp_path)
    folder = make_folder(tmp_path / "odd")
    (folder / "test" / "dog").rename(folder / "test" / "fox")
    message = complaint("odd", tmp_path)
    assert "only one of train/ and test/: dog, fox" in message and "--dataset glyphs" in message


def test_unknown_name_lists_the_known_ones(tmp_path):
    message = complaint("imagnet", tmp_path)
    assert all(name in message for name in [*common.SOURCES, "glyphs", "glyphs-rgb"])


# --------------------------------------------------------------------------- subsets and resizing


def test_subset_is_drawn_from_the_seed_with_its_labels(mnist, tmp_path):
    whole = common.load_dataset("mnist", tmp_path)
    part = common.load_torchvision("mnist", tmp_path, 7, 3, seed=1)
    assert len(part.x_train) == len(part.y_train) == 7 and len(part.x_test) == 3
    for x, y in zip(part.x_train, part.y_train):
        (place,) = (whole.x_train == x).flatten(1).all(1).nonzero()
        assert whole.y_train[place] == y
    again = common.load_torchvision("mnist", tmp_path, 7, 0, seed=1)
    other = common.load_torchvision("mnist", tmp_path, 7, 0, seed=2)
    assert torch.equal(again.x_train, part.x_train)
    assert not torch.equal(other.x_train, part.x_train)


def test_sizes_out_of_range_are_refused(mnist, tmp_path):
    make_folder(tmp_path / "pets")
    assert "--train-size 21 is more than the 20" in complaint("mnist", tmp_path, train_size=21)
    assert "--test-size 7 is more than the 6" in complaint("pets", tmp_path, test_size=7)
    assert "is more than the 10000" in complaint("glyphs", tmp_path, train_size=9, test_size=10**8)
    assert "--image-size" in complaint("glyphs", image_size=-1)


def test_resize_averages_and_keeps_the_range():
    x = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    x[0], x[1, :, :, ::4] = 255, 200  # all white; stripes that shrinking has to average
    small = common.resize(x, 2)
    assert small.shape == (2, 1, 2, 2) and (small[0] == 255).all()
    assert (small[1].int() - 50).abs().max() <= 20
    assert common.resize(x, 0) is x and common.resize(x, 16)[0].min() == 255


# ----------------------------------------------------------------------------------------- glyphs


@pytest.mark.parametrize("rgb", [False, True])
def test_glyphs_depend_on_the_seed_and_the_index_alone(rgb):
    state = torch.get_rng_state()
    x, y = common.make_glyphs(1100, 3, rgb)
    assert torch.equal(torch.get_rng_state(), state)
    assert x.shape == ((1100, 3, 32, 32) if rgb else (1100, 1, 28, 28))
    assert x.dtype == torch.uint8 and y.dtype == torch.int64
    assert y[:1000].bincount().tolist() == [100] * 10
    few, labels = common.make_glyphs(1001, 3, rgb)
    assert torch.equal(few, x[:1001]) and torch.equal(labels, y[:1001])
    assert not torch.equal(x[:100], x[1000:])  # the second block is not the first again
    assert not torch.equal(common.make_glyphs(100, 4, rgb)[0], x[:100])


def test_glyph_train_and_test_sets_share_no_image(tmp_path):
    data = common.load_dataset("glyphs", tmp_path, train_size=1000, test_size=1000)
    train, test = ({x.numpy().tobytes() for x in half} for half in (data.x_train, data.x_test))
    assert len(train) == len(test) == 1000 and not train & test
    assert not any(tmp_path.iterdir())


def test_glyphs_sit_in_the_middle_like_mnist():
    ink = common.make_glyphs(1000, 0)[0].float().mean((0, 1))  # [28, 28]
    axis = torch.arange(28) - 13.5
    assert abs((ink.sum(0) * axis).sum() / ink.sum()) < 0.5
    assert abs((ink.sum(1) * axis).sum() / ink.sum()) < 0.5
    assert 20 < ink.mean() < 60  # MNIST: 33
    assert ink[:, [0, -1]].max() < 8


def test_distance_of_a_ring_with_a_hole():
    outer = torch.tensor([[-2.0, -2], [2, -2], [2, 2], [-2, 2], [-2, -2]])
    points = torch.tensor([[0.0, 0], [1.5, 0.25], [3, 0], [3, 3], [0, -1.8]])
    expected = [1, -0.5, 1, 2**0.5, -0.2]
    assert common.outline_distance(points, [outer, outer / 2]).tolist() == pytest.approx(expected)


# ----------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("per_task, sizes", [(1, [1] * 10), (2, [2] * 5), (3, [3, 3, 3, 1])])
def test_splits_are_disjoint_and_complete(per_task, sizes):
    order = common.class_order(10, seed=3, shuffle=True)
    tasks = common.split_classes(order, per_task)
    assert [len(task) for task in tasks] == sizes
    assert sorted(sum(tasks, [])) == list(range(10))
    y = torch.arange(10).repeat(7)
    parts = [common.indices_of(y, task) for task in tasks]
    assert sorted(torch.cat(parts).tolist()) == list(range(70))  # no image in two tasks
    for task, part in zip(tasks, parts):
        assert set(y[part].tolist()) == set(task)
    owner = common.task_of_class(tasks)
    assert all(owner[c] == t for t, task in enumerate(tasks) for c in task)


def test_class_order_depends_on_the_seed_alone():
    assert common.class_order(10) == list(range(10))
    assert common.class_order(10, 1, True) == common.class_order(10, 1, True)
    assert common.class_order(10, 1, True) != common.class_order(10, 2, True)


def test_bad_splits_are_refused():
    for order, per_task in (([0, 1], 0), ([0, 1], 3), ([0, 0, 1], 1)):
        with pytest.raises(common.UserError):
            common.split_classes(order, per_task)
    with pytest.raises(common.UserError, match="class 1"):
        common.task_of_class([[0, 1], [1, 2]])


def test_pixel_permutations():
    rows = common.pixel_permutations(4, 50, seed=1)
    assert torch.equal(rows[0], torch.arange(50))
    assert all(torch.equal(row.sort().values, torch.arange(50)) for row in rows)
    assert len({tuple(row.tolist()) for row in rows}) == 4


# ----------------------------------------------------------------------------------- metrics

# Worked out by hand. Rows: untrained, after task 1, 2, 3.
R = [[0.1, 0.2, 0.3], [0.9, 0.4, 0.1], [0.5, 0.8, 0.2], [0.6, 0.5, 0.7]]


def test_metrics_against_a_matrix_worked_out_by_hand():
    assert common.average_accuracy(R, 1) == pytest.approx(0.9)
    assert common.average_accuracy(R, 2) == pytest.approx((0.5 + 0.8) / 2)
    assert common.average_accuracy(R, 3) == pytest.approx(1.8 / 3)
    assert common.backward_transfer(R) == pytest.approx(((0.6 - 0.9) + (0.5 - 0.8)) / 2)
    assert common.forward_transfer(R) == pytest.approx(((0.4 - 0.2) + (0.2 - 0.3)) / 2)
    assert common.forgetting(R) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.5)) / 2)
    assert common.summarise(R)["A"] == pytest.approx([0.9, 0.65, 0.6])


def test_forgetting_takes_the_maximum_over_earlier_rows_only():
    improved = [[0.1, 0.1], [0.5, 0.1], [0.9, 0.9]]  # task 1 got better: forgetting is negative
    assert common.forgetting(improved) == pytest.approx(-0.4)
    peak_before_learning = [[0, 0, 0], [0.9, 0.99, 0], [0.9, 0.6, 0], [0.9, 0.5, 0.8]]
    assert common.forgetting(peak_before_learning) == pytest.approx((0 + 0.1) / 2)


def test_what_a_single_task_or_joint_training_cannot_tell_is_left_out():
    assert common.summarise([[0.5], [1.0]]) == {"ACC": 1.0, "A": [1.0]}
    assert common.summarise([[0.1, 0.1], [0.9, 0.7]]) == {"ACC": pytest.approx(0.8)}


def test_metrics_of_a_single_task_are_nan():
    one = [[0.5], [1.0]]
    values = (common.backward_transfer(one), common.forward_transfer(one), common.forgetting(one))
    assert all(np.isnan(v) for v in values)


def test_accuracy_by_task_against_a_loop():
    torch.manual_seed(0)
    logits, y = torch.randn(101, 5), torch.randint(5, (101,))
    owner = torch.tensor([1, 0, 0, 2, 1])
    expected = []
    for t in range(3):
        rows = [i for i in range(101) if owner[y[i]] == t]
        expected.append(sum(int(logits[i].argmax() == y[i]) for i in rows) / len(rows))
    row = common.accuracy_by_task(lambda x: x, logits, y, owner, batch=10)
    assert row == pytest.approx(expected)


def test_top_k():
    logits = torch.tensor([[3.0, 2, 1], [1, 2, 3], [2, 3, 1]])
    y = torch.tensor([1, 0, 1])
    assert common.top_k_accuracy(logits, y, 1) == pytest.approx(1 / 3)
    assert common.top_k_accuracy(logits, y, 2) == pytest.approx(2 / 3)
    with pytest.raises(common.UserError):
        common.top_k_accuracy(logits, y, 4)


# ----------------------------------------------------------------------- results, checkpoints


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "a-seed0.json"
    common.write_result(target, {"schema": 1})

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(common.os, "fsync", full)
    with pytest.raises(common.RunError, match="No space left"):
        common.write_result(target, {"schema": 2})
    assert json.loads(target.read_text())["schema"] == 1
    assert list(tmp_path.iterdir()) == [target]


def test_checkpoint_restores_state_and_every_random_generator(tmp_path):
    common.seed_everything(5)
    state = {"w": torch.randn(3), "n": 4, "curve": [[1, 0.5]], "rng": common.rng_state(CPU)}
    common.save_checkpoint(tmp_path / "c", {"lr": 0.1}, state, CPU)
    drawn = (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random())
    loaded = common.load_checkpoint(tmp_path / "c", {"lr": 0.1})["state"]
    common.set_rng_state(loaded["rng"], CPU)
    with pytest.raises(common.UserError, match="made on cuda, not on cpu"):
        common.set_rng_state(loaded["rng"] | {"cuda": torch.zeros(16)}, CPU)
    with pytest.raises(common.UserError, match="made on cpu, not on cuda.*--device cpu"):
        common.set_rng_state(loaded["rng"], torch.device("cuda"))
    assert drawn == (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random())
    assert torch.equal(loaded["w"], state["w"])
    assert loaded["curve"] == state["curve"]
    assert common.load_checkpoint(tmp_path / "none", {}) == {}


def test_foreign_or_damaged_checkpoints_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "c"
    common.save_checkpoint(path, {"lr": 0.1}, {"w": torch.zeros(1000)}, CPU)
    with pytest.raises(common.UserError, match="lr=0.1, this run has lr=0.2"):
        common.load_checkpoint(path, {"lr": 0.2})
    whole = path.read_bytes()
    middle = len(whole) // 2  # within the zeros of w
    flipped = whole[:middle] + bytes([whole[middle] ^ 4]) + whole[middle + 1 :]
    for broken in (whole[:middle], b"", b"not a checkpoint", flipped):
        path.write_bytes(broken)
        with pytest.raises(common.UserError, match="damaged: delete"):
            common.load_checkpoint(path, {"lr": 0.1})
    path.write_bytes(whole)
    monkeypatch.setattr(common, "CHECKPOINT_FORMAT", 99)
    with pytest.raises(common.UserError, match="format 2, this code reads 99"):
        common.load_checkpoint(path, {"lr": 0.1})


def test_devices():
    assert common.choose_device("cpu").type == "cpu"
    for name in ("gpu", "cuda:x", "cuda:99"):
        with pytest.raises(common.UserError, match="--device"):
            common.choose_device(name)


def test_held_out_images_are_no_training_images():
    whole = common.load_dataset("glyphs", train_size=500, test_size=100)
    held = common.load_dataset("glyphs", train_size=500, test_size=100, validation=150)
    assert len(held.y_train) == 350 and len(held.y_test) == 150
    rows = [x.flatten(1).tolist() for x in (held.x_train, held.x_test, whole.x_train)]
    train, test, everything = ({tuple(row) for row in part} for part in rows)
    assert not train & test and train | test == everything
    with pytest.raises(common.UserError, match="less than the 500"):
        common.load_dataset("glyphs", train_size=500, test_size=100, validation=500)


def test_out_of_memory_is_one_line(capsys):
    def hungry():
        torch.empty(10**15)

    with pytest.raises(SystemExit) as stop:
        common.exit_in_one_line(hungry)
    assert stop.value.code == 1 and "out of memory" in capsys.readouterr().err
