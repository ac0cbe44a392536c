"""What the plots share. Nothing here is imported before the first plot."""

import numpy as np


def new_axes(ax):
    """The axes to draw on."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots()[1]


def show_map(ax, values, label, low=None):
    """Bars for one axis, an image with a colour bar for two."""
    values = np.asarray(values)
    if values.ndim not in (1, 2):
        raise ValueError(f"expected one or two spatial axes to draw, got {values.ndim}")
    if values.ndim == 1:
        ax.bar(np.arange(len(values)), values, width=0.9)
        ax.set_xlabel("position")
        ax.set_ylabel(label)
        return ax
    image = ax.imshow(values, cmap="viridis", interpolation="nearest", vmin=low)
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax
