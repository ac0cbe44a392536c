"""Upsampling: interpolation with half-pixel centres, and channels moved into space."""

from fractions import Fraction
from math import prod

import numpy as np

from ..geometry import per_axis
from .layer import Layer
from .protocol import Pullback, whole_shape
from .ranks import bind_ranks, needs_rank
from .windows import (
    as_float,
    channels_back,
    channels_first,
    check_map,
    spatial_sizes,
    with_spatial,
)

MODES = ("bilinear", "nearest")


# ---- functions -----------------------------------------------------------------------------------
def sources(size, target, mode):
    """(lower index, upper index, weight of the upper one) for each of `target` positions.

    The centre of output i lies at ``(i + 1/2)*size/target - 1/2``; beyond the outer centres the outermost
    value goes on.
    """
    if mode == "nearest":
        lower = np.minimum((np.arange(target) * 2 + 1) * size // (2 * target), size - 1)
        return lower, lower, np.zeros(target)
    centre = np.clip((np.arange(target) + 0.5) * (size / target) - 0.5, 0, size - 1)
    lower = centre.astype(int)
    return lower, np.minimum(lower + 1, size - 1), centre - lower


def resize(x, sizes, mode, data_format="channels_first"):
    """x at other spatial sizes, one axis after the other."""
    first = channels_first(as_float(x), data_format)
    if first.ndim != len(sizes) + 2:
        raise ValueError(f"x: expected {len(sizes)} spatial axes, got shape {np.shape(x)}")
    for axis, target in enumerate(sizes, 2):
        size = first.shape[axis]
        if size == target:
            continue
        if size == 0:
            raise ValueError(f"x: an empty spatial axis cannot be resized, got shape {np.shape(x)}")
        lower, upper, weight = sources(size, target, mode)
        first = interpolate(first, axis, lower, *(() if mode == "nearest" else (upper, weight)))
    return channels_back(first, data_format)


def interpolate(x, axis, lower, upper=None, weight=None):
    """Along one axis, ``(1 - weight)*x[lower] + weight*x[upper]``, or `x[lower]` without the others."""
    low = np.take(x, lower, axis)
    if upper is None:
        return low
    weight = weight.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - axis - 1))
    return low * (1 - weight) + np.take(x, upper, axis) * weight


def resize_grad(dy, sizes, mode, data_format="channels_first"):
    """The adjoint of `resize` from `sizes`."""
    first = channels_first(np.asarray(dy), data_format)
    for axis, size in enumerate(sizes, 2):
        target = first.shape[axis]
        if size == target:
            continue
        moved = np.moveaxis(first, axis, 0)
        result = np.zeros((size, *moved.shape[1:]), first.dtype)
        for gradient, lower, upper, weight in zip(moved, *sources(size, target, mode), strict=True):
            result[lower] += gradient * first.dtype.type(1 - weight)
            if weight:
                result[upper] += gradient * first.dtype.type(weight)
        first = np.moveaxis(result, 0, axis)
    return channels_back(first, data_format)


def _axis_field(factor, mode):
    """Receptive field along one axis: all that outputs of any phase reach from ``start + p/factor`` on."""
    step = Fraction(1, factor)
    if mode == "nearest":
        return 2 - step, step, step - 1
    # the centre is at (p + 1/2)/factor - 1/2, and the two inputs beside it nearly 1 away at most
    reach = 1 - (step if factor % 2 else step / 2)
    return 1 + 2 * reach, step, step / 2 - Fraction(1, 2) - reach


# ---- layers --------------------------------------------------------------------------------------
class Upsample(Layer):
    """Interpolation to a multiple of the spatial size, with half-pixel centres.

    Parameters
    ----------
    factor : int or tuple of int
        One int for all spatial axes, or one per axis.
    mode : {"bilinear", "nearest"}, optional
        Linear along each axis, or the nearest value.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Notes
    -----
    The values are those of PyTorch's ``interpolate(..., align_corners=False)``.

    Raises
    ------
    ValueError
        For another mode, and for inputs whose axes are not those of `factor`.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Upsample(2)(np.array([[[0.0, 4.0]]]))
    array([[[0., 1., 3., 4.]]])
    """

    def __init__(self, factor, mode="bilinear", *, data_format="channels_first"):
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
        axes = len(factor) if hasattr(factor, "__len__") else 1
        self.factor = per_axis(factor, "factor", axes, 1)
        self.each = hasattr(factor, "__len__")
        self.mode = mode
        self.data_format = data_format
        spatial_sizes((), data_format)

    def describe(self):
        return f"{self.factor if self.each else self.factor[0]}, {self.mode!r}"

    def _target(self, shape):
        sizes = spatial_sizes(shape, self.data_format)
        factor = self.factor if self.each else self.factor * len(sizes)
        if len(shape) < 3 or len(factor) != len(sizes):
            needed = f"{len(factor)} spatial axes" if self.each else "at least one spatial axis"
            raise ValueError(
                f"x: Upsample needs a batch axis, channels and {needed}, got shape {tuple(shape)}"
            )
        return tuple(size * times for size, times in zip(sizes, factor, strict=True))

    def vjp(self, x):
        x = as_float(x)
        sizes = spatial_sizes(x.shape, self.data_format)
        y = resize(x, self._target(x.shape), self.mode, self.data_format)
        return y, Pullback(
            lambda dy: (resize_grad(dy, sizes, self.mode, self.data_format), {}), shape=y.shape
        )

    def output_shape(self, shape):
        return with_spatial(shape, self._target(shape), self.data_format)

    def field(self):
        return tuple(_axis_field(factor, self.mode) for factor in self.factor)


class PixelShuffle(Layer):
    """Channels moved into space: C*r*r channels become C channels at r times the size.

    Parameters
    ----------
    factor : int or tuple of int
        r: one int for all spatial axes, or one per axis.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Notes
    -----
    Input channel ``(c*r + a)*r + b`` goes to channel c at row ``i*r + a``, column ``j*r + b``.

    Raises
    ------
    ValueError
        Where the channels are not a multiple of the product of the factors.

    References
    ----------
    .. [1] W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
       Convolutional Neural Network", CVPR 2016, arXiv:1609.05158.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.PixelShuffle2d(2)(np.ones((1, 12, 4, 4), np.float32)).shape
    (1, 3, 8, 8)
    """

    rank = None

    def __init__(self, factor, *, data_format="channels_first"):
        needs_rank(self)
        self.factor = per_axis(factor, "factor", self.rank, 1)
        self.data_format = data_format
        spatial_sizes((), data_format)

    def describe(self):
        return str(self.factor)

    def vjp(self, x):
        x = np.asarray(x)
        result = self.output_shape(x.shape)
        return self._shuffled(x), Pullback(lambda dy: (self._gathered(np.asarray(dy)), {}), shape=result)

    def _shuffled(self, x):
        first, rank = channels_first(x, self.data_format), self.rank
        sizes = first.shape[2:]
        parts = first.reshape(len(first), first.shape[1] // prod(self.factor), *self.factor, *sizes)
        order = [2 + rank + axis // 2 if axis % 2 == 0 else 2 + axis // 2 for axis in range(2 * rank)]
        larger = [size * times for size, times in zip(sizes, self.factor, strict=True)]
        return channels_back(
            parts.transpose(0, 1, *order).reshape(*parts.shape[:2], *larger), self.data_format
        )

    def _gathered(self, dy):
        first, rank = channels_first(dy, self.data_format), self.rank
        sizes = [size // times for size, times in zip(first.shape[2:], self.factor, strict=True)]
        pairs = [each for pair in zip(sizes, self.factor, strict=True) for each in pair]
        parts = first.reshape(*first.shape[:2], *pairs)
        order = [*range(3, 3 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2)]
        channels = first.shape[1] * prod(self.factor)
        return channels_back(
            parts.transpose(0, 1, *order).reshape(len(first), channels, *sizes), self.data_format
        )

    def output_shape(self, shape):
        shape = whole_shape(shape)
        check_map(self, shape, self.rank)
        channels = shape[-1 if self.data_format == "channels_last" else 1]
        if channels % prod(self.factor):
            raise ValueError(
                f"x: PixelShuffle needs a multiple of {prod(self.factor)} channels, got {channels} in shape "
                f"{tuple(shape)}"
            )
        sizes = spatial_sizes(shape, self.data_format)
        larger = [size * times for size, times in zip(sizes, self.factor, strict=True)]
        return with_spatial(shape, larger, self.data_format, channels // prod(self.factor))

    def field(self):
        return tuple(_axis_field(factor, "nearest") for factor in self.factor)


_wrappers = bind_ranks(globals(), PixelShuffle)
__all__ = ["Upsample"]
__all__ += [name for name in _wrappers]
