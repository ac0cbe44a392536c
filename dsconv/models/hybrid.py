"""Hybrid networks: patches of an image as tokens, mixed by convolutions or attention, stage by stage."""

from math import ceil

from .. import nn
from ..checks import as_real
from ..geometry import as_integer, items_of
from .attention import AttentionBlock, HybridBlock
from .common import Common, network
from .mixer import PatchEmbedding, TokenMixer
from .proportions import pixels_of, rounded, stretched

__all__ = ["hybrid_vit"]

# channels, blocks
_STAGES = (64, 3), (128, 3), (320, 9), (512, 3)
_MIXERS = {"convolution": TokenMixer, "attention": AttentionBlock, "hybrid": HybridBlock}


def hybrid_vit(
    mixers=("convolution", "convolution", "hybrid", "attention"), *, width=1.0, depth=1.0, resolution=None,
    num_classes=1000, in_channels=3, kernel_size=7, head_size=32, expand=4.0, drop=0.0, dropout=0.0,
    positions=False, **common,
):  # fmt: skip
    """Four stages of tokens, mixed by convolutions where they are many, and by attention where they are few.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``. A `PatchEmbedding` begins each stage,
    at strides of 4, 8, 16 and 32.

    Parameters
    ----------
    mixers : sequence of {"convolution", "attention", "hybrid"}, optional
        Of the stages: `TokenMixer`, `AttentionBlock` or `HybridBlock`. As many stages are made, four at most.
    width : float, optional
        Multiplies the channels (64, 128, 320, 512), which are rounded to multiples of `head_size`.
    depth : float, optional
        Multiplies the blocks (3, 3, 9, 3), rounded up.
    resolution, num_classes, in_channels, dropout
        As for `mobilenet_v1`.
    kernel_size : int, optional
        Of the convolutions that mix tokens.
    head_size : int, optional
        Channels of a head, an even number; in a `HybridBlock` a head has half as many.
    expand, drop
        As for `TokenMixer`; the probability grows linearly from 0 at the first block to this after the last.
    positions : bool, optional
        Whether trained positions are added to the first tokens; then only images of `resolution` fit.
    **common
        `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`; `bn_eps` is that of the
        LayerNorms.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stages``, each of them a Sequential of ``embed`` and ``blocks``, ``pool``, ``norm`` and
        ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] W. Yu et al., "MetaFormer Baselines for Vision", TPAMI 2024, arXiv:2210.13452: CAFormer's stages.

    Examples
    --------
    >>> from dsconv import models
    >>> mixers = ("convolution",) * 4, ("attention",) * 4
    >>> nets = [models.hybrid_vit(each, width=0.5, depth=0.3) for each in mixers]
    >>> [round(net.cost(net.input_shape).macs / 1e6) for net in nets]
    [290, 1098]
    """
    kinds = _checked(mixers)
    common, head_size = Common(**common), as_integer(head_size, "head_size", 2)
    if head_size % 2:
        raise ValueError(f"head_size: must be even, got {head_size}")
    pixels = pixels_of(resolution, 224)
    channels = [rounded(out, width, head_size) for out, _ in _STAGES[: len(kinds)]]
    counts = [len(stretched(range(count), depth)) for _, count in _STAGES[: len(kinds)]]
    drop = as_real(drop, "drop", 0, below=1)
    drops = iter(drop * each / sum(counts) for each in range(sum(counts)))

    def block(kind, width):
        words = {"expand": expand, "drop": next(drops), **common.given}
        if kind != "attention":
            words["kernel_size"] = kernel_size
        heads = () if kind == "convolution" else (width // head_size,)
        return _MIXERS[kind](width, *heads, **words)

    stages, before = [], in_channels
    for kind, width, count in zip(kinds, channels, counts, strict=True):
        words = {"kernel_size": 3} if stages else {"positions": ceil(pixels / 4) if positions else None}
        embed = PatchEmbedding(before, width, 2 if stages else 4, **words, **common.given)
        blocks = nn.Sequential(*(block(kind, width) for _ in range(count)))
        stages.append(nn.Sequential(embed=embed, blocks=blocks))
        before = width
    children = {
        "stages": nn.Sequential(*stages),
        "pool": common.pool(),
        "norm": nn.LayerNorm(before, eps=common.bn_eps, dtype=common.dtype),
        "classifier": common.classifier(before, num_classes, dropout),
    }
    return network(children, common.image_shape(in_channels, pixels))


def _checked(mixers):
    """The names of the stages' blocks."""
    kinds = items_of(mixers)
    if kinds is None or not 1 <= len(kinds) <= len(_STAGES) or any(kind not in _MIXERS for kind in kinds):
        rule = f"expected 1 to {len(_STAGES)} of {', '.join(_MIXERS)}"
        raise ValueError(f"mixers: {rule}, got {mixers!r}")
    return kinds
