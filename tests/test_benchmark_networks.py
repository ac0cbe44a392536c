"""The networks that the benchmarks give to other libraries are those of dsconv; nothing is timed."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import dsconv as ds
from dsconv import models

pytest.importorskip("benchmarks", reason="the tests run without the source tree")
from benchmarks import networks, peers, trace  # noqa: E402
from benchmarks.arrays import Unsupported  # noqa: E402

SMALL = {"width": 0.25, "resolution": 31, "num_classes": 5, "rng": 0}
BUILDERS = {
    "v1": partial(models.mobilenet_v1, **SMALL),
    "v2": partial(models.mobilenet_v2, **SMALL),
    "lite0": partial(models.efficientnet, "lite0", **SMALL),
}
# softly: dsconv's results differ by rounding, through many layers
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def folded(name):
    return trace.randomised(BUILDERS[name]()).eval().fold()


def image(net):
    return np.random.default_rng(1).standard_normal(net.input_shape).astype(np.float32)


def in_numpy(step, x):
    """A convolution or a linear map of one step, from its definition."""
    if step.kind == "linear":
        return x @ step.weight.T + step.bias
    x = np.pad(x, ((0, 0), (0, 0), *step.pads))
    windows = np.lib.stride_tricks.sliding_window_view(x, step.window.kernel, (2, 3))
    down, right = step.window.stride
    windows = windows[:, :, ::down, ::right]
    windows = windows.reshape(len(x), step.groups, -1, *windows.shape[2:])
    weight = step.weight.reshape(step.groups, -1, *step.weight.shape[1:])
    y = np.einsum("ngchwij,gocij->ngohw", windows, weight)
    return y.reshape(len(x), -1, *y.shape[3:]) + step.bias.reshape(-1, 1, 1)


@pytest.mark.parametrize("name", BUILDERS)
def test_steps_are_the_network(name):
    net = folded(name)
    x = image(net)
    maps = {0: x.astype(float)}
    for step in trace.steps(net, x.shape):
        inputs = [maps[each] for each in step.inputs]
        if step.kind == "add":
            y = sum(inputs)
        elif step.kind == "mean":
            y = inputs[0].mean(axis=(2, 3))
        else:
            y = in_numpy(step, *inputs)
        upper = {None: np.inf, "relu": np.inf, "relu6": 6}[step.activation]
        maps[step.output] = y if step.activation is None else np.clip(y, 0, upper)
    np.testing.assert_allclose(net(x), maps[step.output], **CLOSE)


@pytest.mark.parametrize("peer", networks.PEERS)
@pytest.mark.parametrize("name", BUILDERS)
def test_peers_compute_the_same(name, peer):
    modules, reasons = peers.load([peer])
    if reasons:
        pytest.skip(reasons[peer])
    net = folded(name)
    x = image(net)
    for contender in modules[peer].prepare_network(net, x, 1):
        np.testing.assert_allclose(contender.result(), net(x), **CLOSE)


def test_a_record():
    case = networks.Case("small", lambda data_format, rng: BUILDERS["v2"](data_format=data_format))
    record = networks.measure_case(case, {}, SimpleNamespace(seconds=0), 1)
    assert set(record["times"]) == set(record["folded"]) == {"dsconv channels_first", "dsconv channels_last"}
    assert not record["warnings"] and "ratio" in record
    assert record["macs"] == folded("v2").cost(folded("v2").input_shape).macs


def test_layers_without_a_rule():
    net = models.efficientnet("b0", resolution=32).eval().fold()
    with pytest.raises(Unsupported, match="SqueezeExcite"):
        trace.steps(net, net.input_shape)


@pytest.fixture(autouse=True)
def threads():
    before = ds.get_num_threads()
    yield
    ds.set_num_threads(before)
