"""Separable layers whose depthwise results are kept where those of the call go.

Exact on integers, and the same bits as the two calls one after the other.
"""

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference

from .exact import integers

PLANES = [  # channels, multiplier, outputs, size of an image, kernel, arguments: 1.5 MiB of results
    (130, 1, 130, (60, 61), 3, {}),
    (60, 2, 125, (60, 58), 3, {"activation": "hardswish"}),
    (128, 1, 128, (50, 50), 3, {"dilation": 8}),
    (7, 1, 9, (300, 301), 5, {"depthwise_activation": "relu6"}),
    (64, 1, 70, (166, 167), 3, {"stride": 2}),
    (100, 1, 100, (66, 67), 3, {"padding_mode": "reflect"}),
    (66, 1, 66, (6300,), 9, {}),
    (33, 1, 40, (9, 48, 50), 3, {"activation": "relu"}),
]  # fmt: skip


def operands(rng, case, batch, dtype=np.float32):
    channels, multiplier, outputs, size, kernel, words = case
    return (
        integers(rng, *batch, channels, *size, dtype=dtype),
        integers(rng, channels, multiplier, *[kernel] * len(size), dtype=dtype),
        integers(rng, outputs, channels * multiplier, dtype=dtype),
        integers(rng, channels * multiplier, dtype=dtype),
        integers(rng, outputs, dtype=dtype),
    ), {"padding": kernel // 2 * words.get("dilation", 1), **words}


@pytest.mark.parametrize("case", PLANES, ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_planes(kernel_set, case, threads):
    args, words = operands(np.random.default_rng(1), case, ())
    name = f"separable_conv{len(case[3])}d"
    with ds.num_threads(threads):
        result = getattr(ds, name)(*args, **words)
    np.testing.assert_allclose(result, getattr(reference, name)(*args, **words), rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_as_two_calls(kernel_set, dtype):
    rng = np.random.default_rng(2)
    x, w = (
        rng.standard_normal((2, 64, 90, 91)).astype(dtype),
        rng.standard_normal((64, 1, 3, 3)).astype(dtype),
    )
    p = rng.standard_normal((101, 64)).astype(dtype)
    middle = ds.depthwise_conv2d(x, w, padding="same", activation="silu")
    expected = ds.pointwise_conv2d(middle, p, activation="relu")
    result = ds.separable_conv2d(x, w, p, padding="same", depthwise_activation="silu", activation="relu")
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_batches(kernel_set, threads):
    """Images together, and one after the other; weights that are one image's own."""
    rng = np.random.default_rng(3)
    for batch, side in ((3, 92), (5, 92), (3, 192)):
        x, w = integers(rng, batch, 50, side, side), integers(rng, 50, 1, 3, 3)
        p, b, c = integers(rng, 51, 50), integers(rng, 50), integers(rng, 51)
        with ds.num_threads(threads):
            result = ds.separable_conv2d(x, w, p, b, c, padding="same")
            alone = [ds.separable_conv2d(image, w, p, b, c, padding="same") for image in x]
        np.testing.assert_array_equal(result, alone)
        np.testing.assert_array_equal(
            result[-1], reference.separable_conv2d(x[-1], w, p, b, c, padding="same")
        )


def test_results_that_lie_apart(kernel_set):
    """Rows of results with gaps, which stay as they are; results over the input."""
    rng = np.random.default_rng(4)
    x, w, p = integers(rng, 64, 85, 86), integers(rng, 64, 1, 3, 3), integers(rng, 64, 64)
    expected = reference.separable_conv2d(x, w, p, padding="same")
    memory = np.full((64, 87, 90), 99, np.float32)
    ds.separable_conv2d(x, w, p, padding="same", out=memory[:, 1:-1, 2:-2])
    np.testing.assert_array_equal(memory[:, 1:-1, 2:-2], expected)
    memory[:, 1:-1, 2:-2] = 99
    assert (memory == 99).all()
    ds.separable_conv2d(x, w, p, padding="same", out=x)
    np.testing.assert_array_equal(x, expected)


def test_transposed(kernel_set):
    rng = np.random.default_rng(5)
    args = integers(rng, 50, 48, 49), integers(rng, 50, 1, 4, 4), integers(rng, 50, 50)
    words = {"stride": 2, "padding": 1}
    np.testing.assert_array_equal(
        ds.separable_conv_transpose2d(*args, **words), reference.separable_conv_transpose2d(*args, **words)
    )
