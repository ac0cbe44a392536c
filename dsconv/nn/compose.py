"""Layers made of layers: shape, cost and gradient of a chain follow from those of its members."""

import copy
from functools import cached_property

from ..checks import as_generator
from .fold import fold_chain
from .layer import Layer
from .protocol import Pullback, accepted, whole_shape
from .stream import StreamChain
from .windows import chain_fields

__all__ = ["Sequential"]


class Combinator(Layer):
    """What all combinators share: named children, context handed on, gradients collected."""

    def __init__(self, *layers, **named):
        children = {str(position): layer for position, layer in enumerate(layers)}
        for name in named:
            if "." in name or name in children:
                rule = "without a dot, and not the number of a positional layer"
                raise ValueError(f"{type(self).__name__}: names of children must be {rule}, got {name!r}")
        children |= named
        for name, layer in children.items():
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"{type(self).__name__}: child {name!r} must be a Layer, got {type(layer).__name__}"
                )
        self._children = children

    @property
    def children(self):
        return dict(self._children)

    def __getattr__(self, name):
        # copy and pickle ask before there are children
        children = self.__dict__.get("_children", {})
        if name in children:
            return children[name]
        raise AttributeError(f"{type(self).__name__} has no attribute and no child {name!r}")

    def __dir__(self):
        return sorted({*super().__dir__(), *self._children})

    def __len__(self):
        return len(self._children)

    def __iter__(self):
        return iter(self._children.values())

    def __getitem__(self, key):
        if isinstance(key, str):
            if key not in self._children:
                raise KeyError(f"no child {key!r}; there are {list(self._children)}")
            return self._children[key]
        return list(self._children.values())[key]

    def with_children(self, children):
        """The same combinator around other layers."""
        other = copy.copy(self)
        other._children = dict(children)
        other.__dict__.pop("first_makes_result", None)
        return other

    @cached_property
    def first_makes_result(self):
        """`makes_result` of the first child, asked for in every call of a sum."""
        return next(iter(self._children.values())).makes_result

    def folded(self):
        return self.with_children({name: child.folded() for name, child in self._children.items()})

    # ---- context --------------------------------------------------------------------------------
    @property
    def context_names(self):
        return frozenset().union(*(child.context_names for child in self._children.values()))

    def contexts(self, context):
        """What each child gets: the keywords it uses, and a random stream of its own.

        Raises
        ------
        TypeError
            For a keyword that no child uses.
        """
        if not context:
            return [{}] * len(self._children)
        self.known_context(context)
        uses = [child.context_names for child in self._children.values()]
        each = [{name: value for name, value in context.items() if name in names} for names in uses]
        if context.get("rng") is not None:
            streams = as_generator(context["rng"]).spawn(len(each))
            for given, stream in zip(each, streams, strict=True):
                if "rng" in given:
                    given["rng"] = stream
        return each

    def _collect(self, pullbacks):
        """New running statistics of children, from (child, pullback) in the order of the calls."""
        return self.join_buffers((child, getattr(pull, "buffers", {})) for child, pull in pullbacks)

    def each_output(self, shapes, context):
        """The output shape of each child for its own input shape."""
        return [
            child.output_shape(shape, **accepted(child.output_shape, context))
            for child, shape in zip(self._children.values(), shapes, strict=True)
        ]

    def uses(self, shape, **context):
        shapes = self.input_shapes(shape)
        return [
            (name, child, each)
            for (name, child), each in zip(self._children.items(), shapes, strict=True)
        ]  # fmt: skip

    def input_shapes(self, shape):
        return [shape] * len(self._children)


class Sequential(Combinator):
    """One layer after the other.

    Parameters
    ----------
    *layers : Layer
        Named by their position, "0", "1" and so on.
    **named : Layer
        More of them, in this order, named by their keyword.

    Notes
    -----
    ``net[i]`` and ``net["name"]`` are layers, ``net[a:b]`` is a `Sequential` of the same layers, so that
    parameters are shared. A layer used twice lists its parameters once, and their gradients are summed.

    Raises
    ------
    TypeError
        For a child that is no layer, and in a call for a context keyword that no layer uses.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> net = nn.Sequential(body=nn.DepthwiseConv1d(2, 3), act=nn.Activation("relu"))
    >>> sorted(net.parameters)
    ['body.bias', 'body.weight']
    >>> y, pullback = net.vjp(np.ones((1, 2, 5), np.float32))
    >>> dx, grads = pullback(np.ones_like(y))
    >>> dx.shape, grads["body.weight"].shape
    ((1, 2, 5), (2, 1, 3))
    """

    def __getitem__(self, key):
        if isinstance(key, slice):
            items = list(self._children.items())
            part = self.with_children(items[key])
            if items[key][:1] != items[:1]:
                part.input_shape = None  # what the chain begins with is gone
            return part
        return super().__getitem__(key)

    def __call__(self, x, **context):
        if not context:
            for child in self._children.values():
                x = child(x)
            return x
        for child, given in zip(self._children.values(), self.contexts(context), strict=True):
            x = child(x, **given)
        return x

    def traced(self, tape, x):
        if type(self).__call__ is not Sequential.__call__:
            return super().traced(tape, x)
        for child in self._children.values():
            x = child.traced(tape, x)
        return x

    def vjp(self, x, **context):
        steps = []
        for child, given in zip(self._children.values(), self.contexts(context), strict=True):
            x, pull = child.vjp(x, **given)
            steps.append((child, pull))

        def pullback(dy):
            pairs = []
            for child, pull in reversed(steps):
                dy, grads = pull(dy)
                pairs.append((child, grads))
            return dy, self.join_grads(reversed(pairs))

        return x, Pullback(pullback, self._collect(steps))

    @property
    def makes_result(self):
        children = list(self._children.values())
        return type(self).__call__ is Sequential.__call__ and bool(children) and children[-1].makes_result

    def uses(self, shape, **context):
        found = []
        for name, child in self._children.items():
            found.append((name, child, shape))
            shape = child.output_shape(shape, **accepted(child.output_shape, context))
        return found

    def output_shape(self, shape, **context):
        self.known_context(context)
        shape = whole_shape(shape)
        for child in self._children.values():
            shape = child.output_shape(shape, **accepted(child.output_shape, context))
        return shape

    def field(self):
        field = ((1, 1, 0),)
        for child in self._children.values():
            field = chain_fields(field, child.field())
        return field

    def folded(self):
        return self.with_children(fold_chain(_flat(self)))

    def streamed(self, name):
        steps = [child.streamed(f"{name}.{key}") for key, child in self._children.items()]
        return StreamChain(steps)


def _flat(chain):
    """The layers of a chain, those of chains inside it in their place, each folded on its own."""
    layers = []
    for child in chain:
        if type(child) is Sequential:
            layers += _flat(child)
        else:
            folded = child.folded()
            layers += folded if type(folded) is Sequential else [folded]
    return layers
