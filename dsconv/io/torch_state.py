"""`from_torch`: state dicts of PyTorch's libraries into layers."""

from functools import partial
from math import prod

import numpy as np

from ..nn.convolution import DepthwiseConv, SeparableConv
from ..nn.standard_transposed import ConvTranspose
from .entries import check_names, renamed, write
from .torch_names import recognised

# of modules that were wrapped to train on several devices
_PREFIX = "module."


def from_torch(state_dict, layer, mapping=None):
    """Write the weights of a PyTorch network into a layer of the same architecture.

    Parameters
    ----------
    state_dict : dict
        Name to array, as `load` returns, or to torch.Tensor. Entries ``num_batches_tracked`` are ignored, and
        so is ``module.`` before all names where there is no `mapping`.
    layer : dsconv.nn.Layer
        Built by `dsconv.models`, or any other where there is a `mapping`. The epsilon of its BatchNorms and
        its padding are those it was built with: no state dict tells them.
    mapping : dict or callable, optional
        From their names to ours (``layer.parameters`` and ``layer.buffers`` list them). A name that a dict
        lacks stands for itself; None leaves an entry out. By default the naming is recognised: torchvision's
        and timm's of MobileNet V2, V3 and EfficientNet, timm's of V1, that of EfficientNet-PyTorch and of
        Lite0's checkpoint, and ours.

    Returns
    -------
    dsconv.nn.Layer
        The one given, with every array written. Shapes are PyTorch's or ours: depthwise
        ``(C*M, 1, *kernel)`` or ``(C, M, *kernel)``, pointwise and linear ``(O, C)`` or ``(O, C, 1, ...)``.
        Of a standard transposed convolution PyTorch has ``(C, O, *kernel)``, which a `mapping`, even an empty
        one, says that it is.

    Raises
    ------
    ValueError
        That names all missing, unexpected and misshapen entries, by their names, or tells that no naming was
        recognised; then nothing has been written.
    TypeError
        For a `state_dict` or `mapping` of a wrong type.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> theirs = {"dw.weight": np.ones((6, 1, 3, 3)), "pw.weight": np.zeros((4, 6, 1, 1)), "bias": np.ones(4)}
    >>> layer = ds.nn.SeparableConv2d(3, 4, 3, depth_multiplier=2)
    >>> names = {"dw.weight": "depthwise_weight", "pw.weight": "pointwise_weight", "bias": "pointwise_bias"}
    >>> ds.io.from_torch(theirs, layer, names).depthwise_weight.shape
    (3, 2, 3, 3)
    """
    check_names(state_dict, "state_dict")
    given = {key: _as_array(value) for key, value in state_dict.items() if not _is_counter(key)}
    if mapping is None and given and all(key.startswith(_PREFIX) for key in given):
        given = {key.removeprefix(_PREFIX): value for key, value in given.items()}
    names = recognised(given, layer) if mapping is None else renamed(given, mapping)
    turned = partial(_reshaped, mapped=mapping is not None)
    return write(layer, given, names, turned, "state_dict")


def _is_counter(key):
    return key.rpartition(".")[2] == "num_batches_tracked"


def _as_array(value):
    if not hasattr(value, "detach"):
        return np.asarray(value)
    value = value.detach().cpu()
    try:
        return value.numpy()
    except TypeError:  # NumPy has no bfloat16, all values of which are in float32
        return value.float().numpy()


def _reshaped(entry, array, mapped):
    """The array in the shape of the entry, where that is one of PyTorch's for the same weights."""
    needed = entry.array.shape
    if isinstance(entry.owner, ConvTranspose) and entry.attribute == "weight":
        return _transposed(needed, array, mapped)
    if array.shape == needed:
        return array
    # a transposed depthwise convolution has (C, M, *kernel) there too
    if isinstance(entry.owner, (DepthwiseConv, SeparableConv)) and len(needed) > 2:
        fits = array.shape == (prod(needed[:2]), 1, *needed[2:])
    else:
        fits = len(needed) == 2 and array.shape[:2] == needed and prod(array.shape[2:]) == 1
    return array.reshape(needed) if fits else None


def _transposed(needed, array, mapped):
    """Weights ``(C, O, *kernel)`` as ``(O, C, *kernel)``, which under our names they may be already."""
    theirs = (needed[1], needed[0], *needed[2:])
    if mapped:
        return array.swapaxes(0, 1) if array.shape == theirs else None
    if theirs != needed:
        turned = array.swapaxes(0, 1) if array.shape == theirs else array
        return turned if turned.shape == needed else None
    if array.shape != needed:
        return None
    return (
        "the same in PyTorch's order of the first two axes and in ours: mapping={} says that it is "
        "PyTorch's, load_state_dict takes ours"
    )
