"""Combinators that give each branch an input of its own, and those that are built of others."""

from fractions import Fraction

import numpy as np

from ..checks import as_generator
from ..geometry import as_integer, items_of
from .branches import Branches, Concat, Product
from .compose import Combinator, Sequential
from .convolution import PointwiseConv1d, PointwiseConv2d, PointwiseConv3d
from .layer import Layer
from .pointwise import Identity
from .pool import GlobalAveragePool
from .protocol import Pullback, whole_shape
from .resize import MODES, resize, resize_grad
from .stream import StreamBranches
from .windows import chain_fields, spatial_sizes, with_spatial

__all__ = ["Parallel", "SameSize", "Split", "SqueezeExcite"]


class Split(Concat):
    """Channel groups, one branch each, joined again on channels.

    Parameters
    ----------
    sizes : sequence of int
        Channels of each group.
    *branches, **named : Layer
        One for each group.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Raises
    ------
    ValueError
        Where the numbers of sizes and branches differ, or the channels are not the sum of the sizes.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> sensors = nn.Split((3, 1), nn.DepthwiseConv1d(3, 5, padding="same"), nn.Identity())
    >>> sensors(np.ones((1, 4, 20), np.float32)).shape
    (1, 4, 20)
    """

    def __init__(self, sizes, *branches, data_format="channels_first", **named):
        super().__init__(*branches, data_format=data_format, **named)
        each = items_of(sizes)
        if each is None:
            raise TypeError(f"sizes: expected one int for each branch, got {type(sizes).__name__}")
        self.sizes = tuple(as_integer(size, f"sizes[{i}]", 1) for i, size in enumerate(each))
        if len(self.sizes) != len(self._children) or not self.sizes:
            raise ValueError(
                f"sizes: expected one for each branch, at least one, got {len(self.sizes)} for "
                f"{len(self._children)} branches"
            )

    def describe(self):
        return ", ".join(filter(None, [str(self.sizes), super().describe()]))

    def _check(self, shape):
        if len(shape) < 2 or shape[self.axis] != sum(self.sizes):
            raise ValueError(
                f"x: Split needs {' + '.join(map(str, self.sizes))} = {sum(self.sizes)} channels on axis "
                f"{self.axis}, got shape {tuple(shape)}"
            )

    def inputs(self, x):
        x = np.asarray(x)
        self._check(x.shape)
        return np.split(x, np.cumsum(self.sizes)[:-1], axis=self.axis)

    def input_grad(self, parts):
        return np.concatenate(parts, axis=self.axis)

    def input_shapes(self, shape):
        self._check(shape)
        axis = self.axis % len(shape)
        return [(*shape[:axis], size, *shape[axis + 1 :]) for size in self.sizes]

    def streamed(self, name):
        branches = [child.streamed(f"{name}.{key}") for key, child in self._children.items()]
        return StreamBranches(branches, self.join, self.inputs)


class Parallel(Branches):
    """A tuple in, a tuple out: one input for each branch.

    Parameters
    ----------
    *branches, **named : Layer

    Raises
    ------
    ValueError
        Where the input is not a tuple of as many arrays as there are branches.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> pair = nn.Sequential(nn.Parallel(nn.Identity(), nn.PointwiseConv1d(2, 3)), nn.Concat())
    >>> pair((np.ones((1, 1, 4), np.float32), np.ones((1, 2, 4), np.float32))).shape
    (1, 4, 4)
    """

    def inputs(self, x):
        return self.input_shapes(x)

    def input_shapes(self, shape):
        if not isinstance(shape, (tuple, list)) or len(shape) != len(self._children):
            got = f"{len(shape)}" if isinstance(shape, (tuple, list)) else type(shape).__name__
            raise ValueError(f"x: Parallel needs a tuple of {len(self._children)} inputs, got {got}")
        return list(shape)

    def input_grad(self, parts):
        return tuple(parts)

    def join(self, parts):
        return tuple(parts)

    def split(self, dy, parts):
        return dy

    def join_shapes(self, shapes):
        return tuple(map(tuple, shapes))

    def streamed(self, name):
        return Layer.streamed(self, name)


class SameSize(Combinator):
    """A body whose result is brought to the spatial size of the input.

    Parameters
    ----------
    body : Layer
    mode : {"bilinear", "nearest", "crop"}, optional
        Interpolation with half-pixel centres (linear along each axis, whatever the rank), or what lies beyond
        the input's size at the end of each axis cut off.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are.

    Raises
    ------
    ValueError
        With ``"crop"``, where the result is smaller than the input.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> inner = nn.Sequential(nn.MaxPool2d(2, padding="same"), nn.Upsample(2))
    >>> nn.SameSize(inner, "crop")(np.ones((1, 3, 7, 5), np.float32)).shape
    (1, 3, 7, 5)
    """

    def __init__(self, body, mode="bilinear", *, data_format="channels_first"):
        super().__init__(body=body)
        if mode not in (*MODES, "crop"):
            raise ValueError(f"mode: expected one of {', '.join(MODES)} or crop, got {mode!r}")
        self.mode = mode
        self.data_format = data_format
        spatial_sizes((), data_format)

    def describe(self):
        return repr(self.mode)

    def __call__(self, x, **context):
        (given,) = self.contexts(context)
        return self._brought(self.body(x, **given), np.shape(x))

    def vjp(self, x, **context):
        (given,) = self.contexts(context)
        inner, pull = self.body.vjp(x, **given)

        def pullback(dy):
            dx, grads = pull(self._brought_grad(np.asarray(dy), inner.shape))
            return dx, self.join_grads([(self.body, grads)])

        y = self._brought(inner, np.shape(x))
        return y, Pullback(pullback, self._collect([(self.body, pull)]), y.shape)

    def _brought(self, inner, shape):
        sizes = spatial_sizes(shape, self.data_format)
        if self.mode != "crop":
            return resize(inner, sizes, self.mode, self.data_format)
        return inner[self._window(inner.shape, sizes)]

    def _brought_grad(self, dy, shape):
        sizes = spatial_sizes(dy.shape, self.data_format)
        if self.mode != "crop":
            return resize_grad(dy, spatial_sizes(shape, self.data_format), self.mode, self.data_format)
        inner = np.zeros(shape, dy.dtype)
        inner[self._window(shape, sizes)] = dy
        return inner

    def _window(self, shape, sizes):
        have = spatial_sizes(shape, self.data_format)
        if len(have) != len(sizes) or any(a < b for a, b in zip(have, sizes, strict=True)):
            raise ValueError(
                f"SameSize: to crop, the result of the body must be at least as large as the input, got "
                f"{have} for {sizes}"
            )
        window = tuple(slice(size) for size in sizes)
        return with_spatial((slice(None),) * 2, window, self.data_format, slice(None))

    def output_shape(self, shape, **context):
        self.known_context(context)
        shape = whole_shape(shape)
        (inner,) = self.each_output([shape], context)
        sizes = spatial_sizes(shape, self.data_format)
        if self.mode == "crop":
            self._window(inner, sizes)
        return with_spatial(inner, sizes, self.data_format)

    def field(self):
        field = self.body.field()
        if self.mode == "crop":
            return field
        # the centre of output p is at (p + 1/2)/stride - 1/2 in the body's result
        reach = {"nearest": Fraction(1, 2), "bilinear": Fraction(1)}[self.mode]
        back = []
        for _, stride, _ in field:
            step = 1 / Fraction(stride)
            back.append((1, 1, 0) if step == 1 else (1 + 2 * reach, step, (step - 1) / 2 - reach))
        return chain_fields(field, tuple(back))


_POINTWISE = {1: PointwiseConv1d, 2: PointwiseConv2d, 3: PointwiseConv3d}


class SqueezeExcite(Product):
    """A gate on channels, computed from their means: ``x * gate(expand(activation(reduce(mean(x)))))``.

    Parameters
    ----------
    channels, squeezed : int
        Channels of the input, and between the two pointwise layers.
    rank : {2, 1, 3}, optional
        Number of spatial axes.
    activation, gate : str, optional
        After the first and after the second pointwise layer.
    data_format, dtype, rng
        As for `DepthwiseConv2d`.

    Raises
    ------
    ValueError, TypeError
        As `PointwiseConv2d`.

    References
    ----------
    .. [1] J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.SqueezeExcite(8, 2, gate="hardsigmoid", rng=0)
    >>> layer(np.ones((1, 8, 5, 5), np.float32)).shape, layer.cost((1, 8, 5, 5)).macs
    ((1, 8, 5, 5), 32)
    """

    def __init__(
        self, channels, squeezed, *, rank=2, activation="relu", gate="sigmoid",
        data_format="channels_first", dtype="float32", rng=None,
    ):  # fmt: skip
        if isinstance(rank, bool) or rank not in _POINTWISE:
            raise ValueError(f"rank: expected 1, 2 or 3, got {rank!r}")
        pointwise, rng = _POINTWISE[rank], as_generator(rng)
        words = {"data_format": data_format, "dtype": dtype, "rng": rng}
        super().__init__(
            Identity(),
            gate=Sequential(
                pool=GlobalAveragePool(keepdims=True, data_format=data_format),
                reduce=pointwise(channels, squeezed, activation=activation, **words),
                expand=pointwise(squeezed, channels, activation=gate, **words),
            ),
        )
