"""Convolution layers: one class per kind, of any rank, on the functions of the package."""

from math import prod
from operator import attrgetter

import numpy as np

from .. import cost, functional, gradients, gufuncs
from ..checks import as_flag, as_generator
from ..geometry import as_integer, canonical_activation
from ..streaming import Stream1d
from .initial import he_normal, zeros
from .keywords import Keywords
from .layer import Layer
from .protocol import whole_shape
from .ranks import bind_ranks, needs_rank
from .stream import Stateless
from .windows import (
    channel_axis,
    check_map,
    checked_mode,
    spatial_sizes,
    window_field,
    window_of,
    window_output,
    with_spatial,
)


class EngineLayer(Layer):
    """A layer that is one call of a function `operation` with arrays of its own.

    A subclass sets `keywords`, what the call takes besides the arrays, and `in_channels`, `out_channels`.
    """

    rank = None
    operation = ""

    @property
    def keywords(self):
        return self._keywords

    @keywords.setter
    def keywords(self, given):
        self._keywords = Keywords(given)

    def _call(self, functions, suffix, x):
        x = np.asarray(x)
        check_map(self, x.shape, self.rank, self.in_channels)
        arrays = [getattr(self, name) for name in self.parameter_names]
        return getattr(functions, f"{self.operation}{self.rank}d{suffix}")(x, *arrays, **self.keywords)

    def __call__(self, x):
        # The fewer steps the better: each kernel drives Python's own code out of the caches.
        known = self._keywords.known
        if known is not None and type(x) is np.ndarray:
            ufunc, arrays_of, axes, channels = known
            arrays = arrays_of(self)
            try:
                fits = x.ndim == self.rank + 2 and x.shape[channels] == self.in_channels
                # to the ufunc, more axes would be a loop
                if fits and [each.ndim for each in arrays] == axes:
                    return ufunc(x, *arrays)
            except (AttributeError, TypeError, ValueError):
                pass  # what is wrong is found out now, unless it is another kind of array
        y = self._call(functional, "", x)
        self._remember()
        return y

    def _remember(self):
        """The ufunc of a call that was right, for the next one."""
        names, roles = self.parameter_names, gufuncs.flags_of(self.operation).values()
        if not all(isinstance(getattr(self, name), np.ndarray) for name in names):
            return
        spec = gufuncs.canonical(self.operation, self.rank, self.keywords, roles)
        most = {"depthwise_weight": self.rank + 2, "pointwise_weight": 2}
        axes = [most.get(operand.role, 1) for operand in gufuncs.OPERATIONS[self.operation].operands[1:]]
        channels = -1 if spec.channels_last else 1
        self._keywords.known = gufuncs.ufunc_of(spec), attrgetter(*names), axes, channels

    def traced(self, tape, x):
        if not self.makes_result:
            return super().traced(tape, x)
        return tape.kernel(self, x, [getattr(self, name) for name in self.parameter_names])

    def vjp(self, x):
        y, pull = self._call(gradients, "_vjp", x)

        def pullback(dy):
            dx, *grads = pull(dy)
            pairs = zip(self.parameter_names, grads, strict=True)
            return dx, {name: grad for name, grad in pairs if grad is not None}

        return y, pullback

    @property
    def makes_result(self):
        # a subclass with a call of its own may keep what it returns
        return type(self).__call__ is EngineLayer.__call__

    @property
    def data_format(self):
        return self.keywords["data_format"]

    @property
    def activation(self):
        return self.keywords["activation"]

    def output_shape(self, shape):
        shape = whole_shape(shape)
        check_map(self, shape, self.rank, self.in_channels)
        sizes = self.output_sizes(spatial_sizes(shape, self.data_format))
        return with_spatial(shape, sizes, self.data_format, self.out_channels)

    def output_sizes(self, sizes):
        return sizes

    def describe(self):
        shown = [str(self.in_channels), *self.shown()]
        hidden = {"activation": None, "depthwise_activation": None, "data_format": "channels_first"}
        hidden |= {"stride": 1, "padding": 0, "dilation": 1, "padding_mode": "zeros"}
        hidden |= {"output_padding": 0}
        shown += [f"{name}={value!r}" for name, value in self.keywords.items() if value != hidden[name]]
        last = self.parameter_names[-1]
        return ", ".join(shown + ([] if getattr(self, last) is not None else ["bias=False"]))

    def shown(self):
        return [str(self.out_channels)]


def _convolution_keywords(stride, padding, dilation, padding_mode):
    mode = checked_mode(padding_mode)
    return {"stride": stride, "padding": padding, "dilation": dilation, "padding_mode": mode}


def epilogue_keywords(activation, data_format):
    channel_axis(data_format)
    return {"activation": canonical_activation(activation), "data_format": data_format}


class DepthwiseConv(EngineLayer):
    """Depthwise convolution: each input channel under filters of its own.

    Parameters
    ----------
    channels : int
        Input channels C.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    depth_multiplier : int, optional
        Filters per channel, M.
    stride, padding, dilation, padding_mode, activation, data_format
        As for `dsconv.depthwise_conv2d`.
    bias : bool, optional
        Whether there is one.
    dtype : dtype, optional
        Of the parameters.
    rng : None, int or numpy.random.Generator, optional
        Where the weights come from: normal with variance 2 / taps (He). The biases are 0.

    Attributes
    ----------
    weight : ndarray, shape (C, M, *kernel)
    bias : ndarray, shape (C*M,), or None

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and for inputs without exactly one batch axis or with other channels.

    See Also
    --------
    dsconv.depthwise_conv2d : the function.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.DepthwiseConv2d(3, 3, stride=2, padding="same", rng=0)
    >>> layer(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 3, 4, 4)
    >>> layer.cost((1, 3, 8, 8)).macs
    432
    """

    operation = "depthwise_conv"
    parameter_names = ("weight", "bias")

    def __init__(
        self, channels, kernel_size, *, depth_multiplier=1, stride=1, padding=0, dilation=1,
        padding_mode="zeros", bias=True, activation=None, data_format="channels_first", dtype="float32",
        rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.in_channels = as_integer(channels, "channels", 1)
        multiplier = as_integer(depth_multiplier, "depth_multiplier", 1)
        self.out_channels = self.in_channels * multiplier
        self.window = window_of(self.rank, kernel_size, stride, padding, dilation)
        self.keywords = _convolution_keywords(stride, padding, dilation, padding_mode)
        self.keywords |= epilogue_keywords(activation, data_format)
        taps = self.window.kernel
        self.weight = he_normal(rng, (self.in_channels, multiplier, *taps), prod(taps), dtype)
        self.bias = zeros(bias, self.out_channels, dtype)

    def output_sizes(self, sizes):
        return window_output(self.window, sizes)

    def macs(self, shape):
        sizes = spatial_sizes(self.output_shape(shape), self.data_format)
        form = {"depth_multiplier": self.out_channels // self.in_channels, "batch": shape[0]}
        return cost.depthwise(self.in_channels, self.window.kernel, sizes, **form).macs

    def field(self):
        return window_field(self.window)

    def shown(self):
        multiplier = self.out_channels // self.in_channels
        more = [] if multiplier == 1 else [f"depth_multiplier={multiplier}"]
        return [f"kernel_size={self.window.kernel}", *more]

    def streamed(self, name):
        if self.rank != 1 or not is_causal(self):
            return super().streamed(name)
        words = ("stride", "dilation", "activation", "data_format")
        return Stream1d(self.weight, None, self.bias, **{word: self.keywords[word] for word in words})


class PointwiseConv(EngineLayer):
    """Pointwise convolution: a linear map of the channels at each position (1x1 convolution).

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    bias, activation, data_format, dtype, rng
        As for `DepthwiseConv2d`; the weights have variance 2 / C.

    Attributes
    ----------
    weight : ndarray, shape (O, C)
    bias : ndarray, shape (O,), or None

    Raises
    ------
    ValueError, TypeError
        As `DepthwiseConv2d`.

    See Also
    --------
    dsconv.pointwise_conv2d : the function.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.PointwiseConv2d(3, 16, activation="relu")(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 16, 8, 8)
    """

    operation = "pointwise_conv"
    parameter_names = ("weight", "bias")

    def __init__(
        self, in_channels, out_channels, *, bias=True, activation=None, data_format="channels_first",
        dtype="float32", rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.in_channels = as_integer(in_channels, "in_channels", 1)
        self.out_channels = as_integer(out_channels, "out_channels", 1)
        self.keywords = epilogue_keywords(activation, data_format)
        self.weight = he_normal(rng, (self.out_channels, self.in_channels), self.in_channels, dtype)
        self.bias = zeros(bias, self.out_channels, dtype)

    def macs(self, shape):
        sizes = spatial_sizes(shape, self.data_format)
        return cost.pointwise(self.in_channels, self.out_channels, sizes, batch=shape[0]).macs

    def streamed(self, name):
        # with other ranks the first spatial axis would be time: one position is then a row or a plane
        return super().streamed(name) if self.rank != 1 else Stateless(self)


class SeparableConv(EngineLayer):
    """Depthwise separable convolution: a depthwise and a pointwise one, fused.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    depth_multiplier, stride, padding, dilation, padding_mode, data_format, dtype, rng
        As for `DepthwiseConv2d`.
    bias, depthwise_bias : bool, optional
        Whether the pointwise and the depthwise stage have one.
    depthwise_activation, activation : str or None, optional
        After the depthwise and after the pointwise stage.

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
    dsconv.separable_conv2d : the function, and the sources.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.SeparableConv2d(3, 16, 3, padding=1, rng=0)
    >>> layer(np.ones((2, 3, 8, 8), np.float32)).shape
    (2, 16, 8, 8)
    """

    operation = "separable_conv"
    parameter_names = ("depthwise_weight", "pointwise_weight", "depthwise_bias", "pointwise_bias")

    def __init__(
        self, in_channels, out_channels, kernel_size, *, depth_multiplier=1, stride=1, padding=0, dilation=1,
        padding_mode="zeros", bias=True, depthwise_bias=False, depthwise_activation=None, activation=None,
        data_format="channels_first", dtype="float32", rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.window = window_of(self.rank, kernel_size, stride, padding, dilation)
        self.keywords = _convolution_keywords(stride, padding, dilation, padding_mode)
        word = canonical_activation(depthwise_activation, "depthwise_activation")
        self.keywords |= {"depthwise_activation": word} | epilogue_keywords(activation, data_format)
        draw_separable(
            self, in_channels, out_channels, depth_multiplier, self.window.kernel, prod(self.window.kernel),
            (bias, depthwise_bias), dtype, rng,
        )  # fmt: skip

    def output_sizes(self, sizes):
        return window_output(self.window, sizes)

    def macs(self, shape):
        sizes = spatial_sizes(self.output_shape(shape), self.data_format)
        form = {"depth_multiplier": self.depthwise_weight.shape[1], "batch": shape[0]}
        return cost.separable(self.in_channels, self.out_channels, self.window.kernel, sizes, **form).macs

    def field(self):
        return window_field(self.window)

    def shown(self):
        return shown_separable(self)

    def streamed(self, name):
        if self.rank != 1 or not is_causal(self):
            return super().streamed(name)
        words = ("stride", "dilation", "depthwise_activation", "activation", "data_format")
        arrays = [getattr(self, each) for each in self.parameter_names]
        return Stream1d(*arrays, **{word: self.keywords[word] for word in words})


def draw_separable(layer, in_channels, out_channels, depth_multiplier, kernel, fan_in, biases, dtype, rng):
    """Channels and arrays of a separable layer, the depthwise weights drawn first."""
    rng = as_generator(rng)
    layer.in_channels = as_integer(in_channels, "in_channels", 1)
    layer.out_channels = as_integer(out_channels, "out_channels", 1)
    multiplier = as_integer(depth_multiplier, "depth_multiplier", 1)
    hidden = layer.in_channels * multiplier
    layer.depthwise_weight = he_normal(rng, (layer.in_channels, multiplier, *kernel), fan_in, dtype)
    layer.pointwise_weight = he_normal(rng, (layer.out_channels, hidden), hidden, dtype)
    layer.depthwise_bias = zeros(as_flag(biases[1], "depthwise_bias"), hidden, dtype)
    layer.pointwise_bias = zeros(biases[0], layer.out_channels, dtype)


def shown_separable(layer):
    _, multiplier, *kernel = layer.depthwise_weight.shape
    more = [] if multiplier == 1 else [f"depth_multiplier={multiplier}"]
    more += ["depthwise_bias=True"] if layer.depthwise_bias is not None else []
    return [str(layer.out_channels), f"kernel_size={tuple(kernel)}", *more]


def is_causal(layer):
    return layer.window.padding[0] == "causal" and layer.keywords["padding_mode"] == "zeros"


__all__ = [name for name in bind_ranks(globals(), DepthwiseConv, PointwiseConv, SeparableConv)]
