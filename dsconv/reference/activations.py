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


# ---- derivatives, given the value before the activation ------------------------------------------
# At a corner the slope is that of the straight side; NaN counts as inside.
def relu_slope(u):
    return np.where(u <= 0, 0, 1)


def relu6_slope(u):
    return np.where((u <= 0) | (u >= 6), 0, 1)


def hardsigmoid_slope(u):
    return np.where((u <= -3) | (u >= 3), 0, np.ones_like(u) / 6)


def hardswish_slope(u):
    return np.where(u <= -3, 0, np.where(u >= 3, 1, (2 * u + 3) / 6))


def sigmoid_slope(u):
    return sigmoid(u) * sigmoid(-u)


def silu_slope(u):
    return sigmoid(u) + _damped(u, sigmoid_slope(u))


def tanh_slope(u):
    # 1 - tanh(u)**2, which would cancel
    return 4 * sigmoid_slope(2 * u)


def gelu_slope(u):
    return normal_cdf(u) + _damped(u, np.exp(-u * u / 2)) / np.sqrt(2 * _pi(u.dtype))


def _damped(u, factor):
    """Return u * factor where the factor vanishes faster than u grows: 0 at infinity, not NaN."""
    return np.where(factor == 0, 0, u) * factor


SLOPES = {
    "relu": relu_slope,
    "relu6": relu6_slope,
    "hardswish": hardswish_slope,
    "hardsigmoid": hardsigmoid_slope,
    "silu": silu_slope,
    "sigmoid": sigmoid_slope,
    "tanh": tanh_slope,
    "gelu": gelu_slope,
}


def through_activation(name, u, gradient):
    """Return the gradient before the activation from that after it: 0 where the slope is 0."""
    if name is None:
        return gradient
    slope = SLOPES[name](u)
    zero = np.zeros_like(gradient)
    return np.where(slope == 0, zero, slope.astype(gradient.dtype) * gradient)


def normal_cdf(x):
    """Return (1 + erf(x / sqrt 2)) / 2."""
    if x.dtype == object:
        raise TypeError("gelu is not defined for objects")
    if x.dtype == np.longdouble:
        return (1 + erf_series(x / np.sqrt(np.longdouble(2)))) / 2
    # erfc keeps the left tail, where 1 + erf would cancel
    halves = [math.erfc(-value / math.sqrt(2)) / 2 for value in x.ravel().tolist()]
    dtype = np.float64 if x.dtype.kind in "bui" else x.dtype
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
    return 2 / np.sqrt(_pi(x.dtype)) * np.exp(-x * x) * total


def _pi(dtype):
    """Return pi, to the precision of longdouble if that is the type."""
    return 4 * np.arctan(np.longdouble(1)) if dtype == np.longdouble else np.pi
