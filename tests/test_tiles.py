"""The special tiles of the kernels, each on the sizes that it is for: exact on integers, in every kernel set.

Random calls meet some of these sizes too rarely.
"""

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, reference


@pytest.fixture(params=ds.available_isas())
def isa(request):
    before = ds.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(before)


def integers(rng, *shape, dtype=np.float32):
    return rng.integers(-8, 9, shape).astype(dtype)


def check(name, *args, **kwargs):
    expected = getattr(reference, name)(*args, **kwargs)
    np.testing.assert_array_equal(getattr(ds, name)(*args, **kwargs), expected, err_msg=f"{name}, {kwargs}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_narrow_planes(isa, kernel, dtype):
    """Up to half of a vector: two planes share one, an odd plane is by itself."""
    rng = np.random.default_rng(kernel)
    for width in range(1, 10):
        for channels in (1, 2, 7):
            x = integers(rng, channels, 9, width, dtype=dtype)
            w, b = (
                integers(rng, channels, 1, kernel, kernel, dtype=dtype),
                integers(rng, channels, dtype=dtype),
            )
            check("depthwise_conv2d", x, w, b, padding="same", activation="relu")
            check("depthwise_conv2d", x, w, b, padding="same", dilation=2)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7, (3, 5)])
def test_strides(isa, kernel, stride):
    """Rows taken apart, and phases zipped together again."""
    rng = np.random.default_rng(stride)
    shape = (kernel, kernel) if isinstance(kernel, int) else kernel
    for width in (5, 17, 40, 71):
        x, w = integers(rng, 3, 11, width), integers(rng, 3, 1, *shape)
        check("depthwise_conv2d", x, w, padding=min(shape) // 2, stride=stride)
        check("depthwise_conv_transpose2d", x, w, padding=min(shape) // 2, stride=stride)


@pytest.mark.parametrize("kernel", [(1, 1), (1, 7), (4, 4), (5, 5), (7, 7), (3, 1)])
def test_rolling_rows(isa, kernel):
    rng = np.random.default_rng(1)
    for width in (3, 16, 33, 70):
        for rate in (1, 3, 12):
            x, w = integers(rng, 5, 14, width), integers(rng, 5, 1, *kernel)
            check("depthwise_conv2d", x, w, padding="same", dilation=rate)


@pytest.mark.parametrize("channels", [20, 300, 1100])
def test_few_pixels(isa, channels):
    """Outputs as lanes, in several blocks of channels."""
    rng = np.random.default_rng(channels)
    for sizes in ((1, 1), (3, 3), (7, 7), (2, 25)):
        for outputs in (16, 49, 100):
            x, p = integers(rng, channels, *sizes), integers(rng, outputs, channels)
            check("pointwise_conv2d", x, p, integers(rng, outputs), activation="relu")
