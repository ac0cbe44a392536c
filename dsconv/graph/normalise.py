"""Adjacency matrices made into operators whose rows do not grow with the degrees."""

import numpy as np

from .operators import Dense, read_adjacency

_KINDS = ("symmetric", "random_walk")


def normalized_adjacency(A, self_loops=True, kind="symmetric"):
    """An adjacency divided by the degrees of its nodes.

    Parameters
    ----------
    A : array_like or sparse matrix, shape (n, n)
        Weights of edges, as for `dsconv.graph_propagate`; finite and not negative.
    self_loops : bool, optional
        Whether 1 is added to the diagonal first.
    kind : {"symmetric", "random_walk"}, optional
        ``D^(-1/2) A D^(-1/2)`` [1]_ or ``D^(-1) A``, where D are the sums of rows.

    Returns
    -------
    ndarray or sparse matrix, shape (n, n)
        Dense for a dense one; otherwise of the type that came, which must be made as SciPy's are, entries
        sorted by rows and columns and equal ones summed. float32 or float64; integers as in
        `dsconv.depthwise_conv1d`. A node without edges gets zeros.

    Raises
    ------
    ValueError
        For negative or infinite weights and NaN, an unknown kind, and what `dsconv.graph_propagate` refuses.
    TypeError
        For weights that are no real numbers.

    References
    ----------
    .. [1] T. N. Kipf and M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR
       2017, arXiv:1609.02907.

    Examples
    --------
    >>> import dsconv as ds
    >>> ds.graph.normalized_adjacency([[0, 1, 0], [1, 0, 0], [0, 0, 0]], self_loops=False)
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 0.]])
    """
    if not isinstance(self_loops, (bool, np.bool_)):
        raise TypeError(f"self_loops: expected True or False, got {self_loops!r}")
    if kind not in _KINDS:
        raise ValueError(f'kind: expected "symmetric" or "random_walk", got {kind!r}')
    operator = read_adjacency(A)
    value = _weights(operator.value)
    if isinstance(operator, Dense):
        value = value + np.eye(operator.size, dtype=value.dtype) if self_loops else value
        return _dense(value, kind)
    if not hasattr(A, "indptr") and not hasattr(A, "row"):
        A = A.tocsr()
    rows, columns, value = _entries(operator, value, self_loops)
    before, after = _factors(np.bincount(rows, value, operator.size), kind)
    value = (value * before[rows] * after[columns]).astype(value.dtype)
    return _alike(A, rows, columns, value, operator.size)


def _weights(value):
    """Weights as float32 or float64, checked."""
    if value.dtype.kind not in "buif" or value.dtype.char == "g":
        raise TypeError(f"A: expected real weights of at most 64 bits, got {value.dtype}")
    if value.dtype.kind == "f":
        dtype = np.float64 if value.dtype.itemsize == 8 else np.float32
    else:
        dtype = np.float64 if value.dtype.itemsize >= 4 else np.float32
    value = value.astype(dtype)
    if not (value >= 0).all() or np.isinf(value).any():
        raise ValueError("A: weights must be finite and not negative, as degrees are divided by")
    return value


def _factors(degrees, kind):
    """What rows and columns are multiplied by, in float64; 0 for nodes without edges."""
    with np.errstate(divide="ignore"):
        inverse = np.where(degrees > 0, 1 / degrees, 0)
    if kind == "random_walk":
        return inverse, np.ones_like(inverse)
    return np.sqrt(inverse), np.sqrt(inverse)


def _dense(value, kind):
    before, after = _factors(value.sum(axis=1, dtype=float), kind)
    return (value * before[:, np.newaxis] * after).astype(value.dtype)


def _entries(operator, value, self_loops):
    """Rows, columns and weights, sorted, equal entries summed, the diagonal added if wanted."""
    counts = np.diff(operator.start)
    if (counts < 0).any():
        raise operator.complaint(operator.size)
    rows = np.repeat(np.arange(operator.size), counts)
    columns, value = operator.column[: len(rows)].astype(np.int64), value[: len(rows)]
    outside = (columns < 0) | (columns >= operator.size)
    if outside.any():
        raise operator.complaint(operator.size)
    if self_loops:
        nodes = np.arange(operator.size)
        rows, columns = np.concatenate([rows, nodes]), np.concatenate([columns, nodes])
        value = np.concatenate([value, np.ones(operator.size, value.dtype)])
    order = np.lexsort((columns, rows))
    rows, columns, value = rows[order], columns[order], value[order]
    first = np.flatnonzero(np.diff(rows, prepend=-1) | np.diff(columns, prepend=-1))
    return rows[first], columns[first], np.add.reduceat(value, first) if len(first) else value


def _alike(matrix, rows, columns, value, size):
    """A matrix of the same type, with indices of the same type, from sorted entries."""
    if hasattr(matrix, "indptr"):
        start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])
        index = np.asarray(matrix.indptr).dtype
        return type(matrix)((value, columns.astype(index), start.astype(index)), shape=(size, size))
    index = np.asarray(matrix.row).dtype
    return type(matrix)((value, (rows.astype(index), columns.astype(index))), shape=(size, size))
