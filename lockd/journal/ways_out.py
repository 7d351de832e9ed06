"""What helps when the operating system refuses something that is to be done to a file of the daemon's."""

from __future__ import annotations

import errno
from typing import Final

#: By errno; ``{elsewhere}`` is another directory, which always helps.
_WAYS_OUT: Final = {
    errno.ENOSPC: "make room on its file system",
    errno.EDQUOT: "make room in the quota of the daemon's user",
    errno.EROFS: "mount its file system for writing, or {elsewhere}",
    errno.EACCES: "let the daemon's user read and write it, or {elsewhere}",
    errno.EPERM: "let the daemon's user read and write it, or {elsewhere}",
    errno.ENOENT: "see that its directory is there, or {elsewhere}",
    errno.EMFILE: "raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f, or LimitFSIZE= in the unit)",
    errno.EIO: "see what the kernel's log says about the disk, or {elsewhere}",
}


def explained(error: OSError, option: str) -> str:
    """Say why something was refused, and what helps.

    Args:
        error: The refusal.
        option: Names the directory that the file is in.
    """
    way_out = _WAYS_OUT.get(error.errno or 0, "{elsewhere}")
    return f"{error.strerror}: {way_out.format(elsewhere=f'choose another directory with {option}')}"
