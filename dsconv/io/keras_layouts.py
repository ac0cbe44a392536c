"""`from_keras`: arrays in Keras's layouts into layers."""

import numpy as np

from ..nn.convolution import DepthwiseConv, PointwiseConv, SeparableConv
from ..nn.linear import Linear
from ..nn.norm import BatchNorm, LayerNorm
from ..nn.standard import Conv
from ..nn.standard_transposed import ConvTranspose
from .entries import check_names, entries, renamed, write


def _first(array):
    """``(*kernel, C, M)``, or ``(*kernel, O, C)`` of transposed convolutions."""
    return np.moveaxis(array, (-2, -1), (0, 1))


def _turned(array):
    """``(*kernel, C, O)``."""
    return np.moveaxis(array, (-1, -2), (0, 1))


def _matrix(array):
    """``(1, ..., C, O)`` or ``(C, O)``."""
    return array.reshape(array.shape[-2:]).T if array.shape[:-2] == (1,) * (array.ndim - 2) else array


def _same(array):
    return array


# by layer, what each of its attributes is called and looks like in Keras
_LAYOUTS = (
    (DepthwiseConv, {"weight": _first, "bias": _same}),
    (PointwiseConv, {"weight": _matrix, "bias": _same}),
    (
        SeparableConv,
        {
            "depthwise_weight": _first,
            "pointwise_weight": _matrix,
            "depthwise_bias": _same,
            "pointwise_bias": _same,
        },
    ),
    (Conv, {"weight": _turned, "bias": _same}),
    (ConvTranspose, {"weight": _first, "bias": _same}),
    (Linear, {"weight": _matrix, "bias": _same}),
    (BatchNorm, dict.fromkeys(("weight", "bias", "running_mean", "running_var"), _same)),
    (LayerNorm, dict.fromkeys(("weight", "bias"), _same)),
)


def from_keras(weights, layer, mapping=None):
    """Write the weights of a Keras network into a layer of the same architecture.

    Parameters
    ----------
    weights : list or dict
        Either the arrays in Keras's order, as ``model.get_weights()`` gives them: layer after layer, each
        with its kernels before its bias; BatchNorm's gamma, beta, moving mean and moving variance. Or a dict
        of arrays by name.
    layer : dsconv.nn.Layer
        Its layers with weights in the same order where `weights` is a list. ``layer.parameters`` and
        ``layer.buffers`` list their names.
    mapping : dict or callable, optional
        For a dict: from its names to ours. A name that it lacks stands for itself; None leaves an entry out.

    Returns
    -------
    dsconv.nn.Layer
        The one given, with every array written.

    Raises
    ------
    ValueError
        That names all missing, unexpected and misshapen entries, or a layer that Keras does not have (the
        transposed depthwise ones, attention, convolution on graphs); then nothing has been written.
    TypeError
        For `weights` or a `mapping` of a wrong type, and for a `mapping` of a list.

    Notes
    -----
    The layouts, at any rank, `kernel` being its spatial axes:

    ==================  ===================================  ==================================
    layer               Keras                                here
    ==================  ===================================  ==================================
    depthwise           ``(*kernel, C, M)``                  ``(C, M, *kernel)``
    pointwise           ``(1, ..., K, O)``, ``(K, O)``       ``(O, K)``
    separable           both, then the bias ``(O,)``         both, ``pointwise_bias`` ``(O,)``
    standard            ``(*kernel, C, O)``                  ``(O, C, *kernel)``
    transposed          ``(*kernel, O, C)``                  ``(O, C, *kernel)``
    linear              ``(C, O)``, ``(1, ..., C, O)``       ``(O, C)``
    BatchNorm           gamma, beta, mean, variance          ``weight``, ``bias``, ``running_*``
    ==================  ===================================  ==================================

    A BatchNorm without scale or centre lacks an array that is needed here: insert ones or zeros. Keras's
    default epsilon is 1e-3, and its ``"same"`` padding is ``"same"`` here; both are the layer's own.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> layer = ds.nn.SeparableConv2d(3, 4, (3, 5), depth_multiplier=2)
    >>> arrays = [np.ones((3, 5, 3, 2)), np.zeros((1, 1, 6, 4)), np.ones(4)]
    >>> ds.io.from_keras(arrays, layer).depthwise_weight.shape
    (3, 2, 3, 5)
    """
    listed = isinstance(weights, (list, tuple))
    if listed and mapping is not None:
        raise TypeError("mapping: a list has no names to map; give weights as a dict")
    own = entries(layer)
    layouts = {entry.name: _layout(entry) for entry in own}
    if listed:
        shown = [entry.name for entry in own]
        keys = [f"weights[{position}]" for position in range(max(len(weights), len(own)))]
        given = dict(zip(keys, weights, strict=False))
        names = dict(zip(keys, shown, strict=False))
    else:
        check_names(weights, "weights", "a list or a dict")
        given, names = weights, renamed(weights, {} if mapping is None else mapping)
    given = {key: np.asarray(value) for key, value in given.items()}

    def turned(entry, array):
        array = layouts[entry.name](array) if array.ndim >= entry.array.ndim else array
        return array if array.shape == entry.array.shape else None

    return write(layer, given, names, turned, "weights", " after it is turned")


def _layout(entry):
    for kind, layouts in _LAYOUTS:
        if isinstance(entry.owner, kind):
            return layouts[entry.attribute]
    raise ValueError(
        f"layer: {entry.name} belongs to {entry.owner!r}, which Keras does not have; it takes arrays in our "
        "layout, by load_state_dict"
    )
