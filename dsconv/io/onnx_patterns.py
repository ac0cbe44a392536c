"""Activations as exporters write them: one operator, or a product of several."""

import numpy as np

from .onnx_graph import attributes_of

# operators that are one of our activations, some with certain attributes alone
ACTIVATIONS = {
    "Relu": "relu",
    "Clip": "relu6",
    "HardSwish": "hardswish",
    "HardSigmoid": "hardsigmoid",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Gelu": "gelu",
    "Swish": "silu",
}

# what the factors are of, besides a number: {(kinds of factors): (that number, name)}
_PRODUCTS = {
    ("sigmoid", "x"): (1, "silu"),
    ("hardsigmoid", "x"): (1, "hardswish"),
    ("clip(x + 3)", "x"): (1 / 6, "hardswish"),
    ("clip(x + 3)",): (1 / 6, "hardsigmoid"),
    ("1 + erf", "x"): (1 / 2, "gelu"),
}
_TOLERANCE = 1e-6
_DEPTH = 4  # of products in products: the longest of these patterns has three


def clip_bounds(graph, node):
    """The two bounds of a Clip, from attributes or constants; None where one is computed."""
    given = attributes_of(node)
    bounds = [given.get("min", -np.inf), given.get("max", np.inf)]
    for position, name in enumerate(node.input[1:3]):
        if name:
            bounds[position] = graph.scalar(name)
    return tuple(bounds)


def match_product(graph, node):
    """(activation, the x it is of, the nodes it is made of), or None."""
    factors, scale, nodes = _factors(graph, node)
    if not 1 <= len(factors) <= 2:
        return None
    read = [_read_factor(graph, name) for name in factors]
    for (kind, x, inside), other in [(read[0], factors[1:]), (read[-1], factors[:-1])]:
        key = (kind, *("x" for name in other if name == x))
        if kind == "x" or len(key) != len(factors):
            continue
        number, name = _PRODUCTS.get(key, (None, None))
        if name is not None and abs(scale - number) <= _TOLERANCE * number:
            return name, x, [*nodes, *inside]
    return None


def _factors(graph, node, depth=0):
    """What a tree of Mul and Div by numbers multiplies: values, one number, and the nodes of the tree."""
    names, scale, nodes = [], 1.0, [node]
    for position, name in enumerate(node.input):
        number = graph.scalar(name)
        if node.op_type == "Div" and position == 1:
            if not number:
                return [], 0, []
            scale /= number
        elif number is not None:
            scale *= number
        else:
            inner = graph.before(name, "Mul", "Div") if depth < _DEPTH else None
            if inner is None:
                names.append(name)
                continue
            more, times, tree = _factors(graph, inner, depth + 1)
            if not tree or len(more) > 2:
                return [], 0, []
            names += more
            scale *= times
            nodes += tree
    return names, scale, nodes


def _read_factor(graph, name):
    """What one factor is of which x, and the nodes that make it for it alone."""
    made = graph.before(name, "Activation", "Add")
    if made is None:
        return "x", name, []
    if made.op_type == "Activation":
        kind, x = attributes_of(made)["kind"], made.input[0]
        if kind in ("sigmoid", "hardsigmoid"):
            return kind, x, [made]
        inner = graph.before(x, "Add") if kind == "relu6" else None
        shifted = _plus(graph, inner, 3) if inner is not None else None
        return ("x", name, []) if shifted is None else ("clip(x + 3)", shifted, [made, inner])
    erf = _plus(graph, made, 1)
    erf = None if erf is None else graph.before(erf, "Erf")
    inner = None if erf is None else graph.before(erf.input[0], "Mul", "Div")
    if inner is None:
        return "x", name, []
    of, scale, tree = _factors(graph, inner)
    if len(of) != 1 or abs(scale * np.sqrt(2) - 1) > _TOLERANCE:
        return "x", name, []
    return "1 + erf", of[0], [made, erf, *tree]


def _plus(graph, node, number):
    """The x of ``x + number``, or None."""
    for x, other in (node.input, reversed(node.input)):
        if graph.scalar(other) == number:
            return x
    return None
