"""Compound scaling: depth, width and resolution grown together, and the search for how much of each."""

from collections import namedtuple
from itertools import product
from math import inf

from ..checks import as_callable, as_real
from ..geometry import items_of
from .proportions import positive

__all__ = ["compound_scaling", "search_scaling"]


def compound_scaling(phi, alpha=1.2, beta=1.1, gamma=1.15):
    """Depth, width and resolution for ``2**phi`` times the MACs, about.

    Parameters
    ----------
    phi : float
        How far to scale; 0 changes nothing.
    alpha, beta, gamma : float, optional
        Depth, width and resolution for ``phi = 1``. MACs grow as ``alpha * beta**2 * gamma**2``, which is
        1.92 for the default.

    Returns
    -------
    depth, width, resolution : float
        ``alpha**phi, beta**phi, gamma**phi``, which every builder takes under these names: a resolution
        that is a float multiplies the published one.

    Raises
    ------
    ValueError, TypeError
        Where phi is not finite, or alpha, beta or gamma not a finite number above 0.

    References
    ----------
    .. [1] M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
       ICML 2019, arXiv:1905.11946, equation 3.

    Examples
    --------
    >>> from dsconv import models
    >>> depth, width, resolution = models.compound_scaling(1)
    >>> net = models.mobilenet_v2(depth=depth, width=width, resolution=resolution)
    >>> net.input_shape
    (1, 3, 258, 258)
    """
    phi = as_real(phi, "phi")
    bases = zip(("alpha", "beta", "gamma"), (alpha, beta, gamma), strict=True)
    return tuple(float(positive(base, name)) ** phi for name, base in bases)


class Scaling(namedtuple("Scaling", "alpha beta gamma")):
    """What `search_scaling` found.

    Attributes
    ----------
    score : float
        What `evaluate` gave.
    macs : int
        Of one image.
    trials : list of (tuple, int, float)
        All candidates with their MACs and scores; None where they were over the budget.
    """


def search_scaling(build, evaluate, budget, grid):
    """The best of a grid of (alpha, beta, gamma) under a budget of MACs.

    Parameters
    ----------
    build : callable
        ``build(depth=alpha, width=beta, resolution=gamma)`` gives a network whose ``input_shape`` is set, as
        all builders here do.
    evaluate : callable
        ``evaluate(network)`` gives a score, the higher the better; as a rule it trains the network.
    budget : float
        The most MACs that a network may need for one image, its ``cost(input_shape)``. Others are not
        evaluated.
    grid : iterable of (float, float, float), or dict
        Candidates; or ``{"alpha": values, "beta": values, "gamma": values}`` for all combinations.

    Returns
    -------
    Scaling
        The tuple (alpha, beta, gamma) of the best score, of equal ones the first; with attributes `score`,
        `macs` and `trials`.

    Raises
    ------
    ValueError, TypeError
        Where no candidate is within the budget, a network has no ``input_shape``, a score is NaN, and for
        arguments that are not as above.

    References
    ----------
    .. [1] M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
       ICML 2019, arXiv:1905.11946, section 3.3.

    Examples
    --------
    >>> from dsconv import models
    >>> grid = {"alpha": (1, 1.25), "beta": (1, 1.25), "gamma": (1, 1.25)}
    >>> found = models.search_scaling(models.mobilenet_v1, lambda net: len(net.parameters), 900e6, grid)
    >>> found, found.macs
    (Scaling(alpha=1.25, beta=1.0, gamma=1.0), 891923968)
    """
    as_callable(build, "build", "build(depth, width, resolution)")
    as_callable(evaluate, "evaluate", "evaluate(network)")
    budget, trials = inf if budget == inf else as_real(budget, "budget", above=0), []
    for candidate in _candidates(grid):
        depth, width, resolution = candidate
        net = build(depth=depth, width=width, resolution=resolution)
        if net.input_shape is None:
            raise ValueError("build: the network must know its input_shape, for which MACs are counted")
        macs = net.cost(net.input_shape).macs
        score = as_real(evaluate(net), f"evaluate(network) at {candidate}") if macs <= budget else None
        trials.append((candidate, macs, score))
    within = [trial for trial in trials if trial[2] is not None]
    if not within:
        least = min((macs for _, macs, _ in trials), default=None)
        raise ValueError(f"budget: no candidate needs at most {budget:g} MACs; the least is {least}")
    best, macs, score = max(within, key=lambda trial: trial[2])
    found = Scaling(*best)
    found.score, found.macs, found.trials = score, macs, trials
    return found


def _candidates(grid):
    if isinstance(grid, dict):
        if set(grid) != set(Scaling._fields):
            raise ValueError(f"grid: expected the keys {', '.join(Scaling._fields)}, got {list(grid)}")
        grid = product(*(grid[name] for name in Scaling._fields))
    if not hasattr(grid, "__iter__"):
        raise TypeError(f"grid: expected candidates (alpha, beta, gamma), or a dict, got {grid!r}")
    return [_candidate(*each) for each in enumerate(grid)]


def _candidate(position, values):
    """Three positive numbers."""
    if len(items_of(values) or ()) != 3:
        raise ValueError(f"grid[{position}]: expected (alpha, beta, gamma), got {values!r}")
    return tuple(float(positive(value, f"grid[{position}][{i}]")) for i, value in enumerate(values))
