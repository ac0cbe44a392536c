"""Self-attention over the positions of a map or the tokens of a sequence, in blocks of queries."""

from math import prod, sqrt

import numpy as np

from ..checks import as_flag, as_generator
from ..geometry import as_integer
from .initial import he_normal
from .layer import Layer
from .protocol import Pullback
from .windows import as_float, channel_axis, spatial_sizes

__all__ = ["SelfAttention"]

_BLOCK = 1 << 22  # elements of the matrix of scores that is held at a time; one query is taken in any case


class SelfAttention(Layer):
    """Multi-head self-attention: each position a weighted mean over all positions.

    Parameters
    ----------
    channels : int
        C.
    heads : int, optional
        A divisor of C.
    bias : bool, optional
        Whether the two linear maps have one.
    data_format : {"channels_last", "channels_first"}, optional
        Tokens ``(N, T, C)`` or maps ``(N, *spatial, C)``; or maps ``(N, C, *spatial)``.
    dtype, rng
        As for `Linear`; the weights have variance 1 / C.

    Attributes
    ----------
    in_weight : ndarray, shape (3*C, C)
        Of queries, keys and values, in this order, the heads one after the other in each.
    out_weight : ndarray, shape (C, C)
    in_bias, out_bias : ndarray, shape (3*C,) and (C,), or None

    Notes
    -----
    A call takes `mask`, a boolean array, True where a position may be attended to: ``(N, T)``, the same for
    all queries, or ``(N, T, T)`` with queries before keys (a leading 1 stands for all samples). A query
    that may attend to nothing gets zeros before the last map. Scores are held for some queries at a time, at
    most 4 million elements or one query, and computed again for the gradients.

    Raises
    ------
    ValueError
        For heads that do not divide C, inputs with other channels, and masks of another shape.
    TypeError
        For a mask that is not boolean.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.SelfAttention(8, heads=2, rng=0)
    >>> layer(np.ones((1, 5, 8), np.float32)).shape
    (1, 5, 8)
    >>> layer.cost((1, 5, 8)).macs
    1680
    """

    parameter_names = ("in_weight", "in_bias", "out_weight", "out_bias")

    def __init__(
        self, channels, heads=1, *, bias=True, data_format="channels_last", dtype="float32", rng=None
    ):
        self.channels = as_integer(channels, "channels", 1)
        self.heads = as_integer(heads, "heads", 1)
        if self.channels % self.heads:
            raise ValueError(f"heads: must divide channels = {channels}, got {heads}")
        self.data_format = data_format
        channel_axis(data_format)
        rng, c = as_generator(rng), self.channels
        bias = as_flag(bias, "bias")
        # no activation follows, so half of He's variance
        self.in_weight = he_normal(rng, (3 * c, c), 2 * c, dtype)
        self.out_weight = he_normal(rng, (c, c), 2 * c, dtype)
        self.in_bias = np.zeros(3 * c, dtype) if bias else None
        self.out_bias = np.zeros(c, dtype) if bias else None

    def describe(self):
        words = [str(self.channels)] + ([f"heads={self.heads}"] if self.heads > 1 else [])
        words += ["bias=False"] if self.in_bias is None else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_last" else []
        return ", ".join(words)

    # ---- tokens and heads -----------------------------------------------------------------------
    def _tokens(self, x):
        """A map, or tokens, as (N, T, C)."""
        x = x if channel_axis(self.data_format) == -1 else np.moveaxis(x, 1, -1)
        return x.reshape(len(x), prod(x.shape[1:-1]), x.shape[-1])

    def _map(self, tokens, shape):
        """The adjoint of `_tokens`."""
        sizes = spatial_sizes(shape, self.data_format)
        x = tokens.reshape(len(tokens), *sizes, self.channels)
        return x if channel_axis(self.data_format) == -1 else np.moveaxis(x, -1, 1)

    def _split(self, tokens):
        """Tokens (T, n*C) as n arrays (heads, T, C/heads)."""
        arrays, size = tokens.shape[1] // self.channels, self.channels // self.heads
        parts = tokens.reshape(len(tokens), arrays, self.heads, size)
        return parts.transpose(1, 2, 0, 3)

    def _joined(self, heads):
        """(heads, T, C/heads) as (T, C)."""
        return heads.transpose(1, 0, 2).reshape(heads.shape[1], self.channels)

    def _blocks(self, count):
        step = max(_BLOCK // (self.heads * max(count, 1)), 1)
        return [slice(begin, min(begin + step, count)) for begin in range(0, count, step)]

    # ---- attention of one sample ----------------------------------------------------------------
    def _scale(self):
        return 1 / sqrt(self.channels // self.heads)

    def _weights(self, queries, keys, allowed):
        """How much each query of a block attends to each key: (heads, block, T), rows that sum to 1."""
        scores = queries @ keys.transpose(0, 2, 1)
        scores *= scores.dtype.type(self._scale())
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        greatest = scores.max(axis=-1, keepdims=True)
        # a row without any allowed key would be inf - inf
        scores -= np.where(np.isneginf(greatest), 0, greatest)
        np.exp(scores, out=scores)
        total = scores.sum(axis=-1, keepdims=True)
        scores /= np.where(total == 0, 1, total)
        return scores

    def _attended(self, tokens, mask):
        """The weighted means of the values, (T, C), before the last map."""
        queries, keys, values = self._split(self._linear(tokens, self.in_weight, self.in_bias))
        result = np.empty(queries.shape, queries.dtype)
        for block in self._blocks(len(tokens)):
            weights = self._weights(queries[:, block], keys, _allowed(mask, block))
            result[:, block] = weights @ values
        return self._joined(result)

    def _attended_grads(self, tokens, mask, gradient):
        """Gradients of queries, keys and values, (T, 3*C), from that of `_attended`."""
        queries, keys, values = self._split(self._linear(tokens, self.in_weight, self.in_bias))
        (gradient,) = self._split(gradient)
        of_queries, of_keys, of_values = (np.zeros(queries.shape, queries.dtype) for _ in range(3))
        for block in self._blocks(len(tokens)):
            weights = self._weights(queries[:, block], keys, _allowed(mask, block))
            of_values += weights.transpose(0, 2, 1) @ gradient[:, block]
            of_weights = gradient[:, block] @ values.transpose(0, 2, 1)
            of_weights -= (of_weights * weights).sum(axis=-1, keepdims=True)
            of_weights *= weights
            of_weights *= of_weights.dtype.type(self._scale())
            of_queries[:, block] = of_weights @ keys
            of_keys += of_weights.transpose(0, 2, 1) @ queries[:, block]
        return np.concatenate([self._joined(each) for each in (of_queries, of_keys, of_values)], axis=1)

    def _linear(self, tokens, weight, bias):
        # NumPy's product of bfloat16 is float32
        y = (tokens @ weight.T).astype(np.result_type(tokens, weight), copy=False)
        return y if bias is None else y + bias

    # ---- the layer ------------------------------------------------------------------------------
    def __call__(self, x, *, mask=None):
        x = as_float(x)
        self._check(x.shape)
        tokens, mask = self._tokens(x), _checked_mask(mask, x.shape, self._count(x.shape))
        means = [self._attended(*each) for each in zip(tokens, mask, strict=True)]
        return self._map(self._result(means, tokens), x.shape)

    def _result(self, means, tokens):
        means = np.stack(means) if means else tokens
        return self._linear(means, self.out_weight, self.out_bias)

    def vjp(self, x, *, mask=None):
        x = as_float(x)
        self._check(x.shape)
        tokens, mask = self._tokens(x), _checked_mask(mask, x.shape, self._count(x.shape))
        means = [self._attended(*each) for each in zip(tokens, mask, strict=True)]

        def pullback(dy):
            gradients = self._tokens(np.asarray(dy))
            grads, of_tokens = self._zeros(gradients.dtype), np.empty(tokens.shape, gradients.dtype)
            for sample, (token, mean, gradient) in enumerate(zip(tokens, means, gradients, strict=True)):
                of_tokens[sample] = self._sample_grads(token, mask[sample], mean, gradient, grads)
            return self._map(of_tokens, x.shape), grads

        y = self._map(self._result(means, tokens), x.shape)
        return y, Pullback(pullback, shape=y.shape)

    def _sample_grads(self, tokens, mask, mean, gradient, grads):
        """The gradient of one sample's tokens; those of the parameters are added to `grads`."""
        inner = self._attended_grads(tokens, mask, gradient @ self.out_weight)
        grads["out_weight"] += gradient.T @ mean
        grads["in_weight"] += inner.T @ tokens
        if self.in_bias is not None:
            grads["out_bias"] += gradient.sum(axis=0)
            grads["in_bias"] += inner.sum(axis=0)
        return inner @ self.in_weight

    def _zeros(self, dtype):
        return {name: np.zeros(array.shape, dtype) for name, array in self.parameters.items()}

    def _check(self, shape):
        axis = channel_axis(self.data_format)
        if len(shape) < 3 or shape[axis] != self.channels:
            raise ValueError(
                f"x: SelfAttention needs a batch axis, positions, and C = {self.channels} channels on axis "
                f"{axis}, got shape {tuple(shape)}"
            )

    def _count(self, shape):
        return prod(spatial_sizes(shape, self.data_format))

    def output_shape(self, shape):
        self._check(shape)
        return tuple(shape)

    def macs(self, shape):
        count = self._count(shape)
        return shape[0] * count * self.channels * (4 * self.channels + 2 * count)

    def field(self):
        infinite = float("inf")
        return ((infinite, 1, -infinite),)


def _checked_mask(mask, shape, count):
    """One mask, or None, for each sample."""
    if mask is None:
        return [None] * shape[0]
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"mask: expected booleans, True where a position may be attended to, got {mask.dtype}"
        )
    if mask.shape[1:] not in ((count,), (count, count)) or mask.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"mask: expected shape (N, T) = {shape[0], count} or (N, T, T) = {shape[0], count, count}, got "
            f"{mask.shape}"
        )
    return np.broadcast_to(mask, (shape[0], *mask.shape[1:]))


def _allowed(mask, block):
    """The part of one sample's mask for a block of queries: (block, T)."""
    if mask is None:
        return None
    return mask[block] if mask.ndim == 2 else np.broadcast_to(mask, (block.stop - block.start, len(mask)))
