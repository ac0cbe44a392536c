"""Layers that act on each element or sample alone: activations, noise, shapes."""

from math import prod

import numpy as np

from ..checks import as_float_type, as_generator, as_real
from ..geometry import as_integer, canonical_activation
from .layer import Layer
from .protocol import Pullback
from .stream import Stateless
from .windows import activate, activation_grad, as_float

__all__ = ["Activation", "Dropout", "Identity", "Lambda", "PositionEmbedding", "Reshape", "StochasticDepth"]


class Identity(Layer):
    """The input itself.

    Examples
    --------
    >>> from dsconv import nn
    >>> nn.Identity()([1, 2]).tolist()
    [1, 2]
    """

    def __call__(self, x):
        return np.asarray(x)

    def traced(self, tape, x):
        return x if type(self).__call__ is Identity.__call__ else super().traced(tape, x)

    def vjp(self, x):
        x = np.asarray(x)
        return x, Pullback(lambda dy: (dy, {}), shape=x.shape)

    def output_shape(self, shape):
        return tuple(shape)

    def streamed(self, name):
        return Stateless(self)


class Activation(Layer):
    """An elementwise activation.

    Parameters
    ----------
    name : str
        One of those that the functions take as `activation`: ``"relu"``, ``"relu6"``, ``"hardswish"``,
        ``"hardsigmoid"``, ``"silu"``, ``"sigmoid"``, ``"tanh"``, ``"gelu"`` (exact).

    Raises
    ------
    ValueError, TypeError
        For any other name.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Activation("relu6")(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """

    def __init__(self, name):
        if name is None:
            raise TypeError("name: expected an activation such as 'relu', got None; Identity() does nothing")
        self.name = canonical_activation(name, "name")

    def describe(self):
        return repr(self.name)

    def __call__(self, x):
        return activate(self.name, as_float(x))

    def traced(self, tape, x):
        if type(self).__call__ is not Activation.__call__:
            return super().traced(tape, x)
        return tape.kernel(self, x, ())

    def vjp(self, x):
        x = as_float(x)
        return activate(self.name, x), Pullback(
            lambda dy: (activation_grad(self.name, x, dy), {}), shape=x.shape
        )

    def output_shape(self, shape):
        return tuple(shape)

    def streamed(self, name):
        return Stateless(self)


class RandomLayer(Layer):
    """A layer that draws in training and does nothing in inference."""

    def __init__(self, probability):
        self.probability = as_real(probability, "probability", 0, below=1)

    def describe(self):
        return str(self.probability)

    def vjp(self, x, *, rng=None):
        x = as_float(x)
        if not self.training or self.probability == 0:
            return x, Pullback(lambda dy: (dy, {}), shape=x.shape)
        if rng is None:
            raise ValueError(
                f"rng: {type(self).__name__} in training draws, and needs a seed or a Generator; eval() "
                "switches to inference"
            )
        kept = as_generator(rng).random(self._drawn(x.shape), np.float32) >= self.probability
        factor = kept / x.dtype.type(1 - self.probability)
        factor = factor.astype(x.dtype, copy=False)
        return x * factor, Pullback(lambda dy: (dy * factor, {}), shape=x.shape)

    def output_shape(self, shape):
        return tuple(shape)

    def streamed(self, name):
        return super().streamed(name) if self.training else Stateless(self)

    def stream_rule(self):
        return "in training it draws: call eval() first"


class Dropout(RandomLayer):
    """In training, elements set to zero at random and the others scaled up.

    Parameters
    ----------
    probability : float
        Of an element to be dropped, from 0 to less than 1.

    Raises
    ------
    ValueError
        For a probability out of range, and in training for a call without `rng`.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15,
       2014.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.Dropout(0.5)
    >>> sorted(set(layer(np.ones((1, 100)), rng=0).ravel().tolist()))
    [0.0, 2.0]
    >>> float(layer.eval()(np.ones((1, 100))).min())
    1.0
    """

    def _drawn(self, shape):
        return shape


class StochasticDepth(RandomLayer):
    """In training, whole samples set to zero at random and the others scaled up: for a residual's body.

    Parameters
    ----------
    probability : float
        Of a sample to be dropped, from 0 to less than 1.

    Raises
    ------
    ValueError
        As `Dropout`.

    References
    ----------
    .. [1] G. Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016, arXiv:1603.09382.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> y = nn.StochasticDepth(0.5)(np.ones((100, 3)), rng=0)
    >>> sorted(set(y.sum(axis=1).tolist()))
    [0.0, 6.0]
    """

    def _drawn(self, shape):
        return (shape[0], *(1,) * (len(shape) - 1))


class Lambda(Layer):
    """A function of one's own as a layer without parameters.

    Parameters
    ----------
    f : callable
        ``f(x) -> y``.
    f_vjp : callable
        ``f_vjp(x) -> (y, pullback)`` with ``pullback(dy) -> dx``.
    output_shape : callable, optional
        From the shape of x to that of y; the same shape if not given.

    Notes
    -----
    It pickles where the functions do, that is where they are defined in a module.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> double = nn.Lambda(lambda x: 2 * x, lambda x: (2 * x, lambda dy: 2 * dy))
    >>> double(np.ones(2))
    array([2., 2.])
    """

    def __init__(self, f, f_vjp, output_shape=None):
        for name, value in (("f", f), ("f_vjp", f_vjp)):
            if not callable(value):
                raise TypeError(f"{name}: expected a function, got {type(value).__name__}")
        self.f = f
        self.f_vjp = f_vjp
        self.shape = output_shape

    def describe(self):
        return getattr(self.f, "__name__", repr(self.f))

    def __call__(self, x):
        return self.f(x)

    def vjp(self, x):
        y, pull = self.f_vjp(x)
        return y, Pullback(lambda dy: (pull(dy), {}), shape=np.shape(y))

    def output_shape(self, shape):
        return tuple(shape) if self.shape is None else tuple(self.shape(shape))


class Reshape(Layer):
    """Each sample in another shape.

    Parameters
    ----------
    *shape : int
        Without the batch axis; one of them may be -1. ``Reshape(-1)`` flattens.

    Raises
    ------
    ValueError
        Where the elements of a sample do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Reshape(-1)(np.ones((2, 3, 4, 4))).shape
    (2, 48)
    """

    def __init__(self, *shape):
        self.shape = tuple(as_integer(size, f"shape[{i}]", -1) for i, size in enumerate(shape))
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape: at most one size may be -1, got {self.shape}")

    def describe(self):
        return ", ".join(map(str, self.shape))

    def vjp(self, x):
        x = np.asarray(x)
        shape, result = x.shape, self.output_shape(x.shape)
        return x.reshape(result), Pullback(lambda dy: (np.asarray(dy).reshape(shape), {}), shape=result)

    def output_shape(self, shape):
        elements, known = prod(shape[1:]), prod(size for size in self.shape if size != -1)
        free = -1 in self.shape
        if not shape or (elements % known if free and known else elements != known):
            raise ValueError(f"x: samples of shape {tuple(shape[1:])} cannot be reshaped to {self.shape}")
        return (shape[0], *(elements // max(known, 1) if size == -1 else size for size in self.shape))

    def field(self):
        infinite = float("inf")
        return ((infinite, 1, -infinite),)


class PositionEmbedding(Layer):
    """A trained array of a sample's shape, added to each sample.

    Parameters
    ----------
    *shape : int
        Of a sample, without the batch axis: ``(T, C)`` for tokens.
    dtype : dtype, optional
        Of the embedding.
    rng : None, int or numpy.random.Generator, optional
        Where it comes from: normal with standard deviation 0.02.

    Attributes
    ----------
    weight : ndarray, shape `shape`

    Raises
    ------
    ValueError
        For samples of another shape.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.PositionEmbedding(16, 8, rng=0)(np.zeros((2, 16, 8), np.float32)).shape
    (2, 16, 8)
    """

    parameter_names = ("weight",)

    def __init__(self, *shape, dtype="float32", rng=None):
        shape = tuple(as_integer(size, f"shape[{i}]", 1) for i, size in enumerate(shape))
        self.weight = (0.02 * as_generator(rng).standard_normal(shape)).astype(as_float_type(dtype))

    def describe(self):
        return ", ".join(map(str, self.weight.shape))

    def vjp(self, x):
        x = as_float(x)
        self.output_shape(x.shape)
        return x + self.weight, Pullback(
            lambda dy: (dy, {"weight": np.asarray(dy).sum(axis=0)}), shape=x.shape
        )

    def output_shape(self, shape):
        if tuple(shape[1:]) != self.weight.shape:
            raise ValueError(
                f"x: PositionEmbedding was made for samples of shape {self.weight.shape}, got "
                f"{tuple(shape[1:])} in shape {tuple(shape)}"
            )
        return tuple(shape)
