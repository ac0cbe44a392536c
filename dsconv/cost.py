"""What a layer or a network costs: multiply-accumulate operations, parameters, activations, traffic.

One MAC is one multiplication with its addition, and two FLOPs. Every tap is counted, those on padding too, as
papers do. Biases, normalisation, activations and pooling count no MACs.
"""

import math
from dataclasses import dataclass

from .geometry import as_integer, items_of, per_axis

__all__ = ["Cost", "depthwise", "pointwise", "reduction", "separable", "standard", "table"]


@dataclass(frozen=True)
class Cost:
    """The cost of one call.

    Parameters
    ----------
    macs : int
        Multiply-accumulate operations of convolutions, linear layers and matrix products.
    params : int
        Trainable numbers, biases and the scale and shift of normalisation included.
    activations : int
        Elements of the results of all layers.
    moved : int
        Elements that are read and written where each layer reads its input and its parameters once and
        writes its result once.

    Notes
    -----
    Costs add, so `sum` works on them. What two layers share is then counted twice; `Layer.cost` of a
    combinator counts shared parameters once.

    Examples
    --------
    >>> from dsconv.cost import depthwise, pointwise
    >>> total = depthwise(32, (3, 3), 112) + pointwise(32, 64, (112, 112))
    >>> total.macs, total.flops, total.params
    (29302784, 58605568, 2336)
    """

    macs: int = 0
    params: int = 0
    activations: int = 0
    moved: int = 0

    @property
    def flops(self):
        """Floating-point operations: two for each MAC."""
        return 2 * self.macs

    def traffic(self, itemsize=4):
        """Bytes moved, with elements of `itemsize` bytes."""
        return self.moved * itemsize

    def intensity(self, itemsize=4):
        """FLOPs per byte moved; 0 where nothing moves."""
        return self.flops / self.traffic(itemsize) if self.moved else 0.0

    def __add__(self, other):
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(
            self.macs + other.macs,
            self.params + other.params,
            self.activations + other.activations,
            self.moved + other.moved,
        )

    def __radd__(self, other):
        # sum() begins with 0
        return self if isinstance(other, int) and other == 0 else NotImplemented


# ---- closed forms --------------------------------------------------------------------------------
def depthwise(channels, kernel_size, output_size, *, depth_multiplier=1, batch=1, bias=False):
    """Cost of a depthwise convolution: ``batch * C*M * output * kernel`` MACs.

    Parameters
    ----------
    channels : int
        Input channels C.
    kernel_size, output_size : int or tuple of int
        Spatial sizes. With an int in both places the rank is 1.
    depth_multiplier, batch : int, optional
        Output channels for each input channel, and images.
    bias : bool, optional
        Whether there is one; papers that follow each convolution by BatchNorm have none.

    Returns
    -------
    Cost
        `activations` are those of the result; `moved` is 0, as it needs the size of the input.

    Raises
    ------
    ValueError, TypeError
        For a size that is not a positive integer.

    References
    ----------
    .. [1] A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
       Applications", 2017, arXiv:1704.04861.

    Examples
    --------
    >>> from dsconv import cost
    >>> cost.depthwise(32, (3, 3), (112, 112)).macs
    3612672
    """
    kernel, output = _areas(kernel_size, output_size)
    result = _count(channels, "channels") * _count(depth_multiplier, "depth_multiplier")
    return _convolution(batch, output, result, kernel, bias)


def pointwise(in_channels, out_channels, output_size=1, *, batch=1, bias=False):
    """Cost of a pointwise convolution: ``batch * O * C * output`` MACs.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    output_size : int or tuple of int, optional
        Spatial size; 1 for a linear layer.
    batch, bias
        As for `depthwise`.

    Returns
    -------
    Cost
        As from `depthwise`.

    Examples
    --------
    >>> from dsconv import cost
    >>> cost.pointwise(1024, 1000, bias=True)
    Cost(macs=1024000, params=1025000, activations=1000, moved=0)
    """
    _, output = _areas(1, output_size)
    channels = _count(in_channels, "in_channels")
    return _convolution(batch, output, _count(out_channels, "out_channels"), channels, bias)


def separable(
    in_channels, out_channels, kernel_size, output_size, *, depth_multiplier=1, batch=1, bias=False
):
    """Cost of a depthwise separable convolution: ``batch * output * C*M * (kernel + O)`` MACs.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, output_size, depth_multiplier, batch
        As for `depthwise`.
    bias : bool, optional
        Whether the pointwise stage has one.

    Returns
    -------
    Cost
        `activations` count the result only, as the depthwise one is never stored whole.

    Examples
    --------
    >>> from dsconv import cost
    >>> cost.separable(32, 64, (3, 3), (112, 112)).macs
    29302784
    """
    hidden = _count(in_channels, "in_channels") * _count(depth_multiplier, "depth_multiplier")
    kernel, output = _areas(kernel_size, output_size)
    out = _count(out_channels, "out_channels")
    result = _convolution(batch, output, out, hidden, bias)
    return result + Cost(_count(batch, "batch") * hidden * output * kernel, hidden * kernel)


def standard(in_channels, out_channels, kernel_size, output_size, *, batch=1, bias=False):
    """Cost of a standard convolution: ``batch * output * O * C * kernel`` MACs.

    Parameters
    ----------
    in_channels, out_channels : int
        C and O.
    kernel_size, output_size, batch, bias
        As for `depthwise`.

    Returns
    -------
    Cost
        As from `depthwise`.

    Examples
    --------
    >>> from dsconv import cost
    >>> cost.standard(3, 32, (3, 3), (112, 112)).macs
    10838016
    """
    kernel, output = _areas(kernel_size, output_size)
    taps = _count(in_channels, "in_channels") * kernel
    return _convolution(batch, output, _count(out_channels, "out_channels"), taps, bias)


def reduction(out_channels, kernel_size, depth_multiplier=1):
    """MACs of a separable convolution over those of the standard one: ``M * (1/O + 1/kernel)``.

    Parameters
    ----------
    out_channels : int
        O.
    kernel_size : int or tuple of int
        Spatial size of the kernel; an int is that of a kernel of rank 1.
    depth_multiplier : int, optional
        M.

    Returns
    -------
    float
        The ratio; it depends neither on the input's channels nor on its size.

    References
    ----------
    .. [1] A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
       Applications", 2017, arXiv:1704.04861, section 3.1.

    Examples
    --------
    >>> from dsconv import cost
    >>> round(cost.reduction(64, (3, 3)), 4)
    0.1267
    """
    kernel, _ = _areas(kernel_size, 1)
    out = _count(out_channels, "out_channels")
    return _count(depth_multiplier, "depth_multiplier") * (out + kernel) / (out * kernel)


# ---- networks ------------------------------------------------------------------------------------
def table(layer, shape, *, standard=True, itemsize=4, **context):
    """What a network costs, layer by layer and in all, next to the same one with standard convolutions.

    Parameters
    ----------
    layer : dsconv.nn.Layer
        A network, or a layer.
    shape : tuple of int
        The whole shape of the input, batch included.
    standard : bool, optional
        Whether to compare with `dsconv.nn.standard_twin`, where each separable convolution is a standard one.
    itemsize : int, optional
        Bytes of an element.
    **context
        For the layer, as in a call.

    Returns
    -------
    CostTable
        Text by `str`, HTML by `to_html` and in notebooks, CSV by `to_csv`. MACs are multiply-accumulate
        operations, FLOPs twice as many; traffic is in bytes, where each layer reads its input and parameters
        once and writes its result once; intensity is FLOPs per byte of it.

    Raises
    ------
    TypeError, ValueError
        For anything else than a layer, and a shape that it does not take.

    Examples
    --------
    >>> from dsconv import cost, nn
    >>> table = cost.table(nn.SeparableConv2d(32, 64, 3, padding="same", bias=False), (1, 32, 112, 112))
    >>> table.total.macs, table.standard_total.macs, round(table.macs_ratio, 4)
    (29302784, 231211008, 0.1267)
    """
    from .nn import Layer
    from .nn.costs import CostTable

    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
    return CostTable(layer, shape, bool(standard), as_integer(itemsize, "itemsize", 1), context)


def _convolution(batch, output, out_channels, terms, bias):
    batch = _count(batch, "batch", 0)
    results = batch * output * out_channels
    return Cost(results * terms, out_channels * (terms + bool(bias)), results)


def _areas(kernel_size, output_size):
    items = next((i for i in map(items_of, (kernel_size, output_size)) if i is not None), (0,))
    if not items:
        raise ValueError("kernel_size: expected at least one spatial axis, got none")
    kernel = per_axis(kernel_size, "kernel_size", len(items), 1)
    return math.prod(kernel), math.prod(per_axis(output_size, "output_size", len(items), 0))


def _count(value, name, minimum=1):
    return as_integer(value, name, minimum)
