"""The operands of a row, and the comparison of results."""

from dataclasses import dataclass

import numpy as np

TOLERANCES = {"float32": 1e-4, "float64": 1e-11}


@dataclass
class Arrays:
    """Channels-first, contiguous; `grad` is the gradient of the output, for training rows."""

    x: np.ndarray
    depthwise: np.ndarray
    pointwise: np.ndarray | None
    grad: np.ndarray | None


@dataclass
class Contender:
    """`call()` does the work once; `result()` is the last result, channels first."""

    name: str
    call: object
    result: object


class Unsupported(Exception):
    """A peer that cannot do a row, and why."""


def make_arrays(row, seed=0):
    """Random operands, scaled so that results are about 1."""
    rng = np.random.default_rng(seed)

    def normal(shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype(row.dtype)

    x = normal((row.batch, row.channels, *row.spatial))
    depthwise = normal((row.channels, row.multiplier, *row.kernel), np.prod(row.kernel) ** -0.5)
    pointwise = grad = None
    if row.separable:
        pointwise = normal((row.out_channels, row.hidden_channels), row.hidden_channels**-0.5)
    if row.task != "forward":
        grad = normal((row.batch, row.result_channels, *row.output))
    return Arrays(x, depthwise, pointwise, grad)


def channels_last(array):
    """A contiguous copy with the channels at the end."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def channels_first(array):
    return np.moveaxis(array, -1, 1)


def disagreement(row, actual, expected):
    """None if two results agree within rounding, else a sentence."""
    actual = np.asarray(actual)
    if actual.shape != expected.shape:
        return f"shape {actual.shape} instead of {expected.shape}"
    if actual.dtype != expected.dtype:
        return f"dtype {actual.dtype} instead of {expected.dtype}"
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    # Written so that a NaN counts as a difference.
    if not error <= TOLERANCES[row.dtype]:
        return f"largest difference {error:.1e} of the largest value"
    return None
