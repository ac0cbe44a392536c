"""Depthwise separable convolution: a depthwise stage looks at pixels, then a pointwise one mixes channels.

separable(x) = activation(pointwise(depthwise_activation(depthwise(x))))
"""

from .activations import activate
from .arguments import channels_first, finish, to_arrays
from .depthwise import depthwise_stage
from .padding import Geometry
from .pointwise import pointwise_stage
from .ranks import of_every_rank


def _separable_conv(
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
    out=None,
    dtype=None,
    casting="same_kind",
):
    """Depthwise separable convolution in plain NumPy and in any dtype; shapes are those of rank 2.

    Parameters
    ----------
    x : array_like, shape (..., C, h, w), or (..., h, w, C) for channels_last
        Any number of leading batch axes; leading axes of weights and biases broadcast with them.
    depthwise_weight : array_like, shape (C, M, i, j), or (C*M, 1, i, j)
    pointwise_weight : array_like, shape (O, C*M), or (O, C*M, 1, 1)
    depthwise_bias : array_like, shape (C*M,), optional
    pointwise_bias : array_like, shape (O,), optional
    stride, padding, dilation, padding_mode
        Of the depthwise stage, as in `depthwise_conv2d`.
    depthwise_activation, activation
        After the depthwise and after the pointwise stage, as in `depthwise_conv2d`.
    data_format, out, dtype, casting
        As in `depthwise_conv2d`.

    Returns
    -------
    ndarray, shape (..., O, p, q), or (..., p, q, O)

    Raises
    ------
    ValueError, TypeError
        As `depthwise_conv2d` and `pointwise_conv2d`.

    Examples
    --------
    >>> from dsconv import reference
    >>> x = [[[1, 2], [3, 4]]]
    >>> reference.separable_conv2d(x, [[[[1, 1], [1, 1]]]], [[1], [2]], pointwise_bias=[0, 1])
    array([[[10]],
    <BLANKLINE>
           [[21]]])
    """
    geometry = Geometry.parse(rank, stride, padding, dilation, padding_mode)
    arrays = x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias
    x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias = to_arrays(dtype, casting, *arrays)
    x = channels_first(x, rank, data_format)
    middle = activate(depthwise_activation, depthwise_stage(x, depthwise_weight, depthwise_bias, geometry))
    y = activate(activation, pointwise_stage(middle, pointwise_weight, pointwise_bias, rank))
    return finish(y, rank, data_format, dtype, out, casting)


separable_conv1d, separable_conv2d, separable_conv3d = of_every_rank(_separable_conv)
