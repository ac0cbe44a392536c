"""Pictures in and out of files: NumPy's formats and binary PPM and PGM here, all others through Pillow.

A picture is an array of uint8, (height, width, 3).
"""

import re
from pathlib import Path

import numpy as np

PHOTO = Path(__file__).parent / "data" / "astronaut.npz"
_DIFFERENCES = "dsconv differences"  # no name that another's array has
NATIVE = (".npy", ".npz", ".ppm", ".pgm")

_WITHOUT = f"; {', '.join(NATIVE)} do without"

_NETPBM = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s")
_SAMPLE_CHANNELS = {b"5": 1, b"6": 3}
# from the eye's sensitivity to the three colours (ITU-R BT.601)
_LUMINANCE = np.array([0.299, 0.587, 0.114])


class ImageError(Exception):
    """A file that cannot be read as a picture, or not be written; the message is for the user."""


def read(path):
    """Return the picture in a file.

    Raises
    ------
    ImageError
        With one line that says what is wrong.
    """
    path = Path(path)
    readers = {".npy": _read_numpy, ".npz": _read_numpy, ".ppm": _read_netpbm, ".pgm": _read_netpbm}
    reader = readers.get(path.suffix.lower(), _read_pillow)
    try:
        return as_picture(reader(path))
    except ImageError:
        raise
    # a damaged file can make a decoder raise anything
    except Exception as error:
        raise ImageError(f"cannot read {path}: {_one_line(error)}") from error


def write(path, picture):
    """Write a picture, in the format that the file's ending names; a .pgm file takes the luminance.

    Raises
    ------
    ImageError
        With one line that says what is wrong.
    """
    path = Path(path)
    writers = {".npy": _write_npy, ".npz": _write_npz, ".ppm": _write_netpbm, ".pgm": _write_netpbm}
    try:
        writers.get(path.suffix.lower(), _write_pillow)(path, picture)
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot write {path}: {_one_line(error)}") from error


def luminance(picture):
    """The brightness of a picture's pixels, as floats from 0 to 255."""
    return picture @ _LUMINANCE


def centre_crop(picture, size=224, shorter=256):
    """The middle of a picture that was resized first, as classifiers of photos are evaluated.

    Parameters
    ----------
    picture : ndarray of uint8, shape (height, width, 3)
    size : int, optional
        Of the square that is cut out.
    shorter : int, optional
        Length that the shorter side is resized to, bicubically, by Pillow; the longer side is rounded down.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)

    Raises
    ------
    ValueError
        For a `size` above `shorter`, or below 1.
    ImageError
        Without Pillow.

    Examples
    --------
    >>> from dsconv import images
    >>> images.centre_crop(images.read(images.PHOTO)).shape
    (224, 224, 3)
    """
    if not 1 <= size <= shorter:
        raise ValueError(f"size: expected 1 to shorter = {shorter}, got {size}")
    pillow = _pillow("centre_crop: resizing", "")
    image = pillow.fromarray(as_picture(np.asarray(picture)))
    wide, high = (length * shorter // min(image.size) for length in image.size)
    image = image.resize((wide, high), pillow.Resampling.BICUBIC)
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


# ---- arrays --------------------------------------------------------------------------------------
def as_picture(array):
    """An array of gray values, RGB or RGBA as a picture; floats go from 0 to 1, alpha is dropped."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"expected an array of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"the picture is empty: its shape is {array.shape}")
    array = _as_bytes(array[..., :3])
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _as_bytes(array):
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise TypeError(f"expected uint8, uint16, bool or floats, got {array.dtype}")
    if not (np.min(array) >= 0 and np.max(array) <= 1):
        raise ValueError(f"floats must be from 0 to 1, got {np.min(array):.4g} to {np.max(array):.4g}")
    return np.rint(array * 255).astype(np.uint8)


# ---- formats -------------------------------------------------------------------------------------
def _read_numpy(path):
    with open(path, "rb") as file:
        start = file.read(6)
    # NumPy takes anything else for a pickle
    if not start.startswith((b"\x93NUMPY", b"PK")):
        raise ValueError("it is not a file of NumPy's")
    data = np.load(path, allow_pickle=False)
    if isinstance(data, np.ndarray):
        return data
    with data:
        if len(data.files) != 1:
            raise ValueError(f"expected one array, got {len(data.files)}: {', '.join(data.files)}")
        array = data[data.files[0]]
    return _add_differences(array) if data.files == [_DIFFERENCES] else array


def _add_differences(planes):
    """A photo of the package: red - green, green, blue - green, each less the row before, modulo 256.

    Zipped, that takes more than a quarter less.
    """
    red, green, blue = planes.cumsum(axis=1, dtype=np.uint8)
    return np.stack([red + green, green, blue + green], axis=-1)


def _write_npy(path, picture):
    # through a file: np.save would add its own ending to one in capitals
    with open(path, "wb") as file:
        np.save(file, picture)


def _write_npz(path, picture):
    with open(path, "wb") as file:
        np.savez_compressed(file, photo=picture)


def _read_netpbm(path):
    """Binary PGM (P5) and PPM (P6), one byte or two for each sample; the plain forms go to Pillow."""
    content = path.read_bytes()
    header = _NETPBM.match(content)
    if not header:
        if content[:2] in (b"P2", b"P3"):
            return _read_pillow(path)
        raise ValueError("its header is not that of a PGM or PPM file")
    channels = _SAMPLE_CHANNELS[header[1]]
    width, height, most = (int(number) for number in header.groups()[1:])
    if not 0 < most < 65536:
        raise ValueError(f"its largest value must be from 1 to 65535, got {most}")
    dtype = np.dtype(">u2") if most > 255 else np.dtype(np.uint8)
    needed, found = width * height * channels * dtype.itemsize, len(content) - header.end()
    if found < needed:
        raise ValueError(f"{width} x {height} pixels take {needed} bytes, but {found} follow the header")
    samples = np.frombuffer(content, dtype, width * height * channels, header.end())
    samples = samples.reshape(height, width, channels)
    return samples if most == 255 else np.minimum(samples / most, 1)


def _write_netpbm(path, picture):
    gray = path.suffix.lower() == ".pgm"
    samples = np.rint(luminance(picture)).astype(np.uint8) if gray else picture
    height, width = picture.shape[:2]
    path.write_bytes(b"P%d\n%d %d\n255\n" % (5 if gray else 6, width, height) + samples.tobytes())


# ---- Pillow --------------------------------------------------------------------------------------
def _pillow(needed, otherwise=_WITHOUT):
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ImageError(
            f'{needed} takes Pillow, which is not installed (pip install "numpy-dsconv[image]"){otherwise}'
        ) from error
    return Image


def _read_pillow(path):
    # a missing file must not turn into advice to install something
    with open(path, "rb") as file:
        image = _pillow(f"{path}: this format")
        try:
            with image.open(file) as opened:
                # to RGB, Pillow would clip 16 bits to 8
                deep = opened.mode[0] in "IF"
                return np.asarray(opened if deep else opened.convert("RGB"))
        except image.UnidentifiedImageError:
            raise ValueError("it is in no format that Pillow knows") from None
        except image.DecompressionBombError as error:
            raise ValueError(_one_line(error)) from None


def _write_pillow(path, picture):
    image = _pillow(f"{path}: this format")
    image.fromarray(picture).save(path)


def _one_line(error):
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
