"""Files made to harm: each is refused with an error, runs nothing and allocates nothing large."""

import os
import pickle
import struct

import pytest

import dsconv as ds

from . import checkpoints as made
from .checkpoints import check_little_memory, check_refused, limits_memory, zipped

HUGE = 2**60
FORMS = [made.archive, made.row]


def one(shape=(4,), strides=None, offset=0, **words):
    """A state dict of one tensor."""
    return made.mapping({"x": made.tensor(made.storage("0", **words), shape, strides, offset)})


def with_record(form, body, data=bytes(16), count=4):
    return form(body, {"0": data if form is made.archive else (count, data)})


class Runs:
    """Its pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def python_pickle(value):
    """What Python's pickle makes of a value, without header and end."""
    return pickle.dumps(value, 2)[2:-1]


# ---- pickles that ask for something else ------------------------------------------------------------
CALLS = {
    "posix.system": made.call(made.name("posix", "system"), made.items(made.text("touch FILE"))),
    "os.system": made.call(made.name("os", "system"), made.items(made.text("touch FILE"))),
    "builtins.eval": made.call(made.name("builtins", "eval"), made.items(made.text("1"))),
    "builtins.getattr": made.name("builtins", "getattr"),
    "functools.partial": made.call(made.name("functools", "partial"), made.items(made.name("os", "system"))),
    "numpy.core.multiarray.scalar": made.name("numpy.core.multiarray", "scalar"),
    "torch.load": made.name("torch", "load"),
    "torch.nn.modules.linear.Linear": made.name("torch.nn.modules.linear", "Linear"),
    "torch._utils._rebuild_tensor_v2.__globals__": made.name(
        "torch._utils", "_rebuild_tensor_v2.__globals__"
    ),
    "torch.FloatStorage.__init__": made.name("torch", "FloatStorage.__init__"),
    "collections.OrderedDict.fromkeys": made.name("collections", "OrderedDict.fromkeys"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CALLS)
def test_code_is_refused_by_name(tmp_path, monkeypatch, form, name):
    monkeypatch.chdir(tmp_path)
    # partial's argument is met before partial is called; where it is, the name is that of the argument
    body = made.mapping({"state_dict": one(), "x": CALLS[name]})
    (tmp_path / "w.pth").write_bytes(with_record(form, body))
    with pytest.raises(ValueError, match=rf"the pickle asks for {name}; only tensors"):
        ds.io.load("w.pth")
    assert os.listdir(tmp_path) == ["w.pth"]


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_python_are_refused(tmp_path, monkeypatch, protocol):
    """Of every protocol: functions by name and by two strings, text opcodes, extensions."""
    monkeypatch.chdir(tmp_path)
    for value in Runs(os.system, "touch FILE"), Runs(eval, "open('FILE', 'w')"), {"x": Runs(exec, "1 / 0")}:
        data = pickle.dumps(value, protocol)
        for content in (data, zipped({"model/data.pkl": data})):
            (tmp_path / "w.pth").write_bytes(content)
            with pytest.raises(ValueError, match="the pickle (asks for|has the opcode)"):
                ds.io.load("w.pth")
    assert os.listdir(tmp_path) == ["w.pth"]


STORAGE, V2 = made.storage("0"), made.name("torch._utils", "_rebuild_tensor_v2")
SIZE = made.name("torch", "Size")
SIZES = made.items(made.number(4)), made.items(made.number(1))
NOTES = {  # a name, the body of a pickle, and a part of the message
    "stack_global": (made.text("os") + made.text("system") + b"\x93", "asks for os.system"),
    "stack_global of numbers": (made.number(1) * 2 + b"\x93", "by what is no string"),
    "newobj": (made.name("collections", "OrderedDict") + b")\x81", "opcode NEWOBJ"),
    "instance": (b"(ios\nsystem\n", "opcode INST"),
    "extension": (b"\x82\x01", "opcode EXT1"),
    "persistent id as text": (b"P0\n", "opcode PERSID"),
    "buffer": (b"\x97", "opcode NEXT_BUFFER"),
    "reduce of a string": (made.call(made.text("os")), "calls what is no function"),
    "reduce of a storage class": (made.call(made.name("torch", "FloatStorage")), "calls what is no function"),
    "reduce without a tuple": (made.call(V2, b"]"), "calls what is no function"),
    "reduce with a tensor": (made.call(V2, made.tensor(STORAGE, (4,))), "calls what is no function"),
    "tensor of nothing": (made.call(V2), "makes a tensor of something else"),
    "tensor of text": (made.call(V2, made.items(made.text("0"), made.number(0), *SIZES)), "makes a tensor"),
    "tensor at a float": (made.call(V2, made.items(STORAGE, b"G" + bytes(8), *SIZES)), "makes a tensor"),
    "parameter of a list": (made.parameter(b"]"), "a parameter of what is no tensor"),
    "size of a list": (made.call(SIZE, made.items(b"]")), "makes a torch.Size"),
    "size of 65": (made.call(SIZE, made.items(made.items(*[b"K\x01"] * 65))), "at most 64"),
    "dict of pairs": (made.call(made.name("collections", "OrderedDict"), made.items(b"]")), "with arguments"),
    "nested persistent id": (made.items(STORAGE) + b"Q", "persistent id that is no storage"),
    "persistent id of a number": (made.number(1) + b"Q", "persistent id that is no storage"),
    "persistent id of a module": (made.storage("0", part_0=made.text("module")), "no storage"),
    "persistent id in a key": (made.storage("0", part_2=STORAGE), "no storage"),
    "persistent id with a function": (made.storage("0", part_1=V2), "no storage"),
    "persistent id with True": (made.storage("0", part_4=b"\x88"), "no storage"),
    "two sizes of a storage": (STORAGE + made.storage("0", count=5), "two sizes or types"),
    "two types of a storage": (STORAGE + made.storage("0", "IntStorage"), "two sizes or types"),
    "negative storage": (made.storage("0", count=-1), "negative"),
    "build of a tensor": (made.tensor(STORAGE, (4,)) + b"}b", "fills a Tensor as if it were a dict"),
    "items of a list": (b"]" + made.text("a") * 2 + b"s", "fills a list as if it were a dict"),
    "append to a dict": (b"}Na", "fills a dict as if it were a list"),
    "key without value": (b"}(Nu", "key without a value"),
    "tuple as a key": (b"})Ns", "key of the type tuple"),
    "tensor as a key": (b"}" + made.tensor(STORAGE, (4,)) + b"Ns", "key of the type Tensor"),
    "empty stack": (b"0", "opcode POP"),
    "no mark": (b"t", "takes what it did not put"),
    "nothing": (b"", "takes what it did not put"),
    "memo": (b"h\x07", "takes what it did not put"),
    "no function": (b"R", "takes what it did not put"),
    "bad string": (b"X\x01\x00\x00\x00\xff", "cannot be read as weights"),
    "long string": (b"\x8d" + struct.pack("<Q", HUGE), "cannot be read as weights"),
    "long integer": (b"\x8b\xff\xff\xff\x7f", "cannot be read as weights"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NOTES)
def test_other_pickles(tmp_path, form, name):
    body, message = NOTES[name]
    check_refused(tmp_path, form(body), message)


# ---- bombs --------------------------------------------------------------------------------------
# pickles that double, nest or count without end
BOMBS = {
    # the hash of its key would take 2^60 steps, and so would a walk through it
    "doubled tuples": b")" + b"".join(b"q\x01h\x01\x86" for _ in range(60)) + b"Ns",
    "doubled dicts": b"}"
    + b"".join(b"q\x01" + made.mapping({"a": b"h\x01", "model": b"h\x01"}) for _ in range(60)),
    "itself": b"}q\x01" + made.text("model") + b"h\x01s",
    "deep tuples": b")" + b"\x85" * 300_000 + b"Ns",
    "deep lists": b"]" * 300_000 + b"a" * 299_999,
    "deep dicts": b"}" * 2 + (b"N}" * 300_000) + b"s" * 300_000,
    "doubled keys of a legacy list": b"]" + b"".join(b"q\x01h\x01\x86" for _ in range(60)),
    "marks": b"(" * 2_000_000,
    "steps": b"}" + b"N0" * 10 + b"NN" * 1_000_000,
    "memo": b"}" + b"\x94" * 1_500_000,
    "sizes": b"(" + b"K\x01" * 400_000 + b"tq\x01" + b"ctorch\nSize\nq\x02h\x01\x85R" * 1000,
    "lists": b"](" + b"N" * 500_000 + b"eq\x01" + b"]h\x01a" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path, name):
    check_refused(tmp_path, made.archive(BOMBS[name]))


# ---- shapes and sizes ---------------------------------------------------------------------------
SHAPES = {
    "beyond": one((5,)),
    "offset": one((4,), offset=1),
    "stride": one((2,), (4,)),
    "huge shape": one((HUGE,)),
    "huge shapes": one((HUGE, HUGE, HUGE), (1, 1, 1)),
    "huge offset": one((1,), offset=2**70),
    "huge stride": one((2,), (2**70,)),
    "huge and empty": one((0, 2**62, 2**62), (1, 1, 1)),
    "stride 0": one((2**40,), (0,)),
    "strides 0": one((2**20, 2**20, 4), (0, 0, 1)),
    "negative stride": one((4,), (-1,), offset=3),
    "negative length": one((-4,), (1,)),
    "negative offset": one((4,), offset=-1),
    "too few strides": one((2, 2), (1,)),
    "65 axes": one((1,) * 65, (1,) * 65),
    "length that is True": made.mapping(
        {"x": made.call(V2, made.items(STORAGE, made.number(0), made.items(b"\x88"), made.items(b"\x88")))}
    ),
    "stride that is a tuple": made.mapping(
        {"x": made.call(V2, made.items(STORAGE, made.number(0), made.items(b"K\x01"), made.items(b")")))}
    ),
    "huge storage": one((4,), count=HUGE),
    "larger storage": one((4,), count=5),
    "smaller storage": one((3,), count=3),
    "wider elements": one((4,), cls="DoubleStorage"),
    "narrower elements": one((4,), cls="HalfStorage"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_checked(tmp_path, form, name):
    check_refused(tmp_path, with_record(form, SHAPES[name]))


def test_doubled_structures_are_never_shown(tmp_path):
    """In the other pickles of a row too: to print or compare one would take 2^60 steps."""
    doubled = b"]" + b"".join(b"q\x01h\x01\x86" for _ in range(60))
    good = [
        made.number(0x1950A86A20F9469CFC6C),
        made.number(1001),
        b"}",
        one(),
        b"](" + made.text("0") + b"e",
    ]
    for place in 0, 1, 3, 4:
        parts = [doubled if each == place else part for each, part in enumerate(good)]
        check_refused(tmp_path, b"".join(map(made.pickled, parts)))


def test_sizes_of_rows_are_checked(tmp_path):
    for count in (5, 3, 0, -1, 2**62, 2**63 - 1):
        check_refused(tmp_path, with_record(made.row, one(), count=count))
    check_refused(tmp_path, with_record(made.row, one(), data=bytes(15)))
    check_refused(tmp_path, made.row(one()), "storage '0' is not in the file")
    check_refused(tmp_path, made.row(one(), {"0": (4, bytes(16))}, keys=["0", "0"]))
    check_refused(tmp_path, made.row(one(), {"0": (4, bytes(16))}, keys=["1"]), "names others")
    check_refused(tmp_path, made.row(one(), {"0": (4, bytes(16))}, protocol=1002), "protocol must be 1001")
    check_refused(tmp_path, made.row(one(), {"0": (4, bytes(16))}, magic=1), "magic number")


# ---- memory and time, in a process of its own -----------------------------------------------------
@limits_memory
def test_little_memory_is_taken(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for form in FORMS:
        bodies = SHAPES | {key: body for key, (body, _) in NOTES.items()}
        for name, body in (bodies | (BOMBS if form is made.archive else {})).items():
            (folder / f"{form.__name__} {name}.pth").write_bytes(with_record(form, body))
    check_little_memory(folder)
