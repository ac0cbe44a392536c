"""Depthwise convolution: every input channel meets its own M kernels, and no other channel.

    y[c*M + m, p, q] = bias[c*M + m]
                       + sum over i, j of  weight[c, m, i, j] * x[c, p*s + i*d - low, q*s + j*d - low]

A tap that falls outside x is skipped under zero padding, and meets what `numpy.pad` puts there otherwise.
"""

import numpy as np

from .activations import activate
from .arguments import channels_first, finish, to_arrays
from .padding import Geometry, output_size, pad, resolve_padding
from .ranks import of_every_rank
from .taps import gather


def _depthwise_conv(
    rank,
    x,
    weight,
    bias=None,
    *,
    stride=1,
    padding=0,
    dilation=1,
    padding_mode="zeros",
    activation=None,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Depthwise convolution in plain NumPy and in any dtype; shapes are those of rank 2.

    Parameters
    ----------
    x : array_like, shape (..., C, h, w), or (..., h, w, C) for channels_last
        Any number of leading batch axes.
    weight : array_like, shape (C, M, i, j), or (C*M, 1, i, j)
        Output channel `c*M + m` is input channel c under `weight[c, m]`. Leading axes broadcast with x's.
    bias : array_like, shape (C*M,), optional
    stride, dilation : int or one int per spatial axis
    padding : int, one int per axis, one (low, high) pair per axis, or a string
        "valid", "same" (= "same_upper"), "same_lower", "full" or "causal".
    padding_mode : {"zeros", "reflect", "symmetric", "replicate", "edge", "circular", "wrap"}
        As in `numpy.pad`. Under "zeros" a padded tap is skipped, so an infinite weight makes no NaN there.
    activation : {None, "relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu"}
    data_format : {"channels_first", "channels_last"}
    out : ndarray, optional
        Written and returned; it may overlap any input.
    dtype : dtype, optional
        Computed in this type. By default in the type that NumPy promotes the inputs to, unchanged: integers
        stay integers (and wrap as NumPy's do), objects stay objects.
    casting : str
        Which casts to `dtype` and `out` are allowed.

    Returns
    -------
    ndarray, shape (..., C*M, p, q), or (..., p, q, C*M)

    Raises
    ------
    ValueError
        For sizes that disagree, an empty kernel, a depth multiplier of 0, a kernel that does not fit in the
        padded input, an empty spatial input in a padding mode other than zeros, or an unknown word.
    TypeError
        For an argument of a wrong type, a forbidden cast, or an activation of complex values.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from dsconv import reference
    >>> x = [[[1, 2], [3, 4]]]
    >>> reference.depthwise_conv2d(x, [[[[1, 1], [1, 1]]]], padding="same")
    array([[[10,  6],
            [ 7,  4]]])
    >>> reference.depthwise_conv2d(x, [[[[Fraction(1, 3)]]]])[0, 1]
    array([Fraction(1, 1), Fraction(4, 3)], dtype=object)
    """
    geometry = Geometry.parse(rank, stride, padding, dilation, padding_mode)
    x, weight, bias = to_arrays(dtype, casting, x, weight, bias)
    x = channels_first(x, rank, data_format)
    y = activate(activation, depthwise_stage(x, weight, bias, geometry))
    return finish(y, rank, data_format, dtype, out, casting)


def depthwise_stage(x, weight, bias, geometry):
    """Convolve `(..., C, *spatial)` and add the bias: the formula at the top of this file."""
    rank = geometry.rank
    weight = split_channels(weight, x.shape[-rank - 1], rank)
    channels, multiplier, *kernel = weight.shape[-rank - 2 :]
    pairs = resolve_padding(geometry, x.shape[-rank:], kernel)
    size = output_size(x.shape[-rank:], kernel, pairs, geometry)
    if geometry.padding_mode != "constant":
        x, pairs = pad(x, pairs, geometry.padding_mode), ((0, 0),) * rank
    y = gather(np.expand_dims(x, -rank - 1), weight, size, [low for low, _ in pairs], geometry)
    y = y.reshape(*y.shape[: -rank - 2], channels * multiplier, *size)
    return add_bias(y, bias, rank)


def split_channels(weight, channels, rank):
    """Return the weight as `(..., C, M, *kernel)`, from there or from `(..., C*M, 1, *kernel)`."""
    if weight.ndim < rank + 2:
        raise ValueError(f"the depthwise weight must have at least {rank + 2} axes, got shape {weight.shape}")
    *lead, first, multiplier = weight.shape[:-rank]
    kernel = weight.shape[-rank:]
    if 0 in kernel or multiplier == 0:
        raise ValueError(f"kernel and depth multiplier must not be 0, got a weight of shape {weight.shape}")
    if first == channels:
        return weight
    if multiplier == 1 and channels > 0 and first > 0 and first % channels == 0:
        return weight.reshape(*lead, channels, first // channels, *kernel)
    raise ValueError(
        f"x has {channels} channels, which a depthwise weight of shape {weight.shape} does not fit"
    )


def add_bias(y, bias, rank):
    """Add a bias of shape `(..., channels)` to `(..., channels, *spatial)`."""
    if bias is None:
        return y
    if bias.ndim < 1 or bias.shape[-1] != y.shape[-rank - 1]:
        raise ValueError(f"the bias must have shape ({y.shape[-rank - 1]},), got {bias.shape}")
    return y + bias.reshape(*bias.shape, *(1,) * rank)


depthwise_conv1d, depthwise_conv2d, depthwise_conv3d = of_every_rank(_depthwise_conv)
