"""`graph_propagate` and `separable_graph_conv`.

The channels of a separable convolution on a graph are spread by one operator and then mixed; a block of rows
is mixed as soon as it has been spread, so that the spread features are never stored whole.
"""

import numpy as np

from ..functional import pointwise_conv1d
from ..geometry import canonical_activation
from .arguments import as_array, checked_out, data_types, delivered, features, flat, target
from .operators import finished, read_adjacency

ORDERS = ("cheapest", "propagate_first", "mix_first")
_LAST = {"data_format": "channels_last"}
_BLOCK = 1 << 17  # elements of the features that are spread before they are mixed; at least 64 rows


def graph_propagate(x, adjacency, *, out=None):
    """Each channel spread over a graph by one shared operator: ``adjacency @ x``.

    Parameters
    ----------
    x : array_like, shape (..., n, c)
        Features of n nodes, with any number of leading batch axes.
    adjacency : array_like or sparse matrix, shape (n, n)
        A dense array; or a sparse matrix in CSR form (with `indptr`, `indices`, `data` and `shape`) or in COO
        form (`row`, `col`, `data`, `shape`), such as SciPy's, which is not needed: `dsconv.graph.CSR` will
        do. Entries may be in any order, and equal ones are summed. Other sparse forms of SciPy's are
        converted.
    out : ndarray, shape (..., n, c), optional
        Where the result is written. It may overlap the inputs. After an error its contents are undefined.

    Returns
    -------
    ndarray, shape (..., n, c)

    Raises
    ------
    ValueError
        For a matrix that is not square, indices out of range, and shapes that do not fit together.
    TypeError
        For arguments of a wrong type.

    See Also
    --------
    separable_graph_conv : the same with the channels mixed.
    graph.normalized_adjacency : makes the usual operators.

    Notes
    -----
    It takes one multiply-accumulate operation (MAC) for each entry and channel. Only the entries of a sparse
    matrix are multiplied, so that a NaN reaches nothing but neighbours; in a dense array zeros are multiplied
    too.

    All inputs promote together, integers as in `depthwise_conv1d`; float16 and bfloat16 are summed in
    float32. The sum of a sparse row depends on its entries alone, not on the batch or on the threads, which
    share the rows by their entries. Dense arrays go to NumPy's matrix product.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> ds.graph_propagate(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0, 1], [1, 0]]))
    array([[3., 4.],
           [1., 2.]])
    """
    operator = read_adjacency(adjacency)
    x = features(x, operator)
    dtype, work = data_types(x, operator.value)
    out = checked_out(out, x.shape, dtype)
    y = target(out, x.shape, dtype, work, (adjacency, x))
    operator.cast(work).apply(flat(x, work), out=y)
    return delivered(y, x.shape, dtype, out)


def separable_graph_conv(
    x, adjacency, pointwise_weight, bias=None, *, depthwise_weight=None, depthwise_activation=None,
    order="cheapest", activation=None, out=None,
):  # fmt: skip
    """Separable convolution on a graph: each channel spread by one operator, then the channels mixed.

    Parameters
    ----------
    x : array_like, shape (..., n, c)
        Features of n nodes, with any number of leading batch axes.
    adjacency : array_like or sparse matrix, shape (n, n)
        A, as for `graph_propagate`.
    pointwise_weight : array_like, shape (o, c)
        Mixes the channels.
    bias : array_like, shape (o,), optional
        Added to the result.
    depthwise_weight : array_like, shape (c, k), optional
        Taps of each channel over the powers I, A, ..., A^(k-1). None means A alone.
    depthwise_activation : str or None, optional
        Between the two stages: ``"relu"``, ``"relu6"``, ``"hardswish"``, ``"hardsigmoid"``, ``"silu"``,
        ``"sigmoid"``, ``"tanh"`` or ``"gelu"`` (exact, by erf). None for complex values.
    order : {"cheapest", "propagate_first", "mix_first"}, optional
        Which stage comes first. They may be exchanged only where the taps agree across channels (or there are
        none) and nothing stands between the stages; ``"cheapest"`` then takes the order of fewer MACs.
    activation : str or None, optional
        Applied to the result.
    out : ndarray, shape (..., n, o), optional
        Where the result is written. It may overlap the inputs. After an error its contents are undefined.

    Returns
    -------
    ndarray, shape (..., n, o)

    Raises
    ------
    ValueError
        As `graph_propagate`, and for ``"mix_first"`` where the order matters.
    TypeError
        For arguments of a wrong type, and for activations of complex values.

    Notes
    -----
    ``activation(depthwise_activation(sum_k t_k * (A^k x)) W^T + bias)``, where column k of the taps scales
    the channels. For each image it takes ``p*e*c + n*k*c + n*c*o`` multiply-accumulate operations (MACs) with
    e entries in A and ``p = k - 1`` products with it (``e*c + n*c*o`` where there are no taps); with the
    channels mixed first, o stands for c in all terms but the last. The powers come from Horner's rule, one at
    a time.

    Without taps it is the layer of a graph convolutional network [1]_; where the taps agree across channels,
    that layer with the operator ``sum_k t_k A^k``. Polynomial filters on graphs are from [2]_.

    References
    ----------
    .. [1] T. N. Kipf and M. Welling, "Semi-supervised classification with graph convolutional networks", ICLR
       2017, arXiv:1609.02907.
    .. [2] M. Defferrard, X. Bresson and P. Vandergheynst, "Convolutional neural networks on graphs with fast
       localized spectral filtering", NeurIPS 2016, arXiv:1606.09375.

    Examples
    --------
    >>> import numpy as np
    >>> import dsconv as ds
    >>> a = ds.graph.normalized_adjacency(np.ones((4, 4)) - np.eye(4))
    >>> x, weight = np.ones((4, 3)), np.ones((2, 3))
    >>> taps = np.array([[1.0, 2.0], [0.0, 1.0], [0.0, 1.0]])
    >>> ds.separable_graph_conv(x, a, weight, depthwise_weight=taps).shape
    (4, 2)
    """
    arrays = x, adjacency, pointwise_weight, bias, depthwise_weight
    return SeparableCall(arrays, depthwise_activation, order, activation).forward(out)


class SeparableCall:
    """One call of `separable_graph_conv`: its arguments, checked and in the type to compute in."""

    def __init__(self, arrays, depthwise_activation, order, activation, own=False):
        x, adjacency, weight, bias, taps = arrays
        operator = read_adjacency(adjacency, own)
        x, weight = features(x, operator), as_array(weight, "pointwise_weight")
        bias, taps = (
            None if each is None else as_array(each, name)
            for each, name in ((bias, "bias"), (taps, "depthwise_weight"))
        )
        _check_sizes(x.shape[-1], weight, bias, taps)
        self.inputs = adjacency, x, weight, bias, taps
        self.dtype, self.work = data_types(x, operator.value, weight, bias, taps)
        self.between = canonical_activation(depthwise_activation, "depthwise_activation")
        self.last = canonical_activation(activation)
        if self.work.kind == "c" and (self.between or self.last):
            raise TypeError(f"activation: takes real numbers; the inputs' common dtype is {self.dtype}")
        self.shape = *x.shape[:-1], len(weight)
        self.in_shape = x.shape
        self.operator = operator.cast(self.work)
        self.x, self.weight = flat(x, self.work), weight.astype(self.work, copy=False)
        self.bias = None if bias is None else np.ascontiguousarray(bias, self.work)
        # one row for each power
        self.taps = None if taps is None else np.ascontiguousarray(taps.T, self.work)
        self.mix_first = self._mixes_first(order)

    def _mixes_first(self, order):
        if order not in ORDERS:
            raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {order!r}")
        agree = self.taps is None or bool((self.taps == self.taps[:, :1]).all())
        if order == "mix_first" and not agree:
            raise ValueError(
                'order: "mix_first" needs taps that agree across channels; here the rows of '
                "depthwise_weight differ, and mixing first would change the result"
            )
        if order == "mix_first" and self.between is not None:
            raise ValueError(
                f'order: "mix_first" needs nothing between the stages, got depthwise_activation = '
                f"{self.between!r}, which does not commute with mixing"
            )
        outputs, channels = self.weight.shape
        exchangeable = agree and self.between is None and channels > 0
        return order == "mix_first" or (order == "cheapest" and exchangeable and outputs < channels)

    # ---- forward --------------------------------------------------------------------------------
    def forward(self, out=None):
        out = checked_out(out, self.shape, self.dtype)
        y = target(out, self.shape, self.dtype, self.work, self.inputs)
        if y.size:
            self.compute(y, self.last)
        return delivered(y, self.shape, self.dtype, out)

    def compute(self, y, activation):
        """The result, (b, n, o), with another last activation, written into y."""
        if self.mix_first:
            mixed, taps = self.mixed(), self.taps
            if taps is not None:
                taps = np.repeat(taps[:, :1], len(self.weight), axis=1)
            powers = horner(self.operator, mixed, taps)
            last_power(self.operator, mixed, powers[0], taps, bias=self.bias, activation=activation, out=y)
            return y
        powers = horner(self.operator, self.x, self.taps)
        for images, rows in _blocks(self.x.shape):
            spread = self.spread(powers[0], images, rows)
            words = {"activation": activation, "out": y[images, slice(*rows)]}
            pointwise_conv1d(spread, self.weight, self.bias, **_LAST, **words)
        return y

    def mixed(self):
        """The channels mixed before anything else: (b, n, o)."""
        return pointwise_conv1d(self.x, self.weight, **_LAST)

    def spread(self, power, images=slice(None), rows=None, activation=True):
        """Rows of what comes out of the first stage."""
        words = {"rows": rows, "activation": self.between if activation else None}
        return last_power(self.operator, self.x[images], power[images], self.taps, **words)


# ---- powers of the operator ----------------------------------------------------------------------
def horner(operator, x, taps, keep=False):
    """What the last product with the operator is taken of, by Horner's rule.

    Returns
    -------
    list of ndarray
        ``h[0]``, where ``h[k] = A h[k + 1] + t_(k + 1) x`` and the sum is ``A h[0] + t_0 x``. With `keep`,
        all of them. Without taps x itself.
    """
    if taps is None or len(taps) == 1:
        return [x]
    powers = [x * taps[-1]]
    for row in taps[-2:0:-1]:
        following = operator.apply(powers[0], base=x, scale=row)
        powers = [following, *powers] if keep else [following]
    return powers


def last_power(operator, x, power, taps, *, rows=None, bias=None, activation=None, out=None):
    """Rows of ``activation(A power + t_0 x + bias)``; without taps no x, with a single one no power."""
    words = {"bias": bias, "activation": activation}
    if taps is None:
        return operator.apply(power, rows=rows, out=out, **words)
    if len(taps) == 1:
        part = x if rows is None else x[:, slice(*rows)]
        return finished(np.multiply(part, taps[0], out=out), **words)
    return operator.apply(power, rows=rows, out=out, base=x, scale=taps[0], **words)


def _blocks(shape):
    """Images and rows that are taken together: whole images, or parts of one; the batch alters no part."""
    batch, nodes, channels = shape
    image = max(nodes * channels, 1)
    if image <= _BLOCK:
        step = _BLOCK // image
        return [(slice(first, first + step), (0, nodes)) for first in range(0, batch, step)]
    step = max(_BLOCK // max(channels, 1), 64)
    parts = [(first, min(first + step, nodes)) for first in range(0, nodes, step)]
    return [(slice(each, each + 1), rows) for each in range(batch) for rows in parts]


# ---- checks --------------------------------------------------------------------------------------
def _check_sizes(channels, weight, bias, taps):
    if weight.ndim != 2 or weight.shape[1] != channels or len(weight) == 0:
        raise ValueError(
            f"pointwise_weight: expected shape (o, c) with o > 0 and c = {channels} channels as in x, got "
            f"{weight.shape}"
        )
    if bias is not None and bias.shape != (len(weight),):
        expected = f"expected shape ({len(weight)},) as pointwise_weight has it"
        raise ValueError(f"bias: {expected}, got {bias.shape}")
    if taps is not None and (taps.ndim != 2 or len(taps) != channels or taps.shape[1] == 0):
        raise ValueError(
            f"depthwise_weight: expected shape (c, k) with c = {channels} channels and k > 0 powers, got "
            f"{taps.shape}"
        )
