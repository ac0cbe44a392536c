"""Checks for users' own tests."""

import numpy as np

from .reference.bounds import bind, expected_and_bound
from .reference.precision import Precision, half_ulp

__all__ = ["assert_equivalent"]


def assert_equivalent(actual, name, *args, **kwargs):
    """Check a result against the reference, evaluated in a wider type, within the rigorous error bound.

    Parameters
    ----------
    actual : ndarray
        What `getattr(dsconv, name)(*args, **kwargs)`, or any other implementation of it, gave.
    name : str
        Such as "separable_conv2d".
    *args, **kwargs
        The arguments of the call. An `out` only tells the expected dtype.

    Returns
    -------
    float
        The largest error as a fraction of its bound, at most 1.

    Raises
    ------
    AssertionError
        If shape, dtype, a NaN, an infinity or a value is not what it should be. Where something may overflow
        the only claim is that a NaN which the inputs force is there.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv.testing import assert_equivalent
    >>> x = np.linspace(0, 1, 5, dtype=np.float32).reshape(1, 5)
    >>> w = np.array([[[1, -2, 1]]], np.float32)
    >>> y = np.stack([np.correlate(x[0], w[0, 0])])
    >>> assert_equivalent(y, "depthwise_conv1d", x, w) <= 1
    True
    """
    __tracebackhide__ = True
    actual = np.asarray(actual)
    expected, bound = expected_and_bound(name, *args, **kwargs)
    precision = Precision.of(bind(name, args, kwargs))
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype == precision.out, f"{name}: dtype {actual.dtype}, expected {precision.out}"
    if actual.size == 0:
        return 0.0
    # the wide evaluation rounds too: not negligible where longdouble is float64
    bound = bound * (1 + float(half_ulp(precision.wide) / precision.unit()))
    return _compare(name, actual, expected, bound)


def _compare(name, actual, expected, bound):
    """Return the worst ratio of error to bound, or fail and say where it is."""
    __tracebackhide__ = True
    with np.errstate(all="ignore"):
        ratio = np.abs(actual.astype(expected.dtype) - expected) / bound
    finite = np.isfinite(expected)
    ratio = np.where(finite & np.isinf(bound), 0, ratio)
    if np.iscomplexobj(expected):
        # which parts are infinite and which are NaN depends on how products are formed
        same = ~np.isfinite(actual)
    else:
        same = np.where(np.isnan(expected), np.isnan(actual), actual == expected)
    ratio = np.where(finite, ratio, np.where(same, 0, np.inf))
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = np.unravel_index(np.argmax(ratio), ratio.shape)
    if ratio[worst] > 1:
        raise AssertionError(
            f"{name}: {np.count_nonzero(ratio > 1)} of {ratio.size} elements are wrong; the worst, at index "
            f"{tuple(map(int, worst))}, is {actual[worst]!s}, expected {expected[worst]!s}, an error of "
            f"{float(ratio[worst]):.3g} times the bound {float(bound[worst]):.3g}"
        )
    return float(ratio[worst])
