"""common.py: what a person sees in an image file is what is read; folders, links and waiting."""

import errno
import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS

import common

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
NOISE = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
BLACK_INK, WHITE_INK, NOTHING = (0, 0, 0, 255), (255, 255, 255, 255), (0, 0, 0, 0)


def read(*paths, size=0):
    """What read_images makes of files, as nested lists [N, C, H, W]."""
    return common.read_images([str(path) for path in paths], size)


def save(folder, image, name="a.png", **options):
    image.save(folder / name, **options)
    return folder / name


def ink_on_nothing(ink, size=(6, 4)):
    """RGBA: the left half is `ink`, the right half transparent."""
    image = Image.new("RGBA", size, NOTHING)
    image.paste(ink, (0, 0, size[0] // 2, size[1]))
    return image


def png(path, bits, colour, rows, key=()):
    """A PNG of any depth, which Pillow cannot write; `key` is the tRNS chunk's numbers."""

    def chunk(kind, body):
        whole = kind + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    channels = 3 if colour == 2 else 1
    packed = b""
    for row in rows:
        binary = "".join(f"{int(value):0{bits}b}" for value in row)
        binary += "0" * (-len(binary) % 8)
        packed += b"\0" + int(binary, 2).to_bytes(len(binary) // 8, "big")
    head = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), bits, colour, 0, 0, 0)
    trns = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    body = chunk(b"IHDR", head) + trns + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def tiff(path, width, height, bits, pixels, photometric=1, sample_format=1):
    """An uncompressed little-endian greyscale TIFF; `pixels` are its packed bytes."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(pixels)), (339, sample_format)]
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = 8 + len(pixels)
    path.write_bytes(b"II*\0" + struct.pack("<I", start) + pixels + directory + bytes(4))
    return path


def refusal(*paths):
    with pytest.raises((common.UserError, ValueError)) as error:
        read(*paths)
    assert "\n" not in str(error.value)
    return str(error.value)


# -------------------------------------------------------------------------------- deep and strange


@pytest.mark.parametrize("size", [0, 7])
@pytest.mark.parametrize("mode, ending", [
    ("RGB", "png"), ("L", "png"), ("1", "png"), ("RGB", "jpg"), ("L", "jpg"), ("L", "bmp"),
    ("RGB", "tif"),
])  # fmt: skip
def test_plain_modes_are_read_as_they_always_were(tmp_path, mode, ending, size):
    path = save(tmp_path, Image.fromarray(NOISE).convert(mode), f"a.{ending}")
    expected = Image.open(path).convert("RGB")
    if size:
        expected = expected.resize((size, size), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.asarray(expected).transpose(2, 0, 1).copy())
    assert torch.equal(read(path, size=size)[0], expected if mode == "RGB" else expected[:1])


def save_pgm(path, values):
    path.write_bytes(b"P5 16 16 65535\n" + values.astype(">u2").tobytes())
    return path


@pytest.mark.parametrize("form", ["png", "tif", "big-endian tif", "pgm", "inverted tif"])
def test_sixteen_bit_grey_is_scaled_from_its_full_range(tmp_path, form):
    values = RAMP.astype(np.uint16) * 257
    values[3, 3] += 120  # rounds down
    values[4, 4] += 130  # rounds up
    expected = RAMP.copy()
    expected[4, 4] += 1
    path = tmp_path / f"a.{form[-3:]}"
    if form == "pgm":
        save_pgm(path, values)
    elif form == "inverted tif":
        tiff(path, 16, 16, 16, (65535 - values).astype("<u2").tobytes(), photometric=0)
    elif form == "big-endian tif":
        Image.frombytes("I;16B", (16, 16), values.astype(">u2").tobytes()).save(path)
        assert Image.open(path).mode == "I;16B"
    elif form == "png":
        png(path, 16, 0, values)
    else:
        tiff(path, 16, 16, 16, values.astype("<u2").tobytes())
    assert read(path).tolist() == [[expected.tolist()]]


def test_twelve_bits_are_scaled_from_twelve(tmp_path):
    pairs = [(0, 4095), (2048, 1024)]
    packed = b"".join((a << 12 | b).to_bytes(3, "big") for a, b in pairs)
    path = tiff(tmp_path / "a.tif", 2, 2, 12, packed)
    assert read(path).tolist() == [[[[0, 255], [128, 64]]]]


def test_what_has_no_known_range_is_refused_by_name(tmp_path):
    floats = save(tmp_path, Image.fromarray(RAMP.astype(np.float32)), "f.tif")
    ints = save(tmp_path, Image.fromarray(RAMP.astype(np.int32)), "i.tif")
    signed = tiff(tmp_path / "s.tif", 2, 1, 16, struct.pack("<hh", -5, 900), sample_format=2)
    for path, mode in ((floats, "F"), (ints, "I"), (signed, "I")):
        message = refusal(path)
        assert str(path) in message and f"mode {mode} (TIFF)" in message and "8-bit" in message
    folder = tmp_path / "pets"
    for split in ("train", "test"):
        (folder / split / "cat").mkdir(parents=True)
        save(folder / split / "cat", Image.open(floats), "f.tif")
    with pytest.raises(common.UserError, match="train/cat/f.tif: nothing tells"):
        common.load_dataset("pets", tmp_path)


def test_lab_is_converted_or_refused(tmp_path):
    path = save(tmp_path, Image.new("LAB", (4, 4), (128, 128, 128)), "lab.tif")
    try:
        Image.open(path).convert("RGB")
    except ValueError:
        assert str(path) in refusal(path)
    else:
        assert read(path).shape[1] in (1, 3)


@pytest.mark.parametrize("mode, ending", [("CMYK", "jpg"), ("CMYK", "tif")])
def test_other_colour_spaces_convert_as_they_did(tmp_path, mode, ending):
    path = save(tmp_path, Image.fromarray(NOISE).convert(mode), f"a.{ending}")
    expected = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    assert read(path)[0].tolist() == expected.tolist()


# ---------------------------------------------------------------------------------- transparency


def test_black_ink_is_put_on_white(tmp_path, capsys):
    ink = ink_on_nothing(BLACK_INK)
    ink.putpixel((0, 0), (0, 0, 0, 64))
    palette = Image.new("P", (6, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    palette.paste(0, (0, 0, 3, 4))
    files = [save(tmp_path, ink, "a.webp", lossless=True), save(tmp_path, ink, "a.tif")]
    files += [save(tmp_path, ink), save(tmp_path, ink.convert("LA"), "la.png")]
    expected = [[[0] * 3 + [255] * 3] * 4]
    keyed = [save(tmp_path, palette, "p.png", transparency=1)]
    keyed += [save(tmp_path, palette, "bytes.png", transparency=b"\xff\x00")]
    assert [x.tolist() for x in read(*keyed)] == [expected] * 2
    for x in read(*files):
        assert x[0, 0, 0] in (190, 191, 192)  # a quarter black
        x[0, 0, 0] = 0
        assert x.tolist() == expected
    assert not capsys.readouterr().err


def test_palette_with_half_transparent_entries(tmp_path):
    image = Image.new("P", (3, 1))
    image.putpalette([200, 0, 0, 0, 0, 200, 0, 0, 0])
    image.putdata([0, 1, 2])
    path = save(tmp_path, image, transparency=b"\x80\x00\xff")
    x = read(path)[0, :, 0].T.tolist()
    assert x[1:] == [[255, 255, 255], [0, 0, 0]]
    assert np.abs(np.array(x[0]) - [227, 127, 127]).max() <= 1


@pytest.mark.parametrize("bits, colour, row, key, expected", [
    (1, 0, [0, 1, 0], [1], [0, 255, 0]),
    (1, 0, [0, 1, 0], [0], [0, 255, 0]),  # white on nothing: on black, then
    (2, 0, [0, 1, 2, 3], [1], [0, 255, 170, 255]),
    (4, 0, [0, 3, 15], [3], [0, 255, 255]),
    (8, 0, [0, 3, 200], [3], [0, 255, 200]),
    (16, 0, [0, 770, 771, 65535], [770], [0, 255, 3, 255]),
    (8, 2, [0, 0, 0, 10, 20, 30], [10, 20, 30], [0, 255]),
    (16, 2, [0, 0, 0, 2570, 5140, 7710], [2570, 5140, 7710], [0, 255]),
])  # fmt: skip
def test_a_transparent_value_is_put_on_white(tmp_path, bits, colour, row, key, expected):
    path = png(tmp_path / "a.png", bits, colour, [row], key)
    assert read(path).tolist() == [[[expected]]]


def test_white_ink_puts_the_whole_folder_on_black(tmp_path, capsys):
    grey, white = ink_on_nothing((90, 90, 90, 255)), ink_on_nothing(WHITE_INK)
    plain = Image.new("RGB", (6, 4), "white")
    files = [save(tmp_path, grey), save(tmp_path, white, "w.png"), save(tmp_path, plain, "o.png")]
    x = read(*files)
    assert x[:, 0, 0].tolist() == [[90] * 3 + [0] * 3, [255] * 3 + [0] * 3, [255] * 6]
    (line,) = capsys.readouterr().err.splitlines()
    assert str(files[1]) in line and "on black" in line


def test_ink_that_no_ground_shows_is_refused(tmp_path, capsys):
    files = [save(tmp_path, ink_on_nothing(ink), f"{i}.png")
             for i, ink in enumerate((BLACK_INK, WHITE_INK))]  # fmt: skip
    message = refusal(*files)
    assert all(str(path) in message for path in files) and not capsys.readouterr().err
    hidden = Image.fromarray(NOISE)
    hidden.putalpha(0)  # colours that nobody sees
    assert "h.png would vanish" in refusal(save(tmp_path, hidden, "h.png"))


def test_an_empty_picture_is_no_lost_one(tmp_path, capsys):
    empty = save(tmp_path, Image.new("RGBA", (3, 2)))
    paper = save(tmp_path, Image.new("RGBA", (3, 2), WHITE_INK), "b.png")
    assert (read(empty, paper) == 255).all() and not capsys.readouterr().err


# ------------------------------------------------------------------------- orientation and colour


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["png", "jpg", "tif", "packed tif", "16-bit tif", "rgba png"])
def test_pictures_are_turned_upright(tmp_path, orientation, form):
    image = Image.new("L", (16, 8))
    image.paste(255, (0, 0, 8, 8))  # white on the left
    if form == "16-bit tif":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    if form == "rgba png":
        image = image.convert("RGBA")
        image.putpixel((15, 7), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if form.endswith("tif") else {"exif": exif}
    options |= {"compression": "tiff_lzw"} if form == "packed tif" else {}
    x = read(save(tmp_path, image, f"a.{form[-3:]}", **options))[0, 0]
    white = {"left": x[:4, :4], "right": x[:4, -4:], "top": x[:4, :4], "bottom": x[-4:, :4]}
    side = "left right right left top top bottom bottom".split()[orientation - 1]
    assert x.shape == ((8, 16) if orientation < 5 else (16, 8))
    assert white[side].min() > 250 and 64 * 0.97 < (x > 128).sum() < 66


def test_damaged_exif_does_not_lose_a_sound_picture(tmp_path, monkeypatch):
    def fail(image):
        raise struct.error("unpack requires a buffer of 2 bytes")

    path = save(tmp_path, Image.fromarray(NOISE))
    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    assert read(path)[0].tolist() == NOISE.transpose(2, 0, 1).tolist()


def test_grey_in_colour_files_has_one_channel(tmp_path):
    grey = Image.fromarray(RAMP)
    palette = grey.convert("P")
    assert palette.mode == "P"
    files = [save(tmp_path, grey.convert(mode), f"{mode}.png") for mode in ("RGB", "RGBA", "L")]
    files.append(save(tmp_path, palette, "p.png"))
    assert [x.tolist() for x in read(*files)] == [[RAMP.tolist()]] * 4
    assert read(*files, size=5).shape == (4, 1, 5, 5)
    almost = grey.convert("RGB")
    almost.putpixel((15, 15), (255, 255, 254))
    assert read(*files, save(tmp_path, almost, "z.png")).shape == (5, 3, 16, 16)


# ------------------------------------------------------------------------------ folders and links


def make_folder(root, classes=("cat", "dog"), count=2):
    """`count` images of one grey in every class of root/train and root/test, numbered on."""
    level = 0
    for split in ("train", "test"):
        for label in classes:
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                save(root / split / label, Image.new("L", (2, 2), level), f"{i}.png")
                level += 1
    return root


def complaint(*args, **kwargs):
    """The one line of the UserError that load_dataset must raise."""
    with pytest.raises(common.UserError) as error:
        common.load_dataset(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_ordinary_folder_is_listed_as_torchvision_does(tmp_path):
    folder = make_folder(tmp_path / "pets", ("cat", "Dog", "a-b", "ab")) / "train"
    for place in ("cat/b", "cat/b/c", "cat/B", "cat/b-d"):
        (folder / place).mkdir()
        for name in ("1.png", "0.JPG", "2.webp", "x.txt", "x.gif", "1.Tiff"):
            (folder / place / name).touch()
    theirs = datasets.ImageFolder(folder)
    assert common.class_names(folder) == theirs.classes
    ours = [(path, y) for y, c in enumerate(theirs.classes) for path in
            common.list_images(folder / c)]  # fmt: skip
    assert ours == theirs.samples
    assert common.IMAGES == IMG_EXTENSIONS


def test_what_tools_leave_behind_is_skipped(tmp_path):
    folder = make_folder(tmp_path / "pets")
    for split in ("train", "test"):
        for place in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints",
                      "cat/__MACOSX", "cat/sub", ".git"):  # fmt: skip
            (folder / split / place).mkdir()
            (folder / split / place / "._0.png").write_bytes(b"not an image")
        for place in (".ipynb_checkpoints", "cat/.ipynb_checkpoints", "cat/__MACOSX"):
            (folder / split / place / "0.png").write_bytes(b"not an image")
        (folder / split / "cat/._0.png").write_bytes(b"not an image")
        (folder / split / "Thumbs.db").touch()
    data = common.load_dataset("pets", tmp_path)
    assert data.classes == ("cat", "dog") and data.y_train.tolist() == [0, 0, 1, 1]


def test_colour_is_known_before_anything_is_read(tmp_path):
    grey, pets = make_folder(tmp_path / "grey"), make_folder(tmp_path / "pets")
    Image.new("RGB", (2, 2), (9, 8, 7)).save(pets / "train/cat/0.png")
    (tmp_path / "text").mkdir()
    for name, colour in (("mnist", False), ("cifar10", True), ("glyphs", False), ("nowhere", False),
                         ("glyphs-rgb", True), ("pets", True), (str(pets), True), ("grey", False),
                         (str(grey), False), ("text", False)):  # fmt: skip
        assert common.has_colour(name, tmp_path) is colour, name


def test_numbers_are_ordered_as_numbers(tmp_path):
    make_folder(tmp_path / "digits", ("10", "2", "0", "1"), 1)
    data = common.load_dataset("digits", tmp_path)
    assert data.classes == ("0", "1", "2", "10")
    assert data.x_train[:, 0, 0, 0].tolist() == [2, 3, 1, 0]
    assert data.y_train.tolist() == [0, 1, 2, 3]
    make_folder(tmp_path / "text", ("n10", "n2", "b", "A"), 1)
    assert common.load_dataset("text", tmp_path).classes == ("A", "b", "n10", "n2")


def test_a_class_without_images_is_named(tmp_path):
    folder = make_folder(tmp_path / "pets", ("cat", "dog", "eel"))
    for path in (folder / "test" / "eel").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert f"in {folder}/test/eel" in complaint("pets", tmp_path)
    for split in ("train", "test"):
        (tmp_path / "void" / split).mkdir(parents=True)
    assert f"no class folder in {tmp_path}/void/train" in complaint("void", tmp_path)


def test_links_that_lead_back_are_followed_once(tmp_path):
    folder = make_folder(tmp_path / "pets", count=3) / "train"
    (folder / "cat" / "sub").mkdir()
    save(folder / "cat" / "sub", Image.new("L", (2, 2)))
    links = {"here": ".", "again": "../cat", "up": "..", "top": "../..", "sub/back": ".."}
    links |= {"sub/deep": "../sub", "itself": "itself"}
    for name, target in links.items():
        (folder / "cat" / name).symlink_to(target)
    data = common.load_dataset("pets", tmp_path)
    assert data.y_train.tolist() == [0] * 4 + [1] * 3


def test_links_to_other_places_still_work(tmp_path):
    folder = make_folder(tmp_path / "pets")
    other = make_folder(tmp_path / "other")
    (other / "train" / "cat").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(folder)  # which holds the class's name
    for split in ("train", "test"):
        (folder / split / "fox").symlink_to(tmp_path / "elsewhere")
    (folder / "train" / "cat" / "file.png").symlink_to("0.png")
    (folder / "train" / "cat" / "one").symlink_to(other / "train" / "dog")
    (folder / "train" / "cat" / "two").symlink_to(other / "train" / "dog")
    data = common.load_dataset("pets", tmp_path)
    assert data.y_train.tolist() == [0] * 5 + [1] * 2 + [2] * 2
    assert data.x_train[:5, 0, 0, 0].tolist() == [0, 1, 0, 2, 3] and len(data.x_test) == 6


# --------------------------------------------------------------------- waiting, and where to write


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """A sound MNIST of 20 + 10 images in tmp_path/data."""
    small = common.SOURCES["mnist"]._replace(train=20, test=10)
    monkeypatch.setitem(common.SOURCES, "mnist", small)
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for (name, _), count in zip(datasets.MNIST.resources, (20, 20, 10, 10)):
        body = struct.pack(">ii", 0x801, count) + bytes(i % 10 for i in range(count))
        if "images" in name:
            body = struct.pack(">iiii", 0x803, count, 28, 28) + bytes(784 * count - 1) + b"\1"
        (raw / name.removesuffix(".gz")).write_bytes(body)
    return tmp_path / "data"


@pytest.fixture
def silent(monkeypatch):
    """A server that takes every connection, here torchvision's for MNIST, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [url])
        monkeypatch.setattr(common, "DOWNLOAD_TIMEOUT", 0.3)
        yield url


def test_a_server_that_never_answers_is_given_up(tmp_path, silent, capsys):
    start = time.monotonic()
    message = complaint("mnist", tmp_path)
    assert time.monotonic() - start < 20
    assert "timed out" in message and "0.3 s" in message
    for way_out in ("retry the download", "by hand", "--dataset glyphs"):
        assert way_out in message
    assert f"downloading or unpacking mnist in {tmp_path}" in capsys.readouterr().err.splitlines()
    assert socket.getdefaulttimeout() is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_nothing_is_said_when_nothing_is_fetched(mnist, capsys):
    common.load_dataset("mnist", mnist)
    said = capsys.readouterr()
    assert not said.err and not said.out


@pytest.mark.parametrize("there", [True, False])
def test_only_what_is_missing_is_fetched(tmp_path, capsys, there):
    asked = []

    class Archive:
        def __init__(self, root, split, download=False):
            asked.append((split, download))
            if not (there or download):
                raise RuntimeError("Dataset not found or corrupted.")

    common.read_or_download("svhn", Archive, tmp_path)
    both = [("train", not there), ("test", not there)]
    assert asked == (both if there else [("train", False), *both])
    assert ("downloading" in capsys.readouterr().err) != there
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(common.fcntl is None, reason="no locks here")
def test_a_run_that_waits_says_so(mnist, monkeypatch, capsys):
    monkeypatch.setattr(common, "LOCK_NEWS", 0.3)
    release, loaded = threading.Event(), []

    def hold():
        with common.locked(mnist):
            holding.set()
            release.wait(20)

    holding = threading.Event()
    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert holding.wait(20)
    threads.append(
        threading.Thread(target=lambda: loaded.append(common.load_dataset("mnist", mnist)))
    )
    threads[1].start()
    lines, until = [], time.monotonic() + 20
    while len(lines) < 2 and time.monotonic() < until:
        time.sleep(0.05)
        lines += capsys.readouterr().err.splitlines()
    assert not loaded
    release.set()
    for thread in threads:
        thread.join(20)
    assert set(lines) == {f"waiting for another run that is loading data into {mnist}"}
    assert len(lines) >= 2 and len(loaded) == 1


def test_a_drive_that_cannot_lock_still_serves(mnist, monkeypatch):
    if common.fcntl is None:
        pytest.skip("no locks here")

    def fail(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(common.fcntl, "flock", fail)
    assert len(common.load_dataset("mnist", mnist).y_test) == 10


def forbid(kind, code):
    def fail(path, *args, **kwargs):
        raise kind(code, os.strerror(code), str(path))

    return fail


READ_ONLY = [(PermissionError, errno.EACCES), (OSError, errno.EROFS)]


@pytest.mark.parametrize("kind, code", READ_ONLY)
def test_a_read_only_folder_with_all_its_data_is_used(mnist, monkeypatch, kind, code):
    for place, name in ((os, "mkdir"), (os, "open"), (Path, "mkdir")):
        monkeypatch.setattr(place, name, forbid(kind, code))
    assert len(common.load_dataset("mnist", mnist).y_train) == 20


def where_else(root, *args):
    message = complaint("mnist", root, *args)
    assert message.startswith(f"cannot read or write in {root}: ")
    assert "; choose another folder with --data-dir, or use --dataset glyphs" in message


@pytest.mark.parametrize("kind, code", READ_ONLY)
def test_a_folder_that_cannot_be_made_suggests_another(tmp_path, monkeypatch, kind, code):
    monkeypatch.setattr(os, "mkdir", forbid(kind, code))
    where_else(tmp_path / "data")


@pytest.mark.parametrize("kind, code", [*READ_ONLY, (OSError, errno.ENOSPC)])
def test_a_folder_that_cannot_be_written_suggests_another(tmp_path, monkeypatch, kind, code):
    monkeypatch.setattr(os, "mkdir", forbid(kind, code))
    monkeypatch.setattr(os, "open", forbid(kind, code))
    where_else(tmp_path)  # it is there, but nothing is in it


def test_a_file_in_the_place_of_the_folder_suggests_another(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    where_else(tmp_path / "file")
    where_else(tmp_path / "file" / "data")
    (tmp_path / "MNIST").write_text("not a folder")
    where_else(tmp_path)


@pytest.mark.parametrize("typed, meant", [
    ("MNIST", "mnist"), ("mnits", "mnist"), ("FashionMNIST", "fashion-mnist"),
    ("CIFAR-10", "cifar10"), ("Glyphs_RGB", "glyphs-rgb"),
])  # fmt: skip
def test_a_near_miss_is_told_what_was_meant(tmp_path, typed, meant):
    assert f"did you mean {meant}?" in complaint(typed, tmp_path)
    (tmp_path / typed / "raw").mkdir(parents=True)  # as torchvision leaves it
    assert f"did you mean {meant}?" in complaint(typed, tmp_path)
    assert "did you mean" not in complaint("nowhere", tmp_path)


def test_an_image_folder_of_a_like_name_is_read(tmp_path):
    make_folder(tmp_path / "mnist2")
    assert len(common.load_dataset("mnist2", tmp_path).y_train) == 4
