"""Separable convolution on graphs: against the reference, with any number of threads."""

from fractions import Fraction

import numpy as np
import pytest

import dsconv as ds
from dsconv import graph, reference, testing

from .graphs import ACTIVATIONS, FORMS, LONG, coo, csr, dense, random_entries, star


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 3, 8, 16, 17, 33, 64, 70, 131])
def test_propagate_exactly(form, channels, rng, kernel_set):
    for size, count in ((1, 3), (9, 40), (60, 900)):
        matrix = FORMS[form](random_entries(rng, size, count), size)
        for lead in ((), (2,), (2, 1, 3)):
            x = rng.integers(-9, 10, (*lead, size, channels)).astype(np.float32)
            expected = reference.graph_propagate(x.astype(int), matrix)
            np.testing.assert_array_equal(ds.graph_propagate(x, matrix), expected)


@pytest.mark.parametrize("taps", [None, 1, 2, 4])
@pytest.mark.parametrize("form", ["csr", "coo", "dense"])
def test_separable_exactly(form, taps, rng, kernel_set):
    size = 30
    matrix = FORMS[form](random_entries(rng, size, 150, -1, 2), size)
    for channels, outputs, lead in ((5, 3, ()), (3, 20, (2,)), (20, 6, (1, 2))):
        x = rng.integers(-3, 4, (*lead, size, channels)).astype(float)
        weight = rng.integers(-3, 4, (outputs, channels)).astype(float)
        bias = rng.integers(-3, 4, outputs).astype(float)
        words = {}
        if taps is not None:
            words["depthwise_weight"] = rng.integers(-2, 3, (channels, taps)).astype(float)
        for between in (None, "relu"):
            words |= {"depthwise_activation": between, "activation": "relu"}
            expected = reference.separable_graph_conv(x, matrix, weight, bias, **words)
            np.testing.assert_array_equal(ds.separable_graph_conv(x, matrix, weight, bias, **words), expected)


@pytest.mark.parametrize("order", ["propagate_first", "mix_first", "cheapest"])
def test_orders_exactly(order, rng):
    """Where the order may be chosen, integers do not tell which it was."""
    size = 40
    matrix = csr(random_entries(rng, size, 200, -1, 2), size)
    for channels, outputs, taps in ((9, 4, None), (4, 9, 3), (9, 4, 3), (9, 4, 1)):
        x = rng.integers(-3, 4, (2, size, channels)).astype(float)
        weight = rng.integers(-3, 4, (outputs, channels)).astype(float)
        words = {"order": order, "activation": "relu6"}
        if taps is not None:
            words["depthwise_weight"] = np.tile(rng.integers(-2, 3, taps).astype(float), (channels, 1))
        expected = reference.separable_graph_conv(x, matrix, weight, np.ones(outputs), **words)
        y = ds.separable_graph_conv(x, matrix, weight, np.ones(outputs), **words)
        np.testing.assert_array_equal(y, expected)


def test_large_graphs_in_blocks(rng):
    """More features than are spread at once: rows go in blocks, and their bits are those of a small batch."""
    size, channels = 5000, 40
    row, col, data = random_entries(rng, size, 20000)
    row[3000:9000] = np.repeat([7, size - 5], 3000)  # hubs in the first and in the last block
    matrix = csr((row, col, data), size)
    x = rng.integers(-3, 4, (3, size, channels)).astype(float)
    weight = rng.integers(-3, 4, (50, channels)).astype(float)
    taps = rng.integers(-1, 2, (channels, 2)).astype(float)
    for words in ({}, {"depthwise_weight": taps}, {"depthwise_weight": taps, "depthwise_activation": "relu"}):
        y = ds.separable_graph_conv(x, matrix, weight, **words)
        np.testing.assert_array_equal(y, reference.separable_graph_conv(x, matrix, weight, **words))
        np.testing.assert_array_equal(y[1], ds.separable_graph_conv(x[1], matrix, weight, **words))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])
def test_within_the_bound(dtype, rng, kernel_set):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16

    def draw(*shape):
        part = rng.standard_normal(shape)
        return (part + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else part).astype(dtype)

    worst = 0
    for size, count, channels, outputs in ((20, 90, 7, 5), (60, 1500, 20, 33)):
        row, col, _ = random_entries(rng, size, count)
        row[: count // 2] = 0
        for make in (csr, coo, dense) if size == 20 else (csr,):
            matrix = make((row, col, draw(count)), size) if make is not dense else draw(size, size)
            x, weight, bias, taps = draw(2, size, channels), draw(outputs, channels), draw(outputs), draw(3)
            y = ds.graph_propagate(x, matrix)
            worst = max(worst, testing.assert_equivalent(y, "graph_propagate", x, matrix))
            activations = (None,) if np.dtype(dtype).kind == "c" else ACTIVATIONS
            for activation in activations:
                for each in (None, draw(channels, 3), np.tile(taps, (channels, 1))):
                    args = x, matrix, weight, bias
                    words = {"depthwise_weight": each, "activation": activation}
                    words["depthwise_activation"] = activation if activation == "silu" else None
                    y = ds.separable_graph_conv(*args, **words)
                    ratio = testing.assert_equivalent(y, "separable_graph_conv", *args, **words)
                    worst = max(worst, ratio)
    assert 0 < worst <= 1


def test_bound_notices_an_error(rng):
    x, matrix = rng.standard_normal((6, 3)), rng.standard_normal((6, 6))
    y = ds.graph_propagate(x, matrix)
    y[2, 1] *= 1 + 1e-13
    with pytest.raises(AssertionError, match="1 of 18 elements"):
        testing.assert_equivalent(y, "graph_propagate", x, matrix)


def test_reference_in_fractions():
    a = np.array([[Fraction(1, 3), 0], [1, Fraction(1, 2)]], object)
    x = np.array([[Fraction(3)], [Fraction(1, 7)]], object)
    y = reference.separable_graph_conv(x, a, [[2]], depthwise_weight=[[1, 1, 1]])
    assert y.tolist() == [[2 * (3 + 1 + Fraction(1, 3))], [2 * Fraction(1, 7) + 2 * (3 + Fraction(1, 14))
                          + 2 * (1 + Fraction(3, 2) + Fraction(1, 28))]]  # fmt: skip


def test_promotion():
    eye = np.eye(3)
    for x, a, expected in (
        (np.uint8, np.uint8, np.float32), (bool, bool, np.float32), (np.int32, np.uint8, np.float64),
        (np.float32, np.int64, np.float64), (np.float16, np.float32, np.float32),
        (np.float16, bool, np.float16), (np.float32, np.complex64, np.complex64),
        (np.float64, np.float32, np.float64),
    ):  # fmt: skip
        y = ds.graph_propagate(np.ones((3, 2), x), eye.astype(a))
        assert y.dtype == expected and (y == 1).all()
        sparse = csr((np.arange(3), np.arange(3), np.ones(3, a)), 3)
        y = ds.separable_graph_conv(np.ones((3, 2), x), sparse, np.ones((1, 2), bool))
        assert y.dtype == expected and (y == 2).all()


# ---- irregular degrees and threads ---------------------------------------------------------------
@pytest.mark.parametrize("size", [LONG, LONG + 1, LONG + 2, 2 * LONG + 1, 2 * LONG + 2, 5000])
def test_star(size, rng):
    """A hub whose sum is taken in chunks, at all lengths around a whole number of them."""
    matrix = csr(star(size), size)
    x = rng.integers(-9, 10, (2, size, 5)).astype(float)
    np.testing.assert_array_equal(ds.graph_propagate(x, matrix), reference.graph_propagate(x, matrix))


def test_several_hubs(rng):
    """Long rows one after the other, between empty rows and short ones, with an epilogue."""
    size = 4 * LONG
    degrees = rng.integers(0, 4, size)
    degrees[[3, 4, 5, 700, -1]] = 2 * LONG, LONG + 1, 3 * LONG - 1, 5 * LONG + 17, LONG + 5
    row = np.repeat(np.arange(size), degrees)
    entries = row, rng.integers(0, size, len(row)), rng.integers(-3, 4, len(row)).astype(float)
    matrix = csr(entries, size)
    x = rng.integers(-3, 4, (2, size, 19)).astype(float)
    weight, taps = np.eye(19), np.ones((19, 3))
    words = {"depthwise_weight": taps, "activation": "relu", "order": "mix_first"}
    expected = reference.separable_graph_conv(x, matrix, weight, np.ones(19), **words)
    np.testing.assert_array_equal(ds.separable_graph_conv(x, matrix, weight, np.ones(19), **words), expected)
    y, pullback = ds.graph_propagate_vjp(x, matrix)
    _, expected = reference.graph_propagate_vjp(x, matrix)
    for actual, wanted in zip(pullback(x), expected(x), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_threads_give_the_same_bits(rng, always_parallel):
    size = 3 * LONG
    row, col, _ = random_entries(rng, size, 9000)
    row[:4000] = 7
    matrix = csr((row, col, rng.standard_normal(9000)), size)
    x, weight = rng.standard_normal((2, size, 21)), rng.standard_normal((9, 21))
    taps = rng.standard_normal((21, 3))
    words = {"depthwise_weight": taps, "depthwise_activation": "tanh", "activation": "silu"}

    def results():
        y, pullback = ds.separable_graph_conv_vjp(x, matrix, weight, np.ones(9), **words)
        return [ds.graph_propagate(x, matrix), y, *pullback(np.cos(y))]

    with ds.num_threads(1):
        first = results()
    for threads in (2, 3, 5):
        with ds.num_threads(threads):
            for one, other in zip(first, results(), strict=True):
                assert one.tobytes() == other.tobytes()


def test_a_row_has_its_own_sum(rng):
    """Neither the other rows nor the batch change a bit."""
    matrix = csr((*random_entries(rng, 50, 400)[:2], rng.standard_normal(400)), 50)
    x = rng.standard_normal((4, 50, 11))
    y = ds.graph_propagate(x, matrix)
    assert y[2].tobytes() == ds.graph_propagate(x[2], matrix).tobytes()
    order = rng.permutation(50)
    first, counts = matrix.indptr[:-1][order], np.diff(matrix.indptr)[order]
    taken = np.concatenate([np.arange(a, a + n) for a, n in zip(first, counts, strict=True)])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    moved = graph.CSR((matrix.data[taken], matrix.indices[taken], indptr), (50, 50))
    assert y[:, order].tobytes() == ds.graph_propagate(x, moved).tobytes()


def test_nan_reaches_neighbours_only():
    matrix = csr((np.array([0, 2]), np.array([1, 0]), np.ones(2)), 3)
    x = np.array([[1.0], [np.nan], [np.inf]])
    assert np.isnan(ds.graph_propagate(x, matrix)).ravel().tolist() == [True, False, False]
