"""Random calls of the operations: every rank, layout, type, geometry and arrangement of memory."""

import math
from dataclasses import dataclass

import numpy as np

from dsconv import reference
from dsconv.reference.arguments import name_of
from dsconv.reference.padding import Geometry, output_size, resolve_padding
from dsconv.reference.transposed import TransposedGeometry, resolve

from .operands import MEMORY, arrange, draw, pick, thin, value_limit

try:
    import ml_dtypes  # noqa: F401, makes NumPy know the name
except ImportError:
    BFLOAT16 = ()
else:
    BFLOAT16 = ("bfloat16",)

FORWARD = (
    "depthwise_conv",
    "pointwise_conv",
    "separable_conv",
    "depthwise_conv_transpose",
    "separable_conv_transpose",
)
GRADIENTS = (
    "depthwise_conv_input_grad",
    "depthwise_conv_weight_grad",
    "depthwise_conv_transpose_input_grad",
    "depthwise_conv_transpose_weight_grad",
    "pointwise_conv_input_grad",
    "pointwise_conv_weight_grad",
)
OPS = FORWARD + GRADIENTS
RANKS = (1, 2, 3)
REAL_DTYPES = ("float32", "float64", "float16", *BFLOAT16)
DTYPES = (*REAL_DTYPES, "complex64", "complex128")
LAYOUTS = ("channels_first", "channels_last")
MODES = ("reflect", "symmetric", "replicate", "edge", "circular", "wrap")
STRINGS = ("valid", "same", "same_upper", "same_lower", "full", "causal")
TRANSPOSED_STRINGS = ("valid", "same", "same", "same_upper")
EXACT_ACTIVATIONS = ("relu", "relu6")
ACTIVATIONS = (*EXACT_ACTIVATIONS, "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu")

# one type is not as likely as another: most users have float32
MIXTURE = ("float32",) * 4 + ("float64",) * 2 + ("float16", *BFLOAT16, "complex64", "complex128")

#: What each operation takes: the operands, by what makes their shapes in `_shapes`, and plain sizes.
ARGUMENTS = {
    "depthwise_conv": ("x", "depthwise", "depthwise_bias"),
    "pointwise_conv": ("x", "pointwise", "pointwise_bias"),
    "separable_conv": ("x", "depthwise", "pointwise", "depthwise_bias", "pointwise_bias"),
    "depthwise_conv_transpose": ("x", "depthwise", "depthwise_bias"),
    "separable_conv_transpose": ("x", "depthwise", "pointwise", "depthwise_bias", "pointwise_bias"),
    "depthwise_conv_input_grad": ("middle", "depthwise", "input_size"),
    "depthwise_conv_weight_grad": ("x", "middle", "kernel_size"),
    "depthwise_conv_transpose_input_grad": ("middle", "depthwise", "input_size"),
    "depthwise_conv_transpose_weight_grad": ("x", "middle", "kernel_size"),
    "pointwise_conv_input_grad": ("result", "pointwise"),
    "pointwise_conv_weight_grad": ("x", "result"),
}

# what a big case exceeds: two vectors of 16 lanes, a block of output channels, a tile of pixels
TWO_VECTORS, CHANNEL_BLOCK, PIXEL_TILE = 32, 48, 200
MAX_WORK = 3_000_000


@dataclass
class Case:
    """One call, `getattr(dsconv, name)(*args, **kwargs)`."""

    name: str
    args: tuple
    kwargs: dict
    big: bool
    memory: tuple

    @property
    def arrays(self):
        return [array for array in self.args if isinstance(array, np.ndarray)]

    @property
    def dtype(self):
        return np.result_type(*self.arrays)

    def expected(self):
        """Return the result of a case of integers, which is exact in a wide type."""
        wide = np.complex128 if self.dtype.kind == "c" else np.float64
        return getattr(reference, self.name)(*self.args, **self.kwargs, dtype=wide).astype(self.dtype)

    def __str__(self):
        shown = (f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else repr(a) for a in self.args)
        words = ", ".join(f"{key}={value!r}" for key, value in self.kwargs.items())
        return f"{self.name}({', '.join(shown)}; {words}) memory={self.memory}"


@dataclass
class Sizes:
    """The numbers behind a case, before there are arrays. Of a gradient: those of what it belongs to."""

    op: str
    batch: list
    channels: int
    multiplier: int
    outputs: int
    spatial: list
    kernel: list
    geometry: dict

    @property
    def middle(self):
        return self.channels * self.multiplier

    @property
    def transposed(self):
        return "transpose" in self.op

    @property
    def gradient(self):
        return self.op in GRADIENTS

    @property
    def mixes(self):
        """Whether there is a pointwise stage."""
        return not self.op.startswith("depthwise")

    def result(self):
        """Return the spatial size of the result, or None where the kernel does not fit."""
        if self.op.startswith("pointwise"):
            return tuple(self.spatial)
        rank = len(self.spatial)
        try:
            if self.transposed:
                return resolve(TransposedGeometry.parse(rank, **self.geometry), self.spatial, self.kernel)[1]
            geometry = Geometry.parse(rank, **self.geometry)
            pairs = resolve_padding(geometry, self.spatial, self.kernel)
            return output_size(self.spatial, self.kernel, pairs, geometry)
        except ValueError:
            return None

    def stages(self):
        """Return how many products make an element, for each of the sums one after the other."""
        taps, pixels = math.prod(self.kernel), math.prod(self.batch) * math.prod(self.result())
        if self.op.endswith("input_grad"):
            return [taps * self.multiplier * self.copies() if not self.mixes else self.outputs]
        if self.op.endswith("weight_grad"):
            return [math.prod(self.batch) * math.prod(self.spatial) if self.transposed else pixels]
        return [taps] * (not self.op.startswith("pointwise")) + [self.middle] * self.mixes

    def copies(self):
        """Return how often a padding mode repeats an element, at most."""
        if self.geometry.get("padding_mode", "zeros") == "zeros":
            return 1
        pairs = resolve_padding(Geometry.parse(len(self.spatial), **self.geometry), self.spatial, self.kernel)
        return math.prod(1 + sum(pair) for pair in pairs)

    def work(self):
        """Return about what the reference costs: multiply-adds, passes over memory, turns of its loop."""
        batch, spatial, result = (math.prod(sizes) for sizes in (self.batch, self.spatial, self.result()))
        taps = 0 if self.op.startswith("pointwise") else math.prod(self.kernel)
        coarse = spatial if self.transposed else result
        mixing = result * (self.outputs + 4) if self.mixes else 4 * result
        return (
            batch * self.middle * (coarse * taps + mixing) + 5 * batch * spatial * self.channels + 3000 * taps
        )

    def is_big(self):
        result = self.result()
        block = not self.mixes or self.outputs > CHANNEL_BLOCK
        return block and max(result[-1], self.channels) > TWO_VECTORS and math.prod(result) > PIXEL_TILE


def random_case(rng, *, big=False, ops=OPS, ranks=RANKS, dtypes=MIXTURE, layouts=LAYOUTS, integer=False):
    """Return a random `Case`; with `integer` its values are integers whose sums are exact in any order."""
    op, rank, dtype = (pick(rng, choices) for choices in (ops, ranks, dtypes))
    sizes = _sizes(rng, op, rank, big)
    layout = pick(rng, layouts)
    limit, certain = value_limit(sizes.stages(), dtype) if integer else (None, True)
    values = [shape and draw(rng, shape, dtype, limit) for shape in _shapes(rng, sizes, layout)]
    kwargs, plain = _keywords(rng, sizes, layout), _plain_sizes(sizes)
    name = name_of(op, rank)
    if not certain:
        thin(rng, getattr(reference, name), [*values, *plain], kwargs, dtype)
    # a layer that is repeated may be denser than the others were
    kinds = MEMORY if certain else MEMORY[:-1]
    memory = [pick(rng, kinds) if rng.random() < 0.6 else "plain" for _ in values]
    args = [a if a is None else arrange(rng, a, kind) for a, kind in zip(values, memory, strict=True)]
    if op in FORWARD and np.dtype(dtype).kind != "c":
        for key in ("activation", "depthwise_activation")[: 1 + op.startswith("separable")]:
            if rng.random() < 0.3:
                kwargs[key] = pick(rng, EXACT_ACTIVATIONS if integer else ACTIVATIONS)
    return Case(name, (*args, *plain), kwargs, big, tuple(memory))


def outcome(function, args, kwargs):
    """Return the result of a call and None, or None and the error it raised."""
    try:
        return function(*args, **kwargs), None
    except (ValueError, TypeError, OverflowError) as error:
        return None, error


def _between(rng, low, high):
    return int(rng.integers(low, high + 1))


# ---- sizes ---------------------------------------------------------------------------------------
def _sizes(rng, op, rank, big):
    """Draw sizes, then make them smaller until the case is cheap, without losing what makes it big."""
    batch = [_between(rng, 1, 3) for _ in range(pick(rng, (0, 1, 1, 2)))]
    wide = big and rng.random() < 0.5
    deep = not big and rng.random() < 0.08
    least, most = (100, 700) if deep else (TWO_VECTORS + 1, 70) if wide else (1, 20)
    channels = _between(rng, least, most)
    outputs = _between(rng, CHANNEL_BLOCK + 1, 110) if big else _between(rng, 1, 20)
    transposed = "transpose" in op
    make = _usual_layer if rng.random() < 0.4 else _any_layer
    kernel, geometry = make(rng, rank, transposed)
    results = _results(rng, rank, big)
    spatial = [_input(rng, axis, results[axis], kernel[axis], geometry, transposed) for axis in range(rank)]
    sizes = Sizes(op, batch, channels, pick(rng, (1, 1, 2, 3)), outputs, spatial, kernel, geometry)
    while sizes.result() is None:
        sizes.spatial = [size + 2 for size in sizes.spatial]
    if op.startswith("pointwise"):
        sizes.spatial, sizes.multiplier = results, 1
    while big and not sizes.is_big():
        sizes.spatial[-1] += 16
    for _ in range(200):
        if sizes.work() <= MAX_WORK:
            break
        _shrink(rng, sizes, big)
    return sizes


def _results(rng, rank, big):
    if not big:
        return [*(_between(rng, 1, 12) for _ in range(rank - 1)), _between(rng, 1, 36)]
    if rank == 1:
        return [_between(rng, PIXEL_TILE + 1, 500)]
    outer = [_between(rng, 1, 20 if rank == 2 else 5) for _ in range(rank - 1)]
    return [*outer, _between(rng, TWO_VECTORS + 1, 75)]


def _kernel(rng, rank):
    chance = rng.random()
    if chance < 0.7:
        return pick(rng, (1, 3, 3, 3, 5, 7) if rank < 3 else (1, 2, 3, 3))
    if chance < 0.95:
        return _between(rng, 1, 11 if rank < 3 else 5)
    return _between(rng, 1, 31 if rank < 3 else 11)


def _usual_layer(rng, rank, transposed):
    """Return the kernel and the geometry of layers as networks have them: the paths made for them."""
    size = pick(rng, ((2, 3, 4, 5) if transposed else (3, 3, 5, 7)) if rank < 3 else (3, 3, 5))
    stride, padding = pick(rng, (1, 2)), (size - 1) // 2
    geometry = dict(stride=stride, padding=padding, dilation=1)
    if transposed:
        geometry["output_padding"] = max(stride - (size - 2 * padding), 0)
    else:
        geometry["padding_mode"] = "zeros"
    return [size] * rank, geometry


def _any_layer(rng, rank, transposed):
    """Return a kernel and the geometry arguments as a user may spell them."""
    kernel = [_kernel(rng, rank) for _ in range(rank)]
    strides = [pick(rng, (1, 1, 1, 2, 2, 3, 4)) for _ in range(rank)]
    rates = [pick(rng, (1, 1, 1, 1, 2, 2, 3, 4, 5, 6)) for _ in range(rank)]
    stride, dilation = _spell(rng, strides), _spell(rng, rates)
    strides, rates = _per_axis(stride, rank), _per_axis(dilation, rank)
    extents = [rate * (k - 1) + 1 for rate, k in zip(rates, kernel, strict=True)]
    padding = _padding(rng, extents, TRANSPOSED_STRINGS if transposed else STRINGS)
    geometry = dict(stride=stride, padding=padding, dilation=dilation)
    if not transposed:
        geometry["padding_mode"] = pick(rng, MODES) if rng.random() < 0.3 else "zeros"
    elif padding not in ("same", "same_upper") and rng.random() < 0.6:
        most = [max(pair) - 1 for pair in zip(strides, rates, strict=True)]
        geometry["output_padding"] = tuple(_between(rng, 0, extra) for extra in most)
    return kernel, geometry


def _spell(rng, values):
    """Return one int for all axes, or one for each."""
    return values[0] if rng.random() < 0.5 else tuple(values)


def _per_axis(value, rank):
    return value if isinstance(value, tuple) else (value,) * rank


def _padding(rng, extents, strings):
    chance = rng.random()
    if chance < 0.35:
        return pick(rng, strings)
    # now and then beyond the kernel, so that some outputs meet padding alone
    most = [extent + 2 if rng.random() < 0.15 else extent // 2 for extent in extents]
    if chance < 0.55:
        return _between(rng, 0, min(most))
    if chance < 0.75:
        return tuple(_between(rng, 0, limit) for limit in most)
    return tuple((_between(rng, 0, limit), _between(rng, 0, limit)) for limit in most)


def _input(rng, axis, result, kernel, geometry, transposed):
    """Return an input size which gives about that many outputs."""
    rank = axis + 1
    stride, dilation = (_per_axis(geometry[key], rank)[axis] for key in ("stride", "dilation"))
    extent = dilation * (kernel - 1) + 1
    padding = geometry["padding"]
    if isinstance(padding, str):
        total = {"valid": 0, "full": 2 * extent - 2}.get(padding, extent - 1)
    else:
        pair = _per_axis(padding, rank)[axis]
        total = sum(pair) if isinstance(pair, tuple) else 2 * pair
    if transposed:
        return max(1, (result - extent + total) // stride + 1)
    return max(1, (result - 1) * stride + extent - total + _between(rng, 0, stride - 1))


def _shrink(rng, sizes, big):
    """Make one size smaller, unless the case stops being valid or big by it."""
    choice = pick(rng, ("batch", "multiplier", "outputs", "channels", "spatial", "kernel"))
    before = getattr(sizes, choice)
    if isinstance(before, list):
        after = list(before)
        if after:
            at = _between(rng, 0, len(after) - 1)
            after[at] = max(1, after[at] * 2 // 3)
    else:
        after = max(1, before * 2 // 3)
    setattr(sizes, choice, after)
    if sizes.result() is None or (big and not sizes.is_big()):
        setattr(sizes, choice, before)


# ---- arguments -----------------------------------------------------------------------------------
def _keywords(rng, sizes, layout):
    """Return geometry and layout; a transposed output size is told in either way, but not to gradients."""
    kwargs = {} if sizes.op.startswith("pointwise") else dict(sizes.geometry)
    if sizes.transposed:
        extra = kwargs.pop("output_padding", 0)
        if not sizes.gradient and rng.random() < 0.4:
            kwargs["output_size"] = sizes.result()
        elif not sizes.gradient and (extra or rng.random() < 0.2):
            kwargs["output_padding"] = extra
    if layout != "channels_first" or rng.random() < 0.2:
        kwargs["data_format"] = layout
    return kwargs


def _plain_sizes(sizes):
    """Return the arguments that are not arrays."""
    known = {"input_size": sizes.spatial, "kernel_size": sizes.kernel}
    return [tuple(known[role]) for role in ARGUMENTS[sizes.op] if role in known]


def _shapes(rng, sizes, layout):
    """Return the shapes of the array arguments; None for a bias that is absent."""
    unit, batch = (1,) * len(sizes.spatial), tuple(sizes.batch)
    per_sample = bool(batch) and not sizes.gradient and rng.random() < 0.2

    def lead():
        if not per_sample or rng.random() < 0.3:
            return ()
        axes = batch[_between(rng, 0, len(batch) - 1) :]
        return tuple(1 if rng.random() < 0.3 else size for size in axes)

    def maps(axes, channels, spatial):
        return (*axes, channels, *spatial) if layout == "channels_first" else (*axes, *spatial, channels)

    depthwise = (*lead(), sizes.channels, sizes.multiplier, *sizes.kernel)
    if not sizes.gradient and not sizes.transposed and rng.random() < 0.2:
        depthwise = (*lead(), sizes.middle, 1, *sizes.kernel)
    # with one channel, leading axes could be read as PyTorch's form
    pointwise = (*(lead() if sizes.middle > 1 else ()), sizes.outputs, sizes.middle)
    if not sizes.gradient and rng.random() < 0.2:
        pointwise = (sizes.outputs, sizes.middle, *unit)
    shapes = {
        "x": maps(lead() if per_sample else batch, sizes.channels, sizes.spatial),
        "middle": maps(batch, sizes.middle, sizes.result()),
        "result": maps(batch, sizes.outputs, sizes.result()),
        "depthwise": depthwise,
        "pointwise": pointwise,
        "depthwise_bias": (*lead(), sizes.middle) if rng.random() < 0.5 else None,
        "pointwise_bias": (*lead(), sizes.outputs) if rng.random() < 0.5 else None,
    }
    return [shapes[role] for role in ARGUMENTS[sizes.op] if role in shapes]
