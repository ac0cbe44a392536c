"""LSTM and GRU as operators of the evaluator."""

import numpy as np

from ..nn.windows import activate
from .onnx_convolution import Operator
from .onnx_graph import attributes_of


class _Recurrent(Operator):
    """What both share: directions, layouts, the input's part of the gates in one product."""

    gates = 0

    def run(self, x, weight, recurrent, bias=None, lengths=None, *states, **_):
        first = self.given("layout", 0) == 1
        x = x.swapaxes(0, 1) if first else x
        if lengths is not None and (lengths != len(x)).any():
            raise NotImplementedError(
                f"sequence_lens: {self.op_type} runs sequences of one length, got {lengths}"
            )
        steps, batch, directions, hidden = len(x), x.shape[1], len(weight), recurrent.shape[-1]
        y = np.empty((steps, directions, batch, hidden), x.dtype)
        last = []
        for direction in range(directions):
            states_in = [self._state(state, direction, batch, hidden, x.dtype, first) for state in states[:2]]
            states_in += [np.zeros((batch, hidden), x.dtype)] * (2 - len(states_in))
            width = self.gates * hidden
            both = np.zeros(2 * width, x.dtype) if bias is None else bias[direction]
            order = range(steps - 1, -1, -1) if self._backward(direction) else range(steps)
            arrays = x @ weight[direction].T + both[:width], recurrent[direction], both[width:]
            last.append(self.steps(order, *arrays, states_in, y[:, direction]))
        finals = [np.stack(each, axis=int(first)) for each in zip(*last, strict=True)]
        return (y.transpose(2, 0, 1, 3) if first else y, *finals)

    def _backward(self, direction):
        return direction == 1 or self.given("direction", "forward") == "reverse"

    def _state(self, state, direction, batch, hidden, dtype, first):
        if state is None:
            return np.zeros((batch, hidden), dtype)
        return state[:, direction] if first else state[direction]

    def steps(self, order, inputs, recurrent, bias, states, y):
        """Run through a sequence; the results go into y, the last states come back."""
        raise NotImplementedError(type(self).__name__)


class LSTM(_Recurrent):
    """Long short-term memory, gates in ONNX's order: input, output, forget, cell."""

    gates = 4

    def steps(self, order, inputs, recurrent, bias, states, y):
        hidden, cell = states
        size, turned = hidden.shape[-1], recurrent.T
        inputs = inputs + bias
        for step in order:
            gates = hidden @ turned
            gates += inputs[step]
            opened = activate("sigmoid", gates[:, : 3 * size])
            cell = opened[:, 2 * size :] * cell + opened[:, :size] * np.tanh(gates[:, 3 * size :])
            hidden = opened[:, size : 2 * size] * np.tanh(cell)
            y[step] = hidden
        return hidden, cell


class GRU(_Recurrent):
    """Gated recurrent unit, gates in ONNX's order: update, reset, hidden."""

    gates = 3

    def steps(self, order, inputs, recurrent, bias, states, y):
        hidden, size = states[0], states[0].shape[-1]
        turned, after = recurrent.T, self.given("linear_before_reset", 0)
        for step in order:
            part = inputs[step]
            both = activate(
                "sigmoid", hidden @ turned[:, : 2 * size] + bias[: 2 * size] + part[:, : 2 * size]
            )
            update, reset = both[:, :size], both[:, size:]
            if after:
                candidate = reset * (hidden @ turned[:, 2 * size :] + bias[2 * size :])
            else:
                candidate = (reset * hidden) @ turned[:, 2 * size :] + bias[2 * size :]
            candidate = np.tanh(candidate + part[:, 2 * size :])
            hidden = (1 - update) * candidate + update * hidden
            y[step] = hidden
        return (hidden,)


_PLAIN = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


def recurrent_rule(graph, node):
    """Those with the usual activations, without peepholes, clipping and coupled gates."""
    given = attributes_of(node)
    names = [each.decode() for each in given.get("activations", [])]
    plain = _PLAIN[node.op_type]
    usual = not names or names in (plain, plain * 2)
    odd = given.get("clip") or given.get("input_forget") or (len(node.input) > 7 and node.input[7])
    return {} if usual and not odd else None


RECURRENT = {"GRU": GRU, "LSTM": LSTM}
