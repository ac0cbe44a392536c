"""Operators of ONNX Runtime's own, which it writes into the files that it has optimised, taken apart again.

Each function gives the nodes that stand for one; other rewrites then put them together in their own way.
"""

import numpy as np
from onnx import helper

from .onnx_graph import attributes_of, own_node
from .onnx_read import described

DOMAIN = "com.microsoft"


def taken_apart(graph, node):
    """A rewrite, as the others are."""
    return ([node], APART[node.op_type](graph, node)) if node.domain == DOMAIN else None


def _standard(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], output, **attributes)


def _ended(graph, made, name, limits):
    """The last of some nodes with an activation of that name, or none, behind it."""
    if not name:
        return made
    last = made[-1].output[0]
    inner = made[-1].output[0] = graph.fresh(f"{last}~before")
    if name == "Clip":
        bounds = [graph.add_constant(np.float32(each), f"{last}~bound") for each in limits]
        return [*made, _standard("Clip", [inner, *bounds], last)]
    words = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}.get(name, ())
    return [*made, _standard(name, [inner], last, **dict(zip(words, limits, strict=False)))]


def fused_conv(graph, node):
    """A Conv, a sum where there is a fourth input, an activation where there is one."""
    given = attributes_of(node)
    name, limits = given.pop("activation", ""), given.pop("activation_params", [])
    x, weight, *rest = node.input
    bias, other = [*rest, "", ""][:2]
    last = node.output[0]
    made = [own_node("Conv", [x, weight, bias], [last], node.name, **given)]
    if other:
        inner = made[0].output[0] = graph.fresh(f"{last}~product")
        made.append(_standard("Add", [inner, other], last))
    return _ended(graph, made, name, limits)


def fused_gemm(graph, node):
    """A Gemm and an activation."""
    given = attributes_of(node)
    limits = [given.pop(word) for word in ("activation_alpha", "activation_beta") if word in given]
    name = given.pop("activation", "")
    given.pop("activation_gamma", None)
    return _ended(graph, [_standard("Gemm", node.input, node.output[0], **given)], name, limits)


def fused_matmul(graph, node):
    """A product of matrices that are turned, and a number."""
    given = attributes_of(node)
    if given.pop("transBatchA", 0) or given.pop("transBatchB", 0):
        raise NotImplementedError(f"{described(node)}: turned batch axes are not supported")
    return [own_node("MatMul", node.input, node.output, node.name, **given)]


def quick_gelu(graph, node):
    """``x*sigmoid(alpha*x)``."""
    (x,), last, alpha = node.input, node.output[0], attributes_of(node).get("alpha", 1.702)
    gate, made = graph.fresh(f"{last}~gate"), []
    scaled = x
    if alpha != 1:
        scaled = graph.fresh(f"{last}~scaled")
        made.append(_standard("Mul", [x, graph.add_constant(np.float32(alpha), f"{last}~alpha")], scaled))
    return [*made, _standard("Sigmoid", [scaled], gate), _standard("Mul", [x, gate], last)]


def gelu(graph, node):
    """The exact one, of a sum with a bias where there are two inputs."""
    last, inner = node.output[0], node.input[0]
    if len(node.input) == 1:
        return [own_node("Activation", [inner], [last], node.name, kind="gelu")]
    inner = graph.fresh(f"{last}~sum")
    made = _standard("Add", node.input, inner)
    return [made, own_node("Activation", [inner], [last], node.name, kind="gelu")]


APART = {
    "BiasGelu": gelu,
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "Gelu": gelu,
    "QuickGelu": quick_gelu,
}
