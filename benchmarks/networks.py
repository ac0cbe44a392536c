"""Whole networks, compiled, beside the other libraries, and what the folded ones take without that."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import dsconv
from dsconv import models

from . import measure, ours, timing
from .arrays import Contender, Unsupported, channels_last
from .trace import randomised

FOLDED = " folded"
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
    contenders = [_network(net.compile(), x, layout) for layout, net in nets.items()]
    contenders += _peers(first, x, modules, threads, record)
    contenders = measure.agreeing(case, contenders, record)
    contenders += [_network(net, x, layout, FOLDED) for layout, net in nets.items()]
    timed = timing.interleaved(contenders, options.seconds, threads)
    record["samples"] = {name: samples for name, (_, samples) in timed.items()}
    times = {name: seconds for name, (seconds, _) in timed.items()}
    folded = [name for name in times if name.endswith(FOLDED)]
    record["folded"] = {name.removesuffix(FOLDED): times.pop(name) for name in folded}
    record["times"], record["limit"] = times, None
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


def _network(net, x, layout, kind=""):
    x = _placed(x, layout)
    return Contender(f"dsconv {layout}{kind}", lambda: net(x), lambda: net(x))
