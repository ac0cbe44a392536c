"""Archives made to harm: their sizes, names, members and headers are checked before anything is read."""

import io
import os
import pickle
import struct
import zipfile

import pytest

from . import checkpoints as made
from .checkpoints import check_little_memory, check_refused, limits_memory, zipped
from .test_io_hostile import HUGE, Runs, one, python_pickle, with_record

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
        check_refused(tmp_path, zipped(members), message)
    path = made.mapping({"x": made.tensor(made.storage("../../../etc/passwd"), (4,))})
    check_refused(tmp_path, made.archive(path), "no member 'model/data/../../../etc/passwd'")
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = io.BytesIO(GOOD)
        with zipfile.ZipFile(twice, "a") as archive:
            archive.writestr("model/data/0", bytes(16))
    check_refused(tmp_path, twice.getvalue(), "holds 'model/data/0' twice")
    bomb = zipped({"a/data.pkl": pkl, "a/data/0": bytes(10**7)}, zipfile.ZIP_DEFLATED)
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
        check_refused(tmp_path, zipped({"x.npy": member}), message, ".npz")
    check_refused(tmp_path, zipped({"x.txt": npy("()", data=bytes(4))}), "'x.txt' is no array", ".npz")
    check_refused(tmp_path, npy("()", data=bytes(4)), "not a zip file", ".npz")
    bzip = zipped({"x.npy": npy("(1000,)", data=bytes(4000))}, zipfile.ZIP_BZIP2)
    check_refused(tmp_path, bzip, "is compressed", ".npz")
    good = zipped({"x.npy": npy("(4,)", data=bytes(16)), "y.npy": npy("()", data=bytes(4))})
    for value in (0, 1, 10**6, 2**32 - 2):
        for offset in (20, 24):
            check_refused(tmp_path, directory_field(good, b"x.npy", offset, value), ending=".npz")
    check_refused(tmp_path, directory_field(good, b"y.npy", 42, 0), ending=".npz")


def test_overlapping_members_are_refused(tmp_path):
    """Many entries of one compressed member would unpack to any size."""
    data = zipped({"x.npy": npy("(10000000,)", "|u1", bytes(10**7))}, zipfile.ZIP_DEFLATED)
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


@limits_memory
def test_little_memory_is_taken(tmp_path):
    huge, deflated = npy(f"({HUGE},)"), zipfile.ZIP_DEFLATED
    bomb = zipped({"x.npy": npy("(4,)", data=bytes(200_000_000))}, deflated)
    claims = directory_field(zipped({"x.npy": npy(f"({2**31},)", "|u1")}), b"x.npy", 24, 2**31)
    for name, content in {
        "shape.npz": zipped({"x.npy": huge}),
        "deflated.npz": zipped({"x.npy": huge}, deflated),
        "bomb.npz": bomb,
        "claims.npz": claims,
        "bomb.pth": zipped({"a/data.pkl": bytes(200_000_000)}, deflated),
        "header.safetensors": safetensors_file("{}", size=HUGE),
        "zeros.pth": bytes(10**7),
        "text.pth": b"S" + b"a" * 10**7,
    }.items():
        (tmp_path / name).write_bytes(content)
    check_little_memory(tmp_path)
