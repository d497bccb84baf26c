"""What tables and pages are made of."""

import json

import numpy as np
import pytest
import torch

import common
from tools.tables import fill_between_markers, mean_sd, numbered_list, unpack_images


def test_images_survive_json():
    x = torch.randint(0, 256, (3, 1, 4, 5), dtype=torch.uint8)
    again = unpack_images(json.loads(json.dumps(common.pack_images(x))))
    assert np.array_equal(again, x.numpy())


def test_mean_and_sample_deviation():
    assert mean_sd([1.0, 3.0], 2) == "2.00 ± 1.41 (2)"
    assert mean_sd([-0.5]) == "−0.500 (1)"


def test_markers_are_filled_and_required(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin t -->\nold\n<!-- end t -->\nb\n")
    fill_between_markers(page, "t", "| new |\n")
    assert page.read_text() == "a\n<!-- begin t -->\n| new |\n<!-- end t -->\nb\n"
    with pytest.raises(common.UserError, match="once each"):
        fill_between_markers(page, "other", "x")


def test_a_list_of_deviations_becomes_a_line_each():
    text = "Words before.\n\n 1. One,\n    over two lines of 3.5.\n 2. Two.\n\nWords behind.\n"
    assert numbered_list(text) == "1. One, over two lines of 3.5.\n2. Two."
