"""Blocks and whole networks, composed of the layers and combinators of `dsconv.nn`.

Each network knows the shape that it was made for.

>>> from dsconv import models
>>> net = models.mobilenet_v1(width=0.25, resolution=128)
>>> net.input_shape, net.output_shape(net.input_shape)
((1, 3, 128, 128), (1, 1000))
"""

from . import (
    aspp,
    attention,
    audio,
    dcgan,
    deeplab,
    efficientnet,
    fusion,
    graph,
    hybrid,
    inception,
    mixer,
    mobilenet,
    mobilenetv2,
    mobilenetv3,
    scaling,
    sensors,
    temporal,
    unet,
    upsample,
    video,
)

# two of these modules have the name of the function that they define, which takes it over below
__all__ = []
__all__ += aspp.__all__ + dcgan.__all__ + deeplab.__all__ + efficientnet.__all__ + inception.__all__
__all__ += mobilenet.__all__ + mobilenetv2.__all__ + mobilenetv3.__all__ + scaling.__all__ + unet.__all__
__all__ += upsample.__all__
__all__ += attention.__all__ + audio.__all__ + fusion.__all__ + hybrid.__all__ + mixer.__all__
__all__ += sensors.__all__ + temporal.__all__ + video.__all__
__all__ += graph.__all__

from .aspp import *  # noqa: E402, F403
from .attention import *  # noqa: E402, F403
from .audio import *  # noqa: E402, F403
from .dcgan import *  # noqa: E402, F403
from .deeplab import *  # noqa: E402, F403
from .efficientnet import *  # noqa: E402, F403
from .fusion import *  # noqa: E402, F403
from .graph import *  # noqa: E402, F403
from .hybrid import *  # noqa: E402, F403
from .inception import *  # noqa: E402, F403
from .mixer import *  # noqa: E402, F403
from .mobilenet import *  # noqa: E402, F403
from .mobilenetv2 import *  # noqa: E402, F403
from .mobilenetv3 import *  # noqa: E402, F403
from .scaling import *  # noqa: E402, F403
from .sensors import *  # noqa: E402, F403
from .temporal import *  # noqa: E402, F403
from .unet import *  # noqa: E402, F403
from .upsample import *  # noqa: E402, F403
from .video import *  # noqa: E402, F403
