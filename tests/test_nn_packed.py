"""Compiled layers read pointwise weights in another order: the same bits, whatever the sizes."""

from functools import partial

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, nn

from .test_nn_compiled import check, same_bits


def packed_case(rng):
    """A layer of any size in either layout, and an input."""
    dtype, rank = rng.choice(["f4", "f8"]), int(rng.integers(1, 3))
    channels, outputs = int(rng.integers(1, 40)), int(rng.integers(8, 90))
    if rng.random() < 0.1:
        channels = int(rng.integers(1025, 1100))
    sizes = rng.integers(1, 9 if rank == 2 else 80, rank)
    words = {"activation": rng.choice([None, "relu6", "silu"]), "bias": bool(rng.integers(2)), "dtype": dtype}
    layout = str(rng.choice(["channels_first", "channels_last"]))
    words |= {"rng": int(rng.integers(99)), "data_format": layout}
    if rng.integers(2):
        layer = getattr(nn, f"PointwiseConv{rank}d")(channels, outputs, **words)
    else:
        kind = getattr(nn, f"SeparableConv{rank}d")
        layer = kind(channels, outputs, 3, padding="same", stride=int(rng.integers(1, 3)), **words)
    shape = (channels, *sizes) if layout == "channels_first" else (*sizes, channels)
    return layer, rng.standard_normal((int(rng.integers(1, 3)), *shape)).astype(dtype)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("seed", range(20))
def test_packed_weights(seed, threads, kernel_set, always_parallel):
    """Pixels fewer or more than vectors hold, outputs beyond blocks, channels summed in several passes."""
    rng = np.random.default_rng(seed)
    with ds.num_threads(threads):
        for _ in range(10):
            layer, x = packed_case(rng)
            check(layer, x)


@pytest.mark.parametrize("outputs", [15, 16, 17, 32, 64, 100])
@pytest.mark.parametrize("pixels", [*range(1, 10), *range(15, 21), *range(47, 54), 63, 64, 65, 196])
def test_packed_weights_of_maps(pixels, outputs, kernel_set, rng):
    for dtype in ("f4", "f8"):
        layer = nn.PointwiseConv1d(33, outputs, dtype=dtype, rng=0)
        check(layer, rng.standard_normal((1, 33, pixels)).astype(dtype))
        layer = nn.PointwiseConv1d(33, outputs, dtype=dtype, rng=0, data_format="channels_last")
        check(layer, rng.standard_normal((1, pixels, 33)).astype(dtype))


def test_packed_weights_and_another_kernel_set(rng):
    """Those of one set are not read by another."""
    net, x = nn.PointwiseConv1d(20, 40, rng=0).compile(), rng.standard_normal((1, 20, 50)).astype("f4")
    former = _core.isa()
    for name in (*_core.available_isas(), former):
        net(x)
        _core.set_isa(name)
        same_bits(net(x), net.layer(x))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sizes", [(3, 8), (16, 100), (128, 17), (130, 33), (200, 256), (1100, 40)])
def test_weights_packed_for_one_call(sizes, dtype, threads, kernel_set, rng, always_parallel):
    """Maps of many tiles, for which weights are packed once, and single rows, for which they are not."""
    channels, outputs = sizes
    x = rng.standard_normal((2, 60, 50, channels)).astype(dtype)
    weight = rng.standard_normal((outputs, channels)).astype(dtype)
    bias = rng.standard_normal(outputs).astype(dtype)
    pointwise = partial(ds.pointwise_conv2d, weight=weight, bias=bias, data_format="channels_last")
    with ds.num_threads(threads):
        y = pointwise(x)
        for row in range(60):
            same_bits(y[:, row : row + 1], pointwise(x[:, row : row + 1]))
        ones = np.ones((channels, 1, 1, 1), dtype)
        same_bits(y, ds.separable_conv2d(x, ones, weight, pointwise_bias=bias, data_format="channels_last"))
