"""The convolutions of dsconv in plain NumPy: the specification, to be read and to be compared against.

The functions have the names and arguments of the fast ones, and take every dtype, longdouble and object
included. With `dtype=None` they compute in the type that NumPy promotes the inputs to, unchanged: integers
stay integers, fractions stay fractions, so results can be exact. (The fast ones turn integers into floats.)
"""

from .bounds import error_bound
from .depthwise import (
    depthwise_conv1d,
    depthwise_conv2d,
    depthwise_conv3d,
)
from .gradients import (
    depthwise_conv1d_input_grad,
    depthwise_conv1d_weight_grad,
    depthwise_conv2d_input_grad,
    depthwise_conv2d_weight_grad,
    depthwise_conv3d_input_grad,
    depthwise_conv3d_weight_grad,
    depthwise_conv_transpose1d_input_grad,
    depthwise_conv_transpose1d_weight_grad,
    depthwise_conv_transpose2d_input_grad,
    depthwise_conv_transpose2d_weight_grad,
    depthwise_conv_transpose3d_input_grad,
    depthwise_conv_transpose3d_weight_grad,
)
from .graph import (
    graph_propagate,
    graph_propagate_vjp,
    separable_graph_conv,
    separable_graph_conv_vjp,
)
from .pointwise import (
    pointwise_conv1d,
    pointwise_conv2d,
    pointwise_conv3d,
)
from .pointwise_gradients import (
    pointwise_conv1d_input_grad,
    pointwise_conv1d_weight_grad,
    pointwise_conv2d_input_grad,
    pointwise_conv2d_weight_grad,
    pointwise_conv3d_input_grad,
    pointwise_conv3d_weight_grad,
)
from .separable import (
    separable_conv1d,
    separable_conv2d,
    separable_conv3d,
)
from .transposed import (
    depthwise_conv_transpose1d,
    depthwise_conv_transpose2d,
    depthwise_conv_transpose3d,
    separable_conv_transpose1d,
    separable_conv_transpose2d,
    separable_conv_transpose3d,
)
from .vjp import (
    depthwise_conv1d_vjp,
    depthwise_conv2d_vjp,
    depthwise_conv3d_vjp,
    depthwise_conv_transpose1d_vjp,
    depthwise_conv_transpose2d_vjp,
    depthwise_conv_transpose3d_vjp,
    pointwise_conv1d_vjp,
    pointwise_conv2d_vjp,
    pointwise_conv3d_vjp,
    separable_conv1d_vjp,
    separable_conv2d_vjp,
    separable_conv3d_vjp,
    separable_conv_transpose1d_vjp,
    separable_conv_transpose2d_vjp,
    separable_conv_transpose3d_vjp,
)

__all__ = [
    "depthwise_conv1d",
    "depthwise_conv1d_input_grad",
    "depthwise_conv1d_vjp",
    "depthwise_conv1d_weight_grad",
    "depthwise_conv2d",
    "depthwise_conv2d_input_grad",
    "depthwise_conv2d_vjp",
    "depthwise_conv2d_weight_grad",
    "depthwise_conv3d",
    "depthwise_conv3d_input_grad",
    "depthwise_conv3d_vjp",
    "depthwise_conv3d_weight_grad",
    "depthwise_conv_transpose1d",
    "depthwise_conv_transpose1d_input_grad",
    "depthwise_conv_transpose1d_vjp",
    "depthwise_conv_transpose1d_weight_grad",
    "depthwise_conv_transpose2d",
    "depthwise_conv_transpose2d_input_grad",
    "depthwise_conv_transpose2d_vjp",
    "depthwise_conv_transpose2d_weight_grad",
    "depthwise_conv_transpose3d",
    "depthwise_conv_transpose3d_input_grad",
    "depthwise_conv_transpose3d_vjp",
    "depthwise_conv_transpose3d_weight_grad",
    "error_bound",
    "graph_propagate",
    "graph_propagate_vjp",
    "pointwise_conv1d",
    "pointwise_conv1d_input_grad",
    "pointwise_conv1d_vjp",
    "pointwise_conv1d_weight_grad",
    "pointwise_conv2d",
    "pointwise_conv2d_input_grad",
    "pointwise_conv2d_vjp",
    "pointwise_conv2d_weight_grad",
    "pointwise_conv3d",
    "pointwise_conv3d_input_grad",
    "pointwise_conv3d_vjp",
    "pointwise_conv3d_weight_grad",
    "separable_conv1d",
    "separable_conv1d_vjp",
    "separable_conv2d",
    "separable_conv2d_vjp",
    "separable_conv3d",
    "separable_conv3d_vjp",
    "separable_conv_transpose1d",
    "separable_conv_transpose1d_vjp",
    "separable_conv_transpose2d",
    "separable_conv_transpose2d_vjp",
    "separable_conv_transpose3d",
    "separable_conv_transpose3d_vjp",
    "separable_graph_conv",
    "separable_graph_conv_vjp",
]
