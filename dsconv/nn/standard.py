"""The standard convolution and the linear layer.

Windows of the padded image are copied into a matrix, a few rows of outputs at a time, and multiplied by the
weights with NumPy's matrix product. The memory for that is bounded by `_BLOCK`, whatever the image.
"""

from math import prod

import numpy as np

from .. import cost, functional, gradients
from ..geometry import as_integer
from .convolution import epilogue_keywords
from .initial import he_normal, zeros
from .layer import Layer
from .protocol import Pullback, whole_shape
from .ranks import bind_ranks, needs_rank
from .stream import Stateless
from .windows import (
    activate,
    activation_grad,
    as_float,
    channels_back,
    channels_first,
    check_map,
    checked_mode,
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

_BLOCK = 1 << 20  # elements of the matrix of windows; one row of outputs is taken in any case


# ---- one image -----------------------------------------------------------------------------------
def _padded(image, sources):
    """An image (C, *sizes) whose axes are extended by the elements that `sources` names, -1 for zeros."""
    for axis, source in enumerate(sources, 1):
        if len(source) == image.shape[axis] and (source >= 0).all():
            continue
        image = np.take(image, np.maximum(source, 0), axis)
        image[(slice(None),) * axis + (source < 0,)] = 0
    return image


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


def _columns(padded, window, block, output):
    """The windows of some rows of outputs as a matrix (C*taps, positions)."""
    rows = block.stop - block.start, *output[1:]
    start = block.start * window.stride[0]
    part = padded[:, start:]
    columns = np.empty((padded.shape[0], prod(window.kernel), *rows), padded.dtype)
    for position, tap in enumerate(taps_of(window)):
        columns[:, position] = part[(slice(None), *tap_slices(window, tap, rows))]
    return columns.reshape(padded.shape[0] * prod(window.kernel), -1)


def _scatter(columns, padded, window, block, output):
    """The adjoint of `_columns`, added to the gradient of the padded image."""
    rows = block.stop - block.start, *output[1:]
    part = padded[:, block.start * window.stride[0] :]
    columns = columns.reshape(padded.shape[0], prod(window.kernel), *rows)
    for position, tap in enumerate(taps_of(window)):
        part[(slice(None), *tap_slices(window, tap, rows))] += columns[:, position]


# ---- the layer -----------------------------------------------------------------------------------
class Conv(Layer):
    """Standard convolution: each output channel sums over all input channels.

    For stems, and to compare with: it goes through copies of windows and a matrix product.

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
        x, sources, output = self._prepared(x)
        return activate(self.activation, self._before(x, sources, output))

    def vjp(self, x):
        x, sources, output = self._prepared(x)
        before = self._before(x, sources, output)

        def pullback(dy):
            du = channels_first(activation_grad(self.activation, before, dy), self.data_format)
            return self._grads(x, sources, output, np.asarray(du, before.dtype))

        y = activate(self.activation, before)
        return y, Pullback(pullback, shape=y.shape)

    def _prepared(self, x):
        """x with channels first, where each padded position comes from, and the output's sizes."""
        x = as_float(x)
        check_map(self, x.shape, self.rank, self.in_channels)
        x = channels_first(x, self.data_format)
        sizes = x.shape[2:]
        output = window_output(self.window, sizes)
        if 0 in sizes and self.padding_mode != "zeros":
            raise ValueError(f"x: an empty spatial input {sizes} can only be padded with zeros")
        pairs = padding_pairs(self.window, sizes)
        sources = [
            pad_sources(size, pair, self.padding_mode) for size, pair in zip(sizes, pairs, strict=True)
        ]
        return x, sources, output

    def _before(self, x, sources, output):
        """The result before the activation, in the layout asked for."""
        dtype = np.result_type(x, self.weight)
        matrix = self.weight.reshape(self.out_channels, -1).astype(dtype, copy=False)
        shape = with_spatial((len(x),), output, self.data_format, self.out_channels)
        result = np.empty(shape, dtype)
        first = channels_first(result, self.data_format)
        for image, target in zip(x, first, strict=True):
            padded = _padded(image.astype(dtype, copy=False), sources)
            for block in _blocks(self.window, output, self.in_channels):
                product = matrix @ _columns(padded, self.window, block, output)
                target[:, block] = product.reshape(target[:, block].shape)
        if self.bias is not None:
            first += self.bias.reshape(-1, *(1,) * self.rank).astype(dtype, copy=False)
        return result

    def _grads(self, x, sources, output, du):
        matrix = self.weight.reshape(self.out_channels, -1).astype(du.dtype, copy=False)
        of_matrix = np.zeros(matrix.shape, du.dtype)
        dx = np.empty(x.shape, du.dtype)
        for image, gradient, target in zip(x, du, dx, strict=True):
            padded = _padded(image.astype(du.dtype, copy=False), sources)
            of_padded = np.zeros(padded.shape, du.dtype)
            for block in _blocks(self.window, output, self.in_channels):
                part = gradient[:, block].reshape(self.out_channels, -1)
                of_matrix += part @ _columns(padded, self.window, block, output).T.conj()
                _scatter(matrix.T.conj() @ part, of_padded, self.window, block, output)
            target[...] = _unpadded(of_padded, sources, x.shape[2:])
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


class Linear(Layer):
    """Linear map of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis, before and after.
    bias, activation, dtype, rng
        As for `PointwiseConv2d`.

    Attributes
    ----------
    weight : ndarray, shape (out_features, in_features)
    bias : ndarray, shape (out_features,), or None

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and inputs of fewer than two axes or with another last axis.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Linear(8, 3, rng=0)(np.ones((2, 5, 8), np.float32)).shape
    (2, 5, 3)
    """

    parameter_names = ("weight", "bias")

    def __init__(self, in_features, out_features, *, bias=True, activation=None, dtype="float32", rng=None):
        self.in_features = as_integer(in_features, "in_features", 1)
        self.out_features = as_integer(out_features, "out_features", 1)
        self.activation = epilogue_keywords(activation, "channels_last")["activation"]
        self.weight = he_normal(rng, (self.out_features, self.in_features), self.in_features, dtype)
        self.bias = zeros(bias, self.out_features, dtype)

    def _arguments(self, x):
        x = np.asarray(x)
        self._check(x.shape)
        # at rank 1 the last two axes are positions and channels
        return x, {"activation": self.activation, "data_format": "channels_last"}

    def _check(self, shape):
        if len(shape) < 2 or shape[-1] != self.in_features:
            raise ValueError(
                f"x: Linear takes a batch axis and a last axis of {self.in_features} features, got shape "
                f"{tuple(shape)}"
            )

    def __call__(self, x):
        x, words = self._arguments(x)
        return functional.pointwise_conv1d(x, self.weight, self.bias, **words)

    def vjp(self, x):
        x, words = self._arguments(x)
        y, pull = gradients.pointwise_conv1d_vjp(x, self.weight, self.bias, **words)

        def pullback(dy):
            dx, dweight, dbias = pull(dy)
            return dx, {"weight": dweight} | ({} if dbias is None else {"bias": dbias})

        return y, pullback

    def output_shape(self, shape):
        self._check(shape)
        return (*shape[:-1], self.out_features)

    def macs(self, shape):
        return prod(shape[:-1]) * self.in_features * self.out_features

    def describe(self):
        words = [f"{self.in_features}, {self.out_features}"]
        words += ["bias=False"] if self.bias is None else []
        return ", ".join(words + ([f"activation={self.activation!r}"] if self.activation else []))

    def streamed(self, name):
        return Stateless(self)


_wrappers = bind_ranks(globals(), Conv)
__all__ = ["Linear"]
__all__ += [name for name in _wrappers]
