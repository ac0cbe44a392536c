"""Separable convolution on graphs: against the reference, on hostile matrices, with any number of threads."""

import doctest
import importlib
import pickle
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, graph, models, nn, reference, testing
from dsconv.graph.convolution import SeparableCall

ACTIVATIONS = (None, "relu", "silu")
LONG = 1024  # entries of a row beyond which it is summed in chunks


@pytest.fixture(params=_core.available_isas())
def kernel_set(request):
    former = _core.isa()
    _core.set_isa(request.param)
    yield request.param
    _core.set_isa(former)


def random_entries(rng, size, count, low=-4, high=5):
    """Entries in any order, some of them twice."""
    row, col = rng.integers(0, size, (2, count)) if size else np.zeros((2, 0), int)
    row[: count // 8], col[: count // 8] = (
        row[count // 2 : count // 2 + count // 8],
        col[count // 2 : count // 2 + count // 8],
    )
    return row, col, rng.integers(low, high, len(row)).astype(float)


def coo(entries, size):
    row, col, data = entries
    return SimpleNamespace(row=row, col=col, data=data, shape=(size, size))


def csr(entries, size, index=np.int64):
    row, col, data = entries
    made = graph.CSR((data, (row, col)), shape=(size, size))
    made.indptr, made.indices = made.indptr.astype(index), made.indices.astype(index)
    return made


def dense(entries, size):
    row, col, data = entries
    made = np.zeros((size, size), data.dtype)
    np.add.at(made, (row, col), data)
    return made


FORMS = {
    "coo": coo,
    "csr": csr,
    "csr32": lambda entries, size: csr(entries, size, np.int32),
    "dense": dense,
}


def star(size):
    """A hub with an edge to every node and back."""
    leaves = np.arange(1, size)
    hub = np.zeros(size - 1, int)
    data = np.arange(2 * (size - 1)) % 7 - 3.0
    return np.concatenate([hub, leaves]), np.concatenate([leaves, hub]), data


# ---- equivalence ---------------------------------------------------------------------------------
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


# ---- empty things and arguments ------------------------------------------------------------------
def test_empty(rng):
    weight = np.ones((4, 3))
    for form in FORMS.values():
        none = form((np.zeros(0, int), np.zeros(0, int), np.zeros(0)), 0)
        assert ds.graph_propagate(np.ones((2, 0, 3)), none).shape == (2, 0, 3)
        y, pullback = ds.separable_graph_conv_vjp(np.ones((2, 0, 3)), none, weight, np.ones(4))
        assert y.shape == (2, 0, 4)
        dx, edges, dw, db, _ = pullback(y)
        assert dx.shape == (2, 0, 3) and edges.size == 0 and not dw.any() and not db.any()
        edgeless = form((np.zeros(0, int), np.zeros(0, int), np.zeros(0)), 5)
        np.testing.assert_array_equal(ds.graph_propagate(np.ones((5, 3)), edgeless), np.zeros((5, 3)))
        y = ds.separable_graph_conv(np.ones((5, 3)), edgeless, weight, np.arange(4.0))
        np.testing.assert_array_equal(y, np.tile(np.arange(4.0), (5, 1)))
        assert ds.separable_graph_conv(np.ones((0, 5, 3)), edgeless, weight).shape == (0, 5, 4)
        dx, edges, dw, _, dt = ds.separable_graph_conv_vjp(
            np.ones((0, 5, 3)), edgeless, weight, depthwise_weight=np.ones((3, 2))
        )[1](np.ones((0, 5, 4)))
        assert dx.shape == (0, 5, 3) and not dw.any() and not dt.any() and dt.shape == (3, 2)
        assert ds.graph_propagate(np.ones((5, 0)), edgeless).shape == (5, 0)
        y = ds.separable_graph_conv(np.ones((5, 0)), edgeless, np.ones((2, 0)))
        np.testing.assert_array_equal(y, np.zeros((5, 2)))


def hostile(**changes):
    """A good CSR matrix of two nodes, spoilt."""
    good = {"indptr": [0, 1, 2], "indices": [1, 0], "data": [1.0, 2.0], "shape": (2, 2)}
    made = {name: np.array(value) for name, value in (good | changes).items()}
    return SimpleNamespace(**made | {"shape": tuple(made["shape"].tolist())})


def hostile_coo(**changes):
    good = {"row": [0, 1], "col": [1, 0], "data": [1.0, 2.0]}
    made = {name: np.array(value) for name, value in (good | changes).items()}
    return SimpleNamespace(**made, shape=(2, 2))


HOSTILE = [
    (hostile(indices=[1, 2]), ValueError, r"indices must be from 0 to 1 for 2 nodes, got 2 at position 1"),
    (hostile(indices=[-1, 0]), ValueError, "got -1 at position 0"),
    (hostile(indices=[2**62, 0]), ValueError, "at position 0"),
    (hostile(indices=np.array([-(2**31), 0], "i4"), indptr=np.array([0, 1, 2], "i4")), ValueError, "0 to"),
    (hostile(indices=np.array([2**64 - 1, 0], np.uint64)), ValueError, "at position 0"),
    (hostile(indices=[1.0, 0.0]), TypeError, "indices must hold integers"),
    (hostile(indices=[True, False]), TypeError, "indices must hold integers"),
    (hostile(indptr=[0, 2, 1]), ValueError, "indptr must begin with 0, never fall"),
    (hostile(indptr=[0, 1, 3]), ValueError, "indptr"),
    (hostile(indptr=[1, 1, 2]), ValueError, "indptr"),
    (hostile(indptr=[0, -5, 2]), ValueError, "indptr"),
    (hostile(indptr=[0, 2**62, 2]), ValueError, "indptr"),
    (hostile(indptr=[0, 1]), ValueError, "one element more than the 2 nodes"),
    (hostile(indptr=[]), ValueError, "one element more"),
    (hostile(indptr=[[0, 1, 2]]), ValueError, "indptr must have one axis"),
    (hostile(data=[1.0]), ValueError, "indptr"),
    (hostile(data=[[1.0, 2.0]]), ValueError, "data must have one axis"),
    (hostile(data=["a", "b"]), TypeError, "dtype|DType"),
    (hostile(data=np.array([1, 2], object)), TypeError, "common dtype"),
    (hostile(data=np.array([1, 2], np.longdouble)), TypeError, "common dtype"),
    (hostile(shape=(2, 3)), ValueError, "square"),
    (hostile(shape=(2,)), ValueError, "square"),
    (hostile_coo(row=[0, 2]), ValueError, "row must be from 0 to 1 for 2 nodes, got 2 at position 1"),
    (hostile_coo(row=[-1, 0]), ValueError, "row must be from 0 to 1 for 2 nodes, got -1 at position 0"),
    (hostile_coo(col=[0, 7]), ValueError, "col must be from 0 to 1 for 2 nodes, got 7 at position 1"),
    (hostile_coo(row=[1, 0], col=[0, 7]), ValueError, "got 7 at position 1"),
    (hostile_coo(row=[0]), ValueError, "same length"),
    (hostile_coo(col=[0.5, 1.0]), TypeError, "col must hold integers"),
    (np.ones((2, 3)), ValueError, "square"),
    (np.ones(4), ValueError, "square"),
    (np.ones((1, 2, 2)), ValueError, "square"),
    (None, TypeError, "NoneType"),
    ("edges", ValueError, "square"),
    (object(), TypeError, "sparse matrix in CSR or COO form, got object"),
    ([[1, 2], [3]], ValueError, "cannot be made into an array"),
    (np.array([[None, 1], [1, 1]]), TypeError, "common dtype"),
    (np.eye(3), ValueError, r"x: expected shape \(..., n, c\) with n = 3 nodes"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_hostile_adjacency(case):
    adjacency, error, message = HOSTILE[case]
    x = np.ones((2, 3))
    for call in (
        lambda: ds.graph_propagate(x, adjacency),
        lambda: ds.separable_graph_conv(x, adjacency, np.ones((4, 3)), depthwise_weight=np.ones((3, 2))),
        lambda: ds.graph_propagate_vjp(x, adjacency)[1](x),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("words, error, message", [
    ({"x": np.ones(2)}, ValueError, "x: expected shape"),
    ({"x": np.ones((3, 2))}, ValueError, "x: expected shape"),
    ({"x": [[1], [1, 2]]}, ValueError, "x: cannot be made"),
    ({"pointwise_weight": np.ones((4, 2))}, ValueError, "pointwise_weight"),
    ({"pointwise_weight": np.ones((0, 3))}, ValueError, "pointwise_weight"),
    ({"pointwise_weight": np.ones(3)}, ValueError, "pointwise_weight"),
    ({"bias": np.ones(3)}, ValueError, "bias"),
    ({"bias": 1.0}, ValueError, "bias"),
    ({"depthwise_weight": np.ones((3, 0))}, ValueError, "depthwise_weight"),
    ({"depthwise_weight": np.ones(3)}, ValueError, "depthwise_weight"),
    ({"depthwise_weight": np.ones((2, 2))}, ValueError, "depthwise_weight"),
    ({"activation": "swish"}, ValueError, "activation"),
    ({"activation": 3}, TypeError, "activation"),
    ({"depthwise_activation": "none"}, ValueError, "depthwise_activation"),
    ({"x": np.ones((2, 3)) * 1j, "activation": "relu"}, TypeError, "activation"),
    ({"order": "fastest"}, ValueError, "order: expected one of"),
    ({"order": None}, ValueError, "order"),
    ({"order": "mix_first", "depthwise_weight": np.arange(6).reshape(3, 2)}, ValueError, "agree across"),
    ({"order": "mix_first", "depthwise_activation": "relu"}, ValueError, "does not commute"),
    ({"out": np.zeros((2, 3))}, ValueError, "out: expected shape"),
    ({"out": [[0]]}, TypeError, "out: expected an array"),
    ({"out": np.zeros((2, 4), int)}, TypeError, "out: cannot hold"),
    ({"out": np.broadcast_to(np.zeros(4), (2, 4))}, ValueError, "read-only"),
])  # fmt: skip
def test_wrong_arguments(words, error, message):
    given = {"x": np.ones((2, 3)), "adjacency": np.eye(2), "pointwise_weight": np.ones((4, 3))} | words
    with pytest.raises(error, match=message):
        ds.separable_graph_conv(**given)


def test_layouts_of_memory(rng):
    size, entries = 20, random_entries(rng, 20, 90)
    matrix = csr(entries, size)
    values = rng.integers(-5, 6, (2, size, 6)).astype(float)
    expected = ds.graph_propagate(values, matrix)
    unaligned = np.empty(values.nbytes + 1, np.uint8)[1:].view(float).reshape(values.shape)
    unaligned[...] = values
    spread = np.full((2, 2 * size, 18), np.nan)[:, ::2, ::3]
    spread[...] = values
    for x in (
        values[:, ::-1].copy()[:, ::-1], values.swapaxes(0, 2).copy().swapaxes(0, 2), unaligned, spread,
        values.astype(">f8"), values.tolist(), np.asfortranarray(values),
    ):  # fmt: skip
        np.testing.assert_array_equal(ds.graph_propagate(x, matrix), expected)
    same = np.broadcast_to(values[:1], (5, size, 6))
    np.testing.assert_array_equal(ds.graph_propagate(same, matrix)[4], expected[0])
    strided = SimpleNamespace(
        indptr=matrix.indptr.astype(">i8"), indices=np.repeat(matrix.indices, 2)[::2].astype(np.uint16),
        data=np.repeat(matrix.data, 2)[::2], shape=matrix.shape,
    )  # fmt: skip
    np.testing.assert_array_equal(ds.graph_propagate(values, strided), expected)


def test_out(rng):
    matrix = csr(random_entries(rng, 12, 40), 12)
    x = rng.integers(-5, 6, (2, 12, 6)).astype(float)
    expected = ds.graph_propagate(x, matrix)
    for out in (np.empty((2, 12, 6)), np.empty((2, 12, 12))[..., ::2], np.empty((2, 12, 6), np.float32)):
        assert ds.graph_propagate(x, matrix, out=out) is out
        np.testing.assert_array_equal(out, expected)
    for form in (matrix, matrix.toarray()):
        same = x.copy()
        assert ds.graph_propagate(same, form, out=same) is same
        np.testing.assert_array_equal(same, expected)
    weight = rng.integers(-2, 3, (6, 6)).astype(float)
    wanted = ds.separable_graph_conv(x, matrix, weight)
    same = x.copy()
    ds.separable_graph_conv(same, matrix, weight, out=(same,))
    np.testing.assert_array_equal(same, wanted)


def test_excess_capacity():
    """SciPy allows more room in data and indices than there are entries."""
    matrix = graph.CSR((np.array([2.0, 3, 99]), np.array([1, 0, 77]), np.array([0, 1, 2])), (2, 2))
    y, pullback = ds.graph_propagate_vjp(np.array([[1.0], [10.0]]), matrix)
    assert y.ravel().tolist() == [20, 3]
    dx, edges = pullback(np.array([[1.0], [2.0]]))
    assert dx.ravel().tolist() == [6, 2] and edges.tolist() == [10, 2, 0]


INTERRUPTED = """
import signal, threading, time
import numpy as np
import dsconv as ds
n = 20000
start = np.arange(n + 1) * 400
columns = np.random.default_rng(0).integers(0, n, 400 * n)
matrix = ds.graph.CSR((np.ones(400 * n), columns, start), (n, n))
x, taps = np.ones((n, 64)), np.full((64, 400), 1e-3)
def handler(*unused):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.3)
begin = time.perf_counter()
try:
    ds.separable_graph_conv(x, matrix, np.ones((2, 64)), depthwise_weight=taps)
except KeyboardInterrupt:
    print(time.perf_counter() - begin)
"""


def test_interrupt(run_python):
    done = run_python(INTERRUPTED)
    assert done.returncode == 0, done.stderr
    assert 0.29 < float(done.stdout) < 3


# ---- gradients -----------------------------------------------------------------------------------
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


# ---- operators -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["symmetric", "random_walk"])
@pytest.mark.parametrize("self_loops", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_normalized_adjacency(form, self_loops, kind, rng):
    row, col, data = random_entries(rng, 15, 30, 0, 4)
    keep = (row != 3) & (col != 3) & (row != 6)
    entries = row[keep], col[keep], data[keep]
    matrix = FORMS[form](entries, 15)
    if form == "coo":
        pytest.importorskip("scipy")
        from scipy.sparse import coo_array

        matrix = coo_array((entries[2], entries[:2]), shape=(15, 15))
    found = graph.normalized_adjacency(matrix, self_loops, kind)
    assert type(found) is type(matrix)
    whole = found if form == "dense" else found.toarray()
    expected = reference.graph.normalized_adjacency(matrix, self_loops, kind)
    np.testing.assert_allclose(whole, expected, rtol=1e-14)
    assert np.isfinite(whole).all() and (whole[3].any() == self_loops)
    if kind == "random_walk":
        sums = whole.sum(axis=1)
        np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-14)
    if form.startswith("csr"):
        assert found.indptr.dtype == matrix.indptr.dtype
        assert all((np.diff(found.indices[a:b]) > 0).all() for a, b in
                   zip(found.indptr, found.indptr[1:], strict=False))  # fmt: skip


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_weights_that_have_no_degrees(value):
    for matrix in (np.array([[0, value], [1, 0]]), hostile(data=[value, 1.0])):
        with pytest.raises(ValueError, match="weights must be finite and not negative"):
            graph.normalized_adjacency(matrix)


def test_normalized_adjacency_refuses():
    for words, error in (({"kind": "left"}, ValueError), ({"self_loops": 1}, TypeError)):
        with pytest.raises(error):
            graph.normalized_adjacency(np.eye(2), **words)
    with pytest.raises(TypeError, match="real weights"):
        graph.normalized_adjacency(np.eye(2) * 1j)
    with pytest.raises(ValueError, match="indices"):
        graph.normalized_adjacency(hostile(indices=[0, 5]))
    assert graph.normalized_adjacency(np.eye(2, dtype=np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "make", ["csr_matrix", "csr_array", "coo_matrix", "coo_array", "csc_matrix", "lil_matrix"]
)
def test_scipy(make, rng):
    sparse = pytest.importorskip("scipy.sparse")
    plain = sparse.random(30, 30, 0.1, random_state=0, format="coo")
    matrix, x = getattr(sparse, make)(plain), rng.standard_normal((30, 4))
    np.testing.assert_allclose(ds.graph_propagate(x, matrix), plain @ x, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(
        ds.separable_graph_conv(x, matrix, np.ones((2, 4))), (plain @ x) @ np.ones((4, 2)), rtol=1e-12
    )
    if make.startswith(("csr", "coo")):
        y, pullback = ds.graph_propagate_vjp(x, matrix)
        dx, edges = pullback(y)
        np.testing.assert_allclose(dx, plain.T @ y, rtol=1e-12)
        assert edges.shape == matrix.data.shape
        whole = (y @ x.T)[matrix.tocoo().row, matrix.tocoo().col]
        np.testing.assert_allclose(edges, whole, rtol=1e-12)
    else:
        with pytest.raises(TypeError, match="needs a CSR or COO matrix"):
            ds.graph_propagate_vjp(x, matrix)
    assert sparse.issparse(graph.normalized_adjacency(matrix))


# ---- layers and networks -------------------------------------------------------------------------
LAYERS = {
    "gcn": lambda: nn.GraphConv(4, 3, activation="tanh", rng=0),
    "separable": lambda: nn.SeparableGraphConv(4, 3, taps=3, depthwise_activation="tanh", rng=0),
    "plain": lambda: nn.SeparableGraphConv(4, 6, bias=False, rng=0),
    "block": lambda: models.GraphBlock(4, 5, activation="silu", rng=0),
    "residual": lambda: models.GraphBlock(4, 4, residual=True, activation="tanh", separable=False, rng=0),
    "network": lambda: models.gcn(4, 3, separable=True, taps=2, dropout=0, hidden=6, rng=0),
    "deep": lambda: models.gcn(4, 3, depth=3, dropout=0.3, hidden=6, pool=True, rng=0),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("form", ["csr", "dense"])
def test_layer_gradients(name, form, rng):
    row, col, _ = random_entries(rng, 6, 20)
    matrix = FORMS[form]((row, col, rng.standard_normal(20) / 3), 6)
    layer = LAYERS[name]()
    for key, array in layer.parameters.items():
        if key.endswith("bias"):
            array[...] = rng.uniform(
                0.1, 0.5, array.shape
            )  # where all inputs are dropped, relu has a kink at 0
    testing.check_gradients(layer, rng.standard_normal((2, 6, 4)), adjacency=matrix)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_protocol(name, rng):
    layer = LAYERS[name]().eval()
    matrix = graph.normalized_adjacency(np.eye(6, k=1, dtype=np.float32) + np.eye(6, k=-1, dtype=np.float32))
    x = rng.standard_normal((2, 6, 4)).astype(np.float32)
    y = layer(x, adjacency=matrix)
    assert y.dtype == np.float32 and y.shape == layer.output_shape(x.shape)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer))(x, adjacency=matrix), y)
    other = LAYERS[name]().eval().load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x, adjacency=matrix), y)
    np.testing.assert_allclose(layer.fold()(x, adjacency=matrix), y, rtol=1e-5, atol=1e-6)
    assert layer.receptive_field()[0][0] == np.inf
    assert layer.cost(x.shape, adjacency=matrix).macs > 0
    assert type(layer).__name__ in repr(layer) and "<table>" in layer._repr_html_()
    with pytest.raises(ValueError, match="adjacency"):
        layer(x)
    with pytest.raises((TypeError, ValueError)):
        layer(x, adjacency=matrix, mask=None)
    with pytest.raises(ValueError, match="channels"):
        layer(x[..., :2], adjacency=matrix)


def test_layer_costs():
    """As the notes count them: 4 entries, 3 nodes, 2 samples."""
    matrix = csr((np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1]), np.ones(4)), 3)
    shape = 2, 3, 5

    def macs(layer):
        return layer.cost(shape, adjacency=matrix).macs

    assert macs(nn.GraphConv(5, 7)) == 2 * (4 * 5 + 3 * 5 * 7)
    assert macs(nn.GraphConv(5, 2)) == 2 * (4 * 2 + 3 * 5 * 2)
    assert macs(nn.GraphConv(5, 2, order="propagate_first")) == 2 * (4 * 5 + 3 * 5 * 2)
    separable = nn.SeparableGraphConv(5, 2, taps=3, rng=0)
    assert macs(separable) == 2 * (2 * 4 * 5 + 3 * 3 * 5 + 3 * 5 * 2)
    separable.depthwise_weight[...] = 1
    assert macs(separable) == 2 * (2 * 4 * 2 + 3 * 3 * 2 + 3 * 5 * 2)
    assert separable.cost(shape, adjacency=matrix).params == 5 * 3 + 5 * 2 + 2
    total = ds.cost.table(nn.Sequential(separable), shape, adjacency=matrix).total
    assert total.macs == macs(separable)


def test_block_folds(rng):
    block = models.GraphBlock(4, 6, taps=2, rng=0)
    block.norm.running_mean[...] = rng.standard_normal(6)
    block.norm.running_var[...] = rng.uniform(0.5, 2, 6)
    block.norm.weight[...] = rng.standard_normal(6)
    block.eval()
    x, a = rng.standard_normal((1, 5, 4)), graph.normalized_adjacency(np.ones((5, 5)))
    (folded,) = block.fold()
    assert type(folded) is nn.SeparableGraphConv and folded.activation == "relu"
    np.testing.assert_allclose(folded(x, adjacency=a), block(x, adjacency=a), rtol=1e-5, atol=1e-6)


def test_network_learns(rng):
    """Two communities that nothing but the edges tells: 20 steps lower the loss."""
    size, half = 40, 20
    same = np.arange(size) // half == (np.arange(size) // half)[:, np.newaxis]
    edges = np.triu(rng.random((size, size)) < np.where(same, 0.3, 0.02), 1)
    a = graph.normalized_adjacency((edges | edges.T).astype(np.float32))
    x, labels = np.eye(size, dtype=np.float32)[np.newaxis], (np.arange(size) // half)[np.newaxis]
    net = models.gcn(size, 2, separable=True, taps=3, dropout=0, rng=0)
    optimizer, losses = ds.training.Adam(net, 0.01), []
    for _ in range(20):
        y, pullback = net.vjp(x, adjacency=a)
        loss, grad = ds.training.cross_entropy(y, labels, axis=-1)
        losses.append(loss)
        optimizer.step(pullback(grad)[1])
    assert losses[-1] < losses[0] / 2


def test_refused_builders():
    for build in (
        lambda: models.GraphBlock(4, 5, residual=True),
        lambda: models.GraphBlock(4, 5, separable=False, depthwise_activation="relu"),
        lambda: models.gcn(4, 3, taps=2),
        lambda: models.gcn(4, 3, depth=0),
        lambda: nn.SeparableGraphConv(4, 3, taps=0),
        lambda: nn.SeparableGraphConv(4, 3, order="last"),
    ):
        with pytest.raises(ValueError):
            build()


@pytest.mark.parametrize("name", [
    "graph", "graph.convolution", "graph.normalise", "graph.operators", "graph.pullbacks", "nn.graph",
    "models.graph", "reference.graph",
])  # fmt: skip
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"dsconv.{name}"))
    assert result.attempted and not result.failed
