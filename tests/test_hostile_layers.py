"""Wrong arguments of layers, networks, losses and graphs: the error names the argument."""

import numpy as np
import pytest

from dsconv import analysis, cost, graph, models, nn, testing, training

X = np.ones((1, 4, 8, 8), np.float32)
NAN, INF = float("nan"), float("inf")


def linear():
    return nn.Linear(4, 3, rng=0)


def chain():
    return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm(4), nn.Activation("relu"))


def trained(**words):
    net, batch = linear(), (np.ones((2, 4), np.float32), np.array([0, 1]))
    words = {"epochs": 1, "progress": False} | words
    return training.fit(net, [batch], training.cross_entropy, training.SGD(net, 0.1), **words)


PULLED = (
    nn.Activation("relu"), nn.AveragePool2d(2), nn.BatchNorm(4), nn.Conv2d(4, 3, 3),
    nn.ConvTranspose2d(4, 3, 3), nn.DepthwiseConv2d(4, 3), nn.Dropout(0.5).eval(),
    nn.GlobalAveragePool(), nn.Identity(),
    nn.LayerNorm(4, data_format="channels_first"), nn.MaxPool2d(2), nn.PixelShuffle2d(2),
    nn.PositionEmbedding(4, 8, 8), nn.PointwiseConv2d(4, 2), nn.Reshape(-1),
    nn.SelfAttention(4, data_format="channels_first"), nn.SeparableConvTranspose2d(4, 3, 2), nn.Upsample(2),
    nn.SameSize(nn.MaxPool2d(2)), nn.Residual(nn.Identity()), nn.Concat(nn.Identity(), nn.Identity()),
)  # fmt: skip


@pytest.mark.parametrize("layer", PULLED, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 8, 8), (1, 4, 3, 3), (2, 4, 8, 8)])
def test_pullbacks_do_not_broadcast(layer, shape):
    """A gradient that is not of the result's shape would come back as one that is not of the input's."""
    y, pullback = layer.vjp(X)
    assert y.shape != shape
    with pytest.raises(ValueError):
        pullback(np.ones(shape, np.float32))
    dx, _ = pullback(np.ones(y.shape, np.float32))
    again, _ = pullback(np.ones(y.shape).tolist())
    assert dx.shape == X.shape and dx.dtype == np.float32
    np.testing.assert_allclose(again, dx, rtol=1e-4, atol=1e-5)


NUMBERS = {
    "eps": lambda value: nn.BatchNorm(4, eps=value),
    "momentum": lambda value: nn.BatchNorm(4, momentum=value),
    "probability": nn.Dropout,
    "bn_eps": lambda value: models.MobileNetBlock(4, 4, bn_eps=value),
    "drop": lambda value: models.efficientnet("b0", drop=value, width=0.1),
    "alpha": lambda value: models.compound_scaling(1, alpha=value),
    "positive_weight": lambda value: training.binary_cross_entropy(X, X, positive_weight=value),
    "smooth": lambda value: training.dice_loss(X, X, smooth=value),
    "tolerance": lambda value: analysis.channel_rank(np.ones((2, 1, 3, 3)), tolerance=value),
    "step": lambda value: testing.check_gradients(linear(), np.ones((2, 4)), step=value),
    "lr": lambda value: training.SGD(linear(), value),
    "budget": lambda value: models.search_scaling(models.mobilenet_v1, len, value, [(1, 0.1, 1)]),
}
UNBOUNDED = "budget", INF


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, NAN, INF, -INF, "1", [1]], ids=repr)
def test_numbers(name, value):
    if (name, value) == UNBOUNDED:
        assert NUMBERS[name](value) == (1, 0.1, 1)
        return
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        NUMBERS[name](value)


SHAPES = [None, 5, "abcd", (1, 4, 8.5, 8), (1, 4, "8", 8), (1, 4, -8, 8), (True, 4, 8, 8)]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_shapes(shape):
    for call in (chain().cost, chain().output_shape, nn.Conv2d(4, 3, 3).output_shape, chain().summary):
        with pytest.raises((ValueError, TypeError), match="^shape"):
            call(shape)
    with pytest.raises((ValueError, TypeError), match="^shape"):
        cost.table(chain(), shape)


CASES = [
    (lambda: linear().cost((-2, 4)), r"^shape\[0\]: must be at least 0, got -2"),
    (lambda: chain().cost(X.shape, mask=1), "^mask: no layer in this Sequential uses"),
    (lambda: chain().output_shape(X.shape, mask=1), "^mask: no layer"),
    (lambda: cost.table(chain(), X.shape, mask=1), "^mask: no layer"),
    (lambda: nn.Residual(nn.Identity()).output_shape(X.shape, mask=1), "^mask: no layer"),
    (lambda: nn.Conv2d(4, 3, 3)(X.astype(object)), "^x: expected an array of numbers, got one of object"),
    (lambda: nn.Conv2d(4, 3, 3)("abc"), "^x: expected an array of numbers"),
    (lambda: nn.BatchNorm(4)(X.astype(object)), "^x: expected an array of numbers"),
    (lambda: nn.Conv2d(4, 3, 3, dtype="int32"), "^dtype: expected one of float16, .* got 'int32'"),
    (lambda: nn.DepthwiseConv2d(4, 3, dtype=object), "^dtype: "),
    (lambda: nn.LayerNorm(4, dtype="nonsense"), "^dtype: "),
    (lambda: nn.PositionEmbedding(4, dtype=bool), "^dtype: "),
    (lambda: nn.Conv2d(4, 3, 3, bias="no"), "^bias: expected True or False, got 'no'"),
    (lambda: nn.SelfAttention(4, bias=0), "^bias: "),
    (lambda: nn.SeparableConv2d(4, 3, 3, depthwise_bias="no"), "^depthwise_bias: "),
    (lambda: nn.GlobalAveragePool("no"), "^keepdims: "),
    (lambda: nn.Conv2d(4, 3, 3, rng="a"), "^rng: expected None, a seed .* got 'a'"),
    (lambda: nn.PositionEmbedding(4, rng=-1), "^rng: "),
    (lambda: nn.Dropout(0.5)(X, rng=2.5), "^rng: "),
    (lambda: nn.Sequential(nn.Dropout(0.5))(X, rng="a"), "^rng: "),
    (lambda: models.mobilenet_v1(rng="a", width=0.1), "^rng: "),
    (lambda: nn.Split(4, nn.Identity()), "^sizes: expected one int for each branch"),
    (lambda: nn.standard_twin(3), "^layer: expected a Layer, got int"),
    (lambda: testing.check_gradients(3, X), "^layer: expected a Layer, got int"),
    (lambda: testing.check_gradients(linear(), np.ones((2, 4)), samples=0), "^samples: "),
    (lambda: chain().load_state_dict(None), "^state: expected a dict"),
    (lambda: models.compound_scaling("1"), "^phi: "),
    (lambda: models.mobilenet_v1(depth=1e12), "^depth: must not make more than 1000 blocks"),
    (lambda: models.mobilenet_v1(classes=3), "^classes: unexpected keyword argument; it takes bn_eps"),
    (lambda: models.hybrid_vit(drop=1.0), "^drop: "),
    (lambda: models.ASPP(4, 4, 6), "^rates: expected a sequence of ints"),
    (lambda: models.InceptionModule(4, 8, 8), "^three: expected two numbers of channels"),
    (lambda: models.InceptionModule(4, 8, five=(8,)), "^five: "),
    (lambda: models.search_scaling(3, len, 1, []), "^build: expected a function"),
    (lambda: models.search_scaling(len, 3, 1, []), "^evaluate: expected a function"),
    (lambda: models.search_scaling(models.mobilenet_v1, len, 1, [(1, 1)]), r"^grid\[0\]: expected"),
    (lambda: models.search_scaling(models.mobilenet_v1, len, 1, 3), "^grid: expected candidates"),
    (lambda: models.search_scaling(models.mobilenet_v1, lambda net: NAN, 1e12, [(1, 0.1, 1)]), "^evaluate"),
    (lambda: trained(metrics=3), "^metrics: expected a sequence"),
    (lambda: trained(checkpoint=3.5), "^checkpoint: expected a path"),
    (lambda: training.SGD(linear(), 0.1).step(None), "^grads: expected a dict"),
    (lambda: training.SGD(linear(), 0.1).load_state_dict(3), "^state: expected what state_dict gives"),
    (lambda: training.cross_entropy([[1, 2]], [0], ignore_index=1.5), "^ignore_index: "),
    (lambda: training.cross_entropy([[1, 2]], [0], class_weights="a"), "^class_weights: "),
    (lambda: training.cross_entropy(np.ones((1, 2), object), [0]), "^y: expected an array of numbers"),
    (lambda: training.mean_squared_error(np.ones(2), ["a", "b"]), "^target: expected real numbers"),
    (lambda: training.accuracy(np.ones((2, 3)), [0.5, 1]), "^target: expected class numbers"),
    (lambda: training.accuracy(3, 4), "^axis: "),
    (lambda: training.save_checkpoint("unused", 3, {}), "^arrays: "),
    (lambda: training.save_checkpoint("unused", {"a": object()}, {}), "^arrays: cannot hold Python objects"),
    (lambda: training.save_checkpoint("unused", {}, {"a": object()}), "^values: must be what JSON can hold"),
    (lambda: graph.CSR(3, (2, 2)), "^arrays: expected"),
    (lambda: graph.CSR(([1.0], [5], [0, 1, 1]), (2, 2)).toarray(), "^adjacency: indices must be from 0 to 1"),
    (lambda: cost.reduction(4, ()), "^kernel_size: expected at least one"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
def test_refused(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = CASES[number]
    with pytest.raises((ValueError, TypeError), match=message):
        call()
    assert not list(tmp_path.iterdir())


def test_state_of_an_optimizer_is_checked_first():
    optimizer = training.SGD(linear(), 0.1)
    state = optimizer.state_dict()
    for name, value in (("lr", NAN), ("steps", -3), ("momentum", "a")):
        with pytest.raises((ValueError, TypeError), match=f"state.*{name}"):
            optimizer.load_state_dict({**state, name: value})
        assert optimizer.state_dict() == state


def test_checkpoints_that_cannot_be_written_are_known_before_training(tmp_path):
    def never(y, target):
        raise AssertionError("trained")

    net = linear()
    words = {"epochs": 1, "progress": False}
    for path, error in ((tmp_path / "none" / "a.npz", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(error, match="^checkpoint: "):
            training.fit(net, [(X, X)], never, training.SGD(net, 0.1), checkpoint=path, **words)


def test_weights_beyond_memory():
    with pytest.raises(MemoryError, match="weights of shape"):
        nn.Conv2d(10**12, 10**12, 3)
