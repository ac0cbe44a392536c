"""Parallel branches on one input: joined, added or multiplied."""

import numpy as np

from .compose import Combinator
from .pointwise import Identity
from .protocol import Pullback, whole_shape
from .stream import StreamBranches
from .windows import channel_axis, unite_fields

__all__ = ["Concat", "Product", "Residual", "Sum"]


class Branches(Combinator):
    """The same input into each branch, the results joined; without branches, a tuple joined."""

    def join(self, parts):
        """One array of the results of the branches."""
        raise TypeError(f"{type(self).__name__}: define join(parts)")

    def split(self, dy, parts):
        """The adjoint of `join`: a gradient for each of the parts."""
        raise TypeError(f"{type(self).__name__}: define split(dy, parts)")

    def join_shapes(self, shapes):
        raise TypeError(f"{type(self).__name__}: define join_shapes(shapes)")

    def inputs(self, x):
        """What each child gets."""
        return [x] * len(self._children)

    def input_grad(self, parts):
        """The gradient of x from those of the inputs of the children."""
        total = parts[0]
        for part in parts[1:]:
            total = _added(total, part)
        return total

    def __call__(self, x, **context):
        if not self._children:
            return self.join(self._tuple(x, context))
        children, inputs = self._children.values(), self.inputs(x)
        if not context:
            return self.join_own([child(each) for child, each in zip(children, inputs, strict=True)])
        calls = zip(children, inputs, self.contexts(context), strict=True)
        return self.join_own([child(each, **words) for child, each, words in calls])

    def traced(self, tape, x):
        cls = type(self)
        if not self._children or cls.__call__ is not Branches.__call__ or cls.inputs is not Branches.inputs:
            return super().traced(tape, x)
        return self.traced_join(tape, [child.traced(tape, x) for child in self._children.values()])

    def traced_join(self, tape, parts):
        return tape.call(lambda *parts: self.join_own(list(parts)), *parts)

    def join_own(self, parts):
        """`join` in a call without a pullback, where a part that a child has just made may be written."""
        return self.join(parts)

    def vjp(self, x, **context):
        if not self._children:
            parts = self._tuple(x, context)
            y = self.join(parts)
            return y, Pullback(lambda dy: (tuple(self.split(dy, parts)), {}), shape=y.shape)
        given = self.contexts(context)
        calls = zip(self._children.values(), self.inputs(x), given, strict=True)
        parts, pulls = zip(*(child.vjp(each, **words) for child, each, words in calls), strict=True)
        children = list(self._children.values())

        def pullback(dy):
            pieces = self.split(dy, parts)
            pulled = [pull(piece) for pull, piece in zip(pulls, pieces, strict=True)]
            pairs = ((child, grads) for child, (_, grads) in zip(children, pulled, strict=True))
            return self.input_grad([dx for dx, _ in pulled]), self.join_grads(pairs)

        y = self.join(parts)
        buffers = self._collect(zip(children, pulls, strict=True))
        return y, Pullback(pullback, buffers, getattr(y, "shape", None))

    def _tuple(self, x, context):
        self.contexts(context)
        if not isinstance(x, tuple) or not x:
            name = type(self).__name__
            raise TypeError(f"x: {name}() without branches joins a tuple of arrays, got {type(x).__name__}")
        return [np.asarray(each) for each in x]

    def output_shape(self, shape, **context):
        self.known_context(context)
        shape = whole_shape(shape)
        if not self._children:
            return self.join_shapes(shape)
        return self.join_shapes(self.each_output(self.input_shapes(shape), context))

    def field(self):
        if not self._children:
            return ((1, 1, 0),)
        return unite_fields([child.field() for child in self._children.values()], list(self._children))

    def streamed(self, name):
        if not self._children:
            return super().streamed(name)
        branches = [child.streamed(f"{name}.{key}") for key, child in self._children.items()]
        return StreamBranches(branches, self.join)


def _added(one, other):
    if isinstance(one, tuple):
        return tuple(map(_added, one, other))
    return one + other


class Concat(Branches):
    """Parallel branches, joined on channels; without branches, the arrays of a tuple.

    Parameters
    ----------
    *branches : Layer
        Each of them gets the input.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.
    **named : Layer
        More branches.

    Raises
    ------
    ValueError
        Where the results differ in more than their channels.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Concat(nn.Identity(), nn.PointwiseConv2d(3, 5))(np.ones((1, 3, 4, 4), np.float32)).shape
    (1, 8, 4, 4)
    """

    def __init__(self, *branches, data_format="channels_first", **named):
        super().__init__(*branches, **named)
        self.data_format = data_format
        self.axis = channel_axis(data_format)

    def describe(self):
        return "" if self.axis == 1 else f"data_format={self.data_format!r}"

    def join(self, parts):
        self.join_shapes([each.shape for each in parts])
        return np.concatenate(parts, axis=self.axis)

    def traced_join(self, tape, parts):
        if type(self).join is not Concat.join:
            return super().traced_join(tape, parts)
        self.join_shapes([each.shape for each in parts])
        return tape.concatenate(parts, self.axis)

    def split(self, dy, parts):
        ends = np.cumsum([each.shape[self.axis] for each in parts])
        return np.split(dy, ends[:-1], axis=self.axis)

    def join_shapes(self, shapes):
        others = {(len(each), *_without(each, self.axis)) for each in shapes}
        if len(others) > 1:
            raise ValueError(
                f"Concat: the results of all branches must agree but for channels (axis {self.axis}), got "
                f"{', '.join(map(str, map(tuple, shapes)))}"
            )
        joined = list(shapes[0])
        joined[self.axis] = sum(each[self.axis] for each in shapes)
        return tuple(joined)


def _without(shape, axis):
    axis %= len(shape)
    return *shape[:axis], *shape[axis + 1 :]


class Sum(Branches):
    """Parallel branches, added; without branches, the arrays of a tuple.

    Parameters
    ----------
    *branches, **named : Layer
        Each of them gets the input.

    Raises
    ------
    ValueError
        Where the results differ in shape: nothing is broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Sum(nn.Identity(), nn.Identity())(np.ones((1, 2))).tolist()
    [[2.0, 2.0]]
    """

    def join(self, parts):
        self.join_shapes([each.shape for each in parts])
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def join_own(self, parts):
        if not self._adds_in_place(parts):
            return self.join(parts)
        first, *others = parts
        for each in others:
            first += each
        return first

    def traced_join(self, tape, parts):
        if not self._adds_in_place(parts):
            return tape.call(lambda *parts: self.join(list(parts)), *parts)
        first, *others = parts
        for each in others:
            first = tape.arithmetic(np.add, first, each, first)
        return first

    def _adds_in_place(self, parts):
        """Whether the sum may be written where the first part is."""
        first, *others = parts
        if not self._is_plain or not self.first_makes_result:
            return False
        return all(each.dtype == first.dtype and each.shape == first.shape for each in others)

    @property
    def _is_plain(self):
        return type(self).__call__ is Branches.__call__ and type(self).join is Sum.join

    @property
    def makes_result(self):
        children = list(self._children.values())
        return self._is_plain and bool(children) and (len(children) > 1 or children[0].makes_result)

    def folded(self):
        # one branch is itself, and then a part of the chain around it
        if self._is_plain and len(self._children) == 1:
            return next(iter(self._children.values())).folded()
        return super().folded()

    def split(self, dy, parts):
        return [dy] * len(parts)

    def join_shapes(self, shapes):
        if len(set(map(tuple, shapes))) > 1:
            raise ValueError(
                f"{type(self).__name__}: the results of all branches must have one shape, got "
                f"{', '.join(map(str, map(tuple, shapes)))}"
            )
        return tuple(shapes[0])


class Residual(Sum):
    """``body(x) + shortcut(x)``.

    Parameters
    ----------
    body : Layer
    shortcut : Layer, optional
        The identity if not given.

    Raises
    ------
    ValueError
        Where the two results differ in shape.

    References
    ----------
    .. [1] K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.Residual(nn.DepthwiseConv2d(3, 3, padding="same"))
    >>> layer(np.ones((1, 3, 4, 4), np.float32)).shape
    (1, 3, 4, 4)
    """

    def __init__(self, body, shortcut=None):
        super().__init__(body=body, shortcut=Identity() if shortcut is None else shortcut)


class Product(Branches):
    """Parallel branches, multiplied with broadcasting: a gate; without branches, the arrays of a tuple.

    Parameters
    ----------
    *branches, **named : Layer
        Each of them gets the input.

    Raises
    ------
    ValueError
        Where the results cannot be broadcast together.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> gate = nn.Product(nn.Identity(), nn.GlobalAveragePool(keepdims=True))
    >>> gate(np.full((1, 2, 3, 3), 2.0)).max()
    np.float64(4.0)
    """

    def join(self, parts):
        self.join_shapes([each.shape for each in parts])
        total = parts[0]
        for part in parts[1:]:
            total = total * part
        return total

    def traced_join(self, tape, parts):
        if type(self).join is not Product.join:
            return super().traced_join(tape, parts)
        self.join_shapes([each.shape for each in parts])
        total = parts[0]
        for part in parts[1:]:
            total = tape.arithmetic(np.multiply, total, part)
        return total

    def split(self, dy, parts):
        pieces = []
        for position, part in enumerate(parts):
            gradient = dy
            for other in (*parts[:position], *parts[position + 1 :]):
                gradient = gradient * np.conj(other)
            pieces.append(_unbroadcast(gradient, part.shape))
        return pieces

    def join_shapes(self, shapes):
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                "Product: the results of all branches must broadcast together, got "
                f"{', '.join(map(str, map(tuple, shapes)))}"
            ) from None


def _unbroadcast(gradient, shape):
    """The sum over the axes along which `shape` was broadcast."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1)
    return gradient.sum(axis=axes, keepdims=True)
