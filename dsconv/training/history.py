"""What happened in training, epoch by epoch."""

import numpy as np

from ..nn.report import html_of

__all__ = ["History"]

_SHOWN = 20  # rows of the notebook's table; epochs in between are left out


class History:
    """Losses and metrics of each epoch, as `fit` returns them.

    Attributes
    ----------
    epochs : list of dict
        For each epoch ``"loss"``, ``"val_loss"`` where there was validation, the metrics (those of validation
        with ``val_`` before the name) and ``"lr"``, the learning rate of its last step.
    seconds : list of float
        How long each epoch took. Not part of comparisons.
    stopped : str or None
        Why training ended before the last epoch: ``"patience"``, ``"interrupt"``, or None.
    best_epoch : int or None
        The epoch, from 0, whose monitored value was best.

    Examples
    --------
    >>> from dsconv.training import History
    >>> history = History([{"loss": 2.0, "lr": 0.1}, {"loss": 1.0, "lr": 0.1}])
    >>> history["loss"].tolist(), len(history)
    ([2.0, 1.0], 2)
    >>> print(history)
    epoch  loss   lr
        0     2  0.1
        1     1  0.1
    """

    def __init__(self, epochs=(), seconds=()):
        self.epochs = list(epochs)
        self.seconds = list(seconds)
        self.stopped = None
        self.best_epoch = None

    @property
    def names(self):
        """The names of what was recorded, in order."""
        return list(dict.fromkeys(name for epoch in self.epochs for name in epoch))

    def __getitem__(self, name):
        if name not in self.names:
            raise KeyError(f"no {name!r} in this history; there are {', '.join(self.names)}")
        return np.array([epoch.get(name, np.nan) for epoch in self.epochs])

    def __len__(self):
        return len(self.epochs)

    def __eq__(self, other):
        return isinstance(other, History) and self.epochs == other.epochs

    __hash__ = None

    # ---- text, tables, plots --------------------------------------------------------------------
    def _cells(self):
        head = ["epoch", *self.names]
        rows = [
            [str(number), *(f"{epoch[name]:.5g}" if name in epoch else "" for name in self.names)]
            for number, epoch in enumerate(self.epochs)
        ]
        return head, rows

    def __repr__(self):
        head, rows = self._cells()
        if not rows:
            return "History of no epoch"
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in [head, *rows]
        ]
        return "\n".join(lines)

    def _repr_html_(self):
        head, rows = self._cells()
        if len(rows) > _SHOWN:
            rows = [*rows[: _SHOWN // 2], ["…"] * len(head), *rows[-_SHOWN // 2 :]]
        return html_of(head, rows)

    def plot(self, *names, ax=None):
        """Curves over the epochs; needs matplotlib.

        Parameters
        ----------
        *names : str
            Which of `names`; the losses if none is given.
        ax : matplotlib.axes.Axes, optional
            Where to draw; new axes if not given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        KeyError
            For a name that was not recorded.
        ImportError
            Without matplotlib.
        """
        from matplotlib.ticker import MaxNLocator

        names = names or [name for name in ("loss", "val_loss") if name in self.names]
        curves = {name: self[name] for name in names}
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
        for name, values in curves.items():
            ax.plot(np.arange(len(values)), values, marker=".", label=name)
        if self.best_epoch is not None:
            ax.axvline(self.best_epoch, color="grey", linewidth=0.8, linestyle=":", label="best epoch")
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if curves:
            ax.legend()
        return ax
