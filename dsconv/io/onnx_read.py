"""An ONNX file read and checked: what comes out of here contradicts itself nowhere.

Nothing of a file is run here, and nothing is allocated that the file itself does not hold.
"""

import os
from math import prod
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper

_EXTERNAL = TensorProto.EXTERNAL
_DEPTH = 32  # of graphs inside graphs, and of calls: no exporter comes near, and Python's stack would end
_NODES = 1_000_000  # of a function with all that it calls put in
# elements of the typed fields that make one element of the tensor
_PARTS = {TensorProto.COMPLEX64: 2, TensorProto.COMPLEX128: 2}
_PACKED = {"INT4": 2, "UINT4": 2, "FLOAT4E2M1": 2, "INT2": 4, "UINT2": 4}


def read_model(path):
    """The checked `ModelProto` in a file, weights beside it included, functions inlined."""
    path = Path(path)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"path: {path} is no complete ONNX file: {error}") from None
    if not model.HasField("graph") or not model.graph.output:
        raise ValueError(f"path: {path} is no ONNX file, or one without a network: it has no outputs")
    _check_versions(model)
    for graph in [model.graph, *model.functions]:
        _check_tensors(graph, path.parent)
    _check_functions(model)
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:
            raise ValueError(f"functions: cannot be put in where they are called: {error}") from error
    _check_names(model.graph, frozenset(), "graph")
    return model


def _check_versions(model):
    known = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= known:
            raise NotImplementedError(
                f"opset_import: the file needs version {opset.version} of the operators, and the installed "
                f"package onnx {onnx.__version__} knows 1 to {known}"
            )
    if not model.opset_import:
        raise ValueError("opset_import: the file does not say which version of the operators it needs")


# ---- tensors -------------------------------------------------------------------------------------
def _check_tensors(graph, folder, depth=0):
    """Every tensor of a graph or function holds as many bytes as its shape needs."""
    if depth > _DEPTH:
        raise ValueError(f"graph: more than {_DEPTH} graphs inside one another")
    for tensor in getattr(graph, "initializer", ()):
        _check_tensor(tensor, f"initializer {tensor.name!r}", folder)
    for sparse in getattr(graph, "sparse_initializer", ()):
        raise NotImplementedError(f"initializer {sparse.values.name!r}: sparse tensors are not supported")
    for node in graph.node:
        _check_node(node)
        for attribute in node.attribute:
            where = f"{described(node)}, attribute {attribute.name!r}"
            if attribute.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS):
                raise NotImplementedError(f"{where}: sparse tensors are not supported")
            for tensor in attribute_tensors(attribute):
                _check_tensor(tensor, where, folder)
            for inner in attribute_graphs(attribute):
                _check_tensors(inner, folder, depth + 1)


def _check_node(node):
    texts = [node.op_type, node.domain, node.name, *node.input, *node.output]
    texts += [attribute.name for attribute in node.attribute]
    # what is no UTF-8 comes as bytes
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{described(node)}: a name in it is no text")
    if not node.op_type or not any(node.output):
        raise ValueError(f"{described(node)}: a node needs an operator and an output")


def attribute_tensors(attribute):
    return ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)


def attribute_graphs(attribute):
    return ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs)


def subgraphs(node):
    return [graph for attribute in node.attribute for graph in attribute_graphs(attribute)]


def described(node):
    """A node for a message: its name, or else its first output, and its operator."""
    name = node.name or (node.output[0] if node.output else "")
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"node {name!r} ({domain}{node.op_type})"


def _check_tensor(tensor, where, folder):
    if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type == TensorProto.UNDEFINED:
        raise ValueError(f"{where}: unknown data type {tensor.data_type}")
    if any(size < 0 for size in tensor.dims):
        raise ValueError(f"{where}: sizes must not be negative, got {tuple(tensor.dims)}")
    count = prod(tensor.dims)
    kind = TensorProto.DataType.Name(tensor.data_type)
    if kind == "STRING":
        _check_count(len(tensor.string_data), count, tensor, where, "strings")
        return
    if kind in _PACKED:
        raise NotImplementedError(f"{where}: tensors of {kind} are not supported")
    itemsize = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if tensor.data_location == _EXTERNAL:
        _read_external(tensor, where, folder, count * itemsize)
    elif tensor.HasField("raw_data"):
        _check_count(len(tensor.raw_data), count * itemsize, tensor, where, "bytes")
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        parts = count * _PARTS.get(tensor.data_type, 1)
        _check_count(len(getattr(tensor, field)), parts, tensor, where, "numbers")


def _check_count(got, needed, tensor, where, what):
    if got != needed:
        raise ValueError(
            f"{where}: shape {tuple(tensor.dims)} of {TensorProto.DataType.Name(tensor.data_type)} needs "
            f"{needed} {what}, the file holds {got}"
        )


def _read_external(tensor, where, folder, needed):
    """The bytes of a tensor that lie in another file of the same folder, put into the tensor."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(folder, location))
    if not location or os.path.isabs(location) or os.path.commonpath([folder, path]) != folder:
        raise ValueError(f"{where}: external data must lie in the folder of the file, got {location!r}")
    if not os.path.isfile(path):
        raise ValueError(f"{where}: external data is missing: there is no file {location!r}")
    offset, length = (_digits(entries, key, where) for key in ("offset", "length"))
    available = os.path.getsize(path) - offset
    length = available if length is None else length
    if length > available or length != needed:
        raise ValueError(
            f"{where}: shape {tuple(tensor.dims)} needs {needed} bytes of external data, {location!r} has "
            f"{min(length, max(available, 0))} at offset {offset}"
        )
    with open(path, "rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _digits(entries, key, where):
    """A number of external data; without one, the offset is 0 and the length None."""
    text = entries.get(key, "0" if key == "offset" else None)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{where}: the {key} of external data must be a number, got {text!r}")
    return int(text)


# ---- names ---------------------------------------------------------------------------------------
def _check_names(graph, outer, where):
    """Nodes use what was made before them, and nothing is made twice: so there is no cycle."""
    if len({each.name for each in graph.initializer}) < len(graph.initializer):
        raise ValueError(f"{where}: two initializers have the same name")
    known = {each.name for each in graph.input} | {each.name for each in graph.initializer}
    made = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in known and name not in outer:
                rule = "a later node makes it: the graph has a cycle" if name in made else "nothing makes it"
                raise ValueError(
                    f"{described(node)}: input {name!r} is not there; {rule}, or is out of order"
                )
        for inner in subgraphs(node):
            _check_names(inner, outer | known, f"{where}, inside {described(node)}")
        for name in node.output:
            if name and name in known:
                raise ValueError(f"{described(node)}: output {name!r} is already there")
            known.add(name)
    for each in graph.output:
        if each.name not in known and each.name not in outer:
            raise ValueError(f"{where}: nothing makes the output {each.name!r}")


def _check_functions(model):
    """No function calls itself, through others neither, and put in they are not more nodes than `_NODES`."""
    table = {(each.domain, each.name): each for each in model.functions}
    sizes, open_ = {}, []

    def size(key):
        if key in open_ or len(open_) > _DEPTH:
            chain = " -> ".join(str(name) for _, name in [*open_[-4:], key])
            raise ValueError(
                f"functions: {chain}: a function calls itself, or more than {_DEPTH} one another"
            )
        if key not in sizes:
            open_.append(key)
            sizes[key] = sum(
                1 + (size(called) if called in table else 0) for called in _calls(table[key].node)
            )
            open_.pop()
            if sizes[key] > _NODES:
                raise ValueError(f"functions: {key[1]} amounts to more than {_NODES} nodes")
        return sizes[key]

    if sum(size(called) for called in _calls(model.graph.node) if called in table) > _NODES:
        raise ValueError(f"functions: the graph amounts to more than {_NODES} nodes")


def _calls(nodes):
    for node in nodes:
        yield node.domain, node.op_type
        for graph in subgraphs(node):
            yield from _calls(graph.node)
