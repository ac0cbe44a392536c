"""Pooling as operators of the evaluator, one axis after the other: maxima and sums over windows allow it."""

import numpy as np

from ..nn.windows import padding_pairs, window_of
from .onnx_convolution import Operator
from .onnx_graph import attributes_of

_WORDS = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": 0}


class _Pool(Operator):
    """What both kinds share: where the windows lie."""

    def axes(self, shape):
        """(kernel, stride, dilation, low, high, outputs) for each spatial axis."""
        rank = len(self.kernel_shape)
        if len(shape) != rank + 2:
            raise ValueError(f"x: {self.op_type} with a kernel of {rank} axes got shape {shape}")
        pads = self.given("pads", (0,) * 2 * rank)
        padding = _WORDS.get(self.given("auto_pad", "NOTSET"))
        if padding is None:
            padding = tuple(zip(pads[:rank], pads[rank:], strict=True))
        ones = (1,) * rank
        arguments = self.given("strides", ones), padding, self.given("dilations", ones)
        window = window_of(rank, tuple(self.kernel_shape), *map(_hashable, arguments))
        pairs = padding_pairs(window, shape[2:])
        return [
            (k, s, d, *pair, self._outputs(size, k, s, d, *pair))
            for size, k, s, d, pair in zip(shape[2:], *window[:3], pairs, strict=True)
        ]

    def _outputs(self, size, kernel, stride, dilation, low, high):
        room = size + low + high - dilation * (kernel - 1) - 1
        if room < 0:
            raise ValueError(
                f"kernel_shape: {kernel} taps, {dilation} apart, are more than {size} padded inputs"
            )
        if not self.given("ceil_mode", 0):
            return room // stride + 1
        outputs = -(-room // stride) + 1
        # the last window must begin on the input or on the padding before it
        return outputs - ((outputs - 1) * stride >= size + low)


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value


def slide(x, axis, where, fill, function):
    """A function of two arrays over the windows along one axis."""
    kernel, stride, dilation, low, high, outputs = where
    reach = (outputs - 1) * stride + dilation * (kernel - 1) + 1
    high = max(reach - x.shape[axis] - low, 0)
    if low or high:
        pairs = [(0, 0)] * x.ndim
        pairs[axis] = low, high
        x = np.pad(x, pairs, constant_values=fill)
    before = (slice(None),) * axis
    taps = [slice(k * dilation, k * dilation + (outputs - 1) * stride + 1, stride) for k in range(kernel)]
    if kernel == 1:
        return x[(*before, taps[0])]
    y = function(x[(*before, taps[0])], x[(*before, taps[1])])
    for tap in taps[2:]:
        function(y, x[(*before, tap)], out=y)
    return y


class MaxPool(_Pool):
    """The greatest value of each window."""

    def compute(self, x):
        fill = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        for axis, where in enumerate(self.axes(x.shape), 2):
            x = slide(x, axis, where, fill, np.maximum)
        return x


class AveragePool(_Pool):
    """The mean of each window, over the input or over the padding too."""

    def compute(self, x):
        dtype, counts = x.dtype, np.ones((), np.float32)
        x = x.astype(np.result_type(dtype, np.float32), copy=False)
        for axis, where in enumerate(self.axes(x.shape), 2):
            counts = counts[..., np.newaxis] * self._counts(x.shape[axis], where)
            x = slide(x, axis, where, 0, np.add)
        return (x / counts.astype(x.dtype)).astype(dtype, copy=False)

    def _counts(self, size, where):
        *geometry, low, high, outputs = where
        ones = np.ones(size, np.float32)
        if self.given("count_include_pad", 0):
            ones, low, high = np.ones(size + low + high, np.float32), 0, 0
        return slide(ones, 0, (*geometry, low, high, outputs), 0, np.add)


class _Global(Operator):
    """Over all positions, which are one axis to NumPy: that is quicker than several."""

    def compute(self, x):
        flat = x.reshape(*x.shape[:2], -1)
        return self.reduced(flat).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


class GlobalAveragePool(_Global):
    """The mean of each channel."""

    def reduced(self, flat):
        return flat.mean(axis=-1)


class GlobalMaxPool(_Global):
    """The greatest value of each channel."""

    def reduced(self, flat):
        return flat.max(axis=-1)


def pool_rule(graph, node):
    """Not those that also say where the maximum was."""
    if len(node.output) > 1 or attributes_of(node).get("storage_order", 0):
        return None
    return {}


POOLS = {each.__name__: each for each in (AveragePool, GlobalAveragePool, GlobalMaxPool, MaxPool)}
