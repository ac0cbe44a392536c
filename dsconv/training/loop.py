"""`fit`: the loop over epochs, with validation, early stop and checkpoints."""

import os
import time
from collections.abc import Iterator

import numpy as np

from ..checks import as_callable
from ..geometry import as_integer
from ..nn.layer import Layer
from .checkpoint import load_checkpoint, save_checkpoint
from .history import History
from .interrupts import uninterrupted
from .optimizers import Optimizer
from .progress import Progress
from .steps import DivergenceError, Means, evaluate, factor_of, modes_of, restore_modes, train_step, unpacked

__all__ = ["fit"]


def fit(
    layer, data, loss, optimizer, *, epochs, validation=None, metrics=(), schedule=None, rng=0,
    checkpoint=None, resume=True, patience=None, monitor=None, mode="min", restore_best=False, progress=True,
):  # fmt: skip
    """Train a layer.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        Its parameters and running statistics change, in place. It is trained in training mode; layers inside
        that were switched to inference stay so. Afterwards each is in the mode it had before.
    data : iterable
        Of ``(x, y)`` or ``(x, y, context)``, where `context` is a dict of keywords for the layer; iterated
        anew in each epoch. If it has a method ``shuffled(rng)``, as `Batches` has, what that returns is.
    loss : callable
        ``loss(y, target) -> (value, grad)``.
    optimizer : SGD or Adam
        Made for this layer.
    epochs : int
        How many there are in all, those before a resumed checkpoint included.
    validation : iterable, optional
        As `data`; evaluated in inference mode after each epoch.
    metrics : sequence of callables, or dict of them by name, optional
        ``metric(y, target) -> float``. Means over an epoch weigh batches by their samples, as for the loss.
    schedule : callable, optional
        ``schedule(epoch, epochs) -> factor`` of the learning rate.
    rng : None, int or numpy.random.Generator, optional
        The seed of all that is drawn, order of samples and dropout: epoch and batch number the streams.
    checkpoint : str or path-like, optional
        A file that is written after each epoch, whole at every moment.
    resume : bool, optional
        Whether to go on from `checkpoint` where it exists, with the bits of a run that was never stopped.
    patience : int, optional
        Stop after so many epochs without an improvement.
    monitor : str, optional
        What has to improve; ``"val_loss"`` with validation, else ``"loss"``, if not given.
    mode : {"min", "max"}, optional
        Whether less of it is better, or more.
    restore_best : bool, optional
        Whether the layer ends with the parameters and statistics after its best epoch.
    progress : bool, optional
        Whether to show a bar, or without tqdm a line per epoch: on standard error, in a
        notebook on its output.

    Returns
    -------
    History
        Also after Ctrl-C, with the weights of the last whole step.

    Raises
    ------
    DivergenceError
        A FloatingPointError that names epoch and batch, both from 0, where the loss, a new parameter or
        a running statistic is not finite. The weights are those before that step; its `history` has the
        epochs before.
    ValueError, TypeError
        For arguments that do not fit, data that cannot be iterated again, a checkpoint of another network.

    Notes
    -----
    No bit depends on the number of threads of dsconv. Layers that multiply matrices with NumPy (`Conv`,
    `SelfAttention`) are as reproducible as its BLAS.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn, training
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((64, 2)).astype(np.float32)
    >>> data = training.Batches(x, (x[:, 0] > x[:, 1]).astype(int), batch_size=16)
    >>> net = nn.Linear(2, 2, rng=0)
    >>> optimizer = training.Adam(net, 0.1)
    >>> history = training.fit(net, data, training.cross_entropy, optimizer, epochs=5, progress=False)
    >>> len(history), bool(history["loss"][-1] < history["loss"][0])
    (5, True)
    """
    run = _Run(layer, data, loss, optimizer, as_integer(epochs, "epochs", 1), validation, metrics, schedule)
    run.watch(monitor, mode, patience, restore_best)
    run.begin(rng, checkpoint, resume)
    return run.all_epochs(progress)


class _Run:
    """One call of `fit`: its arguments, checked, and what is known so far."""

    def __init__(self, layer, data, loss, optimizer, epochs, validation, metrics, schedule):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer: expected SGD(layer, ...) or Adam(layer, ...), got {optimizer!r}")
        if optimizer.layer is not layer:
            raise ValueError(
                "optimizer: was made for another layer than the one to train; to train a part of a network, "
                "choose its parameters by `only`"
            )
        self.layer, self.optimizer, self.epochs = layer, optimizer, epochs
        self.loss = as_callable(loss, "loss", "loss(y, target)")
        self.schedule = schedule and as_callable(schedule, "schedule", "schedule(epoch, epochs)")
        self.metrics = _named(metrics)
        self.data = _iterable(data, "data", epochs)
        self.validation = None if validation is None else _iterable(validation, "validation", epochs)
        self.batches = len(data) if hasattr(data, "__len__") else None
        self.history, self.best, self.best_value, self.stale = History(), None, None, 0

    def watch(self, monitor, mode, patience, restore_best):
        """What counts as better, and what follows from it."""
        names = ["loss", *self.metrics]
        names += [] if self.validation is None else [f"val_{name}" for name in names]
        self.monitor = monitor or ("loss" if self.validation is None else "val_loss")
        if self.monitor not in names:
            raise ValueError(f"monitor: expected one of {', '.join(names)}, got {monitor!r}")
        if mode not in ("min", "max"):
            raise ValueError(f'mode: expected "min" or "max", got {mode!r}')
        self.sign = 1 if mode == "min" else -1
        self.patience = None if patience is None else as_integer(patience, "patience", 1)
        self.restore_best = bool(restore_best)

    # ---- checkpoints ----------------------------------------------------------------------------
    def begin(self, rng, checkpoint, resume):
        """The seed, and the state to begin with."""
        self.seed = _seed(rng)
        self.checkpoint = None if checkpoint is None else _writable(checkpoint)
        if self.checkpoint is not None and resume and os.path.exists(self.checkpoint):
            self._resume(*load_checkpoint(self.checkpoint), fixed=isinstance(rng, (int, np.integer)))

    def _resume(self, arrays, values, fixed):
        if fixed and values["seed"] != self.seed:
            raise ValueError(
                f"rng: the checkpoint {self.checkpoint!r} was begun with the seed {values['seed']}, got "
                f"{self.seed}; resume=False begins anew"
            )
        watched = [self.monitor, self.sign, self.restore_best]
        if values["watched"] != watched:
            raise ValueError(
                f"checkpoint: {self.checkpoint!r} was begun with [monitor, sign, restore_best] = "
                f"{values['watched']}, got {watched}"
            )
        parts = {"layer": {}, "best": {}, "optimizer": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
        former = self.optimizer.state_dict()
        with uninterrupted():
            try:
                self.optimizer.load_state_dict(parts["optimizer"] | values["optimizer"])
                self.layer.load_state_dict(parts["layer"])
            except ValueError as error:
                self.optimizer.load_state_dict(former)
                raise ValueError(f"checkpoint: {self.checkpoint!r} does not fit: {error}") from error
        self.seed, self.best = values["seed"], parts["best"] or None
        self.best_value, self.stale = values["best_value"], values["stale"]
        self.history = History(values["epochs"], values["seconds"])
        self.history.best_epoch = values["best_epoch"]
        self._stop_if_stale()

    def _save(self):
        optimizer = self.optimizer.state_dict()
        numbers = {name: value for name, value in optimizer.items() if not isinstance(value, np.ndarray)}
        parts = {"layer": self.layer.state_dict(), "best": self.best or {}}
        parts["optimizer"] = {name: value for name, value in optimizer.items() if name not in numbers}
        arrays = {f"{part}/{name}": array for part, each in parts.items() for name, array in each.items()}
        values = {"seed": self.seed, "optimizer": numbers, "best_value": self.best_value, "stale": self.stale}
        values |= {"epochs": self.history.epochs, "seconds": self.history.seconds}
        values |= {"best_epoch": self.history.best_epoch}
        values |= {"watched": [self.monitor, self.sign, self.restore_best]}
        save_checkpoint(self.checkpoint, arrays, values)

    # ---- epochs ---------------------------------------------------------------------------------
    def all_epochs(self, shown):
        """The loop; its history."""
        modes = modes_of(self.layer)
        bar = Progress(shown, self.epochs, len(self.history), self.batches)
        try:
            if not self.layer.training:
                self.layer.train()
            while len(self.history) < self.epochs and self.history.stopped is None:
                self._epoch(len(self.history), bar)
        except KeyboardInterrupt:
            self.history.stopped = "interrupt"
        finally:
            bar.close()
            restore_modes(modes)
        if self.restore_best and self.best is not None:
            with uninterrupted():
                self.layer.load_state_dict(self.best)
        return self.history

    def _epoch(self, epoch, bar):
        began = time.perf_counter()
        record = self._trained(epoch, bar)
        if self.validation is not None:
            values = evaluate(self.layer, self.validation, self.loss, self.metrics)
            record |= {f"val_{name}": value for name, value in values.items()}
        record["lr"] = self.rate
        with uninterrupted():
            self.history.epochs.append(record)
            self.history.seconds.append(time.perf_counter() - began)
            self._judge(epoch, record[self.monitor])
        if self.checkpoint is not None:
            self._save()
        bar.epoch(epoch, record)

    def _trained(self, epoch, bar):
        """Means over one pass of training."""
        draws = "rng" in self.layer.context_names
        means, batch = Means(self.metrics), -1
        for batch, item in enumerate(self._batches(epoch)):
            x, target, context = unpacked(item, "data", batch)
            if draws:
                context.setdefault("rng", _stream(self.seed, epoch, batch + 1))
            factor = factor_of(self.schedule, epoch, batch, self.batches, self.epochs)
            try:
                value, result = train_step(
                    self.layer, self.loss, self.optimizer, (x, target, context), factor
                )
            except DivergenceError as error:
                error.args = (f"epoch {epoch}, batch {batch}: {error}; the weights are those before it",)
                error.history = self.history
                raise
            self.rate = self.optimizer.lr * factor
            means.add(value, result, target)
            bar.batch(epoch, value)
        if batch < 0:
            rule = "yielded no batch" if epoch == 0 else f"was exhausted when epoch {epoch} began"
            raise ValueError(f"data: {rule}; it must begin anew whenever it is iterated, as a list does")
        return means.values()

    def _batches(self, epoch):
        if hasattr(self.data, "shuffled"):
            return self.data.shuffled(_stream(self.seed, epoch, 0))
        return iter(self.data)

    def _judge(self, epoch, value):
        """Note the best epoch, and whether it is time to stop."""
        better = self.best_value is None or self.sign * value < self.sign * self.best_value
        if better and not np.isnan(value):
            self.best_value, self.stale, self.history.best_epoch = value, 0, epoch
            if self.restore_best:
                self.best = self.layer.state_dict()
            return
        self.stale += 1
        self._stop_if_stale()

    def _stop_if_stale(self):
        if self.patience is not None and self.stale >= self.patience:
            self.history.stopped = "patience"


# ---- arguments -----------------------------------------------------------------------------------
def _named(metrics):
    """Metrics by name."""
    if callable(metrics):
        raise TypeError("metrics: expected a sequence of functions, or a dict of them, got one function")
    if not isinstance(metrics, dict):
        if not hasattr(metrics, "__iter__"):
            raise TypeError(f"metrics: expected a sequence of functions, got {metrics!r}")
        each = list(metrics)
        metrics = {getattr(metric, "__name__", f"metric{i}"): metric for i, metric in enumerate(each)}
        if len(metrics) < len(each):
            raise ValueError("metrics: two have the same name; a dict gives them others")
    for name, metric in metrics.items():
        as_callable(metric, f"metrics[{name!r}]", "metric(y, target)")
    if "loss" in metrics or "lr" in metrics:
        raise ValueError("metrics: the names loss and lr are taken")
    return dict(metrics)


def _iterable(data, name, epochs):
    if isinstance(data, tuple) and any(isinstance(each, np.ndarray) for each in data):
        raise TypeError(f"{name}: expected an iterable of batches, got one pair; [(x, y)] has one batch")
    if not hasattr(data, "__iter__") or isinstance(data, (str, bytes, dict, np.ndarray)):
        raise TypeError(f"{name}: expected an iterable of (x, y), such as Batches, got {type(data).__name__}")
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"{name}: a generator is exhausted after one epoch, and there are {epochs}; give a list, "
            "Batches, or an object whose __iter__ begins anew"
        )
    return data


def _writable(checkpoint):
    """The path, if a file may stand there: better to know before an epoch than after it."""
    try:
        path = os.fspath(checkpoint)
    except TypeError:
        raise TypeError(f"checkpoint: expected a path, got {checkpoint!r}") from None
    if not os.path.isdir(os.path.dirname(path) or os.curdir):
        raise FileNotFoundError(f"checkpoint: there is no directory for {path!r}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"checkpoint: {path!r} is a directory")
    return path


def _seed(rng):
    """An integer that all streams derive from."""
    if isinstance(rng, bool) or not isinstance(rng, (int, np.integer, np.random.Generator, type(None))):
        raise TypeError(f"rng: expected None, an integer or a Generator, got {type(rng).__name__}")
    if isinstance(rng, (int, np.integer)):
        return as_integer(rng, "rng", 0)
    return int(np.random.default_rng(rng).integers(2**63))


def _stream(seed, *key):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
