"""A generator of images: a vector, made a small map, doubled in size until it is an image."""

from .. import nn
from ..geometry import as_integer
from .common import Common, network
from .mobilenet import MobileNetBlock
from .proportions import pixels_of, rounded, stretched
from .upsample import TransposedUpsampler

__all__ = ["generator"]


def generator(
    latent=100, *, width=1.0, depth=1.0, resolution=None, out_channels=3, kernel_size=None, **common
):  # fmt: skip
    """DCGAN's generator with separable transposed convolutions.

    Shapes: ``(N, latent)`` to ``(N, out_channels, resolution, resolution)``, between -1 and 1. A linear map
    to 4x4 positions, then a `TransposedUpsampler` for each doubling, the channels halved each time.

    Parameters
    ----------
    latent : int, optional
        Numbers that an image is made from.
    width : float, optional
        Multiplies the channels, which are 64 at half the final size and twice as many on each map before.
    depth : float, optional
        Multiplies the one block of each map but the last, rounded up; those added are `MobileNetBlock`.
    resolution : int or float, optional
        Of the image: pixels, or as a float a multiple of 64; 4 times a power of two, 8 at least.
    out_channels : int, optional
    kernel_size : int, optional
        Of the upsamplers, 4 if not given; an odd one makes checkerboards.
    **common
        `bn_eps`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``project``, ``reshape``, ``norm``, ``activation`` and ``up``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
       Generative Adversarial Networks", ICLR 2016, arXiv:1511.06434, figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import models
    >>> net = models.generator(10, width=0.25, resolution=32, rng=0).eval()
    >>> net(np.ones((2, 10), np.float32)).shape
    (2, 3, 32, 32)
    """
    pixels = pixels_of(resolution, 64)
    doublings = (pixels // 4).bit_length() - 1
    if pixels < 8 or pixels != 4 * 2**doublings:
        raise ValueError(f"resolution: must be 4 times a power of two, 8 at least, got {pixels}")
    common, latent = Common(**common), as_integer(latent, "latent", 1)
    channels = [rounded(64 * 2**level, width) for level in reversed(range(doublings))]
    first, last = channels[0], common.data_format == "channels_last"
    given = {"kernel_size": kernel_size, **common.given}
    up = []
    for before, after in zip(channels, channels[1:], strict=False):
        up.append(TransposedUpsampler(before, after, **given))
        up += [MobileNetBlock(after, after, **common.given) for _ in stretched("1", depth)[1:]]
    up.append(TransposedUpsampler(channels[-1], out_channels, activation="tanh", norm=False, **given))
    children = {
        "project": common.linear(latent, first * 16, bias=False),
        "reshape": nn.Reshape(4, 4, first) if last else nn.Reshape(first, 4, 4),
        "norm": common.norm(first),
        "activation": nn.Activation("relu"),
        "up": nn.Sequential(*up),
    }
    return network(children, (1, latent))
