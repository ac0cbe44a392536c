"""Separable convolution on graphs: empty things, hostile matrices, wrong arguments."""

from types import SimpleNamespace

import numpy as np
import pytest

import dsconv as ds
from dsconv import graph

from .graphs import FORMS, csr, hostile, hostile_coo, random_entries


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
