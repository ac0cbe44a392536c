"""Networks written as ONNX files: a writer of nodes, which looks each layer up in the table of exporters."""

from dataclasses import dataclass

import numpy as np
from onnx import helper, numpy_helper

from .. import __version__
from ..files import replacing
from ..nn import Layer
from ..nn.windows import channel_axis

_OPSET = 18
_LIMIT = 2**31 - 1  # bytes of a protobuf message


@dataclass(frozen=True)
class Value:
    """A value of the file: its name, and its whole shape with the batch axis as it was given."""

    name: str
    shape: tuple


class Writer:
    """The nodes and constants of a file in the making.

    Parameters
    ----------
    dtype : numpy.dtype
        Of all values.
    table : dict
        Layer class to ``exporter(writer, layer, value) -> value``; a tuple of values where the layer takes or
        gives a tuple.
    """

    def __init__(self, dtype, table):
        self.dtype = dtype
        self.opset = _OPSET
        self.nodes, self.constants, self.inputs = [], [], []
        self.path = []
        self._table = table
        self._taken = set()
        self._turned = {}

    # ---- values ---------------------------------------------------------------------------------
    def input(self, name, shape, free=True):
        """An input of the network, whose first axis is the batch unless it is not `free`."""
        self._taken.add(name)
        self.inputs.append((name, ("N", *shape[1:]) if free else shape))
        return Value(name, tuple(shape))

    def constant(self, array, name, dtype=None):
        """A constant of the file; of the file's dtype unless another is given. Returns its name."""
        array = np.asarray(array, self.dtype if dtype is None else dtype, order="C")
        name = self._fresh(name)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, values, name):
        return self.constant(list(values), name, np.int64)

    def add(self, operator, inputs, shape, **attributes):
        """A node; inputs are values or names. Returns its result, of that shape."""
        names = [each.name if isinstance(each, Value) else each for each in inputs]
        output = self._fresh(operator.lower())
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(operator, names, [output], output, **given))
        return Value(output, tuple(shape))

    def _fresh(self, name):
        name = ".".join([*self.path, name])
        unique, count = name, 1
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique

    # ---- layers ---------------------------------------------------------------------------------
    def layer(self, layer, value, name=None):
        """The nodes of a layer; the value that it gives."""
        if name is not None:
            self.path.append(name)
        exporter = self._exporter(layer)
        if not layer.children:
            layer.output_shape(shape_of(value))  # says what is wrong with it, as a call would
        result = exporter(self, layer, value)
        if name is not None:
            self.path.pop()
        return result

    def _exporter(self, layer):
        kind = type(layer)
        for base in kind.__mro__:
            if base in self._table:
                # a subclass that calculates in its own way is another layer
                if kind.__call__ is base.__call__ and kind.vjp is base.vjp:
                    return self._table[base]
                break
        where = ".".join(self.path) or "the layer"
        raise NotImplementedError(
            f"save_onnx: {where} ({layer!r}) is a {kind.__name__}, which has no standard ONNX operators; "
            f"known are {', '.join(sorted(base.__name__ for base in self._table))}"
        )

    # ---- layouts --------------------------------------------------------------------------------
    def transposed(self, value, order):
        shape = tuple(value.shape[axis] for axis in order)
        back = self._turned.get((value.name, tuple(order)))
        if back is not None:
            return Value(back, shape)
        result = self.add("Transpose", [value], shape, perm=list(order))
        self._turned[result.name, tuple(np.argsort(order).tolist())] = value.name
        return result

    def first(self, value, data_format):
        """A map with the channels behind the batch axis."""
        rank = len(value.shape)
        if channel_axis(data_format) == 1 or rank < 3:
            return value
        return self.transposed(value, (0, rank - 1, *range(1, rank - 1)))

    def back(self, value, data_format):
        """From channels first to the layout asked for."""
        rank = len(value.shape)
        if channel_axis(data_format) == 1 or rank < 3:
            return value
        return self.transposed(value, (0, *range(2, rank), 1))


def shape_of(value):
    """The shape of a value, or those of a tuple of values."""
    return tuple(map(shape_of, value)) if isinstance(value, tuple) else value.shape


def export(layer, path, input_shape):
    """`dsconv.io.save_onnx`, with the package `onnx` there."""
    from .onnx_exporters import TABLE

    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a dsconv.nn.Layer, got {type(layer).__name__}")
    writer = Writer(_dtype(layer), TABLE)
    several = bool(input_shape) and isinstance(input_shape[0], (tuple, list))
    shapes = [tuple(each) for each in input_shape] if several else [tuple(input_shape)]
    values = [writer.input(f"x{i}" if several else "x", shape) for i, shape in enumerate(shapes)]
    result = writer.layer(layer, tuple(values) if several else values[0])
    _write(_model(writer, result), path)


def _dtype(layer):
    """Of the file: what the parameters promote to."""
    kinds = {array.dtype for array in (layer.parameters | layer.buffers).values()}
    dtype = np.result_type(*kinds) if kinds else np.dtype(np.float32)
    if dtype not in (np.float16, np.float32, np.float64):
        raise NotImplementedError(f"layer: parameters must be float16, float32 or float64, got {dtype}")
    return dtype


def _model(writer, result):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(writer.dtype))
    several = isinstance(result, tuple)
    outputs = []
    for position, value in enumerate(result if several else (result,)):
        name = f"y{position}" if several else "y"
        # a name of its own, where the value may be an input, or given twice
        writer.nodes.append(helper.make_node("Identity", [value.name], [name], name))
        outputs.append(helper.make_tensor_value_info(name, kind, ("N", *value.shape[1:])))
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in writer.inputs]
    graph = helper.make_graph(writer.nodes, "dsconv", inputs, outputs, writer.constants)
    opsets = [helper.make_opsetid("", writer.opset)]
    return helper.make_model(
        graph, opset_imports=opsets, producer_name="dsconv", producer_version=__version__,
        ir_version=helper.find_min_ir_version_for(opsets),
    )  # fmt: skip


def _write(model, path):
    size = model.ByteSize()
    if size > _LIMIT:
        raise ValueError(f"layer: an ONNX file holds at most {_LIMIT} bytes, this network needs {size}")
    with replacing(path) as file:
        file.write(model.SerializeToString())
