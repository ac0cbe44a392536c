"""How far a floating-point result may be from the exact one, element by element.

A sum of n products, in any order, fused or not, is off by at most

    gamma_n * (|w| conv |x| + |bias|) + n*eta,      gamma_n = n*u / (1 - n*u)

where u is the unit roundoff of the accumulating type and eta its smallest subnormal number. What comes in
with an error e adds |w| conv e. An activation multiplies the error by its Lipschitz constant and adds its own
(`OWN_ERRORS`), and rounding to the type of the result adds max(u_out*|y|, eta_out/2).

The long sums of weight gradients are pairwise over blocks of at most `BLOCK` products, so that n, the longest
way of a product through the additions, is that of a block and then of the tree above.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import (
    depthwise,
    gradients,
    graph,
    graph_bounds,
    pointwise,
    pointwise_gradients,
    separable,
    transposed,
)
from .arguments import integers, name_of, split_name
from .padding import Geometry, pad, resolve_padding
from .precision import Approximate, Precision

BLOCK = 4096
_SPARE = 4  # additions besides those of the block and of the tree

_MODULES = (depthwise, pointwise, separable, transposed, gradients, pointwise_gradients)
_GEOMETRY = frozenset(
    ("stride", "padding", "dilation", "padding_mode", "output_padding", "output_size", "input_size")
    + ("kernel_size", "data_format")
)


def error_bound(name, *args, **kwargs):
    """Return the rigorous bound of |computed - exact| for a call of `dsconv.<name>`.

    Parameters
    ----------
    name : str
        Such as "separable_conv2d".
    *args, **kwargs
        The arguments of that call.

    Returns
    -------
    ndarray of the shape of the result, in a type wider than it; inf where something may overflow

    Raises
    ------
    ValueError, TypeError
        For an unknown name, a type that the fast functions do not take, and what the reference refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import reference
    >>> x = np.ones((1, 100), np.float32)
    >>> bound = reference.error_bound("depthwise_conv1d", x, np.ones((1, 1, 3), np.float32))
    >>> bool(bound.max() < 1e-6)
    True
    """
    return expected_and_bound(name, *args, **kwargs)[1]


def expected_and_bound(name, *args, **kwargs):
    """Return the result in a wider type, and its bound, in the layout of the call."""
    call = bind(name, args, kwargs)
    precision = Precision.of(call)
    if name in graph_bounds.NAMES:
        return graph_bounds.expected_and_bound(name, call, precision)
    operation, rank = split_name(name)
    with np.errstate(all="ignore"):
        arrays = precision.widen(call)
        steps = STEPS[operation]
        approximate = Approximate(arrays[steps[0].first], None)
        for step in steps:
            approximate = step.take(precision, rank, call, arrays, approximate)
        return precision.round(approximate)


def bind(name, args, kwargs):
    """Return the arguments of a call by name, defaults included."""
    bound = inspect.signature(_function(name)).bind(*args, **kwargs)
    bound.apply_defaults()
    return graph_bounds.call_of(bound.arguments) if name in graph_bounds.NAMES else bound.arguments


def _function(name):
    if name in graph_bounds.NAMES:
        return getattr(graph, name)
    split_name(name)
    return next(getattr(module, name) for module in _MODULES if hasattr(module, name))


# ---- how many terms a sum has --------------------------------------------------------------------
def _taps(rank, call, maps, weight):
    return np.prod(weight.shape[-rank:], dtype=float)


def _channels(rank, call, maps, weight):
    return maps.shape[-1 if call["data_format"] == "channels_last" else -rank - 1]


def _taps_and_multipliers(rank, call, maps, weight):
    return _taps(rank, call, maps, weight) * weight.shape[1]


def _folded_taps(rank, call, maps, weight):
    """Under a padding mode, the terms of all the padded positions that are copies of one element."""
    return _taps_and_multipliers(rank, call, maps, weight) * _copies(rank, call, weight.shape[2:])


def _copies(rank, call, kernel):
    """Return how often padding repeats an element, at most."""
    geometry = Geometry.parse(rank, *(call[key] for key in ("stride", "padding", "dilation", "padding_mode")))
    if geometry.padding_mode == "constant":
        return 1
    size = integers(call["input_size"], "input_size", rank, 1)
    pairs = resolve_padding(geometry, size, kernel)
    sources = [pad(np.arange(n), (pair,), geometry.padding_mode) for n, pair in zip(size, pairs, strict=True)]
    return math.prod(int(np.bincount(source).max()) for source in sources)


def _pixels(rank, call, maps, other):
    """Products summed over the leading axes and pixels, block by block."""
    products = maps.size // max(_channels(rank, call, maps, other), 1)
    return min(products, BLOCK) + math.log2(max(products / BLOCK, 1)) + _SPARE


def _pixels_of_output(rank, call, x, grad_output):
    return _pixels(rank, call, grad_output, x)


# ---- the operations ------------------------------------------------------------------------------
@dataclass(frozen=True)
class Step:
    """One linear map with its bias and activation, by the names of the arguments that it takes."""

    operation: str
    first: str
    second: str
    terms: Callable
    bias: str | None = None
    activation: str | None = None

    def take(self, precision, rank, call, arrays, approximate):
        """Return what comes out, where `approximate` comes in for the first argument."""
        function = _function(name_of(self.operation, rank))
        keys = _GEOMETRY.intersection(inspect.signature(function).parameters)
        words = {key: call[key] for key in keys}

        def linear(first, second, bias):
            return function(first, second, **words, **({} if bias is None else {"bias": bias}))

        def terms():
            return self.terms(rank, call, approximate.value, arrays[self.second])

        operands = approximate, arrays[self.second], arrays.get(self.bias)
        result = precision.linear(linear, *operands, terms)
        return precision.activate(call.get(self.activation), result)


def _separable(first):
    return (
        Step(first, "x", "depthwise_weight", _taps, "depthwise_bias", "depthwise_activation"),
        Step("pointwise_conv", "x", "pointwise_weight", _channels, "pointwise_bias", "activation"),
    )


_TRANSPOSED = "depthwise_conv_transpose"
STEPS = {
    "depthwise_conv": (Step("depthwise_conv", "x", "weight", _taps, "bias", "activation"),),
    "pointwise_conv": (Step("pointwise_conv", "x", "weight", _channels, "bias", "activation"),),
    "separable_conv": _separable("depthwise_conv"),
    _TRANSPOSED: (Step(_TRANSPOSED, "x", "weight", _taps, "bias", "activation"),),
    "separable_conv_transpose": _separable(_TRANSPOSED),
} | {
    operation: (Step(operation, first, second, terms),)
    for operation, first, second, terms in (
        ("depthwise_conv_input_grad", "grad_output", "weight", _folded_taps),
        ("depthwise_conv_weight_grad", "x", "grad_output", _pixels_of_output),
        ("depthwise_conv_transpose_input_grad", "grad_output", "weight", _taps_and_multipliers),
        ("depthwise_conv_transpose_weight_grad", "x", "grad_output", _pixels),
        ("pointwise_conv_input_grad", "grad_output", "weight", _channels),
        ("pointwise_conv_weight_grad", "x", "grad_output", _pixels_of_output),
    )
}
