"""Valid files with some bytes wrong.

``python -m tests.test_io_damaged CASES SEED`` tries more of them.
"""

import random
import struct
import sys

import numpy as np

import dsconv as ds

from . import checkpoints as made


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
