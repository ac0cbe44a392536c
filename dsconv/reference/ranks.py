"""Functions written once for all ranks, and bound to each."""

import functools
import inspect

from .arguments import name_of

RANKS = (1, 2, 3)


def of_every_rank(function):
    """Return `function(rank, ...)` as the three functions of a user, of ranks 1, 2 and 3.

    From `_depthwise_conv_transpose` come `depthwise_conv_transpose1d` and so on, with its docstring and its
    signature but for the rank.
    """
    return tuple(_bind(function, rank) for rank in RANKS)


def _bind(function, rank):
    @functools.wraps(function)
    def bound(*args, **kwargs):
        return function(rank, *args, **kwargs)

    signature = inspect.signature(function)
    bound.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    # or help() and inspect would look through to the function of all ranks
    del bound.__wrapped__
    bound.__name__ = bound.__qualname__ = name_of(function.__name__.lstrip("_"), rank)
    return bound
