"""What compiled layers are made of: tapes, plans, recordings and their replay."""

import contextlib

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, nn
from dsconv.nn.plan import Plan
from dsconv.nn.tape import Tape

conv = nn.DepthwiseConv2d(4, 3, padding="same", bias=False, rng=1)


def same_bits(one, other):
    assert one.dtype == other.dtype and one.tobytes() == other.tobytes()


def test_places_of_values():
    """Values that live at the same time are apart, others share; a view keeps what it is of alive."""
    x, tape = np.ones((1, 4, 8, 8), np.float32), Tape(np.ones((1, 4, 8, 8), np.float32))
    one = tape.kernel(conv, tape.values[0], [conv.weight])
    flat = tape.view(lambda a: a.reshape(1, 256), one)
    two = tape.kernel(conv, tape.values[0], [conv.weight])
    wide = nn.Linear(256, 256, rng=0)
    three = tape.kernel(wide, flat, [wide.weight, wide.bias])
    four = tape.kernel(conv, two, [conv.weight])
    tape.arithmetic(np.add, four, two, four)
    plan = Plan(tape, (three, four))
    assert plan._bytes == 0 or one.nbytes <= plan._bytes
    places = {number: plan._offsets.get(number) for number in (tape.number(one), tape.number(two))}
    assert None not in places.values() and len(set(places.values())) == 2
    assert not np.array_equal(x, one)


def recorded(layer, x):
    y, recording = _core.record(layer, x)
    return y, recording, [x, layer.weight, layer.bias, y]


def test_recordings_refuse_other_values():
    """Whatever they are given: an error, never memory that is not theirs."""
    layer, x = nn.PointwiseConv1d(2, 3, rng=0), np.ones((1, 2, 5), np.float32)
    y, recording, values = recorded(layer, x)
    with pytest.raises(ValueError, match="not bound"):
        _core.replay((recording,), values)
    assert _core.bind_recording(recording, [x, layer.weight]) is None
    with pytest.raises(ValueError, match="not bound"):
        _core.replay((recording,), values)
    assert _core.bind_recording(recording, values) == [(0, -1, 1, -1, 2, 3)]
    values[3] = np.zeros_like(y)
    _core.replay((recording,), values)
    np.testing.assert_array_equal(values[3], y)
    for wrong in (
        values[:3],
        [*values[:3], None],
        [*values[:3], y[..., :4].copy()],
        [x[..., :1].copy(), *values[1:]],
    ):
        with pytest.raises(ValueError, match="must be an array of at least"):
            _core.replay((recording,), wrong)
    for arguments in ((recording, values), ((recording,), tuple(values)), ((1,), values), ()):
        with pytest.raises((TypeError, ValueError)):
            _core.replay(*arguments)


def test_places_behind_a_reversed_array():
    """What lies behind the first element of an array that runs backwards is not a part of it."""
    layer, memory = nn.PointwiseConv1d(2, 3, rng=0), np.ones(64, np.float32)
    backwards, x = memory[:16][::-1], memory[16:26].reshape(1, 2, 5)
    assert 0 <= x.ctypes.data - backwards.ctypes.data < backwards.nbytes
    y, recording, values = recorded(layer, x)
    assert _core.bind_recording(recording, [backwards, *values]) == [(1, -1, 2, -1, 3, 4)]
    _, recording, values = recorded(layer, x)
    assert _core.bind_recording(recording, [backwards, *values[1:]]) is None


def test_recordings_of_what_cannot_be_replayed():
    """Gradients, and calls that fail."""
    x = np.ones((1, 2, 5), np.float32)
    function = ds.gufunc("depthwise_conv1d_weight_grad", kernel_size=3, batch_axes=1)
    y, recording = _core.record(lambda x: function(x, x[..., 2:]), x)
    assert _core.bind_recording(recording, [x, y]) is None
    with pytest.raises(ZeroDivisionError):
        _core.record(lambda x: 1 / 0, x)
    y, recording = _core.record(lambda x: x, x)
    assert _core.bind_recording(recording, [x]) == []


REPEATED = [
    ((2, 3, 4, 5), (2, 3, 1, 1)), ((2, 4, 5, 3), (2, 1, 1, 3)), ((2, 3, 7), (1, 3, 1)),
    ((2, 3, 7), (2, 1, 7)), ((1, 5), (1, 5)), ((2, 3, 4, 5), (1, 1, 1, 1)), ((1, 130), (1, 1)),
    ((2, 2, 3, 2, 3), (2, 2, 1, 1, 3)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape, other", REPEATED)
def test_recorded_arithmetic(shape, other, dtype, rng):
    """The bits of NumPy's ufuncs, with another operand, repeated or not, or a number; in place or not."""
    for ufunc in (np.add, np.multiply, np.divide):
        for second in (rng.standard_normal(other).astype(dtype), 49):
            x = rng.standard_normal(shape).astype(dtype)
            expected = ufunc(x, second)
            for y in (np.zeros_like(x), x):
                values = [x, y, second]
                recording = _core.record_arithmetic(ufunc.__name__, y, x, second)
                assert _core.bind_recording(recording, values) is not None
                _core.replay((recording,), values)
                same_bits(y, expected)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_recorded_copies(axis, dtype, rng):
    sizes = [[2, 3, 4, 5] for _ in range(3)]
    for size, each in enumerate(sizes, 1):
        each[axis] = size
    parts = [rng.standard_normal(size).astype(dtype) for size in sizes]
    tape = Tape(parts[0])
    y = tape.concatenate(parts, axis)
    assert not any(callable(step.run) for step in tape.steps) and len(tape.steps) == 3
    expected, values = y.copy(), list(tape.values)
    y[...] = 0
    _core.replay(tuple(step.run for step in tape.steps), values)
    same_bits(y, expected)


def test_arithmetic_that_is_not_recorded():
    y = np.ones((2, 3, 4, 5), "f4")
    others = (
        np.ones(y.shape, "f8"),
        np.ones((2, 1, 4, 1), "f4"),
        np.ones((3, 4, 5), "f4"),
        np.ones((2, 3, 8, 5), "f4")[:, :, ::2],
    )
    for other in others:
        assert _core.record_arithmetic("multiply", y, y, other) is None
    assert _core.record_arithmetic("add", y.astype("f2"), y.astype("f2"), 2) is None
    assert _core.record_arithmetic("copy", y[:, ::2, :, ::2], y[:, :2, :, :3].copy(), 0) is None
    assert _core.record_arithmetic("add", y[:, :1], y[:, :1], 2) is None
    for arguments in (("power", y, y, 2), ("add", y, y, "two"), ("add", y, 1, 2), ()):
        with pytest.raises((TypeError, ValueError)):
            _core.record_arithmetic(*arguments)
    with pytest.raises(ValueError, match="one call"):
        _core.pack_recording(_core.record_arithmetic("add", y, y, y), None)


def test_packed_weights_are_shared():
    """By all plans of a compiled layer."""
    layer = nn.PointwiseConv1d(20, 40, rng=0)
    packed = []
    for size in (5, 6):
        x = np.ones((1, 20, size), np.float32)
        y, recording, values = recorded(layer, x)
        _core.bind_recording(recording, values)
        packed.append(_core.pack_recording(recording, packed[0] if packed else None))
        with pytest.raises(ValueError, match="not packed") if packed[0] else contextlib.nullcontext():
            _core.pack_recording(recording, None)
        values[3] = np.zeros_like(y)
        _core.replay((recording,), values)
        np.testing.assert_array_equal(values[3], y)
    assert packed[0] is packed[1]
    for arguments in ((1, None), (recording, recording)):
        with pytest.raises(ValueError):
            _core.pack_recording(*arguments)
