"""The console command: what it prints, what it writes, how it ends."""

import json
import subprocess
import sys
import zlib
from importlib import metadata

import numpy as np
import pytest

import dsconv as ds
from dsconv import __main__ as command
from dsconv import demonstration, functional, images
from dsconv import demonstration_cases as cases

FEW = [cases.CASES[0], cases.CASES[15]]
STREAM = next(case for case in cases.CASES if case.chunk)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(demonstration, "CASES", FEW)


@pytest.fixture(scope="module")
def photo():
    return images.read(images.PHOTO)


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)


def ppm(width, height, most, samples):
    return b"P6 # a comment\n# another\n%d %d\n%d\n" % (width, height, most) + samples


# ---- the whole command ---------------------------------------------------------------------------
def test_default_run(tmp_path):
    run = [sys.executable, "-m", "dsconv", "--json", "--output", "drawing.ppm"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["all_within_bound"]
    assert result["kernel_set"] in ds.available_isas()
    assert len(result["operations"]) == len(cases.CASES)
    assert {line["operation"] for line in result["operations"]} == {*functional.__all__, "Stream1d"}
    types = {"float16", "float32", "float64", "complex64", "complex128"}
    assert {line["dtype"] for line in result["operations"]} == types
    for line in result["operations"]:
        assert 0 < line["error_of_bound"] <= 1
        assert line["macs"] > 0 and line["seconds"] > 0 and line["reference_seconds"] > 0
    assert images.read(tmp_path / "drawing.ppm").shape == (144, 144, 3)


def test_entry_point():
    (script,) = metadata.entry_points(group="console_scripts", name="dsconv")
    assert script.load() is command.main


def test_table(few, capsys):
    assert command.main([]) == 0
    heading, *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FEW)
    assert heading.split()[0] == "operation"
    for case, line in zip(FEW, lines, strict=True):
        assert line.startswith(case.function) and ds.isa() in line and case.dtype in line
    assert last.startswith("2 operations, every result is within its error bound")
    assert f"kernel set {ds.isa()}" in last


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == ["dsconv", ds.__version__]


def test_threads(few, capsys):
    former = ds.get_num_threads()
    try:
        assert command.main(["--threads", "1"]) == 0
        assert ds.get_num_threads() == 1
    finally:
        ds.set_num_threads(former)
    assert capsys.readouterr().out.endswith(", 1 thread\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--threads", "0"],
        ["--threads", "x"],
        ["--threads", "9" * 30],
        ["--nonsense"],
        ["a", "b"],
        ["--output"],
    ],
)
def test_bad_usage(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dsconv: error: ")


def test_closed_pipe(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-m", "dsconv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert run.stdout.readline().startswith(b"operation")
    run.stdout.close()
    assert run.wait(timeout=120) == 1
    assert run.stderr.read() == b""
    run.stderr.close()


# ---- a wrong result ------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", [1e-4, np.nan])
def test_out_of_bound(few, capsys, monkeypatch, fault):
    right = functional.separable_conv2d

    def wrong(*args, **kwargs):
        y = right(*args, **kwargs)
        y[0, 0, 0] += fault
        return y

    monkeypatch.setattr(functional, "separable_conv2d", wrong)
    assert command.main([]) == 1
    assert "1 OUT OF BOUND" in capsys.readouterr().out
    assert command.main(["--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert not result["all_within_bound"]
    assert [line["operation"] for line in result["operations"]] == [case.function for case in FEW]


def test_a_chunk_that_leaves_a_trace_is_out_of_bound(photo, monkeypatch):
    assert demonstration.run(STREAM, photo)["error_of_bound"] <= 1

    class Leaky(ds.Stream1d):
        def __call__(self, x):
            y = super().__call__(x)
            return np.nextafter(y, np.float32(np.inf)) if self.seen == case.chunk else y

    case = STREAM
    monkeypatch.setattr(demonstration, "Stream1d", Leaky)
    assert demonstration.run(case, photo)["error_of_bound"] == np.inf


@pytest.mark.parametrize("change", [lambda y: y[:, :-1], lambda y: y.astype(np.float64)])
def test_wrong_shape_and_dtype_are_out_of_bound(photo, monkeypatch, change):
    right = functional.depthwise_conv1d
    monkeypatch.setattr(
        functional, "depthwise_conv1d", lambda *args, **kwargs: change(right(*args, **kwargs))
    )
    assert demonstration.run(FEW[0], photo)["error_of_bound"] == np.inf


@pytest.mark.parametrize("row", [0, 100, 599])
def test_a_wrong_pixel_of_the_drawing_is_found(rng, monkeypatch, row):
    right = functional.separable_conv2d

    def wrong(*args, **kwargs):
        y = right(*args, **kwargs)
        y[1, row, 300] += 0.1
        return y

    monkeypatch.setattr(functional, "separable_conv2d", wrong)
    assert demonstration.ink(rng.integers(0, 256, (600, 400, 3), dtype=np.uint8))[1] > 1


# ---- what is cut from a picture ------------------------------------------------------------------
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (97, 191), (400, 150)])
def test_any_size(rng, size):
    picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    for case in FEW:
        assert demonstration.run(case, picture)["error_of_bound"] <= 1
    drawn, worst = demonstration.ink(picture)
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8 and worst <= 1


def test_cuts_are_the_photo(photo):
    y, x = 37, 101
    assert np.array_equal(cases.image(photo)[:, y, x] * 255, photo[y, x])
    line = (cases.signal(photo) * 255).reshape(144, 144)
    assert line[y, x] == pytest.approx(photo[y, x] @ [0.299, 0.587, 0.114])
    features = (cases.features(photo) * 255).reshape(3, 4, 4, 36, 36)
    assert np.allclose(features[:, y % 4, x % 4, y // 4, x // 4], photo[y, x])
    volume = cases.volume(photo)
    assert np.array_equal(volume[:, 5, 3, 4], cases.features(photo)[:, 10 + 3, 10 + 4])


MACS = {
    # operation, multiplier, outputs: of 20 positions of a kernel of 9, beside 64 positions
    ("depthwise_conv", 2, 0): (3 * 2 * 9 * 20, 3 * 6 * 9 * 20),
    ("pointwise_conv", 1, 5): (3 * 5 * 20, 3 * 5 * 20),
    ("separable_conv", 2, 5): (3 * 2 * (9 + 5) * 20, 3 * 5 * 9 * 20),
    ("depthwise_conv_transpose", 2, 0): (3 * 2 * 9 * 20, 3 * 6 * 9 * 20),
    ("separable_conv_transpose", 2, 5): (3 * 2 * (9 * 20 + 5 * 64), 3 * 5 * 9 * 20),
    ("depthwise_conv_input_grad", 3, 0): (3 * 9 * 20, 3 * 9 * 20),
    ("depthwise_conv_weight_grad", 2, 0): (3 * 2 * 9 * 20, 3 * 6 * 9 * 20),
    ("pointwise_conv_input_grad", 1, 5): (3 * 5 * 20, 3 * 5 * 20),
}


@pytest.mark.parametrize("operation, multiplier, outputs", MACS)
def test_multiply_adds(operation, multiplier, outputs):
    kernel = 1 if operation.startswith("pointwise") else 3
    case = cases.Case(operation, 2, cases.image, kernel, multiplier, outputs)
    few, many = np.empty((3, 4, 5)), np.empty((3, 8, 8))
    maps = (few, few) if kernel == 1 else (few, many)
    expected = MACS[operation, multiplier, outputs]
    assert demonstration.multiply_adds(case, *maps) == expected
    assert demonstration.multiply_adds(case, *reversed(maps)) == expected


def test_the_drawing_is_what_it_says(photo):
    drawn, _ = demonstration.ink(np.full((9, 9, 3), 200, np.uint8))
    flat = np.rint(200 * demonstration.SEPIA.sum(1) + demonstration.PAPER).clip(0, 255)
    assert (drawn == flat).all(), "no slopes, no ink"
    step = np.full((9, 9, 3), 200, np.uint8)
    step[:, :4] = 0
    drawn, _ = demonstration.ink(step)
    assert drawn[4, 4].max() < 60 and (drawn[4, -1] == flat).all()


# ---- files ---------------------------------------------------------------------------------------
def test_centre_crop(photo):
    assert images.centre_crop(photo).shape == images.centre_crop(photo[:, :99]).shape == (224, 224, 3)
    np.testing.assert_array_equal(images.centre_crop(photo[:100, :103], 98, 100), photo[1:99, 2:100])
    assert np.ptp(images.centre_crop(np.full((70, 50, 3), 9, np.uint8), 64, 80)) == 0
    for size in 0, 101:
        with pytest.raises(ValueError, match=f"size: expected 1 to shorter = 100, got {size}"):
            images.centre_crop(photo, size, 100)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.ppm", "a.PPM", "a.NPY"])
def test_native_formats(tmp_path, picture, name):
    images.write(tmp_path / name, picture)
    assert np.array_equal(images.read(tmp_path / name), picture)


def test_gray_and_deep_formats(tmp_path, picture):
    images.write(tmp_path / "a.pgm", picture)
    gray = images.read(tmp_path / "a.pgm")
    assert np.abs(gray[..., 1] - images.luminance(picture)).max() <= 0.5
    deep = (picture.astype(np.uint16) * 4).astype(">u2")
    (tmp_path / "b.ppm").write_bytes(ppm(70, 50, 1020, deep.tobytes()))
    assert np.array_equal(images.read(tmp_path / "b.ppm"), picture)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a / 255,
        lambda a: (a / 255).astype(np.float32),
        lambda a: a.astype(np.uint16) * 257,
        lambda a: (a.astype(np.uint16) * 257).astype(">u2"),
        lambda a: np.dstack([a, a[..., :1]]),
    ],
)
def test_arrays(picture, change):
    assert np.array_equal(images.as_picture(change(picture)), picture)


@pytest.mark.parametrize("change", [lambda a: a[..., 0], lambda a: a[..., :1]])
def test_gray_arrays(picture, change):
    assert np.array_equal(images.as_picture(change(picture)), np.repeat(picture[..., :1], 3, -1))


UNREADABLE = {
    "missing.npy": None,
    "missing.png": None,
    "junk.npy": b"junk",
    "junk.npz": b"PK\x03\x04junk",
    "empty.ppm": b"",
    "header.ppm": b"P6 a b 255\n",
    "short.ppm": ppm(2, 2, 255, bytes(11)),
    "huge.ppm": ppm(10**15, 10**15, 255, bytes(11)),
    "none.ppm": ppm(0, 0, 255, b""),
    "most.ppm": ppm(1, 1, 0, bytes(3)),
    "shape.npy": np.zeros((2, 2, 2), np.uint8),
    "axes.npy": np.zeros((1, 1, 1, 2, 3), np.uint8),
    "empty.npy": np.zeros((0, 5, 3), np.uint8),
    "type.npy": np.zeros((2, 2, 3), np.int64),
    "text.npy": np.zeros((2, 2), "U3"),
    "range.npy": np.full((2, 2, 3), 1.5),
    "nan.npy": np.full((2, 2, 3), np.nan),
    "object.npy": np.array([[None]]),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable(tmp_path, capsys, name):
    path, content = tmp_path / name, UNREADABLE[name]
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    assert command.main([str(path)]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == "" and line.startswith("dsconv: error: ") and str(path) in line


@pytest.mark.parametrize("name", ["missing/a.npy", "missing/a.ppm", "a"])
def test_unwritable(few, tmp_path, capsys, name):
    assert command.main(["--output", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == "" and line.startswith("dsconv: error: ")


def test_without_pillow(few, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    for arguments in [[str(tmp_path / "a.png")], ["--output", str(tmp_path / "b.jpg")]]:
        assert command.main(arguments) == 2
        assert 'pip install "numpy-dsconv[image]"' in capsys.readouterr().err


def test_with_pillow(few, tmp_path, capsys, picture):
    image = pytest.importorskip("PIL.Image")
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    image.fromarray(picture).save(source)
    assert command.main([str(source), "--output", str(target)]) == 0
    assert np.array_equal(images.read(target), demonstration.ink(picture)[0])
    source.write_bytes(b"not a picture")
    assert command.main([str(source)]) == 2
    image.fromarray(picture[..., 0].astype(np.uint16) * 257).save(source)
    assert np.array_equal(images.read(source)[..., 0], picture[..., 0])


# ---- the package's own data ----------------------------------------------------------------------
def test_photo(photo):
    assert photo.shape == (144, 144, 3) and photo.dtype == np.uint8
    assert zlib.crc32(photo.tobytes()) == 3544846476
    assert images.PHOTO.stat().st_size < 40_000
    assert "public domain" in (images.PHOTO.parent / "LICENSE.md").read_text()
