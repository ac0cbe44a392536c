"""Gradients of the pointwise convolution, with respect to the input and with respect to the weight.

gx[c, p, q] = sum over o                           of  conj(w[o, c]) * g[o, p, q]
gw[o, c]    = sum over all leading axes and pixels of  conj(x[c, p, q]) * g[o, p, q]
"""

import math

import numpy as np

from .arguments import channels_first, conjugate, finish, to_arrays
from .gradients import finish_weight, to_maps
from .ranks import of_every_rank


def _pointwise_conv_input_grad(
    rank,
    grad_output,
    weight,
    *,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a pointwise convolution with respect to its input.

    Parameters
    ----------
    grad_output : array_like, shape (..., O, *spatial), or (..., *spatial, O) for channels_last
    weight : array_like, shape (O, C)
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., C, *spatial), or (..., *spatial, C)

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.pointwise_conv1d_input_grad([[1, 2], [1, 1]], [[1, 10, 100], [0, 0, 5]])
    array([[  1,   2],
           [ 10,  20],
           [105, 205]])
    """
    grad, weight = to_arrays(dtype, casting, grad_output, weight)
    grad = channels_first(grad, rank, data_format, "grad_output")
    outputs = grad.shape[-rank - 1]
    if weight.ndim != 2 or weight.shape[0] != outputs or outputs == 0:
        raise ValueError(f"the weight must be ({outputs}, C), and not without outputs, got {weight.shape}")
    pixels = grad.reshape(*grad.shape[:-rank], math.prod(grad.shape[-rank:]))
    result = np.matmul(conjugate(weight).T, pixels).astype(grad.dtype, copy=False)
    result = result.reshape(*grad.shape[: -rank - 1], weight.shape[1], *grad.shape[-rank:])
    return finish(result, rank, data_format, dtype, out, casting)


def _pointwise_conv_weight_grad(
    rank,
    x,
    grad_output,
    *,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a pointwise convolution with respect to its weight, summed over all leading axes.

    Parameters
    ----------
    x : array_like, shape (..., C, *spatial), or (..., *spatial, C) for channels_last
    grad_output : array_like, shape (..., O, *spatial), or (..., *spatial, O)
        With the leading axes of x.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (O, C)

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.pointwise_conv1d_weight_grad([[1, 2], [10, 20]], [[1, 0], [1, 1], [0, 3]])
    array([[ 1, 10],
           [ 3, 30],
           [ 6, 60]])
    """
    x, grad = to_maps(rank, x, grad_output, data_format, dtype, casting)
    if x.shape[-rank:] != grad.shape[-rank:]:
        raise ValueError(f"grad_output must have spatial size {x.shape[-rank:]}, got {grad.shape[-rank:]}")
    if grad.shape[-rank - 1] == 0:
        raise ValueError(f"grad_output must have channels, got shape {grad.shape}")
    grad, x = (np.moveaxis(maps, -rank - 1, 0) for maps in (grad, conjugate(x)))
    result = np.zeros((len(grad), len(x)), x.dtype)
    if x.size:
        result += np.matmul(grad.reshape(len(grad), -1), x.reshape(len(x), -1).T).astype(x.dtype)
    return finish_weight(result, dtype, out, casting)


pointwise_conv1d_input_grad, pointwise_conv2d_input_grad, pointwise_conv3d_input_grad = of_every_rank(
    _pointwise_conv_input_grad
)
pointwise_conv1d_weight_grad, pointwise_conv2d_weight_grad, pointwise_conv3d_weight_grad = of_every_rank(
    _pointwise_conv_weight_grad
)
