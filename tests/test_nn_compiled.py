"""Compiled layers: the bits of the folded layer, whatever is inside and whoever calls."""

import copy
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dsconv as ds
from dsconv import models, nn

from . import test_models_sequences, test_models_vision

NETWORKS = {f"vision {name}": each[:2] for name, each in test_models_vision.ALL.items()}
NETWORKS |= {f"sequence {name}": each[:2] for name, each in test_models_sequences.ALL.items()}


def same_bits(one, other):
    assert one.dtype == other.dtype and one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def check(layer, *inputs):
    """Calls by turns, twice each, against the folded layer; the compiled one comes back."""
    folded, fast = layer.fold(), layer.compile()
    expected = [folded(x) for x in inputs]
    before = [x.copy() for x in inputs]
    results = [fast(x) for x in (*inputs, *inputs)]
    for y, each in zip(results, expected * 2, strict=True):
        same_bits(y, each)
    for x, each in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x, each)
    return fast


def plan_of(fast):
    (plan,) = fast._plans.values()
    return plan


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, rng):
    make, sample = NETWORKS[name]
    one, other = rng.standard_normal((2, 2, *sample)).astype(np.float32)
    check(make(rng=3).eval(), one, other)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_types_and_layouts(dtype, data_format, rng):
    net = models.mobilenet_v2(0.1, num_classes=3, data_format=data_format, dtype=dtype, rng=0).eval()
    shape = (2, 3, 17, 20) if data_format == "channels_first" else (2, 17, 20, 3)
    check(net, *rng.standard_normal((2, *shape)).astype(dtype))


def test_complex(rng):
    net = nn.Sequential(
        nn.DepthwiseConv1d(3, 3, dtype=complex, rng=0), nn.PointwiseConv1d(3, 2, dtype=complex)
    )
    parts = rng.standard_normal((2, 2, 4, 3, 9))
    check(net, *(parts[0] + 1j * parts[1]))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_inside(threads, always_parallel, rng):
    with ds.num_threads(threads):
        check(models.mobilenet_v1(0.25, num_classes=3, rng=0).eval(), *rng.standard_normal((2, 1, 3, 40, 40)))


def test_kernel_sets(kernel_set, rng):
    """The set may change between calls: the kernels are looked up in each."""
    net = models.mobilenet_v1(0.1, num_classes=3, rng=0).eval()
    check(net, *rng.standard_normal((2, 1, 3, 33, 31)).astype("f4"))


def test_kernels_alone_are_left_of_a_network(rng):
    """One replay, all hidden values in a block that is as large as the largest two neighbours."""
    net = models.mobilenet_v2(rng=0).eval()
    x = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    plan = plan_of(check(net, x))
    assert len(plan._program) == 1
    assert plan._bytes == 4 * (16 + 96) * 112 * 112


def test_memory_of_a_call(rng):
    """After the first, that of the result and no more."""
    fast = models.mobilenet_v1(0.25, num_classes=10, rng=0).compile()
    x = rng.standard_normal((1, 3, 64, 64)).astype(np.float32)
    for _ in range(3):
        fast(x)
    tracemalloc.start()
    fast(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4096


class Keeping(nn.Layer):
    """Keeps all that it is given."""

    def __init__(self):
        self.seen = []

    def vjp(self, x):
        self.seen.append((x, x.copy()))
        return np.tanh(x), lambda dy: (dy, {})

    def output_shape(self, shape):
        return shape


class Late(nn.DepthwiseConv2d):
    """More than its kernel."""

    def __call__(self, x):
        y = super().__call__(x)
        y += 1
        return y


class Reversed(nn.Layer):
    """A view that runs backwards."""

    def vjp(self, x):
        return x[..., ::-1], lambda dy: (dy[..., ::-1], {})

    def output_shape(self, shape):
        return shape


class Linear2(nn.Linear):
    def __call__(self, x):
        return 2 * super().__call__(x)


class Chain(nn.Sequential):
    def __call__(self, x):
        return super().__call__(x) + 1


class Weighted(nn.Sum):
    def join(self, parts):
        assert isinstance(parts, list)
        return parts[0] + 2 * parts[1]


conv = nn.DepthwiseConv2d(4, 3, padding="same", bias=False, rng=1)
LAYERS = {
    "nothing": nn.Identity(),
    "an empty chain": nn.Sequential(),
    "a view of the input": nn.Sequential(nn.Reshape(4, 30)),
    "a view of a result": nn.Sequential(conv, nn.Reshape(4, 30)),
    "a view that a kernel reads": nn.Sequential(conv, nn.Reshape(120), nn.Linear(120, 3, rng=0)),
    "one that keeps": nn.Sequential(conv, Keeping(), conv, Keeping(), conv),
    "backwards": nn.Sequential(conv, Reversed(), conv, Reversed(), conv, conv),
    "more than a kernel": nn.Sequential(conv, Late(4, 3, padding=1, rng=0), conv),
    "linear subclass": nn.Sequential(nn.Reshape(120), Linear2(120, 3, rng=0)),
    "chain subclass": nn.Sequential(conv, Chain(conv), conv),
    "sum subclass": nn.Sequential(conv, Weighted(conv, conv), conv),
    "sum of the input": nn.Residual(nn.Identity(), conv),
    "sum of three": nn.Sequential(conv, nn.Sum(conv, nn.Identity(), conv)),
    "sum of sums": nn.Sum(nn.Residual(nn.Sequential(conv, conv)), nn.Sum(conv, conv)),
    "a layer used twice": nn.Sequential(conv, conv, conv),
    "joined": nn.Sequential(conv, nn.Concat(conv, nn.Identity(), conv), nn.PointwiseConv2d(12, 2, rng=0)),
    "gate on channels": nn.Sequential(conv, nn.SqueezeExcite(4, 2, rng=0), conv),
    "gate on channels last": nn.Sequential(
        nn.SqueezeExcite(6, 2, data_format="channels_last", rng=0), nn.Activation("relu")
    ),
    "a product": nn.Sequential(conv, nn.Product(conv, nn.Identity(), conv), conv),
    "a gate": nn.Product(conv, nn.GlobalAveragePool(keepdims=True)),
    "split": nn.Sequential(
        conv, nn.Split((1, 3), nn.Identity(), nn.DepthwiseConv2d(3, 3, rng=0, padding=1)), conv
    ),
    "mean": nn.Sequential(conv, nn.GlobalAveragePool()),
    "mean, then linear": nn.Sequential(conv, nn.GlobalAveragePool(), nn.Linear(4, 3, rng=0)),
    "activation": nn.Sequential(conv, nn.Activation("gelu"), nn.Activation("relu")),
    "pooled": nn.Sequential(conv, nn.MaxPool2d(2), conv, nn.Upsample(2)),
    "standard": nn.Sequential(nn.Conv2d(4, 3, 3, rng=0), nn.Conv2d(3, 2, 2, padding="same", rng=0)),
    "other weights": nn.Sequential(
        nn.Conv2d(4, 3, 3, dtype="f8", rng=0), nn.PointwiseConv2d(3, 2, dtype="f2")
    ),
    "compiled": nn.Sequential(conv, nn.Sequential(conv).compile(), conv),
}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", ">f4"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype, rng):
    x = rng.integers(-9, 9, (3, 2, 4, 5, 6)).astype(dtype)
    fast = check(LAYERS[name], *x)
    for each in fast.layer.children.values():
        for kept, original in getattr(each, "seen", ()):
            np.testing.assert_array_equal(kept, original)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_gates_and_branches_are_replayed(data_format, rng):
    """One replay, without a call of Python in between."""
    words = {"data_format": data_format, "rng": 0}
    gate = nn.SqueezeExcite(12, 3, **words)
    paths = nn.PointwiseConv2d(12, 4, **words), nn.SeparableConv2d(12, 5, 3, padding=1, **words)
    joined = nn.Concat(nn.Identity(), *paths, data_format=data_format)
    net = nn.Sequential(nn.PointwiseConv2d(12, 12, **words), gate, joined, nn.PointwiseConv2d(21, 3, **words))
    shape = (2, 12, 6, 7) if data_format == "channels_first" else (2, 6, 7, 12)
    fast = check(net, *rng.standard_normal((2, *shape)).astype("f4"))
    assert len(plan_of(fast)._program) == (1 if data_format == "channels_first" else 3)


def test_layers_in_between_break_nothing_up():
    """Two replays around a layer that has no kernel."""
    net = nn.Sequential(conv, conv, nn.MaxPool2d(2), conv, conv).compile()
    net(np.ones((1, 4, 6, 6), np.float32))
    assert len(plan_of(net)._program) == 3


class Growing(nn.Layer):
    """Another shape in every call."""

    rows = 2

    def vjp(self, x):
        Growing.rows += 1
        return np.ones((1, 4, Growing.rows, 5), np.float32), lambda dy: (dy, {})

    def output_shape(self, shape):
        return shape


def test_changing_layouts():
    net = nn.Sequential(Growing(), nn.PointwiseConv2d(4, 1, rng=0)).compile()
    assert [net(np.ones((1, 2), np.float32)).shape[2] for _ in range(3)] == [3, 5, 7]


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[:, ::2],
        lambda x: x[:, 4:, ::-1],
        lambda x: np.moveaxis(x[:, :4], 2, 3),
        lambda x: np.asfortranarray(x[:, :4]),
        lambda x: x[:, :4].tolist(),
        lambda x: np.ma.array(x[:, :4]),
        lambda x: np.frombuffer(b"\0" + x[:, :4].tobytes(), np.uint8)[1:].view(x.dtype).reshape(2, 4, 6, 6),
    ],
)
def test_any_input(view, rng):
    net, x = nn.Sequential(conv, nn.Activation("relu"), conv), view(rng.standard_normal((2, 8, 6, 6)))
    fast, folded = net.compile(), net.fold()
    for _ in range(2):
        same_bits(np.asarray(fast(x)), np.asarray(folded(x)))


def test_wrong_input():
    """The errors of the layer, before and after right calls."""
    net = nn.Sequential(conv, conv)
    fast, good, bad = net.compile(), np.ones((1, 4, 5, 5), "f4"), np.ones((1, 3, 5, 5), "f4")
    with pytest.raises(ValueError) as expected:
        net(bad)
    for _ in range(2):
        with pytest.raises(ValueError) as got:
            fast(bad)
        assert str(got.value) == str(expected.value)
        fast(good)
    with pytest.raises(TypeError, match="layer: expected a Layer, got str"):
        nn.Compiled("net")


def test_arrays_are_read_only():
    """Those of the compiled layer and of its copies; not what it was made of, or what is made of it."""
    source = nn.Sequential(conv, nn.BatchNorm(4))
    net = source.compile()
    for each in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        for array in (each.parameters | each.buffers).values():
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            each.load_state_dict(each.state_dict())
    for each in (source, net.fold()):
        for array in (each.parameters | each.buffers).values():
            array += 0


def test_training_and_context():
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm(4)).compile()
    x = np.random.default_rng(0).standard_normal((4, 4, 5)).astype(np.float32)
    quiet = net(x)
    assert not np.array_equal(net.train()(x), quiet)
    same_bits(net.eval()(x), quiet)
    with pytest.raises(TypeError, match="mask"):
        net(x, mask=None)


def test_derived():
    """What follows from the layer inside."""
    net = models.keyword_spotter("s", rng=0).eval()
    fast, folded = net.compile(), net.fold()
    shape = (1, *net.input_shape[1:])
    x = np.random.default_rng(0).standard_normal(shape)
    assert fast.output_shape(shape) == folded.output_shape(shape)
    assert fast.cost(shape) == folded.cost(shape)
    assert fast.receptive_field() == folded.receptive_field()
    assert list(fast.parameters) == [f"layer.{name}" for name in folded.parameters]
    y, pullback = fast.vjp(x)
    same_bits(pullback(np.ones_like(y))[0], folded.vjp(x)[1](np.ones_like(y))[0])
    assert type(fast.fold()) is type(folded) and "Compiled" in repr(fast)
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        same_bits(other(x), fast(x))
        assert not np.shares_memory(other.layer[0].weight, fast.layer[0].weight)


def test_streams():
    net = nn.Sequential(nn.DepthwiseConv1d(2, 3, padding="causal", rng=0)).compile()
    x = np.random.default_rng(0).standard_normal((1, 2, 9)).astype(np.float32)
    stream = net.stream()
    same_bits(np.concatenate([stream(x[..., :4]), stream(x[..., 4:])], axis=-1), net(x))


def test_shapes_that_are_remembered():
    """Few: but all are answered."""
    net = nn.Sequential(conv, conv).compile()
    for size in (*range(3, 20), *range(3, 20)):
        x = np.full((1, 4, size, 5), size, np.float32)
        np.testing.assert_array_equal(net(x), conv(conv(x)))
    assert len(net._plans) == 8


def test_many_threads(rng):
    """At the same time, each with memory of its own; what they share is what they were given."""
    net = models.mobilenet_v2(0.25, num_classes=10, rng=0).compile()
    images = rng.standard_normal((40, 1, 3, 48, 48)).astype(np.float32)
    expected = [net.layer(x) for x in images]
    with ThreadPoolExecutor(4) as pool:
        for y, each in zip(pool.map(net, images), expected, strict=True):
            same_bits(y, each)


INTERRUPTED = """
import signal, time
import numpy as np
import dsconv as ds
from dsconv import nn

def ring(number, frame):
    raise KeyboardInterrupt

ds.set_num_threads(1)
signal.signal(signal.SIGALRM, ring)
net = nn.Sequential(*[nn.PointwiseConv1d(256, 256, rng=0) for _ in range(8)]).compile()
x = np.ones((1, 256, 50000), np.float32)
expected = net(x)
begin = time.perf_counter()
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    while True:
        net(x)
except KeyboardInterrupt:
    print(time.perf_counter() - begin < 0.4)
print(np.array_equal(net(x), expected))
"""


def test_interrupt(run_python):
    """In the middle of a replay, and the next call is right."""
    done = run_python(INTERRUPTED)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_floating_point_errors():
    """As in every other call, those of any step."""
    layers = [nn.PointwiseConv1d(1, 1, rng=seed) for seed in range(2)]
    layers[0].weight[...] = 9
    net = nn.Sequential(layers[0], nn.Activation("tanh"), layers[1]).compile()
    net(np.ones((1, 1, 3), np.float32))
    x = np.full((1, 1, 3), 3e38, np.float32)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow .* in compiled layers"):
        net(x)
    with np.errstate(all="ignore"):
        same_bits(net(x), net.layer(x))
    np.testing.assert_array_equal(net(np.zeros_like(x)), net.layer(np.zeros_like(x)))
