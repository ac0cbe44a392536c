"""What the plots share. Nothing here is imported before the first plot."""

import numpy as np


def new_axes(ax):
    """The axes to draw on."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def whole_ticks(*axes):
    """No ticks between integers."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(integer=True))


def show_map(ax, values, label, low=None):
    """Bars for one axis, an image with a colour bar for two."""
    values = np.asarray(values)
    if values.ndim == 1:
        ax.bar(np.arange(len(values)), values, width=0.9)
        ax.set_xlabel("position")
        ax.set_ylabel(label)
        whole_ticks(ax.xaxis)
        if values.dtype.kind in "iu":
            whole_ticks(ax.yaxis)
        return ax
    image = ax.imshow(values, cmap="viridis", interpolation="nearest", vmin=low)
    bar = ax.figure.colorbar(image, ax=ax, label=label)
    if values.dtype.kind in "iu":
        bar.set_ticks(range(int(values.max()) + 1)) if values.max() < 10 else whole_ticks(bar.ax.yaxis)
    ax.set_xlabel("position along the last axis")
    ax.set_ylabel("position along the axis before")
    whole_ticks(ax.xaxis, ax.yaxis)
    return ax
