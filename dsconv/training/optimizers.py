"""Optimizers: from gradients to new parameters."""

from collections.abc import Mapping

import numpy as np

from ..checks import as_callable, as_real
from ..geometry import as_integer
from ..nn.layer import Layer
from .interrupts import uninterrupted

__all__ = ["SGD", "Adam"]


class Optimizer:
    """What all optimizers share: whole steps, and a state that saves and restores.

    A subclass names in `slots` the arrays it keeps for each parameter, and in `settings` its numbers, and
    defines `update`.

    Attributes
    ----------
    steps : int
        How many have been taken.
    """

    slots = ()
    settings = ("lr", "weight_decay")

    def __init__(self, layer, lr, weight_decay, only):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
        self.lr = as_real(lr, "lr", 0)
        self.weight_decay = as_real(weight_decay, "weight_decay", 0)
        chosen = (lambda name: True) if only is None else as_callable(only, "only", "only(name)")
        self.layer = layer
        self.names = [name for name in layer.parameters if chosen(name)]
        if layer.parameters and not self.names:
            raise ValueError(f"only: chose none of the parameters {', '.join(layer.parameters)}")
        self.steps = 0
        parameters = layer.parameters
        self._state = {
            slot: {name: np.zeros(parameters[name].shape, _wide(parameters[name])) for name in self.names}
            for slot in self.slots
        }

    def step(self, grads, *, factor=1.0):
        """Change the parameters of the layer, all of them or, where this raises, none.

        Parameters
        ----------
        grads : dict
            Name to gradient, as a pullback gives it.
        factor : float, optional
            Multiplies `lr` in this step; a schedule's.

        Raises
        ------
        ValueError
            For gradients that are missing or misshapen, and parameters that are read-only.
        FloatingPointError
            Where a new parameter would not be finite.
        """
        writes = self.planned(grads, factor)
        with uninterrupted():
            self.commit(writes)

    def planned(self, grads, factor=1.0):
        """What a step would write, with nothing written yet: see `commit`."""
        parameters = self.layer.parameters
        if not isinstance(grads, Mapping):
            raise TypeError(f"grads: expected a dict of names to arrays, got {type(grads).__name__}")
        self._check(grads, parameters)
        new, state = {}, {slot: {} for slot in self.slots}
        rate = self.lr * as_real(factor, "factor", 0)
        # an overflow is found, and named, below
        with np.errstate(over="ignore", invalid="ignore"):
            for name in self.names:
                wide = parameters[name].astype(_wide(parameters[name]), copy=False)
                kept = [self._state[slot][name] for slot in self.slots]
                gradient = np.asarray(grads[name]).astype(wide.dtype, copy=False)
                change, *kept = self.update(gradient, *kept)
                moved = wide * (1 - rate * self.weight_decay) - rate * change
                new[name] = moved.astype(parameters[name].dtype, copy=False)
                for slot, value in zip(self.slots, kept, strict=True):
                    state[slot][name] = value
        wrong = [name for name, value in new.items() if not np.isfinite(value).all()]
        if wrong:
            raise FloatingPointError(f"a step would make these parameters not finite: {', '.join(wrong)}")
        return new, state

    def commit(self, writes):
        """Write what `planned` gave."""
        new, state = writes
        parameters = self.layer.parameters
        for name, value in new.items():
            parameters[name][...] = value
        self._state = state
        self.steps += 1

    def update(self, gradient, *kept):
        """The direction that `lr` multiplies, and the new arrays of the slots."""
        raise TypeError(f"{type(self).__name__} is an Optimizer without an update method")

    def _check(self, grads, parameters):
        missing = [name for name in self.names if name not in grads]
        if missing:
            raise ValueError(f"grads: missing are those of {', '.join(missing)}")
        unknown = [name for name in grads if name not in parameters]
        if unknown:
            raise ValueError(f"grads: the layer has no parameters {', '.join(unknown)}")
        frozen = [name for name in self.names if not parameters[name].flags.writeable]
        if frozen:
            raise ValueError(f"layer: these parameters are read-only arrays: {', '.join(frozen)}")
        for name in self.names:
            if np.shape(grads[name]) != parameters[name].shape:
                raise ValueError(
                    f"grads: that of {name} must have shape {parameters[name].shape}, got "
                    f"{np.shape(grads[name])}"
                )

    # ---- state ----------------------------------------------------------------------------------
    def state_dict(self):
        """Everything that the next step depends on besides parameters and gradients, in copies.

        Returns
        -------
        dict
            ``"kind"``, ``"steps"``, the settings, and arrays named ``"slot/parameter"``.
        """
        state = {"kind": type(self).__name__, "steps": self.steps}
        state |= {name: getattr(self, name) for name in self.settings}
        for slot, arrays in self._state.items():
            state |= {f"{slot}/{name}": array.copy() for name, array in arrays.items()}
        return state

    def load_state_dict(self, state):
        """Take over a state that `state_dict` gave.

        Parameters
        ----------
        state : dict

        Returns
        -------
        Optimizer
            This one.

        Raises
        ------
        ValueError
            Where it is that of another kind of optimizer or of other parameters; then nothing has changed.
        """
        own = self.state_dict()
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected what state_dict gives, got {type(state).__name__}")
        if state.get("kind") != own["kind"]:
            raise ValueError(f"state: is that of {state.get('kind')}, needed {own['kind']}")
        problems = [f"missing: {name}" for name in own if name not in state]
        problems += [f"unexpected: {name}" for name in state if name not in own]
        problems += [
            f"misshapen: {name} is {np.shape(state[name])}, needed {np.shape(own[name])}"
            for name in own
            if name in state and np.shape(state[name]) != np.shape(own[name])
        ]
        if problems:
            raise ValueError("state: does not fit this optimizer:\n  " + "\n  ".join(problems))
        restored = {
            slot: {name: np.array(state[f"{slot}/{name}"], array.dtype) for name, array in arrays.items()}
            for slot, arrays in self._state.items()
        }
        steps = as_integer(state["steps"], 'state["steps"]', 0)
        settings = {name: as_real(state[name], f"state[{name!r}]", 0) for name in self.settings}
        self._state, self.steps = restored, steps
        for name, value in settings.items():
            setattr(self, name, value)
        return self

    def __repr__(self):
        shown = ", ".join(f"{name}={getattr(self, name):g}" for name in self.settings)
        return f"{type(self).__name__}({shown}, steps={self.steps}, parameters={len(self.names)})"


def _wide(array):
    """The type to compute in: single precision at least, so that small steps are not lost before the end."""
    return np.promote_types(array.dtype, np.float32)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

        ``v = momentum*v + grad``, then ``parameter = (1 - lr*weight_decay)*parameter - lr*v``.

        Parameters
        ----------
        layer : dsconv.nn.Layer
            Whose parameters change, in place.
        lr : float
            At least 0.
        momentum : float, optional
            From 0 to less than 1.
        weight_decay : float, optional
            At least 0; decoupled from the gradient.
        only : callable, optional
            ``only(name)`` says whether a parameter is trained; all are if not given.

        Raises
        ------
        ValueError, TypeError
            For a number out of range, or where no parameter is chosen.

        References
        ----------
        .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
           ICML 2013.

        Examples
        --------
        >>> from collections.abc import Mapping

    import numpy as np
        >>> from dsconv import nn
        >>> from dsconv.training import SGD
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> layer.weight[...] = 1
        >>> optimizer = SGD(layer, 0.5, momentum=0.9)
        >>> for _ in range(2):
        ...     optimizer.step({"weight": np.ones((1, 1))})
        >>> round(float(layer.weight[0, 0]), 6)
        -0.45
    """

    settings = ("lr", "momentum", "weight_decay")

    def __init__(self, layer, lr, momentum=0.0, *, weight_decay=0.0, only=None):
        self.momentum = as_real(momentum, "momentum", 0)
        if self.momentum >= 1:
            raise ValueError(f"momentum: must be less than 1, got {momentum!r}")
        self.slots = ("velocity",) if self.momentum else ()
        super().__init__(layer, lr, weight_decay, only)

    def update(self, gradient, *kept):
        if not kept:
            return (gradient,)
        velocity = self.momentum * kept[0] + gradient
        return velocity, velocity


class Adam(Optimizer):
    """Adam with decoupled weight decay.

        Parameters
        ----------
        layer : dsconv.nn.Layer
            Whose parameters change, in place.
        lr : float, optional
            At least 0.
        weight_decay : float, optional
            At least 0. Each step multiplies parameters by ``1 - lr*weight_decay`` [2]_.
        betas : (float, float), optional
            How much of the running means of gradients and of their squares is kept, from 0 to less than 1.
        eps : float, optional
            Added to the root, more than 0.
        only : callable, optional
            ``only(name)`` says whether a parameter is trained; all are if not given.

        Raises
        ------
        ValueError, TypeError
            For a number out of range, or where no parameter is chosen.

        References
        ----------
        .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv:1412.6980.
        .. [2] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101.

        Examples
        --------
        >>> from collections.abc import Mapping

    import numpy as np
        >>> from dsconv import nn
        >>> from dsconv.training import Adam
        >>> layer = nn.Linear(1, 1, bias=False, dtype=float)
        >>> layer.weight[...] = 1
        >>> Adam(layer, 0.125).step({"weight": np.full((1, 1), 1e4)})
        >>> round(float(layer.weight[0, 0]), 6)
        0.875
    """

    slots = ("first", "second")
    settings = ("lr", "weight_decay", "beta1", "beta2", "eps")

    def __init__(self, layer, lr=1e-3, weight_decay=0.0, *, betas=(0.9, 0.999), eps=1e-8, only=None):
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas: expected two numbers, got {betas!r}")
        self.beta1, self.beta2 = (as_real(each, f"betas[{i}]", 0) for i, each in enumerate(betas))
        if max(self.beta1, self.beta2) >= 1:
            raise ValueError(f"betas: must be less than 1, got {betas!r}")
        self.eps = as_real(eps, "eps", above=0)
        super().__init__(layer, lr, weight_decay, only)

    def update(self, gradient, first, second):
        square = np.square(np.abs(gradient)).astype(second.dtype, copy=False)
        first = self.beta1 * first + (1 - self.beta1) * gradient
        second = self.beta2 * second + (1 - self.beta2) * square
        count = self.steps + 1
        mean, power = first / (1 - self.beta1**count), second / (1 - self.beta2**count)
        return mean / (np.sqrt(power) + self.eps), first, second
