"""A folded network of dsconv as a list of plain steps, from which the peers' networks are made."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dsconv import nn
from dsconv.nn.convolution import DepthwiseConv, PointwiseConv, SeparableConv
from dsconv.nn.standard import Conv
from dsconv.nn.windows import Window, padding_pairs

from .arrays import Unsupported

_POINT = Window((1, 1), (1, 1), (1, 1), ("explicit", (0, 0), (0, 0)))


@dataclass
class Use:
    """One call of a layer without children, or the sum of several maps (`layer` is the combinator)."""

    layer: Any
    inputs: tuple[int, ...]
    output: int
    shape: tuple[int, ...]  # of the first input


@dataclass
class Step:
    """`kind` is "conv", "add", "mean" or "linear"; maps are numbered, 0 is the network's input."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    weight: Any = None  # (O, I/groups, *kernel), or (O, I) of "linear"
    bias: Any = None
    groups: int = 1
    window: Any = _POINT
    pads: tuple = ((0, 0), (0, 0))
    activation: str | None = None


def uses(net, shape):
    """Every call of a layer in the order of the calls, for an input of that shape."""
    found, numbers = [], iter(range(1, 1 << 20))

    def visit(layer, source, shape):
        if isinstance(layer, nn.Sequential):
            for child in layer:
                source, shape = visit(child, source, shape)
            return source, shape
        if isinstance(layer, nn.Identity):
            return source, shape
        if isinstance(layer, nn.Sum):
            parts = [visit(child, source, shape) for child in layer]
            if len(parts) == 1:
                return parts[0]
            inputs, shape = tuple(part for part, _ in parts), parts[0][1]
        elif layer.children:
            raise Unsupported(f"no rule for {type(layer).__name__}")
        else:
            inputs = (source,)
        found.append(Use(layer, inputs, next(numbers), shape))
        return found[-1].output, layer.output_shape(shape)

    visit(net, 0, shape)
    return found


def steps(net, shape):
    """The same in the words of other libraries: a separable layer is two convolutions.

    Raises
    ------
    Unsupported
        For a layer without a rule.
    """
    found, hidden = [], iter(range(-1, -(1 << 20), -1))
    for use in uses(net, shape):
        found += _steps_of(use, hidden)
    return found


def _steps_of(use, hidden):
    layer, ends = use.layer, (use.inputs, use.output)
    if isinstance(layer, nn.Sum):
        return [Step("add", *ends)]
    if isinstance(layer, nn.GlobalAveragePool) and not layer.keepdims:
        return [Step("mean", *ends)]
    if isinstance(layer, nn.Linear):
        return [Step("linear", *ends, layer.weight, layer.bias, activation=layer.activation)]
    if isinstance(layer, PointwiseConv):
        return [_point(ends, layer.weight, layer.bias, layer.activation)]
    if isinstance(layer, DepthwiseConv):
        return [_depthwise(use, ends, layer.weight, layer.bias, layer.activation)]
    if isinstance(layer, SeparableConv):
        middle, word = next(hidden), layer.keywords["depthwise_activation"]
        return [
            _depthwise(use, (use.inputs, middle), layer.depthwise_weight, layer.depthwise_bias, word),
            _point(((middle,), use.output), layer.pointwise_weight, layer.pointwise_bias, layer.activation),
        ]
    if isinstance(layer, Conv) and layer.padding_mode == "zeros":
        form = {"window": layer.window, "pads": _pads(use), "activation": layer.activation}
        return [Step("conv", *ends, layer.weight, layer.bias, **form)]
    raise Unsupported(f"no rule for {type(layer).__name__}")


def _point(ends, weight, bias, activation):
    return Step("conv", *ends, weight[:, :, None, None], bias, activation=activation)


def _depthwise(use, ends, weight, bias, activation):
    if use.layer.keywords["padding_mode"] != "zeros":
        raise Unsupported("only zero padding")
    channels, multiplier, *kernel = weight.shape
    weight = weight.reshape(channels * multiplier, 1, *kernel)
    form = {"window": use.layer.window, "pads": _pads(use), "activation": activation}
    return Step("conv", *ends, weight, bias, groups=channels, **form)


def _pads(use):
    last = use.layer.data_format == "channels_last"
    return padding_pairs(use.layer.window, use.shape[1:-1] if last else use.shape[2:])


def randomised(net, seed=0):
    """The network with statistics and biases that are not those of the start: folding has something to do."""
    rng = np.random.default_rng(seed)
    for name, array in (net.parameters | net.buffers).items():
        if name.endswith(("norm.weight", "running_var")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif array.ndim == 1:
            array[...] = rng.normal(0, 0.1, array.shape)
    return net
