"""Standard operators that the evaluator is slow or wrong at, in NumPy, and which nodes they take over.

`ADOPTED` maps an operator to a rule: from the graph and a node to the attributes to add, or None where the
node stays with the evaluator.
"""

import numpy as np
from onnx import helper

from ..functional import pointwise_conv1d
from ..nn.windows import activate
from .onnx_control import CONTROL
from .onnx_convolution import Operator
from .onnx_graph import applied, attributes_of, own_node
from .onnx_pools import POOLS, pool_rule
from .onnx_recurrent import RECURRENT, recurrent_rule
from .onnx_resize import RESIZERS, resize_rule
from .onnx_shapes import SHAPES

_NUMPY = {
    "Abs": np.abs,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Equal": np.equal,
    "Exp": np.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "Add": np.add,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Sin": np.sin,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Where": np.where,
}


class Elementwise(Operator):
    """A function of NumPy."""

    function = None

    def compute(self, *inputs):
        return self.function(*inputs)


class Div(Operator):
    """A quotient, which ONNX cuts off towards zero where it is an integer."""

    def compute(self, x, y):
        if x.dtype.kind not in "iu":
            return np.true_divide(x, y)
        quotient = np.abs(x) // np.abs(y)
        return np.where((x < 0) != (y < 0), -quotient, quotient).astype(x.dtype)


class Pow(Operator):
    """Powers, in the type of the base; squares are products."""

    def compute(self, x, y):
        if y.size == 1 and y.ndim <= x.ndim and y.item() == 2:
            return np.square(x)
        return np.power(x, y).astype(x.dtype, copy=False)


class Extreme(Operator):
    """The greatest or the least of several arrays."""

    function = None

    def compute(self, first, *others):
        for other in others:
            first = self.function(first, other)
        return first


class Clip(Operator):
    """Values between two bounds, each of which may be absent."""

    def compute(self, x, low=None, high=None):
        low = self.given("min", None) if low is None else low
        high = self.given("max", None) if high is None else high
        x = x if low is None else np.maximum(x, np.asarray(low, x.dtype))
        return x if high is None else np.minimum(x, np.asarray(high, x.dtype))


class HardSigmoid(Operator):
    """A line between 0 and 1, of any slope."""

    def setup(self):
        self.line = self.given("alpha", 0.2), self.given("beta", 0.5)

    def compute(self, x):
        slope, shift = map(x.dtype.type, self.line)
        y = x * slope
        y += shift
        return np.clip(y, 0, 1, out=y)


class Erf(Operator):
    """The error function, from the engine's ``gelu(x) = x*(1 + erf(x/sqrt(2)))/2``, and a series near 0."""

    def compute(self, x):
        z = np.clip(x, -6, 6) * x.dtype.type(np.sqrt(2))
        far = 2 * activate("gelu", z) / z - 1
        square = x * x
        near = x * x.dtype.type(2 / np.sqrt(np.pi)) * (1 - square * (1 / 3 - square * (0.1 - square / 42)))
        return np.where(np.abs(x) < 0.1, near, far).astype(x.dtype)


class Softmax(Operator):
    """Along one axis, or before version 13 along all from one axis on."""

    def setup(self):
        self.axis = self.given("axis", -1)

    def compute(self, x):
        axes = tuple(range(self.axis % x.ndim, x.ndim)) if self.given("coerced", 0) else self.axis
        y = x - x.max(axis=axes, keepdims=True)
        np.exp(y, out=y)
        y /= y.sum(axis=axes, keepdims=True)
        return y


def _product(a, b):
    """A matrix product; one of narrow floats goes through float32, which NumPy has a fast one for."""
    wide = (
        np.result_type(a.dtype, np.float32) if a.dtype.itemsize == 2 and a.dtype.kind not in "iu" else a.dtype
    )
    return (a.astype(wide, copy=False) @ b.astype(wide, copy=False)).astype(a.dtype, copy=False)


class MatMul(Operator):
    """A matrix product of the last two axes, which ONNX Runtime's may turn before, and scale."""

    def setup(self):
        self.turned = self.given("transA", 0), self.given("transB", 0)
        self.scale = self.given("alpha", 1.0)

    def compute(self, a, b):
        a, b = (x.swapaxes(-1, -2) if turn else x for x, turn in zip((a, b), self.turned, strict=True))
        y = _product(a, b)
        return y if self.scale == 1 else y * y.dtype.type(self.scale)


class Gemm(Operator):
    """A matrix product, scaled, and another matrix added."""

    def setup(self):
        self.scales = self.given("alpha", 1.0), self.given("beta", 1.0)
        self.turned = self.given("transA", 0), self.given("transB", 0)

    def compute(self, a, b, c=None):
        if self.scales == (1, 1) and self.turned == (0, 1) and len(a) > 1 and a.dtype == b.dtype:
            # for few rows NumPy's product takes several times as long by a matrix that is turned
            vector = c is not None and c.shape == (len(b),)
            y = pointwise_conv1d(a, b, c if vector else None, data_format="channels_last")
            return y if c is None or vector else y + c
        y = _product(a.T if self.turned[0] else a, b.T if self.turned[1] else b)
        if self.scales[0] != 1:
            y *= y.dtype.type(self.scales[0])
        if c is not None:
            y += c if self.scales[1] == 1 else c * c.dtype.type(self.scales[1])
        return y


class BatchNormalization(Operator):
    """Scale and shift per channel, from running statistics."""

    def compute(self, x, weight, bias, mean, variance):
        shape = -1, *(1,) * (x.ndim - 2)
        scale = weight / np.sqrt(variance + variance.dtype.type(self.given("epsilon", 1e-5)))
        y = x * scale.reshape(shape).astype(x.dtype, copy=False)
        y += (bias - mean * scale).reshape(shape).astype(x.dtype, copy=False)
        return y


class LayerNormalization(Operator):
    """The values from one axis on normalised, then scaled and shifted."""

    def compute(self, x, weight, bias=None):
        axes = tuple(range(self.given("axis", -1) % x.ndim, x.ndim))
        y = x - x.mean(axis=axes, keepdims=True)
        variance = np.square(y).mean(axis=axes, keepdims=True)
        y /= np.sqrt(variance + x.dtype.type(self.given("epsilon", 1e-5)))
        y *= weight
        return y if bias is None else y + bias


class Reduction(Operator):
    """A function of NumPy along some axes, which are an attribute or the second input."""

    function = None

    def compute(self, x, axes=None):
        axes = self.given("axes", None) if axes is None else axes.ravel().tolist()
        if axes is None or len(axes) == 0:
            if self.given("noop_with_empty_axes", 0):
                return x
            axes = range(x.ndim)
        y = self.function(x, axis=tuple(axes), keepdims=bool(self.given("keepdims", 1)))
        return y.astype(x.dtype, copy=False)


def _extreme(function, of_nothing):
    """A maximum or minimum, which of no values at all is the least or the greatest of the type."""

    def reduced(x, axis, keepdims):
        if x.size:
            return function(x, axis=axis, keepdims=keepdims)
        kind = x.dtype.kind
        bounds = {"b": (False, True), "f": (-np.inf, np.inf)}.get(kind)
        if bounds is None:
            bounds = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
        return function(x, axis=axis, keepdims=keepdims, initial=bounds[of_nothing])

    return reduced


_REDUCTIONS = {"ReduceMean": np.mean, "ReduceSum": np.sum}
_REDUCTIONS |= {"ReduceMax": _extreme(np.max, 0), "ReduceMin": _extreme(np.min, 1)}
_EXTREMES = {"Max": np.maximum, "Min": np.minimum}


def _kinds(base, table):
    """A class for each function of a table."""
    return [type(name, (base,), {"function": staticmethod(each)}) for name, each in table.items()]


# ---- which nodes ---------------------------------------------------------------------------------
def _softmax_rule(graph, node):
    old = graph.version < 13
    return {"axis": attributes_of(node).get("axis", 1 if old else -1), "coerced": int(old)}


def _norm_rule(graph, node):
    return None if attributes_of(node).get("training_mode", 0) or len(node.output) > 1 else {}


def _modern(graph, node):
    """Broadcasting is NumPy's since version 7."""
    return {} if graph.version >= 7 else None


def _cast_rule(graph, node):
    """Between the types that NumPy has itself."""
    names = {"FLOAT", "DOUBLE", "INT64", "INT32", "UINT8", "BOOL"}
    target = attributes_of(node).get("to", 0)
    known = {getattr(helper.TensorProto, name) for name in names}
    return {"dtype": str(helper.tensor_dtype_to_np_dtype(target))} if target in known else None


_LEFT = "Clip", "Div", "Erf", "Gemm", "HardSigmoid", "MatMul", "Pow"
ADOPTED = dict.fromkeys([*_NUMPY, *_EXTREMES, *_REDUCTIONS, *SHAPES, *CONTROL, *_LEFT], _modern)
ADOPTED |= {"Softmax": _softmax_rule, "BatchNormalization": _norm_rule, "LayerNormalization": _norm_rule}
ADOPTED |= dict.fromkeys(POOLS, pool_rule) | dict.fromkeys(RECURRENT, recurrent_rule)
ADOPTED |= dict.fromkeys(RESIZERS, resize_rule) | {"Cast": _cast_rule}


def adopt_operators(graph):
    """Nodes that an operator here takes over get our domain."""
    for node in list(graph.nodes):
        rule = ADOPTED.get(node.op_type)
        if node.domain or rule is None:
            continue
        more = applied(rule, graph, node)
        if more is not None:
            words = attributes_of(node) | more
            graph.replace([node], [own_node(node.op_type, node.input, node.output, node.name, **words)])


OPERATORS = [
    *_kinds(Elementwise, _NUMPY), *_kinds(Extreme, _EXTREMES), *_kinds(Reduction, _REDUCTIONS),
    *SHAPES.values(), *CONTROL.values(), *POOLS.values(), *RECURRENT.values(), *RESIZERS.values(),
    BatchNormalization, Clip, Div, Erf, Gemm, HardSigmoid, LayerNormalization, MatMul, Pow, Softmax,
]  # fmt: skip
