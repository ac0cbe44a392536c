"""The same network with standard convolutions, to compare costs and results with."""

import copy

import numpy as np

from ..checks import as_generator
from ..geometry import as_integer
from . import standard, standard_transposed
from .combine import SqueezeExcite
from .compose import Combinator, Sequential
from .convolution import DepthwiseConv, PointwiseConv, SeparableConv
from .initial import fan_of_transposed, he_normal, zeros
from .layer import Layer
from .norm import BatchNorm
from .pointwise import Activation, Identity, RandomLayer
from .transposed import DepthwiseConvTranspose, SeparableConvTranspose

__all__ = ["standard_twin"]

_DEPTHWISE = (DepthwiseConv, DepthwiseConvTranspose)
_SEPARABLE = (SeparableConv, SeparableConvTranspose)
_BETWEEN = (BatchNorm, Activation, Identity, RandomLayer)


def standard_twin(layer, *, rng=0):
    """A copy of a network in which standard convolutions stand for separable ones.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        It stays as it is.
    rng : None, int or numpy.random.Generator, optional
        Where the new weights come from; all other parameters are copied.

    Returns
    -------
    dsconv.nn.Layer

    Notes
    -----
    - A `SeparableConv`, or a depthwise and a pointwise convolution in one chain with nothing but
      normalisation and activations in between, becomes one standard convolution of the same kernel, stride,
      padding and dilation, from the channels before to the channels after. What was in between goes.
    - Squeeze-and-excitation in between stays, in front of it.
    - Any other depthwise convolution becomes a standard one of its own channels.

    Examples
    --------
    >>> from dsconv import nn
    >>> net = nn.Sequential(depthwise=nn.DepthwiseConv2d(32, 3), norm=nn.BatchNorm(32),
    ...                     pointwise=nn.PointwiseConv2d(32, 64, bias=False))
    >>> nn.standard_twin(net)
    Sequential(
      (pointwise): Conv2d(32, 64, kernel_size=(3, 3), bias=False)
    )
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
    rng = as_generator(rng)
    return _Twin(lambda shape, fan_in, dtype: he_normal(rng, shape, fan_in, dtype)).of(copy.deepcopy(layer))


def hollow_twin(layer):
    """The twin for its costs alone: the arrays of new layers take no memory and cannot be written."""
    return _Twin(lambda shape, fan_in, dtype: np.broadcast_to(np.zeros((), dtype), shape)).of(layer)


def _is_chain(layer):
    return isinstance(layer, Sequential) and type(layer).vjp is Sequential.vjp


def _links(chain):
    """The layers of a chain in order, those of chains inside it in their place."""
    links = []
    for child in chain:
        links += _links(child) if _is_chain(child) else [child]
    return links


class _Twin:
    """What becomes of each layer, by its identity, so that shared ones stay shared; None where it goes."""

    def __init__(self, draw):
        self._draw = draw
        self._becomes = {}

    def of(self, layer):
        self._plan(layer)
        twin = self._rebuilt(layer)
        return Identity() if twin is None else twin

    # ---- what stands for what -------------------------------------------------------------------
    def _plan(self, layer):
        if id(layer) in self._becomes:
            return
        if _is_chain(layer):
            links = _links(layer)
            for position, link in enumerate(links):
                if isinstance(link, _DEPTHWISE) and id(link) not in self._becomes:
                    self._pair(link, links[position + 1 :])
            for link in links:
                self._plan(link)
        elif layer.children:
            for child in layer.children.values():
                self._plan(child)
        else:
            self._becomes[id(layer)] = self._alone(layer)

    def _pair(self, depthwise, followers):
        """A depthwise layer and the pointwise one that ends the pair, if one does."""
        between = []
        for follower in followers:
            if isinstance(follower, PointwiseConv):
                break
            gate = isinstance(follower, SqueezeExcite) and depthwise.in_channels == depthwise.out_channels
            if not gate and not isinstance(follower, _BETWEEN):
                return
            between += [] if gate else [follower]
        else:
            return
        same = depthwise.rank == follower.rank and depthwise.data_format == follower.data_format
        if same and depthwise.out_channels == follower.in_channels and id(follower) not in self._becomes:
            self._becomes |= {id(each): None for each in (depthwise, *between)}
            pieces = follower.weight, follower.bias, follower.activation
            self._becomes[id(follower)] = self._standard(depthwise, *pieces)

    def _alone(self, layer):
        if isinstance(layer, _SEPARABLE):
            return self._standard(layer, layer.pointwise_weight, layer.pointwise_bias, layer.activation)
        if isinstance(layer, _DEPTHWISE):
            return self._standard(layer, layer.weight, layer.bias, layer.activation, layer.out_channels)
        return layer

    def _standard(self, stage, weight, bias, activation, out_channels=None):
        """A standard layer with the geometry of a depthwise or separable one."""
        out_channels = len(weight) if out_channels is None else out_channels
        transposed = isinstance(stage, (DepthwiseConvTranspose, SeparableConvTranspose))
        kind = standard_transposed.ConvTranspose if transposed else standard.Conv
        cls = getattr(standard_transposed if transposed else standard, f"{kind.__name__}{stage.rank}d")
        layer = cls.__new__(cls)
        layer.training, layer.window = stage.training, stage.window
        layer.in_channels, layer.out_channels = stage.in_channels, as_integer(out_channels, "out_channels", 1)
        words = {**stage.keywords, "activation": activation}
        words.pop("depthwise_activation", None)
        if transposed:
            layer.keywords, layer.output_padding = words, stage.output_padding
        else:
            for name in "padding_mode", "activation", "data_format":
                setattr(layer, name, words[name])
            layer._given = tuple(words[name] for name in ("stride", "padding", "dilation"))
        taps, stride = layer.window.kernel, layer.window.stride if transposed else (1,)
        fan_in = stage.in_channels * fan_of_transposed(taps, stride)
        layer.weight = self._draw((out_channels, stage.in_channels, *taps), fan_in, weight.dtype)
        layer.bias = zeros(bias is not None, out_channels, weight.dtype)
        return layer

    # ---- the network around it ------------------------------------------------------------------
    def _rebuilt(self, layer):
        if id(layer) not in self._becomes:
            self._becomes[id(layer)] = self._container(layer)
        return self._becomes[id(layer)]

    def _container(self, layer):
        children = {name: self._rebuilt(child) for name, child in layer.children.items()}
        if _is_chain(layer):
            kept = {name: child for name, child in children.items() if child is not None}
            return layer.with_children(kept) if kept or not children else None
        children = {name: Identity() if child is None else child for name, child in children.items()}
        if isinstance(layer, Combinator):
            return layer.with_children(children)
        twin = copy.copy(layer)
        for name, child in children.items():
            setattr(twin, name, child)
        return twin
