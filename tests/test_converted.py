"""Narrow floats and complex numbers, of which a tile's part of x is converted into scratch."""

import itertools

import numpy as np
import pytest

import dsconv as ds

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


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", [np.float16, np.complex64, np.complex128])
def test_threads_do_not_change_bits(kernel_set, dtype, layout, rng, always_parallel):
    """They share channels out: groups of any size sum in one order, that of a single channel too."""
    axis = -1 if layout == "channels_last" else 1
    for channels, size, kernel in itertools.product(
        (7, 16, 17, 33, 48), ((7, 10), (20, 23)), ((5, 13), (9, 9), (27, 18))
    ):
        x, w = (
            (rng.standard_normal((*shape, 2)) @ (1, 1j if np.dtype(dtype).kind == "c" else 0)).astype(dtype)
            for shape in ((3, channels, *size), (channels, 1, *kernel))
        )
        x = np.ascontiguousarray(np.moveaxis(x, 1, axis))
        for call, words in (
            (ds.depthwise_conv2d, {"padding": "same", "stride": (2, 1)}),
            (ds.depthwise_conv2d, {"padding": "same"}),
            (ds.depthwise_conv_transpose2d, {}),
        ):
            bits = set()
            for threads in (1, 2, 3, 4):
                with ds.num_threads(threads):
                    bits.add(call(x, w, data_format=layout, **words).tobytes())
            assert len(bits) == 1, (channels, size, kernel, words)
