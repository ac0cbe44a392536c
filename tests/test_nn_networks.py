"""What is derived from whole networks: folding, receptive fields, streams; and what their calls write."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsconv import nn

RELU6 = "relu6"


def settled(net, rng):
    """Random parameters and running statistics, in inference."""
    for name, array in (net.parameters | net.buffers).items():
        array[...] = (
            rng.uniform(0.5, 2, array.shape) if name.endswith("var") else rng.standard_normal(array.shape)
        )
    return net.eval()


# ---- folding -------------------------------------------------------------------------------------
def block(data_format="channels_first"):
    words = {"data_format": data_format}
    return nn.Sequential(
        nn.DepthwiseConv2d(4, 3, padding=1, depth_multiplier=2, bias=False, **words),
        nn.BatchNorm(8, **words),
        nn.Activation(RELU6),
        nn.PointwiseConv2d(8, 4, **words),
        nn.BatchNorm(4, eps=1e-3, **words),
        nn.Dropout(0.1),
        nn.Activation("hardswish"),
    )


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_fold_block(data_format, rng):
    net = settled(block(data_format), rng)
    state = net.state_dict()
    folded = net.fold()
    (single,) = folded
    assert type(single) is nn.SeparableConv2d
    assert (single.keywords["depthwise_activation"], single.activation) == (RELU6, "hardswish")
    x = rng.standard_normal((2, 4, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(folded(x), net(x), rtol=1e-4, atol=1e-4)
    assert not any(
        np.shares_memory(a, b) for a in folded.parameters.values() for b in net.parameters.values()
    )
    assert all((net.state_dict()[name] == value).all() for name, value in state.items())
    assert folded.cost(x.shape).macs == net.cost(x.shape).macs


FOLDED = {
    "standard": (lambda: [nn.Conv2d(4, 3, 3, stride=2), nn.BatchNorm(3), nn.Activation("relu")], ["Conv2d"]),
    "separable": (lambda: [nn.SeparableConv2d(4, 3, 3), nn.BatchNorm(3)], ["SeparableConv2d"]),
    "transposed": (
        lambda: [nn.DepthwiseConvTranspose2d(4, 3, stride=2), nn.BatchNorm(4), nn.PointwiseConv2d(4, 2)],
        ["SeparableConvTranspose2d"],
    ),
    "separable transposed": (
        lambda: [nn.SeparableConvTranspose2d(4, 3, 2, stride=2), nn.BatchNorm(3)],
        ["SeparableConvTranspose2d"],
    ),
    "two norms": (lambda: [nn.PointwiseConv2d(4, 3), nn.BatchNorm(3), nn.BatchNorm(3)], ["PointwiseConv2d"]),
    "across an activation": (
        lambda: [nn.PointwiseConv2d(4, 3), nn.Activation("tanh"), nn.BatchNorm(3)],
        ["PointwiseConv2d", "BatchNorm"],
    ),
    "an epilogue": (
        lambda: [nn.PointwiseConv2d(4, 3, activation="tanh"), nn.BatchNorm(3)],
        ["PointwiseConv2d", "BatchNorm"],
    ),
    "norm before": (lambda: [nn.BatchNorm(4), nn.Conv2d(4, 3, 3, padding=1)], ["BatchNorm", "Conv2d"]),
    "across a branch": (
        lambda: [nn.Residual(nn.PointwiseConv2d(4, 4)), nn.BatchNorm(4)],
        ["Residual", "BatchNorm"],
    ),
    "chains in chains": (
        lambda: [nn.Sequential(nn.Sequential(nn.Conv2d(4, 3, 3))), nn.Sequential(nn.BatchNorm(3))],
        ["Conv2d"],
    ),
    "inside a branch": (lambda: [nn.Residual(block())], ["Residual"]),
    "linear": (
        lambda: [
            nn.GlobalAveragePool(),
            nn.Linear(4, 3),
            nn.BatchNorm(3, data_format="channels_last"),
            nn.Activation("relu"),
        ],
        ["GlobalAveragePool", "Linear"],
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_fold(name, rng):
    make, kinds = FOLDED[name]
    net = settled(nn.Sequential(*make()), rng)
    folded = net.fold()
    assert [type(layer).__name__ for layer in folded] == kinds
    x = rng.standard_normal((2, 4, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(folded(x), net(x), rtol=1e-3, atol=1e-3)
    assert not any(layer.training for layer in folded)
    if name == "inside a branch":
        assert len(folded[0].body) == 1


def test_fold_of_a_shared_layer(rng):
    layer = nn.PointwiseConv2d(4, 4)
    net = settled(nn.Sequential(layer, nn.BatchNorm(4), layer, nn.BatchNorm(4)), rng)
    x = rng.standard_normal((1, 4, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(net.fold()(x), net(x), rtol=1e-3, atol=1e-3)


# ---- receptive fields ----------------------------------------------------------------------------
CHAINS = {
    "one": lambda: [nn.DepthwiseConv1d(1, 3, stride=2, padding=1)],
    "two": lambda: [nn.Conv1d(1, 1, 5, stride=2, padding=2), nn.DepthwiseConv1d(1, 3, dilation=2, padding=2)],
    "pool": lambda: [nn.AveragePool1d(2), nn.DepthwiseConv1d(1, 3, padding="same"), nn.AveragePool1d(3)],
    "causal": lambda: [nn.DepthwiseConv1d(1, 3, padding="causal", dilation=3)],
    "same": lambda: [nn.DepthwiseConv1d(1, 4, padding="same", stride=2)],
    "full": lambda: [nn.DepthwiseConv1d(1, 4, padding="full")],
    "branches": lambda: [
        nn.Sum(nn.DepthwiseConv1d(1, 3, padding="same"), nn.DepthwiseConv1d(1, 5, padding="causal"))
    ],
    "down and up": lambda: [nn.AveragePool1d(2), nn.DepthwiseConv1d(1, 3, padding="same"), nn.Upsample(2)],
    "nearest and on": lambda: [nn.Upsample(3, "nearest"), nn.DepthwiseConv1d(1, 4, padding="same")],
    "bilinear odd": lambda: [nn.Upsample(3), nn.DepthwiseConv1d(1, 2, padding=1)],
    "transposed": lambda: [
        nn.DepthwiseConvTranspose1d(1, 4, stride=2, padding=1),
        nn.DepthwiseConv1d(1, 3, padding=1),
    ],
    "transposed same": lambda: [nn.DepthwiseConvTranspose1d(1, 5, stride=3, padding="same")],
    "same size": lambda: [
        nn.SameSize(nn.Sequential(nn.AveragePool1d(4), nn.DepthwiseConv1d(1, 3, padding=1)))
    ],
    "same size nearest": lambda: [nn.SameSize(nn.AveragePool1d(4), "nearest")],
    "shuffle": lambda: [nn.PointwiseConv1d(1, 4), nn.PixelShuffle1d(2), nn.AveragePool1d(2, stride=1)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_receptive_field(name):
    """Which inputs the gradient of one output reaches, against the claim; tight where strides are whole."""
    net = nn.Sequential(*CHAINS[name]())
    for array in net.parameters.values():
        array[...] = 1
    ((size, stride, start),) = net.field()  # in exact fractions
    x = np.ones((1, 1, 48), np.float32)
    y, pullback = net.vjp(x)
    whole = stride >= 1
    for position in range(y.shape[-1]):
        dy = np.zeros_like(y)
        dy[0, :, position] = 1
        reached = np.flatnonzero(pullback(dy)[0])
        first = start + position * stride
        assert len(reached) <= size
        assert reached.min() >= max(first, 0) and reached.max() <= first + size - 1
        inside = 8 < position < y.shape[-1] - 8
        if whole and inside and name not in ("down and up", "same size", "same size nearest", "shuffle"):
            assert (reached.min(), reached.max()) == (first, first + size - 1)


def test_receptive_field_of_everything():
    infinite = float("inf")
    net = nn.Sequential(nn.DepthwiseConv2d(2, 3), nn.SqueezeExcite(2, 1))
    assert net.receptive_field() == ((infinite, 1, -infinite),) * 2
    assert nn.DepthwiseConv2d(2, (3, 5), stride=(1, 2)).receptive_field() == ((3, 1, 0), (5, 2, 0))
    with pytest.raises(ValueError, match="branches must have the same stride"):
        nn.Sum(nn.Identity(), nn.MaxPool1d(2)).receptive_field()


# ---- streams -------------------------------------------------------------------------------------
def causal_network(data_format):
    words = {"data_format": data_format, "padding": "causal"}
    return nn.Sequential(
        nn.SeparableConv1d(3, 6, 5, activation="relu", **words),
        nn.BatchNorm(6, data_format=data_format),
        nn.Residual(
            nn.Sequential(
                nn.DepthwiseConv1d(6, 3, dilation=4, **words),
                nn.Activation("silu"),
                nn.PointwiseConv1d(6, 6, data_format=data_format),
            )
        ),
        nn.Concat(nn.Identity(), nn.DepthwiseConv1d(6, 2, **words), data_format=data_format),
        nn.Split((4, 8), nn.DepthwiseConv1d(4, 7, **words), nn.Identity(), data_format=data_format),
        nn.Dropout(0.5),
        nn.SeparableConv1d(12, 2, 3, stride=2, **words),
    ).eval()


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_stream_has_the_bits_of_one_call(data_format, rng):
    net = causal_network(data_format)
    time = 2 if data_format == "channels_first" else 1
    x = rng.standard_normal((2, 3, 61) if time == 2 else (2, 61, 3)).astype(np.float32)
    stream = net.stream()
    for _ in range(2):
        chunks = np.split(x, [1, 2, 17, 40], axis=time)
        assert np.concatenate([stream(chunk) for chunk in chunks], axis=time).tobytes() == net(x).tobytes()
        stream.reset()


@pytest.mark.parametrize(
    "layer, where",
    [
        (nn.DepthwiseConv1d(2, 3, padding="same"), "Sequential.1"),
        (nn.DepthwiseConv2d(2, 3, padding="causal"), "Sequential.1"),
        (nn.GlobalAveragePool(), "Sequential.1"),
        (nn.SelfAttention(2), "Sequential.1"),
        (nn.Residual(nn.MaxPool1d(2)), "Sequential.1.body"),
        (nn.BatchNorm(2), r"Sequential.1.*in training it needs the whole batch: call eval\(\) first"),
    ],
)
def test_stream_names_what_cannot(layer, where):
    with pytest.raises(ValueError, match=f"stream: {where}"):
        nn.Sequential(nn.Identity(), layer).stream()


# ---- memory that a call may write -----------------------------------------------------------------
class Keeping(nn.Layer):
    """A layer that returns an array which it keeps."""

    def __init__(self):
        self.kept = np.ones((1, 3, 4, 4), np.float32)

    def vjp(self, x):
        return self.kept, lambda dy: (dy, {})

    def output_shape(self, shape):
        return shape


class KeepingConv(nn.DepthwiseConv2d):
    def __call__(self, x):
        self.kept = super().__call__(x)
        return self.kept


BODIES = {
    "the input": nn.Identity(),
    "a chain that ends in it": nn.Sequential(nn.Identity()),
    "an array of its own": Keeping(),
    "a convolution's own": KeepingConv(3, 3, padding=1, rng=0),
    "a dropout in inference": nn.Sequential(nn.Dropout(0.5)).eval(),
    "a result": nn.Sequential(nn.DepthwiseConv2d(3, 3, padding=1, rng=0)),
    "a sum": nn.Sum(nn.Identity(), nn.Identity()),
    "a sum of one": nn.Sum(nn.Sequential(nn.Identity())),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_sums_write_nothing_but_what_was_made_for_them(body, rng):
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    before, layer = x.copy(), nn.Residual(body)
    expected = layer.vjp(x)[0]
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), expected)
        np.testing.assert_array_equal(x, before)
    for kept in [each.kept for each in layer if isinstance(each, (Keeping, KeepingConv))]:
        assert not np.shares_memory(layer(x), kept)
        np.testing.assert_array_equal(body(x) + x, expected)


class Weighted(nn.Sum):
    def join(self, parts):
        return parts[0] + 2 * parts[1]


def test_sums_with_a_join_of_their_own(rng):
    layer = Weighted(*(nn.DepthwiseConv2d(3, 3, rng=seed) for seed in range(2)))
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), layer.vjp(x)[0])


def test_sums_promote(rng):
    layer = nn.Residual(nn.DepthwiseConv2d(3, 1, rng=0), nn.PointwiseConv2d(3, 3, dtype=float, rng=1))
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    assert layer(x).dtype == np.float64
    np.testing.assert_array_equal(layer(x), layer.vjp(x)[0])


def test_standard_convolution_in_several_threads():
    threads = ThreadPoolExecutor(2)
    conv = nn.Conv2d(3, 8, 3, padding=1, rng=0)
    images = [np.full((1, 3, 50, 60), value, np.float32) for value in range(20)]
    for image, y in zip(images, threads.map(conv, images), strict=True):
        np.testing.assert_array_equal(y, conv(image))


def test_fold_takes_sums_of_one_branch_apart(rng):
    """They are a part of the chain around them; sums of several stay."""
    one = nn.Sum(nn.Sequential(nn.PointwiseConv2d(3, 4, rng=0), nn.BatchNorm(4)))
    net = nn.Sequential(
        one, nn.Activation("relu"), nn.Residual(nn.DepthwiseConv2d(4, 3, padding=1, rng=0))
    ).eval()
    folded, x = net.fold(), rng.standard_normal((1, 3, 5, 5)).astype("f4")
    assert [type(each).__name__ for each in folded] == ["PointwiseConv2d", "Residual"]
    assert folded[0].activation == "relu"
    np.testing.assert_allclose(folded(x), net(x), rtol=1e-5, atol=1e-6)
    assert type(nn.Sum(nn.Identity()).fold()) is nn.Identity
