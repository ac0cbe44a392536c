"""Narrow floats and complex numbers, of which a tile's part of x is converted into scratch."""

import itertools

import numpy as np
import pytest

from .exact import check


@pytest.mark.parametrize("dtype", [np.complex64, np.float16])
@pytest.mark.parametrize("mode", ["edge", "wrap", "zeros"])
def test_last_tile_of_one_row(kernel_set, mode, dtype):
    """A single row of results reads as many rows of a padded axis as there are taps: more than two do."""
    rng = np.random.default_rng(1)

    def small(*shape):
        return rng.integers(-2, 3, shape).astype(dtype)

    for size, width, taps in itertools.product((1, 2), (20, 99, 199, 499), (3, 5, 8)):
        x, w, p = small(2, size, width), small(2, 1, taps, 2), small(8, 2)
        words = {"padding": "full", "padding_mode": mode, "dilation": (3, 1)}
        check("separable_conv2d", x, w, p, **words)
        check("depthwise_conv2d", x, w, **words)
