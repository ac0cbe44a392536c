"""The graph functions with the pullbacks of their gradients.

Nothing is stored for a pullback but the arguments, and the result where an activation's derivative is told
from it. The adjoint of a sparse matrix is its transpose, made once per call of the pullback, so that each
gradient is a sum in a fixed order.
"""

import numpy as np

from ..functional import (
    depthwise_conv1d_weight_grad,
    pointwise_conv1d_input_grad,
    pointwise_conv1d_weight_grad,
)
from ..gradients import _TOLD_BY_RESULT, _through_activation, _ufunc
from .arguments import as_array, data_types, features, flat
from .convolution import _LAST, SeparableCall, horner
from .operators import read_adjacency


def _incoming(grad, shape, dtype, work):
    """The gradient of a result, (b, n, c), checked."""
    grad = as_array(grad, "grad")
    if grad.shape != shape:
        raise ValueError(f"grad: expected the shape of the result, {shape}, got {grad.shape}")
    if not np.can_cast(grad.dtype, dtype, "same_kind"):
        raise TypeError(f"grad: cannot be cast from {grad.dtype} to {dtype}")
    return flat(grad, work)


def graph_propagate_vjp(x, adjacency):
    """`graph_propagate`, and the pullback of its gradients.

    Parameters
    ----------
    x, adjacency
        As for `graph_propagate`; a sparse matrix in CSR or COO form.

    Returns
    -------
    y : ndarray, shape (..., n, c)
    pullback : callable
        ``pullback(grad)`` gives the gradients of x and of the adjacency's values: an array like
        ``adjacency.data`` for a sparse matrix (only its entries have one), a matrix for a dense one. They
        have the result's dtype.

    Raises
    ------
    ValueError, TypeError
        As `graph_propagate`; TypeError for sparse matrices of other forms.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> y, pullback = ds.graph_propagate_vjp(np.array([[2.0], [3.0]]), np.array([[0.0, 1.0], [0.0, 0.0]]))
    >>> pullback(np.array([[1.0], [10.0]]))
    (array([[0.],
           [1.]]), array([[ 2.,  3.],
           [20., 30.]]))
    """
    operator = read_adjacency(adjacency, own=True)
    x = features(x, operator)
    dtype, work = data_types(x, operator.value)
    operator, shape, x = operator.cast(work), x.shape, flat(x, work)
    y = operator.apply(x).reshape(shape).astype(dtype, copy=False)

    def pullback(grad):
        grad = _incoming(grad, shape, dtype, work)
        dx = operator.adjoint().apply(grad).reshape(shape)
        return dx.astype(dtype, copy=False), operator.gradient(x, grad).astype(dtype, copy=False)

    return y, pullback


def separable_graph_conv_vjp(
    x, adjacency, pointwise_weight, bias=None, *, depthwise_weight=None, depthwise_activation=None,
    order="cheapest", activation=None,
):  # fmt: skip
    """`separable_graph_conv`, and the pullback of its gradients.

    Parameters
    ----------
    x, adjacency, pointwise_weight, bias, depthwise_weight, depthwise_activation, order, activation
        As for `separable_graph_conv`; a sparse matrix in CSR or COO form.

    Returns
    -------
    y : ndarray, shape (..., n, o)
    pullback : callable
        ``pullback(grad)`` gives the gradients of x, of the adjacency's values (an array like
        ``adjacency.data`` for a sparse matrix, a matrix for a dense one), of pointwise_weight, bias and
        depthwise_weight, None for what was not given. They have the result's dtype.

    Raises
    ------
    ValueError, TypeError
        As `separable_graph_conv`; TypeError for sparse matrices of other forms.

    Notes
    -----
    The first stage is computed again, by Horner's rule; its k - 1 intermediate sums are held while the
    gradients of the adjacency's values are computed.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> a = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> y, pullback = ds.separable_graph_conv_vjp(np.ones((2, 3)), a, np.ones((4, 3)))
    >>> [None if each is None else each.shape for each in pullback(np.ones((2, 4)))]
    [(2, 3), (2, 2), (4, 3), None, None]
    """
    arrays = x, adjacency, pointwise_weight, bias, depthwise_weight
    call = SeparableCall(arrays, depthwise_activation, order, activation, own=True)
    y = call.forward()
    return y, lambda grad: separable_gradients(call, y, grad)


def separable_gradients(call, y, grad, edges=True):
    """Gradients of x, of the adjacency's values (None unless `edges`), of weight, bias and taps."""
    grad = _incoming(grad, call.shape, call.dtype, call.work)
    grad = _through_last(call, y, grad)
    of_bias = None
    if call.bias is not None:
        of_bias = _ufunc("channel_sum", 1, **_LAST, batch_axes=1)(grad)
    exchanged = call.mix_first and call.taps is None
    of_x, of_values, of_weight, of_taps = (_mix_first if exchanged else _spread_first)(call, grad, edges)
    shapes = call.in_shape, None, None, None, None
    gradients = of_x, of_values, of_weight, of_bias, of_taps
    return tuple(
        None if each is None else each.reshape(shape or each.shape).astype(call.dtype, copy=False)
        for each, shape in zip(gradients, shapes, strict=True)
    )


def _through_last(call, y, grad):
    """The gradient before the last activation."""
    if call.last is None or not y.size:
        return grad
    if call.last in _TOLD_BY_RESULT:
        before = flat(y, call.work)
    else:
        before = call.compute(np.empty(grad.shape, call.work), None)
    return _through_activation(call.last, before, grad)


def _mix_first(call, grad, edges):
    of_mixed = call.operator.adjoint().apply(grad)
    of_values = call.operator.gradient(call.mixed(), grad) if edges else None
    return *_mixing_grads(call, of_mixed, call.x, of_values), None


def _mixing_grads(call, grad, mixed_of, of_values):
    of_x = pointwise_conv1d_input_grad(grad, call.weight, **_LAST)
    return of_x, of_values, pointwise_conv1d_weight_grad(mixed_of, grad, **_LAST)


def _spread_first(call, grad, edges):
    powers = horner(call.operator, call.x, call.taps, keep=edges)
    before = spread = call.spread(powers[0], activation=False)
    if call.between is not None and spread.size:
        spread = _ufunc("activation", activation=call.between)(before)
    of_spread, _, of_weight = _mixing_grads(call, grad, spread, None)
    if call.between is not None and spread.size:
        of_spread = _through_activation(call.between, before, of_spread)
    of_x, of_values, of_taps = _powers_grads(call, powers, of_spread, edges)
    return of_x, of_values, of_weight, of_taps


def _powers_grads(call, powers, grad, edges):
    """Gradients of ``sum_k t_k A^k x``: Horner's rule backwards."""
    operator, taps, x = call.operator, call.taps, call.x
    adjoint = None if taps is not None and len(taps) == 1 else operator.adjoint()
    if taps is None:
        return adjoint.apply(grad), operator.gradient(x, grad) if edges else None, None
    of_x, of_values, of_taps = np.zeros_like(grad), None, []
    for k, row in enumerate(taps):
        of_x += row.conj() * grad
        of_taps.append(depthwise_conv1d_weight_grad(x, grad, 1, **_LAST).reshape(-1))
        if k == len(taps) - 1:
            break
        if edges:
            found = operator.gradient(powers[k], grad)
            of_values = found if of_values is None else of_values + found
        grad = adjoint.apply(grad)
    if edges and of_values is None:
        of_values = operator.gradient(x[:0], grad[:0])
    return of_x, of_values, np.stack(of_taps, axis=1)
