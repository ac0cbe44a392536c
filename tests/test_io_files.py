"""Dicts of arrays in and out of files."""

import doctest
import importlib
import os
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest

import dsconv as ds
from dsconv import files

from . import checkpoints as made

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?", "c8", BFLOAT16]


def samples(types):
    """Arrays of all types and of several shapes, one of them empty and one without axes."""
    rng = np.random.default_rng(1)
    shapes = [(3, 1, 3, 3), (), (7,), (0, 4), (2, 5)]
    return {
        f"layer.{position}.{np.dtype(each).name}": (rng.standard_normal(shapes[position % 5]) * 50).astype(
            each
        )
        for position, each in enumerate(types)
    }


def check_equal(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    "module", ["dsconv.io", "dsconv.io.weights", "dsconv.io.torch_state", "dsconv.io.keras_layouts"]
)
def test_documented(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0 < result.attempted


# ---- round trips --------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_what_is_saved_is_loaded(tmp_path, ending):
    arrays = samples(TYPES[:-1] if ending == ".npz" else TYPES)
    arrays |= {"file": np.ones(2), "allow_pickle": np.zeros(1), "a/../b": np.ones(1), "x.npy": np.ones(3)}
    ds.io.save(arrays, tmp_path / f"w{ending}")
    found = ds.io.load(tmp_path / f"w{ending}")
    check_equal({name: found[name] for name in arrays}, arrays)
    assert os.listdir(tmp_path) == [f"w{ending}"] and len(found) == len(arrays)
    found["file"] += 1  # nothing is read-only


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_any_layout_is_saved(tmp_path, ending):
    x = np.arange(24.0).reshape(2, 3, 4)
    arrays = {"turned": x.T, "swapped": x.astype(">f4"), "stepped": x[:, ::2, ::-1], "spread": x[0, 0, :1]}
    arrays |= {"fortran": np.asfortranarray(x), "list": [1.0, 2.0], "scalar": 2.5}
    ds.io.save(arrays, tmp_path / f"w{ending}")
    found = ds.io.load(str(tmp_path / f"w{ending}"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_numpys_own_archives_are_read(tmp_path):
    arrays = samples(["f4", "i8", "f2", "?", "c16"]) | {"words": np.array(["a", "bc"])}
    for name, save in ("plain", np.savez), ("compressed", np.savez_compressed):
        save(tmp_path / f"{name}.npz", **arrays, zeros=np.zeros(100_000))
        found = ds.io.load(tmp_path / f"{name}.npz")
        assert not found.pop("zeros").any()
        check_equal(found, arrays)
    ds.io.save(arrays, tmp_path / "w.NPZ")
    with np.load(tmp_path / "w.NPZ", allow_pickle=False) as archive:
        check_equal(dict(archive), arrays)


def test_safetensors_own_files_are_read(tmp_path):
    from safetensors.numpy import load_file, save_file

    arrays = {"a": np.ones((2, 3), np.float32), "b": np.arange(4)}
    save_file(arrays, tmp_path / "w.safetensors")
    found = ds.io.load(tmp_path / "w.safetensors")
    check_equal({name: found[name] for name in arrays}, arrays)
    ds.io.save(arrays, tmp_path / "v.safetensors")
    check_equal({name: load_file(tmp_path / "v.safetensors")[name] for name in arrays}, arrays)


# ---- PyTorch's ------------------------------------------------------------------------------------
def load(tmp_path, data, ending=".pth"):
    path = tmp_path / f"file{ending}"
    path.write_bytes(data)
    return ds.io.load(path)


@pytest.mark.parametrize("form", [made.archive, made.row])
def test_checkpoints_of_every_type(tmp_path, form):
    arrays = samples([*TYPES, "c16"])
    for ending in ".pth", ".pt", ".bin":
        check_equal(load(tmp_path, made.of_arrays(arrays, form), ending), arrays)


def test_byte_order_of_archives(tmp_path):
    for dtype in "f4", "c8", "i8", "f2", "u1", "c16":
        array = np.arange(4).astype(dtype)
        body = made.mapping({"x": made.tensor(made.storage("0", made.CLASSES[dtype]), (4,))})
        for order, kind in (b"little", "<"), (b"big", ">"), (None, "<"):
            data = array.astype(array.dtype.newbyteorder(kind)).tobytes()
            found = load(tmp_path, made.archive(body, {"0": data}, order))["x"]
            assert found.tobytes() == array.tobytes() and found.dtype == array.dtype
    array = np.arange(4).astype(BFLOAT16)
    body = made.mapping({"x": made.tensor(made.storage("0", "BFloat16Storage"), (4,))})
    found = load(tmp_path, made.archive(body, {"0": array.view(np.uint16).astype(">u2").tobytes()}, b"big"))[
        "x"
    ]
    assert found.tobytes() == array.tobytes() and found.dtype == array.dtype


@pytest.mark.parametrize("form", [made.archive, made.row])
def test_strided_tensors_share_their_storage(tmp_path, form):
    data = np.arange(12, dtype=np.float32)
    where = made.storage("s", count=12)
    body = made.mapping(
        {
            "turned": made.tensor(where, (4, 3), (1, 4)),
            "column": made.parameter(made.tensor(where, (3,), (4,), offset=1)),
            "old": made.tensor(where, (2, 2), (6, 1), offset=4, function="_rebuild_tensor"),
            "one": made.tensor(where, (), offset=11),
            "repeated": made.tensor(where, (2, 3), (0, 1)),
            "none": made.tensor(where, (0, 3), (3, 1), offset=12),
        }
    )
    records = {"s": data.tobytes() if form is made.archive else (12, data.tobytes())}
    found = load(tmp_path, form(body, records))
    np.testing.assert_array_equal(found["turned"], data.reshape(3, 4).T)
    np.testing.assert_array_equal(found["column"], [1, 5, 9])
    np.testing.assert_array_equal(found["old"], [[4, 5], [10, 11]])
    np.testing.assert_array_equal(found["repeated"], [[0, 1, 2]] * 2)
    assert found["one"] == 11 and found["one"].shape == () and found["none"].shape == (0, 3)
    found["turned"][1, 0] = 50
    assert found["column"][0] == 50


def test_weights_inside_checkpoints_of_runs(tmp_path):
    x = made.tensor(made.storage("0"), (4,))
    state = made.mapping({"x": x}, made.call(made.name("collections", "OrderedDict")))
    metadata = made.mapping({"_metadata": made.mapping({"": made.mapping({"version": made.number(1)})})})
    state += metadata + b"b"
    other = made.mapping({"y": x})
    rest = {"epoch": made.number(3), "loss": b"G" + bytes(8), "best": made.NONE, "name": made.text("run")}
    optimizer = b"}(" + b"K\x00" + made.mapping({"step": x}) + b"u"
    for pairs in (
        {**rest, "x": x},
        {**rest, "state_dict": state},
        {"model": state, "ema": other, **rest},
        {"optimizer": optimizer, "model_state_dict": state},
        {"epoch": x, "model": made.mapping({"module": state}), "optimizer": optimizer},
    ):
        found = load(tmp_path, made.archive(made.mapping(pairs), {"0": bytes(16)}))
        assert list(found) == ["x"], pairs
    with pytest.raises(ValueError, match="holds no dict of tensors; it has the keys 'epoch', 'loss'"):
        load(tmp_path, made.archive(made.mapping(rest)))
    with pytest.raises(ValueError, match="holds a Tensor; a dict of tensors is needed"):
        load(tmp_path, made.archive(x, {"0": bytes(16)}))


# ---- errors ---------------------------------------------------------------------------------------
def test_endings(tmp_path):
    for function in ds.io.load, lambda path: ds.io.save({}, path):
        with pytest.raises(ValueError, match=r"path: the ending must be one of \.npz, \.safetensors.*w\.h5"):
            function(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="the ending must be one of .npz, .safetensors, got"):
        ds.io.save({}, tmp_path / "w.pth")


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".pth"])
def test_files_that_cannot_be_read(tmp_path, ending):
    with pytest.raises(FileNotFoundError):
        ds.io.load(tmp_path / f"missing{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(IsADirectoryError):
        ds.io.load(tmp_path / f"folder{ending}")
    (tmp_path / f"empty{ending}").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        ds.io.load(tmp_path / f"empty{ending}")


def test_what_cannot_be_saved(tmp_path):
    for arrays, message in (
        ({1: np.ones(1)}, "arrays: the names must be strings"),
        ({"a\0b": np.ones(1)}, "arrays: the names must be strings without null"),
        ({"a": np.array([None])}, "arrays: 'a' holds Python objects"),
    ):
        for ending in ".npz", ".safetensors":
            with pytest.raises(ValueError, match=message):
                ds.io.save(arrays, tmp_path / f"w{ending}")
    with pytest.raises(
        ValueError, match="'a' is of the type bfloat16, which .npz cannot hold: .*safetensors"
    ):
        ds.io.save({"a": np.ones(1, BFLOAT16)}, tmp_path / "w.npz")
    with pytest.raises(ValueError, match="'a' is of the type complex128, which .safetensors cannot hold"):
        ds.io.save({"a": np.ones(1, complex)}, tmp_path / "w.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_failed_save_leaves_the_former_file(tmp_path, monkeypatch, ending):
    path = tmp_path / f"w{ending}"
    ds.io.save({"x": np.ones(3)}, path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ds.io.save({"x": np.zeros(3)}, path)
    assert os.listdir(tmp_path) == [path.name] and ds.io.load(path)["x"].all()


def test_packages_that_are_missing(tmp_path, monkeypatch):
    ds.io.save({"x": np.ones(3, BFLOAT16)}, tmp_path / "w.safetensors")
    body = made.mapping({"x": made.tensor(made.storage("0", "BFloat16Storage"), (4,))})
    (tmp_path / "w.pth").write_bytes(made.archive(body, {"0": bytes(8)}))
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    for name in "w.safetensors", "w.pth":
        with pytest.raises(ImportError, match="bfloat16, which takes the package ml_dtypes"):
            ds.io.load(tmp_path / name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for function in ds.io.load, lambda path: ds.io.save({"x": np.ones(1)}, path):
        with pytest.raises(ImportError, match=r"safetensors, which is not installed .*numpy-dsconv\[io\]"):
            function(tmp_path / "w.safetensors")


def test_only_what_is_returned_is_read(tmp_path):
    """An optimizer's state of a huge file is skipped, and may even be missing."""
    body = made.mapping(
        {
            "state_dict": made.mapping({"x": made.tensor(made.storage("0"), (4,))}),
            "optimizer": made.mapping({"y": made.tensor(made.storage("1"), (4,))}),
        }
    )
    assert list(load(tmp_path, made.archive(body, {"0": bytes(16)}))) == ["x"]
    data = made.archive(body, {"0": bytes(16)}, method=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        load(tmp_path, data)
