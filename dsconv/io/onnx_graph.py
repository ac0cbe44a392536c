"""A graph of ONNX nodes that rewrites take apart: who makes a value, who uses it, what is constant."""

from collections import ChainMap, Counter

import numpy as np
from onnx import helper, numpy_helper

from .onnx_read import described, subgraphs

DOMAIN = "dsconv"  # of our own operators

# bytes of new constants for each byte of those in the file, so that a small file stays small; what a real one
# needs is 1 for each step after a convolution
_SPARE = 8

# what these give is no larger than what they get, so that constants may go through them at load
_SMALL = {"Cast", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


class Graph:
    """The nodes of a `GraphProto`, with constants as arrays.

    Parameters
    ----------
    proto : onnx.GraphProto
        `store` writes the present state back into it.
    version : int
        Of the standard operators.
    outer : Graph, optional
        The one around a subgraph, whose constants are seen here too.
    """

    def __init__(self, proto, version, outer=None):
        self.proto = proto
        self.version = version
        self.nodes = list(proto.node)
        self._gone = []  # they keep their identity while others are asked for theirs
        own = {each.name: numpy_helper.to_array(each) for each in proto.initializer}
        inside = {each.name for each in proto.input} | {name for node in self.nodes for name in node.output}
        around = outer.constants if outer else {}
        self.constants = ChainMap(own, {name: around[name] for name in around if name not in inside})
        self.own = own
        self.spare = outer.spare if outer else [1 << 20]
        self.earn(own.values())
        self._fresh = 0
        self._taken = {name for node in self.nodes for name in node.output} | set(self.constants)
        self.index()

    def index(self):
        """Count uses anew: inputs, captures of subgraphs, outputs of the graph."""
        self.uses = Counter(name for node in self.nodes for name in used_names(node))
        self.uses.update(output.name for output in self.proto.output)
        self.producers = {name: node for node in self.nodes for name in node.output if name}

    @property
    def nodes(self):
        """All nodes in an order in which they can run."""
        return [node for slot in self._slots for node in slot]

    @nodes.setter
    def nodes(self, nodes):
        self._slots = [[node] for node in nodes]
        self._places = {id(node): place for place, node in enumerate(nodes)}

    # ---- questions ------------------------------------------------------------------------------
    def constant(self, name):
        """The array of that name, or None where it is computed."""
        return self.constants.get(name)

    def scalar(self, name):
        """The value of a floating constant of one element, which no shape changes by; or None."""
        array = self.constants.get(name)
        if array is None or array.size != 1 or array.ndim > 1 or array.dtype.kind != "f":
            return None
        return float(array.reshape(-1)[0])

    def before(self, name, *operators):
        """The node that makes a value for one user alone, where it is one of those operators; else None."""
        node = self.producers.get(name)
        if node is None or node.op_type not in operators or self.uses[name] != 1:
            return None
        return node if all(not self.uses[other] for other in node.output if other != name) else None

    # ---- changes --------------------------------------------------------------------------------
    def add_constant(self, array, like):
        """A new constant, and its name."""
        name = self.fresh(like)
        self.own[name] = np.asarray(array, order="C")
        return name

    def earn(self, arrays):
        """More bytes to spend, for constants that the file holds."""
        self.spare[0] += _SPARE * sum(array.nbytes for array in arrays)

    def spend(self, size):
        """Whether so many bytes may become new constants, here or in the graphs inside."""
        if size > self.spare[0]:
            return False
        self.spare[0] -= size
        return True

    def fresh(self, like):
        name = like
        while name in self._taken:
            self._fresh += 1
            name = f"{like}~{self._fresh}"
        self._taken.add(name)
        return name

    def replace(self, old, new):
        """Nodes instead of others, where the last of these stood."""
        last = max(self._places[id(node)] for node in old)
        gone = set(map(id, old))
        slot = self._slots[last]
        at = max((i for i, node in enumerate(slot) if id(node) in gone))
        self._slots[last] = slot[: at + 1] + new + slot[at + 1 :]
        for node in old:
            place = self._places.pop(id(node))
            self._slots[place] = [other for other in self._slots[place] if other is not node]
        self._places.update((id(node), last) for node in new)
        self._gone += old
        for node in old:
            self.uses.subtract(used_names(node))
            for name in node.output:
                self.producers.pop(name, None)
        for node in new:
            self.uses.update(used_names(node))
            self.producers.update((name, node) for name in node.output if name)

    def store(self):
        """Write nodes and the constants that are used back into the proto."""
        self.index()
        del self.proto.node[:], self.proto.initializer[:]
        self.proto.node.extend(self.nodes)
        used = [name for name in self.own if self.uses[name]]
        self.proto.initializer.extend(numpy_helper.from_array(self.own[name], name) for name in used)
        names = set(self.own)
        inputs = [each for each in self.proto.input if each.name not in names]
        del self.proto.input[:]
        self.proto.input.extend(inputs)


def used_names(node):
    """The values that a node needs, those that its subgraphs take from around them included."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        inside = {each.name for each in [*graph.input, *graph.initializer]}
        inside |= {name for inner in graph.node for name in inner.output}
        every = [name for inner in graph.node for name in used_names(inner)]
        every += [each.name for each in graph.output]
        names += [name for name in every if name not in inside]
    return names


def applied(rule, graph, node):
    """What a rule makes of a node. Where a damaged one makes it stumble, the error names the node."""
    try:
        return rule(graph, node)
    except (NotImplementedError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{described(node)}: its inputs or attributes do not fit: {error}") from error


def attributes_of(node):
    """A node's attributes as Python values; bytes are decoded."""
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}


def own_node(operator, inputs, outputs, name, **attributes):
    """One of our own operators; attributes that are None are left out."""
    given = {key: value for key, value in attributes.items() if value is not None}
    return helper.make_node(operator, inputs, outputs, name, domain=DOMAIN, **given)


def fold_constants(graph, evaluate):
    """Constant nodes become constants, and so does what small nodes make of constants alone.

    `evaluate` runs a node on arrays.
    """
    kept = []
    for node in graph.nodes:
        value = applied(_constant_value, graph, node)
        graph.earn([] if value is None else [value])
        if value is None and node.op_type in _SMALL and not node.domain:
            inputs = [graph.constant(name) for name in node.input if name]
            if all(each is not None for each in inputs) and len(inputs) == len(node.input):
                value = evaluate(node, inputs) if _stays_small(node, inputs) else None
                value = value if value is not None and graph.spend(value.nbytes) else None
        if value is None:
            kept.append(node)
        else:
            graph.own[node.output[0]] = value
    graph.nodes = kept
    graph.index()


def _stays_small(node, inputs):
    """A Gather with more indices than one could make many of little."""
    return node.op_type != "Gather" or inputs[-1].size == 1


def _constant_value(graph, node):
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for name, value in attributes_of(node).items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name in ("value_float", "value_floats"):
            return np.array(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.array(value, np.int64)
    return None
