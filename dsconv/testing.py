"""Checks for users' own tests."""

import copy

import numpy as np

from .checks import as_real
from .geometry import as_integer
from .reference.bounds import bind, expected_and_bound
from .reference.precision import Precision, half_ulp

__all__ = ["assert_equivalent", "check_gradients"]


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


def check_gradients(layer, x, *, step=1e-6, tolerance=1e-5, samples=12, seed=0, **context):
    """Check the pullback of a layer against central finite differences, in float64.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        Any layer, users' own too. A copy of it is used, its parameters and buffers cast to float64.
    x : array_like or tuple of array_like
        An input, away from the kinks of activations.
    step : float, optional
        Half the distance of the two points.
    tolerance : float, optional
        The largest error accepted, relative to the largest gradient of the same array, or to 1 where that is
        less.
    samples : int, optional
        How many elements of x, and of each parameter, are moved; all of them where there are fewer.
    seed : int, optional
        Decides which, and the weights of the sum of the results that is differentiated.
    **context
        For the layer. `rng` is 0 if not given, and should be a seed: a Generator goes on drawing.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    AssertionError
        That names the array and the element whose gradient is wrong, or the keys of `grads` where they are
        not those of `parameters`; also where a call and `vjp` differ.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn, testing
    >>> testing.check_gradients(nn.Linear(3, 2, rng=0), np.ones((4, 3))) < 1e-5
    True
    """
    step, tolerance = as_real(step, "step", above=0), as_real(tolerance, "tolerance", 0)
    samples = as_integer(samples, "samples", 1)
    layer = _in_float64(layer)
    inputs = tuple(np.array(each, float) for each in x) if isinstance(x, tuple) else (np.array(x, float),)
    whole = inputs if isinstance(x, tuple) else inputs[0]
    if "rng" in layer.context_names:
        context.setdefault("rng", 0)
    rng = np.random.default_rng(seed)
    y, pullback = layer.vjp(whole, **context)
    results = y if isinstance(y, tuple) else (y,)
    weights = tuple(rng.standard_normal(each.shape) for each in results)
    dx, grads = pullback(weights if isinstance(y, tuple) else weights[0])
    parameters = layer.parameters
    assert sorted(grads) == sorted(parameters), (
        f"grads: expected the keys of parameters, {sorted(parameters)}, got {sorted(grads)}"
    )

    def value():
        moved = layer(whole, **context)
        moved = moved if isinstance(moved, tuple) else (moved,)
        return [np.sum(each * weight) for each, weight in zip(moved, weights, strict=True)]

    total = np.array([np.sum(each * weight) for each, weight in zip(results, weights, strict=True)])
    assert np.allclose(value(), total, rtol=1e-12, atol=1e-12), "layer(x) and layer.vjp(x)[0] differ"
    gradients = dx if isinstance(x, tuple) else (dx,)
    named = [(f"x[{i}]" if isinstance(x, tuple) else "x", *pair) for i, pair in
             enumerate(zip(inputs, gradients, strict=True))]  # fmt: skip
    named += [(name, array, grads[name]) for name, array in parameters.items()]
    checks = [_check_array(*each, value, rng, step, tolerance, samples) for each in named]
    return max(checks, default=0.0)


def _in_float64(layer):
    if not hasattr(layer, "vjp"):
        raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
    layer = copy.deepcopy(layer)
    for kind in "parameter_names", "buffer_names":
        for owner, name in layer._owned(kind).values():
            setattr(owner, name, getattr(owner, name).astype(float))
    return layer


def _check_array(name, array, gradient, value, rng, step, tolerance, samples):
    """The worst relative error of one array's gradient."""
    gradient = np.asarray(gradient)
    assert gradient.shape == array.shape, f"{name}: gradient of shape {gradient.shape}, needed {array.shape}"
    scale = max(np.max(np.abs(gradient), initial=0), 1.0)
    worst = 0.0
    for flat in rng.permutation(array.size)[:samples]:
        index = np.unravel_index(flat, array.shape)
        kept = array[index]
        array[index] = kept + step
        above = value()
        array[index] = kept - step
        below = value()
        array[index] = kept
        expected = sum(a - b for a, b in zip(above, below, strict=True)) / (2 * step)
        error = abs(expected - gradient[index]) / scale
        assert error <= tolerance, (
            f"{name}{tuple(map(int, index))}: gradient {gradient[index]:.9g}, "
            f"finite difference {expected:.9g}"
        )
        worst = max(worst, float(error))
    return worst
