"""What the families share: convolutions with their normalisation, stages of blocks, classifiers."""

from .. import nn
from ..checks import as_generator, as_real
from ..geometry import as_integer, per_axis

_PADDINGS = ("half", "same")


class Common:
    """What all convolutions of a network have in common, and the chains that they stand in.

    Every block and builder takes these keywords.

    Parameters
    ----------
    bn_eps : float, optional
        Of all `nn.BatchNorm`.
    padding : {"half", "same"}, optional
        ``dilation*(kernel - 1)/2`` on both sides, as PyTorch's networks are trained; or the odd position at
        the end, as TensorFlow's. They differ where the stride is 2.
    data_format, dtype, rng
        As for `nn.DepthwiseConv2d`.

    Attributes
    ----------
    rank : int
        Number of spatial axes of all maps: 2, and what their names say in the classes below.
    """

    rank = 2

    def __init__(
        self, *, bn_eps=1e-5, padding="half", data_format="channels_first", dtype="float32", rng=None,
        **unknown,
    ):  # fmt: skip
        if unknown:
            rule = "unexpected keyword argument; it takes bn_eps, padding, data_format, dtype and rng too"
            raise TypeError(f"{', '.join(unknown)}: {rule}")
        if padding not in _PADDINGS:
            raise ValueError(f"padding: expected one of {', '.join(_PADDINGS)}, got {padding!r}")
        self.bn_eps = as_real(bn_eps, "bn_eps", 0)
        self.padding = padding
        self.data_format = data_format
        self.dtype = dtype
        self.layout = {"data_format": data_format}
        self.words = {**self.layout, "dtype": dtype, "rng": as_generator(rng)}

    @property
    def given(self):
        """The keywords again, for a block inside; its weights go on in the same stream of random numbers."""
        return {**self.words, "bn_eps": self.bn_eps, "padding": self.padding}

    def norm(self, channels):
        return nn.BatchNorm(channels, eps=self.bn_eps, **self.layout, dtype=self.dtype)

    def of_rank(self, kind):
        """A class of `nn` whose name is that kind and the rank, such as ``Conv2d``."""
        return getattr(nn, f"{kind}{self.rank}d")

    def conv(
        self, in_channels, out_channels, kernel_size=1, *, stride=1, dilation=1, padding=None, activation=None
    ):  # fmt: skip
        """Standard convolution, normalisation, and an activation unless that is None."""
        words = {"bias": False, **self.words}
        if kernel_size != 1:
            words |= self.geometry(kernel_size, stride, dilation, padding)
            conv = self.of_rank("Conv")(in_channels, out_channels, kernel_size, **words)
            return self._chain({"conv": conv}, out_channels, activation)
        chain = {"conv": self.of_rank("PointwiseConv")(in_channels, out_channels, **words)}
        if stride != 1:
            chain = {"subsample": self.of_rank("MaxPool")(1, stride=stride, **self.layout), **chain}
        return self._chain(chain, out_channels, activation)

    def depthwise(
        self, channels, kernel_size, *, depth_multiplier=1, stride=1, dilation=1, padding=None,
        activation=None,
    ):  # fmt: skip
        """The same with a depthwise convolution."""
        words = {"depth_multiplier": depth_multiplier, "bias": False, **self.words}
        words |= self.geometry(kernel_size, stride, dilation, padding)
        conv = self.of_rank("DepthwiseConv")(channels, kernel_size, **words)
        return self._chain({"conv": conv}, conv.out_channels, activation)

    def spatial(
        self, in_channels, out_channels, kernel_size, *, separable, depth_multiplier=1, activation=None,
        **geometry,
    ):  # fmt: skip
        """A kernel that looks around itself: standard, or separable with an activation after both stages."""
        if not separable:
            return self.conv(in_channels, out_channels, kernel_size, activation=activation, **geometry)
        words = {"depth_multiplier": depth_multiplier, "activation": activation, **geometry}
        depthwise = self.depthwise(in_channels, kernel_size, **words)
        hidden = depthwise.norm.channels
        return nn.Sequential(
            depthwise=depthwise, pointwise=self.conv(hidden, out_channels, activation=activation)
        )

    def pointwise(self, in_channels, out_channels, **words):
        """A map to channels with a bias, and no normalisation after it."""
        return self.of_rank("PointwiseConv")(in_channels, out_channels, **words, **self.words)

    def linear(self, in_features, out_features, **words):
        return nn.Linear(in_features, out_features, dtype=self.dtype, rng=self.words["rng"], **words)

    def classifier(self, features, num_classes, dropout):
        """The pooled map to logits."""
        classes = as_integer(num_classes, "num_classes", 1)
        return nn.Sequential(dropout=nn.Dropout(dropout), linear=self.linear(features, classes))

    def pool(self):
        return nn.GlobalAveragePool(**self.layout)

    def image_shape(self, channels, pixels):
        """One square image, batch axis included."""
        return self.map_shape(channels, pixels, pixels)

    def map_shape(self, channels, *sizes):
        """One map, batch axis included."""
        return (1, *sizes, channels) if self.data_format == "channels_last" else (1, channels, *sizes)

    def geometry(self, kernel_size, stride=1, dilation=1, padding=None):
        """Keywords of a convolution, whose padding is that of all unless one is given."""
        if padding is None:
            kernel = per_axis(kernel_size, "kernel_size", self.rank, 1)
            rates = per_axis(dilation, "dilation", self.rank, 1)
            half = [rate * (size // 2) for rate, size in zip(rates, kernel, strict=True)]
            # an even kernel has no half
            same = self.padding == "same" or any(size % 2 == 0 for size in kernel)
            padding = "same" if same else half if len(set(half)) > 1 else half[0]
        return {"stride": stride, "dilation": dilation, "padding": padding}

    def _chain(self, chain, channels, activation):
        chain = {**chain, "norm": self.norm(channels)}
        return nn.Sequential(**chain, **({"activation": nn.Activation(activation)} if activation else {}))


class Common1d(Common):
    """`Common` for signals."""

    rank = 1


class Common3d(Common):
    """`Common` for volumes and films."""

    rank = 3


_OF_RANK = {1: Common1d, 2: Common, 3: Common3d}


def common_of(rank):
    """The class for maps of that rank."""
    if isinstance(rank, bool) or rank not in _OF_RANK:
        raise ValueError(f"rank: expected 1, 2 or 3, got {rank!r}")
    return _OF_RANK[rank]


def stack(block, channels, stages, common):
    """Stages of blocks, each block beginning with the channels that the one before ended with.

    Parameters
    ----------
    block : callable
        ``block(in_channels, out_channels, **words)``.
    channels : int
        Of the input.
    stages : sequence of sequence of (int, dict)
        Output channels and further words of each block.
    common : Common

    Returns
    -------
    dsconv.nn.Sequential
        Of one `nn.Sequential` for each stage.
    """
    made = []
    for rows in stages:
        blocks = []
        for out, words in rows:
            blocks.append(block(channels, out, **words, **common.given))
            channels = out
        made.append(nn.Sequential(*blocks))
    return nn.Sequential(*made)


def network(children, shape):
    """A chain that knows the shape it was made for."""
    net = nn.Sequential(**children)
    net.input_shape = shape
    return net
