"""Networks that enlarge an image: separable transposed convolutions, and super-resolution."""

from .. import nn
from ..geometry import as_integer
from .common import Common
from .proportions import pixels_of, rounded, stretched

__all__ = ["TransposedUpsampler", "super_resolution"]


class TransposedUpsampler(nn.Sequential):
    """Separable transposed convolution, BatchNorm and activation: a map at a multiple of its size.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, factor*h, factor*w)``.

    Parameters
    ----------
    in_channels, out_channels : int
    factor : int, optional
    kernel_size : int, optional
        ``2*factor`` if not given: where it is a multiple of the factor, each output is reached by equally
        many taps, without which checkerboards appear.
    activation : str or None, optional
    norm : bool, optional
        Whether there is a BatchNorm; else the convolution has a bias.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. Odena, V. Dumoulin, C. Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016.

    Examples
    --------
    >>> from dsconv import models
    >>> models.TransposedUpsampler(16, 8).output_shape((1, 16, 7, 5))
    (1, 8, 14, 10)
    """

    def __init__(
        self, in_channels, out_channels, factor=2, *, kernel_size=None, activation="relu", norm=True, **common
    ):  # fmt: skip
        common, factor = Common(**common), as_integer(factor, "factor", 1)
        kernel_size = 2 * factor if kernel_size is None else kernel_size
        words = {"stride": factor, "padding": "same", "bias": not norm, **common.words}
        chain = {"conv": nn.SeparableConvTranspose2d(in_channels, out_channels, kernel_size, **words)}
        chain |= {"norm": common.norm(out_channels)} if norm else {}
        chain |= {"activation": nn.Activation(activation)} if activation else {}
        super().__init__(**chain)


def super_resolution(
    factor=2, *, width=1.0, depth=1.0, resolution=None, in_channels=3, kernel_size=None, **common
):  # fmt: skip
    """Super-resolution: what bilinear interpolation lacks, from residual blocks at the small size.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, in_channels, factor*h, factor*w)``. Separable convolutions
    without BatchNorm, then a `TransposedUpsampler` for each doubling; the result is added to the
    interpolated image.

    Parameters
    ----------
    factor : {2, 4}, optional
    width : float, optional
        Multiplies the 64 channels.
    depth : float, optional
        Multiplies the 8 residual blocks.
    resolution : int or float, optional
        Of the small image that ``input_shape`` tells: pixels, or as a float a multiple of 64.
    in_channels : int, optional
    kernel_size : int, optional
        Of the upsamplers.
    **common
        `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Residual
        Children ``body`` and ``shortcut``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] C. Dong, C. C. Loy, X. Tang, "Accelerating the Super-Resolution Convolutional Neural Network",
       ECCV 2016, arXiv:1608.00367: the transposed convolution at the end.
    .. [2] J. Kim, J. K. Lee, K. M. Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional
       Networks", CVPR 2016, arXiv:1511.04587: the residual image.

    Examples
    --------
    >>> from dsconv import models
    >>> models.super_resolution(4, width=0.25).output_shape((1, 3, 24, 20))
    (1, 3, 96, 80)
    """
    doublings = {2: 1, 4: 2}.get(factor)
    if doublings is None:
        raise ValueError(f"factor: expected 2 or 4, got {factor!r}")
    common, channels = Common(**common), rounded(64, width)
    words = {"padding": "same", **common.words}

    def block():
        first = nn.SeparableConv2d(channels, channels, 3, activation="relu", **words)
        return nn.Residual(nn.Sequential(first, nn.SeparableConv2d(channels, channels, 3, **words)))

    body = nn.Sequential(
        stem=nn.Conv2d(in_channels, channels, 3, activation="relu", **words),
        blocks=nn.Sequential(*(block() for _ in stretched(range(8), depth))),
        up=nn.Sequential(
            *(
                TransposedUpsampler(channels, channels, kernel_size=kernel_size, norm=False, **common.given)
                for _ in range(doublings)
            )
        ),
        image=nn.SeparableConv2d(channels, in_channels, 3, **words),
    )
    net = nn.Residual(body, nn.Upsample(factor, **common.layout))
    net.input_shape = common.image_shape(in_channels, pixels_of(resolution, 64))
    return net
