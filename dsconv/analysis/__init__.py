"""What layers do to their input, in numbers and plots: overlap, checkerboards, receptive fields, ranks.

>>> from dsconv import analysis, nn
>>> net = nn.Sequential(nn.SeparableConv2d(3, 8, 3), nn.SeparableConv2d(8, 8, 3, dilation=2))
>>> analysis.receptive_field(net)
((7, 1, 0), (7, 1, 0))
"""

from . import field, overlap, phases, rank
from .field import *  # noqa: F403
from .overlap import *  # noqa: F403
from .phases import *  # noqa: F403
from .rank import *  # noqa: F403

__all__ = field.__all__ + overlap.__all__ + phases.__all__ + rank.__all__
