"""Several outputs of each channel, channels last: in parts of x a channel is as often as it has outputs."""

import itertools

import numpy as np
import pytest

import dsconv as ds

from .exact import check, integers

LAST = {"data_format": "channels_last"}
SHAPES = [
    ((9, 8), (3, 3)),
    ((1, 40), (1, 5)),
    ((300,), (9,)),
    ((5, 12, 13), (3, 3, 3)),
    ((7, 200), (5, 2)),
    ((5000,), (3,)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multiplier", [2, 3, 20])
def test_depth_multiplier(kernel_set, multiplier, dtype, always_parallel):
    """Outputs that fill vectors and do not, maps of one part and of many, more padding than there is map."""
    rng = np.random.default_rng(multiplier)
    for (size, kernel), channels in itertools.product(SHAPES, (1, 3, 8, 37)):
        x, taps = integers(rng, 2, *size, channels, dtype=dtype), (channels, multiplier, *kernel)
        w, b = integers(rng, *taps, dtype=dtype), integers(rng, channels * multiplier, dtype=dtype)
        name = f"depthwise_conv{len(size)}d"
        for threads in (1, 3):
            with ds.num_threads(threads):
                check(name, x, w, b, padding="same", activation="relu", **LAST)
                check(name, x, w, padding=4, stride=2, **LAST)
                check(name, x, w, b, padding=7, dilation=3, **LAST)
                if channels < 10:
                    transposed = name.replace("conv", "conv_transpose")
                    check(transposed, x, w, b, stride=2, activation="relu", **LAST)
                    check(transposed, x, w, stride=3, dilation=2, **LAST)


@pytest.mark.parametrize("multiplier", [2, 3])
@pytest.mark.parametrize("channels", [5, 64, 600])
def test_depth_multiplier_of_separable_layers(kernel_set, channels, multiplier):
    rng = np.random.default_rng(channels)
    for size, kernel in ((10, 9), (3, 3)), ((4, 120), (3, 5)):
        x, w = integers(rng, 2, *size, channels), integers(rng, channels, multiplier, *kernel)
        p, b = integers(rng, 20, channels * multiplier), integers(rng, 20)
        check("separable_conv2d", x, w, p, None, b, padding="same", depthwise_activation="relu", **LAST)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_depth_multiplier_has_the_bits_of_repeated_channels(kernel_set, dtype, rng):
    for size, channels, multiplier in ((30, 40), 24, 2), ((31, 7), 20, 3), ((9, 300), 8, 5):
        x = rng.standard_normal((*size, channels)).astype(dtype)
        w = rng.standard_normal((channels, multiplier, 3, 3)).astype(dtype)
        y = ds.depthwise_conv2d(x, w, padding="same", **LAST)
        each = w.reshape(-1, 1, 3, 3)
        repeated = ds.depthwise_conv2d(np.repeat(x, multiplier, -1), each, padding="same", **LAST)
        assert y.tobytes() == repeated.tobytes(), (size, channels, multiplier)


def test_depth_multiplier_of_strided_arrays(kernel_set):
    """Taps whose outputs are not evenly spaced are read another way, x is read where it is."""
    rng = np.random.default_rng(3)
    x, w = integers(rng, 20, 30, 24)[::2, 3:, :12], integers(rng, 12, 4, 3, 3)
    check("depthwise_conv2d", x, w[:, :3], padding="same", **LAST)
    check("depthwise_conv2d", x, w[:, ::2], padding="same", **LAST)
    check("depthwise_conv2d", x, w[:, ::-1], padding="same", **LAST)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_depth_multiplier_and_a_tap_that_is_not_finite(kernel_set, value):
    """It meets what exists of x, and no padding."""
    x, w = np.ones((20, 30, 8), "f4"), np.ones((8, 2, 3, 3), "f4")
    w[1, 1, 0, 2] = value
    y = ds.depthwise_conv2d(x, w, padding=1, **LAST)
    np.testing.assert_array_equal(y, ds.reference.depthwise_conv2d(x, w, padding=1, **LAST))
    assert (
        np.isfinite(y[..., :3]).all()
        and np.isfinite(y[..., 4:]).all()
        and not np.isfinite(y[1:, :-1, 3]).any()
    )


def test_depth_multiplier_beside_huge_dilations(kernel_set):
    """What is read of x is counted without overflow."""
    x, w = np.ones((6, 7, 4), "f4"), np.ones((4, 2, 3, 3), "f4")
    y = ds.depthwise_conv2d(x, w, padding=2**40, dilation=2**40, **LAST)
    assert y.shape == (6, 7, 8) and (y == 1).all()
