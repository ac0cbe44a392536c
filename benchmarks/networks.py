"""Whole networks, folded, beside the other libraries, and how much of dsconv's time is not its kernels'."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import dsconv
from dsconv import functional, models, nn
from dsconv.nn.convolution import EngineLayer

from . import measure, ours, timing
from .arrays import Contender, Unsupported, channels_last
from .trace import randomised, uses

KERNELS = " kernels"
# the peers that have `prepare_network`
PEERS = ("torch", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Case:
    """A network; `build(data_format=..., rng=...)` makes it, with an `input_shape`."""

    name: str
    build: Any
    dtype: str = "float32"  # what the comparison of results asks a row for


def _lite0(**words):
    return models.efficientnet("lite0", **words)


CASES = (
    Case("MobileNetV1", models.mobilenet_v1),
    Case("MobileNetV2", models.mobilenet_v2),
    Case("EfficientNet-Lite0", _lite0),
)


def measure_case(case, modules, options, threads):
    """The record of a network, with the names that a row's has where they mean the same."""
    nets = {layout: _folded(case, layout) for layout in ours.LAYOUTS}
    first = nets["channels_first"]
    x = np.random.default_rng(0).standard_normal(first.input_shape).astype(case.dtype)
    record = {"name": case.name, "threads": threads, "macs": first.cost(x.shape).macs}
    record |= {"notes": {}, "warnings": []}
    dsconv.set_num_threads(threads)
    contenders = [_network(nets[layout], x, layout) for layout in ours.LAYOUTS]
    contenders += _peers(first, x, modules, threads, record)
    contenders = measure.agreeing(case, contenders, record)
    contenders += [_kernels(nets[layout], x, layout) for layout in ours.LAYOUTS]
    timed = timing.interleaved(contenders, options.seconds, threads)
    record["samples"] = {name: samples for name, (_, samples) in timed.items()}
    times = {name: seconds for name, (seconds, _) in timed.items()}
    record["kernels"] = {
        name.removesuffix(KERNELS): times.pop(name) for name in list(times) if name.endswith(KERNELS)
    }
    record["times"], record["limit"] = times, None
    record["rest"] = {name: 1 - kernels / times[name] for name, kernels in record["kernels"].items()}
    return record | measure.compare(record)


def _folded(case, layout):
    return randomised(case.build(data_format=layout, rng=0)).eval().fold()


def _peers(net, x, modules, threads, record):
    found = []
    for name, module in modules.items():
        try:
            found += module.prepare_network(net, x, threads)
        except Unsupported as error:
            record["notes"][name] = str(error)
        except Exception as error:
            record["warnings"].append(f"{name} failed: {type(error).__name__}: {error}")
    return found


def _placed(x, layout):
    return channels_last(x) if layout == "channels_last" else x


def _network(net, x, layout):
    net = net.compile()
    x = _placed(x, layout)
    return Contender(f"dsconv {layout}", lambda: net(x), lambda: net(x))


def _kernels(net, x, layout):
    """The convolutions of the network alone, in its order, each from its own input to a prepared result."""
    maps, calls = {0: _placed(x, layout)}, []
    for use in uses(net, maps[0].shape):
        inputs = [maps[each] for each in use.inputs]
        result = use.layer.join(inputs) if isinstance(use.layer, nn.Sum) else use.layer(*inputs)
        maps[use.output] = result
        if isinstance(use.layer, (EngineLayer, nn.Linear)):
            calls.append(_bound(use.layer, inputs[0], result))

    def call():
        for each in calls:
            each()

    return Contender(f"dsconv {layout}{KERNELS}", call, call)


def _bound(layer, x, out):
    linear = isinstance(layer, nn.Linear)
    function = getattr(functional, "pointwise_conv1d" if linear else f"{layer.operation}{layer.rank}d")
    arrays = [getattr(layer, name) for name in layer.parameter_names]
    words = {"activation": layer.activation, "data_format": "channels_last"} if linear else layer.keywords
    return lambda: function(x, *arrays, **words, out=out)
