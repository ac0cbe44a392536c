"""The convolutions of dsconv in plain NumPy: the specification, to be read and to be compared against.

The functions have the names and arguments of the fast ones, and take every dtype, longdouble and object
included. With `dtype=None` they compute in the type that NumPy promotes the inputs to, unchanged: integers
stay integers, fractions stay fractions, so results can be exact. (The fast ones turn integers into floats.)
"""

from .bounds import error_bound
from .depthwise import depthwise_conv1d, depthwise_conv2d, depthwise_conv3d
from .pointwise import pointwise_conv1d, pointwise_conv2d, pointwise_conv3d
from .separable import separable_conv1d, separable_conv2d, separable_conv3d

__all__ = [
    "depthwise_conv1d",
    "depthwise_conv2d",
    "depthwise_conv3d",
    "error_bound",
    "pointwise_conv1d",
    "pointwise_conv2d",
    "pointwise_conv3d",
    "separable_conv1d",
    "separable_conv2d",
    "separable_conv3d",
]
