"""Layers made ready to run: folded, and their calls replayed."""

import numpy as np

from .layer import Layer
from .plan import Plan
from .tape import LayoutChanged, Tape

__all__ = ["Compiled"]

_PLANS_MOST = 8  # layouts of inputs that are remembered


class Compiled(Layer):
    """A folded layer whose calls are replayed: for inference on inputs of one shape again and again.

    The first call with a shape and a dtype writes down which kernels run on which memory. Later calls run
    these and nothing else: arguments are not looked at again, no memory is asked for but the result's, what
    layers hand on to each other has its fixed place in a block as small as their lives allow, and pointwise
    weights lie in the order in which they are read. Results are those of the folded layer, to the bit.

    Parameters
    ----------
    layer : Layer
        It is folded (see `Layer.fold`), and stays as it is.

    Attributes
    ----------
    layer : Layer
        The folded layer. Its arrays are read-only, for calls read copies of pointwise weights in another
        order; nor do they notice when an array or a layer has been replaced. What has been trained on is
        compiled again.

    Raises
    ------
    TypeError
        Where `layer` is no `Layer`. Calls raise what those of the layer raise.

    Notes
    -----
    Convolutions, linear layers, sums, global means and activations are replayed; other layers, and those of
    your own, are called in between as ever, with arrays that they may keep. The block of memory is kept for
    each of the last eight shapes, one for each thread that calls at the same time. In training mode, with
    context keywords and for anything but an ndarray, a call is the layer's own, as gradients always are.

    See Also
    --------
    Layer.compile : makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import models
    >>> net = models.mobilenet_v2(num_classes=10, width=0.25, rng=0)
    >>> fast = net.compile()
    >>> x = np.ones((1, 3, 32, 32), np.float32)
    >>> fast(x).shape, bool(np.array_equal(fast(x), net.fold()(x)))
    ((1, 10), True)
    """

    def __init__(self, layer):
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a Layer, got {type(layer).__name__}")
        self.__setstate__({"layer": layer.fold(), "input_shape": layer.input_shape, "training": False})

    def __call__(self, x, **context):
        if context or self.training or type(x) is not np.ndarray:
            return self.layer(x, **context)
        flags = x.flags
        if not (flags.c_contiguous and flags.aligned):
            x = np.require(x, requirements="CA")
        plan = self._plans.get((x.shape, x.dtype))
        if plan is None:
            return self._write_down(x)
        try:
            return plan(x)
        except LayoutChanged:
            return self.layer(x)

    def _write_down(self, x):
        """The result of a call, and a plan for those to come."""
        tape = Tape(x, self._packed)
        y = self.layer.traced(tape, x)
        plans = {**self._plans, (x.shape, x.dtype): Plan(tape, y)}
        # replaced, not changed: other threads may be looking
        self._plans = dict(list(plans.items())[-_PLANS_MOST:])
        return y

    def traced(self, tape, x):
        return super().traced(tape, x) if self.training else self.layer.traced(tape, x)

    def vjp(self, x, **context):
        return self.layer.vjp(x, **context)

    def output_shape(self, shape, **context):
        return self.layer.output_shape(shape, **context)

    def uses(self, shape, **context):
        return [("layer", self.layer, shape)]

    def field(self):
        return self.layer.field()

    def folded(self):
        self._set_writeable(True)
        return self.layer.folded()

    def streamed(self, name):
        return self.layer.streamed(f"{name}.layer")

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in ("_plans", "_packed")}

    def __setstate__(self, state):
        self.__dict__.update(state, _plans={}, _packed={})
        self._set_writeable(False)

    def _set_writeable(self, value):
        for array in (self.parameters | self.buffers).values():
            array.flags.writeable = value
