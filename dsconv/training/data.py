"""Batches: arrays cut up for `fit`, in another order in each epoch."""

import numpy as np

from ..checks import as_callable
from ..geometry import as_integer

__all__ = ["Batches"]


class Batches:
    """Arrays in batches, which `fit` shuffles anew for each epoch.

    Parameters
    ----------
    x, y : array_like, shape (samples, ...)
        Inputs and targets.
    batch_size : int, optional
        The last batch of an epoch may be smaller.
    shuffle : bool, optional
        Whether `fit` takes the samples in random order.
    transform : callable, optional
        ``transform(x, y, rng) -> (x, y)`` on each batch that `fit` trains on: augmentation. What it draws, it
        must draw from the Generator `rng`.
    context : dict, optional
        Keywords for the layer, the same for each batch.

    Notes
    -----
    Iterating goes through the samples in their order, without `transform`, as for validation. The order in
    training depends on the seed of `fit` and the epoch alone, so it is the same after resuming.

    Raises
    ------
    ValueError, TypeError
        For arrays of different lengths, and a batch size below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv.training import Batches
    >>> data = Batches(np.arange(5.0), np.arange(5), batch_size=2)
    >>> len(data), [y.tolist() for x, y in data]
    (3, [[0, 1], [2, 3], [4]])
    >>> [y.tolist() for x, y in data.shuffled(np.random.default_rng(0))]
    [[2, 4], [3, 0], [1]]
    """

    def __init__(self, x, y, batch_size=32, *, shuffle=True, transform=None, context=None):
        for name, value in (("x", x), ("y", y)):
            if isinstance(value, (tuple, dict)):
                raise TypeError(f"{name}: expected one array, got {type(value).__name__}")
        self.x, self.y = np.asarray(x), np.asarray(y)
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise ValueError(
                f"y: must be as long as x along axis 0, got shapes {self.x.shape} and {self.y.shape}"
            )
        self.batch_size = as_integer(batch_size, "batch_size", 1)
        self.shuffle = bool(shuffle)
        self.transform = transform and as_callable(transform, "transform", "transform(x, y, rng)")
        if context is not None and not isinstance(context, dict):
            raise TypeError(f"context: expected a dict, got {type(context).__name__}")
        self.context = context

    def __len__(self):
        return (len(self.x) + self.batch_size - 1) // self.batch_size

    def __iter__(self):
        return self._batches(np.arange(len(self.x)), None)

    def shuffled(self, rng):
        """The batches of one epoch of training; the Generator `rng` decides order and transformation."""
        count = len(self.x)
        return self._batches(rng.permutation(count) if self.shuffle else np.arange(count), rng)

    def _batches(self, order, rng):
        for begin in range(0, len(order), self.batch_size):
            chosen = order[begin : begin + self.batch_size]
            x, y = self.x[chosen], self.y[chosen]
            if rng is not None and self.transform is not None:
                x, y = self.transform(x, y, rng)
            yield (x, y) if self.context is None else (x, y, self.context)

    def __repr__(self):
        return f"Batches({len(self.x)} samples, x {self.x.shape}, y {self.y.shape}, {len(self)} batches)"
