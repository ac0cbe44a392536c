"""Separable convolution on graphs: entries of a matrix one by one, then a matrix product over the channels.

spread(x)[r] = sum over entries (r, s, value) of value * x[s]

separable(x) = activation(pointwise(depthwise_activation(sum over k of taps[:, k] * spread^k(x))))
"""

import numpy as np

from .activations import activate, through_activation
from .arguments import conjugate, to_arrays

ORDERS = ("cheapest", "propagate_first", "mix_first")


# ---- matrices as lists of entries ----------------------------------------------------------------
def entries_of(adjacency):
    """Return rows, columns, values and the number of nodes; every element of a dense array is an entry."""
    if hasattr(adjacency, "indptr") and getattr(adjacency, "format", "csr") == "csr":
        start, columns = np.asarray(adjacency.indptr), np.asarray(adjacency.indices)
        size, count = _square(adjacency.shape), int(start[-1])
        if len(start) != size + 1 or start[0] != 0 or (np.diff(start) < 0).any() or count > len(columns):
            raise ValueError(f"indptr must rise from 0 in {size} steps to at most {len(columns)}")
        rows = np.repeat(np.arange(size), np.diff(start))
        return _in_range(rows, columns[:count], np.asarray(adjacency.data)[:count], size)
    if hasattr(adjacency, "row"):
        rows, columns, values = (np.asarray(getattr(adjacency, name)) for name in ("row", "col", "data"))
        return _in_range(rows, columns, values, _square(adjacency.shape))
    if hasattr(adjacency, "tocsr"):
        return entries_of(adjacency.tocsr())
    dense = np.asarray(adjacency)
    size = _square(dense.shape)
    rows, columns = np.divmod(np.arange(size * size), max(size, 1))
    return rows, columns, dense.reshape(-1), size


def _square(shape):
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"adjacency must be square, got {tuple(shape)}")
    return shape[0]


def _in_range(rows, columns, values, size):
    for name, index in (("row", rows), ("column", columns)):
        if not np.issubdtype(index.dtype, np.integer) and index.size:
            raise TypeError(f"{name} indices must be integers, got {index.dtype}")
        if ((index < 0) | (index >= size)).any():
            raise ValueError(f"{name} indices must lie in [0, {size})")
    return rows.astype(int), columns.astype(int), values, size


def like_adjacency(adjacency, values, size):
    """Return values of entries in the form of the gradient: like `data`, or a dense matrix."""
    if not hasattr(adjacency, "data") or isinstance(adjacency, np.ndarray):
        return values.reshape(size, size)
    gradient = np.zeros(len(adjacency.data), values.dtype)
    gradient[: len(values)] = values
    return gradient


# ---- the operator --------------------------------------------------------------------------------
def spread(rows, columns, values, x):
    """Return the matrix times x, (..., n, c): the formula at the top of this file."""
    products = np.moveaxis(x, -2, 0)[columns] * values.reshape(-1, *(1,) * (x.ndim - 1))
    y = np.zeros((x.shape[-2], *x.shape[:-2], x.shape[-1]), x.dtype)
    np.add.at(y, rows, products.astype(x.dtype, copy=False))
    return np.moveaxis(y, 0, -2)


def graph_propagate(x, adjacency, *, out=None):
    """Each channel spread over a graph, ``adjacency @ x``, in plain NumPy and in any dtype.

    Parameters
    ----------
    x : array_like, shape (..., n, c)
    adjacency : array_like or sparse matrix, shape (n, n)
        Dense, or with the attributes of SciPy's CSR or COO matrices.
    out : ndarray, optional

    Returns
    -------
    ndarray, shape (..., n, c)

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree and indices out of range or of a wrong type.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.graph_propagate([[1], [10]], [[0, 1], [2, 3]])
    array([[10],
           [32]])
    """
    rows, columns, values, size = entries_of(adjacency)
    x, values = to_arrays(None, "same_kind", x, values)
    _check_features(x, size)
    return _written(spread(rows, columns, values, x), out)


def separable_graph_conv(
    x, adjacency, pointwise_weight, bias=None, *, depthwise_weight=None, depthwise_activation=None,
    order="cheapest", activation=None, out=None,
):  # fmt: skip
    """Separable convolution on a graph in plain NumPy and in any dtype; always spread first.

    Parameters
    ----------
    x : array_like, shape (..., n, c)
    adjacency : array_like or sparse matrix, shape (n, n)
        As for `graph_propagate`.
    pointwise_weight : array_like, shape (o, c)
    bias : array_like, shape (o,), optional
    depthwise_weight : array_like, shape (c, k), optional
        Taps over the powers I, A, ..., A^(k-1); None means A alone.
    depthwise_activation, activation : str or None, optional
    order : {"cheapest", "propagate_first", "mix_first"}, optional
        Only checked: the exact result does not depend on it where it may be chosen.
    out : ndarray, optional

    Returns
    -------
    ndarray, shape (..., n, o)

    Raises
    ------
    ValueError, TypeError
        As `graph_propagate`, and for an order that would change the result.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.separable_graph_conv([[1], [10]], [[0, 1], [1, 0]], [[1], [2]], [0, 1])
    array([[10, 21],
           [ 1,  3]])
    """
    rows, columns, values, size = entries_of(adjacency)
    arrays = to_arrays(None, "same_kind", x, values, pointwise_weight, bias, depthwise_weight)
    x, values, weight, bias, taps = arrays
    _check_features(x, size)
    check_order(order, taps, depthwise_activation)
    middle = activate(depthwise_activation, _filtered(rows, columns, values, x, taps))
    y = np.matmul(middle, weight.T).astype(x.dtype, copy=False)
    if not x.shape[-1]:
        y = np.zeros((*x.shape[:-1], len(weight)), x.dtype)
    return _written(activate(activation, y if bias is None else y + bias), out)


def _filtered(rows, columns, values, x, taps):
    """Return the sum of the powers of the operator, each channel with its taps."""
    if taps is None:
        return spread(rows, columns, values, x)
    if taps.ndim != 2 or taps.shape[0] != x.shape[-1] or taps.shape[1] == 0:
        raise ValueError(f"the taps must have shape ({x.shape[-1]}, k) with k > 0, got {taps.shape}")
    power, total = x, taps[:, 0] * x
    for k in range(1, taps.shape[1]):
        power = spread(rows, columns, values, power)
        total = total + taps[:, k] * power
    return total


def exchangeable(taps, depthwise_activation):
    """Tell whether the channels may be mixed before they are spread."""
    return depthwise_activation is None and (taps is None or bool((taps == taps[:1]).all()))


def check_order(order, taps, depthwise_activation):
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, got {order!r}")
    if order == "mix_first" and not exchangeable(taps, depthwise_activation):
        raise ValueError("order may be mix_first only where the taps agree and nothing stands between")


def _check_features(x, size):
    if x.ndim < 2 or x.shape[-2] != size:
        raise ValueError(f"x must have shape (..., {size}, c), got {x.shape}")


def _written(y, out):
    if out is None:
        return np.ascontiguousarray(y)
    np.copyto(out, y, casting="same_kind")
    return out


# ---- gradients -----------------------------------------------------------------------------------
def graph_propagate_vjp(x, adjacency):
    """`graph_propagate`, and the pullback to the gradients of x and of the adjacency's values.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.graph_propagate_vjp([[1], [10]], [[0, 1], [2, 3]])
    >>> pullback([[1], [2]])
    (array([[4],
           [7]]), array([[ 1, 10],
           [ 2, 20]]))
    """
    rows, columns, values, size = entries_of(adjacency)
    x, values = to_arrays(None, "same_kind", x, values)
    y = graph_propagate(x, adjacency).astype(x.dtype)

    def pullback(grad):
        (grad,) = to_arrays(y.dtype, "same_kind", grad)
        dx = spread(columns, rows, conjugate(values), grad)
        return dx, like_adjacency(adjacency, _entry_gradient(rows, columns, x, grad), size)

    return y, pullback


def _entry_gradient(rows, columns, x, grad):
    """Return, for each entry, the product of its two ends summed over channels and leading axes."""
    products = np.moveaxis(grad, -2, 0)[rows] * conjugate(np.moveaxis(x, -2, 0)[columns])
    return products.sum(axis=tuple(range(1, products.ndim)), dtype=x.dtype)


def separable_graph_conv_vjp(
    x, adjacency, pointwise_weight, bias=None, *, depthwise_weight=None, depthwise_activation=None,
    order="cheapest", activation=None,
):  # fmt: skip
    """`separable_graph_conv`, and the pullback to five gradients, in the order of the arguments.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.separable_graph_conv_vjp([[1], [10]], [[0, 1], [1, 0]], [[1], [2]])
    >>> pullback([[1, 0], [0, 1]])[0]
    array([[2],
           [1]])
    """
    words = dict(depthwise_weight=depthwise_weight, depthwise_activation=depthwise_activation)
    y = separable_graph_conv(
        x, adjacency, pointwise_weight, bias, **words, order=order, activation=activation
    )
    rows, columns, values, size = entries_of(adjacency)
    arrays = to_arrays(None, "same_kind", x, values, pointwise_weight, bias, depthwise_weight)
    x, values, weight, bias, taps = arrays
    y = y.astype(x.dtype)

    def pullback(grad):
        (grad,) = to_arrays(y.dtype, "same_kind", grad)
        before = _filtered(rows, columns, values, x, taps)
        middle = activate(depthwise_activation, before)
        mixed = middle @ weight.T
        grad = through_activation(activation, mixed if bias is None else mixed + bias, grad)
        pixels = grad.reshape(-1, grad.shape[-1])
        of_weight = pixels.T @ conjugate(middle.reshape(len(pixels), -1))
        of_bias = None if bias is None else pixels.sum(axis=0)
        of_middle = through_activation(depthwise_activation, before, grad @ conjugate(weight))
        of_x, of_values, of_taps = _filter_gradients(rows, columns, values, x, taps, of_middle)
        return of_x, like_adjacency(adjacency, of_values, size), of_weight, of_bias, of_taps

    return y, pullback


def _filter_gradients(rows, columns, values, x, taps, grad):
    """Return the gradients of x, entries and taps of ``sum over k of taps[:, k] * spread^k(x)``.

    Power k has k operators one after the other; each is differentiated with what went into it and what came
    back to it.
    """

    def back(grad):
        return spread(columns, rows, conjugate(values), grad)

    if taps is None:
        return back(grad), _entry_gradient(rows, columns, x, grad), None
    powers = [x]
    for _ in range(1, taps.shape[1]):
        powers.append(spread(rows, columns, values, powers[-1]))
    axes = tuple(range(x.ndim - 1))
    of_taps = np.stack([(grad * conjugate(power)).sum(axis=axes) for power in powers], axis=1)
    of_x, of_values = np.zeros_like(x), np.zeros(len(values), x.dtype)
    for k in range(taps.shape[1]):
        here = conjugate(taps[:, k]) * grad
        for power in reversed(powers[:k]):
            of_values = of_values + _entry_gradient(rows, columns, power, here)
            here = back(here)
        of_x = of_x + here
    return of_x, of_values, of_taps


# ---- operators -----------------------------------------------------------------------------------
def normalized_adjacency(A, self_loops=True, kind="symmetric"):
    """Return a dense adjacency, divided by degrees: ``D^(-1/2) A D^(-1/2)`` or ``D^(-1) A``, in float64.

    Examples
    --------
    >>> from dsconv.reference import graph
    >>> graph.normalized_adjacency([[0, 1], [1, 0]])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    rows, columns, values, size = entries_of(A)
    dense = np.zeros((size, size))
    np.add.at(dense, (rows, columns), values)
    dense = dense + np.eye(size) if self_loops else dense
    degrees = dense.sum(axis=1)
    result = np.zeros_like(dense)
    for r, s in zip(*np.nonzero(dense), strict=True):
        if kind == "random_walk":
            result[r, s] = dense[r, s] / degrees[r]
        elif degrees[s] > 0:
            result[r, s] = dense[r, s] / np.sqrt(degrees[r] * degrees[s])
    return result
