"""Schedules: the factor of the learning rate as training goes on.

Each is a function ``schedule(epoch, epochs) -> factor``, as users' own may be: `epochs` is how many there
will be, `epoch` runs from 0 to that number. `fit` asks at the middle of each batch: at 0.05 for batch 0
of 10.
"""

from math import cos, pi

from ..checks import as_callable, as_real
from ..geometry import as_integer

__all__ = ["constant_schedule", "cosine_schedule", "step_schedule", "warm_up"]


def constant_schedule(factor=1.0):
    """The same factor all the time.

    Parameters
    ----------
    factor : float, optional
        At least 0.

    Returns
    -------
    callable

    Examples
    --------
    >>> from dsconv.training import constant_schedule
    >>> constant_schedule()(3.5, 10)
    1.0
    """
    factor = as_real(factor, "factor", 0)
    return lambda epoch, epochs: factor


def cosine_schedule(final=0.0):
    """From 1 to `final` along half a cosine.

    Parameters
    ----------
    final : float, optional
        The factor at the end, at least 0.

    Returns
    -------
    callable

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
       arXiv:1608.03983.

    Examples
    --------
    >>> from dsconv.training import cosine_schedule
    >>> [round(cosine_schedule()(epoch, 4), 3) for epoch in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    final = as_real(final, "final", 0)
    return lambda epoch, epochs: final + (1 - final) * (1 + cos(pi * min(epoch / epochs, 1))) / 2


def step_schedule(every, factor=0.1):
    """Multiplied by `factor` after each `every` epochs.

    Parameters
    ----------
    every : int
        Epochs, at least 1.
    factor : float, optional
        At least 0.

    Returns
    -------
    callable

    Examples
    --------
    >>> from dsconv.training import step_schedule
    >>> [step_schedule(2, 0.5)(epoch, 5) for epoch in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    every, factor = as_integer(every, "every", 1), as_real(factor, "factor", 0)
    return lambda epoch, epochs: factor ** int(epoch // every)


def warm_up(length, then=None):
    """Linearly from 0 to 1 in the first epochs, then another schedule over the rest.

    Parameters
    ----------
    length : float
        Epochs, more than 0; fractions are welcome.
    then : callable, optional
        A schedule; constant if not given.

    Returns
    -------
    callable

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017,
       arXiv:1706.02677.

    Examples
    --------
    >>> from dsconv.training import cosine_schedule, warm_up
    >>> schedule = warm_up(2, cosine_schedule())
    >>> [round(schedule(epoch, 6), 3) for epoch in (0, 1, 2, 4, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    length = as_real(length, "length", above=0)
    then = constant_schedule() if then is None else as_callable(then, "then", "schedule(epoch, epochs)")

    def schedule(epoch, epochs):
        if epoch < length:
            return epoch / length
        return then(epoch - length, max(epochs - length, 0) or 1)

    return schedule
