"""Tokens mixed by self-attention, or some of their channels by a convolution and the others by attention."""

from .. import nn
from ..geometry import as_integer
from .common import common_of
from .mixer import bodies, separable

__all__ = ["AttentionBlock", "HybridBlock"]


class AttentionBlock(nn.Sequential):
    """Tokens mixed by self-attention: over any distance, by content, at a cost quadratic in their number.

    Shapes: ``(N, channels, *spatial)`` to the same; otherwise as `TokenMixer`. A call takes `mask`, as
    `dsconv.nn.SelfAttention`.

    Parameters
    ----------
    channels : int
    heads : int, optional
        A divisor of the channels.
    expand, activation, drop, rank, **common
        As for `TokenMixer`.

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
    >>> tokens = models.AttentionBlock(64, heads=4, rank=1, data_format="channels_last")
    >>> tokens.output_shape((1, 100, 64)), tokens.receptive_field()[0][0]
    ((1, 100, 64), inf)
    """

    def __init__(self, channels, heads=1, *, expand=4.0, activation="gelu", drop=0.0, rank=2, **common):
        common, channels = common_of(rank)(**common), as_integer(channels, "channels", 1)
        mix = nn.SelfAttention(channels, heads, **common.words)
        super().__init__(**bodies(channels, mix, expand, activation, drop, common))


class HybridBlock(nn.Sequential):
    """Some channels convolved, the others attending, then all of them mixed: near and far in one block.

    Shapes: ``(N, channels, *spatial)`` to the same; otherwise as `TokenMixer`.

    Parameters
    ----------
    channels : int
    heads : int, optional
        A divisor of the attending channels.
    attending : int, optional
        How many channels attend, the last ones; half of them, rounded down, if not given.
    kernel_size, expand, activation, drop, rank, **common
        As for `TokenMixer`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] C. Si et al., "Inception Transformer", NeurIPS 2022, arXiv:2205.12956.

    Examples
    --------
    >>> from dsconv import models
    >>> block = models.HybridBlock(64, heads=2, attending=16)
    >>> block.tokens.body.mix.groups.sizes
    (48, 16)
    """

    def __init__(
        self, channels, heads=1, *, attending=None, kernel_size=7, expand=4.0, activation="gelu", drop=0.0,
        rank=2, **common,
    ):  # fmt: skip
        common, channels = common_of(rank)(**common), as_integer(channels, "channels", 2)
        attending = as_integer(channels // 2 if attending is None else attending, "attending", 1)
        if attending >= channels:
            raise ValueError(f"attending: must be less than channels = {channels}, got {attending}")
        near = channels - attending
        branches = {
            "near": separable(near, kernel_size, common),
            "far": nn.SelfAttention(attending, heads, **common.words),
        }
        groups = nn.Split((near, attending), **branches, **common.layout)
        mix = nn.Sequential(groups=groups, fuse=common.pointwise(channels, channels))
        super().__init__(**bodies(channels, mix, expand, activation, drop, common))
