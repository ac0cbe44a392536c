"""The standard convolution.

Windows of the image are copied into a matrix, some rows of outputs at a time, and multiplied by the
weights: forward in the kernels, as a pointwise convolution whose channels are the taps, bias and activation
in the same pass; in the gradients with NumPy's matrix product. The memory for that is bounded, whatever the
image.
"""

from collections import namedtuple
from functools import lru_cache
from math import prod

import numpy as np

from .. import cost, functional, gufuncs
from ..geometry import as_integer, items_of
from .convolution import epilogue_keywords
from .initial import he_normal, zeros
from .layer import Layer
from .protocol import Pullback, whole_shape
from .ranks import bind_ranks, needs_rank
from .windows import (
    NATIVE,
    activate,
    activation_grad,
    as_float,
    channels_back,
    channels_first,
    check_map,
    checked_mode,
    is_native,
    pad_sources,
    padding_pairs,
    spatial_sizes,
    tap_slices,
    taps_of,
    window_field,
    window_of,
    window_output,
    with_spatial,
)

_BLOCK = 1 << 19  # elements of the matrix of windows; one row of outputs is taken in any case


# ---- one image -----------------------------------------------------------------------------------
# output sizes; (low, high) of each axis; where each padded position comes from, -1 for zeros
Geometry = namedtuple("Geometry", "output pairs sources zeros")


@lru_cache(maxsize=256)
def _geometry(window, sizes, padding_mode):
    output, pairs = window_output(window, sizes), padding_pairs(window, sizes)
    zeros = padding_mode == "zeros"
    if 0 in sizes and not zeros:
        raise ValueError(f"x: an empty spatial input {sizes} can only be padded with zeros")
    sources = [pad_sources(size, pair, padding_mode) for size, pair in zip(sizes, pairs, strict=True)]
    return Geometry(output, pairs, sources, zeros)


def _padded(image, geometry, dtype):
    """An image (C, *sizes) with its margins, in that type."""
    if not any(map(any, geometry.pairs)):
        return image.astype(dtype, copy=False)
    if not geometry.zeros:
        for axis, source in enumerate(geometry.sources, 1):
            image = np.take(image, source, axis)
        return image.astype(dtype, copy=False)
    padded = np.empty((len(image), *map(len, geometry.sources)), dtype)
    inner = [slice(low, low + size) for (low, _), size in zip(geometry.pairs, image.shape[1:], strict=True)]
    padded[(slice(None), *inner)] = image
    for axis, part in enumerate(inner, 1):
        before = (slice(None),) * axis
        padded[(*before, slice(part.start))] = 0
        padded[(*before, slice(part.stop, None))] = 0
    return padded


def _unpadded(gradient, sources, sizes):
    """The adjoint of `_padded`: what several positions copied gets the sum of their gradients."""
    for axis, (source, size) in enumerate(zip(sources, sizes, strict=True), 1):
        moved = np.moveaxis(gradient, axis, 0)
        result = np.zeros((size, *moved.shape[1:]), gradient.dtype)
        kept = source >= 0
        np.add.at(result, source[kept], moved[kept])
        gradient = np.moveaxis(result, 0, axis)
    return gradient


def _blocks(window, output, channels):
    """Slices of the first output axis, each few enough rows for `_BLOCK`."""
    row = channels * prod(window.kernel) * prod(output[1:])
    step = max(_BLOCK // max(row, 1), 1)
    return [slice(begin, min(begin + step, output[0])) for begin in range(0, output[0], step)]


def _windows(padded, window, block, output):
    """A view of the windows of some rows of outputs: (C, *kernel, *rows)."""
    rows = block.stop - block.start, *output[1:]
    part = padded[:, block.start * window.stride[0] :]
    channel, *along = part.strides
    taps = [step * d for step, d in zip(along, window.dilation, strict=True)]
    steps = [step * s for step, s in zip(along, window.stride, strict=True)]
    shape = padded.shape[0], *window.kernel, *rows
    return np.lib.stride_tricks.as_strided(part, shape, (channel, *taps, *steps), writeable=False)


def _columns(padded, window, block, output):
    """The same as a matrix (C*taps, *rows)."""
    windows = _windows(padded, window, block, output)
    return windows.reshape(-1, *windows.shape[1 + len(window.kernel) :])


def _scatter(columns, padded, window, block, output):
    """The adjoint of `_columns`, added to the gradient of the padded image."""
    rows = block.stop - block.start, *output[1:]
    part = padded[:, block.start * window.stride[0] :]
    columns = columns.reshape(padded.shape[0], prod(window.kernel), *rows)
    for position, tap in enumerate(taps_of(window)):
        part[(slice(None), *tap_slices(window, tap, rows))] += columns[:, position]


def _hashable(value):
    items = None if isinstance(value, str) else items_of(value)
    return value if items is None else tuple(map(_hashable, items))


@lru_cache(maxsize=256)
def _standard_ufunc(rank, stride, padding, dilation, padding_mode, activation, data_format, biased):
    given = {
        "stride": stride, "padding": padding, "dilation": dilation, "padding_mode": padding_mode,
        "activation": activation, "data_format": data_format,
    }  # fmt: skip
    present = {"pointwise_bias"} if biased else ()
    return gufuncs.ufunc_of(gufuncs.canonical("standard_conv", rank, given, present))


# ---- the layer -----------------------------------------------------------------------------------
class Conv(Layer):
    """Standard convolution: each output channel sums over all input channels.

    For stems, and to compare with: windows are unfolded, and multiplied by the weights.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    stride, padding, dilation, padding_mode, activation, data_format, bias, dtype, rng
        As for `DepthwiseConv2d`; the weights have variance 2 / (C * taps).

    Attributes
    ----------
    weight : ndarray, shape (O, C, *kernel)
    bias : ndarray, shape (O,), or None

    Notes
    -----
    Padded zeros are multiplied like any other input, so an infinite weight makes NaN at the border.

    Raises
    ------
    ValueError, TypeError
        As `DepthwiseConv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.Conv2d(3, 32, 3, stride=2, padding="same", bias=False, rng=0)
    >>> layer(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 32, 4, 4)
    >>> layer.cost((1, 3, 224, 224)).macs
    10838016
    """

    rank = None
    parameter_names = ("weight", "bias")

    def __init__(
        self, in_channels, out_channels, kernel_size, *, stride=1, padding=0, dilation=1,
        padding_mode="zeros", bias=True, activation=None, data_format="channels_first", dtype="float32",
        rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.in_channels = as_integer(in_channels, "in_channels", 1)
        self.out_channels = as_integer(out_channels, "out_channels", 1)
        self.window = window_of(self.rank, kernel_size, stride, padding, dilation)
        self.padding_mode = checked_mode(padding_mode)
        words = epilogue_keywords(activation, data_format)
        self.activation, self.data_format = words["activation"], words["data_format"]
        taps = self.window.kernel
        fan_in = self.in_channels * prod(taps)
        self.weight = he_normal(rng, (self.out_channels, self.in_channels, *taps), fan_in, dtype)
        self.bias = zeros(bias, self.out_channels, dtype)
        self._given = stride, padding, dilation

    def __call__(self, x):
        if is_native(x, self.weight, self.bias):
            try:
                check_map(self, x.shape, self.rank, self.in_channels)
                return self._ufunc(self.activation)(*self._operands(x))
            except ValueError:
                pass  # what is wrong is said below
        x, geometry = self._prepared(x)
        if np.result_type(x, self.weight) in NATIVE:
            return self._result(x, geometry, self.activation)
        # a narrower type is rounded before the activation in `vjp`, whose bits these are
        return activate(self.activation, self._result(x, geometry, None))

    def traced(self, tape, x):
        if type(self).__call__ is not Conv.__call__:
            return super().traced(tape, x)
        return tape.kernel(self, x, (self.weight, self.bias))

    def vjp(self, x):
        x, geometry = self._prepared(x)
        before = self._result(x, geometry, None)

        def pullback(dy):
            du = channels_first(activation_grad(self.activation, before, dy), self.data_format)
            return self._grads(x, geometry, np.asarray(du, before.dtype))

        y = activate(self.activation, before)
        return y, Pullback(pullback, shape=y.shape)

    def _prepared(self, x):
        """x with channels first, its padding and the output's sizes."""
        x = as_float(x)
        check_map(self, x.shape, self.rank, self.in_channels)
        x = channels_first(x, self.data_format)
        return x, _geometry(self.window, x.shape[2:], self.padding_mode)

    def _result(self, x, geometry, activation):
        """The result in the layout asked for, the activation in the pass that stores it."""
        dtype = np.result_type(x, self.weight)
        if dtype in NATIVE:
            operands = self._operands(channels_back(x, self.data_format))
            return self._ufunc(activation)(*operands, dtype=dtype, casting="same_kind")
        return self._through_columns(x, geometry, activation, dtype)

    def _operands(self, x):
        weight = np.ascontiguousarray(self.weight)
        return (x, weight) if self.bias is None else (x, weight, self.bias)

    def _ufunc(self, activation):
        given = self.padding_mode, activation, self.data_format, self.bias is not None
        return _standard_ufunc(self.rank, *map(_hashable, self._given), *given)

    def _through_columns(self, x, geometry, activation, dtype):
        """The same for types of which the standard convolution has no kernel."""
        output = geometry.output
        matrix = self.weight.reshape(self.out_channels, -1)
        result = np.empty(with_spatial((len(x),), output, self.data_format, self.out_channels), dtype)
        multiply = getattr(functional, f"pointwise_conv{self.rank}d")
        words = {"activation": activation, "data_format": self.data_format}
        for image, target in zip(x, result, strict=True):
            padded = _padded(image, geometry, dtype)
            for block in _blocks(self.window, output, self.in_channels):
                columns, place = _columns(padded, self.window, block, output), (slice(None), block)
                if self.data_format == "channels_last":
                    columns, place = np.moveaxis(columns, 0, -1), block
                multiply(columns, matrix, self.bias, **words, out=target[place])
        return result

    def _grads(self, x, geometry, du):
        matrix = self.weight.reshape(self.out_channels, -1).astype(du.dtype, copy=False)
        of_matrix = np.zeros(matrix.shape, du.dtype)
        dx = np.empty(x.shape, du.dtype)
        for image, gradient, target in zip(x, du, dx, strict=True):
            padded = _padded(image, geometry, du.dtype)
            of_padded = np.zeros(padded.shape, du.dtype)
            for block in _blocks(self.window, geometry.output, self.in_channels):
                part = gradient[:, block].reshape(self.out_channels, -1)
                columns = _columns(padded, self.window, block, geometry.output)
                of_matrix += part @ columns.reshape(len(columns), -1).T.conj()
                _scatter(matrix.T.conj() @ part, of_padded, self.window, block, geometry.output)
            target[...] = _unpadded(of_padded, geometry.sources, x.shape[2:])
        grads = {"weight": of_matrix.reshape(self.weight.shape)}
        if self.bias is not None:
            grads["bias"] = du.sum(axis=(0, *range(2, du.ndim)))
        return channels_back(dx, self.data_format), grads

    def output_shape(self, shape):
        shape = whole_shape(shape)
        check_map(self, shape, self.rank, self.in_channels)
        sizes = window_output(self.window, spatial_sizes(shape, self.data_format))
        return with_spatial(shape, sizes, self.data_format, self.out_channels)

    def macs(self, shape):
        sizes = spatial_sizes(self.output_shape(shape), self.data_format)
        channels = self.in_channels, self.out_channels
        return cost.standard(*channels, self.window.kernel, sizes, batch=shape[0]).macs

    def field(self):
        return window_field(self.window)

    def describe(self):
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.window.kernel}"]
        defaults = {"stride": 1, "padding": 0, "dilation": 1}
        for (name, default), value in zip(defaults.items(), self._given, strict=True):
            words += [f"{name}={value!r}"] if value != default else []
        words += [f"padding_mode={self.padding_mode!r}"] if self.padding_mode != "zeros" else []
        words += [f"activation={self.activation!r}"] if self.activation else []
        words += ["bias=False"] if self.bias is None else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_first" else []
        return ", ".join(words)


__all__ = [name for name in bind_ranks(globals(), Conv)]
