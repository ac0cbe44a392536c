"""The arrays of a layer, and how arrays of other names and shapes get into them: all of them, or none."""

from typing import NamedTuple

import numpy as np

from .. import nn


class Entry(NamedTuple):
    """One array of a layer: its dotted name, the layer inside that has it, and under which attribute."""

    name: str
    owner: nn.Layer
    attribute: str

    @property
    def array(self):
        return getattr(self.owner, self.attribute)


def entries(layer):
    """All of them, those of one layer inside together: its parameters, then its running statistics."""
    groups = {}
    for kind in "parameter_names", "buffer_names":
        for name, (owner, attribute) in layer._owned(kind).items():
            groups.setdefault(id(owner), []).append(Entry(name, owner, attribute))
    return [entry for group in groups.values() for entry in group]


def check_names(given, argument, needed="a dict"):
    if not hasattr(given, "items"):
        raise TypeError(f"{argument}: expected {needed} of arrays, got {type(given).__name__}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{argument}: the names must be strings, got {name!r}")


def renamed(keys, mapping):
    """{their name: ours} by a dict, in which what is missing keeps its name, or by a callable."""
    if callable(mapping):
        return {key: mapping(key) for key in keys}
    if not hasattr(mapping, "get"):
        raise TypeError(f"mapping: expected a dict or a callable from their name to ours, got {mapping!r}")
    return {**{key: key for key in keys}, **mapping}


def write(layer, given, names, convert, argument, turned=""):
    """Write arrays of other names and layouts into a layer.

    Parameters
    ----------
    layer : dsconv.nn.Layer
    given : dict
        Their name to array.
    names : dict
        Their name to ours, of those given, and of others that may be missing; with None one is left out.
    convert : callable
        ``convert(entry, array)`` gives the array in our layout, None where its shape does not fit, or a str
        that says what else is wrong.
    argument : str
        What the errors call `given`.
    turned : str, optional
        What they add to the shapes that are needed, which are ours.

    Returns
    -------
    dsconv.nn.Layer
        The one given.

    Raises
    ------
    ValueError
        That names all missing, unexpected and misshapen entries; then nothing has been written.
    """
    own = {entry.name: entry for entry in entries(layer)}
    ready, source, problems = {}, {}, []
    for key, array in given.items():
        name = names.get(key, key)
        if name is None:
            continue
        problem = _problem(key, array, name, own, source)
        value = None if problem else convert(own[name], array)
        if problem is None and not isinstance(value, np.ndarray):
            problem = (
                f"misshapen: {key} is {array.shape}, needed {own[name].array.shape}{turned}{_ours(key, name)}"
            )
            problem += f"; {value}" if value else ""
        problems += [problem] if problem else []
        source.setdefault(name, key)
        ready[name] = value
    theirs = {name: key for key, name in names.items()}
    for name, entry in own.items():
        if name not in source:
            key = theirs.get(name, name)
            problems.append(f"missing: {key} {entry.array.shape}{_ours(key, name)}")
    if problems:
        raise ValueError(f"{argument}: does not fit this layer:\n  " + "\n  ".join(problems))
    return layer.load_state_dict(ready)


def _problem(key, array, name, own, source):
    if name not in own:
        return f"unexpected: {key} {array.shape}{_ours(key, name)}"
    if name in source:
        return f"twice: {key} and {source[name]} are both {name}"
    needed = own[name].array.dtype
    if not np.can_cast(array.dtype, needed, "same_kind"):
        return f"of a wrong type: {key} is {array.dtype}, needed {needed}{_ours(key, name)}"
    return None


def _ours(key, name):
    return "" if key == name else f", here {name}"
