"""Channels last, squares and columns of taps: blocks of pixels, and where x and y lie in memory."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference

from .exact import check, integers

LAST = {"data_format": "channels_last"}
STEPS = {2: (2,), 3: (1, 2, 3), 4: (1, 4), 5: (1, 2), 7: (1, 2)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", STEPS)
def test_every_rest_of_rows_and_columns(kernel_set, kernel, dtype):
    """Maps smaller than a block, of one block and of several; borders on all sides, on some, on none."""
    rng = np.random.default_rng(kernel)
    for height, width in itertools.product(range(1, 9), (*range(1, 10), 14)):
        x = integers(rng, 2, height, width, 21, dtype=dtype)
        w, b = integers(rng, 21, 1, kernel, kernel, dtype=dtype), integers(rng, 21, dtype=dtype)
        for stride, padding in itertools.product(STEPS[kernel], ("same", (0, kernel - 1), (kernel - 1, 1))):
            least = kernel if padding == "same" else min(height + 2 * padding[0], width + 2 * padding[1])
            if least >= kernel:
                check("depthwise_conv2d", x, w, b, padding=padding, stride=stride, activation="relu", **LAST)


@pytest.mark.parametrize("dilation", [(2, 3), (5, 1), (12, 12)], ids=str)
@pytest.mark.parametrize("kernel", STEPS)
def test_residues(kernel_set, kernel, dilation, rng):
    x, w = integers(rng, 19, 27, 40), integers(rng, 40, 1, kernel, kernel)
    check("depthwise_conv2d", x, w, padding="same", dilation=dilation, **LAST)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [3, 5, 7])
def test_columns_of_taps(kernel_set, rows, dtype):
    rng = np.random.default_rng(rows)
    for height, width in itertools.product((*range(1, 10), 15), (*range(1, 6), 9)):
        x, w = integers(rng, 2, height, width, 21, dtype=dtype), integers(rng, 21, 1, rows, 1, dtype=dtype)
        b = integers(rng, 21, dtype=dtype)
        check("depthwise_conv2d", x, w, b, padding=((rows - 1, 1), (1, 2)), activation="relu6", **LAST)
        check("depthwise_conv2d", x, w, b, padding="same", dilation=(2, 3), **LAST)
        check("depthwise_conv2d_input_grad", x, w, (height, width), padding="same", **LAST)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 4, 4), (3, 5, 5), (2, 7, 7), (3, 3, 1)], ids=str)
def test_volumes(kernel_set, kernel):
    """Sums of one depth tap after the other, in the middle and where some, or all, do not exist."""
    rng = np.random.default_rng(sum(kernel))
    for depth, height, width in ((1, 7, 8), (2, 5, 9), (5, 8, 11)):
        x, w, b = integers(rng, depth, height, width, 37), integers(rng, 37, 1, *kernel), integers(rng, 37)
        for stride, dilation in ((1, 1), (2, 1), (1, (2, 1, 2))):
            for padding, activation in (((3, 4, 3), "relu"), ((4, 3, 4), "hardswish"), ((2, 3, 3), None)):
                words = {"stride": stride, "dilation": dilation, "padding": padding, "activation": activation}
                if activation == "hardswish":
                    mine, expected = (of.depthwise_conv3d(x, w, b, **words, **LAST) for of in (ds, reference))
                    np.testing.assert_allclose(mine, expected, rtol=1e-6, atol=1e-6)
                else:
                    check("depthwise_conv3d", x, w, b, **words, **LAST)


def test_volumes_stored_past_the_caches(kernel_set, rng):
    """The last depth tap alone is; as slices one by one."""
    x = rng.standard_normal((6, 120, 131, 128)).astype(np.float32)
    w = rng.standard_normal((128, 1, 2, 4, 4)).astype(np.float32)
    words = {"padding": ((0, 0), (2, 1), (2, 1)), "activation": "relu6", **LAST}
    y = ds.depthwise_conv3d(x, w, **words)
    for slice in range(5):
        assert y[slice].tobytes() == ds.depthwise_conv3d(x[slice : slice + 2], w, **words)[0].tobytes()


def displaced(a, elements):
    """The array, `elements` after the beginning of a page of 4,096 bytes."""
    memory = np.zeros(a.size + elements + 8192 // a.itemsize, a.dtype)
    start = -memory.ctypes.data % 4096 // a.itemsize + elements
    there = memory[start : start + a.size].reshape(a.shape)
    there[...] = a
    return there


@pytest.mark.parametrize("channels", [96, 200, 256])
@pytest.mark.parametrize("kernel", STEPS)
def test_results_do_not_depend_on_addresses(kernel_set, kernel, channels, rng):
    """Vectors begin where x or y has its lines, and go upwards or downwards."""
    x = rng.standard_normal((9, 10, channels)).astype(np.float32)
    w = rng.standard_normal((channels, 1, kernel, kernel)).astype(np.float32)
    expected = ds.depthwise_conv2d(x, w, padding="same", **LAST)
    for of_x, of_y in itertools.product((0, 3, 4, 16, 40, 300, 1000), (0, 4, 5, 16, 32, 600)):
        out = displaced(np.full_like(expected, np.nan), of_y)
        ds.depthwise_conv2d(displaced(x, of_x), w, padding="same", out=out, **LAST)
        assert out.tobytes() == expected.tobytes(), (of_x, of_y)


@pytest.mark.parametrize("size", [(140, 141), (7, 7)])
@pytest.mark.parametrize("stride", [1, 2])
def test_maps_from_memory(kernel_set, size, stride, rng):
    """More than 16 MiB of x and y, where what comes next is asked for: as images one by one."""
    images = 2_400_000 // (size[0] * size[1] * 128) * 2 + 1
    x = rng.standard_normal((images, *size, 128)).astype(np.float32)
    w = rng.standard_normal((128, 1, 3, 3)).astype(np.float32)
    words = {"padding": "same", "stride": stride, "activation": "relu6", **LAST}
    y = ds.depthwise_conv2d(x, w, **words)
    for image in range(0, images, max(1, images // 5)):
        assert y[image].tobytes() == ds.depthwise_conv2d(x[image], w, **words).tobytes()
