"""Kernels of many taps on narrow maps: vectors of channels by themselves. Exact on integers."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference

from .exact import check, integers

LAYOUTS = ("channels_first", "channels_last")
KERNELS = [(7, 7), (10, 4), (2, 21), (13, 13), (31, 31)]


def arrays(rng, channels, size, kernel, layout, dtype=np.float32, batch=2):
    x = integers(rng, batch, channels, *size, dtype=dtype)
    x = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, 1, -1))
    return x, integers(rng, channels, 1, *kernel, dtype=dtype), integers(rng, channels, dtype=dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_sizes_and_channels(kernel_set, kernel, layout):
    rng = np.random.default_rng(sum(kernel))
    for channels, size in itertools.product((15, 16, 17, 40), ((7, 7), (1, 20), (14, 13), (21, 37))):
        x, w, b = arrays(rng, channels, size, kernel, layout)
        check("depthwise_conv2d", x, w, b, padding="same", activation="relu6", data_format=layout)
        for stride, dilation in ((2, 1), ((1, 3), 1), (1, (2, 1))):
            words = {"stride": stride, "dilation": dilation, "data_format": layout}
            check("depthwise_conv2d", x, w, padding=((60, 2), (20, 35)), **words)
        check("depthwise_conv2d_input_grad", x, w, size, padding="same", data_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.complex64])
def test_types(kernel_set, dtype, layout, rng):
    x, w, b = arrays(rng, 33, (14, 14), (9, 9), layout, dtype)
    check("depthwise_conv2d", x, w, b, padding="same", data_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_taps_of_all_channels_that_are_many(kernel_set, layout, rng):
    x, w, b = arrays(rng, 200, (9, 8), (31, 27), layout, batch=1)
    check("depthwise_conv2d", x, w, b, padding="same", data_format=layout)
    check("depthwise_conv_transpose2d", x, w, b, stride=(1, 2), padding=12, data_format=layout)


def test_activation_that_comes_later(kernel_set, rng):
    x, w, b = arrays(rng, 19, (12, 11), (9, 7), "channels_first")
    words = {"padding": "same", "activation": "gelu"}
    mine, expected = (of.depthwise_conv2d(x / 8, w / 64, b, **words) for of in (ds, reference))
    np.testing.assert_allclose(mine, expected, rtol=2e-5, atol=2e-5)


def test_views_have_the_same_bits(kernel_set, rng):
    """Rows that are no run, columns that lie apart, results as parts of larger arrays."""
    x = rng.standard_normal((2, 20, 11, 13)).astype(np.float32)
    w = rng.standard_normal((20, 1, 9, 9)).astype(np.float32)
    expected = ds.depthwise_conv2d(x, w, padding="same")
    wide = np.zeros((2, 20, 11, 17), np.float32)
    wide[..., 2:-2] = x
    out = np.full((2, 23, 12, 28), 7, np.float32)
    for view in (out[:, 1:-2, :11, 1:14], out[:, 3:, 1:, 2::2]):
        out[...] = 7
        ds.depthwise_conv2d(wide[..., 2:-2], w, padding="same", out=view)
        np.testing.assert_array_equal(view, expected)
        view[...] = 7
        assert (out == 7).all()
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    apart = np.zeros((2, 20, 11, 26), np.float32)
    apart[..., ::2] = x
    for view in (np.moveaxis(last, -1, 1), apart[..., ::2]):
        np.testing.assert_array_equal(ds.depthwise_conv2d(view, w, padding="same"), expected)
    pixels = np.moveaxis(np.zeros_like(last), -1, 1)
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, w, padding="same", out=pixels), expected)
    for image in range(2):
        np.testing.assert_array_equal(ds.depthwise_conv2d(x[image], w, padding="same"), expected[image])
    with ds.num_threads(2):
        np.testing.assert_array_equal(ds.depthwise_conv2d(x, w, padding="same"), expected)


def test_one_row_does_not_depend_on_its_length(kernel_set, rng):
    x, w = (
        rng.standard_normal((16, 300)).astype(np.float32),
        rng.standard_normal((16, 1, 61)).astype(np.float32),
    )
    whole = ds.depthwise_conv1d(x, w)
    for length in (61, 62, 80, 100, 299):
        np.testing.assert_array_equal(ds.depthwise_conv1d(x[:, :length], w), whole[:, : length - 60])


def test_separable(kernel_set, rng):
    for channels, outputs in ((16, 16), (19, 40), (40, 19)):
        x, w, b = arrays(rng, channels, (14, 14), (9, 9), "channels_first")
        mixing = integers(rng, outputs, channels)
        check("separable_conv2d", x, w, mixing, depthwise_bias=b, padding="same", stride=(2, 1))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_taps_that_are_not_finite(kernel_set, value):
    """They meet what exists, and nothing that is padded."""
    rng = np.random.default_rng(6)
    x, w, _ = arrays(rng, 18, (10, 12), (9, 9), "channels_first")
    x += np.float32(0.5)
    w[1, 0, 1, 8] = value
    check("depthwise_conv2d", x, w, padding=4)
