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
    four = tape.add_into(tape.kernel(conv, two, [conv.weight]), two)
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


def test_recorded_arithmetic(rng):
    for dtype in ("f4", "f8"):
        for size in (1, 3, 4, 7, 64, 1001):
            y, x = rng.standard_normal((2, size)).astype(dtype)
            values, expected = [y, x], (y + x) / y.dtype.type(49)
            recordings = _core.record_arithmetic(y, x), _core.record_arithmetic(y, 49)
            assert all(_core.bind_recording(each, values) is not None for each in recordings)
            _core.replay(recordings, values)
            same_bits(y, expected)
    y = np.ones(4, "f4")
    others = (np.ones(4, "f8"), np.ones(5, "f4"), np.ones(8, "f4")[::2])
    assert all(_core.record_arithmetic(y, other) is None for other in others)
    assert _core.record_arithmetic(y.astype("f2"), 2) is None
    with pytest.raises(TypeError):
        _core.record_arithmetic(y, "two")


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
    for arguments in ((1, None), (recording, recording), (_core.record_arithmetic(y, y), None)):
        with pytest.raises(ValueError):
            _core.pack_recording(*arguments)
