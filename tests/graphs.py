"""Graphs in every form that an adjacency may have."""

from types import SimpleNamespace

import numpy as np

from dsconv import graph

ACTIVATIONS = (None, "relu", "silu")
LONG = 1024  # entries of a row beyond which it is summed in chunks


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


def hostile(**changes):
    """A good CSR matrix of two nodes, spoilt."""
    good = {"indptr": [0, 1, 2], "indices": [1, 0], "data": [1.0, 2.0], "shape": (2, 2)}
    made = {name: np.array(value) for name, value in (good | changes).items()}
    return SimpleNamespace(**made | {"shape": tuple(made["shape"].tolist())})


def hostile_coo(**changes):
    good = {"row": [0, 1], "col": [1, 0], "data": [1.0, 2.0]}
    made = {name: np.array(value) for name, value in (good | changes).items()}
    return SimpleNamespace(**made, shape=(2, 2))
