"""Gradients of the depthwise convolutions, with respect to the input and with respect to the weight.

    depthwise    gx[c, h] = sum over m, and p, t with p*s + t*d - low reading h
                            of  conj(w[c, m, t]) * g[c*M + m, p]
                 gw[c, m, t] = sum over all leading axes and p
                               of  conj(x[c, p*s + t*d - low]) * g[c*M + m, p]
    transposed   gx[c, i] = sum over m, t  of  conj(w[c, m, t]) * g[c*M + m, i*s + t*d - low]
                 gw[c, m, t] = sum over all leading axes and i
                               of  conj(x[c, i]) * g[c*M + m, i*s + t*d - low]

Here h, i, p and t stand for all spatial axes. What is skipped forward is skipped here; under a padding mode a
padded position hands its gradient to the one that it was copied from.
"""

import dataclasses

import numpy as np

from .arguments import channels_first, conjugate, finish, integers, to_arrays
from .padding import Geometry, output_size, pad, resolve_padding
from .ranks import of_every_rank
from .taps import correlate, gather, scatter
from .transposed import TransposedGeometry, check_native, resolve


# ---- checks --------------------------------------------------------------------------------------
def _native(weight, rank):
    """Return the weight, which must be `(C, M, *kernel)`: neither leading axes nor PyTorch's form."""
    check_native(weight, rank)
    if weight.ndim != rank + 2:
        raise ValueError(f"the weight of a gradient must have {rank + 2} axes, got shape {weight.shape}")
    return weight


def _split(grad, channels, rank):
    """Return grad_output `(..., C*M, *spatial)` as `(..., C, M, *spatial)`; without channels M is 1."""
    outputs = grad.shape[-rank - 1]
    multiplier = outputs // channels if channels else 1
    if multiplier == 0 or channels * multiplier != outputs:
        raise ValueError(f"grad_output has {outputs} channels, not a multiple of x's {channels}")
    return grad.reshape(*grad.shape[: -rank - 1], channels, multiplier, *grad.shape[-rank:])


def _split_as(grad, weight, rank):
    """Return grad_output with the C and M of the weight."""
    channels, multiplier = weight.shape[:2]
    if grad.shape[-rank - 1] != channels * multiplier:
        raise ValueError(
            f"grad_output has {grad.shape[-rank - 1]} channels, the weight {weight.shape} makes "
            f"{channels * multiplier}"
        )
    return grad.reshape(*grad.shape[: -rank - 1], channels, multiplier, *grad.shape[-rank:])


def _same_lead(x, grad, rank):
    if x.shape[: -rank - 1] != grad.shape[: -rank - 1]:
        raise ValueError(f"x and grad_output must have the same leading axes, got {x.shape}, {grad.shape}")


def _pads(geometry, size, kernel, grad):
    """Return the padding of the convolution whose output grad_output belongs to."""
    pairs = resolve_padding(geometry, size, kernel)
    needed = output_size(size, kernel, pairs, geometry)
    if grad.shape[-geometry.rank :] != needed:
        raise ValueError(f"grad_output must have spatial size {needed}, got {grad.shape[-geometry.rank :]}")
    return pairs


def _crop(geometry, size, kernel, grad):
    """Return what is cropped before each axis by the transposed convolution that grad_output belongs to."""
    geometry = dataclasses.replace(geometry, output_size=grad.shape[-geometry.rank :])
    try:
        return resolve(geometry, size, kernel)[0]
    except ValueError as error:
        raise ValueError(f"grad_output of spatial size {grad.shape[-geometry.rank :]}: {error}") from None


# ---- depthwise -----------------------------------------------------------------------------------
def _depthwise_conv_input_grad(
    rank,
    grad_output,
    weight,
    input_size,
    *,
    stride=1,
    padding=0,
    dilation=1,
    padding_mode="zeros",
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a depthwise convolution with respect to its input.

    Parameters
    ----------
    grad_output : array_like, shape (..., C*M, *output), or (..., *output, C*M) for channels_last
    weight : array_like, shape (C, M, *kernel)
    input_size : int or one int per spatial axis
    stride, padding, dilation, padding_mode
        Of the convolution.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., C, *input_size), or (..., *input_size, C)

    Raises
    ------
    ValueError, TypeError
        As the convolution, and for a grad_output that is not of the shape of its result.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.depthwise_conv1d_input_grad([[1, 2]], [[[1, 10, 100]]], 5, stride=2)
    array([[  1,  10, 102,  20, 200]])
    >>> reference.depthwise_conv1d_input_grad([[1, 2]], [[[1, 10]]], 1, padding=1, padding_mode="edge")
    array([[33]])
    """
    geometry = Geometry.parse(rank, stride, padding, dilation, padding_mode)
    size = integers(input_size, "input_size", rank, 0)
    grad, weight = to_arrays(dtype, casting, grad_output, weight)
    grad = channels_first(grad, rank, data_format, "grad_output")
    grad = _split_as(grad, _native(weight, rank), rank)
    pairs = _pads(geometry, size, weight.shape[2:], grad)
    low = [before for before, _ in pairs]
    if geometry.padding_mode == "constant":
        result = scatter(grad, conjugate(weight), size, low, geometry)
    else:
        padded = [sum(pair) + n for pair, n in zip(pairs, size, strict=True)]
        result = scatter(grad, conjugate(weight), padded, (0,) * rank, geometry)
        result = fold(result, size, pairs, geometry.padding_mode)
    return finish(_sum_of_multipliers(result, rank), rank, data_format, dtype, out, casting)


def fold(padded, size, pairs, mode):
    """The adjoint of `pad`: every padded position is added to the one that it is a copy of."""
    for axis, pair in enumerate(pairs):
        source = pad(np.arange(size[axis]), (pair,), mode)
        positions = np.moveaxis(padded, axis - len(pairs), 0)
        total = np.zeros((size[axis], *positions.shape[1:]), padded.dtype)
        for value, index in zip(positions, source, strict=True):
            total[index] += value
        padded = np.moveaxis(total, 0, axis - len(pairs))
    return padded


def _sum_of_multipliers(maps, rank):
    return maps.sum(-rank - 1, dtype=maps.dtype)


def _depthwise_conv_weight_grad(
    rank,
    x,
    grad_output,
    kernel_size,
    *,
    stride=1,
    padding=0,
    dilation=1,
    padding_mode="zeros",
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a depthwise convolution with respect to its weight, summed over all leading axes.

    Parameters
    ----------
    x : array_like, shape (..., C, *spatial), or (..., *spatial, C) for channels_last
    grad_output : array_like, shape (..., C*M, *output), or (..., *output, C*M)
        With the leading axes of x.
    kernel_size : int or one int per spatial axis
    stride, padding, dilation, padding_mode
        Of the convolution.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (C, M, *kernel_size)

    Raises
    ------
    ValueError, TypeError
        As the convolution, and for a grad_output that is not of the shape of its result.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.depthwise_conv1d_weight_grad([[1, 2, 3, 4]], [[1, 10]], 3)
    array([[[21, 32, 43]]])
    """
    geometry = Geometry.parse(rank, stride, padding, dilation, padding_mode)
    kernel = integers(kernel_size, "kernel_size", rank, 1)
    x, grad = to_maps(rank, x, grad_output, data_format, dtype, casting)
    grad = _split(grad, x.shape[-rank - 1], rank)
    pairs = _pads(geometry, x.shape[-rank:], kernel, grad)
    if geometry.padding_mode != "constant":
        x, pairs = pad(x, pairs, geometry.padding_mode), ((0, 0),) * rank
    low = [before for before, _ in pairs]
    result = correlate(conjugate(np.expand_dims(x, -rank - 1)), grad, kernel, low, geometry)
    return finish_weight(result, dtype, out, casting)


def to_maps(rank, x, grad_output, data_format, dtype, casting):
    """Return x and grad_output in one type, with the channels first."""
    x, grad = to_arrays(dtype, casting, x, grad_output)
    x = channels_first(x, rank, data_format)
    grad = channels_first(grad, rank, data_format, "grad_output")
    _same_lead(x, grad, rank)
    return x, grad


def finish_weight(result, dtype, out, casting):
    # all axes are core axes, and the channels are where they belong
    return finish(result, result.ndim - 1, "channels_first", dtype, out, casting)


# ---- transposed ----------------------------------------------------------------------------------
def _depthwise_conv_transpose_input_grad(
    rank,
    grad_output,
    weight,
    input_size,
    *,
    stride=1,
    padding=0,
    dilation=1,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a transposed depthwise convolution with respect to its input.

    Parameters
    ----------
    grad_output : array_like, shape (..., C*M, *output), or (..., *output, C*M) for channels_last
        Its size tells the output padding.
    weight : array_like, shape (C, M, *kernel)
    input_size : int or one int per spatial axis
    stride, padding, dilation
        Of the transposed convolution.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., C, *input_size), or (..., *input_size, C)

    Raises
    ------
    ValueError, TypeError
        As the convolution, and for a grad_output that is not of the shape of its result.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.depthwise_conv_transpose1d_input_grad([[1, 2, 3, 4, 5]], [[[1, 10, 100]]], 2, stride=2)
    array([[321, 543]])
    """
    geometry = TransposedGeometry.parse(rank, stride, padding, dilation)
    size = integers(input_size, "input_size", rank, 0)
    grad, weight = to_arrays(dtype, casting, grad_output, weight)
    grad = channels_first(grad, rank, data_format, "grad_output")
    grad = _split_as(grad, _native(weight, rank), rank)
    low = _crop(geometry, size, weight.shape[2:], grad)
    result = gather(grad, conjugate(weight), size, low, geometry)
    return finish(_sum_of_multipliers(result, rank), rank, data_format, dtype, out, casting)


def _depthwise_conv_transpose_weight_grad(
    rank,
    x,
    grad_output,
    kernel_size,
    *,
    stride=1,
    padding=0,
    dilation=1,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Gradient of a transposed depthwise convolution with respect to its weight.

    Parameters
    ----------
    x : array_like, shape (..., C, *spatial), or (..., *spatial, C) for channels_last
    grad_output : array_like, shape (..., C*M, *output), or (..., *output, C*M)
        With the leading axes of x. Its size tells the output padding.
    kernel_size : int or one int per spatial axis
    stride, padding, dilation
        Of the transposed convolution.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (C, M, *kernel_size)

    Raises
    ------
    ValueError, TypeError
        As the convolution, and for a grad_output that is not of the shape of its result.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.depthwise_conv_transpose1d_weight_grad([[1, 10]], [[1, 2, 3, 4]], 3)
    array([[[21, 32, 43]]])
    """
    geometry = TransposedGeometry.parse(rank, stride, padding, dilation)
    kernel = integers(kernel_size, "kernel_size", rank, 1)
    x, grad = to_maps(rank, x, grad_output, data_format, dtype, casting)
    grad = _split(grad, x.shape[-rank - 1], rank)
    low = _crop(geometry, x.shape[-rank:], kernel, grad)
    result = correlate(grad, conjugate(np.expand_dims(x, -rank - 1)), kernel, low, geometry)
    return finish_weight(result, dtype, out, casting)


depthwise_conv1d_input_grad, depthwise_conv2d_input_grad, depthwise_conv3d_input_grad = of_every_rank(
    _depthwise_conv_input_grad
)
depthwise_conv1d_weight_grad, depthwise_conv2d_weight_grad, depthwise_conv3d_weight_grad = of_every_rank(
    _depthwise_conv_weight_grad
)
(
    depthwise_conv_transpose1d_input_grad,
    depthwise_conv_transpose2d_input_grad,
    depthwise_conv_transpose3d_input_grad,
) = of_every_rank(_depthwise_conv_transpose_input_grad)
(
    depthwise_conv_transpose1d_weight_grad,
    depthwise_conv_transpose2d_weight_grad,
    depthwise_conv_transpose3d_weight_grad,
) = of_every_rank(_depthwise_conv_transpose_weight_grad)
