"""Tables of what a network costs, layer by layer, next to the same network with standard convolutions."""

import csv
import io
from collections import namedtuple
from html import escape

from .report import html_of
from .twin import hollow_twin

Row = namedtuple("Row", "name layer output cost standard")

_HEAD = (
    "name", "layer", "output shape", "MACs", "FLOPs", "parameters", "activations", "traffic, bytes",
    "FLOPs / byte", "standard MACs", "standard parameters",
)  # fmt: skip
_LEFT = True, True, True  # names, layers and shapes; numbers are on the right
_WIDTH = 40  # characters of a layer in the text; HTML and CSV have all of them


class CostTable:
    """A row for each use of a layer, and totals; `dsconv.cost.table` makes one.

    Attributes
    ----------
    rows : list of Row
        ``(name, layer, output, cost, standard)``: dotted name, the layer, its output shape, its `Cost`, and
        that of the layer of this name in the network with standard convolutions; None where it has none.
    total, standard_total : Cost
        Shared parameters count once. The second is None where it was not asked for.
    itemsize : int
        Bytes of an element, for traffic and intensity.
    """

    def __init__(self, layer, shape, standard, itemsize, context):
        *rows, (_, _, self.output, self.total) = layer.summary(shape, **context)
        self.itemsize, self.layer, self.standard_total, twins = itemsize, layer, None, {}
        if standard:
            *others, (_, _, output, self.standard_total) = hollow_twin(layer).summary(shape, **context)
            if output != self.output:
                raise ValueError(
                    f"standard: the network with standard convolutions gives {output}, this one "
                    f"{self.output}; standard=False leaves the comparison out"
                )
            twins = {name: cost for name, _, _, cost in others}
        self.rows = [Row(*row, twins.get(row[0])) for row in rows]

    @property
    def macs_ratio(self):
        """MACs over those with standard convolutions; None without these, or where they are 0."""
        other = self.standard_total
        return self.total.macs / other.macs if other is not None and other.macs else None

    @property
    def params_ratio(self):
        """The same of parameters."""
        other = self.standard_total
        return self.total.params / other.params if other is not None and other.params else None

    # ---- cells ----------------------------------------------------------------------------------
    def _numbers(self, cost, standard):
        traffic, intensity = cost.traffic(self.itemsize), cost.intensity(self.itemsize)
        numbers = [cost.macs, cost.flops, cost.params, cost.activations, traffic, intensity]
        if self.standard_total is not None:
            numbers += [None, None] if standard is None else [standard.macs, standard.params]
        return numbers

    def _records(self):
        """All rows as lists, numbers as numbers, the totals last."""
        records = [
            [row.name, repr(row.layer), row.output, *self._numbers(row.cost, row.standard)]
            for row in self.rows
        ]
        total = self._numbers(self.total, self.standard_total)
        return [*records, ["total", type(self.layer).__name__, self.output, *total]]

    def _head(self):
        return list(_HEAD if self.standard_total is not None else _HEAD[:-2])

    def _cells(self):
        return [[_shown(cell) for cell in record] for record in self._records()]

    def _summary(self):
        if self.macs_ratio is None:
            return ""
        text = f"of the standard network: {100 * self.macs_ratio:.1f} % of the MACs"
        return text + f", {100 * self.params_ratio:.1f} % of the parameters"

    # ---- formats --------------------------------------------------------------------------------
    def __str__(self):
        rows = [[name, _short(layer), *rest] for name, layer, *rest in self._cells()]
        lines = [self._head(), *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(_padded, line, widths, _LEFT + (False,) * len(line))) for line in lines]
        return "\n".join(line.rstrip() for line in [*text, self._summary()] if line)

    __repr__ = __str__

    def to_html(self):
        """The table as HTML; a notebook shows it so."""
        return html_of(self._head(), self._cells(), len(_LEFT)) + f"<p>{escape(self._summary())}</p>"

    def _repr_html_(self):
        return self.to_html()

    def to_csv(self, path=None):
        """The table as CSV, numbers in full.

        Parameters
        ----------
        path : str or path-like, optional
            A file to write it to.

        Returns
        -------
        str
        """
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self._head())
        writer.writerows(self._records())
        if path is not None:
            with open(path, "w", encoding="utf-8", newline="") as target:
                target.write(file.getvalue())
        return file.getvalue()


def _shown(cell):
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _padded(cell, width, left):
    return f"{cell:<{width}}" if left else f"{cell:>{width}}"


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
