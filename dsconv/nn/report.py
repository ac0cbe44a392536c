"""How layers show themselves: nested text, and a table for notebooks."""

from html import escape


def nested_repr(layer):
    """One line for a layer without children, else one more for each of them, indented."""
    head, children = f"{type(layer).__name__}(", layer.children
    if not children:
        return f"{head}{layer.describe()})"
    lines = [head + layer.describe()]
    for name, child in children.items():
        lines.append(f"  ({name}): " + repr(child).replace("\n", "\n  "))
    return "\n".join([*lines, ")"])


def html_table(layer):
    """An HTML table: layer, output shape, MACs, parameters; shapes only where `input_shape` is known."""
    if layer.input_shape is None:
        rows = [(name, each, "", "", _own(each)) for name, each in _leaves(layer, "")]
        total = sum(array.size for array in layer.parameters.values())
        rows.append(("total", layer, "", "", total))
    else:
        rows = [
            (name, each, str(shape), f"{cost.macs:,}", cost.params)
            for name, each, shape, cost in layer.summary(layer.input_shape)
        ]
    head = ("name", "layer", "output shape", "MACs", "parameters")
    return html_of(head, (_cells(*row) for row in rows), words=3)


def html_of(head, rows, words=0):
    """A table of cells that are text, the first `words` columns of them on the left.

    It sets no colour, so that it is readable in light and dark themes alike.
    """
    head, *body = ["<tr>" + _html_cells(row, words, kind) + "</tr>" for row, kind in _kinds(head, rows)]
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _kinds(head, rows):
    yield head, "th"
    for row in rows:
        yield row, "td"


def _html_cells(row, words, kind):
    aligned = f'<{kind} style="text-align: left">', f"<{kind}>"
    return "".join(f"{aligned[place >= words]}{escape(cell)}</{kind}>" for place, cell in enumerate(row))


def _leaves(layer, name):
    if not layer.children:
        return [(name, layer)]
    prefix = f"{name}." if name else ""
    return [leaf for key, child in layer.children.items() for leaf in _leaves(child, prefix + key)]


def _own(layer):
    return sum(array.size for array in layer.parameters.values())


def _cells(name, layer, shape, macs, parameters):
    text = type(layer).__name__ if layer.children else repr(layer)
    return name, text, shape, macs, f"{parameters:,}"
