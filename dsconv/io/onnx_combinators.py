"""Combinators in ONNX operators: what joins, splits and resizes the results of layers."""

import numpy as np

from .. import nn
from ..nn.resize import sources
from ..nn.windows import spatial_sizes
from .onnx_padding import gathered


def _children(writer, layer, values):
    pairs = zip(layer.children.items(), values, strict=True)
    return [writer.layer(child, value, name) for (name, child), value in pairs]


def _sequential(writer, layer, x):
    for name, child in layer.children.items():
        x = writer.layer(child, x, name)
    return x


def _parts(writer, layer, x):
    """What is joined: results of the branches on one input, or the values of a tuple."""
    return _children(writer, layer, [x] * len(layer.children)) if layer.children else list(x)


def _folded(operator):
    """Two at a time."""

    def exporter(writer, layer, x):
        parts = _parts(writer, layer, x)
        layer.join_shapes([part.shape for part in parts])
        total = parts[0]
        for part in parts[1:]:
            total = writer.add(operator, [total, part], np.broadcast_shapes(total.shape, part.shape))
        return total

    return exporter


def _joined(writer, layer, parts):
    shape = layer.join_shapes([part.shape for part in parts])
    return writer.add("Concat", parts, shape, axis=layer.axis % len(shape))


def _concat(writer, layer, x):
    return _joined(writer, layer, _parts(writer, layer, x))


def _split(writer, layer, x):
    begin, parts = 0, []
    axis = layer.axis % len(x.shape)
    for shape in layer.input_shapes(x.shape):
        parts.append(_sliced(writer, x, {axis: (begin, begin + shape[axis])}))
        begin += shape[axis]
    return _joined(writer, layer, _children(writer, layer, parts))


def _sliced(writer, x, ranges):
    """A part of some axes: {axis: (begin, end)}."""
    begins, ends = zip(*ranges.values(), strict=True)
    inputs = [writer.integers(each, name) for each, name in ((begins, "begins"), (ends, "ends"))]
    shape = [
        ranges[axis][1] - ranges[axis][0] if axis in ranges else size for axis, size in enumerate(x.shape)
    ]
    return writer.add("Slice", [x, *inputs, writer.integers(ranges, "axes")], shape)


def _parallel(writer, layer, x):
    layer.input_shapes(x)  # a tuple of as many
    return tuple(_children(writer, layer, x))


def _same_size(writer, layer, x):
    target = spatial_sizes(x.shape, layer.data_format)
    inner = writer.layer(layer.body, x, "body")
    if layer.mode == "crop":
        layer._window(inner.shape, target)
        start = 1 if layer.data_format == "channels_last" else 2
        ranges = {axis: (0, size) for axis, size in enumerate(target, start) if inner.shape[axis] != size}
        return _sliced(writer, inner, ranges) if ranges else inner
    inner = resized(writer, writer.first(inner, layer.data_format), target, layer.mode)
    return writer.back(inner, layer.data_format)


def resized(writer, x, sizes, mode):
    """x (N, C, *sizes) at other spatial sizes."""
    have = x.shape[2:]
    if tuple(sizes) == have:
        return x
    if 0 in have:
        raise ValueError(f"input_shape: an empty axis cannot be resized, got {x.shape}")
    multiples = not any(target % size for size, target in zip(have, sizes, strict=True))
    # off multiples there are ties between neighbours, which runtimes round in different ways
    if mode == "nearest" and not multiples:
        return _nearest(writer, x, sizes)
    words = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if mode == "nearest":
        words = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    shape = *x.shape[:2], *sizes
    if multiples:
        factors = [1, 1, *(target // size for size, target in zip(have, sizes, strict=True))]
        inputs = [x, "", writer.constant(factors, "scales", np.float32)]
    else:
        batch = writer.add("Shape", [x], (1,), end=1)
        inputs = [x, "", "", writer.add("Concat", [batch, writer.integers(shape[1:], "sizes")], (4,), axis=0)]
    return writer.add("Resize", inputs, shape, **words)


def _nearest(writer, x, sizes):
    for axis, (size, target) in enumerate(zip(x.shape[2:], sizes, strict=True), 2):
        if size != target:
            x = gathered(writer, x, axis, sources(size, target, "nearest")[0])
    return x


def _compiled(writer, layer, x):
    return writer.layer(layer.layer, x)


COMBINATORS = {
    nn.Compiled: _compiled,
    nn.Concat: _concat,
    nn.Parallel: _parallel,
    nn.Product: _folded("Mul"),
    nn.SameSize: _same_size,
    nn.Sequential: _sequential,
    nn.Split: _split,
    nn.Sum: _folded("Add"),
}
