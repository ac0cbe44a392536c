"""The standard transposed convolution, tap by tap: a matrix product for each, added where the tap leads."""

import numpy as np

from ..geometry import as_integer
from .convolution import epilogue_keywords
from .initial import fan_of_transposed, he_normal, zeros
from .protocol import Pullback
from .ranks import bind_ranks, needs_rank
from .transposed import _Transposed
from .windows import (
    activate,
    activation_grad,
    as_float,
    channels_back,
    channels_first,
    check_map,
    tap_slices,
    taps_of,
)


class ConvTranspose(_Transposed):
    """Standard transposed convolution: each output channel sums over all input channels.

    To compare with: it goes through NumPy's matrix product, one tap at a time.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size : int or tuple of int
        One int for all spatial axes, or one per axis.
    stride, padding, output_padding, dilation, activation, data_format
        As for `dsconv.depthwise_conv_transpose2d`.
    bias, dtype, rng
        As for `DepthwiseConv2d`; the variance is 2 over C times the taps that reach an output.

    Attributes
    ----------
    weight : ndarray, shape (O, C, *kernel)
        PyTorch's with the first two axes exchanged.
    bias : ndarray, shape (O,), or None

    Raises
    ------
    ValueError, TypeError
        As `DepthwiseConv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1, rng=0)
    >>> layer(np.ones((1, 3, 8, 8), np.float32)).shape
    (1, 2, 16, 16)
    >>> layer.cost((1, 3, 8, 8)).macs
    6144
    """

    parameter_names = ("weight", "bias")

    def __init__(
        self, in_channels, out_channels, kernel_size, *, stride=1, padding=0, output_padding=0, dilation=1,
        bias=True, activation=None, data_format="channels_first", dtype="float32", rng=None,
    ):  # fmt: skip
        needs_rank(self)
        self.in_channels = as_integer(in_channels, "in_channels", 1)
        self.out_channels = as_integer(out_channels, "out_channels", 1)
        self._set_geometry(kernel_size, stride, padding, output_padding, dilation)
        self.keywords |= epilogue_keywords(activation, data_format)
        taps = self.window.kernel
        fan_in = self.in_channels * fan_of_transposed(taps, self.window.stride)
        self.weight = he_normal(rng, (self.out_channels, self.in_channels, *taps), fan_in, dtype)
        self.bias = zeros(bias, self.out_channels, dtype)

    def __call__(self, x):
        return activate(self.activation, self._before(*self._prepared(x)))

    def vjp(self, x):
        x, sizes = self._prepared(x)
        before = self._before(x, sizes)

        def pullback(dy):
            du = channels_first(activation_grad(self.activation, before, dy), self.data_format)
            return self._grads(x, sizes, np.asarray(du, before.dtype))

        y = activate(self.activation, before)
        return y, Pullback(pullback, shape=y.shape)

    def _prepared(self, x):
        """x with channels first, in the type of the result, and the output's sizes."""
        x = as_float(x)
        check_map(self, x.shape, self.rank, self.in_channels)
        x = channels_first(x, self.data_format)
        return x.astype(np.result_type(x, self.weight), copy=False), self.output_sizes(x.shape[2:])

    def _room(self, sizes, output):
        """Where the output lies among all positions that taps lead to, and how many those are."""
        _, stride, dilation, (kind, low, _) = self.window
        crops, room = [], []
        for axis, (size, k, s, d) in enumerate(zip(sizes, self.window.kernel, stride, dilation, strict=True)):
            crop = low[axis] if kind == "explicit" else max(d * (k - 1) + 1 - s, 0) // 2
            crops.append(slice(crop, crop + output[axis]))
            room.append(max((size - 1) * s + d * (k - 1) + 1, crop + output[axis]))
        return (slice(None), slice(None), *crops), room

    def _taps(self, sizes):
        """Each tap's weight (O, C), its index in `weight`, and the positions it leads to."""
        for tap in taps_of(self.window):
            index = slice(None), slice(None), *tap
            yield self.weight[index], index, (slice(None), slice(None), *tap_slices(self.window, tap, sizes))

    def _before(self, x, output):
        """The result before the activation, in the layout asked for."""
        crop, room = self._room(x.shape[2:], output)
        every = np.zeros((len(x), self.out_channels, *room), x.dtype)
        flat = x.reshape(len(x), self.in_channels, -1)
        for weight, _, positions in self._taps(x.shape[2:]):
            every[positions] += (weight.astype(x.dtype) @ flat).reshape(len(x), -1, *x.shape[2:])
        y = every[crop]
        if self.bias is not None:
            y = y + self.bias.reshape(-1, *(1,) * self.rank).astype(x.dtype)
        return np.ascontiguousarray(channels_back(y, self.data_format))

    def _grads(self, x, output, du):
        crop, room = self._room(x.shape[2:], output)
        every = np.zeros((len(x), self.out_channels, *room), du.dtype)
        every[crop] = du
        flat = x.reshape(len(x), self.in_channels, -1)
        dx, of_weight = np.zeros(flat.shape, du.dtype), np.empty(self.weight.shape, du.dtype)
        for weight, index, positions in self._taps(x.shape[2:]):
            part = every[positions].reshape(len(x), self.out_channels, -1)
            dx += weight.astype(du.dtype).T.conj() @ part
            of_weight[index] = np.tensordot(part, flat.conj(), ((0, 2), (0, 2)))
        grads = {"weight": of_weight}
        if self.bias is not None:
            grads["bias"] = du.sum(axis=(0, *range(2, du.ndim)))
        return channels_back(dx.reshape(x.shape), self.data_format), grads

    def macs(self, shape):
        elements = np.prod(self.weight.shape, dtype=object)
        return int(elements * np.prod(shape, dtype=object) // self.in_channels)

    def shown(self):
        return [str(self.out_channels), f"kernel_size={self.window.kernel}"]


__all__ = [name for name in bind_ranks(globals(), ConvTranspose)]
