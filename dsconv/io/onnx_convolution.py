"""Convolutions as operators of the evaluator: depthwise, pointwise and separable ones on the engine."""

import numpy as np
from onnx.reference.op_run import OpRun

from .. import functional, nn
from ..nn.windows import activate
from .onnx_graph import DOMAIN


class Operator(OpRun):
    """An operator that is ours: `compute` gives its only result, with nothing around the call.

    `setup` reads the attributes, once.
    """

    op_domain = DOMAIN
    op_schema = None  # or the schema of the newest operator of this name would give it attributes

    def __init__(self, onnx_node, run_params, schema=None):
        super().__init__(onnx_node, run_params, schema)
        self.setup()

    def setup(self):
        pass

    def given(self, name, default):
        """An attribute, or the default where the node has none."""
        value = getattr(self, name, None)
        return default if value is None else value

    def compute(self, *inputs):
        raise NotImplementedError(type(self).__name__)

    def run(self, *inputs, **_):
        value = self.compute(*inputs)
        return (value if isinstance(value, np.ndarray) else np.asarray(value),)

    def _run(self, *inputs, **_):
        return self.run(*inputs)


class Activation(Operator):
    """One of the activations of the engine."""

    def compute(self, x):
        if x.dtype.kind in "iu":  # ONNX has no other activation of integers than relu
            return np.maximum(x, 0)
        return activate(self.kind, x)


class _Convolution(Operator):
    """What both directions share: attributes, and what is prepared of weights when they come first.

    Weights are nearly always the same arrays in each call. Threads that come first at the same time each
    prepare them, and any of the results will do.
    """

    def setup(self):
        self.groups = self.given("group", 1)
        self._ready = None, None

    def compute(self, x, *arrays):
        key = (x.shape[1] if x.ndim > 1 else None, x.ndim, *arrays)
        known, run = self._ready
        if (
            known is None
            or len(known) != len(key)
            or any(a is not b for a, b in zip(known, key, strict=True))
        ):
            weight, *rest = arrays
            run = self.prepared(x.shape, weight, *rest)
            self._ready = key, run
        return run(x)

    def geometry(self, shape, weight):
        """Rank, and stride and the like as keywords of the functions, checked against the weight."""
        rank = weight.ndim - 2
        if not 1 <= rank <= 3 or len(shape) != weight.ndim:
            raise ValueError(
                f"x: {self.op_type} needs 1 to 3 spatial axes and as many axes as its weight; got x of shape "
                f"{shape} and a weight of shape {weight.shape}"
            )
        words = {"stride": tuple(self.given("strides", (1,) * rank))}
        words["dilation"] = tuple(self.given("dilations", (1,) * rank))
        kernel = tuple(self.given("kernel_shape", weight.shape[2:]))
        if kernel != weight.shape[2:]:
            raise ValueError(f"kernel_shape: {kernel} is not that of the weight, {weight.shape}")
        return rank, words

    def pairs(self, rank):
        """The attribute `pads` as one (low, high) pair for each axis."""
        pads = self.given("pads", (0,) * 2 * rank)
        if len(pads) != 2 * rank:
            raise ValueError(f"pads: expected {2 * rank} numbers for {rank} spatial axes, got {pads}")
        return tuple(zip(pads[:rank], pads[rank:], strict=True))

    def check_channels(self, shape, weight, groups, each):
        """`each` channels of x for every group."""
        if groups < 1 or shape[1] != groups * each:
            raise ValueError(
                f"x: {self.op_type} with {groups} groups and a weight of shape {weight.shape} needs "
                f"{groups * each} channels, got x of shape {shape}"
            )

    def fused(self, name, rank, arrays, words):
        """A function of the engine with or without a pointwise stage: x -> result."""
        weight, bias, mixing, mixing_bias = arrays
        words["activation"] = self.given("activation", None)
        if mixing is None:
            return _bound(f"depthwise_conv{name}{rank}d", (weight, bias), words)
        words["depthwise_activation"] = self.given("depthwise_activation", None)
        mixing = mixing.reshape(mixing.shape[:2])
        return _bound(f"separable_conv{name}{rank}d", (weight, mixing, bias, mixing_bias), words)


def _bound(name, arrays, words):
    function = getattr(functional, name)
    return lambda x: function(x, *arrays, **words)


class Conv(_Convolution):
    """ONNX's Conv, with an activation, a padding mode, and the pointwise stage that came after it, if any."""

    def prepared(self, shape, weight, bias=None, mixing=None, mixing_bias=None):
        rank, words = self.geometry(shape, weight)
        words["padding"] = self._padding(rank)
        words["padding_mode"] = self.given("padding_mode", "zeros")
        outputs, each, *kernel = weight.shape
        self.check_channels(shape, weight, self.groups, each)
        if outputs % self.groups:
            raise ValueError(f"group: {self.groups} must divide the {outputs} channels of the result")
        if each == 1 and self.groups > 1:
            native = weight.reshape(self.groups, outputs // self.groups, *kernel)
            return self.fused("", rank, (native, bias, mixing, mixing_bias), words)
        if self.groups == 1 and set(kernel) == {1} and not self._pads(words["padding"]):
            return self._pointwise(rank, weight, bias, words["stride"])
        make = getattr(nn, f"Conv{rank}d")
        return standard_groups(
            make, np.split(weight, self.groups), bias, self.given("activation", None), words
        )

    def _padding(self, rank):
        kind = self.given("auto_pad", "NOTSET")
        words = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": 0}
        return words[kind] if kind in words else self.pairs(rank)

    def _pads(self, padding):
        """Whether a kernel of one tap gets padding: with a word it gets none."""
        return not isinstance(padding, (str, int)) and any(map(any, padding))

    def _pointwise(self, rank, weight, bias, stride):
        matrix = weight.reshape(weight.shape[:2])
        run = _bound(f"pointwise_conv{rank}d", (matrix, bias), {"activation": self.given("activation", None)})
        if set(stride) == {1}:
            return run
        steps = (slice(None), slice(None), *(slice(None, None, each) for each in stride))
        return lambda x: run(x[steps])


class ConvTranspose(_Convolution):
    """ONNX's ConvTranspose, with the same additions."""

    def prepared(self, shape, weight, bias=None, mixing=None, mixing_bias=None):
        rank, words = self.geometry(shape, weight)
        self.check_channels(shape, weight, self.groups, weight.shape[0] // max(self.groups, 1))
        depthwise = self.groups == shape[1]
        if depthwise:
            make = self._depthwise(rank, weight, bias, mixing, mixing_bias, words)
        else:
            make = self._standard(rank, weight, bias, words)
        fixed = not self.given("output_shape", ()) and self.given("auto_pad", "NOTSET") == "NOTSET"
        if fixed:
            return make(self._crop(shape[2:], weight.shape[2:], words))
        return lambda x: make(self._crop(x.shape[2:], weight.shape[2:], words))(x)

    def _depthwise(self, rank, weight, bias, mixing, mixing_bias, words):
        arrays = weight, bias, mixing, mixing_bias
        return lambda crop: self.fused("_transpose", rank, arrays, words | crop)

    def _standard(self, rank, weight, bias, words):
        layer = getattr(nn, f"ConvTranspose{rank}d")
        parts = [np.ascontiguousarray(part.swapaxes(0, 1)) for part in np.split(weight, self.groups)]
        return lambda crop: standard_groups(layer, parts, bias, self.given("activation", None), words | crop)

    def _crop(self, sizes, kernel, words):
        """`padding` and `output_padding` as the functions take them."""
        rank = len(sizes)
        extra = list(self.given("output_padding", (0,) * rank))
        wanted = list(self.given("output_shape", ()))[-rank:]
        kind = self.given("auto_pad", "NOTSET")
        pairs = self.pairs(rank) if kind == "NOTSET" else ((0, 0),) * rank
        steps = words["stride"], words["dilation"]
        if kind.startswith("SAME") and not wanted:
            wanted = [size * step for size, step in zip(sizes, steps[0], strict=True)]
        if wanted:
            pairs = [
                _split_crop((size - 1) * s + more + d * (k - 1) + 1 - target, kind)
                for size, k, target, more, s, d in zip(sizes, kernel, wanted, extra, *steps, strict=True)
            ]
        # output padding is what is not cut off at the end
        extra = [more - high for more, (_, high) in zip(extra, pairs, strict=True)]
        pairs = tuple((low, max(-more, 0)) for more, (low, _) in zip(extra, pairs, strict=True))
        return {"padding": pairs, "output_padding": tuple(max(more, 0) for more in extra)}


def _split_crop(total, kind):
    """What is cut off at both ends of an axis; a shortfall is at the end."""
    if total < 0:
        return 0, total
    smaller = total // 2
    return (smaller, total - smaller) if kind == "SAME_UPPER" else (total - smaller, smaller)


def standard_groups(make, weights, bias, activation, words):
    """Standard convolutions, one for each group of channels: x -> result."""
    biases = [None] * len(weights) if bias is None else np.split(bias, len(weights))
    layers = [_standard_layer(make, *each, activation, words) for each in zip(weights, biases, strict=True)]
    wide = np.result_type(weights[0], np.float32)  # there is no matrix product of narrow floats
    if len(layers) == 1:
        return lambda x: layers[0](x.astype(wide, copy=False)).astype(x.dtype, copy=False)

    def run(x):
        parts = np.split(x.astype(wide, copy=False), len(layers), axis=1)
        joined = np.concatenate([layer(part) for layer, part in zip(layers, parts, strict=True)], axis=1)
        return joined.astype(x.dtype, copy=False)

    return run


def _standard_layer(make, weight, bias, activation, words):
    wide = np.result_type(weight, np.float32)
    layer = make(1, 1, weight.shape[2:], activation=activation, bias=False, **words)
    layer.out_channels, layer.in_channels = weight.shape[:2]
    layer.weight = weight.astype(wide, copy=False)
    layer.bias = None if bias is None else bias.astype(wide, copy=False)
    return layer


OPERATORS = [Activation, Conv, ConvTranspose]
