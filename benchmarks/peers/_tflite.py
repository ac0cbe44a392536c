"""A row as a LiteRT (TensorFlow Lite) model with constant weights."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"


class Graph:
    """The lists of a model file, filled in the order of the operators."""

    def __init__(self):
        self.buffers = [schema.BufferT()]
        self.tensors = []
        self.codes = []
        self.operators = []

    def tensor(self, name, shape, data=None):
        """Index of a new tensor; constant when it has data."""
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = list(shape)
        integers = data is not None and data.dtype == np.int32
        tensor.type = schema.TensorType.INT32 if integers else schema.TensorType.FLOAT32
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name, data):
        return self.tensor(name, data.shape, data)

    def operator(self, kind, inputs, output, options=None, version=1):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = version
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.codes.append(code)
        self.operators.append(operator)

    def serialise(self, inputs, outputs):
        subgraph = schema.SubGraphT()
        subgraph.tensors, subgraph.operators = self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version = 3
        model.buffers, model.operatorCodes, model.subgraphs = self.buffers, self.codes, [subgraph]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())


def build_model(row, arrays):
    """Serialised model of a rank 2 row, channels last."""
    graph = Graph()
    x = graph.tensor("x", (row.batch, *row.spatial, row.channels))
    source = x if _is_same(row) else _pad(graph, row, x)
    y = _depthwise(graph, row, arrays.depthwise, source)
    if row.separable:
        y = _pointwise(graph, row, arrays.pointwise, y)
    return graph.serialise([x], [y])


def _is_same(row):
    """Whether the padding is the format's own SAME, which puts the odd pixel at the end."""
    for size, kernel, padding, output in zip(row.spatial, row.kernel, row.padding, row.output, strict=True):
        total = max((output - 1) * row.stride + row.dilation * (kernel - 1) + 1 - size, 0)
        if output != -(-size // row.stride) or total // 2 != padding:
            return False
    return True


def _pad(graph, row, x):
    spatial = [(p, p) for p in row.padding]
    sizes = [n + 2 * p for n, p in zip(row.spatial, row.padding, strict=True)]
    amounts = graph.constant("padding", np.array([(0, 0), *spatial, (0, 0)], np.int32))
    padded = graph.tensor("padded", (row.batch, *sizes, row.channels))
    graph.operator("PAD", [x, amounts], padded, schema.PadOptionsT())
    return padded


def _depthwise(graph, row, weight, x):
    options = schema.DepthwiseConv2DOptionsT()
    options.padding = schema.Padding.SAME if _is_same(row) else schema.Padding.VALID
    options.strideH = options.strideW = row.stride
    options.dilationHFactor = options.dilationWFactor = row.dilation
    options.depthMultiplier = row.multiplier
    taps = weight.reshape(row.hidden_channels, *row.kernel).transpose(1, 2, 0)[None]
    weights = graph.constant("depthwise", taps)
    bias = graph.constant("depthwise_bias", np.zeros(row.hidden_channels, np.float32))
    y = graph.tensor("hidden", (row.batch, *row.output, row.hidden_channels))
    graph.operator("DEPTHWISE_CONV_2D", [x, weights, bias], y, options, version=2)
    return y


def _pointwise(graph, row, weight, x):
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH = options.strideW = 1
    weights = graph.constant("pointwise", weight[:, None, None, :])
    bias = graph.constant("pointwise_bias", np.zeros(row.out_channels, np.float32))
    y = graph.tensor("y", (row.batch, *row.output, row.out_channels))
    graph.operator("CONV_2D", [x, weights, bias], y, options)
    return y
