"""Separable convolution on graphs: gradients, and when it is a GCN."""

import numpy as np
import pytest

import dsconv as ds
from dsconv import graph, nn, reference
from dsconv.graph.convolution import SeparableCall

from .graphs import FORMS, csr, random_entries


def differences(function, array, weights, step=1e-6):
    """Central differences of the weighted sum of a result, in every element of an array that it reads."""
    found = np.zeros(array.shape)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        array[index] = kept + step
        above = np.sum(function() * weights)
        array[index] = kept - step
        below = np.sum(function() * weights)
        array[index] = kept
        found[index] = (above - below) / (2 * step)
    return found


@pytest.mark.parametrize("form", ["csr", "coo", "dense"])
@pytest.mark.parametrize("taps", [None, 1, 3])
@pytest.mark.parametrize("between, last", [(None, None), ("tanh", "silu")])
def test_gradients(form, taps, between, last, rng):
    row, col, _ = random_entries(rng, 5, 14)
    matrix = FORMS[form]((row, col, rng.standard_normal(14)), 5)
    values = matrix if form == "dense" else matrix.data
    x, weight, bias = rng.standard_normal((2, 5, 4)), rng.standard_normal((3, 4)), rng.standard_normal(3)
    depthwise = None if taps is None else rng.standard_normal((4, taps))
    words = {"depthwise_weight": depthwise, "depthwise_activation": between, "activation": last}
    y, pullback = ds.separable_graph_conv_vjp(x, matrix, weight, bias, **words)

    def forward():
        return ds.separable_graph_conv(x, matrix, weight, bias, **words)

    assert y.tobytes() == forward().tobytes()
    grad = rng.standard_normal(y.shape)
    arrays = x, values, weight, bias, depthwise
    for array, gradient in zip(arrays, pullback(grad), strict=True):
        if array is None:
            assert gradient is None
        else:
            assert gradient.shape == array.shape and gradient.dtype == y.dtype
            np.testing.assert_allclose(gradient, differences(forward, array, grad), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "float16"])
@pytest.mark.parametrize("form", ["csr", "coo", "dense"])
def test_gradients_against_reference(form, dtype, rng):
    """Integers in all orders of the stages, complex ones with conjugates: no rounding."""

    def draw(*shape):
        part = rng.integers(-1, 2, shape)
        return (part + 1j * rng.integers(-1, 2, shape) if dtype.startswith("c") else part).astype(dtype)

    row, col, _ = random_entries(rng, 8, 20)
    matrix = FORMS[form]((row, col, draw(20)), 8)
    x, weight, bias = draw(2, 8, 5), draw(3, 5), draw(3)
    for taps in (None, draw(5, 1), draw(5, 3), np.ones((5, 2), dtype)):
        words = {"depthwise_weight": taps}
        y, pullback = ds.separable_graph_conv_vjp(x, matrix, weight, bias, **words)
        _, expected = reference.separable_graph_conv_vjp(x, matrix, weight, bias, **words)
        grad = draw(*y.shape)
        for actual, wanted in zip(pullback(grad), expected(grad), strict=True):
            if wanted is not None:
                np.testing.assert_array_equal(actual, wanted)
    y, pullback = ds.graph_propagate_vjp(x, matrix)
    _, expected = reference.graph_propagate_vjp(x, matrix)
    for actual, wanted in zip(pullback(x), expected(x), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_pullback_refuses(rng):
    y, pullback = ds.separable_graph_conv_vjp(np.ones((2, 3)), np.eye(2), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"grad: expected the shape of the result, \(2, 4\)"):
        pullback(np.ones((4, 2)))
    with pytest.raises(TypeError, match="grad: cannot be cast"):
        pullback(y * 1j)


# ---- a GCN, and what is none ---------------------------------------------------------------------
def test_equals_gcn_under_its_conditions(rng):
    """Taps that agree make the GCN layer with S = sum_k t_k A^k, to rounding; anything else does not."""
    size = 40
    row, col, _ = random_entries(rng, size, 160)
    a = graph.normalized_adjacency(csr((row, col, rng.random(160)), size)).toarray()
    x, taps = rng.standard_normal((1, size, 6)), np.array([0.5, -1.0, 0.25, 2.0])
    s = sum(tap * np.linalg.matrix_power(a, k) for k, tap in enumerate(taps))
    separable = nn.SeparableGraphConv(6, 9, taps=4, activation="tanh", dtype=float, rng=0)
    standard = nn.GraphConv(6, 9, activation="tanh", dtype=float, rng=1)
    standard.pointwise_weight[...] = separable.pointwise_weight
    separable.depthwise_weight[...] = taps
    expected = standard(x, adjacency=s)
    np.testing.assert_allclose(separable(x, adjacency=a), expected, rtol=1e-12, atol=1e-12)
    separable.order = "mix_first"
    np.testing.assert_allclose(separable(x, adjacency=a), expected, rtol=1e-12, atol=1e-12)
    separable.order = "cheapest"
    separable.depthwise_weight[2, 1] += 0.5
    assert np.abs(separable(x, adjacency=a) - expected).max() > 1e-3
    separable.depthwise_weight[...] = taps
    separable.depthwise_activation = "relu"
    assert np.abs(separable(x, adjacency=a) - expected).max() > 1e-2


def test_cheapest_order(rng):
    x, a = np.ones((4, 6)), np.eye(4)

    def mixes_first(outputs, taps=None, between=None, order="cheapest"):
        return SeparableCall((x, a, np.ones((outputs, 6)), None, taps), between, order, None).mix_first

    assert mixes_first(2) and not mixes_first(6) and not mixes_first(12)
    assert mixes_first(2, np.ones((6, 3))) and mixes_first(12, order="mix_first")
    assert not mixes_first(2, np.arange(12.0).reshape(6, 2))
    assert not mixes_first(2, between="relu") and not mixes_first(2, order="propagate_first")
