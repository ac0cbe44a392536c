"""Operators of graphs, and the layers and networks made of them."""

import doctest
import importlib
import pickle

import numpy as np
import pytest

import dsconv as ds
from dsconv import graph, models, nn, reference, testing

from .graphs import FORMS, csr, hostile, random_entries


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
