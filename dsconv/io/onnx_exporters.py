"""What layers are in standard ONNX operators: one function a kind of layer, and the table of them."""

from math import prod, sqrt

import numpy as np

from .. import nn
from ..nn.convolution import DepthwiseConv, PointwiseConv, SeparableConv
from ..nn.pointwise import RandomLayer
from ..nn.pool import AveragePool, MaxPool
from ..nn.resize import PixelShuffle
from ..nn.standard import Conv
from ..nn.standard_transposed import ConvTranspose
from ..nn.transposed import DepthwiseConvTranspose, SeparableConvTranspose
from ..nn.windows import padding_pairs, window_output
from .onnx_combinators import COMBINATORS, resized
from .onnx_padding import padded

_ACTIVATIONS = {
    "relu": ("Relu", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}


def activated(writer, name, x):
    """An activation by its name, or none."""
    if name is None:
        return x
    if name in _ACTIVATIONS:
        operator, words = _ACTIVATIONS[name]
        return writer.add(operator, [x], x.shape, **words)
    if name == "relu6":
        bounds = [writer.constant(each, "bound") for each in (0, 6)]
        return writer.add("Clip", [x, *bounds], x.shape)
    if name == "silu":
        return writer.add("Mul", [x, writer.add("Sigmoid", [x], x.shape)], x.shape)
    scaled = writer.add("Mul", [x, writer.constant(sqrt(0.5), "scale")], x.shape)
    shifted = writer.add("Add", [writer.add("Erf", [scaled], x.shape), writer.constant(1, "one")], x.shape)
    half = writer.add("Mul", [x, writer.constant(0.5, "half")], x.shape)
    return writer.add("Mul", [half, shifted], x.shape)


# ---- convolutions --------------------------------------------------------------------------------
def _product(writer, operator, x, weight, bias, outputs, name, **words):
    """A Conv or ConvTranspose with a bias or without; `outputs` are channels and sizes."""
    inputs = [x, writer.constant(weight, f"{name}weight")]
    inputs += [] if bias is None else [writer.constant(bias, f"{name}bias")]
    words |= {"kernel_shape": list(weight.shape[2:])}
    return writer.add(operator, inputs, (x.shape[0], *outputs), **words)


def _window_words(writer, layer, x, mode):
    """x, padded where a mode asks for it, and the attributes of a Conv."""
    pairs = padding_pairs(layer.window, x.shape[2:])
    if mode != "zeros" and any(map(any, pairs)):
        x, pairs = padded(writer, x, pairs, mode), ((0, 0),) * len(pairs)
    words = {"strides": list(layer.window.stride), "dilations": list(layer.window.dilation)}
    return x, words | {"pads": [low for low, _ in pairs] + [high for _, high in pairs]}


def _depthwise_stage(writer, layer, x, weight, bias, name=""):
    sizes = layer.output_sizes(x.shape[2:])
    x, words = _window_words(writer, layer, x, layer.keywords["padding_mode"])
    channels, multiplier, *kernel = weight.shape
    flat = weight.reshape(channels * multiplier, 1, *kernel)
    outputs = channels * multiplier, *sizes
    return _product(writer, "Conv", x, flat, bias, outputs, name, group=channels, **words)


def _pointwise_stage(writer, x, weight, bias, name=""):
    matrix = weight.reshape(*weight.shape, *(1,) * (len(x.shape) - 2))
    return _product(writer, "Conv", x, matrix, bias, (len(weight), *x.shape[2:]), name)


def _depthwise(writer, layer, x):
    x = writer.first(x, layer.data_format)
    y = _depthwise_stage(writer, layer, x, layer.weight, layer.bias)
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


def _pointwise(writer, layer, x):
    y = _pointwise_stage(writer, writer.first(x, layer.data_format), layer.weight, layer.bias)
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


def _separable(writer, layer, x):
    stage = _transposed_stage if isinstance(layer, SeparableConvTranspose) else _depthwise_stage
    x = writer.first(x, layer.data_format)
    y = stage(writer, layer, x, layer.depthwise_weight, layer.depthwise_bias, "depthwise_")
    y = activated(writer, layer.keywords["depthwise_activation"], y)
    y = _pointwise_stage(writer, y, layer.pointwise_weight, layer.pointwise_bias, "pointwise_")
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


def _standard(writer, layer, x):
    x = writer.first(x, layer.data_format)
    shape = layer.out_channels, *window_output(layer.window, x.shape[2:])
    x, words = _window_words(writer, layer, x, layer.padding_mode)
    y = _product(writer, "Conv", x, layer.weight, layer.bias, shape, "", **words)
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


def _spatial(layer):
    return slice(1, -1) if layer.data_format == "channels_last" else slice(2, None)


def _transposed_stage(writer, layer, x, weight, bias, name=""):
    """A depthwise one; the weight is (C, M, *kernel), as ONNX has it."""
    outputs = weight.shape[0] * weight.shape[1], *layer.output_sizes(x.shape[2:])
    words = _crop_words(layer, x.shape[2:], outputs[1:])
    return _product(writer, "ConvTranspose", x, weight, bias, outputs, name, group=weight.shape[0], **words)


def _crop_words(layer, sizes, outputs):
    _, stride, dilation, (kind, low, _) = layer.window
    lows, highs, extra = [], [], []
    kernel = layer.window.kernel
    for axis, (size, output, k, s, d) in enumerate(
        zip(sizes, outputs, kernel, stride, dilation, strict=True)
    ):
        lows.append(low[axis] if kind == "explicit" else max(d * (k - 1) + 1 - s, 0) // 2)
        rest = (size - 1) * s + d * (k - 1) + 1 - lows[-1] - output
        highs.append(max(rest, 0))
        extra.append(max(-rest, 0))
    words = {"strides": list(stride), "dilations": list(dilation), "pads": lows + highs}
    return words | ({"output_padding": extra} if any(extra) else {})


def _depthwise_transposed(writer, layer, x):
    x = writer.first(x, layer.data_format)
    y = _transposed_stage(writer, layer, x, layer.weight, layer.bias)
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


def _standard_transposed(writer, layer, x):
    x = writer.first(x, layer.data_format)
    outputs = layer.out_channels, *layer.output_sizes(x.shape[2:])
    words = _crop_words(layer, x.shape[2:], outputs[1:])
    y = _product(writer, "ConvTranspose", x, layer.weight.swapaxes(0, 1), layer.bias, outputs, "", **words)
    return writer.back(activated(writer, layer.activation, y), layer.data_format)


# ---- other layers --------------------------------------------------------------------------------
def _linear(writer, layer, x):
    y = linear(writer, x, layer.weight, layer.bias)
    return activated(writer, layer.activation, y)


def linear(writer, x, weight, bias, name=""):
    """A linear map of the last axis."""
    shape = (*x.shape[:-1], len(weight))
    y = writer.add("MatMul", [x, writer.constant(weight.T, f"{name}weight")], shape)
    return y if bias is None else writer.add("Add", [y, writer.constant(bias, f"{name}bias")], shape)


def _batch_norm(writer, layer, x):
    if layer.data_format == "channels_last" and len(x.shape) > 2:
        scale, shift = layer.affine()
        y = writer.add("Mul", [x, writer.constant(scale, "scale")], x.shape)
        return writer.add("Add", [y, writer.constant(shift, "shift")], x.shape)
    names = "weight", "bias", "running_mean", "running_var"
    arrays = [writer.constant(getattr(layer, name), name) for name in names]
    return writer.add("BatchNormalization", [x, *arrays], x.shape, epsilon=layer.eps)


def _layer_norm(writer, layer, x):
    first, rank = layer.data_format != "channels_last" and len(x.shape) > 2, len(x.shape)
    x = writer.transposed(x, (0, *range(2, rank), 1)) if first else x
    arrays = [writer.constant(getattr(layer, name), name) for name in ("weight", "bias")]
    y = writer.add("LayerNormalization", [x, *arrays], x.shape, axis=-1, epsilon=layer.eps)
    return writer.transposed(y, (0, rank - 1, *range(1, rank - 1))) if first else y


def _pool(writer, layer, x):
    shape = layer.output_shape(x.shape)
    x = writer.first(x, layer.data_format)
    sizes = shape[_spatial(layer)]
    _, words = _window_words(writer, layer, x, "zeros")
    words["kernel_shape"] = list(layer.window.kernel)
    operator = "MaxPool"
    if isinstance(layer, AveragePool):
        operator, words["count_include_pad"] = "AveragePool", int(layer.count_padding)
        if set(words["dilations"]) == {1}:
            del words["dilations"]
        else:
            writer.opset = max(writer.opset, 19)
    return writer.back(writer.add(operator, [x], (*x.shape[:2], *sizes), **words), layer.data_format)


def _global_pool(writer, layer, x):
    shape = layer.output_shape(x.shape)
    axes = range(1, len(x.shape) - 1) if layer.data_format == "channels_last" else range(2, len(x.shape))
    inputs = [x, writer.integers(axes, "axes")]
    return writer.add("ReduceMean", inputs, shape, keepdims=int(layer.keepdims))


def _upsample(writer, layer, x):
    x = writer.first(x, layer.data_format)
    factors = layer.factor if layer.each else layer.factor * (len(x.shape) - 2)
    sizes = [size * factor for size, factor in zip(x.shape[2:], factors, strict=True)]
    return writer.back(resized(writer, x, sizes, layer.mode), layer.data_format)


def _pixel_shuffle(writer, layer, x):
    x, rank, factor = writer.first(x, layer.data_format), layer.rank, layer.factor
    channels = x.shape[1] // prod(factor)
    sizes = [size * times for size, times in zip(x.shape[2:], factor, strict=True)]
    if rank == 2 and factor[0] == factor[1]:
        shape = x.shape[0], channels, *sizes
        y = writer.add("DepthToSpace", [x], shape, blocksize=factor[0], mode="CRD")
        return writer.back(y, layer.data_format)
    y = reshaped(writer, x, (channels, *factor, *x.shape[2:]))
    order = [2 + rank + axis // 2 if axis % 2 == 0 else 2 + axis // 2 for axis in range(2 * rank)]
    y = writer.transposed(y, (0, 1, *order))
    return writer.back(reshaped(writer, y, (channels, *sizes)), layer.data_format)


def reshaped(writer, x, sample):
    """Each sample in another shape."""
    return writer.add("Reshape", [x, writer.integers((0, *sample), "shape")], (x.shape[0], *sample))


def _reshape(writer, layer, x):
    return reshaped(writer, x, layer.output_shape(x.shape)[1:])


def _position_embedding(writer, layer, x):
    return writer.add("Add", [x, writer.constant(layer.weight, "weight")], x.shape)


def _self_attention(writer, layer, x):
    last = layer.data_format == "channels_last"
    rank, heads, size = len(x.shape), layer.heads, layer.channels // layer.heads
    moved = x if last else writer.transposed(x, (0, *range(2, rank), 1))
    count = prod(moved.shape[1:-1])
    tokens = moved if rank == 3 else reshaped(writer, moved, (count, layer.channels))
    every = linear(writer, tokens, layer.in_weight, layer.in_bias, "in_")
    every = writer.transposed(reshaped(writer, every, (count, 3, heads, size)), (2, 0, 3, 1, 4))
    parts = [
        writer.add("Gather", [every, writer.constant(i, "part", np.int64)], every.shape[1:], axis=0)
        for i in range(3)
    ]
    queries, keys, values = parts
    scores = writer.add("MatMul", [queries, writer.transposed(keys, (0, 1, 3, 2))], (*keys.shape[:3], count))
    scores = writer.add("Mul", [scores, writer.constant(1 / sqrt(size), "scale")], scores.shape)
    weights = writer.add("Softmax", [scores], scores.shape, axis=-1)
    means = writer.transposed(writer.add("MatMul", [weights, values], values.shape), (0, 2, 1, 3))
    y = linear(
        writer, reshaped(writer, means, (count, layer.channels)), layer.out_weight, layer.out_bias, "out_"
    )
    y = y if rank == 3 else reshaped(writer, y, moved.shape[1:])
    return y if last else writer.transposed(y, (0, rank - 1, *range(1, rank - 1)))


def _graph_conv(writer, layer, x):
    """Features spread by the powers of an adjacency, which is a second, dense input."""
    nodes = x.shape[1]
    if ("adjacency", (nodes, nodes)) not in writer.inputs:
        if any(name == "adjacency" for name, _ in writer.inputs):
            raise NotImplementedError("save_onnx: graph layers of different numbers of nodes in one network")
        writer.input("adjacency", (nodes, nodes), free=False)
    if layer.depthwise_weight is None:
        y = writer.add("MatMul", ["adjacency", x], x.shape)
    else:
        y, spread = None, x
        for power, taps in enumerate(layer.depthwise_weight.T):
            spread = writer.add("MatMul", ["adjacency", spread], x.shape) if power else x
            part = writer.add("Mul", [spread, writer.constant(taps, "taps")], x.shape)
            y = part if y is None else writer.add("Add", [y, part], x.shape)
    y = activated(writer, layer.depthwise_activation, y)
    y = linear(writer, y, layer.pointwise_weight, layer.pointwise_bias, "pointwise_")
    return activated(writer, layer.activation, y)


TABLE = {
    nn.Activation: lambda writer, layer, x: activated(writer, layer.name, x),
    nn.BatchNorm: _batch_norm,
    nn.GlobalAveragePool: _global_pool,
    nn.Identity: lambda writer, layer, x: x,
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    nn.PositionEmbedding: _position_embedding,
    nn.Reshape: _reshape,
    nn.SelfAttention: _self_attention,
    nn.SeparableGraphConv: _graph_conv,
    nn.Upsample: _upsample,
    AveragePool: _pool,
    Conv: _standard,
    ConvTranspose: _standard_transposed,
    DepthwiseConv: _depthwise,
    DepthwiseConvTranspose: _depthwise_transposed,
    MaxPool: _pool,
    PixelShuffle: _pixel_shuffle,
    PointwiseConv: _pointwise,
    RandomLayer: lambda writer, layer, x: x,
    SeparableConv: _separable,
    SeparableConvTranspose: _separable,
} | COMBINATORS
