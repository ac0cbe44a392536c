"""Sound: DS-CNN for keywords, over time and bands of a spectrogram; tags of music, over time alone."""

from ..geometry import as_integer
from .common import Common, Common1d, network, stack
from .mobilenet import MobileNetBlock
from .proportions import pixels_of, rounded, stretched, strides_of
from .temporal import temporal_features

__all__ = ["keyword_spotter", "music_tagger"]

# channels, blocks, stride of the stem and of the first block (time, bands)
_VARIANTS = {
    "s": (64, 4, (2, 2), (1, 1)),
    "m": (172, 4, (2, 1), (2, 2)),
    "l": (276, 5, (2, 1), (2, 2)),
}


def keyword_spotter(
    variant="s", *, width=1.0, depth=1.0, resolution=None, bands=10, num_classes=12, in_channels=1,
    separable=True, dropout=0.0, padding="same", **common,
):  # fmt: skip
    """DS-CNN: a standard 10x4 stem, then 4 or 5 `MobileNetBlock`, mean and linear classifier.

    Shapes: spectrograms or cepstra ``(N, in_channels, time, bands)`` to logits ``(N, num_classes)``. It is
    two-dimensional: a filter looks along time and bands. `temporal_spotter` looks along time alone.

    Parameters
    ----------
    variant : {"s", "m", "l"}, optional
        64, 172 or 276 channels and 4, 4 or 5 blocks.
    width : float, optional
        Multiplies the channels, which are rounded to multiples of 4.
    depth : float, optional
        Multiplies the blocks, rounded up.
    resolution : int or float, optional
        Frames along time that ``input_shape`` tells, or as a float a multiple of the published 49, which are
        one second in steps of 20 ms.
    bands : int, optional
        Of ``input_shape``; the published 10 are cepstral coefficients.
    num_classes, in_channels, separable, dropout
        As for `mobilenet_v1`.
    padding : {"same", "half"}, optional
        As for `MobileNetBlock`.
    **common
        `bn_eps`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] Y. Zhang, N. Suda, L. Lai, V. Chandra, "Hello Edge: Keyword Spotting on Microcontrollers", 2017,
       arXiv:1711.07128.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.keyword_spotter("s").fold()
    >>> cost = net.cost(net.input_shape)
    >>> net.input_shape, cost.macs, cost.params
    ((1, 1, 49, 10), 2656768, 22604)
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant: expected one of {', '.join(_VARIANTS)}, got {variant!r}")
    common, (channels, repeats, first, second) = Common(padding=padding, **common), _VARIANTS[variant]
    channels, frames = rounded(channels, width, 4), pixels_of(resolution, 49)
    blocks = [(channels, {"stride": stride}) for stride in strides_of(second, repeats, depth)]

    def block(channels, out, **words):
        return MobileNetBlock(channels, out, separable=separable, **words)

    children = {
        "stem": common.conv(in_channels, channels, (10, 4), stride=first, activation="relu"),
        "stages": stack(block, channels, [blocks], common),
        "pool": common.pool(),
        "classifier": common.classifier(channels, num_classes, dropout),
    }
    return network(children, common.map_shape(in_channels, frames, as_integer(bands, "bands", 1)))


def music_tagger(
    *, width=1.0, depth=1.0, resolution=None, bands=96, num_classes=50, kernel_size=9, separable=True,
    dropout=0.5, **common,
):  # fmt: skip
    """Tags of a whole piece: `TemporalBlock` with the bands as channels, halving time, mean and classifier.

    Shapes: ``(N, bands, time)`` to logits ``(N, num_classes)``, one for each tag on its own
    (`dsconv.training.binary_cross_entropy`). No music is shipped: shapes, gradients and cost are tested, and
    nothing is claimed about accuracy.

    Parameters
    ----------
    width : float, optional
        Multiplies the channels, which are 64, and 128 and 256 later on.
    depth : float, optional
        Multiplies the two blocks of each of the five stages, rounded up.
    resolution : int or float, optional
        Frames that ``input_shape`` tells, or as a float a multiple of the 1366 (29 seconds) of [1]_.
    bands, num_classes, kernel_size, separable, dropout, **common
        As for `temporal_spotter`, and `padding` as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] K. Choi et al., "Convolutional Recurrent Neural Networks for Music Classification", ICASSP 2017,
       arXiv:1609.04243: the spectrograms and the tags.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.music_tagger()
    >>> net.input_shape, net.output_shape(net.input_shape)
    ((1, 96, 1366), (1, 50))
    """
    words = {"kernel_size": kernel_size, "separable": separable}
    plans = (64, 128, 128, 256, 256)
    stages = [[(out, stride, 1) for stride in stretched((2, 1), depth)] for out in plans]
    common, shape = Common1d(**common), (as_integer(bands, "bands", 1), pixels_of(resolution, 1366))
    children, last = temporal_features(shape[0], (64, 1), stages, width, words, common)
    children |= {"pool": common.pool(), "classifier": common.classifier(last, num_classes, dropout)}
    return network(children, common.map_shape(*shape))
