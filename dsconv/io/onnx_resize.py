"""Resize and Upsample as operators of the evaluator: nearest and linear, one axis after the other."""

import numpy as np

from ..nn.resize import interpolate
from .onnx_convolution import Operator
from .onnx_graph import attributes_of

# where in the input the centre of an output lies, from its index, the scale and both sizes
_CENTRES = {
    "half_pixel": lambda i, scale, size, target: (i + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda i, scale, size, target: (
        (i + 0.5) / scale - 0.5 if target > 1 else np.zeros(1)
    ),
    "half_pixel_symmetric": lambda i, scale, size, target: (
        size / 2 * (1 - target / (scale * size)) + (i + 0.5) / scale - 0.5
    ),
    "align_corners": lambda i, scale, size, target: i * ((size - 1) / max(target - 1, 1)),
    "asymmetric": lambda i, scale, size, target: i / scale,
    "tf_half_pixel_for_nn": lambda i, scale, size, target: (i + 0.5) / scale,
}
_ROUNDINGS = {
    "round_prefer_floor": lambda centre: np.ceil(centre - 0.5),
    "round_prefer_ceil": lambda centre: np.floor(centre + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


class Resize(Operator):
    """Values at other sizes of any axes."""

    def setup(self):
        self.centre = _CENTRES[self.given("coordinate_transformation_mode", "half_pixel")]
        self.rounding = _ROUNDINGS[self.given("nearest_mode", "round_prefer_floor")]

    def compute(self, x, roi=None, scales=None, sizes=None):
        axes = [axis % x.ndim for axis in self.given("axes", range(x.ndim))]
        if sizes is not None and sizes.size:
            targets = sizes.tolist()
            factors = [target / max(x.shape[axis], 1) for axis, target in zip(axes, targets, strict=True)]
        else:
            factors = scales.astype(float).tolist()
            targets = [int(np.floor(x.shape[axis] * f)) for axis, f in zip(axes, factors, strict=True)]
        for axis, factor, target in zip(axes, factors, targets, strict=True):
            x = x if factor == 1 else self._along(x, axis, factor, target)
        return x

    def _along(self, x, axis, factor, target):
        size = x.shape[axis]
        if size == 0:
            raise ValueError(f"x: an empty axis cannot be resized, got shape {x.shape}")
        centre = self.centre(np.arange(target), factor, size, target)
        if self.given("mode", "nearest") == "nearest":
            lower = np.clip(self.rounding(centre), 0, size - 1).astype(int)
            return interpolate(x, axis, lower)
        centre = np.clip(centre, 0, size - 1)
        lower = centre.astype(int)
        return interpolate(x, axis, lower, np.minimum(lower + 1, size - 1), centre - lower)


class Upsample(Resize):
    """What Resize was before version 10, and Resize of version 10: no region, corners aligned at index 0."""

    def setup(self):
        self.centre, self.rounding = _CENTRES["asymmetric"], np.floor

    def compute(self, x, scales=None):
        scales = np.asarray(self.scales) if scales is None else scales
        return super().compute(x, None, scales)


def resize_rule(graph, node):
    """Nearest and linear, over the whole input."""
    given = attributes_of(node)
    plain = given.get("mode", "nearest") in ("nearest", "linear")
    plain &= given.get("coordinate_transformation_mode", "half_pixel") in _CENTRES
    plain &= given.get("keep_aspect_ratio_policy", "stretch") == "stretch" and not given.get("antialias", 0)
    if not plain or (node.op_type == "Resize" and graph.version < 11):
        return None
    return {}


RESIZERS = {"Resize": Resize, "Upsample": Upsample}
