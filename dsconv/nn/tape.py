"""A layer's call written down step by step, to be run again with nothing around its kernels.

Steps exchange values, which have numbers.
"""

from collections import namedtuple

import numpy as np

from .. import _core

# `run(values)`, or the recording of a kernel; the numbers of the values that it reads and of the one it makes
Step = namedtuple("Step", "run reads writes")
_MIXING = 2  # the place of pointwise weights among those of a recording


class LayoutChanged(Exception):
    """A step made a value of another layout than when it was written down."""


class Tape:
    """The steps of a call, and the values that they exchanged in it; number 0 is the input.

    Parameters
    ----------
    x : object
        The input.
    packed : dict, optional
        Where packed weights are kept for other tapes with the same constants.
    """

    def __init__(self, x, packed=None):
        self.values, self._numbers = [], {}
        self._packed = {} if packed is None else packed
        self.steps, self.constants, self.views = [], set(), set()
        self.number(x)

    def number(self, value):
        """The number of a value, a new one if it has none."""
        known = self._numbers.setdefault(id(value), len(self.values))
        if known == len(self.values):
            self.values.append(value)
        return known

    def call(self, function, *inputs):
        """``function(*inputs)``, which is called again in every run."""
        y = function(*inputs)
        self._append_call(function, inputs, y)
        return y

    def _append_call(self, function, inputs, y):
        reads, writes, layout = [self.number(each) for each in inputs], self.number(y), _layout(y)

        def run(values):
            made = function(*[values[each] for each in reads])
            if _layout(made) != layout:
                raise LayoutChanged
            values[writes] = made

        self.steps.append(Step(run, reads, writes))

    def view(self, function, x):
        """``function(x)``, the memory of `x` in another shape: no step where only kernels read it."""
        y = self.call(function, x)
        self.views.add(self.number(y))
        return y

    def arithmetic(self, ufunc, x, other, out=None):
        """``ufunc(x, other)`` for `np.add`, `np.multiply` or `np.divide` and an array or a number.

        What is written into `out` no later step reads as it was.
        """
        arrays = [x, other] if isinstance(other, np.ndarray) else [x]
        y = ufunc(x, other, out)
        reads, writes, into = [self.number(each) for each in arrays], self.number(y), out is not None
        recording = _core.record_arithmetic(ufunc.__name__, y, x, other)
        if recording is not None and _core.bind_recording(recording, self.values) is not None:
            self.steps.append(Step(recording, reads, writes))
            return y

        def run(values):
            second = values[reads[1]] if len(reads) > 1 else other
            values[writes] = ufunc(values[reads[0]], second, values[writes] if into else None)

        self.steps.append(Step(run, reads, writes))
        return y

    def concatenate(self, parts, axis):
        """The parts, joined along an axis."""
        y = np.concatenate(parts, axis)
        edges = np.cumsum([each.shape[axis] for each in parts])[:-1]
        recordings = [
            _core.record_arithmetic("copy", to, each, 0)
            for to, each in zip(np.split(y, edges, axis), parts, strict=True)
        ]
        for each in (*parts, y):
            self.number(each)
        if None in recordings or None in [_core.bind_recording(each, self.values) for each in recordings]:
            self._append_call(lambda *parts: np.concatenate(parts, axis), parts, y)
            return y
        for each, part in zip(recordings, parts, strict=True):
            self.steps.append(Step(each, [self.number(part)], self.number(y)))
        return y

    def kernel(self, function, x, constants):
        """``function(x)``, in each run its kernel alone if that is all there is to it.

        Parameters
        ----------
        function : callable
            Calls one ufunc of this package and returns its result; at times more, which is found out.
        x : ndarray
        constants : iterable
            What else the ufunc takes: arrays, and None.
        """
        y, recording = _core.record(function, x)
        constants = {self.number(each) for each in constants if each is not None}
        result = self.number(y)
        if _is_whole(x) and _is_whole(y) and y.base is None:
            places = _core.bind_recording(recording, self.values)
            if places is not None and len(places) == 1 and places[0][-1] == result:
                self.constants |= constants
                self._pack(recording, places[0][_MIXING])
                self.steps.append(Step(recording, [self.number(x)], result))
                return y
        self._append_call(function, (x,), y)
        return y

    def _pack(self, recording, weight):
        if weight in self.constants:
            array = self.values[weight]
            key = id(array), _core.isa()
            _, packed = self._packed.get(key, (array, None))
            # with the array: while it lives, no other has its id
            self._packed[key] = array, _core.pack_recording(recording, packed)


def _layout(value):
    return (value.shape, value.strides, value.dtype) if isinstance(value, np.ndarray) else type(value)


def _is_whole(value):
    return type(value) is np.ndarray and value.flags.c_contiguous and value.flags.aligned
