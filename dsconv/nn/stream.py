"""Running a causal network of rank 1 chunk by chunk."""


class Stateless:
    """A layer that acts on each position alone, as a step of a stream."""

    def __init__(self, layer):
        self._layer = layer

    def __call__(self, x):
        return self._layer(x)

    def reset(self):
        """Nothing is remembered."""


class StreamChain:
    """One step after the other."""

    def __init__(self, steps):
        self._steps = steps

    def __call__(self, x):
        for step in self._steps:
            x = step(x)
        return x

    def reset(self):
        """Begin another signal."""
        for step in self._steps:
            step.reset()


class StreamBranches:
    """Each branch on the chunk, or on its part of it, then their results joined."""

    def __init__(self, branches, join, split=None):
        self._branches = branches
        self._join = join
        self._split = split

    def __call__(self, x):
        parts = [x] * len(self._branches) if self._split is None else self._split(x)
        return self._join([branch(part) for branch, part in zip(self._branches, parts, strict=True)])

    def reset(self):
        """Begin another signal."""
        for branch in self._branches:
            branch.reset()
