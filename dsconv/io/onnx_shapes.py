"""Operators that move values and compute none: the evaluator's cost for them is all around the call."""

from math import prod

import numpy as np

from .onnx_convolution import Operator


class Cast(Operator):
    def setup(self):
        self.dtype = np.dtype(self.dtype)

    def compute(self, x):
        return x.astype(self.dtype)


class Concat(Operator):
    def compute(self, *parts):
        return np.concatenate(parts, axis=self.axis)


class Expand(Operator):
    def compute(self, x, shape):
        return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist()))).copy()


class Flatten(Operator):
    def compute(self, x):
        axis = self.given("axis", 1)
        axis += x.ndim if axis < 0 else 0
        return x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))


class Gather(Operator):
    def compute(self, x, indices):
        axis = self.given("axis", 0)
        if indices.ndim == 0 and -x.ndim <= axis < x.ndim:  # a view: weights of a step are often taken so
            return x[(slice(None),) * (axis % x.ndim) + (indices.item(),)]
        return np.take(x, indices, axis=axis)


class Identity(Operator):
    def compute(self, x):
        return x


class Reshape(Operator):
    def compute(self, x, shape):
        sizes = shape.tolist()
        if not self.given("allowzero", 0):
            sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
        return x.reshape(sizes)


class Shape(Operator):
    def compute(self, x):
        return np.array(x.shape[self.given("start", 0) : self.given("end", None)], np.int64)


class Slice(Operator):
    def compute(self, x, starts=None, ends=None, axes=None, steps=None):
        starts, ends = (self.starts, self.ends) if starts is None else (starts.tolist(), ends.tolist())
        axes = self.given("axes", range(len(starts))) if axes is None else axes.tolist()
        steps = (1,) * len(starts) if steps is None else steps.tolist()
        window = [slice(None)] * x.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            window[axis] = _slice(start, end, step, x.shape[axis])
        return x[tuple(window)]


def _slice(start, end, step, size):
    """As NumPy's, but that an end before the first element, going down, is one."""
    if step < 0 and end < -size:
        end = None
    return slice(start, end, step)


class Split(Operator):
    def run(self, x, sizes=None, **_):
        axis = self.given("axis", 0)
        sizes = self.given("split", None) if sizes is None else sizes.tolist()
        if sizes is None:
            parts = len(self.onnx_node.output)
            each = -(-x.shape[axis] // parts)
            sizes = [each] * (parts - 1) + [x.shape[axis] - each * (parts - 1)]
        if sum(sizes) != x.shape[axis]:
            raise ValueError(f"split: sizes {sizes} are not those of axis {axis} of x, got {x.shape}")
        return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


class Squeeze(Operator):
    def compute(self, x, axes=None):
        axes = self.given("axes", None) if axes is None else axes.ravel().tolist()
        return np.squeeze(x, None if axes is None else tuple(axes))


class Transpose(Operator):
    def compute(self, x):
        return x.transpose(self.given("perm", None))


class Unsqueeze(Operator):
    def compute(self, x, axes=None):
        return np.expand_dims(x, tuple(self.axes if axes is None else axes.ravel().tolist()))


_ALL = (
    Cast,
    Concat,
    Expand,
    Flatten,
    Gather,
    Identity,
    Reshape,
    Shape,
    Slice,
    Split,
    Squeeze,
    Transpose,
    Unsqueeze,
)
SHAPES = {each.__name__: each for each in _ALL}
