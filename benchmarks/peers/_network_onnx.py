"""A traced network as an ONNX model."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..arrays import Unsupported
from ..trace import steps


def build_model(net, shape):
    """Serialised model of a folded network with channels first, from "x" to "y"."""
    graph = _Graph()
    found = steps(net, shape)
    for step in found:
        graph.add(step)
    # the names of the input and of the last result
    renamed = {graph.name(0): "x", graph.name(found[-1].output): "y"}
    for node in graph.nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, net.output_shape(shape))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "network", [x], [y], graph.constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


class _Graph:
    def __init__(self):
        self.nodes, self.constants = [], []

    @staticmethod
    def name(number):
        return f"map{number}"

    def constant(self, array):
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def add(self, step):
        inputs, output = [self.name(each) for each in step.inputs], self.name(step.output)
        before = f"{output}_before" if step.activation else output
        if step.kind == "add":
            self.node("Add", inputs, output)
        elif step.kind == "mean":
            self.node("GlobalAveragePool", inputs, f"{output}_map")
            self.node("Flatten", [f"{output}_map"], output)
        else:
            operands = inputs + [self.constant(each) for each in (step.weight, step.bias) if each is not None]
            if step.kind == "linear":
                self.node("Gemm", operands, before, transB=1)
            else:
                self.convolution(step, operands, before)
        if step.activation:
            self.activation(step.activation, before, output)

    def convolution(self, step, operands, output):
        self.node(
            "Conv",
            operands,
            output,
            kernel_shape=step.window.kernel,
            strides=step.window.stride,
            dilations=step.window.dilation,
            pads=[low for low, _ in step.pads] + [high for _, high in step.pads],
            group=step.groups,
        )

    def activation(self, word, before, output):
        if word == "relu":
            self.node("Relu", [before], output)
        elif word == "relu6":
            bounds = [self.constant(np.float32(bound)) for bound in (0, 6)]
            self.node("Clip", [before, *bounds], output)
        else:
            raise Unsupported(f"no rule for the activation {word}")
