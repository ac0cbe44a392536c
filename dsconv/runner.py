"""Running a function: arguments in, one call of a cached ufunc, the result out.

There is one implementation for all operations. A call whose geometry is plain ints and strings takes a short
way: one dictionary lookup by the arguments as they came, then the ufunc. What is wrong with a call is found
out after the ufunc has refused it, in `diagnosis`.
"""

from math import prod

from numpy import asarray

from . import _core, gufuncs

_SHORTCUTS = 256


class Runner:
    """One forward operation at one rank."""

    counted = None  # the keyword that follows from the arrays

    def __init__(self, operation, rank):
        operands = gufuncs.OPERATIONS[operation].operands
        roles = [operand.role for operand in operands]
        self.operation = operation
        self.rank = rank
        self.required = [operand for operand in operands if not operand.optional]
        self.optional = [operand for operand in operands if operand.optional]
        self.depthwise = roles.index("depthwise_weight") if "depthwise_weight" in roles else None
        self.pointwise = roles.index("pointwise_weight") if "pointwise_weight" in roles else None
        # PyTorch keeps a transposed convolution's filters in another form, which is the native one
        self.transposed = "_transpose" in operation
        self.shortcuts = {}
        keywords = [each for each in gufuncs.OPERATIONS[operation].keywords if each != self.counted]
        counts = len(self.required), len(self.optional), len(keywords)
        # takes arguments in a row, those of dense arrays to ufuncs in `shortcuts`, others to `run`
        self.quick_run = _core.make_shortcut(self.shortcuts, self.run, *counts)

    def run(self, inputs, optional, keywords, out, dtype, casting):
        present, bit = 0, 1
        for argument in optional:
            if argument is not None:
                inputs.append(argument)
                present += bit
            bit += bit
        key = present, keywords
        plain = _core.is_plain_key(keywords)
        ufunc, channel_axis = (self.shortcuts.get(key) if plain else None) or self.resolve(key, plain)
        try:
            self.adapt(inputs, channel_axis)
        except AttributeError:
            self.convert(inputs, present)
            self.adapt(inputs, channel_axis)
        try:
            if out is None and dtype is None and casting == "same_kind":
                return ufunc(*inputs)
            return ufunc(*inputs, **_options(out, dtype, casting))
        except (TypeError, ValueError) as error:
            better = self.explain(inputs, key, out, dtype, casting)
            if better is None:
                raise
            try:
                raise better from error
            finally:
                del better  # its traceback holds this frame: only the garbage collector would free the arrays

    def resolve(self, key, plain):
        """The slow way to the ufunc, remembered for the next call if the key is safe."""
        spec = self.canonical(*key)
        found = gufuncs.ufunc_of(spec), -1 if spec.channels_last else -self.rank - 1
        if plain:
            if len(self.shortcuts) >= _SHORTCUTS:
                self.shortcuts.clear()
            self.shortcuts[key] = found
        return found

    def canonical(self, present, keywords):
        names = gufuncs.OPERATIONS[self.operation].keywords
        roles = {operand.role for operand in self.operands(present) if operand.optional}
        return gufuncs.canonical(self.operation, self.rank, dict(zip(names, keywords, strict=True)), roles)

    def operands(self, present):
        """The operands that are inputs of the ufunc; `present` has one bit for each optional one."""
        return self.required + [
            operand for position, operand in enumerate(self.optional) if present >> position & 1
        ]

    def adapt(self, inputs, channel_axis):
        """Weights in PyTorch's form become native views; whatever does not fit is left to the ufunc."""
        try:
            channels, rank = inputs[0].shape[channel_axis], self.rank
            if self.depthwise is not None:
                weight = inputs[self.depthwise]
                if not self.transposed and weight.shape[-rank - 2] != channels:
                    inputs[self.depthwise] = weight = native_depthwise(weight, rank, channels)
                channels *= weight.shape[-rank - 1]
            if self.pointwise is not None and len(inputs[self.pointwise].shape) != 2:
                inputs[self.pointwise] = native_pointwise(inputs[self.pointwise], rank, channels)
        except IndexError:
            pass

    def convert(self, inputs, present):
        """Lists and the like become arrays; what behaves as one stays what it is."""
        for position, operand in enumerate(self.operands(present)):
            if not hasattr(inputs[position], "reshape"):
                try:
                    inputs[position] = asarray(inputs[position])
                except ValueError as error:
                    raise ValueError(f"{operand.argument}: cannot be made into an array: {error}") from error

    def explain(self, inputs, key, out, dtype, casting):
        from . import diagnosis

        operands = self.operands(key[0])
        return diagnosis.explain(self.canonical(*key), operands, inputs, out, dtype, casting)


class InputGradientRunner(Runner):
    """An input gradient: its weight has no leading axes, which would need a sum over them."""

    def adapt(self, inputs, channel_axis):
        _, shape = [each.shape for each in inputs]
        if len(shape) > (2 if self.depthwise is None else self.rank + 2):
            raise ValueError(self.refusal(shape))

    def refusal(self, shape):
        form = "(O, C)" if self.depthwise is None else f"(C, M, {', '.join('tij'[-self.rank :])})"
        message = f"weight: a gradient takes no leading axes: expected shape {form}, got {shape}"
        if self.depthwise is None and shape[2:] == (1,) * self.rank:
            message += f"; PyTorch's form is not taken here: weight.reshape{shape[:2]}"
        return message


class WeightGradientRunner(Runner):
    """A weight gradient: all leading axes are core axes of the ufunc, which sums over them."""

    counted = "batch_axes"

    def run(self, inputs, optional, keywords, out, dtype, casting):
        try:
            shapes = [each.shape for each in inputs]
        except AttributeError:
            self.convert(inputs, 0)
            shapes = [each.shape for each in inputs]
        batch, given = [shape[: max(len(shape) - self.rank - 1, 0)] for shape in shapes]
        if batch != given and min(map(len, shapes)) > self.rank:
            raise ValueError(
                f"grad_output: the leading axes must be those of x, which are summed over: expected {batch}, "
                f"got {given}"
            )
        inputs, count = merge_batch(inputs, len(batch), self.rank)
        return super().run(inputs, optional, (*keywords, count), out, dtype, casting)

    def adapt(self, inputs, channel_axis):
        pass


def merge_batch(arrays, count, rank):
    """The arrays and their number of batch axes, those of a ufunc's limit beyond it made into one."""
    if count <= gufuncs.BATCH_AXES_MOST:
        return list(arrays), count
    return [each.reshape(prod(each.shape[:count]), *each.shape[-rank - 1 :]) for each in arrays], 1


def _options(out, dtype, casting):
    options = {"casting": casting}
    if out is not None:
        options["out"] = out
    if dtype is not None:
        options["dtype"] = dtype
    return options


# ---- weights in PyTorch's form -------------------------------------------------------------------
def native_depthwise(weight, rank, channels):
    """`weight` as (..., C, M, *kernel), which PyTorch stores as (C*M, 1, *kernel): a view."""
    shape = weight.shape
    rows = shape[-rank - 2]
    if rows == channels or shape[-rank - 1] != 1 or channels == 0 or rows % channels:
        return weight
    return weight.reshape((*shape[: -rank - 2], channels, rows // channels, *shape[-rank:]))


def native_pointwise(weight, rank, channels):
    """`weight` as (O, K), which PyTorch stores as (O, K, 1, ...): a view.

    Leading axes go with the native form only: that is what (L, 1, 1, 1) would otherwise be.
    """
    shape = weight.shape
    if len(shape) == rank + 2 and shape[1] == channels and shape[2:] == (1,) * rank:
        return weight.reshape(shape[:2])
    return weight
