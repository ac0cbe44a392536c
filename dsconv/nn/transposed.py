"""Transposed convolution layers: one class per kind, of any rank."""

from math import prod

from ..geometry import (
    TRANSPOSED_PADDINGS,
    as_integer,
    canonical_activation,
    canonical_output,
    canonical_padding,
)
from ..sizes import transposed_sizes
from .convolution import EngineLayer, draw_separable, epilogue_keywords, shown_separable
from .initial import fan_of_transposed, he_normal, zeros
from .ranks import bind_ranks, needs_rank
from .windows import spatial_sizes, transposed_field, window_of


class _Transposed(EngineLayer):
    """What the two transposed layers share: the geometry."""

    def _set_geometry(self, kernel_size, stride, padding, output_padding, dilation):
        self.window = window_of(self.rank, kernel_size, stride, 0, dilation)
        self.window = self.window._replace(
            padding=canonical_padding(padding, self.rank, words=TRANSPOSED_PADDINGS)
        )
        _, stride_per_axis, rates, (kind, *_) = self.window
        self.output_padding, _ = canonical_output(
            output_padding, None, kind, stride_per_axis, rates, self.rank
        )
        self.keywords = {"stride": stride, "padding": padding}
        self.keywords |= {"output_padding": output_padding, "dilation": dilation}

    def output_sizes(self, sizes):
        return transposed_sizes(sizes, *self.window, self.output_padding)

    def field(self):
        return transposed_field(*self.window)


class DepthwiseConvTranspose(_Transposed):
    """Transposed depthwise convolution: each input channel spread by filters of its own.

    Parameters
    ----------
    channels : int
        Input channels C.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    stride, padding, output_padding, dilation, activation, data_format
        As for `dsconv.depthwise_conv_transpose2d`.
    depth_multiplier, bias, dtype, rng
        As for `DepthwiseConv2d`; the variance is 2 over the taps that reach an output.

    Attributes
    ----------
    weight : ndarray, shape (C, M, *kernel)
    bias : ndarray, shape (C*M,), or None

    Raises
    ------
    ValueError, TypeError
        As `DepthwiseConv2d`.

    See Also
    --------
    dsconv.depthwise_conv_transpose2d : the function, and the sources.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.DepthwiseConvTranspose2d(3, 4, stride=2, padding="same", rng=0)
    >>> layer(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 3, 16, 16)
    """

    operation = "depthwise_conv_transpose"
    parameter_names = ("weight", "bias")

    def __init__(
        self, channels, kernel_size, *, depth_multiplier=1, stride=1, padding=0, output_padding=0, dilation=1,
        bias=True, activation=None, data_format="channels_first", dtype="float32", rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.in_channels = as_integer(channels, "channels", 1)
        multiplier = as_integer(depth_multiplier, "depth_multiplier", 1)
        self.out_channels = self.in_channels * multiplier
        self._set_geometry(kernel_size, stride, padding, output_padding, dilation)
        self.keywords |= epilogue_keywords(activation, data_format)
        taps = self.window.kernel
        fan_in = fan_of_transposed(taps, self.window.stride)
        self.weight = he_normal(rng, (self.in_channels, multiplier, *taps), fan_in, dtype)
        self.bias = zeros(bias, self.out_channels, dtype)

    def macs(self, shape):
        positions = prod(spatial_sizes(shape, self.data_format))
        return shape[0] * self.out_channels * positions * prod(self.window.kernel)

    def shown(self):
        multiplier = self.out_channels // self.in_channels
        more = [] if multiplier == 1 else [f"depth_multiplier={multiplier}"]
        return [f"kernel_size={self.window.kernel}", *more]


class SeparableConvTranspose(_Transposed):
    """Transposed depthwise separable convolution: a transposed depthwise stage and a pointwise one, fused.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    stride, padding, output_padding, dilation, data_format
        As for `dsconv.separable_conv_transpose2d`.
    depth_multiplier, bias, depthwise_bias, depthwise_activation, activation, dtype, rng
        As for `SeparableConv2d`.

    Attributes
    ----------
    depthwise_weight : ndarray, shape (C, M, *kernel)
    pointwise_weight : ndarray, shape (O, C*M)
    depthwise_bias, pointwise_bias : ndarray, shape (C*M,) and (O,), or None

    Raises
    ------
    ValueError, TypeError
        As `DepthwiseConv2d`.

    See Also
    --------
    dsconv.separable_conv_transpose2d : the function, and the sources.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.SeparableConvTranspose2d(3, 2, 4, stride=2, padding=1, rng=0)
    >>> layer(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 2, 16, 16)
    """

    operation = "separable_conv_transpose"
    parameter_names = ("depthwise_weight", "pointwise_weight", "depthwise_bias", "pointwise_bias")

    def __init__(
        self, in_channels, out_channels, kernel_size, *, depth_multiplier=1, stride=1, padding=0,
        output_padding=0, dilation=1, bias=True, depthwise_bias=False, depthwise_activation=None,
        activation=None, data_format="channels_first", dtype="float32", rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self._set_geometry(kernel_size, stride, padding, output_padding, dilation)
        word = canonical_activation(depthwise_activation, "depthwise_activation")
        self.keywords |= {"depthwise_activation": word} | epilogue_keywords(activation, data_format)
        kernel = self.window.kernel
        draw_separable(
            self, in_channels, out_channels, depth_multiplier, kernel,
            fan_of_transposed(kernel, self.window.stride), (bias, depthwise_bias), dtype, rng,
        )  # fmt: skip

    def macs(self, shape):
        hidden = self.pointwise_weight.shape[1]
        before = prod(spatial_sizes(shape, self.data_format)) * prod(self.window.kernel)
        after = prod(spatial_sizes(self.output_shape(shape), self.data_format)) * self.out_channels
        return shape[0] * hidden * (before + after)

    def shown(self):
        return shown_separable(self)


__all__ = [name for name in bind_ranks(globals(), DepthwiseConvTranspose, SeparableConvTranspose)]
