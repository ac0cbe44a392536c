"""The functions with their derivatives: `NAME_vjp(arguments)` returns the result and a pullback.

The pullback takes the gradient with respect to the result to those with respect to the array arguments. It
goes back step by step: through the activation, then by the gradients of the linear map. Complex gradients are
those of PyTorch: the conjugate of the derivative.
"""

import numpy as np

from . import depthwise, gradients, pointwise, pointwise_gradients, separable, transposed
from .activations import through_activation
from .arguments import channels_first, name_of, to_arrays
from .depthwise import split_channels
from .pointwise import drop_unit_kernel
from .ranks import of_every_rank

_MODULES = (depthwise, pointwise, separable, transposed, gradients, pointwise_gradients)


def _function(operation, rank):
    name = name_of(operation, rank)
    return next(getattr(module, name) for module in _MODULES if hasattr(module, name))


# ---- checks --------------------------------------------------------------------------------------
def _refuse_leading_axes(weight, bias, forms):
    """Weights may be spelt in forms of some numbers of axes; the gradients know no others."""
    if np.ndim(weight) not in forms:
        raise ValueError(f"a weight must have {forms} axes here, no leading ones; got {np.shape(weight)}")
    if bias is not None and np.ndim(bias) != 1:
        raise ValueError(f"a bias must have one axis here, no leading ones; got {np.shape(bias)}")


def _incoming(grad, y, casting):
    """Return the gradient with respect to y as an array of y's type, checked."""
    (grad,) = to_arrays(y.dtype, casting, grad)
    if grad.shape != y.shape:
        raise ValueError(f"grad must have the shape of the result, {y.shape}; got {grad.shape}")
    return grad


def _bias_gradient(bias, grad, rank, data_format):
    """Return the sum over everything but the channels, or None for an absent bias."""
    if bias is None:
        return None
    grad = np.moveaxis(channels_first(grad, rank, data_format), -rank - 1, 0)
    return grad.sum(tuple(range(1, grad.ndim)), dtype=grad.dtype)


# ---- one stage, then two -------------------------------------------------------------------------
def _depthwise_stage(operation, rank, arrays, geometry, activation, words):
    """The vjp of a depthwise convolution, transposed or not; `words` are data_format, dtype and casting."""
    _refuse_leading_axes(*arrays[1:], (rank + 2,))
    forward = _function(operation, rank)
    y = forward(*arrays, **geometry, activation=activation, **words)
    layout = dict(data_format=words["data_format"])
    linear = {key: value for key, value in geometry.items() if not key.startswith("output_")}

    def pullback(grad):
        grad = _incoming(grad, y, words["casting"])
        x, weight, bias = to_arrays(y.dtype, "unsafe", *arrays)
        if activation is not None:
            grad = through_activation(activation, forward(x, weight, bias, **geometry, **layout), grad)
        first = channels_first(x, rank, **layout)
        native = split_channels(weight, first.shape[-rank - 1], rank)
        size, kernel = first.shape[-rank:], native.shape[-rank:]
        to_input, to_weight = (_function(operation + way, rank) for way in ("_input_grad", "_weight_grad"))
        return (
            to_input(grad, native, size, **linear, **layout),
            to_weight(x, grad, kernel, **linear, **layout).reshape(weight.shape),
            _bias_gradient(bias, grad, rank, **layout),
        )

    return y, pullback


def _pointwise_stage(rank, arrays, activation, words):
    _refuse_leading_axes(*arrays[1:], (2, rank + 2))
    forward = _function("pointwise_conv", rank)
    y = forward(*arrays, activation=activation, **words)
    layout = dict(data_format=words["data_format"])

    def pullback(grad):
        grad = _incoming(grad, y, words["casting"])
        x, weight, bias = to_arrays(y.dtype, "unsafe", *arrays)
        if activation is not None:
            grad = through_activation(activation, forward(x, weight, bias, **layout), grad)
        native = drop_unit_kernel(weight, channels_first(x, rank, **layout).shape[-rank - 1], rank)
        return (
            _function("pointwise_conv_input_grad", rank)(grad, native, **layout),
            _function("pointwise_conv_weight_grad", rank)(x, grad, **layout).reshape(weight.shape),
            _bias_gradient(bias, grad, rank, **layout),
        )

    return y, pullback


def _both_stages(operation, rank, arrays, geometry, activations, words):
    """The vjp of a separable convolution: that of its two stages, one after the other."""
    _, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias = arrays
    _refuse_leading_axes(depthwise_weight, depthwise_bias, (rank + 2,))
    _refuse_leading_axes(pointwise_weight, pointwise_bias, (2, rank + 2))
    inner, outer = activations
    forward = _function(operation, rank)
    y = forward(*arrays, **geometry, depthwise_activation=inner, activation=outer, **words)
    inside = dict(words, dtype=None)

    def pullback(grad):
        grad = _incoming(grad, y, words["casting"])
        x, *weights, depthwise_bias, pointwise_bias = to_arrays(y.dtype, "unsafe", *arrays)
        first = operation.replace("separable", "depthwise")
        middle, back = _depthwise_stage(first, rank, (x, weights[0], depthwise_bias), geometry, inner, inside)
        _, front = _pointwise_stage(rank, (middle, weights[1], pointwise_bias), outer, inside)
        grad_middle, grad_pointwise, grad_pointwise_bias = front(grad)
        grad_x, grad_depthwise, grad_depthwise_bias = back(grad_middle)
        return grad_x, grad_depthwise, grad_pointwise, grad_depthwise_bias, grad_pointwise_bias

    return y, pullback


# ---- the functions -------------------------------------------------------------------------------
def _depthwise_conv_vjp(
    rank,
    x,
    weight,
    bias=None,
    *,
    stride=1,
    padding=0,
    dilation=1,
    padding_mode="zeros",
    activation=None,
    data_format="channels_first",
    dtype=None,
    casting="same_kind",
):
    """Depthwise convolution and its pullback; the arguments are those of `depthwise_conv2d`, without out.

    Returns
    -------
    y : ndarray
    pullback : callable
        Takes an array of the shape of y; returns the gradients of x, weight and bias, None for no bias.

    Raises
    ------
    ValueError, TypeError
        As the function, and for leading axes of the weight or the bias.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.depthwise_conv1d_vjp([[1, 2, 3]], [[[1, -1]]], [0], activation="relu")
    >>> y
    array([[0, 0]])
    >>> y, pullback = reference.depthwise_conv1d_vjp([[1, 2, 3]], [[[10, 1]]], [0])
    >>> pullback([[1, 2]])
    (array([[10, 21,  2]]), array([[[5, 8]]]), array([3]))
    """
    geometry = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode)
    words = dict(data_format=data_format, dtype=dtype, casting=casting)
    return _depthwise_stage("depthwise_conv", rank, (x, weight, bias), geometry, activation, words)


def _depthwise_conv_transpose_vjp(
    rank,
    x,
    weight,
    bias=None,
    *,
    stride=1,
    padding=0,
    output_padding=0,
    output_size=None,
    dilation=1,
    activation=None,
    data_format="channels_first",
    dtype=None,
    casting="same_kind",
):
    """Transposed depthwise convolution and its pullback, as `depthwise_conv2d_vjp`.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.depthwise_conv_transpose1d_vjp([[1, 2]], [[[10, 1]]])
    >>> y
    array([[10, 21,  2]])
    >>> pullback([[1, 2, 3]])
    (array([[12, 23]]), array([[[5, 8]]]), None)
    """
    geometry = dict(stride=stride, padding=padding, dilation=dilation)
    geometry.update(output_padding=output_padding, output_size=output_size)
    words = dict(data_format=data_format, dtype=dtype, casting=casting)
    return _depthwise_stage("depthwise_conv_transpose", rank, (x, weight, bias), geometry, activation, words)


def _pointwise_conv_vjp(
    rank,
    x,
    weight,
    bias=None,
    *,
    activation=None,
    data_format="channels_first",
    dtype=None,
    casting="same_kind",
):
    """Pointwise convolution and its pullback, as `depthwise_conv2d_vjp`.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.pointwise_conv1d_vjp([[1], [2]], [[10, 1]])
    >>> pullback([[3]])
    (array([[30],
           [ 3]]), array([[3, 6]]), None)
    """
    words = dict(data_format=data_format, dtype=dtype, casting=casting)
    return _pointwise_stage(rank, (x, weight, bias), activation, words)


def _separable_conv_vjp(
    rank,
    x,
    depthwise_weight,
    pointwise_weight,
    depthwise_bias=None,
    pointwise_bias=None,
    *,
    stride=1,
    padding=0,
    dilation=1,
    padding_mode="zeros",
    depthwise_activation=None,
    activation=None,
    data_format="channels_first",
    dtype=None,
    casting="same_kind",
):
    """Separable convolution and its pullback, which returns five gradients, in the order of the arguments.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.separable_conv1d_vjp([[1, 2, 3]], [[[1, 1]]], [[2]], pointwise_bias=[1])
    >>> pullback([[1, 1]])
    (array([[2, 4, 2]]), array([[[ 6, 10]]]), array([[8]]), None, array([2]))
    """
    geometry = dict(stride=stride, padding=padding, dilation=dilation, padding_mode=padding_mode)
    arrays = x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias
    words = dict(data_format=data_format, dtype=dtype, casting=casting)
    return _both_stages("separable_conv", rank, arrays, geometry, (depthwise_activation, activation), words)


def _separable_conv_transpose_vjp(
    rank,
    x,
    depthwise_weight,
    pointwise_weight,
    depthwise_bias=None,
    pointwise_bias=None,
    *,
    stride=1,
    padding=0,
    output_padding=0,
    output_size=None,
    dilation=1,
    depthwise_activation=None,
    activation=None,
    data_format="channels_first",
    dtype=None,
    casting="same_kind",
):
    """Transposed separable convolution and its pullback, as `separable_conv2d_vjp`.

    Examples
    --------
    >>> from dsconv import reference
    >>> y, pullback = reference.separable_conv_transpose1d_vjp([[1, 2]], [[[1, 1]]], [[2]], stride=2)
    >>> pullback([[1, 1, 1, 1]])
    (array([[4, 4]]), array([[[6, 6]]]), array([[6]]), None, None)
    """
    geometry = dict(stride=stride, padding=padding, dilation=dilation)
    geometry.update(output_padding=output_padding, output_size=output_size)
    arrays = x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias
    words = dict(data_format=data_format, dtype=dtype, casting=casting)
    activations = depthwise_activation, activation
    return _both_stages("separable_conv_transpose", rank, arrays, geometry, activations, words)


depthwise_conv1d_vjp, depthwise_conv2d_vjp, depthwise_conv3d_vjp = of_every_rank(_depthwise_conv_vjp)
pointwise_conv1d_vjp, pointwise_conv2d_vjp, pointwise_conv3d_vjp = of_every_rank(_pointwise_conv_vjp)
separable_conv1d_vjp, separable_conv2d_vjp, separable_conv3d_vjp = of_every_rank(_separable_conv_vjp)
(
    depthwise_conv_transpose1d_vjp,
    depthwise_conv_transpose2d_vjp,
    depthwise_conv_transpose3d_vjp,
) = of_every_rank(_depthwise_conv_transpose_vjp)
(
    separable_conv_transpose1d_vjp,
    separable_conv_transpose2d_vjp,
    separable_conv_transpose3d_vjp,
) = of_every_rank(_separable_conv_transpose_vjp)
