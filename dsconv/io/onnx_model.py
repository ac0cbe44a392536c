"""A loaded network: the evaluator of the package `onnx`, with our operators, as a function."""

import numpy as np
from onnx import TensorProto, helper
from onnx.defs import onnx_opset_version
from onnx.reference import ReferenceEvaluator

from . import onnx_convolution, onnx_operators, onnx_runtime_nodes
from .onnx_graph import DOMAIN, Graph, fold_constants, used_names
from .onnx_read import described, read_model, subgraphs
from .onnx_rewrite import rewrite

_KNOWN = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"}
OWN = [*onnx_convolution.OPERATORS, *onnx_operators.OPERATORS]


class _Evaluator(ReferenceEvaluator):
    """The evaluator, which lets go of a value after its last use, and says which node failed."""

    def _init(self):
        super()._init()
        for array in self.rt_inits_.values():
            array.flags.writeable = False  # a result may be one of them, or a view
        if self.onnx_graph_ is not None:
            self.inits_ = []  # the arrays hold the same once more
            del self.onnx_graph_.initializer[:]
        self._plan()

    def _load_impl(self, node, input_types=None):
        try:
            return super()._load_impl(node, input_types)
        except (NotImplementedError, RuntimeError, ValueError, KeyError) as error:
            if type(error).__name__ == "RuntimeContextError":
                raise
            raise NotImplementedError(
                f"{described(node)}: there is no implementation of this operator; it comes neither with "
                f"dsconv nor with the evaluator of the package onnx ({_first_line(error)})"
            ) from None

    def _plan(self):
        """For each node: what it takes and makes, and the values whose last use it is."""
        last, kept = {}, {"", *self.output_names, *self.rt_inits_, *self.input_names}
        for position, node in enumerate(self.rt_nodes_):
            for name in [*used_names(node.onnx_node), *node.output]:
                last[name] = position
        done = [[] for _ in self.rt_nodes_]
        for name, position in last.items():
            if name not in kept:
                done[position].append(name)
        self._steps = [
            (node, tuple(node.input), tuple(node.output), tuple(drop), node.need_context())
            for node, drop in zip(self.rt_nodes_, done, strict=True)
        ]

    def run(self, output_names, feed_inputs, attributes=None, **_):
        results = {"": None, **self.rt_inits_, **feed_inputs}
        for node, inputs, outputs, drop, context in self._steps:
            words = {"linked_attributes": attributes} if node.has_linked_attribute and attributes else {}
            if context:
                words["context"] = results
            try:
                values = node.run(*[results[name] for name in inputs], **words)
            except Exception as error:
                raise _failure(node, error) from error
            results.update(zip(outputs, values, strict=False))
            results[""] = None  # an output that is not asked for, and an input that is not given
            for name in drop:
                results.pop(name, None)
        return [results[name] for name in output_names or self.output_names]


def _failure(node, error):
    """An error of a node as one that names it, once; what an operator raises may be of any type."""
    if getattr(error, "names_node", False):
        return error
    kinds = (ValueError, NotImplementedError, MemoryError)
    kind = next((each for each in kinds if isinstance(error, each)), ValueError)
    cause = error.__cause__ if isinstance(error, TypeError) and error.__cause__ else error
    failure = kind(f"{described(node.onnx_node)}: {_first_line(cause) or type(error).__name__}")
    failure.names_node = True
    return failure


def _first_line(error):
    return str(error).strip().split("\n")[0]


class Model:
    """A network from an ONNX file, as `dsconv.io.load_onnx` returns it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Attributes
    ----------
    inputs, outputs : dict
        Name to (dtype, shape); a size that is free is a name, or None. The shape of an output is what the
        file says, and None where it says nothing.
    operators : list of str
        What runs, in order, after the rewrites; the insides of branches and loops not among it.

    Raises
    ------
    ValueError, NotImplementedError
        As `dsconv.io.load_onnx`; of a call, for inputs that do not fit, and for a node that fails, which is
        named.
    TypeError
        Of a call, for an input that is no array of numbers.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from dsconv import io, nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.onnx")
    ...     io.save_onnx(nn.Linear(3, 2, rng=0), path, (1, 3))
    ...     network = io.load_onnx(path)
    >>> network.inputs
    {'x': ('float32', ('N', 3))}
    >>> network(np.ones((5, 3), np.float32)).shape, network(x=np.ones((1, 3), np.float32)).shape
    ((5, 2), (1, 2))
    """

    def __init__(self, path):
        model = read_model(path)
        _check_domains(model.graph)
        constants = {each.name for each in model.graph.initializer}
        given = [each for each in model.graph.input if each.name not in constants]
        self.inputs = {each.name: _signature(each, "input") for each in given}
        self.outputs = {each.name: _signature(each, "output") for each in model.graph.output}
        for opset in model.opset_import:
            opset.domain = "" if opset.domain == "ai.onnx" else opset.domain
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        optimise(model.graph, {each.domain: each.version for each in model.opset_import})
        self._evaluator = _built(model)
        self.operators = [node.op_type for node in self._evaluator.rt_nodes_]

    def __call__(self, *arrays, **named):
        feeds = _checked_feeds(self.inputs, arrays, named)
        with np.errstate(all="ignore"):  # an infinity or a NaN is a result like any other in ONNX
            values = self._evaluator.run(None, feeds)
        results = dict(zip(self.outputs, values, strict=True))
        return results if len(results) > 1 else values[0]

    def __repr__(self):
        def shown(table):
            return ", ".join(f"{name}: {kind} {shape}" for name, (kind, shape) in table.items())

        return f"{type(self).__name__}({shown(self.inputs)}) -> {shown(self.outputs)}"


def _built(model):
    try:
        return _Evaluator(model, new_ops=OWN)
    except (NotImplementedError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"the graph cannot be set up: {_first_line(error) or type(error).__name__}"
        ) from error


def optimise(proto, opsets, outer=None):
    """Constants and rewrites, in a graph and then in those inside it."""
    for node in proto.node:
        node.domain = "" if node.domain == "ai.onnx" else node.domain
    graph = Graph(proto, opsets.get("", onnx_opset_version()), outer)
    fold_constants(graph, lambda node, inputs: _evaluated(node, inputs, opsets))
    rewrite(graph)
    onnx_operators.adopt_operators(graph)
    for node in graph.nodes:
        for inner in subgraphs(node):
            optimise(inner, opsets, graph)
    graph.store()


def _evaluated(node, inputs, opsets):
    """What one node makes of constants, or None where it cannot."""
    graph = helper.make_graph([node], "one", [], [])
    try:
        evaluator = ReferenceEvaluator(graph, opsets=opsets)
        (value,) = evaluator.run(list(node.output), dict(zip(node.input, inputs, strict=True)))
    except Exception:
        return None
    return np.asarray(value)


def _check_domains(graph):
    known = {(onnx_runtime_nodes.DOMAIN, operator) for operator in onnx_runtime_nodes.APART}
    for node in graph.node:
        if node.domain not in _KNOWN and (node.domain, node.op_type) not in known:
            raise NotImplementedError(
                f"{described(node)}: operators of the domain {node.domain!r} are not known here"
            )
        for inner in subgraphs(node):
            _check_domains(inner)


# ---- inputs --------------------------------------------------------------------------------------
def _signature(value, what):
    """(dtype, shape) of an input or output of the graph."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        if what == "output" and kind is None:
            return None, None
        raise NotImplementedError(f"{what} {value.name!r}: only tensors are supported, this is a {kind}")
    tensor = value.type.tensor_type
    if tensor.elem_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        dtype = "str" if tensor.elem_type == TensorProto.STRING else None
    else:
        try:
            dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        except KeyError:
            raise ValueError(f"{what} {value.name!r}: unknown data type {tensor.elem_type}") from None
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, tuple(map(_size, tensor.shape.dim))


def _size(dim):
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return dim.dim_value
    return dim.dim_param or None


def _checked_feeds(inputs, arrays, named):
    """Arrays by name, each of the type and shape that the file asks for."""
    if len(arrays) == 1 and isinstance(arrays[0], dict):
        named = {**arrays[0], **named}
    elif arrays:
        if len(arrays) > 1 or len(inputs) != 1 or named:
            raise ValueError(
                f"inputs: one array goes to a network of one input; this one needs {_listed(inputs)}: pass "
                "a dict or keywords"
            )
        named = dict(zip(inputs, arrays, strict=True))
    missing, unknown = [name for name in inputs if name not in named], [n for n in named if n not in inputs]
    if missing or unknown:
        problem = (
            f"missing {', '.join(missing)}" if missing else f"got unknown {', '.join(map(repr, unknown))}"
        )
        raise ValueError(f"inputs: {problem}; the network needs {_listed(inputs)}")
    return {name: _checked_input(name, named[name], *inputs[name]) for name in inputs}


def _listed(inputs):
    return ", ".join(f"{name} ({kind}, shape {shape})" for name, (kind, shape) in inputs.items())


def _checked_input(name, value, dtype, shape):
    array = np.asarray(value)
    if array.dtype == object and dtype != "str":
        raise TypeError(f"{name}: expected an array of {dtype}, got {type(value).__name__}")
    if dtype is not None and str(array.dtype) != dtype and dtype != "str":
        plain = not hasattr(value, "dtype") and np.can_cast(array.dtype, dtype, "same_kind")
        if not plain:
            raise ValueError(f"{name}: the network needs {dtype}, got {array.dtype}: use astype")
        array = array.astype(dtype)
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            got == size for got, size in zip(array.shape, shape, strict=True) if isinstance(size, int)
        )
        if not fits:
            raise ValueError(f"{name}: the network needs shape {shape}, got {array.shape}")
    return array
