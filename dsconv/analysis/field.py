"""Receptive fields: what an output may depend on, and how much it does."""

import copy

import numpy as np

from ..geometry import as_integer, items_of
from ..nn.compose import Sequential
from ..nn.layer import Layer
from ..nn.protocol import plain_number
from ..nn.windows import chain_fields, spatial_sizes, with_spatial

__all__ = [
    "effective_receptive_field",
    "plot_effective_receptive_field",
    "plot_receptive_field",
    "receptive_field",
]

_NAMES = 24  # of layers below a plot


def receptive_field(layer):
    """``((size, stride, start), ...)`` per spatial axis: `Layer.receptive_field`.

    An output at position p depends on at most `size` inputs along an axis, from ``start + p*stride`` on.

    Parameters
    ----------
    layer : dsconv.nn.Layer

    Returns
    -------
    tuple of tuple
        One triple alone stands for all axes.

    Raises
    ------
    TypeError
        For anything else than a layer.

    Examples
    --------
    >>> from dsconv import analysis, nn
    >>> net = nn.Sequential(nn.Conv1d(1, 4, 3, stride=2), nn.DepthwiseConv1d(4, 5, dilation=2))
    >>> analysis.receptive_field(net)
    ((19, 2, 0),)
    """
    return _checked(layer).receptive_field()


def _checked(layer):
    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
    return layer


def effective_receptive_field(layer, shape, *, position=None, samples=8, rng=0):
    """How much an output depends on each input position: mean of ``|d y / d x|``.

    The gradient, in inference mode, of the channels at one position of the output, each with a random sign,
    with respect to inputs of normal distribution; averaged over samples and input channels.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        From a map to a map.
    shape : tuple of int
        Of a batch of inputs, ``(N, C, *spatial)`` or ``(N, *spatial, C)``. N counts for nothing.
    position : tuple of int, optional
        Of the output; its middle if not given.
    samples : int, optional
        How many inputs are drawn.
    rng : None, int or numpy.random.Generator, optional
        What they are drawn from.

    Returns
    -------
    ndarray, shape `spatial`

    Raises
    ------
    ValueError, TypeError
        For layers whose result has no position of that kind.

    References
    ----------
    .. [1] W. Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
       NeurIPS 2016, arXiv:1701.04128.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import analysis, nn
    >>> layer = nn.DepthwiseConv1d(1, 3, padding=1)
    >>> layer.weight[...] = [1, -2, 1]
    >>> analysis.effective_receptive_field(layer, (1, 1, 7)).tolist()
    [0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0]
    """
    layer = copy.deepcopy(_checked(layer)).eval()
    samples, rng = as_integer(samples, "samples", 1), np.random.default_rng(rng)
    data_format = format_of(layer)
    shape = one_sample(shape)
    total = np.zeros(spatial_sizes(shape, data_format))
    for _ in range(samples):
        y, pullback = layer.vjp(rng.standard_normal(shape).astype(np.float32))
        at = _position(position, y.shape, len(total.shape), data_format)
        dy = np.zeros_like(y)
        dy[at] = rng.choice([-1, 1], size=dy[at].shape)
        dx = np.abs(pullback(dy)[0][0])
        total += dx.mean(axis=-1 if data_format == "channels_last" else 0)
    return total / samples


def one_sample(shape):
    """The shape of an input, with a batch of one."""
    items = items_of(shape)
    if items is None or len(items) < 3:
        raise TypeError(f"shape: expected that of a batch of maps, such as (1, C, h, w), got {shape!r}")
    return (1, *(as_integer(size, f"shape[{i}]", 1) for i, size in enumerate(items[1:], 1)))


def _position(position, shape, rank, data_format):
    """The index of all channels at one position of the first map."""
    sizes = spatial_sizes(shape, data_format)
    if len(sizes) != rank or 0 in sizes:
        raise ValueError(
            f"layer: its result must be a map of {rank} spatial axes, got shape {shape}; analyse the part of "
            "the network before it pools"
        )
    given = tuple(size // 2 for size in sizes) if position is None else items_of(position)
    if (
        given is None
        or len(given) != rank
        or not all(0 <= p < size for p, size in zip(given, sizes, strict=True))
    ):
        raise ValueError(f"position: must lie in the output of size {sizes}, got {position!r}")
    return with_spatial((0, 0), given, data_format, slice(None))


def format_of(layer):
    """The layout of the first layer inside that has one; channels first if none has."""
    return _own_format(layer) or "channels_first"


def _own_format(layer):
    if hasattr(layer, "data_format"):
        return layer.data_format
    return next(filter(None, map(_own_format, layer.children.values())), None)


# ---- plots ---------------------------------------------------------------------------------------
def plot_receptive_field(layer, *, ax=None):
    """Draw how the receptive field grows along a chain of layers; needs matplotlib.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        Of a `Sequential`, one point for each layer of it, and of chains inside it, that looks beyond its
        own position. Where the field becomes infinite, the curve ends.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from .drawing import new_axes, whole_ticks

    links = dict(_links(_checked(layer), "")) or {type(layer).__name__: layer}
    field, sizes = ((1, 1, 0),), []
    for link in links.values():
        field = chain_fields(field, link.field())
        sizes.append([plain_number(axis[0]) for axis in field])
    ax, rank, curves = new_axes(ax), max(map(len, sizes)), {}
    for axis in range(rank):
        along = tuple(size[axis if len(size) > 1 else 0] for size in sizes)
        curves.setdefault(along, []).append(str(axis))
    for along, axes in curves.items():
        label = f"ax{'es' if len(axes) > 1 else 'is'} {', '.join(axes)}"
        label += "" if np.isfinite(along[-1]) else ", then infinite"
        shown = [each if np.isfinite(each) else np.nan for each in along]
        ax.plot(range(len(along)), shown, marker="o", label=label)
    # every name where there is room for it
    step = -(-len(links) // _NAMES)
    names = list(links)[::step]
    ax.set_xticks(range(0, len(links), step), names, rotation=45, ha="right", fontsize="small")
    ax.set_ylabel("receptive field, input positions")
    ax.set_ylim(bottom=0)
    whole_ticks(ax.yaxis)
    ax.legend()
    return ax


def _links(layer, name):
    """(dotted name, layer) of those in a chain, and in chains inside it, that look beyond their position."""
    if not isinstance(layer, Sequential):
        return [(name or type(layer).__name__, layer)] if layer.field() != ((1, 1, 0),) else []
    prefix = f"{name}." if name else ""
    return [link for key, child in layer.children.items() for link in _links(child, prefix + key)]


def plot_effective_receptive_field(layer, shape, *, position=None, samples=8, rng=0, ax=None):
    """Draw `effective_receptive_field`; needs matplotlib. Of rank 3, sums along the first axis.

    Parameters
    ----------
    layer, shape, position, samples, rng
        As for `effective_receptive_field`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from .drawing import new_axes, show_map

    field = effective_receptive_field(layer, shape, position=position, samples=samples, rng=rng)
    field = field.sum(axis=0) if field.ndim > 2 else field
    return show_map(new_axes(ax), field, "mean |dy/dx|", low=0)
