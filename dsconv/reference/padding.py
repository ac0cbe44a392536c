"""Padding: how many taps may hang over each end, what they meet there, and the size that comes out."""

from dataclasses import dataclass

import numpy as np

from .arguments import integer, integers, is_sequence

STRINGS = ("valid", "same", "same_upper", "same_lower", "full", "causal")

#: Our name of each padding mode, and `numpy.pad`'s.
NUMPY_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
    "edge": "edge",
    "circular": "wrap",
    "wrap": "wrap",
}
SCIPY_MODES = {"mirror": "reflect", "nearest": "replicate"}


@dataclass(frozen=True)
class Geometry:
    """What a convolution is told besides its arrays, checked; `padding` is a string or pairs."""

    rank: int
    stride: tuple
    padding: str | tuple
    dilation: tuple
    padding_mode: str

    @classmethod
    def parse(cls, rank, stride, padding, dilation, padding_mode):
        return cls(
            rank=rank,
            stride=integers(stride, "stride", rank, 1),
            padding=parse_padding(padding, rank),
            dilation=integers(dilation, "dilation", rank, 1),
            padding_mode=parse_mode(padding_mode),
        )


def parse_mode(mode):
    """Return `numpy.pad`'s word for a padding mode."""
    if not isinstance(mode, str):
        raise TypeError(f"padding_mode must be a string, got {mode!r}")
    if mode in SCIPY_MODES:
        raise ValueError(f"padding_mode {mode!r} is SciPy's word; the same here is {SCIPY_MODES[mode]!r}")
    if mode not in NUMPY_MODES:
        raise ValueError(f"padding_mode must be one of {tuple(NUMPY_MODES)}, got {mode!r}")
    return NUMPY_MODES[mode]


def parse_padding(padding, rank):
    """Return a known string, or one `(low, high)` pair per spatial axis."""
    if isinstance(padding, str):
        if padding not in STRINGS:
            raise ValueError(f"padding must be an int, ints, pairs or one of {STRINGS}, got {padding!r}")
        return padding
    if not is_sequence(padding):
        return ((integer(padding, "padding", 0),) * 2,) * rank
    if rank == 1 and len(padding) == 2 and not any(is_sequence(entry) for entry in padding):
        pair = f"(({padding[0]}, {padding[1]}),)"
        raise ValueError(f"padding {padding!r} has two entries for one axis; for low and high write {pair}")
    if len(padding) != rank:
        raise ValueError(f"padding must have one entry per spatial axis ({rank}), got {padding!r}")
    if not any(is_sequence(entry) for entry in padding):
        return tuple((integer(entry, "padding", 0),) * 2 for entry in padding)
    return tuple(_pair(entry, padding) for entry in padding)


def _pair(entry, padding):
    if not is_sequence(entry) or len(entry) != 2:
        raise ValueError(f"padding must be ints or (low, high) pairs, not {entry!r} in {padding!r}")
    return integer(entry[0], "padding", 0), integer(entry[1], "padding", 0)


def resolve_padding(geometry, input_size, kernel_size):
    """Return one `(low, high)` pair per spatial axis, now that the sizes are known.

    With `e = dilation*(kernel - 1) + 1`, the extent of the kernel:

    ========== =========== ==========================================================
    padding    total       split
    ========== =========== ==========================================================
    valid      0
    same       max((ceil(in/stride) - 1)*stride + e - in, 0), the odd one after
    same_lower the same,   the odd one before
    full       2*(e - 1)   both sides alike
    causal     e - 1       all before, on the first spatial axis; the others "same"
    ========== =========== ==========================================================
    """
    if not isinstance(geometry.padding, str):
        return geometry.padding
    sizes = zip(input_size, kernel_size, geometry.stride, geometry.dilation, strict=True)
    return tuple(_named_pair(geometry.padding, axis, *size) for axis, size in enumerate(sizes))


def _named_pair(padding, axis, size, kernel, stride, dilation):
    overhang = dilation * (kernel - 1)
    if padding == "valid":
        return 0, 0
    if padding == "full":
        return overhang, overhang
    if padding == "causal" and axis == 0:
        return overhang, 0
    outputs = (size + stride - 1) // stride
    total = max((outputs - 1) * stride + overhang + 1 - size, 0)
    smaller, larger = total // 2, total - total // 2
    return (larger, smaller) if padding == "same_lower" else (smaller, larger)


def output_size(input_size, kernel_size, pairs, geometry):
    """Return the spatial size of the result: floor((in + low + high - dilation*(k-1) - 1)/stride) + 1."""
    result = []
    for axis, (size, kernel, (low, high)) in enumerate(zip(input_size, kernel_size, pairs, strict=True)):
        numerator = size + low + high - geometry.dilation[axis] * (kernel - 1) - 1
        if numerator < 0:
            raise ValueError(
                f"the kernel does not fit on spatial axis {axis}: in + low + high - dilation*(k-1) - 1 = "
                f"{size} + {low} + {high} - {geometry.dilation[axis]}*({kernel}-1) - 1 = {numerator}, below 0"
            )
        result.append(numerator // geometry.stride[axis] + 1)
    return tuple(result)


def pad(x, pairs, mode):
    """Return `x`, its trailing axes extended by `pairs` as `numpy.pad` does it."""
    rank = len(pairs)
    if 0 in x.shape[-rank:]:
        raise ValueError(f"an empty spatial input {x.shape[-rank:]} can only be padded with zeros")
    return np.pad(x, ((0, 0),) * (x.ndim - rank) + tuple(pairs), mode=mode)
