"""Activations, each by its definition. NaN comes out as NaN."""

import math

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def relu6(x):
    return np.minimum(np.maximum(x, 0), 6)


def hardsigmoid(x):
    return relu6(x + 3) / 6


def hardswish(x):
    return x * hardsigmoid(x)


def sigmoid(x):
    # exp of a negative number only, so that nothing overflows
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(small), small) / (1 + small)


def silu(x):
    return x * sigmoid(x)


def tanh(x):
    return np.tanh(x)


def gelu(x):
    return x * normal_cdf(x)


ACTIVATIONS = {f.__name__: f for f in (relu, relu6, hardswish, hardsigmoid, silu, sigmoid, tanh, gelu)}


def activate(name, y):
    """Apply the activation of that name; None leaves y as it is."""
    if name is None:
        return y
    if not isinstance(name, str):
        raise TypeError(f"activation must be a string or None, got {name!r}")
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be None or one of {tuple(ACTIVATIONS)}, got {name!r}")
    if np.issubdtype(y.dtype, np.complexfloating):
        raise TypeError(f"complex values have no activation, got {name!r}")
    return ACTIVATIONS[name](y)


def normal_cdf(x):
    """Return (1 + erf(x / sqrt 2)) / 2."""
    if x.dtype == object:
        raise TypeError("gelu is not defined for objects")
    if x.dtype == np.longdouble:
        return (1 + erf_series(x / np.sqrt(np.longdouble(2)))) / 2
    # erfc keeps the left tail, where 1 + erf would cancel
    halves = [math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel().tolist()]
    dtype = x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64
    return np.array(halves, dtype).reshape(x.shape)


def erf_series(x):
    """Return erf to the precision of longdouble, which the math module does not reach.

    erf(x) = 2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (1*3*5*...*(2n+1)); no term changes sign.
    """
    x = np.clip(x, -7, 7)  # 1 - erf(7) is 4e-23, below the precision
    term = total = x
    for n in range(1, 400):
        term = term * (2 * x * x) / (2 * n + 1)
        total = total + term
        if not np.any(np.abs(term) > np.finfo(np.longdouble).eps / 8 * np.abs(total)):
            break
    pi = 4 * np.arctan(np.longdouble(1))
    return 2 / np.sqrt(pi) * np.exp(-x * x) * total
