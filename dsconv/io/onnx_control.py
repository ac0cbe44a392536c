"""If and Loop as operators of the evaluator, whose own Loop joins the rounds along the wrong axis."""

import numpy as np

from .onnx_convolution import Operator


class If(Operator):
    """One of two graphs, which see the values around them."""

    def need_context(self):
        return True

    def run(self, condition, context=None, **_):
        branch = self.then_branch if condition.item() else self.else_branch
        return tuple(branch.run(None, context))


class Loop(Operator):
    """A graph run again and again, on what it gave the time before."""

    def need_context(self):
        return True

    def run(self, most, going, *carried, context=None, **_):
        index, condition, *names = self.body.input_names
        most = None if most is None else int(most.item())
        going = going is None or bool(going.item())
        rounds, count = [], 0
        while going and (most is None or count < most):
            feeds = {index: np.array(count, np.int64), condition: np.array(going)}
            feeds |= zip(names, carried, strict=True)
            going, *results = self.body.run(None, {**context, **feeds})
            going, carried, count = bool(going.item()), results[: len(names)], count + 1
            rounds.append(results[len(names) :])
        if rounds:
            return (*carried, *(np.stack(each) for each in zip(*rounds, strict=True)))
        more = len(self.body.output_names) - 1 - len(names)
        return (*carried, *(np.empty(0, np.float32) for _ in range(more)))


CONTROL = {"If": If, "Loop": Loop}
