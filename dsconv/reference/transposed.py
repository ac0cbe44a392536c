"""Transposed convolution: every input pixel adds its kernel, weighted, to the output.

    y[c*M + m, p, q] = bias[c*M + m]
                       + sum over h, w, i, j with h*s + i*d - low == p and w*s + j*d - low == q
                         of  weight[c, m, i, j] * x[c, h, w]

Taps that fall outside the output are cropped: that is what padding means here.
"""

from dataclasses import dataclass

import numpy as np

from .activations import activate
from .arguments import channels_first, finish, integers, to_arrays
from .depthwise import add_bias
from .padding import parse_padding
from .pointwise import pointwise_stage
from .ranks import of_every_rank
from .taps import scatter


@dataclass(frozen=True)
class TransposedGeometry:
    """What a transposed convolution is told besides its arrays; `padding` is "same" or pairs."""

    rank: int
    stride: tuple
    padding: str | tuple
    dilation: tuple
    output_padding: tuple
    output_size: tuple | None

    @classmethod
    def parse(cls, rank, stride, padding, dilation, output_padding=0, output_size=None):
        geometry = cls(
            rank=rank,
            stride=integers(stride, "stride", rank, 1),
            padding=_parse_padding(padding, rank),
            dilation=integers(dilation, "dilation", rank, 1),
            output_padding=integers(output_padding, "output_padding", rank, 0),
            output_size=None if output_size is None else integers(output_size, "output_size", rank, 1),
        )
        geometry.check_output_padding()
        return geometry

    def check_output_padding(self):
        if any(self.output_padding) and self.output_size is not None:
            raise ValueError(f"output_padding must be 0 beside an output_size, got {self.output_padding}")
        if any(self.output_padding) and self.padding == "same":
            raise ValueError(f"output_padding must be 0 with padding 'same', got {self.output_padding}")
        for extra, *most in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(most):
                raise ValueError(f"output_padding must be below max(stride, dilation) = {max(most)}: {extra}")


def _parse_padding(padding, rank):
    padding = parse_padding(padding, rank)
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same_upper":
        return "same"
    if isinstance(padding, str) and padding != "same":
        raise ValueError(f"padding of a transposed convolution must be numbers or 'same', got {padding!r}")
    return padding


def resolve(geometry, input_size, kernel):
    """Return how much is cropped before each axis, and the output sizes, now that the sizes are known.

    With `e = dilation*(kernel - 1) + 1`, the extent of the kernel, the natural size is
    `(in - 1)*stride - low - high + e`. Output padding makes it larger at the end. "same" makes it
    `in*stride`, cropping `max(e - stride, 0)`, the odd one after.
    """
    sizes = zip(input_size, kernel, strict=True)
    low, size = zip(*(_resolve_axis(geometry, axis, *pair) for axis, pair in enumerate(sizes)), strict=True)
    return low, size


def _resolve_axis(geometry, axis, size, kernel):
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    extent = dilation * (kernel - 1) + 1
    crop = max(extent - stride, 0)
    low, high = (crop // 2, crop - crop // 2) if geometry.padding == "same" else geometry.padding[axis]
    natural = (size - 1) * stride - low - high + extent
    least, most = natural, natural + max(stride, dilation) - 1
    if geometry.padding == "same":
        least = most = size * stride
    result = least + geometry.output_padding[axis]
    if geometry.output_size is not None:
        result = geometry.output_size[axis]
        if not least <= result <= most:
            raise ValueError(f"output_size on spatial axis {axis} must be {least} to {most}, got {result}")
    if result < 1:
        raise ValueError(
            f"nothing is left on spatial axis {axis}: (in-1)*stride - low - high + dilation*(k-1) + 1 = "
            f"({size}-1)*{stride} - {low} - {high} + {dilation}*({kernel}-1) + 1 = {natural}"
        )
    return low, result


def transposed_stage(x, weight, bias, geometry):
    """Scatter `(..., C, *spatial)` and add the bias: the formula at the top of this file."""
    rank = geometry.rank
    check_native(weight, rank)
    channels, multiplier, *kernel = weight.shape[-rank - 2 :]
    if x.shape[-rank - 1] != channels:
        raise ValueError(f"x has {x.shape[-rank - 1]} channels, the weight {weight.shape} has {channels}")
    low, size = resolve(geometry, x.shape[-rank:], kernel)
    y = scatter(np.expand_dims(x, -rank - 1), weight, size, low, geometry)
    return add_bias(y.reshape(*y.shape[: -rank - 2], channels * multiplier, *size), bias, rank)


def check_native(weight, rank):
    """Refuse a depthwise weight that has not the form (..., C, M, *kernel), or is empty but for its C."""
    if weight.ndim < rank + 2:
        raise ValueError(f"the depthwise weight must have at least {rank + 2} axes, got shape {weight.shape}")
    if 0 in weight.shape[-rank - 1 :]:
        raise ValueError(f"kernel and depth multiplier must not be 0, got a weight of shape {weight.shape}")


def _depthwise_conv_transpose(
    rank,
    x,
    weight,
    bias=None,
    *,
    stride=1,
    padding=0,
    output_padding=0,
    output_size=None,
    dilation=1,
    activation=None,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Transposed depthwise convolution, in plain NumPy and in any dtype.

    Parameters
    ----------
    x : array_like, shape (..., C, *spatial), or (..., *spatial, C) for channels_last
    weight : array_like, shape (C, M, *kernel)
        Output channel `c*M + m` is input channel c under `weight[c, m]`. Leading axes broadcast with x's.
    bias : array_like, shape (C*M,), optional
    stride, dilation : int or one int per spatial axis
    padding : int, one int per axis, one (low, high) pair per axis, "valid" or "same"
        How much is cropped of the output. "same" makes the output `in*stride`.
    output_padding : int or one int per spatial axis
        More outputs at the end, below max(stride, dilation).
    output_size : int or one int per spatial axis, optional
        The output size itself, instead of `output_padding`.
    activation, data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., C*M, *output), or (..., *output, C*M)

    Raises
    ------
    ValueError
        For sizes that disagree or leave no output, and an output padding or size out of range.
    TypeError
        For an argument of a wrong type, a forbidden cast, or an activation of complex values.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.depthwise_conv_transpose1d([[1, 2, 3]], [[[1, 10, 100]]], stride=2)
    array([[  1,  10, 102,  20, 203,  30, 300]])
    >>> reference.depthwise_conv_transpose1d([[1, 2, 3]], [[[1, 10, 100]]], stride=2, padding="same")
    array([[  1,  10, 102,  20, 203,  30]])
    """
    geometry = TransposedGeometry.parse(rank, stride, padding, dilation, output_padding, output_size)
    x, weight, bias = to_arrays(dtype, casting, x, weight, bias)
    x = channels_first(x, rank, data_format)
    y = activate(activation, transposed_stage(x, weight, bias, geometry))
    return finish(y, rank, data_format, dtype, out, casting)


def _separable_conv_transpose(
    rank,
    x,
    depthwise_weight,
    pointwise_weight,
    depthwise_bias=None,
    pointwise_bias=None,
    *,
    stride=1,
    padding=0,
    output_padding=0,
    output_size=None,
    dilation=1,
    depthwise_activation=None,
    activation=None,
    data_format="channels_first",
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Transposed depthwise convolution, then a pointwise one, in plain NumPy and in any dtype.

    Parameters
    ----------
    x : array_like, shape (..., C, *spatial), or (..., *spatial, C) for channels_last
    depthwise_weight : array_like, shape (C, M, *kernel)
    pointwise_weight : array_like, shape (O, C*M), or (O, C*M, 1, ...)
    depthwise_bias : array_like, shape (C*M,), optional
    pointwise_bias : array_like, shape (O,), optional
    stride, padding, output_padding, output_size, dilation
        As in `depthwise_conv_transpose2d`.
    depthwise_activation, activation
        After the depthwise and after the pointwise stage, as in `depthwise_conv2d`.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., O, *output), or (..., *output, O)

    Raises
    ------
    ValueError, TypeError
        As `depthwise_conv_transpose2d` and `pointwise_conv2d`.

    Examples
    --------
    >>> from dsconv import reference
    >>> reference.separable_conv_transpose1d([[1, 2]], [[[1, 1]]], [[1], [2]], stride=2)
    array([[1, 1, 2, 2],
           [2, 2, 4, 4]])
    """
    geometry = TransposedGeometry.parse(rank, stride, padding, dilation, output_padding, output_size)
    x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias = to_arrays(
        dtype, casting, x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias
    )
    x = channels_first(x, rank, data_format)
    middle = activate(depthwise_activation, transposed_stage(x, depthwise_weight, depthwise_bias, geometry))
    y = activate(activation, pointwise_stage(middle, pointwise_weight, pointwise_bias, rank))
    return finish(y, rank, data_format, dtype, out, casting)


depthwise_conv_transpose1d, depthwise_conv_transpose2d, depthwise_conv_transpose3d = of_every_rank(
    _depthwise_conv_transpose
)
separable_conv_transpose1d, separable_conv_transpose2d, separable_conv_transpose3d = of_every_rank(
    _separable_conv_transpose
)
