"""Pointwise (1 by 1) convolution: at every pixel, one matrix product over the channels.

y[o, p, q] = bias[o] + sum over k of  weight[o, k] * x[k, p, q]
"""

import math

import numpy as np

from .activations import activate
from .arguments import channels_first, finish, to_arrays
from .depthwise import add_bias
from .ranks import of_every_rank


def _pointwise_conv(
    rank,
    x,
    weight,
    bias=None,
    *,
    activation=None,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Pointwise convolution in plain NumPy and in any dtype; shapes are those of rank 2.

    Parameters
    ----------
    x : array_like, shape (..., C, h, w), or (..., h, w, C) for channels_last
        Any number of leading batch axes.
    weight : array_like, shape (O, C), or (O, C, 1, 1)
        Leading axes, of the first form only, broadcast with x's; what can be read both ways is the second.
    bias : array_like, shape (O,), optional
    activation, data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., O, h, w), or (..., h, w, O)

    Raises
    ------
    ValueError
        For sizes that disagree, no output channels, or an unknown word.
    TypeError
        For an argument of a wrong type, a forbidden cast, or an activation of complex values.

    Examples
    --------
    >>> from dsconv import reference
    >>> x = [[[1, 2]], [[10, 20]]]
    >>> reference.pointwise_conv2d(x, [[1, 1], [1, -1]], activation="relu")
    array([[[11, 22]],
    <BLANKLINE>
           [[ 0,  0]]])
    """
    x, weight, bias = to_arrays(dtype, casting, x, weight, bias)
    x = channels_first(x, rank, data_format)
    y = activate(activation, pointwise_stage(x, weight, bias, rank))
    return finish(y, rank, data_format, dtype, out, casting)


def pointwise_stage(x, weight, bias, rank):
    """Mix the channels of `(..., C, *spatial)` and add the bias: the formula at the top of this file."""
    channels, *spatial = x.shape[-rank - 1 :]
    weight = drop_unit_kernel(weight, channels, rank)
    pixels = x.reshape(*x.shape[:-rank], math.prod(spatial))
    if channels == 0:
        lead = np.broadcast_shapes(x.shape[: -rank - 1], weight.shape[:-2])
        y = np.zeros((*lead, weight.shape[-2], pixels.shape[-1]), x.dtype)
    else:
        # of bfloat16, matmul makes float32
        y = np.matmul(weight, pixels).astype(x.dtype, copy=False)
    return add_bias(y.reshape(*y.shape[:-1], *spatial), bias, rank)


def drop_unit_kernel(weight, channels, rank):
    """Return the weight as `(..., O, C)`, from there or from `(..., O, C, 1, 1)`."""
    if weight.ndim == rank + 2 and weight.shape[1:] == (channels, *(1,) * rank):
        weight = weight.reshape(weight.shape[:2])
    if weight.ndim < 2 or weight.shape[-1] != channels:
        raise ValueError(f"the pointwise weight must have shape (O, {channels}), got {weight.shape}")
    if weight.shape[-2] == 0:
        raise ValueError(f"the pointwise weight must have output channels, got shape {weight.shape}")
    return weight


pointwise_conv1d, pointwise_conv2d, pointwise_conv3d = of_every_rank(_pointwise_conv)
