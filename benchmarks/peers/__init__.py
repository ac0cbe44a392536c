"""The libraries dsconv is measured beside, one module each.

A module has `DISTRIBUTION` (the package whose version is reported) and
`prepare(row, arrays, threads) -> list of Contender`, which raises Unsupported with a reason.
"""

from importlib import import_module

PEERS = {
    "torch": "pytorch",
    "torch2d": "pytorch_2d",
    "onnxruntime": "ort",
    "openvino": "ov",
    "litert": "litert",
}

# A rewriting of the call, which users of PyTorch rarely do, is compared on demand.
DEFAULT = tuple(name for name in PEERS if name != "torch2d")


def load(names):
    """Modules of the peers that import, and the reasons of those that do not."""
    modules, reasons = {}, {}
    for name in names:
        try:
            modules[name] = import_module(f"{__name__}.{PEERS[name]}")
        except ImportError as error:
            reasons[name] = f"does not import: {error}"
    return modules, reasons
