"""How far the graph functions may be from the exact result: the bounds of `bounds`, through the graph."""

import math

import numpy as np

from .graph import entries_of, exchangeable, separable_graph_conv, spread
from .precision import Approximate

#: Rows of more entries are summed in chunks of so many, and the sums of the chunks one after the other.
CHUNK = 1024

NAMES = ("graph_propagate", "separable_graph_conv")


def call_of(bound):
    """Return the arguments of a call with those of other functions, the values of the entries among them."""
    rows, columns, values, size = entries_of(bound["adjacency"])
    dense = not hasattr(bound["adjacency"], "indptr") and not hasattr(bound["adjacency"], "row")
    degree = int(np.bincount(rows, minlength=1).max(initial=0))
    chunks = 0 if dense else math.ceil(degree / CHUNK)
    terms = (degree if dense else min(degree, CHUNK)) + chunks + 1
    graph = rows, columns, terms
    return {**bound, "entry_weight": values, "graph": graph, "dtype": None, "casting": "same_kind"}


def expected_and_bound(name, call, precision):
    """Return the result in a wider type, and its bound."""
    with np.errstate(all="ignore"):
        arrays = precision.widen(call)
        x = Approximate(arrays["x"], None)
        if name == "graph_propagate":
            return precision.round(_spread(precision, call, arrays, x))
        value = _separable_value(call, arrays)
        error = _bound(precision, _spread_first(precision, call, arrays, x))
        mixable = call["order"] != "propagate_first"
        if mixable and exchangeable(arrays["depthwise_weight"], call["depthwise_activation"]):
            error = np.maximum(error, _bound(precision, _mix_first(precision, call, arrays, x)))
        return value, error


def _bound(precision, approximate):
    return precision.round(approximate)[1]


def _separable_value(call, arrays):
    words = {key: call[key] for key in ("depthwise_activation", "order", "activation")}
    adjacency = _Entries(*call["graph"][:2], arrays["entry_weight"], arrays["x"].shape[-2])
    operands = arrays["x"], adjacency, arrays["pointwise_weight"], arrays["bias"]
    return separable_graph_conv(*operands, **words, depthwise_weight=arrays["depthwise_weight"])


class _Entries:
    """A matrix in COO form."""

    def __init__(self, row, col, data, size):
        self.row, self.col, self.data, self.shape = row, col, data, (size, size)


# ---- the steps -----------------------------------------------------------------------------------
def _spread(precision, call, arrays, x, base=None):
    """One product with the operator, to which `base`, the product of two numbers, is added."""
    rows, columns, terms = call["graph"]

    def linear(x, values, base):
        y = spread(rows, columns, values, x)
        return y if base is None else y + base

    return precision.linear(linear, x, arrays["entry_weight"], base, lambda: terms + 2)


def _filter(precision, call, arrays, x, taps):
    """All powers, by Horner's rule."""
    if taps is None:
        return _spread(precision, call, arrays, x)
    total = precision.linear(lambda x, tap, _: x * tap, x, taps[:, -1], None, lambda: 1)
    for k in range(taps.shape[1] - 2, -1, -1):
        inherited = 0 if x.error is None else x.error * np.abs(taps[:, k])
        total = _spread(precision, call, arrays, total, taps[:, k] * x.value)
        total = Approximate(total.value, total.error + inherited * (1 + precision.gamma(2)))
    return total


def _mix(precision, x, weight, bias):
    def linear(x, weight, bias):
        y = x @ weight.T
        return y if bias is None else y + bias

    return precision.linear(linear, x, weight, bias, lambda: weight.shape[1])


def _spread_first(precision, call, arrays, x):
    middle = _filter(precision, call, arrays, x, arrays["depthwise_weight"])
    if middle.error is not None:
        middle = precision.activate(call["depthwise_activation"], middle)
    y = _mix(precision, middle, arrays["pointwise_weight"], arrays["bias"])
    return precision.activate(call["activation"], y)


def _mix_first(precision, call, arrays, x):
    weight, taps, bias = (arrays[key] for key in ("pointwise_weight", "depthwise_weight", "bias"))
    mixed = _mix(precision, x, weight, None)
    if taps is not None:
        taps = np.repeat(taps[:1], len(weight), axis=0)
    y = _filter(precision, call, arrays, mixed, taps)
    if bias is not None:
        y = precision.linear(lambda y, _, bias: y if bias is None else y + bias, y, weight, bias, lambda: 1)
    return precision.activate(call["activation"], y)
