"""Streams: chunks leave no trace in the bits, whatever they are, and states save and restore."""

import copy
import io
import itertools
import pickle

import numpy as np
import pytest

import dsconv as ds


def numbers(*shape, dtype="f4", seed=0):
    values = np.random.default_rng((seed, *shape)).standard_normal(shape)
    return (values * 50).astype(dtype) if np.dtype(dtype).kind in "ui" else values.astype(dtype)


def offline(x, weights, keywords):
    """One call on the whole signal."""
    depthwise, pointwise, *biases = [*weights, *[None] * (4 - len(weights))]
    if pointwise is None:
        return ds.depthwise_conv1d(x, depthwise, biases[0], padding="causal", **keywords)
    return ds.separable_conv1d(x, depthwise, pointwise, *biases, padding="causal", **keywords)


def pieces(x, sizes, time):
    """x cut along time: the sizes over and over, until it is used up."""
    start, chunks = 0, []
    while start < x.shape[time]:
        for size in sizes:
            chunks.append(x[..., start : start + size] if time == -1 else x[..., start : start + size, :])
            start += size
    return chunks


def same_bits(actual, expected):
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


CHUNKINGS = [(1,), (2,), (7,), (64,), (1000,), (0, 3, 0, 0, 1), (33, 1, 5), (16, 17)]
WINDOWS = [
    (1, 1, 1),
    (3, 1, 1),
    (3, 1, 4),
    (5, 2, 3),
    (2, 7, 1),
    (3, 40, 5),
    (9, 3, 1),
    (4, 5, 2),
    (41, 4, 2),
]


@pytest.mark.parametrize("kernel, stride, dilation", WINDOWS)
@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_same_bits_as_offline(kernel, stride, dilation, separable, data_format):
    keywords = {"stride": stride, "dilation": dilation, "data_format": data_format, "activation": "silu"}
    weights = [numbers(5, 2, kernel), numbers(7, 10) if separable else None, numbers(10)]
    if separable:
        weights.append(numbers(7))
        keywords["depthwise_activation"] = "tanh"
    time = -1 if data_format == "channels_first" else -2
    x = numbers(2, 5, 130)
    x = x if time == -1 else np.moveaxis(x, -1, -2).copy()
    expected = offline(x, weights, keywords)
    for sizes in CHUNKINGS:
        stream = ds.Stream1d(*weights, **keywords)
        results = [stream(chunk) for chunk in pieces(x, sizes, time)]
        same_bits(np.concatenate(results, axis=time), expected)
        assert stream.seen == 130


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["f2", "c8", "c16"])
def test_same_bits_of_converted_types(kernel_set, dtype, data_format, separable):
    """A single output, or sample, of a type that is converted: its layout and window are those of many."""
    time = -1 if data_format == "channels_first" else -2
    for channels, (kernel, stride, dilation) in itertools.product(
        (1, 3, 20, 33), [(1, 1, 1), (7, 4, 1), (4, 3, 2), (7, 1, 16), (40, 2, 1)]
    ):
        shapes = [(channels, 1, kernel), (17, channels)][: 1 + separable]
        parts = [[numbers(*shape, seed=seed) for shape in [*shapes, (2, channels, 90)]] for seed in (0, 1)]
        imaginary = 1j if dtype[0] == "c" else 0
        *weights, x = [(a + imaginary * b).astype(dtype) for a, b in zip(*parts, strict=True)]
        x = x if time == -1 else np.moveaxis(x, -1, -2).copy()
        keywords = {"stride": stride, "dilation": dilation, "data_format": data_format}
        for length, sizes in itertools.product((1, 90), [(1,), (1, 5), (16, 1)]):
            signal = x[..., :length] if time == -1 else x[..., :length, :]
            stream = ds.Stream1d(*weights, **keywords)
            results = [stream(chunk) for chunk in pieces(signal, sizes, time)]
            same_bits(np.concatenate(results, axis=time), offline(signal, weights, keywords))


@pytest.mark.usefixtures("always_parallel")
@pytest.mark.parametrize("seed", range(30))
def test_random_streams(seed):
    rng = np.random.default_rng(seed)
    channels, multiplier, last, kernel, stride, dilation = map(int, rng.integers(1, [6, 4, 40, 8, 5, 6]))
    dtype = ("f4", "f8", "c8", "f2")[seed % 4]
    batch = ((), (1,), (3,), (2, 0), (2, 2))[seed % 5]
    x = numbers(*batch, channels, int(rng.integers(1, 300)), dtype=dtype)
    weights = [
        numbers(channels, multiplier, kernel, dtype=dtype),
        numbers(last, channels * multiplier, dtype=dtype),
    ]
    keywords = {"stride": stride, "dilation": dilation}
    stream, results = ds.Stream1d(*weights, **keywords), []
    start = 0
    while start < x.shape[-1]:
        size = int(rng.integers(0, rng.choice([2, 12, 150])))
        results.append(stream(x[..., start : start + size]))
        start += size
    same_bits(np.concatenate(results, axis=-1), offline(x, weights, keywords))


def test_an_output_comes_as_soon_as_it_is_due():
    stream = ds.Stream1d(np.ones((1, 1, 4)), stride=3, dilation=2)
    lengths = [stream(np.ones((1, 1))).shape[-1] for _ in range(10)]
    assert lengths == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_missing_samples_are_skipped():
    weight = np.full((1, 1, 4), np.inf, np.float32)
    x = np.ones((1, 9), np.float32)
    stream = ds.Stream1d(weight, dilation=2)
    results = np.concatenate([stream(x[:, i : i + 1]) for i in range(9)], axis=-1)
    assert (results == np.inf).all()
    same_bits(results, offline(x, [weight], {"dilation": 2}))


@pytest.mark.parametrize(
    "dtype, result", [("u1", "f4"), ("i4", "f8"), ("f8", "f8"), (">f4", "f4"), ("?", "f4")]
)
def test_types(dtype, result):
    x, weight = numbers(3, 50, dtype="i1").astype(dtype), numbers(3, 1, 3)
    stream = ds.Stream1d(weight)
    results = [stream(chunk) for chunk in pieces(x, (0, 1, 9), -1)]
    assert all(each.dtype == np.dtype(result) for each in results)
    same_bits(np.concatenate(results, axis=-1), offline(x, [weight], {}))
    same_bits(ds.Stream1d(weight, dtype="f8")(x), offline(x, [weight], {"dtype": "f8"}))


def test_forms_of_arguments():
    x, weight, pointwise = numbers(3, 20), numbers(3, 2, 3), numbers(4, 6)
    expected = offline(x, [weight, pointwise], {"stride": 2})
    torch = ds.Stream1d(weight.reshape(6, 1, 3), pointwise[..., None], stride=(2,))
    same_bits(np.concatenate([torch(x[:, :1]), torch(x[:, 1:])], axis=-1), expected)
    lists = ds.Stream1d(weight.tolist(), pointwise.tolist())
    assert lists([[1, 2], [3, 4], [5, 6]]).shape == (4, 2)
    samples = ds.Stream1d(np.stack([weight, 2 * weight]))
    assert samples(x[:, :0]).shape == (2, 6, 0)
    assert samples(x).shape == (2, 6, 20)


def test_views_and_later_changes_of_a_chunk():
    whole = numbers(40, 3).T[:, ::2]
    weight = numbers(3, 1, 3)
    expected = offline(np.ascontiguousarray(whole), [weight], {})
    stream, results = ds.Stream1d(weight), []
    buffer = np.empty((3, 5), np.float32)
    for start in range(0, 20, 5):
        buffer[...] = whole[:, start : start + 5]
        results.append(stream(buffer))
        buffer[...] = np.nan
    same_bits(np.concatenate(results, axis=-1), expected)
    same_bits(ds.Stream1d(weight)(whole), expected)


# ---- state ---------------------------------------------------------------------------------------
def make(**keywords):
    return ds.Stream1d(numbers(3, 2, 4), numbers(5, 6), numbers(6), stride=2, dilation=3, **keywords)


def through_file(state):
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return dict(np.load(file))


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda stream: pickle.loads(pickle.dumps(stream)),
    "state": lambda stream: restored(stream.state),
    "file": lambda stream: restored(through_file(stream.state)),
}


def restored(state):
    stream = make()
    stream.state = state
    return stream


@pytest.mark.parametrize("way", COPIES)
def test_copies_go_on_where_the_stream_was(way):
    x = numbers(2, 3, 60)
    expected = make()(x)
    for cut in (0, 1, 2, 5, 9, 10, 33, 60):
        stream = make()
        first = stream(x[..., :cut]) if cut else None
        other = COPIES[way](stream)
        rest = other(x[..., cut:])
        same_bits(rest, expected[..., expected.shape[-1] - rest.shape[-1] :])
        if first is not None:
            assert first.shape[-1] + rest.shape[-1] == expected.shape[-1]
            same_bits(stream(x[..., cut:]), rest)


def test_a_state_is_a_copy():
    stream, x = make(), numbers(3, 20)
    stream(x)
    state, expected = stream.state, copy.deepcopy(stream)(x)
    state["tail"][...] = np.nan
    same_bits(stream(x), expected)
    stream = make()
    stream(x)
    state = stream.state
    other = restored(state)
    state["tail"][...] = np.nan
    same_bits(other(x), expected)


def test_reset():
    stream, x = make(), numbers(2, 3, 20)
    expected = stream(x)
    stream.reset()
    assert stream.seen == 0 and stream.state == {"seen": 0}
    same_bits(stream(x), expected)
    stream.reset()
    assert stream(numbers(3, 20, dtype="f8")).shape == (5, 10)


def test_the_state_stays_small():
    stream = ds.Stream1d(numbers(3, 1, 5), stride=2, dilation=3)
    for _ in range(50):
        stream(numbers(3, 17))
        assert stream.state["tail"].shape[-1] <= 12
    assert ds.Stream1d(numbers(3, 1, 1))(numbers(3, 9)).shape == (3, 9)


@pytest.mark.parametrize(
    "state, error, pattern",
    [
        (None, ValueError, "^state: expected a dict with the keys 'seen' and 'tail', got NoneType"),
        ({}, ValueError, "^state: expected a dict"),
        ({"seen": 3, "tail": np.ones((3, 3)), "more": 1}, ValueError, "^state: .*'more'"),
        ({"seen": 3}, ValueError, "^state: the key 'tail' must be there"),
        ({"seen": -1, "tail": np.ones((3, 0))}, ValueError, r"^state\['seen'\]: must be at least 0"),
        ({"seen": 1.5, "tail": np.ones((3, 1))}, TypeError, r"^state\['seen'\]: expected an integer"),
        ({"seen": 3, "tail": np.ones((3, 2))}, ValueError, r"^state\['tail'\]: after 3 samples the last 3"),
        ({"seen": 100, "tail": np.ones((3, 10))}, ValueError, r"^state\['tail'\]: .*the last 9"),
        ({"seen": 3, "tail": np.ones(3)}, ValueError, r"^state\['tail'\]: .*got shape \(3,\)"),
    ],
)
def test_wrong_state(state, error, pattern):
    stream, x = make(), numbers(3, 20)
    stream(x)
    expected = copy.deepcopy(stream)(x)
    with pytest.raises(error, match=pattern):
        stream.state = state
    same_bits(stream(x), expected)


# ---- errors --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments, keywords, error, pattern",
    [
        ((None,), {}, ValueError, "^depthwise_weight: expected shape"),
        ((np.ones((3, 3)),), {}, ValueError, r"^depthwise_weight: expected shape .*got \(3, 3\)"),
        ((np.ones((3, 1, 0)),), {}, ValueError, "^depthwise_weight: "),
        ((np.ones((3, 1, 2)),), {"stride": 0}, ValueError, "^stride: "),
        ((np.ones((3, 1, 2)),), {"stride": True}, TypeError, "^stride: "),
        ((np.ones((3, 1, 2)),), {"dilation": -1}, ValueError, "^dilation: "),
        ((np.ones((3, 1, 2)),), {"dilation": (1, 1)}, ValueError, "^dilation: "),
        ((np.ones((3, 1, 2)),), {"activation": "swish"}, ValueError, "^activation: .*'silu'"),
        ((np.ones((3, 1, 2)),), {"data_format": "NWC"}, ValueError, "^data_format: "),
        (
            (np.ones((3, 1, 2)),),
            {"depthwise_activation": "relu"},
            ValueError,
            "^depthwise_activation: must be N",
        ),
        ((np.ones((3, 1, 2)), None, None, np.ones(3)), {}, ValueError, "^pointwise_bias: must be None"),
        ((np.ones((3, 1, 2)),), {"padding": 1}, TypeError, "padding"),
    ],
)
def test_wrong_arguments(arguments, keywords, error, pattern):
    with pytest.raises(error, match=pattern):
        ds.Stream1d(*arguments, **keywords)


@pytest.mark.parametrize(
    "arguments, x, error, pattern",
    [
        ((np.ones((3, 1, 2)),), np.ones(3), ValueError, r"^x: expected at least 2 axes, \(..., C, t\)"),
        (
            (np.ones((3, 1, 2)),),
            np.ones((4, 5)),
            ValueError,
            "^depthwise_weight: the channels must be those of x",
        ),
        (
            (np.ones((3, 1, 2)),),
            np.ones((4, 0)),
            ValueError,
            "^depthwise_weight: the channels must be those of x",
        ),
        ((np.ones((3, 1, 2)), np.ones((2, 4))), np.ones((3, 5)), ValueError, "^pointwise_weight: "),
        ((np.ones((3, 1, 2)), None, np.ones(4)), np.ones((3, 5)), ValueError, "^depthwise_bias: "),
        ((np.ones((3, 1, 2), "g"),), np.ones((3, 5)), TypeError, "^depthwise_weight: expected float16"),
        ((np.ones((3, 1, 2)),), np.ones((3, 5), "O"), TypeError, "^x: expected float16"),
        ((np.ones((3, 1, 2)),), np.ones((3, 0), "O"), TypeError, "^x: expected float16"),
    ],
)
def test_wrong_first_chunk(arguments, x, error, pattern):
    stream = ds.Stream1d(*arguments)
    for _ in range(2):
        with pytest.raises(error, match=pattern):
            stream(x)
        assert stream.state == {"seen": 0}


def test_later_chunks_are_like_the_first():
    x = numbers(2, 3, 20)
    for first in (x[..., :7], x[..., :0]):
        stream = ds.Stream1d(numbers(3, 1, 3))
        stream(first)
        before = stream.state
        for bad, error, pattern in (
            (
                numbers(2, 4, 5),
                ValueError,
                r"^x: every chunk must have the .*\(2, 3, t\), got shape \(2, 4, 5\)",
            ),
            (
                numbers(1, 3, 5),
                ValueError,
                r"^x: every chunk must have the batch axes .*got shape \(1, 3, 5\)",
            ),
            (numbers(3, 5), ValueError, r"^x: every chunk .*got shape \(3, 5\)"),
            (
                numbers(2, 3, 5, dtype="f8"),
                TypeError,
                "^x: every chunk must have the dtype .*float32, got float64",
            ),
            (numbers(2, 4, 0), ValueError, "^x: every chunk"),
        ):
            with pytest.raises(error, match=pattern):
                stream(bad)
        after = stream.state
        assert after["seen"] == before["seen"]
        np.testing.assert_array_equal(after["tail"], before["tail"])


def test_repr():
    stream = make(activation="relu", data_format="channels_last", dtype="f8")
    stream(numbers(5, 3))
    for word in (
        "(3, 2, 4)",
        "(5, 6)",
        "bias",
        "stride=2",
        "dilation=3",
        "'relu'",
        "channels_last",
        "5 samples",
    ):
        assert word in repr(stream)
    assert repr(ds.Stream1d(np.ones((3, 1, 2)))) == "Stream1d(depthwise_weight (3, 1, 2); 0 samples seen)"
