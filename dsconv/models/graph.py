"""Graph networks: separable blocks, and the standard graph convolutional network (GCN) to compare with.

Features are ``(N, n, C)``: samples, the n nodes of one graph, channels. Each call takes `adjacency`, (n, n),
dense or sparse, usually from `dsconv.graph.normalized_adjacency`.
"""

from .. import nn
from ..checks import as_generator
from ..geometry import as_integer
from .proportions import rounded

__all__ = ["GraphBlock", "gcn"]


class GraphBlock(nn.Sequential):
    """Graph convolution, BatchNorm, activation and dropout, the input added where that is wanted.

    Shapes: ``(N, n, in_channels)`` to ``(N, n, out_channels)``.

    Parameters
    ----------
    in_channels, out_channels : int
    taps : int or None, optional
        Of each channel over the powers I, A, ..., of the adjacency; None for A alone, as in a GCN.
    separable : bool, optional
        Otherwise it is a standard layer, `dsconv.nn.GraphConv`, which has no taps.
    depthwise_activation : str or None, optional
        Between the stages; with one, or with taps of each channel, it is no GCN layer any more.
    activation : str or None, optional
    residual : bool, optional
        Whether the input is added before the activation; that needs equal channels.
    dropout : float, optional
        Of elements of the result in training.
    bn_eps, dtype, rng
        As for `dsconv.nn.BatchNorm` and `dsconv.nn.SeparableGraphConv`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and for words that do not go together.

    References
    ----------
    .. [1] T. N. Kipf and M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR
       2017, arXiv:1609.02907.
    .. [2] M. Defferrard, X. Bresson and P. Vandergheynst, "Convolutional neural networks on graphs with fast
       localized spectral filtering", NeurIPS 2016, arXiv:1606.09375.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import graph, models
    >>> a = graph.normalized_adjacency(np.ones((5, 5), bool))
    >>> models.GraphBlock(3, 8, rng=0)(np.ones((2, 5, 3), np.float32), adjacency=a).shape
    (2, 5, 8)
    """

    def __init__(
        self, in_channels, out_channels, *, taps=3, separable=True, depthwise_activation=None,
        activation="relu", residual=False, dropout=0.0, bn_eps=1e-5, dtype="float32", rng=None,
    ):  # fmt: skip
        if residual and in_channels != out_channels:
            raise ValueError(f"residual: needs equal channels, got {in_channels} and {out_channels}")
        words = {"bias": False, "dtype": dtype, "rng": rng}
        if separable:
            words |= {"taps": taps, "depthwise_activation": depthwise_activation}
            conv = nn.SeparableGraphConv(in_channels, out_channels, **words)
        elif depthwise_activation is not None:
            raise ValueError("depthwise_activation: a standard layer has a single stage")
        else:
            conv = nn.GraphConv(in_channels, out_channels, **words)
        norm = nn.BatchNorm(out_channels, eps=bn_eps, data_format="channels_last", dtype=dtype)
        chain = {"conv": conv, "norm": norm}
        if residual:
            chain = {"body": nn.Residual(nn.Sequential(**chain))}
        if activation is not None:
            chain["activation"] = nn.Activation(activation)
        super().__init__(**chain, **({"dropout": nn.Dropout(dropout)} if dropout else {}))


def gcn(
    in_features, num_classes, *, hidden=16, depth=2, width=1.0, taps=None, separable=False, dropout=0.5,
    pool=False, dtype="float32", rng=None,
):  # fmt: skip
    """Graph convolutional network: layers with relu between them, dropout before each.

    Shapes: ``(N, n, in_features)`` to logits of the nodes, ``(N, n, num_classes)``; with `pool` of the
    samples, ``(N, num_classes)``.

    Parameters
    ----------
    in_features, num_classes : int
    hidden, depth : int, optional
        Channels between the layers, and the number of layers.
    width : float, optional
        Multiplies `hidden`, which is then rounded to a multiple of 8.
    taps : int or None, optional
        Of the separable layers, as for `GraphBlock`.
    separable : bool, optional
        Whether the layers are `dsconv.nn.SeparableGraphConv` or the standard `dsconv.nn.GraphConv`.
    dropout : float, optional
        Probability in training.
    pool : bool, optional
        Whether the mean over the nodes is taken at the end, for one class per sample.
    dtype, rng
        As for `dsconv.nn.SeparableGraphConv`.

    Returns
    -------
    dsconv.nn.Sequential
        It knows no ``input_shape``, as the number of nodes is that of the graph.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and for taps of standard layers.

    References
    ----------
    .. [1] T. N. Kipf and M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR
       2017, arXiv:1609.02907.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import graph, models
    >>> net = models.gcn(1433, 7, rng=0).eval()
    >>> a = graph.normalized_adjacency(np.eye(10, k=1) + np.eye(10, k=-1))
    >>> net(np.ones((1, 10, 1433), np.float32), adjacency=a).shape
    (1, 10, 7)
    >>> sum(array.size for array in net.parameters.values())
    23063
    """
    depth = as_integer(depth, "depth", 1)
    hidden = as_integer(hidden, "hidden", 1) if width == 1 else rounded(hidden, width)
    if taps is not None and not separable:
        raise ValueError(f"taps: a standard layer has none, got {taps}; separable=True has")
    channels = [in_features, *[hidden] * (depth - 1), num_classes]
    rng, chain = as_generator(rng), {}
    for position, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
        words = {"activation": "relu" if position < depth - 1 else None, "dtype": dtype, "rng": rng}
        if dropout:
            chain[f"dropout{position}"] = nn.Dropout(dropout)
        layer = nn.SeparableGraphConv if separable else nn.GraphConv
        chain[f"conv{position}"] = layer(before, after, **words, **({"taps": taps} if separable else {}))
    if pool:
        chain["pool"] = nn.GlobalAveragePool(data_format="channels_last")
    return nn.Sequential(**chain)
