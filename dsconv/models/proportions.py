"""How channels, repeats, strides and the size of the image follow from what a user asks for."""

from math import ceil, isfinite
from numbers import Real

import numpy as np

from ..geometry import as_integer

MOST_BLOCKS = 1000  # of one stage


def positive(value, name):
    """A finite number above 0."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not isfinite(value) or value <= 0:
        raise ValueError(f"{name}: must be a finite number greater than 0, got {value!r}")
    return value


def rounded(channels, width=1.0, divisor=8):
    """Channels times `width`, rounded to a multiple of `divisor` that is not below 90 % of it."""
    wanted = channels * positive(width, "width")
    result = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return result + divisor if result < 0.9 * wanted else result


def strides_of(first, repeats, depth):
    """Strides of a stage of `repeats` times `depth` blocks, rounded up: the first one's, then 1."""
    return [first] + [1] * (_count(repeats, depth) - 1)


def stretched(rows, depth):
    """As many rows of a stage as `depth` asks for, rounded up: the first ones, the last one repeated.

    ``stretched("abc", 1.5)`` is a, b, c, c, c.
    """
    return [rows[min(position, len(rows) - 1)] for position in range(_count(len(rows), depth))]


def _count(repeats, depth):
    count = ceil(repeats * positive(depth, "depth"))
    if count > MOST_BLOCKS:
        raise ValueError(f"depth: must not make more than {MOST_BLOCKS} blocks of {repeats}, got {depth!r}")
    return count


def pixels_of(resolution, published):
    """Pixels along a side: an int is what it says, a float a multiple of the published size."""
    if resolution is None:
        return published
    if isinstance(resolution, (float, np.floating)):
        if not 0 < resolution <= 16:
            raise ValueError(
                "resolution: an int is a size in pixels, a float a multiple of the published size, above 0 "
                f"and at most 16; got {resolution!r}"
            )
        return max(round(published * float(resolution)), 1)
    return as_integer(resolution, "resolution", 1)


def atrous(strides, output_stride, reached=2):
    """(stride, dilation) of blocks, where strides beyond `output_stride` become dilations of what follows.

    Parameters
    ----------
    strides : sequence of int
        Of the blocks one after the other.
    output_stride : int
        Pixels of the image to one position of the last map, at most.
    reached : int, optional
        The stride before the first block.
    """
    steps, rate = [], 1
    for stride in strides:
        if reached * stride <= output_stride:
            reached *= stride
            steps.append((stride, rate))
        else:
            steps.append((1, rate))
            rate *= stride
    return steps
