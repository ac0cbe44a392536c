"""First values of parameters, drawn from a Generator."""

from math import prod, sqrt

import numpy as np

from ..checks import as_flag, as_float_type, as_generator


def he_normal(rng, shape, fan_in, dtype):
    """Normal values of variance ``2 / fan_in`` [1]_, drawn in float64 so that dtypes agree.

    .. [1] K. He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    rng, dtype = as_generator(rng), as_float_type(dtype)
    if prod(shape) >= 2**60:
        raise MemoryError(f"weights of shape {shape} are more than memory can hold")
    return (rng.standard_normal(shape) * sqrt(2 / max(fan_in, 1))).astype(dtype)


def zeros(present, length, dtype):
    """A bias, or None."""
    return np.zeros(length, dtype) if as_flag(present, "bias") else None


def fan_of_transposed(kernel, stride):
    """How many taps reach an output on average, at least 1."""
    return max(prod(kernel) / prod(stride), 1)
