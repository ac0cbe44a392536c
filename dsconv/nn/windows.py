"""Windows that slide over an input of any rank: sizes, padding, receptive fields, elementwise activations.

The standard convolution and pooling work on a padded copy, one image at a time; the engine's own operations
make none.
"""

from collections import namedtuple
from fractions import Fraction
from functools import lru_cache

import numpy as np

from .. import gufuncs
from ..geometry import canonical_format, canonical_mode, canonical_padding, per_axis
from ..sizes import output_sizes

Window = namedtuple("Window", "kernel stride dilation padding")

NATIVE = np.float32, np.float64  # types that the kernels compute in
_PAD_MODES = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}


def window_of(rank, kernel_size, stride, padding, dilation):
    """Arguments as users spell them, checked and per axis."""
    return Window(
        per_axis(kernel_size, "kernel_size", rank, 1),
        per_axis(stride, "stride", rank, 1),
        per_axis(dilation, "dilation", rank, 1),
        canonical_padding(padding, rank),
    )


def window_output(window, sizes):
    return output_sizes(sizes, window.kernel, window.stride, window.dilation, window.padding)


def padding_pairs(window, sizes=None):
    """One (low, high) pair per axis; without sizes, those of inputs that the stride divides."""
    kind, low, high = window.padding
    if kind == "explicit":
        return tuple(zip(low, high, strict=True))
    sizes = window.stride if sizes is None else sizes
    return tuple(
        _pair(kind, axis, *each)
        for axis, each in enumerate(zip(sizes, window.kernel, window.stride, window.dilation, strict=True))
    )


def _pair(kind, axis, size, kernel, stride, dilation):
    reach = dilation * (kernel - 1)
    if kind == "full":
        return reach, reach
    if kind == "causal" and axis == 0:
        return reach, 0
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    smaller = total // 2
    return (total - smaller, smaller) if kind == "same_lower" else (smaller, total - smaller)


@lru_cache(maxsize=64)
def pad_sources(size, pair, padding_mode):
    """Along one axis, the index that each padded position copies; -1 for none. An array that calls share."""
    mode = _PAD_MODES.get(padding_mode, padding_mode)
    options = {"constant_values": -1} if mode == "constant" else {}
    sources = np.pad(np.arange(size), pair, mode=mode, **options)
    sources.flags.writeable = False
    return sources


def tap_slices(window, tap, output):
    """Where one tap of the kernel finds its inputs in a padded image."""
    return tuple(
        slice(t * d, t * d + (size - 1) * s + 1, s)
        for t, d, s, size in zip(tap, window.dilation, window.stride, output, strict=True)
    )


def taps_of(window):
    return np.ndindex(*window.kernel)


# ---- receptive fields ----------------------------------------------------------------------------
def window_field(window):
    """(size, stride, start) of each axis."""
    return tuple(
        (d * (k - 1) + 1, s, -low)
        for k, s, d, (low, _) in zip(
            window.kernel, window.stride, window.dilation, padding_pairs(window), strict=True
        )
    )


def transposed_field(kernel, stride, dilation, padding):
    """The same of a transposed convolution, whose outputs lie a fraction of an input apart."""
    kind, low, _ = padding
    axes = []
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True)):
        reach = d * (k - 1)
        crop = low[axis] if kind == "explicit" else max(reach + 1 - s, 0) // 2
        axes.append((Fraction(reach, s) + 1, Fraction(1, s), Fraction(crop - reach, s)))
    return tuple(axes)


def chain_fields(inner, outer):
    """The receptive field of `outer` applied to the result of `inner`."""
    inner, outer = _alike(inner, outer)
    return tuple(_chain_axis(*first, *second) for first, second in zip(inner, outer, strict=True))


def _chain_axis(size, stride, start, outer_size, outer_stride, outer_start):
    infinite = float("inf")
    if infinite in (size, outer_size):
        return infinite, stride * outer_stride, -infinite
    return size + (outer_size - 1) * stride, stride * outer_stride, start + outer_start * stride


def unite_fields(fields, names):
    """The union over branches, whose outputs must lie equally far apart."""
    first, *rest = fields
    for field, name in zip(rest, names[1:], strict=True):
        first, field = _alike(first, field)
        first = tuple(_unite_axis(a, b, names[0], name) for a, b in zip(first, field, strict=True))
    return first


def _unite_axis(one, other, name, other_name):
    infinite = float("inf")
    if infinite in (one[0], other[0]):
        return infinite, (other if one[0] == infinite else one)[1], -infinite
    if one[1] != other[1]:
        raise ValueError(
            f"receptive_field: branches must have the same stride, got {one[1]} in {name!r} and "
            f"{other[1]} in {other_name!r}"
        )
    start = min(one[2], other[2])
    return max(one[0] + one[2], other[0] + other[2]) - start, one[1], start


def _alike(one, other):
    """A single triple stands for all axes."""
    if len(one) == 1:
        one = one * len(other)
    return one, other * len(one) if len(other) == 1 else other


# ---- arrays --------------------------------------------------------------------------------------
@lru_cache(maxsize=64)
def _elementwise(operation, name):
    return gufuncs.ufunc_of(gufuncs.canonical(operation, 1, {"activation": name}))


def activate(name, before):
    return before if name is None else _elementwise("activation", name)(before)


def activation_grad(name, before, dy):
    """The gradient before an activation, from what went into it."""
    return dy if name is None else _elementwise("activation_grad", name)(before, dy)


def as_float(x, name="x"):
    """An array of a floating type: integers and bools become float32."""
    x = np.asarray(x)
    if x.dtype.kind in "fc" or x.dtype.name == "bfloat16":
        return x
    if x.dtype.kind not in "biu":
        raise TypeError(f"{name}: expected an array of numbers, got one of {x.dtype}")
    return x.astype(np.float32)


def is_native(x, *arrays):
    """Arrays of one type, all as the kernels take them: a call of a ufunc, and no step more."""
    same = all(each is None or each.dtype is x.dtype for each in arrays) if type(x) is np.ndarray else False
    return same and x.dtype in NATIVE


def channel_axis(data_format):
    """1, or -1 for channels_last."""
    return -1 if canonical_format(data_format) else 1


def spatial_sizes(shape, data_format):
    return tuple(shape[1:-1] if canonical_format(data_format) else shape[2:])


def with_spatial(shape, sizes, data_format, channels=None):
    """A shape with other spatial sizes, and other channels where given."""
    last = canonical_format(data_format)
    channels = shape[-1 if last else 1] if channels is None else channels
    return (shape[0], *sizes, channels) if last else (shape[0], channels, *sizes)


def channels_first(x, data_format):
    """A view with the channels behind the batch axis."""
    return np.moveaxis(x, -1, 1) if canonical_format(data_format) else x


def channels_back(x, data_format):
    """From channels first to the layout asked for."""
    return np.moveaxis(x, 1, -1) if canonical_format(data_format) else x


def check_map(layer, shape, rank, channels=None):
    """One batch axis, `rank` spatial ones, and the channels that the layer was made for."""
    last = canonical_format(layer.data_format)
    if len(shape) == rank + 2 and channels in (None, shape[-1 if last else 1]):
        return
    spatial = ", ".join("dhw"[-rank:])
    form = f"(N, {spatial}, C)" if last else f"(N, C, {spatial})"
    if len(shape) != rank + 2:
        raise ValueError(
            f"x: {type(layer).__name__} takes {rank + 2} axes, {form}, exactly one of them for the batch; "
            f"got shape {tuple(shape)}"
        )
    raise ValueError(
        f"x: {type(layer).__name__} was made for C = {channels} channels in {form}, got "
        f"{shape[-1 if last else 1]} in shape {tuple(shape)}"
    )


def checked_mode(padding_mode):
    return canonical_mode(padding_mode)
