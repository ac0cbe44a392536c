"""A tape with a place for each of its values, to be run again and again."""

from functools import partial

import numpy as np

from .. import _core

_PAGE = 4096  # bytes: values begin where pages do


class Plan:
    """The steps of a `Tape`, ready to run on other inputs of the same layout.

    Parameters
    ----------
    tape : Tape
    result : object
        The value that a run returns.
    """

    def __init__(self, tape, result):
        values, self._result = tape.values, tape.number(result)
        steps = _needed(tape, self._result)
        self._program = list(_joined(steps))
        called = [step for step in steps if callable(step.run)]
        makers = {step.writes: step for step in reversed(steps)}
        made = {number for number, step in makers.items() if not callable(step.run)}
        # whoever sees a value may keep it
        seen = [result, *(values[each] for step in called for each in step.reads)]
        hidden = sorted(each for each in made if not any(_overlap(values[each], other) for other in seen))
        self._hidden = [(each, values[each].shape, values[each].dtype) for each in hidden]
        self._fresh = [(each, values[each].shape, values[each].dtype) for each in made.difference(hidden)]
        self._offsets, self._bytes = _places(tape, hidden)
        self._constants = {each: values[each] for each in tape.constants}
        self._passing = sorted(set(range(len(values))) - {*hidden, *tape.constants})
        self._spare = []  # lists of values that no run uses now; each thread that calls takes one

    def __call__(self, x):
        try:
            values = self._spare.pop()
        except IndexError:
            values = self._new_values()
        values[0] = x
        for number, shape, dtype in self._fresh:
            values[number] = np.empty(shape, dtype)
        for run in self._program:
            run(values)
        y = values[self._result]
        for number in self._passing:
            values[number] = None
        self._spare.append(values)
        return y

    def _new_values(self):
        values = [None] * (len(self._passing) + len(self._hidden) + len(self._constants))
        for number, array in self._constants.items():
            values[number] = array
        memory = np.empty(self._bytes + _PAGE, np.uint8)
        start = -memory.ctypes.data % _PAGE
        for number, shape, dtype in self._hidden:
            values[number] = np.ndarray(shape, dtype, memory, start + self._offsets[number])
        return values


def _needed(tape, result):
    """The steps without those that make views which only kernels read."""
    read = {result}.union(*(step.reads for step in tape.steps if callable(step.run)))
    return [step for step in tape.steps if step.writes not in tape.views or step.writes in read]


def _joined(steps):
    """What to run: of kernels that follow each other, one replay."""
    recordings = []
    for step in steps:
        if not callable(step.run):
            recordings.append(step.run)
            continue
        if recordings:
            yield partial(_core.replay, tuple(recordings))
        recordings = []
        yield step.run
    if recordings:
        yield partial(_core.replay, tuple(recordings))


def _overlap(array, value):
    """Whether a value, or one inside it, may share memory with an array."""
    if isinstance(value, (tuple, list)):
        return any(_overlap(array, each) for each in value)
    return isinstance(value, np.ndarray) and np.may_share_memory(array, value)


def _places(tape, numbers):
    """The offset of each of these values and the bytes of all: the largest first, each as low as it fits."""
    first, last = _lives(tape, numbers)
    sizes = {each: -(-tape.values[each].nbytes // _PAGE) * _PAGE for each in numbers}
    offsets, most = {}, 0
    for number in sorted(numbers, key=sizes.get, reverse=True):
        meets = [each for each in offsets if first[each] <= last[number] and first[number] <= last[each]]
        begin = 0
        for each in sorted(meets, key=offsets.get):
            if begin + sizes[number] <= offsets[each]:
                break
            begin = max(begin, offsets[each] + sizes[each])
        offsets[number] = begin
        most = max(most, begin + sizes[number])
    return offsets, most


def _lives(tape, numbers):
    """The first and the last step that uses each of these values, or a view of it."""
    first, last = {}, {}
    sharing = [
        [each for each in numbers if _overlap(tape.values[each], value)] for value in tape.values
    ]  # fmt: skip
    for position, step in enumerate(tape.steps):
        for number in {*step.reads, step.writes}:
            for each in sharing[number]:
                first.setdefault(each, position)
                last[each] = position
    return first, last
