"""Causal 1D convolution of a signal that arrives in chunks."""

import numpy as np

from . import functional
from .geometry import as_integer, canonical_activation, canonical_format, per_axis


class Stream1d:
    """Causal convolution of a signal that arrives chunk by chunk, depthwise or depthwise separable.

    The results of the calls, joined along time, have the very bits of one call of `depthwise_conv1d` (or of
    `separable_conv1d`, where there is a pointwise weight) on the whole signal with ``padding="causal"``,
    whatever the chunks are. An output is returned as soon as its last sample is there.

    Parameters
    ----------
    depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias : array_like
        As for `separable_conv1d`; all but the first may be None. They are kept, without copies.
    stride, dilation : int, optional
        As for `separable_conv1d`.
    depthwise_activation, activation : str or None, optional
        After the depthwise and after the last stage. Without `pointwise_weight` there is one stage only, and
        `activation` follows it.
    data_format : {"channels_first", "channels_last"}, optional
        Whether chunks are ``(..., C, t)`` or ``(..., t, C)``.
    dtype : dtype, optional
        The type to compute in, as for `separable_conv1d`.

    Attributes
    ----------
    seen : int
        How many samples have come.
    state : dict
        All that the next outputs depend on besides the arguments: ``{"seen": int, "tail": ndarray}``, but
        ``{"seen": 0}`` before the first chunk. It is a copy; to assign it restores it.

    Raises
    ------
    ValueError, TypeError
        As `separable_conv1d`, and for a chunk whose channels, batch axes or dtype are not those of the first
        one. A call that fails leaves the stream as it was.

    See Also
    --------
    separable_conv1d : the same on a whole signal.

    Notes
    -----
    Between calls the last ``dilation*(kernel - 1)`` samples are kept at most. One stream is not for several
    threads at a time.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> x, weight = np.arange(20.0).reshape(2, 10), np.ones((2, 1, 3))
    >>> stream = ds.Stream1d(weight, stride=2)
    >>> parts = [stream(x[:, :1]), stream(x[:, 1:6]), stream(x[:, 6:])]
    >>> [part.shape for part in parts]
    [(2, 1), (2, 2), (2, 2)]
    >>> whole = ds.depthwise_conv1d(x, weight, stride=2, padding="causal")
    >>> bool((np.concatenate(parts, axis=-1) == whole).all())
    True
    """

    def __init__(
        self,
        depthwise_weight,
        pointwise_weight=None,
        depthwise_bias=None,
        pointwise_bias=None,
        *,
        stride=1,
        dilation=1,
        depthwise_activation=None,
        activation=None,
        data_format="channels_first",
        dtype=None,
    ):
        given = depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias
        self._operands = [value if value is None else np.asarray(value) for value in given]
        shape = self._operands[0].shape if depthwise_weight is not None else ()
        if len(shape) < 3 or shape[-1] == 0:
            raise ValueError(f"depthwise_weight: expected shape (..., C, M, j), j at least 1, got {shape}")
        (self._stride,) = per_axis(stride, "stride", 1, 1)
        (self._dilation,) = per_axis(dilation, "dilation", 1, 1)
        self._reach = self._dilation * (shape[-1] - 1)
        self._time = -2 if canonical_format(data_format) else -1
        self._keywords = {
            "depthwise_activation": canonical_activation(depthwise_activation, "depthwise_activation"),
            "activation": canonical_activation(activation),
            "data_format": data_format,
            "dtype": dtype,
        }
        if pointwise_weight is None:
            self._refuse_second_stage(pointwise_bias, self._keywords.pop("depthwise_activation"))
        self.reset()

    def _refuse_second_stage(self, bias, activation):
        if bias is not None:
            raise ValueError("pointwise_bias: must be None without a pointwise_weight")
        if activation is not None:
            raise ValueError(
                f"depthwise_activation: must be None without a pointwise_weight, got {activation!r}; use "
                "activation, which follows the only stage"
            )

    def __repr__(self):
        depthwise, pointwise, *biases = self._operands
        words = [f"depthwise_weight {depthwise.shape}"]
        words += [f"pointwise_weight {pointwise.shape}"] if pointwise is not None else []
        words += ["bias"] if any(bias is not None for bias in biases) else []
        words += [f"stride={self._stride}"] if self._stride > 1 else []
        words += [f"dilation={self._dilation}"] if self._dilation > 1 else []
        for name, value in self._keywords.items():
            if value is not None and value != "channels_first":
                words.append(f"{name}={value if name == 'dtype' else repr(value)}")
        return f"Stream1d({', '.join(words)}; {self.seen} samples seen)"

    # ---- state ----------------------------------------------------------------------------------
    def reset(self):
        """Forget the signal: the next chunk begins another one, of any batch axes and dtype."""
        self.seen = 0
        self._tail = None

    def _due(self, seen):
        """The sample that the next output ends with, after so many samples."""
        return -(-seen // self._stride) * self._stride

    def _kept(self, seen):
        """How many of the last samples the next output depends on."""
        return max(seen - max(self._due(seen) - self._reach, 0), 0)

    @property
    def state(self):
        return {"seen": self.seen} if self._tail is None else {"seen": self.seen, "tail": self._tail.copy()}

    @state.setter
    def state(self, state):
        keys = sorted(state.keys()) if hasattr(state, "keys") else type(state).__name__
        if keys not in (["seen"], ["seen", "tail"]):
            raise ValueError(f"state: expected a dict with the keys 'seen' and 'tail', got {keys}")
        seen = as_integer(state["seen"], "state['seen']", 0)
        tail = np.array(state["tail"]) if "tail" in keys else None
        if tail is None and seen:
            raise ValueError(f"state: the key 'tail' must be there, as {seen} samples have been seen")
        if tail is not None and (tail.ndim < 2 or tail.shape[self._time] != self._kept(seen)):
            raise ValueError(
                f"state['tail']: after {seen} samples the last {self._kept(seen)} are needed along time, for "
                f"dilation*(kernel - 1) = {self._reach} and stride {self._stride}; got shape {tail.shape}"
            )
        self.seen, self._tail = seen, tail

    # ---- chunks ---------------------------------------------------------------------------------
    def __call__(self, x):
        """The outputs that end in the next chunk.

        Parameters
        ----------
        x : array_like, shape (..., C, t)
            The next samples, any number of them, none too; ``(..., t, C)`` with
            ``data_format="channels_last"``. Batch axes, channels and dtype are those of the first chunk.

        Returns
        -------
        ndarray, shape (..., O, p)
            ``(..., p, O)`` with ``data_format="channels_last"``; p may be 0.
        """
        x = np.asarray(x)
        x = x.astype(x.dtype.newbyteorder("="), copy=False)
        self._check(x)
        samples = self._joined(x)
        due, seen = self._due(self.seen), self.seen + x.shape[self._time]
        if seen > due:
            result = self._run(samples, max(self._reach - due, 0))
        else:
            # no output is due; that of any sample has the right shape and dtype, and the errors
            shape = list(x.shape)
            shape[self._time] = 1
            result = self._last(self._run(np.zeros(shape, x.dtype), self._reach), 0)
        self.seen, self._tail = seen, self._last(samples, self._kept(seen)).copy()
        return result

    def _check(self, x):
        axes = "(..., t, C)" if self._time == -2 else "(..., C, t)"
        if x.ndim < 2:
            raise ValueError(f"x: expected at least 2 axes, {axes}, got {x.ndim}: shape {x.shape}")
        if self._tail is None:
            return
        expected, given = list(self._tail.shape), list(x.shape)
        expected[self._time] = given[self._time] = "t"
        if given != expected:
            wanted = ", ".join(map(str, expected))
            raise ValueError(
                f"x: every chunk must have the batch axes and channels of the first one, ({wanted}), got "
                f"shape {x.shape}; reset() begins another signal"
            )
        if x.dtype != self._tail.dtype:
            raise TypeError(
                f"x: every chunk must have the dtype of the first one, {self._tail.dtype}, got {x.dtype}; "
                "reset() begins another signal"
            )

    def _joined(self, x):
        """What is kept and the chunk, from the first sample that the next output depends on."""
        count = x.shape[self._time]
        # with a stride beyond the kernel's reach that sample may still be to come
        skipped = max(self._due(self.seen) - self._reach - self.seen, 0)
        fresh = self._last(x, max(count - skipped, 0))
        if self._tail is None or not self._tail.shape[self._time]:
            return np.ascontiguousarray(fresh)
        return np.concatenate([self._tail, fresh], axis=self._time)

    def _last(self, array, count):
        start = array.shape[self._time] - count
        return array[..., start:, :] if self._time == -2 else array[..., start:]

    def _run(self, samples, missing):
        """The operation on some samples, before which so many are missing; those taps are skipped."""
        depthwise, pointwise, *biases = self._operands
        window = {"stride": self._stride, "dilation": self._dilation, "padding": ((missing, 0),)}
        if pointwise is not None:
            return functional.separable_conv1d(
                samples, depthwise, pointwise, *biases, **window, **self._keywords
            )
        try:
            return functional.depthwise_conv1d(samples, depthwise, biases[0], **window, **self._keywords)
        except (TypeError, ValueError) as error:
            if not str(error).startswith(("weight", "bias")):
                raise
            raise type(error)(f"depthwise_{error}") from error
