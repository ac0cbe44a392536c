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
    return html_of(("name", "layer", "output shape", "MACs", "parameters"), (_cells(*row) for row in rows))


def html_of(head, rows):
    """A table of cells that are text."""
    head = "".join(f"<th>{escape(word)}</th>" for word in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


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
