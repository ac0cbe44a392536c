"""What an adjacency may be, and how it is applied: a dense array, or entries row by row.

Sparse matrices are known by their attributes alone, so that SciPy is not needed: CSR by `indptr`, `indices`
and `data`, COO by `row`, `col` and `data`.
"""

import numpy as np

from .. import _core
from ..gradients import _ufunc

_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


class CSR:
    """A sparse matrix row by row, for whoever has no SciPy; its attributes and constructor are those there.

    Parameters
    ----------
    arrays : tuple
        ``(data, indices, indptr)``: the entries of row r are ``data[indptr[r]:indptr[r + 1]]``, in the
        columns ``indices[indptr[r]:indptr[r + 1]]``. Or ``(data, (row, col))``, in any order. Duplicates
        are summed.
    shape : tuple of int

    Examples
    --------
    >>> import dsconv as ds
    >>> a = ds.graph.CSR(([1.0, 1.0], ([1, 0], [0, 1])), shape=(2, 2))
    >>> a.indptr.tolist(), a.indices.tolist()
    ([0, 1, 2], [1, 0])
    """

    format = "csr"

    def __init__(self, arrays, shape):
        self.shape = tuple(shape)
        if not isinstance(arrays, (tuple, list)) or len(arrays) not in (2, 3):
            raise TypeError(
                f"arrays: expected (data, indices, indptr) or (data, (row, col)), got {type(arrays).__name__}"
            )
        if len(arrays) == 3:
            self.data, self.indices, self.indptr = map(np.asarray, arrays)
            return
        data, (row, col) = arrays
        found = _from_coordinates(row, col, data, self.shape[0], "arrays")
        self.data, self.indices, self.indptr = found.value, found.column, found.start

    def toarray(self):
        """The dense array."""
        found = read_adjacency(self)
        used = found.column[: found.entries]
        if (np.diff(found.start) < 0).any() or ((used < 0) | (used >= found.size)).any():
            raise found.complaint(found.size)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        dense = np.zeros(self.shape, self.data.dtype)
        np.add.at(dense, (rows, self.indices[: len(rows)]), self.data[: len(rows)])
        return dense


# ---- what they have in common --------------------------------------------------------------------
def finished(y, base=None, scale=None, bias=None, activation=None):
    """What follows a product, in place: ``activation(y + scale*base + bias)``."""
    if base is not None:
        y += scale * base
    if bias is not None:
        y += bias
    return y if activation is None else _ufunc("activation", activation=activation)(y, out=y)


class Dense:
    """An array (n, n); NumPy's matrix product does the work."""

    def __init__(self, value):
        self.value = value
        self.size = len(value)
        self.entries = value.size

    def cast(self, dtype):
        return Dense(self.value.astype(dtype, copy=False))

    def apply(self, x, rows=None, out=None, base=None, **words):
        """Rows of ``activation(A x + scale*base + bias)`` for x of shape (b, n, c)."""
        part = slice(*(rows or (0, self.size)))
        y = np.matmul(self.value[part], x, out=out)
        return finished(y, None if base is None else base[:, part], **words)

    def adjoint(self):
        return Dense(self.value.conj().T)

    def gradient(self, x, grad):
        """The gradient of the values, from that of the product with x."""
        return np.matmul(grad, x.conj().swapaxes(1, 2)).sum(axis=0)


class Sparse:
    """Entries by rows: those of row r are ``[start[r], start[r + 1])`` of `column` and `value`.

    `order` tells where each entry stands in the matrix that this was made of, None: in the same place;
    `length` how many entries that has. `names` are those of start and column for messages.
    """

    def __init__(self, start, column, value, order=None, length=None, names=("indptr", "indices")):
        self.start, self.column, self.value, self.order, self.names = start, column, value, order, names
        self.size = len(start) - 1
        self.length = len(value) if length is None else length

    @property
    def entries(self):
        return int(self.start[-1])

    def cast(self, dtype):
        """Real values stay real, as the product with complex features is then two of real ones."""
        dtype, value = np.dtype(dtype), self.value
        if dtype.kind == "c" and value.dtype.kind != "c":
            dtype = np.zeros(0, dtype).real.dtype
        flags = value.flags
        if value.dtype != dtype or not (flags.c_contiguous and flags.aligned):
            value = np.require(value, dtype, "CA")
        return Sparse(self.start, self.column, value, self.order, self.length, self.names)

    def apply(self, x, rows=None, out=None, base=None, scale=None, bias=None, activation=None):
        """Rows of ``activation(A x + scale*base + bias)`` for x of shape (b, n, c)."""
        first, last = rows or (0, self.size)
        y = np.empty((len(x), last - first, x.shape[2]), x.dtype) if out is None else out
        if x.dtype.kind != "c":
            self._run(self.value, x, y, first, base, scale, bias, activation)
            return y
        x, parts = x.view(x.real.dtype), y.view(y.real.dtype)
        self._run(np.ascontiguousarray(self.value.real), x, parts, first)
        if self.value.dtype.kind == "c":
            turned = np.empty_like(y)
            self._run(np.ascontiguousarray(self.value.imag), x, turned.view(x.dtype), first)
            y += 1j * turned
        return finished(y, None if base is None else base[:, first:last], scale, bias, activation)

    def _run(self, value, x, y, first, base=None, scale=None, bias=None, activation=None):
        arrays = self.start, self.column, value, x, y
        if not _core.graph_propagate(*arrays, first, base, scale, bias, activation):
            raise self.complaint(x.shape[1])

    def adjoint(self):
        """The conjugate transpose: entries of one column, in the order of rows."""
        column = self.column[: self.entries]
        grouped = _core.graph_group(column.astype(np.int64, copy=False), self.size)
        if grouped is None:
            raise self.complaint(self.size)
        start, order = grouped
        rows = np.repeat(np.arange(self.size), np.diff(self.start))
        return Sparse(start, rows[order], self.value[order].conj())

    def gradient(self, x, grad):
        """The gradient of the values in their own order, from that of the product with x."""
        if x.dtype.kind == "c":
            parts = [self._products(x, grad), self._products(x, -1j * grad)]
            found = parts[0] + 1j * parts[1]
        else:
            found = self._products(x, grad)
        if self.order is None:
            return found
        placed = np.empty_like(found)
        placed[self.order] = found
        return placed

    def _products(self, x, grad):
        real = x.real.dtype
        found = np.zeros(self.length, real)
        arrays = self.start, self.column, found[: len(self.column)], x.view(real), grad.view(real)
        if not _core.graph_gradient(*arrays):
            raise self.complaint(self.size)
        return found

    def complaint(self, columns):
        """Which index is out of range, as an error to raise."""
        start, column = self.names
        first, steps, last = self.start[0], np.diff(self.start), self.start[-1]
        if first != 0 or (steps < 0).any() or last > len(self.column):
            return ValueError(
                f"adjacency: {start} must begin with 0, never fall, and end with at most the "
                f"{len(self.column)} entries there are, got one from {first} to {last}"
            )
        where = np.flatnonzero((self.column[:last] < 0) | (self.column[:last] >= columns))
        if not len(where):
            return ValueError("adjacency: its indices were changed during the call")
        position = where[0] if self.order is None else self.order[where[0]]
        return _out_of_range(column, position, self.column[where[0]], columns)


def _out_of_range(name, position, value, size):
    return ValueError(
        f"adjacency: {name} must be from 0 to {size - 1} for {size} nodes, got {value} at position {position}"
    )


# ---- from what users have ------------------------------------------------------------------------
def read_adjacency(adjacency, own=False):
    """A `Dense` or a `Sparse` of what came; with `own`, only where its values have an order of their own."""
    if isinstance(adjacency, (np.ndarray, list, tuple)):
        return _read_dense(adjacency)
    form = getattr(adjacency, "format", None)
    others = isinstance(form, str) and form not in ("csr", "coo")
    if others or not (hasattr(adjacency, "indptr") or hasattr(adjacency, "row")):
        if not hasattr(adjacency, "tocsr"):
            return _read_dense(adjacency)
        if own:
            raise TypeError(
                f"adjacency: a gradient of its values needs a CSR or COO matrix or an array, got "
                f"{type(adjacency).__name__}; adjacency.tocsr() makes one"
            )
        adjacency = adjacency.tocsr()
    size = _square(adjacency.shape)
    if hasattr(adjacency, "indptr"):
        return _from_rows(adjacency, size)
    return _from_coordinates(adjacency.row, adjacency.col, adjacency.data, size, "adjacency")


def _read_dense(value):
    try:
        value = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"adjacency: cannot be made into an array: {error}") from error
    if value.ndim == 0 and value.dtype == object:
        raise TypeError(
            f"adjacency: expected a square array or a sparse matrix in CSR or COO form, got "
            f"{type(value.item()).__name__}"
        )
    _square(value.shape)
    return Dense(value)


def _square(shape):
    shape = tuple(shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"adjacency: expected a square matrix, one row and one column per node, got {shape}")
    return shape[0]


def _vector(value, name):
    value = np.asarray(value)
    if value.ndim != 1:
        raise ValueError(f"adjacency: {name} must have one axis, got shape {value.shape}")
    return value


def _indices(value, name, dtype=None):
    """An index array as the kernels take it: dense, of 32 or 64 bits."""
    value = _vector(value, name)
    given = value.dtype
    if given.kind not in "iu" and value.size:
        raise TypeError(f"adjacency: {name} must hold integers, got {given}")
    if dtype is None:
        dtype = _INT32 if given.kind == "i" and given.itemsize == 4 else _INT64
    flags = value.flags
    if given == dtype and flags.c_contiguous and flags.aligned:
        return value
    return np.require(value, dtype, "CA")


def _from_rows(matrix, size):
    start = _indices(matrix.indptr, "indptr")
    column = _indices(matrix.indices, "indices")
    value = _vector(matrix.data, "data")
    if start.dtype != column.dtype:
        start, column = start.astype(np.int64), column.astype(np.int64)
    if len(start) != size + 1:
        raise ValueError(
            f"adjacency: indptr must have one element more than the {size} nodes, got {len(start)}"
        )
    found = Sparse(start, column[: len(value)], value[: len(column)], length=len(value))
    if start[0] != 0 or not 0 <= start[-1] <= len(found.column):
        raise found.complaint(size)
    return found


def _from_coordinates(row, col, data, size, name):
    row, col = (_indices(each, word, _INT64) for each, word in ((row, "row"), (col, "col")))
    value = _vector(data, "data")
    if not len(row) == len(col) == len(value):
        raise ValueError(
            f"{name}: row, col and data must have the same length, got {len(row)}, {len(col)}, {len(value)}"
        )
    grouped = _core.graph_group(row, size)
    if grouped is None:
        where = np.flatnonzero((row < 0) | (row >= size))
        position = where[0] if len(where) else 0
        raise _out_of_range("row", position, row[position], size)
    start, order = grouped
    return Sparse(start, col[order], value[order], order, names=("row", "col"))
