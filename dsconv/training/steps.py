"""One pass over the data: batches in, means out, each step taken whole."""

import numpy as np

from ..checks import as_real
from .interrupts import uninterrupted

__all__ = ["DivergenceError"]


class DivergenceError(FloatingPointError):
    """A loss, a gradient or a running statistic that is not finite; the weights are those before the step.

    Attributes
    ----------
    history : History
        The epochs before.
    """

    history = None


class Means:
    """Means of losses and metrics over the samples of an epoch."""

    def __init__(self, metrics):
        self._metrics = metrics
        self._sums = dict.fromkeys(("loss", *metrics), 0.0)
        self._samples = 0

    def add(self, loss, result, target):
        count = _samples(target)
        self._samples += count
        self._sums["loss"] += loss * count
        for name, metric in self._metrics.items():
            self._sums[name] += float(metric(result, target)) * count

    def values(self):
        return {
            name: total / self._samples if self._samples else float("nan")
            for name, total in self._sums.items()
        }


def _samples(target):
    shape = np.shape(target) if not isinstance(target, (tuple, dict)) else ()
    return shape[0] if shape else 1


def unpacked(item, name, batch):
    """x, target and context of what `data` yielded."""
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        got = f"{len(item)} items" if isinstance(item, (tuple, list)) else type(item).__name__
        raise TypeError(f"{name}: must yield (x, y) or (x, y, context), got {got} as batch {batch}")
    x, target, context = item if len(item) == 3 else (*item, None)
    if context is not None and not isinstance(context, dict):
        raise TypeError(f"{name}: the context of batch {batch} must be a dict, got {type(context).__name__}")
    return x, target, dict(context or {})


def evaluated_loss(loss, result, target):
    """Value and gradient of a loss, whoever wrote it."""
    pair = loss(result, target)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(f"loss: must return (value, grad), got {type(pair).__name__}")
    return float(pair[0]), pair[1]


def train_step(layer, loss, optimizer, batch, factor):
    """One step on ``(x, target, context)``: the loss and the result, or an exception and nothing written."""
    x, target, context = batch
    result, pullback = layer.vjp(x, **context)
    value, gradient = evaluated_loss(loss, result, target)
    if not np.isfinite(value):
        raise DivergenceError(f"the loss is {value}")
    writes = _planned(optimizer, pullback(gradient)[1], factor)
    statistics = getattr(pullback, "buffers", {})
    for name, array in statistics.items():
        if not np.isfinite(array).all():
            raise DivergenceError(f"the running statistic {name} would not be finite")
    buffers = layer.buffers
    with uninterrupted():
        optimizer.commit(writes)
        for name, array in statistics.items():
            buffers[name][...] = array
    return value, result


def _planned(optimizer, grads, factor):
    try:
        return optimizer.planned(grads, factor)
    except FloatingPointError as error:
        raise DivergenceError(str(error)) from error


def factor_of(schedule, epoch, batch, batches, epochs):
    """The schedule at the middle of a batch, or of the epoch where nobody knows how many batches it has."""
    if schedule is None:
        return 1.0
    inside = 0.5 if not batches else min((batch + 0.5) / batches, 1)
    return as_real(schedule(epoch + inside, epochs), "schedule(epoch, epochs)", 0)


class evaluating:
    """The layer and all inside it in inference mode, and each back in its own mode afterwards."""

    def __init__(self, layer):
        self._layer = layer
        self._modes = modes_of(layer)

    def __enter__(self):
        self._layer.eval()

    def __exit__(self, *exception):
        restore_modes(self._modes)


def modes_of(layer):
    """(layer, whether in training mode) of the layer and all inside it."""
    inside = [each for child in layer.children.values() for each in modes_of(child)]
    return [(layer, layer.training), *inside]


def restore_modes(modes):
    for layer, training in modes:
        layer.training = training


def evaluate(layer, data, loss, metrics):
    """Means of the loss and the metrics over `data`, in inference mode."""
    means = Means(metrics)
    with evaluating(layer):
        batch = -1
        for batch, item in enumerate(data):
            x, target, context = unpacked(item, "validation", batch)
            result = layer(x, **context)
            means.add(evaluated_loss(loss, result, target)[0], result, target)
        if batch < 0:
            raise ValueError("validation: yielded no batch")
    return means.values()
