"""Numbers, functions and sources of random numbers that users give: errors name the argument."""

from math import isfinite
from numbers import Real

import numpy as np

_FLOATS = "float16", "bfloat16", "float32", "float64", "complex64", "complex128"


def as_real(value, name, low=None, high=None, *, above=None, below=None):
    """`value` as a finite float, at least `low`, at most `high`, above `above`, below `below`; no bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    rules = [f"at least {low}"] if low is not None else []
    rules += [f"more than {above}"] if above is not None else []
    rules += [f"at most {high}"] if high is not None else []
    rules += [f"less than {below}"] if below is not None else []
    fits = (low is None or number >= low) and (above is None or number > above)
    fits = fits and (high is None or number <= high) and (below is None or number < below)
    if not (isfinite(number) and fits):
        raise ValueError(f"{name}: must be {' and '.join(['finite', *rules])}, got {value!r}")
    return number


def as_callable(value, name, form):
    """`value`, which must be a function of the form given, such as ``loss(y, target)``."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function {form}, got {value!r} ({type(value).__name__})")
    return value


def as_flag(value, name):
    """`value`, which must be True or False: a word such as ``"no"`` would pass for True."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {value!r} ({type(value).__name__})")
    return bool(value)


def as_generator(rng, name="rng"):
    """A Generator, of a seed where that came."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        rule = "expected None, a seed (an integer, at least 0) or a Generator"
        raise type(error)(f"{name}: {rule}, got {rng!r} ({type(rng).__name__})") from None


def as_float_type(dtype, name="dtype"):
    """A data type that parameters may have."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in _FLOATS:
        raise TypeError(f"{name}: expected one of {', '.join(_FLOATS)}, got {dtype!r}")
    return found
