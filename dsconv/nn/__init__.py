"""Layers and combinators: pure functions with parameters, pullbacks, shapes and costs.

>>> import numpy as np
>>> from dsconv import nn
>>> net = nn.Sequential(stem=nn.SeparableConv1d(4, 8, 3, padding="same"), head=nn.Linear(10, 2))
>>> net(np.ones((1, 4, 10), np.float32)).shape
(1, 8, 2)
"""

from . import (
    attention,
    branches,
    combine,
    compiled,
    compose,
    convolution,
    graph,
    linear,
    norm,
    pointwise,
    pool,
    resize,
    standard,
    standard_transposed,
    transposed,
    twin,
)
from .attention import *  # noqa: F403
from .branches import *  # noqa: F403
from .combine import *  # noqa: F403
from .compiled import *  # noqa: F403
from .compose import *  # noqa: F403
from .convolution import *  # noqa: F403
from .graph import *  # noqa: F403
from .layer import Layer
from .linear import *  # noqa: F403
from .norm import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .pool import *  # noqa: F403
from .protocol import Pullback
from .resize import *  # noqa: F403
from .standard import *  # noqa: F403
from .standard_transposed import *  # noqa: F403
from .transposed import *  # noqa: F403
from .twin import *  # noqa: F403

__all__ = ["Layer", "Pullback"]
__all__ += attention.__all__ + branches.__all__ + combine.__all__ + compiled.__all__
__all__ += compose.__all__ + convolution.__all__
__all__ += graph.__all__ + linear.__all__ + norm.__all__ + pointwise.__all__ + pool.__all__ + resize.__all__
__all__ += standard.__all__ + standard_transposed.__all__ + transposed.__all__ + twin.__all__
