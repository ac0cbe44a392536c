"""Rewrites of a graph: normalisations into convolutions, activations into epilogues, pairs into one.

Each is a function of the graph and a node with which its pattern ends. It gives the nodes that go and those
that come in their place, or None. A value between them goes only where one node uses it and it is no output.
"""

import numpy as np

from .onnx_graph import applied, attributes_of, own_node
from .onnx_patterns import ACTIVATIONS, clip_bounds, match_product
from .onnx_runtime_nodes import APART, taken_apart

_TOLERANCE = 1e-6  # of constants such as 1/6, which files keep in float32 or as decimals

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PAD_MODES = {"constant": "zeros", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def rewrite(graph):
    """Apply the table, one sweep from the inputs for each row."""
    for rule, operators in RULES:
        for node in list(graph.nodes):
            if node.op_type not in operators or graph.producers.get(node.output[0]) is not node:
                continue
            found = applied(rule, graph, node)
            if found is not None:
                graph.replace(*found)


# ---- our own operators ---------------------------------------------------------------------------
def adopt(graph, node):
    """Conv and ConvTranspose as ours, which take an activation, and a pointwise stage behind."""
    if node.domain:
        return None
    return [node], [own_node(node.op_type, node.input, node.output, node.name, **attributes_of(node))]


# ---- activations ---------------------------------------------------------------------------------
def activation(graph, node):
    """A standard operator that is one of our activations."""
    name = ACTIVATIONS.get(node.op_type)
    if node.domain or name is None:
        return None
    given = attributes_of(node)
    if node.op_type == "Clip" and clip_bounds(graph, node) != (0, 6):
        return None
    if node.op_type == "HardSigmoid":
        slope, shift = given.get("alpha", 0.2), given.get("beta", 0.5)
        if abs(slope * 6 - 1) > _TOLERANCE or abs(shift - 0.5) > _TOLERANCE:
            return None
    if node.op_type == "Gelu" and given.get("approximate", "none") != "none":
        return None
    if node.op_type == "Swish" and given.get("alpha", 1.0) != 1:
        return None
    return [node], [_activation(name, node.input[0], node)]


def _activation(name, x, node):
    return own_node("Activation", [x], [node.output[0]], node.name, kind=name)


def decomposed(graph, node):
    """Products that are an activation: x*sigmoid(x), x*clip(x + 3, 0, 6)/6, x*(1 + erf(x/sqrt 2))/2 ..."""
    found = match_product(graph, node)
    if found is None:
        return None
    name, x, old = found
    return old, [_activation(name, x, node)]


# ---- into convolutions ---------------------------------------------------------------------------
def _linear_before(graph, name):
    """A convolution of ours with constant weights and no activation, which a value comes from alone."""
    node = graph.before(name, *_CONVOLUTIONS)
    if node is None or "activation" in attributes_of(node):
        return None
    present = [each for each in node.input[1:] if each]
    return node if all(graph.constant(each) is not None for each in present) else None


def normalised(graph, node):
    """BatchNormalization, or constants multiplied and added per channel, in the weights and the bias."""
    made = _linear_before(graph, node.input[0])
    x = node.input[0]
    if made is None and node.op_type in ("Add", "Mul"):
        x = node.input[1]
        made = _linear_before(graph, x)
    if made is None:
        return None
    channels, rank = _output_channels(graph, made)
    affine = channel_affine(graph, node, x, channels, rank)
    if affine is None or not graph.spend(graph.constant(made.input[3 if _has_pointwise(made) else 1]).nbytes):
        return None
    return [made, node], [_scaled(graph, made, node, *affine)]


def _output_channels(graph, made):
    weight = graph.constant(made.input[1])
    if made.op_type == "Conv" or _has_pointwise(made):
        return (graph.constant(made.input[3]) if _has_pointwise(made) else weight).shape[0], weight.ndim - 2
    return weight.shape[1] * attributes_of(made).get("group", 1), weight.ndim - 2


def _has_pointwise(made):
    return len(made.input) > 3 and bool(made.input[3])


def channel_affine(graph, node, x, channels, rank=None):
    """(scale, shift) per channel, in float64, of a node that computes ``scale*x + shift``; or None."""
    if node.op_type == "BatchNormalization":
        return _norm_affine(graph, node, channels)
    other = node.input[1] if node.input[0] == x else node.input[0]
    array = graph.constant(other)
    if array is None or array.dtype.kind != "f" or not _is_per_channel(array.shape, channels, rank):
        return None
    values = np.broadcast_to(array.reshape(-1).astype(float), (channels,))
    ones, zeros = np.ones(channels), np.zeros(channels)
    if node.op_type == "Sub":
        return ones, -values
    if node.op_type == "Div":
        return (1 / values, zeros) if (values != 0).all() else None
    return (ones, values) if node.op_type == "Add" else (values, zeros)


def _norm_affine(graph, node, channels):
    given = attributes_of(node)
    arrays = [graph.constant(name) for name in node.input[1:5]]
    if (
        given.get("training_mode", 0)
        or sum(map(bool, node.output)) > 1
        or any(each is None for each in arrays)
    ):
        return None
    if any(each.size != channels for each in arrays):
        return None
    weight, bias, mean, variance = (each.reshape(-1).astype(float) for each in arrays)
    scale = weight / np.sqrt(variance + given.get("epsilon", 1e-5))
    return scale, bias - mean * scale


def _is_per_channel(shape, channels, rank):
    if all(size == 1 for size in shape):
        return len(shape) <= rank + 2
    return shape in ((channels, *(1,) * rank), (1, channels, *(1,) * rank))


def _scaled(graph, made, node, scale, shift):
    inputs = [*made.input, "", "", ""][:5]
    at = 3 if inputs[3] else 1
    weight, bias = graph.constant(inputs[at]), graph.constant(inputs[at + 1])
    if made.op_type == "ConvTranspose" and at == 1:
        groups = attributes_of(made).get("group", 1)
        parts = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        scaled = parts * scale.reshape(groups, 1, -1, 1)
    else:
        scaled = weight.reshape(len(scale), -1) * scale[:, np.newaxis]
    shifted = shift if bias is None else bias * scale + shift
    inputs[at] = graph.add_constant(scaled.reshape(weight.shape).astype(weight.dtype), inputs[at])
    inputs[at + 1] = graph.add_constant(shifted.astype(weight.dtype), f"{node.output[0]}~bias")
    return _remade(made, inputs, node)


def _remade(made, inputs, last, **changed):
    """A convolution of ours with other inputs and attributes, which gives the result of a later node."""
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return own_node(made.op_type, inputs, [last.output[0]], made.name, **(attributes_of(made) | changed))


def epilogue(graph, node):
    """An activation in the convolution before it."""
    made = graph.before(node.input[0], *_CONVOLUTIONS)
    if made is None or "activation" in attributes_of(made):
        return None
    return [made, node], [_remade(made, list(made.input), node, activation=attributes_of(node)["kind"])]


def padded(graph, node):
    """A Pad of spatial axes in the convolution after it."""
    pad = graph.before(node.input[0], "Pad")
    given = attributes_of(node)
    if pad is None or pad.domain or given.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    if any(given.get("pads", ())):
        return None
    weight, own = graph.constant(node.input[1]), attributes_of(pad)
    pads = graph.constant(pad.input[1]) if len(pad.input) > 1 else own.get("pads", own.get("paddings"))
    value = own.get("value", 0)
    if len(pad.input) > 2 and pad.input[2]:
        value = graph.scalar(pad.input[2])
    if weight is None or pads is None or value != 0 or len(pad.input) > 3:
        return None
    pads, mode = [int(each) for each in np.ravel(pads)], _PAD_MODES.get(own.get("mode", "constant"))
    low, high = pads[: weight.ndim], pads[weight.ndim :]
    if len(pads) != 2 * weight.ndim or any(low[:2] + high[:2]) or min(pads) < 0 or mode is None:
        return None
    inputs = [pad.input[0], *node.input[1:]]
    return [pad, node], [_remade(node, inputs, node, pads=low[2:] + high[2:], padding_mode=mode)]


def separable(graph, node):
    """A depthwise convolution and the pointwise one after it as one."""
    depthwise = graph.before(node.input[0], *_CONVOLUTIONS)
    if depthwise is None or _has_pointwise(depthwise) or _has_pointwise(node):
        return None
    weight, mixing = graph.constant(depthwise.input[1]), graph.constant(node.input[1])
    given, after = attributes_of(depthwise), attributes_of(node)
    if weight is None or mixing is None or not _is_pointwise(mixing, after):
        return None
    groups, multiplier = given.get("group", 1), weight.shape[0 if depthwise.op_type == "Conv" else 1]
    multiplier //= groups if depthwise.op_type == "Conv" else 1
    each = weight.shape[1] if depthwise.op_type == "Conv" else weight.shape[0] // groups
    if groups == 1 or each != 1 or mixing.shape[1] != groups * multiplier or weight.ndim != mixing.ndim:
        return None
    inputs = [*depthwise.input, ""][:3] + list(node.input[1:])
    words = {"depthwise_activation": given.get("activation"), "activation": after.get("activation")}
    return [depthwise, node], [_remade(depthwise, inputs, node, **words)]


def _is_pointwise(weight, given):
    ones = all(size == 1 for size in weight.shape[2:])
    plain = not any(given.get("pads", ())) and set(given.get("strides", (1,))) == {1}
    return ones and plain and given.get("group", 1) == 1


_AFFINE = ("BatchNormalization", "Add", "Mul", "Sub", "Div")

RULES = (
    (taken_apart, tuple(APART)),
    (activation, tuple(ACTIVATIONS)),
    (decomposed, ("Mul", "Div")),
    (adopt, _CONVOLUTIONS),
    (padded, ("Conv",)),
    (normalised, _AFFINE),
    (epilogue, ("Activation",)),
    (separable, ("Conv",)),
)
