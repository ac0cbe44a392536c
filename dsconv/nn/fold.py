"""Fewer steps for inference: a chain of layers in which neighbours are merged, by rounding the same.

Only neighbours in one chain are looked at, so nothing is ever moved across an activation or a branch.
"""

import copy

import numpy as np

from . import convolution, transposed
from .convolution import DepthwiseConv, EngineLayer, PointwiseConv, SeparableConv
from .graph import SeparableGraphConv
from .linear import Linear
from .norm import BatchNorm
from .pointwise import Activation, Identity, RandomLayer
from .standard import Conv
from .transposed import DepthwiseConvTranspose, SeparableConvTranspose

_SEPARABLE = (SeparableConv, SeparableConvTranspose, SeparableGraphConv)


def fold_chain(layers):
    """The merged layers by position; the layers themselves are not changed, and may share arrays with it."""
    layers = [layer for layer in layers if type(layer) is not Identity and not isinstance(layer, RandomLayer)]
    for merge in (_with_norm, _with_activation, _as_separable):
        layers = _neighbours(layers, merge)
    return {str(position): layer for position, layer in enumerate(layers)}


def _neighbours(layers, merge):
    merged = []
    for layer in layers:
        both = merge(merged[-1], layer) if merged else None
        if both is None:
            merged.append(layer)
        else:
            merged[-1] = both
    return merged


def _is_linear(layer):
    """A layer whose last step is a sum of products and a bias."""
    return isinstance(layer, (EngineLayer, Conv, Linear, SeparableGraphConv)) and layer.activation is None


def _with_norm(layer, norm):
    """The normalisation in the weights of the last stage and its bias, which then is there."""
    if not _is_linear(layer) or not isinstance(norm, BatchNorm):
        return None
    # a linear layer's features are on the last axis, which is axis 1 only where there is no other
    given = "channels_last" if isinstance(layer, Linear) else layer.data_format
    prefix = "pointwise_" if isinstance(layer, _SEPARABLE) else ""
    weight, bias = getattr(layer, f"{prefix}weight"), getattr(layer, f"{prefix}bias")
    channels = layer.out_features if isinstance(layer, Linear) else layer.out_channels
    if given != norm.data_format or channels != norm.channels:
        return None
    scale, shift = norm.affine()
    scaled = weight.reshape(channels, -1) * scale[:, np.newaxis]
    shifted = shift if bias is None else bias * scale + shift
    both = copy.copy(layer)
    setattr(both, f"{prefix}weight", scaled.reshape(weight.shape).astype(weight.dtype))
    setattr(both, f"{prefix}bias", shifted.astype(weight.dtype))
    return both


def _with_activation(layer, activation):
    if not _is_linear(layer) or not isinstance(activation, Activation):
        return None
    both = copy.copy(layer)
    if isinstance(layer, EngineLayer):
        both.keywords = {**layer.keywords, "activation": activation.name}
    else:
        both.activation = activation.name
    return both


def _as_separable(depthwise, pointwise):
    """A depthwise and a pointwise layer as a separable one."""
    kinds = {DepthwiseConv: convolution, DepthwiseConvTranspose: transposed}
    kind = next((kind for kind in kinds if isinstance(depthwise, kind)), None)
    if kind is None or not isinstance(pointwise, PointwiseConv):
        return None
    same = ("rank", "data_format")
    if any(getattr(depthwise, name) != getattr(pointwise, name) for name in same):
        return None
    if depthwise.out_channels != pointwise.in_channels:
        return None
    name = kind.__name__.replace("Depthwise", "Separable")
    cls = getattr(kinds[kind], f"{name}{depthwise.rank}d")
    both = cls.__new__(cls)
    # the geometry, and whatever else the depthwise layer keeps, is that of the first stage
    own = set(depthwise.parameter_names) | {"_keywords", "in_channels", "out_channels"}
    both.__dict__.update((key, value) for key, value in vars(depthwise).items() if key not in own)
    both.in_channels, both.out_channels = depthwise.in_channels, pointwise.out_channels
    words = {"depthwise_activation": depthwise.activation, "activation": pointwise.activation}
    both.keywords = depthwise.keywords | words
    both.depthwise_weight, both.depthwise_bias = depthwise.weight, depthwise.bias
    both.pointwise_weight, both.pointwise_bias = pointwise.weight, pointwise.bias
    return both
