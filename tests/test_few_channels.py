"""Images and other arrays of few channels, which come last: rows of pixels and channels as one run."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv.testing import assert_equivalent

from .exact import check, integers

SIZES = (1, 9), (3, 5), (12, 31), (29, 40), (1, 700)
KERNELS = (1, 1), (3, 3), (2, 4), (5, 1), (1, 9), (7, 7), (8, 9)
LAST = {"data_format": "channels_last"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", range(1, 9))
def test_few_channels(kernel_set, channels, dtype):
    """Rows shorter and longer than vectors, groups of rows and rests, more padding than there is image."""
    rng = np.random.default_rng(channels)
    for size, kernel in itertools.product(SIZES, KERNELS):
        x = integers(rng, 2, *size, channels, dtype=dtype)
        w, b = integers(rng, channels, 1, *kernel, dtype=dtype), integers(rng, channels, dtype=dtype)
        check("depthwise_conv2d", x, w, b, padding="same", activation="relu", **LAST)
        check("depthwise_conv2d", x, w, padding=kernel, stride=(2, 1), **LAST)
        if max(kernel) < 5:
            check("depthwise_conv2d", x, w, padding=(7, 11), dilation=(2, 3), **LAST)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (3, 1, 5)], ids=str)
@pytest.mark.parametrize("channels", [2, 3])
def test_few_channels_of_volumes(kernel_set, channels, kernel):
    rng = np.random.default_rng(5)
    for size in ((1, 9, 8), (4, 12, 13), (3, 17, 4)):
        x, w = integers(rng, *size, channels), integers(rng, channels, 1, *kernel)
        check("depthwise_conv3d", x, w, padding="same", **LAST)
        check("depthwise_conv3d", x, w, padding=2, stride=(2, 1, 1), **LAST)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", range(2, 8))
def test_few_channels_have_the_bits_of_many(kernel_set, channels, dtype, rng):
    # of the widest vectors three lanes are too few but for their own tile: strips add in another order
    strips = kernel_set == "avx512" and dtype == np.float32 and channels < 4
    for size, kernel in itertools.product(SIZES, KERNELS):
        x = rng.standard_normal((*size, 40)).astype(dtype)
        w = rng.standard_normal((40, 1, *kernel)).astype(dtype)
        many = ds.depthwise_conv2d(x, w, padding="same", **LAST)[..., :channels]
        few = ds.depthwise_conv2d(x[..., :channels].copy(), w[:channels], padding="same", **LAST)
        if strips and np.prod(kernel) > 64:
            words = {"padding": "same", **LAST}
            assert_equivalent(few, "depthwise_conv2d", x[..., :channels], w[:channels], **words)
        else:
            assert few.tobytes() == many.tobytes(), (size, kernel)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_few_channels_and_a_tap_that_is_not_finite(kernel_set, value, rng):
    """It meets what exists of x, and no padding."""
    x, w = np.ones((20, 30, 3), "f4"), np.ones((3, 1, 3, 3), "f4")
    w[1, 0, 0, 2] = value
    y = ds.depthwise_conv2d(x, w, padding=1, **LAST)
    expected = ds.reference.depthwise_conv2d(x, w, padding=1, **LAST)
    np.testing.assert_array_equal(y, expected)
    assert np.isfinite(y[0]).all() and not np.isfinite(y[1:, :-1, 1]).any() and np.isfinite(y[:, -1]).all()


@pytest.mark.parametrize("activation", ["relu6", "silu"])
def test_few_channels_stay_inside(kernel_set, activation):
    """Nothing is written before or after the results, whichever way rows are shared out."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((37, 41, 3)).astype("f4"), rng.standard_normal((3, 1, 3, 3)).astype("f4")
    words = {"padding": 1, "activation": activation, **LAST}
    expected = ds.depthwise_conv2d(x, w, **words)
    for threads, offset in itertools.product((1, 2, 3), (0, 1, 5)):
        memory = np.full(x.size + 16, 77, "f4")
        out = memory[offset : offset + x.size].reshape(x.shape)
        with ds.num_threads(threads):
            ds.depthwise_conv2d(x, w, out=out, **words)
        assert out.tobytes() == expected.tobytes()
        assert (memory[:offset] == 77).all() and (memory[offset + x.size :] == 77).all()


@pytest.mark.parametrize("big", [2**31, 2**40, 2**58, 2**61])
@pytest.mark.parametrize("channels", [2, 3, 5])
def test_few_channels_and_numbers_near_the_largest(kernel_set, channels, big, rng):
    """Dilation, padding and strides whose products with channels no integer holds."""
    x = rng.standard_normal((9, 40, channels)).astype("f4")
    w = rng.standard_normal((channels, 1, 3, 3)).astype("f4")
    for words in (
        {"dilation": (1, big), "padding": ((1, 1), (big, big))},
        {"dilation": (1, big), "padding": ((1, 1), (2 * big, 0))},
        {"dilation": (big, 1), "padding": ((big, big), (1, 1))},
        {"stride": (big, 1), "padding": 1},
    ):
        many = ds.depthwise_conv2d(np.tile(x, 9), np.tile(w, (9, 1, 1, 1)), **words, **LAST)[..., :channels]
        assert ds.depthwise_conv2d(x, w, **words, **LAST).tobytes() == many.tobytes(), words
