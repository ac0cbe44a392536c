"""Kernels along one axis, and of one tap: rows that are one run are convolved as one; where channels are
last, depth may become rows. Exact on integers."""

import itertools

import numpy as np
import pytest

import dsconv as ds

from .exact import check, integers


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 31])
def test_columns_of_taps(kernel_set, rows, dtype):
    """Narrow and wide rows, more padding than there are rows, taps that reach beyond the plane."""
    rng = np.random.default_rng(rows)
    for height, width in itertools.product((1, 5, 12, 40), (1, 7, 8, 9, 29, 56)):
        x, w = integers(rng, 3, height, width, dtype=dtype), integers(rng, 3, 1, rows, 1, dtype=dtype)
        b = integers(rng, 3, dtype=dtype)
        check(
            "depthwise_conv2d", x, w, b, padding="same", activation=None if dtype == np.complex64 else "relu"
        )
        for dilation, padding in ((1, rows), (2, 2 * rows - 2), (5, 40)):
            if height + 2 * padding + 1 > (rows - 1) * dilation:
                above = ((padding, padding + 1), (0, 0))
                check("depthwise_conv2d", x, w, dilation=(dilation, 3), padding=above)
            check("depthwise_conv_transpose2d", x, w, dilation=(dilation, 1))


@pytest.mark.parametrize(
    "kernel", [(3, 1, 1), (1, 3, 1), (1, 1, 3), (1, 1, 1), (3, 2, 1), (5, 1, 1)], ids=str
)
def test_volumes(kernel_set, kernel):
    rng = np.random.default_rng(4)
    for size in ((6, 7, 9), (1, 9, 8), (7, 1, 16), (4, 4, 4), (5, 11, 13)):
        x, w = integers(rng, 2, 3, *size), integers(rng, 3, 1, *kernel)
        for stride in (1, (2, 1, 1), (1, 2, 1), (1, 1, 2)):
            check("depthwise_conv3d", x, w, padding=2, stride=stride)
            check("depthwise_conv3d", x, w, padding=tuple(k // 2 for k in kernel), stride=stride)
        check("depthwise_conv3d", x, w, padding="same", dilation=2)
        check("depthwise_conv3d", x, w, padding="same", padding_mode="replicate")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.float16])
@pytest.mark.parametrize(
    "kernel", [(3, 1, 1), (5, 1, 1), (7, 1, 1), (4, 1, 1), (3, 1, 3), (2, 1, 2)], ids=str
)
def test_depth_with_channels_last(kernel_set, kernel, dtype):
    last = {"data_format": "channels_last"}
    rng = np.random.default_rng(8)
    for size in ((1, 5, 6), (6, 1, 9), (9, 7, 1), (8, 5, 13)):
        x, w = integers(rng, 2, *size, 19, dtype=dtype), integers(rng, 19, 1, *kernel, dtype=dtype)
        for stride, dilation in ((1, 1), ((2, 1, 1), 1), ((1, 2, 1), 1), (1, (2, 3, 1)), ((2, 2, 2), 1)):
            words = {"stride": stride, "dilation": dilation, **last}
            check("depthwise_conv3d", x, w, padding=((6, 7), (0, 1), (2, 1)), **words)
            check("depthwise_conv3d", x, w, padding="same", padding_mode="circular", **words)
            check("depthwise_conv_transpose3d", x, w, **words)
        check("depthwise_conv3d_input_grad", x, w, size, padding="same", **last)
        wide = np.zeros((2, *size[:2], size[2] + 1, 23), dtype)
        view = wide[:, :, :, 1:, 2:-2]
        view[...] = x
        check("depthwise_conv3d", view, w, padding="same", **last)


def test_rows_that_lie_apart(kernel_set):
    """Views whose rows are no run, of the input or of the result: the same bits."""
    rng = np.random.default_rng(5)
    memory, w = rng.standard_normal((3, 21, 40)).astype(np.float32), integers(rng, 3, 1, 5, 1)
    x = memory[:, :, 2:-2]
    expected = ds.depthwise_conv2d(x.copy(), w, padding="same")
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, w, padding="same"), expected)
    result = np.zeros((3, 21, 37), np.float32)
    ds.depthwise_conv2d(x.copy(), w, padding="same", out=result[:, :, :36])
    np.testing.assert_array_equal(result[:, :, :36], expected)
    assert not result[:, :, 36].any()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_taps_that_are_not_finite(kernel_set, value):
    """They meet what exists, and no padded row."""
    rng = np.random.default_rng(6)
    x, w = integers(rng, 3, 13, 19) + np.float32(0.5), integers(rng, 3, 1, 7, 1)
    w[1, 0, 1] = value
    check("depthwise_conv2d", x, w, padding=(3, 0))


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_and_threads(kernel_set, threads):
    rng = np.random.default_rng(7)
    x, w = integers(rng, 2, 5, 90, 110), integers(rng, 5, 1, 7, 1)
    with ds.num_threads(threads):
        check("depthwise_conv2d", x, w, padding="same")
        check("depthwise_conv2d_input_grad", x, w, (90, 110), padding="same")
        check("depthwise_conv1d", x[0, :, 0], w[..., 0], padding="same", dilation=16)


def test_far_dilation_of_one_row(kernel_set):
    """A dilation that no array has room for, along an axis of one tap."""
    x, w = np.ones((2, 9, 16), np.float32), np.ones((2, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, w, dilation=(2**40, 2**40)), x)


@pytest.mark.parametrize("taps", [3, 16, 31, 32, 33])
def test_taps_far_apart(kernel_set, taps):
    """So much padding that every tap begins and ends inside the row: as many as a tile takes, and more."""
    rng = np.random.default_rng(taps)
    for dilation, size in ((8, 40), (9, 300), (20, 1500)):
        for padding in (0, taps * dilation, (taps - 1) * dilation + 30):
            if size + 2 * padding > (taps - 1) * dilation:
                x, w = integers(rng, 2, size), integers(rng, 2, 1, taps)
                check("depthwise_conv1d", x, w, padding=padding, dilation=dilation)
