"""Archives, unpacked so that nothing leaves their folder or fills the disk."""

import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from seqgraph_jax.data.checks import DataError

MAX_UNPACKED = 2**31  # bytes


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ``.zip`` or ``.tar.gz`` of plain files into a folder.

    Raises `DataError`, before it writes anything, for a member outside of the folder, a
    link or a device, and for more than `MAX_UNPACKED` bytes; and for a damaged archive.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                _check_members(
                    (m.filename, m.file_size, stat.S_ISLNK(m.external_attr >> 16))
                    for m in file.infolist()
                )
                file.extractall(folder)
        else:
            with tarfile.open(archive) as tar:
                _check_members(
                    (m.name, m.size, not m.isfile() and not m.isdir()) for m in tar
                )
                tar.extractall(folder, filter="data")
    except Exception as error:  # a damaged archive can raise nearly anything
        raise DataError(f"{archive} cannot be unpacked: {error}") from error


def _check_members(members: Iterable[tuple[str, int, bool]]) -> None:
    left = MAX_UNPACKED
    for member, size, special in members:
        path = PureWindowsPath(member)  # knows "/", "\\" and drives
        if path.drive or path.root or ".." in path.parts:
            raise DataError(f"{member!r} would lie outside of its folder")
        if special:
            raise DataError(f"{member!r} is a link or a device")
        left -= size
        if left < 0:
            raise DataError(f"it holds more than {MAX_UNPACKED} bytes")
