"""What layers are made of besides their arrays: pullbacks, context keywords, shapes."""

import inspect
from functools import lru_cache
from math import prod

from ..geometry import as_integer, items_of
from .windows import as_float


class Pullback:
    """From the gradient of a result to those of the input and of the parameters.

    Parameters
    ----------
    function : callable
        ``function(dy) -> (dx, grads)``.
    buffers : dict, optional
        New values of running statistics by name, which belong to the call that made this pullback.
    shape : tuple of int, optional
        Of the result. Where it is given, a `dy` of another shape is a ValueError; it could be broadcast.

    Examples
    --------
    >>> from dsconv import nn
    >>> pullback = nn.Pullback(lambda dy: (2 * dy, {}))
    >>> pullback(1.5), pullback.buffers
    ((3.0, {}), {})
    """

    def __init__(self, function, buffers=None, shape=None):
        self._function = function
        self._shape = shape
        self.buffers = {} if buffers is None else buffers

    def __call__(self, dy):
        if self._shape is not None:
            dy = as_float(dy, "dy")
            if dy.shape != self._shape:
                raise ValueError(f"dy: must have the shape of the result, {self._shape}, got {dy.shape}")
        return self._function(dy)


@lru_cache(maxsize=1024)
def keyword_names(function):
    """The names of a function's keyword-only parameters, and whether it takes any other."""
    parameters = inspect.signature(function).parameters.values()
    names = frozenset(each.name for each in parameters if each.kind == each.KEYWORD_ONLY)
    return names, any(each.kind == each.VAR_KEYWORD for each in parameters)


def accepted(function, context):
    """Those context keywords that a method takes."""
    if not context:
        return context
    names, rest = keyword_names(getattr(function, "__func__", function))
    return context if rest else {name: value for name, value in context.items() if name in names}


def used_by(layer, context):
    """Those context keywords that a layer or one inside it uses."""
    return {name: context[name] for name in layer.context_names & set(context)} if context else context


def whole_shape(shape):
    """A shape, or a tuple of shapes, as tuples of ints that are at least 0."""
    sizes = items_of(shape)
    if sizes is None:
        raise TypeError(f"shape: expected a tuple of ints, batch included, got {shape!r}")
    if sizes and all(items_of(each) is not None for each in sizes):
        return tuple(map(whole_shape, sizes))
    return tuple(as_integer(size, f"shape[{axis}]", 0) for axis, size in enumerate(sizes))


def element_count(shape):
    """Elements of a shape, or of a tuple of shapes."""
    if shape and isinstance(shape[0], (tuple, list)):
        return sum(map(element_count, shape))
    return prod(shape)


def plain_number(value):
    """An int where that is exact, a float otherwise."""
    if value in (float("inf"), -float("inf")):
        return float(value)
    return int(value) if value == int(value) else float(value)
