"""Rank wrappers: `NAME1d`, `NAME2d` and `NAME3d` bind the rank of a class, and nothing else."""

from ..geometry import MAX_RANK


def bind_ranks(namespace, *classes):
    """Define the wrappers in a module, and return their names."""
    names = []
    for base in classes:
        for rank in range(1, MAX_RANK + 1):
            name = f"{base.__name__}{rank}d"
            doc = base.__doc__.replace(f"{base.__name__}2d", name) if rank == 2 else _doc(base, rank)
            body = {"rank": rank, "__doc__": doc, "__module__": base.__module__, "__qualname__": name}
            namespace[name] = type(name, (base,), body)
            names.append(name)
    return names


def _doc(base, rank):
    first = base.__doc__.strip().splitlines()[0]
    like = f"Arguments, shapes and an example are those of `{base.__name__}2d`."
    return f"{first.rstrip('.')}; in {rank}D.\n\n    {like}\n    "


def needs_rank(layer):
    if layer.rank is None:
        name = type(layer).__name__
        raise TypeError(f"{name} has no rank of its own: use {name}1d, {name}2d or {name}3d")
