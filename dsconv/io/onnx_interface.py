"""`load_onnx` and `save_onnx`; the package `onnx` is imported by the first call of one of them."""


def load_onnx(path):
    """A network in an ONNX file, as a function that runs here.

    The graph runs on the NumPy evaluator of the package `onnx`, with convolutions and what costs most beside
    them put in as its operators. Before, normalisations are folded into convolutions, activations become
    epilogues, and a depthwise convolution before a pointwise one becomes one separable convolution.

    Parameters
    ----------
    path : str or path-like
        The file. Weights beside it (external data) are found in its folder, and only there.

    Returns
    -------
    dsconv.io.onnx_model.Model
        Takes one array, or arrays by input name, in a dict or as keywords; returns one array, or a dict by
        output name where there are several. `inputs` and `outputs` say which there are. It may be called
        from several threads.

    Raises
    ------
    ImportError
        Without the package `onnx`.
    ValueError
        For a file that is damaged or contradicts itself; it names the tensor or the node.
    NotImplementedError
        For an operator that cannot be run; it names the node and the operator.

    Notes
    -----
    An input that has an initial value in the file is a constant. Results differ by rounding from those of
    other runtimes.

    References
    ----------
    .. [1] Open Neural Network Exchange, "ONNX Operators", https://onnx.ai/onnx/operators/.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from dsconv import io, nn
    >>> layer = nn.SeparableConv2d(3, 4, 3, padding="same", activation="relu", rng=0)
    >>> x = np.ones((2, 3, 8, 8), np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "layer.onnx")
    ...     io.save_onnx(layer, path, (1, 3, 8, 8))
    ...     network = io.load_onnx(path)
    >>> bool(np.allclose(network(x), layer(x), atol=1e-5))
    True
    """
    _needs_onnx("load_onnx")
    from .onnx_model import Model

    return Model(path)


def save_onnx(layer, path, input_shape):
    """Write a layer or a network, in inference, as an ONNX file of standard operators.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        Normalisation takes its running statistics, and dropout vanishes, whatever `layer.training` is.
    path : str or path-like
        Where to. The file appears when it is complete, or not at all.
    input_shape : tuple of int, or a tuple of such tuples
        The whole shape of the input, batch included, as for `layer.cost`; of a network that takes a tuple, of
        each. The batch axis is free in the file, the others are fixed.

    Raises
    ------
    ImportError
        Without the package `onnx`.
    NotImplementedError
        For a layer that no ONNX operators are known for, such as `Lambda`; it names the layer.
    ValueError, TypeError
        As a call on an input of that shape; for a network of more than 2 GB.

    Notes
    -----
    The input is called ``x`` and the result ``y``; of several, ``x0``, ``x1`` and so on. A network on graphs
    has one more input, ``adjacency``, dense, with as many rows as there are nodes.

    References
    ----------
    .. [1] Open Neural Network Exchange, "ONNX Operators", https://onnx.ai/onnx/operators/.

    Examples
    --------
    >>> import os, tempfile
    >>> from dsconv import io, nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm(8), nn.Activation("hardswish"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "net.onnx")
    ...     io.save_onnx(net, path, (1, 3, 8, 8))
    ...     io.load_onnx(path).outputs
    {'y': ('float32', ('N', 8, 6, 6))}
    """
    _needs_onnx("save_onnx")
    from .onnx_export import export

    export(layer, path, input_shape)


def _needs_onnx(name):
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name} needs the package onnx: pip install 'numpy-dsconv[onnx]' ({error})"
        ) from error
