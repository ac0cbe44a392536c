"""Numbers that users give: checked, with errors that name the argument."""

from math import isfinite
from numbers import Real


def as_real(value, name, low=None, high=None, *, above=None):
    """`value` as a finite float, at least `low`, at most `high`, more than `above`; not a bool."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r} ({type(value).__name__})")
    number = float(value)
    rules = [f"at least {low}"] if low is not None else []
    rules += [f"more than {above}"] if above is not None else []
    rules += [f"at most {high}"] if high is not None else []
    fits = (low is None or number >= low) and (above is None or number > above)
    if not (isfinite(number) and fits and (high is None or number <= high)):
        raise ValueError(f"{name}: must be {' and '.join(['finite', *rules])}, got {value!r}")
    return number


def as_callable(value, name, form):
    """`value`, which must be a function of the form given, such as ``loss(y, target)``."""
    if not callable(value):
        raise TypeError(f"{name}: expected a function {form}, got {value!r} ({type(value).__name__})")
    return value
