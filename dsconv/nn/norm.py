"""Normalisation: over the batch, with running statistics for inference, or over the channels."""

from math import prod

import numpy as np

from ..checks import as_float_type, as_real
from ..geometry import as_integer
from .layer import Layer
from .protocol import Pullback
from .stream import Stateless
from .windows import as_float, channel_axis


class BatchNorm(Layer):
    """Each channel normalised over batch and positions, then scaled and shifted.

    In training with the statistics of the batch, in inference with the running ones.

    Parameters
    ----------
    channels : int
        C.
    eps : float, optional
        Added to the variance.
    momentum : float, optional
        Share of the batch in the running statistics, PyTorch's meaning: ``(1 - momentum)*old +
        momentum*new``, with the unbiased variance of the batch.
    data_format : {"channels_first", "channels_last"}, optional
        Where the channels are: on axis 1, or on the last one.
    dtype : dtype, optional
        Of the parameters.

    Attributes
    ----------
    weight, bias : ndarray, shape (C,)
        Scale and shift.
    running_mean, running_var : ndarray, shape (C,)
        The buffers. A call does not write them: the new values are in ``pullback.buffers``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, inputs with other channels, and a single value per channel in training.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
       Covariate Shift", ICML 2015, arXiv:1502.03167.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> layer = nn.BatchNorm(1, dtype=float)
    >>> y, pullback = layer.vjp(np.array([[1.0], [3.0]]))
    >>> pullback.buffers["running_mean"], pullback.buffers["running_var"]
    (array([0.2]), array([1.1]))
    """

    parameter_names = ("weight", "bias")
    buffer_names = ("running_mean", "running_var")

    def __init__(self, channels, *, eps=1e-5, momentum=0.1, data_format="channels_first", dtype="float32"):
        self.channels = as_integer(channels, "channels", 1)
        self.eps = as_real(eps, "eps", 0)
        self.momentum = as_real(momentum, "momentum", 0, 1)
        self.data_format = data_format
        channel_axis(data_format)
        dtype = as_float_type(dtype)
        self.weight, self.running_var = np.ones(self.channels, dtype), np.ones(self.channels, dtype)
        self.bias, self.running_mean = np.zeros(self.channels, dtype), np.zeros(self.channels, dtype)

    def describe(self):
        words = [str(self.channels)]
        words += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        words += [f"momentum={self.momentum}"] if self.momentum != 0.1 else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_first" else []
        return ", ".join(words)

    def _axis(self, shape):
        axis = channel_axis(self.data_format)
        if len(shape) < 2 or shape[axis] != self.channels:
            raise ValueError(
                f"x: BatchNorm was made for C = {self.channels} channels on axis {axis}, got shape "
                f"{tuple(shape)}"
            )
        return axis % len(shape)

    def _shaped(self, values, x):
        """Values per channel, in the dtype of the result, along the channels of x."""
        shape = [1] * x.ndim
        shape[self._axis(x.shape)] = self.channels
        return values.astype(np.result_type(x, self.weight), copy=False).reshape(shape)

    def affine(self):
        """Scale and shift of inference, per channel, in float64."""
        scale = self.weight.astype(float) / np.sqrt(self.running_var.astype(float) + self.eps)
        return scale, self.bias.astype(float) - self.running_mean.astype(float) * scale

    def __call__(self, x):
        if self.training:
            return self.vjp(x)[0]
        x = as_float(x)
        scale, shift = (self._shaped(each, x) for each in self.affine())
        return x * scale + shift

    def vjp(self, x):
        x = as_float(x)
        axis = self._axis(x.shape)
        others = tuple(each for each in range(x.ndim) if each != axis)
        return self._training(x, others) if self.training else self._inference(x, others)

    def _inference(self, x, others):
        scale, shift = self.affine()
        of_x = self._shaped(scale, x)

        def pullback(dy):
            inverse = 1 / np.sqrt(self.running_var.astype(float) + self.eps)
            normal = (x - self._shaped(self.running_mean, x)) * self._shaped(inverse, x)
            return dy * of_x, {"weight": (dy * normal).sum(axis=others), "bias": dy.sum(axis=others)}

        return x * of_x + self._shaped(shift, x), Pullback(pullback, shape=x.shape)

    def _training(self, x, others):
        count = prod(x.shape[axis] for axis in others)
        if count < 2:
            raise ValueError(
                f"x: BatchNorm in training needs more than one value per channel, got shape {x.shape}; "
                "eval() switches to the running statistics"
            )
        mean = x.mean(axis=others, dtype=np.promote_types(x.dtype, float))
        centred = x - self._shaped(mean, x)
        variance = np.mean(np.square(centred), axis=others, dtype=mean.dtype)
        inverse = 1 / np.sqrt(variance + self.eps)
        normal = centred * self._shaped(inverse, x)
        weight = self._shaped(self.weight, x)

        def pullback(dy):
            of_weight, of_bias = (dy * normal).sum(axis=others), dy.sum(axis=others)
            centre = (self._shaped(of_bias, x) + normal * self._shaped(of_weight, x)) / x.dtype.type(count)
            dx = weight * self._shaped(inverse, x) * (dy - centre)
            return dx, {"weight": of_weight, "bias": of_bias}

        buffers = {
            "running_mean": self._moved(self.running_mean, mean),
            "running_var": self._moved(self.running_var, variance * (count / (count - 1))),
        }
        return normal * weight + self._shaped(self.bias, x), Pullback(pullback, buffers, x.shape)

    def _moved(self, old, new):
        return ((1 - self.momentum) * old + self.momentum * new).astype(old.dtype)

    def chain_buffer(self, name, first, second):
        # `second` began with the present value as `first` did, but comes after it
        return (second + (1 - self.momentum) * (first - getattr(self, name))).astype(first.dtype)

    def output_shape(self, shape):
        self._axis(shape)
        return tuple(shape)

    def streamed(self, name):
        return super().streamed(name) if self.training else Stateless(self)

    def stream_rule(self):
        return "in training it needs the whole batch: call eval() first"


class LayerNorm(Layer):
    """The channels of each position normalised, then scaled and shifted.

    Parameters
    ----------
    channels : int
        C.
    eps : float, optional
        Added to the variance.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels are. By default on the last axis, as in tokens ``(N, T, C)``.
    dtype : dtype, optional
        Of the parameters.

    Attributes
    ----------
    weight, bias : ndarray, shape (C,)
        Scale and shift.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and inputs with other channels.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.LayerNorm(2, eps=0)(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]])
    """

    parameter_names = ("weight", "bias")

    def __init__(self, channels, *, eps=1e-5, data_format="channels_last", dtype="float32"):
        self.channels = as_integer(channels, "channels", 1)
        self.eps = as_real(eps, "eps", 0)
        self.data_format = data_format
        channel_axis(data_format)
        dtype = as_float_type(dtype)
        self.weight, self.bias = np.ones(self.channels, dtype), np.zeros(self.channels, dtype)

    def describe(self):
        words = [str(self.channels)]
        words += [f"eps={self.eps}"] if self.eps != 1e-5 else []
        words += [f"data_format={self.data_format!r}"] if self.data_format != "channels_last" else []
        return ", ".join(words)

    def vjp(self, x):
        x = as_float(x)
        self.output_shape(x.shape)
        axis = channel_axis(self.data_format) % x.ndim
        others = tuple(each for each in range(x.ndim) if each != axis)
        shape = [self.channels if each == axis else 1 for each in range(x.ndim)]
        weight, bias = self.weight.reshape(shape), self.bias.reshape(shape)
        centred = x - x.mean(axis=axis, keepdims=True)
        variance = np.square(centred).mean(axis=axis, keepdims=True)
        inverse = 1 / np.sqrt(variance + x.dtype.type(self.eps))
        normal = centred * inverse

        def pullback(dy):
            of_normal = dy * weight
            along = (of_normal * normal).mean(axis=axis, keepdims=True)
            dx = inverse * (of_normal - of_normal.mean(axis=axis, keepdims=True) - normal * along)
            return dx, {"weight": (dy * normal).sum(axis=others), "bias": dy.sum(axis=others)}

        return normal * weight + bias, Pullback(pullback, shape=x.shape)

    def output_shape(self, shape):
        axis = channel_axis(self.data_format)
        if len(shape) < 2 or shape[axis] != self.channels:
            raise ValueError(
                f"x: LayerNorm was made for C = {self.channels} channels on axis {axis}, got shape "
                f"{tuple(shape)}"
            )
        return tuple(shape)


__all__ = ["BatchNorm", "LayerNorm"]
