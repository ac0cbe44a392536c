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

    def add_into(self, total, other):
        """`total` plus `other` in the memory of `total`, which no later step reads as it was."""
        self._append_arithmetic(np.add, total, other, [self.number(total), self.number(other)])
        total += other
        return total

    def divide_into(self, total, divisor):
        """`total` divided by a number, likewise."""
        self._append_arithmetic(np.divide, total, divisor, [self.number(total)])
        total /= divisor
        return total

    def _append_arithmetic(self, ufunc, total, other, reads):
        number = reads[0]
        recording = _core.record_arithmetic(total, other)
        if recording is not None and _core.bind_recording(recording, self.values) is not None:
            self.steps.append(Step(recording, reads, number))
            return

        def run(values):
            ufunc(values[number], values[reads[1]] if len(reads) > 1 else other, values[number])

        self.steps.append(Step(run, reads, number))

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
            key = id(self.values[weight]), _core.isa()
            self._packed[key] = _core.pack_recording(recording, self._packed.get(key))


def _layout(value):
    return (value.shape, value.strides, value.dtype) if isinstance(value, np.ndarray) else type(value)


def _is_whole(value):
    return type(value) is np.ndarray and value.flags.c_contiguous and value.flags.aligned
