"""The pickles of PyTorch's checkpoints, interpreted here: tensors and containers, and nothing that runs.

Python's own unpickler calls what a pickle names, and hashes whatever it takes for a key, in C. This one
knows the opcodes that containers, numbers and tensors need, a handful of names that stand for tensors, and
counts its steps. What comes out may hold itself or grow like 2^n when walked through, so nobody may print,
compare or hash more of it than numbers and strings.
"""

import pickletools
from typing import NamedTuple

MOST_BYTES = 1 << 26  # of one pickle
_MOST_STEPS = 1_000_000  # a tensor takes about 30
MOST_AXES = 64  # NumPy's limit
_KEYS = (str, int, float, bool, bytes, type(None))  # whatever is quick to hash

# the storage classes, by the data type of their elements; bfloat16 by its name
STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?", "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16",
}  # fmt: skip


class Name(NamedTuple):
    """An admitted name of a module: what it makes, and for a storage class the data type."""

    makes: str
    dtype: str = ""


class Storage(NamedTuple):
    """Where the elements of tensors are."""

    key: str
    dtype: str
    count: int


class Tensor(NamedTuple):
    """A tensor whose elements have not been read."""

    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


_ADMITTED = {
    ("collections", "OrderedDict"): Name("dict"),
    ("torch", "Size"): Name("tuple"),
    ("torch._utils", "_rebuild_tensor"): Name("tensor"),
    ("torch._utils", "_rebuild_tensor_v2"): Name("tensor"),
    ("torch._utils", "_rebuild_parameter"): Name("parameter"),
}
_ADMITTED |= {
    (module, name): Name("storage", dtype)
    for module in ("torch", "torch.cuda")
    for name, dtype in STORAGES.items()
}


def interpreted(file, size, storages=None):
    """What one pickle says.

    Parameters
    ----------
    file : file
        Left behind the pickle.
    size : int
        Bytes from here on.
    storages : dict, optional
        Gets the storages that the pickle names, by their keys.

    Returns
    -------
    object
        Of dicts, lists, tuples, numbers, strings, None, and `Tensor` and `Storage` for PyTorch's.

    Raises
    ------
    ValueError
        For a damaged pickle, and for one that asks for anything else.
    """
    machine = _Machine({} if storages is None else storages)
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file, size))):
            if step > _MOST_STEPS:
                raise ValueError(f"the pickle has more than {_MOST_STEPS} steps")
            if opcode.name in _CONSTANTS:
                machine.stack.append(argument)
            elif opcode.name in _OPCODES:
                _OPCODES[opcode.name](machine, argument)
            else:
                raise ValueError(f"the pickle has the opcode {opcode.name}, which weights do not need")
        return machine.stack.pop()
    except (IndexError, KeyError) as error:
        raise ValueError(f"the pickle takes what it did not put: {error}") from error


class _Bounded:
    """A file up to some size, so that a claimed length allocates no more than there is."""

    def __init__(self, file, size):
        self._file, self._left = file, min(size, MOST_BYTES)

    def read(self, count):
        return self._taken(self._file.read(max(min(count, self._left), 0)))

    def readline(self):
        return self._taken(self._file.readline(self._left))

    def _taken(self, data):
        self._left -= len(data)
        return data


class _Machine:
    """The stack, the stacks below its marks, and the memo."""

    def __init__(self, storages):
        self.stack, self.below, self.memo = [], [], {}
        self.storages = storages

    def top(self, kind):
        if type(self.stack[-1]) is not kind:
            raise ValueError(
                f"the pickle fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}"
            )
        return self.stack[-1]

    def since_mark(self):
        items, self.stack = self.stack, self.below.pop()
        return items

    def some(self, count):
        """The last items of the stack, which are taken away."""
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items


# ---- the opcodes --------------------------------------------------------------------------------
_CONSTANTS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip


def _mark(machine, _):
    machine.below.append(machine.stack)
    machine.stack = []


def _put(machine, index):
    machine.memo[index] = machine.stack[-1]


def _stack_global(machine, _):
    machine.stack.append(_admitted(*machine.some(2)))


def _admitted(module, name):
    if not isinstance(module, str) or not isinstance(name, str):
        raise ValueError("the pickle names something by what is no string")
    if (module, name) not in _ADMITTED:
        raise ValueError(
            f"the pickle asks for {module}.{name}; only tensors, numbers, strings and containers are "
            "admitted, and nothing has been run. If the file is yours, save its state_dict() alone"
        )
    return _ADMITTED[module, name]


def _append(machine, items):
    machine.top(list).extend(items)


def _set_items(machine, items):
    target = machine.top(dict)
    if len(items) % 2:
        raise ValueError("the pickle has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) not in _KEYS:
            raise ValueError(f"the pickle has a dict with a key of the type {type(key).__name__}")
        target[key] = value


def _build(machine, _):
    # PyTorch keeps version numbers in an attribute of the dict
    machine.some(1)
    machine.top(dict)


def _persistent(machine, _):
    """A storage, which PyTorch names by ``("storage", class, key, device, count)``, and formerly a view."""
    (name,) = machine.some(1)
    if type(name) is not tuple or len(name) not in (5, 6) or (len(name) == 6 and name[5] is not None):
        raise ValueError("the pickle has a persistent id that is no storage")
    word, cls, key, device, count = name[:5]
    kinds = [type(each) for each in (word, cls, key, device, count)]
    if kinds != [str, Name, str, str, int] or word != "storage" or cls.makes != "storage":
        raise ValueError("the pickle has a persistent id that is no storage")
    storage = Storage(key, cls.dtype, count)
    if machine.storages.setdefault(key, storage) != storage or count < 0:
        raise ValueError(f"the pickle has two sizes or types of the storage {key!r:.40}, or a negative one")
    machine.stack.append(storage)


def _reduce(machine, _):
    function, arguments = machine.some(2)
    if type(function) is not Name or type(arguments) is not tuple or function.makes not in _MAKERS:
        raise ValueError("the pickle calls what is no function, or without a tuple of arguments")
    machine.stack.append(_MAKERS[function.makes](*arguments[:4]))


# ---- what calls make ----------------------------------------------------------------------------
def _dict(*arguments):
    # with pairs, which may be the same long list again and again, it would grow faster than the pickle
    if arguments:
        raise ValueError("the pickle makes an OrderedDict with arguments, which is not what PyTorch writes")
    return {}


def _size(lengths=None, *_):
    if type(lengths) is not tuple or len(lengths) > MOST_AXES:
        raise ValueError(f"the pickle makes a torch.Size of what is no tuple of at most {MOST_AXES} lengths")
    return lengths


def _tensor(storage=None, offset=None, shape=None, strides=None):
    if [type(each) for each in (storage, offset, shape, strides)] != [Storage, int, tuple, tuple]:
        raise ValueError(
            "the pickle makes a tensor of something else than storage, offset, shape and strides"
        )
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor=None, *_):
    if type(tensor) is not Tensor:
        raise ValueError("the pickle makes a parameter of what is no tensor")
    return tensor


_MAKERS = {"dict": _dict, "tuple": _size, "tensor": _tensor, "parameter": _parameter}


def _pushes(make):
    def push(machine, _):
        made = make(machine)  # which may change the stack for another
        machine.stack.append(made)

    return push


_OPCODES = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": _mark,
    "NONE": _pushes(lambda machine: None),
    "NEWTRUE": _pushes(lambda machine: True),
    "NEWFALSE": _pushes(lambda machine: False),
    "EMPTY_DICT": _pushes(lambda machine: {}),
    "EMPTY_LIST": _pushes(lambda machine: []),
    "EMPTY_TUPLE": _pushes(lambda machine: ()),
    "TUPLE1": _pushes(lambda machine: tuple(machine.some(1))),
    "TUPLE2": _pushes(lambda machine: tuple(machine.some(2))),
    "TUPLE3": _pushes(lambda machine: tuple(machine.some(3))),
    "TUPLE": _pushes(lambda machine: tuple(machine.since_mark())),
    "APPEND": lambda machine, _: _append(machine, machine.some(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set_items(machine, machine.some(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "GLOBAL": lambda machine, name: machine.stack.append(_admitted(*name.split(" ", 1))),
    "STACK_GLOBAL": _stack_global,
    "BUILD": _build,
    "BINPERSID": _persistent,
    "REDUCE": _reduce,
}
