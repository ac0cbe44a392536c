"""Zip archives from anywhere: what their directory claims is compared with the file before more is read."""

import zipfile
from contextlib import contextmanager

# deflate cannot do better than 1032 : 1
_MOST_DEFLATED = 1032
_HEADER = 30  # bytes before the name of each member, at least


@contextmanager
def opened(file, size, *, compressed):
    """{name: ZipInfo} of an archive, and the archive.

    Parameters
    ----------
    file : file
    size : int
        Of the file, in bytes.
    compressed : bool
        Whether members may be compressed.

    Raises
    ------
    ValueError
        For members of one name, and for sizes that the file cannot hold.
    """
    with zipfile.ZipFile(file) as archive:
        members = {}
        for info in archive.infolist():
            if info.filename in members:
                raise ValueError(f"the archive holds {info.filename!r} twice")
            _check(info, size, compressed)
            members[info.filename] = info
        # members that lie on one another would unpack to more than the ratio allows
        total = sum(info.compress_size + _HEADER for info in members.values())
        if total > size:
            raise ValueError(f"its members take {total} bytes together, but the file has {size}")
        yield members, archive


def _check(info, size, compressed):
    stored = info.compress_type == zipfile.ZIP_STORED
    if not stored and not (compressed and info.compress_type == zipfile.ZIP_DEFLATED):
        needed = "stored or deflated" if compressed else "stored"
        raise ValueError(f"{info.filename!r} is compressed (method {info.compress_type}), needed {needed}")
    packed, unpacked = info.compress_size, info.file_size
    whole = unpacked == packed if stored else unpacked <= packed * _MOST_DEFLATED
    if packed > size or not whole:
        raise ValueError(
            f"{info.filename!r} claims {unpacked} bytes, stored in {packed} of a file of {size} bytes"
        )


def read_into(file, data):
    """Read until the array of bytes is full or the file ends; how far it came."""
    filled, view = 0, memoryview(data)
    while filled < len(view):
        count = file.readinto(view[filled : filled + (1 << 20)])
        if not count:
            break
        filled += count
    file.read(1)  # what is checked at the end of a member is checked now
    return filled
