"""A row as an ONNX model with constant weights."""

import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def build_model(row, arrays):
    """Serialised model, from "x" to "y"."""
    depthwise = arrays.depthwise
    if not row.transposed:
        depthwise = depthwise.reshape(row.hidden_channels, 1, *row.kernel)
    weights = [numpy_helper.from_array(depthwise, "depthwise")]
    nodes = [_depthwise_node(row, "hidden" if row.separable else "y")]
    if row.separable:
        pointwise = arrays.pointwise.reshape(*arrays.pointwise.shape, *(1,) * row.rank)
        weights.append(numpy_helper.from_array(pointwise, "pointwise"))
        nodes.append(helper.make_node("Conv", ["hidden", "pointwise"], ["y"]))
    kind = TYPES[row.dtype]
    x = helper.make_tensor_value_info("x", kind, (row.batch, row.channels, *row.spatial))
    y = helper.make_tensor_value_info("y", kind, (row.batch, row.result_channels, *row.output))
    graph = helper.make_graph(nodes, "row", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _depthwise_node(row, output):
    return helper.make_node(
        "ConvTranspose" if row.transposed else "Conv",
        ["x", "depthwise"],
        [output],
        kernel_shape=row.kernel,
        strides=(row.stride,) * row.rank,
        dilations=(row.dilation,) * row.rank,
        pads=row.padding * 2,
        group=row.channels,
    )
