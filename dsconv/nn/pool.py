"""Pooling: the greatest value or the mean of each window, and the mean of a whole map."""

from functools import lru_cache, partial
from math import prod

import numpy as np

from .. import gufuncs
from ..checks import as_flag
from .layer import Layer
from .protocol import Pullback, whole_shape
from .ranks import bind_ranks, needs_rank
from .windows import (
    NATIVE,
    as_float,
    channel_axis,
    channels_back,
    channels_first,
    check_map,
    padding_pairs,
    spatial_sizes,
    tap_slices,
    taps_of,
    window_field,
    window_of,
    window_output,
    with_spatial,
)

# positions that are summed one after the other, which for so few is as exact as in pairs and much faster
_SHORT = 256


@lru_cache(maxsize=16)
def _short_sum(dtype, count):
    """A function of x (N, C, count) to sums (N, C, 1): a pointwise convolution of ones, x its weights."""
    given = {"activation": None, "data_format": "channels_first"}
    ufunc = gufuncs.ufunc_of(gufuncs.canonical("pointwise_conv", 1, given))
    return partial(ufunc, np.ones((count, 1), dtype))


def _is_short(x, axes, count):
    """Whether `_short_sum` sums these axes of a map."""
    return x.dtype in NATIVE and axes[0] == 2 and count <= _SHORT and x.flags.c_contiguous


class _Pool(Layer):
    """What both kinds share: windows over a padded copy, tap by tap."""

    rank = None

    def __init__(self, kernel_size, *, stride=None, padding=0, dilation=1, data_format="channels_first"):
        needs_rank(self)
        stride = kernel_size if stride is None else stride
        self.window = window_of(self.rank, kernel_size, stride, padding, dilation)
        self.padding = padding
        self.data_format = data_format
        channel_axis(data_format)

    def describe(self):
        words = [f"{self.window.kernel}"]
        words += [f"stride={self.window.stride}"] if self.window.stride != self.window.kernel else []
        words += [f"padding={self.padding!r}"] if self.padding != 0 else []
        words += [f"dilation={self.window.dilation}"] if set(self.window.dilation) != {1} else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_first" else []
        return ", ".join(words)

    def _padded(self, x, value):
        """x with channels first, padded with a value, the slices of each tap, and those without padding."""
        check_map(self, x.shape, self.rank)
        x = channels_first(x, self.data_format)
        sizes = x.shape[2:]
        output, pairs = window_output(self.window, sizes), padding_pairs(self.window, sizes)
        self._check_padding(pairs)
        padded = np.pad(x, ((0, 0), (0, 0), *pairs), constant_values=value) if any(map(any, pairs)) else x
        inner = tuple(slice(low, low + size) for (low, _), size in zip(pairs, sizes, strict=True))
        full = slice(None), slice(None)
        taps = [(*full, *tap_slices(self.window, tap, output)) for tap in taps_of(self.window)]
        return padded, taps, (*full, *inner)

    def _check_padding(self, pairs):
        for axis, (pair, k, d) in enumerate(
            zip(pairs, self.window.kernel, self.window.dilation, strict=True)
        ):
            if max(pair) > d * (k - 1):
                raise ValueError(
                    f"padding: each window must meet the input, so at most dilation*(kernel - 1) = "
                    f"{d * (k - 1)} on spatial axis {axis}, got {pair}"
                )

    def output_shape(self, shape):
        shape = whole_shape(shape)
        check_map(self, shape, self.rank)
        sizes = spatial_sizes(shape, self.data_format)
        self._check_padding(padding_pairs(self.window, sizes))
        return with_spatial(shape, window_output(self.window, sizes), self.data_format)

    def field(self):
        return window_field(self.window)


class MaxPool(_Pool):
    """The greatest value of each window.

    Parameters
    ----------
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    stride : int or tuple of int, optional
        The kernel's size if not given.
    padding, dilation
        As for `dsconv.depthwise_conv2d`; padded positions never are the greatest.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Notes
    -----
    The gradient goes to the first of equal values. A NaN in the window is the result.

    Raises
    ------
    ValueError
        For padding so wide that a window could miss the input.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.MaxPool2d(3, stride=2, padding=1)(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 3, 4, 4)
    """

    def __call__(self, x):
        padded, taps, _ = self._padded(as_float(x), -np.inf)
        return channels_back(self._greatest(padded, taps), self.data_format)

    def _greatest(self, padded, taps):
        greatest = padded[taps[0]].copy()
        for tap in taps[1:]:
            np.maximum(greatest, padded[tap], out=greatest)
        return greatest

    def vjp(self, x):
        padded, taps, inner = self._padded(as_float(x), -np.inf)
        y = self._greatest(padded, taps)

        def pullback(dy):
            dy = channels_first(np.asarray(dy), self.data_format)
            dx = np.zeros(padded.shape, dy.dtype)
            left = np.ones(y.shape, bool)
            for tap in taps:
                value = padded[tap]
                here = left & ((value == y) | np.isnan(value))
                dx[tap] += np.where(here, dy, 0)
                left &= ~here
            return channels_back(dx[inner], self.data_format), {}

        y_back = channels_back(y, self.data_format)
        return y_back, Pullback(pullback, shape=y_back.shape)


class AveragePool(_Pool):
    """The mean of each window.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, data_format
        As for `MaxPool2d`.
    count_padding : bool, optional
        Whether the mean is over all taps, those on padding as zeros, as in PyTorch; else it is over those on
        the input, as in TensorFlow.

    Raises
    ------
    ValueError
        For padding so wide that a window could miss the input.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.AveragePool1d(2)(np.array([[[1.0, 3.0, 5.0, 7.0]]]))
    array([[[2., 6.]]])
    """

    def __init__(
        self, kernel_size, *, stride=None, padding=0, dilation=1, count_padding=True,
        data_format="channels_first",
    ):  # fmt: skip
        super().__init__(
            kernel_size, stride=stride, padding=padding, dilation=dilation, data_format=data_format
        )
        self.count_padding = as_flag(count_padding, "count_padding")

    def describe(self):
        return super().describe() + ("" if self.count_padding else ", count_padding=False")

    def _counts(self, x, taps):
        """How many taps each mean is over."""
        if self.count_padding:
            return x.dtype.type(prod(self.window.kernel))
        ones = np.ones((1, 1, *spatial_sizes(x.shape, self.data_format)), x.dtype)
        padded, taps, _ = self._padded(channels_back(ones, self.data_format), 0)
        return sum(padded[tap] for tap in taps)

    def vjp(self, x):
        x = as_float(x)
        padded, taps, inner = self._padded(x, 0)
        total = padded[taps[0]].copy()
        for tap in taps[1:]:
            total += padded[tap]
        counts, shape = self._counts(x, taps), padded.shape

        def pullback(dy):
            each = channels_first(np.asarray(dy), self.data_format) / counts
            dx = np.zeros(shape, each.dtype)
            for tap in taps:
                dx[tap] += each
            return channels_back(dx[inner], self.data_format), {}

        y = channels_back(total / counts, self.data_format)
        return y, Pullback(pullback, shape=y.shape)


class GlobalAveragePool(Layer):
    """The mean of each channel over all positions.

    Parameters
    ----------
    keepdims : bool, optional
        Whether the spatial axes stay, with size 1; else the result is ``(N, C)``.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Raises
    ------
    ValueError
        For inputs without a spatial axis, or with an empty one.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.GlobalAveragePool()(np.ones((2, 3, 4, 4), np.float32)).shape
    (2, 3)
    """

    def __init__(self, keepdims=False, *, data_format="channels_first"):
        self.keepdims = as_flag(keepdims, "keepdims")
        self.data_format = data_format
        channel_axis(data_format)

    def describe(self):
        words = ["keepdims=True"] if self.keepdims else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_first" else []
        return ", ".join(words)

    def _axes(self, shape):
        sizes = spatial_sizes(shape, self.data_format)
        if not sizes or 0 in sizes:
            raise ValueError(
                f"x: GlobalAveragePool needs spatial axes that are not empty, got {tuple(shape)}"
            )
        return tuple(
            range(1, len(shape) - 1) if self.data_format == "channels_last" else range(2, len(shape))
        )

    def vjp(self, x):
        x = as_float(x)
        axes, shape = self._axes(x.shape), x.shape
        count = prod(shape[axes[0] : axes[-1] + 1])

        def pullback(dy):
            dy = np.asarray(dy)
            dy = dy if self.keepdims else np.expand_dims(dy, axes)
            return np.broadcast_to(dy / dy.dtype.type(count), shape).copy(), {}

        y = self._mean(x, axes, count)
        return y, Pullback(pullback, shape=y.shape)

    def __call__(self, x):
        x = as_float(x)
        axes = self._axes(x.shape)
        return self._mean(x, axes, prod(x.shape[axes[0] : axes[-1] + 1]))

    def traced(self, tape, x):
        axes = self._axes(x.shape)
        count = prod(x.shape[axes[0] : axes[-1] + 1])
        if type(self).__call__ is not GlobalAveragePool.__call__ or not _is_short(x, axes, count):
            return super().traced(tape, x)
        of_rows = _short_sum(x.dtype, count)
        total = tape.kernel(lambda x: of_rows(x.reshape(*x.shape[:2], count)), x, of_rows.args)
        mean = tape.arithmetic(np.divide, total, total.dtype.type(count), total)
        return tape.view(lambda total: self._shaped(total, axes), mean)

    def _shaped(self, total, axes):
        return total.reshape(*total.shape[:2], *(1,) * len(axes)) if self.keepdims else total[..., 0]

    def _mean(self, x, axes, count):
        if x.dtype not in NATIVE:
            return x.mean(axis=axes, keepdims=self.keepdims)
        if _is_short(x, axes, count):
            total = self._shaped(_short_sum(x.dtype, count)(x.reshape(*x.shape[:2], count)), axes)
        else:
            total = np.add.reduce(x, axis=axes, keepdims=self.keepdims)
        total /= total.dtype.type(count)
        return total

    def output_shape(self, shape):
        axes = self._axes(shape)
        if self.keepdims:
            return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
        return tuple(size for axis, size in enumerate(shape) if axis not in axes)

    def field(self):
        infinite = float("inf")
        return ((infinite, 1, -infinite),)


_wrappers = bind_ranks(globals(), MaxPool, AveragePool)
__all__ = ["GlobalAveragePool"]
__all__ += [name for name in _wrappers]
