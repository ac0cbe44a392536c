"""PyTorch checkpoints written opcode by opcode, so that they can say what PyTorch never would."""

import io
import os
import struct
import subprocess
import sys
import zipfile

import pytest

import dsconv as ds

CLASSES = {
    "f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "bfloat16": "BFloat16Storage",
    "i8": "LongStorage", "i4": "IntStorage", "i2": "ShortStorage", "i1": "CharStorage", "u1": "ByteStorage",
    "b1": "BoolStorage", "c8": "ComplexFloatStorage", "c16": "ComplexDoubleStorage",
}  # fmt: skip
EMPTY = b")"
NONE, FALSE = b"N", b"\x89"


# ---- pieces of a pickle ---------------------------------------------------------------------------
def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def items(*parts):
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def call(function, arguments=EMPTY):
    return function + arguments + b"R"


def mapping(pairs, start=b"}"):
    return start + b"(" + b"".join(text(key) + value for key, value in pairs.items()) + b"u"


def storage(key, cls="FloatStorage", count=4, **others):
    """A persistent id; `others` are pickled parts that take the place of ``part_0`` to ``part_4``."""
    parts = [text("storage"), name("torch", cls), text(key), text("cpu"), number(count)]
    return items(*(others.get(f"part_{place}", part) for place, part in enumerate(parts))) + b"Q"


def tensor(where, shape, strides=None, offset=0, function="_rebuild_tensor_v2"):
    if strides is None:
        strides = [1] * len(shape)
        for axis in range(len(shape) - 2, -1, -1):
            strides[axis] = strides[axis + 1] * shape[axis + 1]
    sizes = [items(*map(number, each)) for each in (shape, strides)]
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", function), items(where, number(offset), *sizes, FALSE, hooks))


def parameter(made):
    return call(name("torch._utils", "_rebuild_parameter"), items(made, b"\x88", NONE))


def pickled(body):
    return b"\x80\x02" + body + b"."


# ---- whole files ----------------------------------------------------------------------------------
def archive(body, records=(), byteorder=b"little", folder="model", method=zipfile.ZIP_STORED):
    """The present format."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr(f"{folder}/data.pkl", pickled(body))
        if byteorder is not None:
            made.writestr(f"{folder}/byteorder", byteorder)
        for key, data in dict(records).items():
            made.writestr(f"{folder}/data/{key}", data)
        made.writestr(f"{folder}/version", b"3\n")
    return file.getvalue()


def row(body, records=(), *, magic=0x1950A86A20F9469CFC6C, protocol=1001, keys=None):
    """The former format: records are key to (count, bytes)."""
    records = dict(records)
    machine = mapping({"little_endian": b"\x88", "protocol_version": number(1001)})
    names = b"](" + b"".join(text(key) for key in (records if keys is None else keys)) + b"e"
    pickles = b"".join(map(pickled, (number(magic), number(protocol), machine, body, names)))
    return pickles + b"".join(struct.pack("<q", count) + data for count, data in records.values())


def of_arrays(arrays, form):
    """A state dict of arrays, each in a storage of its own."""
    tensors, records = {}, {}
    for position, (key, array) in enumerate(arrays.items()):
        kind = array.dtype.name if array.dtype.kind == "V" else array.dtype.str[1:]
        where = storage(str(position), CLASSES[kind], array.size)
        tensors[key] = tensor(where, array.shape)
        data = array.tobytes()
        records[str(position)] = data if form is archive else (array.size, data)
    return form(mapping(tensors, call(name("collections", "OrderedDict"))), records)


def zipped(members, method=zipfile.ZIP_STORED):
    """A zip archive of {name: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def check_refused(tmp_path, data, message="cannot be read as weights", ending=".pth"):
    """A file of these bytes is an error that says so, in few words."""
    path = tmp_path / f"w{ending}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        ds.io.load(path)
    assert len(str(caught.value)) < 1000


# ---- memory and time, in a process of its own -----------------------------------------------------
limits_memory = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="it limits memory as Linux does"
)

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


def check_little_memory(folder):
    """All files of a folder are refused, each in seconds and with 400 MB to spare."""
    command = [sys.executable, "-c", LIMITED, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == f"done {len(os.listdir(folder))}\n"
