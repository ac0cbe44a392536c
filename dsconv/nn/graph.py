"""Layers on graphs, whose operator comes with each call: the context keyword `adjacency`."""

import numpy as np

from ..checks import as_generator
from ..geometry import as_integer, canonical_activation
from ..graph.convolution import ORDERS, SeparableCall
from ..graph.operators import read_adjacency
from ..graph.pullbacks import separable_gradients
from .initial import he_normal, zeros
from .layer import Layer

__all__ = ["GraphConv", "SeparableGraphConv"]


class SeparableGraphConv(Layer):
    """Separable convolution on a graph: each channel spread by the adjacency, then the channels mixed.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    taps : int or None, optional
        Taps of each channel over the powers I, A, ..., A^(taps - 1) of the adjacency; None means A alone.
    bias : bool, optional
        Whether there is one.
    depthwise_activation, activation : str or None, optional
        After the first and after the second stage.
    order : {"cheapest", "propagate_first", "mix_first"}, optional
        As for `dsconv.separable_graph_conv`.
    dtype, rng
        As for `Linear`; the taps are drawn first, with variance 1 / taps.

    Attributes
    ----------
    depthwise_weight : ndarray, shape (C, taps), or None
    pointwise_weight : ndarray, shape (O, C)
    pointwise_bias : ndarray, shape (O,), or None

    Notes
    -----
    Features are ``(N, n, C)``, n nodes of one graph. A call takes `adjacency`, (n, n), dense or sparse as for
    `dsconv.graph_propagate`, one for all samples; so do `cost` and `macs`, which count its entries. It gets
    no gradient here. It promotes with the features: a float64 one makes everything float64.

    Raises
    ------
    ValueError
        For an argument out of range, a call without `adjacency`, and inputs of other channels or nodes.
    TypeError
        For an argument of a wrong type.

    See Also
    --------
    dsconv.separable_graph_conv : the function, and the sources.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import graph, nn
    >>> a = graph.normalized_adjacency(np.ones((4, 4), bool))
    >>> layer = nn.SeparableGraphConv(3, 8, taps=3, rng=0)
    >>> layer(np.ones((2, 4, 3), np.float32), adjacency=a).shape
    (2, 4, 8)
    >>> layer.cost((1, 4, 3), adjacency=a).macs
    228
    """

    parameter_names = ("depthwise_weight", "pointwise_weight", "pointwise_bias")
    data_format = "channels_last"

    def __init__(
        self, in_channels, out_channels, *, taps=None, bias=True, depthwise_activation=None, activation=None,
        order="cheapest", dtype="float32", rng=None,
    ):  # fmt: skip
        self.in_channels = as_integer(in_channels, "in_channels", 1)
        self.out_channels = as_integer(out_channels, "out_channels", 1)
        self.taps = None if taps is None else as_integer(taps, "taps", 1)
        self.depthwise_activation = canonical_activation(depthwise_activation, "depthwise_activation")
        self.activation = canonical_activation(activation)
        if order not in ORDERS:
            raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {order!r}")
        self.order = order
        rng, c = as_generator(rng), self.in_channels
        self.depthwise_weight = None
        if taps is not None:
            # no activation need follow, so half of He's variance
            self.depthwise_weight = he_normal(rng, (c, self.taps), 2 * self.taps, dtype)
        self.pointwise_weight = he_normal(rng, (self.out_channels, c), c, dtype)
        self.pointwise_bias = zeros(bias, self.out_channels, dtype)

    def _call(self, x, adjacency):
        x = np.asarray(x)
        self._check(x.shape, adjacency)
        return self._unchecked(x, adjacency)

    def _unchecked(self, x, adjacency):
        arrays = x, adjacency, self.pointwise_weight, self.pointwise_bias, self.depthwise_weight
        return SeparableCall(arrays, self.depthwise_activation, self.order, self.activation)

    def __call__(self, x, *, adjacency=None):
        return self._call(x, adjacency).forward()

    def vjp(self, x, *, adjacency=None):
        call = self._call(x, adjacency)
        y = call.forward()

        def pullback(dy):
            dx, _, weight, bias, taps = separable_gradients(call, y, dy, edges=False)
            found = {"depthwise_weight": taps, "pointwise_weight": weight, "pointwise_bias": bias}
            return dx, {name: grad for name, grad in found.items() if grad is not None}

        return y, pullback

    def _check(self, shape, adjacency=()):
        if len(shape) != 3 or shape[2] != self.in_channels:
            raise ValueError(
                f"x: {type(self).__name__} takes (N, n, C), samples, nodes and C = {self.in_channels} "
                f"channels, got shape {tuple(shape)}"
            )
        if adjacency is None:
            raise ValueError(
                f"adjacency: {type(self).__name__} needs the graph of the call: layer(x, adjacency=A)"
            )

    def output_shape(self, shape):
        self._check(shape)
        return (*shape[:-1], self.out_channels)

    def macs(self, shape, *, adjacency=None):
        self._check(shape, adjacency)
        batch, nodes, channels = shape
        entries, taps = read_adjacency(adjacency).entries, self.depthwise_weight
        spread = entries if taps is None else (taps.shape[1] - 1) * entries + taps.shape[1] * nodes
        # the values of the taps have a say in the order: a call on an empty graph tells
        empty = np.zeros((0, channels), np.float32), np.zeros((0, 0), np.float32)
        each = self.out_channels if self._unchecked(*empty).mix_first else channels
        return batch * (spread * each + nodes * channels * self.out_channels)

    def field(self):
        # nodes have no order: a neighbour may be anywhere
        infinite = float("inf")
        return ((infinite, 1, -infinite),)

    def describe(self):
        words = [f"{self.in_channels}, {self.out_channels}"]
        words += [f"taps={self.taps}"] if self.taps is not None else []
        for name in "depthwise_activation", "activation":
            words += [f"{name}={getattr(self, name)!r}"] if getattr(self, name) else []
        words += [f"order={self.order!r}"] if self.order != "cheapest" else []
        return ", ".join(words + (["bias=False"] if self.pointwise_bias is None else []))


class GraphConv(SeparableGraphConv):
    """The layer of a graph convolutional network (GCN): ``activation(A x W^T + bias)``.

    It is the `SeparableGraphConv` without taps. One with taps equals it under the adjacency ``sum_k t_k A^k``
    exactly when the taps agree across channels and nothing nonlinear stands between its stages.

    Parameters
    ----------
    in_channels, out_channels, bias, activation, order, dtype, rng
        As for `SeparableGraphConv`.

    Attributes
    ----------
    pointwise_weight : ndarray, shape (O, C)
    pointwise_bias : ndarray, shape (O,), or None

    Raises
    ------
    ValueError, TypeError
        As `SeparableGraphConv`.

    References
    ----------
    .. [1] T. N. Kipf and M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR
       2017, arXiv:1609.02907.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import graph, nn
    >>> a = graph.normalized_adjacency(np.ones((4, 4), bool))
    >>> nn.GraphConv(3, 8, activation="relu", rng=0)(np.ones((2, 4, 3), np.float32), adjacency=a).shape
    (2, 4, 8)
    """

    def __init__(
        self, in_channels, out_channels, *, bias=True, activation=None, order="cheapest", dtype="float32",
        rng=None,
    ):  # fmt: skip
        words = {"bias": bias, "activation": activation, "order": order, "dtype": dtype, "rng": rng}
        super().__init__(in_channels, out_channels, **words)
