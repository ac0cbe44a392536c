"""Files made to harm: each is refused with an error, runs nothing and allocates nothing large."""

import io
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import dsconv as ds

from . import checkpoints as made

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
        for content in (data, io_archive({"model/data.pkl": data})):
            (tmp_path / "w.pth").write_bytes(content)
            with pytest.raises(ValueError, match="the pickle (asks for|has the opcode)"):
                ds.io.load("w.pth")
    assert os.listdir(tmp_path) == ["w.pth"]


def io_archive(members, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


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


def check_refused(tmp_path, data, message="cannot be read as weights", ending=".pth"):
    path = tmp_path / f"w{ending}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        ds.io.load(path)
    assert len(str(caught.value)) < 1000


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


# ---- archives -----------------------------------------------------------------------------------
GOOD = with_record(made.archive, one())


def directory_field(data, name, offset, value):
    """An archive whose directory has another 4-byte number at that offset of a member's entry."""
    place = data.index(b"PK\x01\x02")
    while data[place + 46 : place + 46 + len(name)] != name:
        place = data.index(b"PK\x01\x02", place + 1)
    return data[: place + offset] + struct.pack("<I", value) + data[place + offset + 4 :]


def test_archives(tmp_path):
    pkl = made.pickled(one())
    for members, message in (
        ({}, "expected one member NAME/data.pkl, got 0"),
        ({"a/data.pkl": pkl, "b/data.pkl": pkl}, "expected one member NAME/data.pkl, got 2"),
        ({"data.pkl": pkl}, "expected one member"),
        ({"a/b/data.pkl": pkl}, "expected one member"),
        ({"a/data.pkl": pkl}, "no member 'a/data/0'"),
        ({"a/data.pkl": pkl, "b/data/0": bytes(16)}, "no member 'a/data/0'"),
        (
            {"a/data.pkl": pkl, "a/data/0": bytes(16), "a/byteorder": b"middle"},
            "must be little or big, got b'mid",
        ),
        ({"a/data.pkl": pkl, "a/data/0": bytes(16), "a/byteorder": b""}, "must be little or big"),
        ({"a/data.pkl": pkl, "a/data/0": bytes(16), "a/byteorder": bytes(10**6)}, "must be little or big"),
        ({"a/data.pkl": pkl, "a/data/0": b""}, "must have 4 elements, which take 16 bytes, got 0"),
    ):
        check_refused(tmp_path, io_archive(members), message)
    path = made.mapping({"x": made.tensor(made.storage("../../../etc/passwd"), (4,))})
    check_refused(tmp_path, made.archive(path), "no member 'model/data/../../../etc/passwd'")
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = io.BytesIO(GOOD)
        with zipfile.ZipFile(twice, "a") as archive:
            archive.writestr("model/data/0", bytes(16))
    check_refused(tmp_path, twice.getvalue(), "holds 'model/data/0' twice")
    bomb = io_archive({"a/data.pkl": pkl, "a/data/0": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    check_refused(tmp_path, bomb, "is compressed")


def test_sizes_in_directories_are_checked(tmp_path):
    compressed, plain = 20, 24
    for member in b"model/data/0", b"model/data.pkl", b"model/byteorder":
        for value in (0, 1, 15, 17, 10**6, 2**32 - 2):
            check_refused(tmp_path, directory_field(GOOD, member, plain, value))
            check_refused(tmp_path, directory_field(GOOD, member, compressed, value))
            check_refused(
                tmp_path, directory_field(directory_field(GOOD, member, plain, value), member, 20, value)
            )
        check_refused(
            tmp_path, directory_field(GOOD, member, 42, 0) if member != b"model/data.pkl" else b"PK\x03\x04"
        )
        check_refused(tmp_path, directory_field(GOOD, member, 42, 10**6))
        # the checksum
        if member != b"model/byteorder":
            check_refused(tmp_path, directory_field(GOOD, member, 16, 1), "Bad CRC-32")


def npy(shape, descr="<f4", data=b"", version=(1, 0)):
    descr = descr if descr[0] == "[" else repr(descr)
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(header)) + header.encode() + data


def test_npz(tmp_path):
    for member, message in (
        (npy(f"({HUGE},)"), "but 0 bytes follow its header"),
        (npy("(4,)", data=bytes(15)), "but 15 bytes follow"),
        (npy("(3,)", data=bytes(16)), "but 16 bytes follow"),
        (npy("(-4,)", data=bytes(16)), "has the shape"),
        (npy(f"(0, {2**70})"), "cannot be read"),
        (npy(f"({HUGE},)", "|V0"), "is of the type"),
        (npy(f"({HUGE},)", "|S0"), "but 0 bytes"),
        (npy("(2,)", "|O", python_pickle([1, 2])), "never a pickle"),
        (npy("(2,)", "[('a', '|O')]", bytes(16)), "never a pickle"),
        (npy("(2,)", "[('a', '<f4')]", bytes(8)), "numbers or strings are needed"),
        (npy("(2,)", data=bytes(8), version=(3, 0)), "version"),
        (npy("'(2,)'", data=bytes(8)), "cannot be read"),
        (npy("(" * 5000 + ")" * 5000), "cannot be read"),
        (npy("__import__('os').system('touch FILE')"), "cannot be read"),
        (npy("(2,)", "("), "cannot be read"),
        (b"", "cannot be read"),
        (pickle.dumps(Runs(os.system, "true")), "cannot be read"),
    ):
        check_refused(tmp_path, io_archive({"x.npy": member}), message, ".npz")
    check_refused(tmp_path, io_archive({"x.txt": npy("()", data=bytes(4))}), "'x.txt' is no array", ".npz")
    check_refused(tmp_path, npy("()", data=bytes(4)), "not a zip file", ".npz")
    bzip = io_archive({"x.npy": npy("(1000,)", data=bytes(4000))}, zipfile.ZIP_BZIP2)
    check_refused(tmp_path, bzip, "is compressed", ".npz")
    good = io_archive({"x.npy": npy("(4,)", data=bytes(16)), "y.npy": npy("()", data=bytes(4))})
    for value in (0, 1, 10**6, 2**32 - 2):
        for offset in (20, 24):
            check_refused(tmp_path, directory_field(good, b"x.npy", offset, value), ending=".npz")
    check_refused(tmp_path, directory_field(good, b"y.npy", 42, 0), ending=".npz")


def test_overlapping_members_are_refused(tmp_path):
    """Many entries of one compressed member would unpack to any size."""
    data = io_archive({"x.npy": npy("(10000000,)", "|u1", bytes(10**7))}, zipfile.ZIP_DEFLATED)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry, count = data[start:end], 1000
    entries = b"".join(entry.replace(b"x.npy", b"%05d" % number) for number in range(count))
    tail = data[end : end + 8] + struct.pack("<HHII", count, count, len(entries), start) + data[end + 20 :]
    check_refused(tmp_path, data[:start] + entries + tail, "its members take", ".npz")


def safetensors_file(header, data=b"", size=None):
    header = header.encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def test_safetensors(tmp_path):
    for content in (
        b"abc",
        safetensors_file("{}", size=HUGE),
        safetensors_file("{}", size=3),
        safetensors_file("no json"),
        safetensors_file('{"x": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}}', bytes(16)),
        safetensors_file('{"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}', bytes(15)),
        safetensors_file('{"x": {"dtype": "F32", "shape": [4], "data_offsets": [4, 20]}}', bytes(20)),
        safetensors_file('{"x": {"dtype": "F32", "shape": [4294967296, 4294967296, 4294967296],'
                         ' "data_offsets": [0, 0]}}'),
        safetensors_file('{"x": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}', bytes(16)),
        safetensors_file('{"x": {"dtype": "OBJECT", "shape": [4], "data_offsets": [0, 16]}}', bytes(16)),
        safetensors_file('{"x": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}', bytes(4)),
        safetensors_file('{"x":' * 20000 + "}" * 20000),
    ):  # fmt: skip
        check_refused(tmp_path, content, ending=".safetensors")


# ---- memory and time, in a process of its own -----------------------------------------------------
LIMITED = """
import os, resource, sys, time
import numpy as np
import dsconv as ds
import ml_dtypes, safetensors, zipfile, pickletools
ds.io
files = sorted(os.listdir(sys.argv[1]))
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
slowest = 0
for name in files:
    began = time.perf_counter()
    try:
        ds.io.load(os.path.join(sys.argv[1], name))
    except (ValueError, OSError) as error:
        pass
    else:
        print("loaded", name)
    slowest = max(slowest, time.perf_counter() - began)
    if slowest > 20:
        print("slow", name, slowest)
        break
print("loaded torch" if "torch" in sys.modules else "done", len(files))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="it limits the memory as Linux does")
def test_little_memory_is_taken(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for form in FORMS:
        bodies = SHAPES | {key: body for key, (body, _) in NOTES.items()}
        for name, body in (bodies | (BOMBS if form is made.archive else {})).items():
            (folder / f"{form.__name__} {name}.pth").write_bytes(with_record(form, body))
    (folder / "npz.npz").write_bytes(io_archive({"x.npy": npy(f"({HUGE},)")}))
    (folder / "header.safetensors").write_bytes(safetensors_file("{}", size=HUGE))
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == f"done {len(os.listdir(folder))}\n"


# ---- fuzzing ------------------------------------------------------------------------------------
def damaged(data, rng):
    """The bytes with one thing wrong: cut, a few flipped, a number put, a part repeated or left out."""
    data = bytearray(data)
    kind, place = rng.randrange(6), rng.randrange(len(data))
    if kind == 0:
        return data[:place]
    if kind == 1:
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    elif kind == 3:
        number = rng.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1])
        data[place : place + 8] = struct.pack("<Q", number)
    elif kind == 4:
        other = rng.randrange(len(data))
        data[place:place] = data[other : other + rng.randrange(40)]
    else:
        del data[place : place + rng.randrange(1, 40)]
    return data


def valid_files(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.random((2, 3), np.float32),
        "b": np.arange(4),
        "c": np.array(2.5),
        "d": np.ones(3) > 0,
    }
    yield ".pth", made.of_arrays(arrays, made.archive)
    yield ".pt", made.of_arrays(arrays, made.row)
    for ending in ".npz", ".safetensors":
        ds.io.save(arrays, tmp_path / f"w{ending}")
        yield ending, (tmp_path / f"w{ending}").read_bytes()
    np.savez_compressed(tmp_path / "w.npz", **arrays)
    yield ".npz", (tmp_path / "w.npz").read_bytes()


def test_damaged_files(tmp_path):
    """Only errors that are meant to come, whatever the damage."""
    fuzz(tmp_path, 200, seed=0)


def fuzz(tmp_path, cases, seed):
    rng = random.Random(seed)
    for ending, data in valid_files(tmp_path):
        path = tmp_path / f"fuzz{ending}"
        path.write_bytes(data)
        assert ds.io.load(path).keys() == {"a.weight", "b", "c", "d"}
        refused = 0
        for _ in range(cases):
            path.write_bytes(damaged(data, rng))
            try:
                for array in ds.io.load(path).values():
                    assert array.nbytes <= 100_000
                    array.tobytes()
            except (ValueError, OSError, MemoryError):
                refused += 1
        assert refused > cases / 4


if __name__ == "__main__":
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        fuzz(pathlib.Path(directory), int(sys.argv[1]), int(sys.argv[2]))
