"""Tokens on a grid: cut out of an image, and mixed by a separable convolution."""

from .. import nn
from ..geometry import as_integer, per_axis
from .common import common_of
from .proportions import positive

__all__ = ["PatchEmbedding", "TokenMixer"]


def layer_norm(channels, common):
    """Over the channels, with the epsilon that the builder was given."""
    return nn.LayerNorm(channels, eps=common.bn_eps, **common.layout, dtype=common.dtype)


def separable(channels, kernel_size, common):
    """The convolution that mixes tokens."""
    return common.of_rank("SeparableConv")(channels, channels, kernel_size, padding="same", **common.words)


def bodies(channels, mix, expand, activation, drop, common):
    """Tokens mixed by a layer, then channels by two pointwise ones, each after a norm beside a shortcut."""
    hidden = max(round(channels * positive(expand, "expand")), 1)
    inner = {
        "expand": common.pointwise(channels, hidden, activation=activation),
        "project": common.pointwise(hidden, channels),
    }
    made = {}
    for name, body in (("tokens", {"mix": mix}), ("channels", inner)):
        last = {"drop": nn.StochasticDepth(drop)} if drop else {}
        chain = nn.Sequential(norm=layer_norm(channels, common), **body, **last)
        made[name] = nn.Residual(chain)
    return made


class TokenMixer(nn.Sequential):
    """Tokens mixed with their neighbours by a separable convolution: local, the same everywhere, linear cost.

    Shapes: ``(N, channels, *spatial)`` to the same. A LayerNorm is before each of the two residual bodies:
    the separable convolution, and a pointwise layer, activation and pointwise layer.

    Parameters
    ----------
    channels : int
    kernel_size : int or tuple of int, optional
    expand : float, optional
        Channels inside the second body over `channels`.
    activation : str, optional
        There.
    drop : float, optional
        Probability that a sample's body is dropped in training.
    rank : {2, 1, 3}, optional
        Number of spatial axes; with 1 and ``"channels_last"`` the input is tokens ``(N, T, channels)``.
    **common
        `data_format`, `dtype` and `rng`, as for `MobileNetBlock`; `bn_eps` is that of the LayerNorms.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] W. Yu et al., "MetaFormer Baselines for Vision", TPAMI 2024, arXiv:2210.13452.

    Examples
    --------
    >>> from dsconv import models
    >>> blocks = models.TokenMixer(64), models.AttentionBlock(64)
    >>> [[block.tokens.cost((1, 64, n, n)).macs for n in (14, 56)] for block in blocks]
    [[1417472, 22679552], [8128512, 1310195712]]
    """

    def __init__(
        self, channels, *, kernel_size=7, expand=4.0, activation="gelu", drop=0.0, rank=2, **common
    ):  # fmt: skip
        common, channels = common_of(rank)(**common), as_integer(channels, "channels", 1)
        mix = separable(channels, kernel_size, common)
        super().__init__(**bodies(channels, mix, expand, activation, drop, common))


class PatchEmbedding(nn.Sequential):
    """An image cut into patches, each a token: a standard convolution whose stride is the patch, a LayerNorm.

    Shapes: ``(N, in_channels, *spatial)`` to ``(N, channels, *spatial/patch)``, rounded up.

    Parameters
    ----------
    in_channels, channels : int
    patch : int or tuple of int, optional
        Size of a patch along each spatial axis.
    kernel_size : int or tuple of int, optional
        Larger than the patch where patches overlap, with `padding`; that of the patch if not given.
    positions : int or tuple of int, optional
        Tokens along each axis, for a trained array that is added to them (`dsconv.nn.PositionEmbedding`);
        the size of the image is fixed then. Without it there is none.
    rank : {2, 1, 3}, optional
        Number of spatial axes.
    **common
        `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`; `bn_eps` is that of the
        LayerNorm.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929.

    Examples
    --------
    >>> from dsconv import models
    >>> models.PatchEmbedding(3, 64, 16, positions=14).output_shape((1, 3, 224, 224))
    (1, 64, 14, 14)
    """

    def __init__(
        self, in_channels, channels, patch=16, *, kernel_size=None, positions=None, rank=2, **common
    ):  # fmt: skip
        common = common_of(rank)(**common)
        stride = per_axis(patch, "patch", rank, 1)
        # whole patches, of odd sizes too: a rest is padded at the end, and otherwise nothing
        padding = "same" if kernel_size is None else None
        kernel_size = stride if kernel_size is None else kernel_size
        geometry = common.geometry(kernel_size, stride=stride, padding=padding)
        conv = common.of_rank("Conv")(in_channels, channels, kernel_size, **geometry, **common.words)
        chain = {"conv": conv, "norm": layer_norm(conv.out_channels, common)}
        if positions is not None:
            sizes = common.map_shape(channels, *per_axis(positions, "positions", rank, 1))[1:]
            chain["positions"] = nn.PositionEmbedding(*sizes, dtype=common.dtype, rng=common.words["rng"])
        super().__init__(**chain)
