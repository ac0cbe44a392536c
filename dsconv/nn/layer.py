"""`Layer`: what every layer and combinator has.

A layer is pure: neither a call nor `vjp` writes anything, and what the gradients need lives in the pullback.
So there is no tape, and one layer may be called from many threads.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..cost import Cost
from .protocol import accepted, element_count, keyword_names, plain_number, used_by, whole_shape
from .report import html_table, nested_repr


class Layer:
    """The base of all layers.

    A subclass defines `vjp` and `output_shape`; the rest follows from `parameter_names`, `buffer_names` and
    the attributes that are layers themselves. Keyword-only parameters of `vjp` are its context.

    Attributes
    ----------
    parameter_names, buffer_names : tuple of str
        The attributes that hold trained arrays, and running statistics; None in one of them means absent.
    training : bool
        Whether the layer behaves as in training; `train` and `eval` set it, here and in all children.
    input_shape : tuple of int or None
        Where set, the shape that the table shown in a notebook is made for.

    Notes
    -----
    Feature maps have one batch axis, ``(N, C, *spatial)`` or ``(N, *spatial, C)``; tokens are ``(N, T, C)``.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn, testing
    >>> class Scale(nn.Layer):
    ...     parameter_names = ("factor",)
    ...     def __init__(self):
    ...         self.factor = np.ones(1)
    ...     def vjp(self, x):
    ...         pull = lambda dy: (dy * self.factor, {"factor": np.sum(dy * x, keepdims=True).ravel()})
    ...         return x * self.factor, pull
    ...     def output_shape(self, shape):
    ...         return shape
    >>> testing.check_gradients(Scale(), np.arange(6.0).reshape(1, 2, 3)) < 1e-6
    True
    """

    parameter_names = ()
    buffer_names = ()
    training = True
    input_shape = None
    makes_result = False  # whether a call returns an array that surely nothing else refers to

    # ---- what a subclass defines ----------------------------------------------------------------
    def vjp(self, x, **context):
        """The result, and the pullback of its gradients.

        Parameters
        ----------
        x : array_like
            The input.
        **context
            `rng` (a seed or a Generator) where layers in training mode draw, `mask` where they attend.

        Returns
        -------
        y : ndarray
            What the call returns.
        pullback : callable
            ``pullback(dy) -> (dx, grads)``; `grads` has the keys of `parameters`. Its `buffers` holds new
            running statistics.

        Raises
        ------
        TypeError
            For a context keyword that no layer uses.
        """
        raise TypeError(f"{type(self).__name__} is a Layer without a vjp method: define vjp(self, x)")

    def output_shape(self, shape, **context):
        """The shape of the result for an input of that shape, batch included."""
        raise TypeError(f"{type(self).__name__} is a Layer without an output_shape method")

    # ---- calls ----------------------------------------------------------------------------------
    def __call__(self, x, **context):
        return self.vjp(x, **context)[0]

    @property
    def context_names(self):
        """The context keywords that this layer or one of its children uses."""
        names, _ = keyword_names(type(self).vjp)
        return names.union(*(child.context_names for child in self.children.values()))

    def known_context(self, context):
        """The context, if this layer or one inside uses each of its keywords.

        Raises
        ------
        TypeError
            That names the others.
        """
        known = self.context_names if context else ()
        unknown = sorted(set(context) - set(known))
        if unknown:
            raise TypeError(
                f"{', '.join(unknown)}: no layer in this {type(self).__name__} uses such a context; "
                f"{'used are ' + ', '.join(sorted(known)) if known else 'none is used'}"
            )
        return context

    # ---- parameters and buffers -----------------------------------------------------------------
    @property
    def children(self):
        """The layers inside by name; here every attribute that is a layer."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Layer)}

    def _owned(self, kind):
        """{dotted name: (layer, attribute)}, each layer once however often it is used."""
        found, seen = {}, set()

        def visit(layer, prefix):
            if id(layer) in seen:
                return
            seen.add(id(layer))
            for name in getattr(layer, kind):
                if getattr(layer, name) is not None:
                    found[prefix + name] = layer, name
            for name, child in layer.children.items():
                visit(child, f"{prefix}{name}.")

        visit(self, "")
        return found

    @property
    def parameters(self):
        """Dotted name to array: the very arrays, so that a change in place is seen by the next call."""
        return {name: getattr(*owner) for name, owner in self._owned("parameter_names").items()}

    @property
    def buffers(self):
        """The same for running statistics, which no gradient reaches."""
        return {name: getattr(*owner) for name, owner in self._owned("buffer_names").items()}

    def join_grads(self, pairs):
        """Gradients of children under this layer's names, summed where they share parameters.

        Parameters
        ----------
        pairs : iterable of (Layer, dict)
            Children, with the `grads` that their pullbacks gave.

        Returns
        -------
        dict
        """
        return self._join("parameter_names", pairs, lambda owner, first, second: first + second)

    def join_buffers(self, pairs):
        """New running statistics of children, given in the order of the calls, under this layer's names."""
        return self._join(
            "buffer_names", pairs, lambda owner, first, second: owner[0].chain_buffer(owner[1], first, second)
        )

    def _join(self, kind, pairs, add):
        names = {(id(layer), name): dotted for dotted, (layer, name) in self._owned(kind).items()}
        joined = {}
        for child, values in pairs:
            owners = child._owned(kind) if values else {}
            for key, value in values.items():
                layer, name = owners[key]
                dotted = names[id(layer), name]
                joined[dotted] = add((layer, name), joined[dotted], value) if dotted in joined else value
        return joined

    def chain_buffer(self, name, first, second):
        """The buffer after two uses in one call, each of which began with its present value."""
        return second

    # ---- state ----------------------------------------------------------------------------------
    def state_dict(self):
        """Copies of all parameters and buffers by dotted name."""
        return {name: array.copy() for name, array in (self.parameters | self.buffers).items()}

    def load_state_dict(self, state, strict=True):
        """Write the arrays of a dict into the parameters and buffers.

        Parameters
        ----------
        state : dict
            Dotted name to array_like. Values are cast to the dtype of the parameter.
        strict : bool, optional
            Whether missing and unexpected names are errors. Misshapen entries always are.

        Returns
        -------
        Layer
            This one.

        Raises
        ------
        ValueError
            That names all missing, unexpected and misshapen entries; then nothing has been written.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a dict of names to arrays, got {type(state).__name__}")
        own = self.parameters | self.buffers
        given = {name: np.asarray(value) for name, value in state.items()}
        problems = []
        if strict:
            problems += [f"missing: {name} {own[name].shape}" for name in own if name not in given]
            problems += [f"unexpected: {name} {given[name].shape}" for name in given if name not in own]
        shared = [name for name in own if name in given]
        problems += [
            f"misshapen: {name} is {given[name].shape}, needed {own[name].shape}"
            for name in shared
            if given[name].shape != own[name].shape
        ]
        problems += [
            f"of a wrong type: {name} is {given[name].dtype}, needed {own[name].dtype}"
            for name in shared
            if not np.can_cast(given[name].dtype, own[name].dtype, "same_kind")
        ]
        if problems:
            raise ValueError("state: does not fit this layer:\n  " + "\n  ".join(problems))
        for name in shared:
            own[name][...] = given[name]
        return self

    def train(self, mode=True):
        """Switch to training, children too (BatchNorm takes statistics of the batch, Dropout drops)."""
        self.training = bool(mode)
        for child in self.children.values():
            child.train(mode)
        return self

    def eval(self):
        """Switch to inference, children too."""
        return self.train(False)

    # ---- analysis -------------------------------------------------------------------------------
    def uses(self, shape, **context):
        """How an input of that shape runs through the children: a list of (name, child, its input shape)."""
        return []

    def macs(self, shape, **context):
        """Multiply-accumulate operations of the layer itself, without its children; 0 unless redefined."""
        return 0

    def cost(self, shape, **context):
        """What a call on an input of that shape costs, batch included.

        Parameters
        ----------
        shape : tuple of int
            The whole shape of the input.

        Returns
        -------
        dsconv.cost.Cost
            Every tap is counted, padding too. Shared parameters count once, their MACs at each use.

        Raises
        ------
        ValueError, TypeError
            For a shape that the layer does not take, and a context keyword that no layer uses.
        """
        self.known_context(context)
        shape = whole_shape(shape)
        parameters = sum(array.size for array in self.parameters.values())
        uses = self.uses(shape, **accepted(self.uses, context))
        macs = self.macs(shape, **accepted(self.macs, context))
        if not uses:
            results = element_count(self.output_shape(shape, **accepted(self.output_shape, context)))
            return Cost(macs, parameters, results, element_count(shape) + parameters + results)
        inside = [child.cost(each, **used_by(child, context)) for _, child, each in uses]
        return replace(sum(inside, Cost(macs)), params=parameters)

    def receptive_field(self):
        """``((size, stride, start), ...)`` for each spatial axis.

        An output at position p depends on at most `size` inputs along that axis, from ``start + p*stride``
        on. One triple alone stands for all axes. Upsampling has strides below 1. With ``"same"`` padding and
        a stride, `start` is that of inputs whose size the stride divides.
        """
        return tuple(tuple(map(plain_number, axis)) for axis in self.field())

    def field(self):
        """`receptive_field` in exact fractions; a layer that looks beyond its own position redefines it."""
        return ((1, 1, 0),)

    def summary(self, shape, **context):
        """Rows (dotted name, layer, output shape, Cost) of all layers that have no children, and the total.

        Parameters
        ----------
        shape : tuple of int
            The whole shape of the input.

        Returns
        -------
        list of tuple
        """
        self.known_context(context)
        shape = whole_shape(shape)
        rows = self._rows("", shape, context)
        total = self.output_shape(shape, **accepted(self.output_shape, context)), self.cost(shape, **context)
        return [*rows, ("total", self, *total)]

    def _rows(self, name, shape, context):
        uses = self.uses(shape, **accepted(self.uses, context))
        if not uses:
            output = self.output_shape(shape, **accepted(self.output_shape, context))
            return [(name, self, output, self.cost(shape, **used_by(self, context)))]
        prefix = f"{name}." if name else ""
        return [row for use, child, each in uses for row in child._rows(prefix + use, each, context)]

    # ---- inference ------------------------------------------------------------------------------
    def fold(self):
        """A new layer that computes the same in inference with fewer steps; this one stays as it is.

        BatchNorm goes into the convolution directly before it, never across an activation or a branch;
        then activations into the convolution before them; then a depthwise and a pointwise convolution into
        one separable one. Chains inside a chain, and sums of a single branch, become a part of it. Results
        change by rounding only.
        """
        folded = copy.deepcopy(self).eval()
        return folded.folded()

    def folded(self):
        """What `fold` makes of a copy that it may take apart."""
        return self

    def compile(self):
        """A folded layer whose calls are replayed: the least time for call after call on inputs of one shape.

        Returns
        -------
        Compiled
            It has arrays of its own, which are read-only; this layer stays as it is.

        Examples
        --------
        >>> import numpy as np
        >>> from dsconv import nn
        >>> fast = nn.Sequential(nn.SeparableConv2d(3, 8, 3, rng=0), nn.Activation("relu")).compile()
        >>> [fast(np.ones((1, 3, 6, 6), np.float32)).shape for _ in range(2)]
        [(1, 8, 4, 4), (1, 8, 4, 4)]
        """
        from .compiled import Compiled

        return Compiled(self)

    def traced(self, tape, x):
        """A call that is written down on a `Tape` for `compile`; here as one step, the call itself."""
        return tape.call(self, x)

    def stream(self):
        """A causal network of rank 1 that takes its input in chunks.

        Returns
        -------
        callable
            Takes the next chunk, returns the outputs that end in it, the very bits of one call on the whole.
            `reset()` begins another signal.

        Raises
        ------
        ValueError
            That names the layer which cannot: one that looks ahead, pools over all time, or is in training.
        """
        return self.streamed(type(self).__name__)

    def streamed(self, name):
        raise ValueError(f"stream: {name} ({self!r}) cannot run chunk by chunk; {self.stream_rule()}")

    def stream_rule(self):
        """Why this layer does not stream."""
        return "only causal 1D convolutions and layers that act on each position alone can"

    # ---- representation -------------------------------------------------------------------------
    def describe(self):
        """The arguments that `repr` shows."""
        return ""

    def __repr__(self):
        return nested_repr(self)

    def _repr_html_(self):
        return html_table(self)
