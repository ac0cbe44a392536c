"""Training: losses, optimizers, schedules, and a loop that can be stopped and goes on with the same bits.

>>> import numpy as np
>>> from dsconv import nn, training
>>> x = np.linspace(-1, 1, 32, dtype=np.float32).reshape(-1, 1)
>>> net = nn.Linear(1, 1, rng=0)
>>> data = training.Batches(x, 2 * x + 1, batch_size=8)
>>> history = training.fit(
...     net, data, training.mean_squared_error, training.Adam(net, 0.1), epochs=40, progress=False
... )
>>> bool(history["loss"][-1] < 1e-2)
True
"""

from . import checkpoint, data, history, losses, metrics, optimizers, schedules, steps
from .checkpoint import *  # noqa: F403
from .data import *  # noqa: F403
from .history import *  # noqa: F403
from .loop import fit
from .losses import *  # noqa: F403
from .metrics import *  # noqa: F403
from .optimizers import *  # noqa: F403
from .schedules import *  # noqa: F403
from .steps import *  # noqa: F403

__all__ = ["fit"]
__all__ += checkpoint.__all__ + data.__all__ + history.__all__ + losses.__all__ + metrics.__all__
__all__ += optimizers.__all__ + schedules.__all__ + steps.__all__
