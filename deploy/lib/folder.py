"""Put a folder in place of another in one step, so that a kill at any moment leaves the old one or the new one whole.

`python -m deploy promote` and `rollback` write a release with it. Files one after the other would not do: a release is
three files, and between two writes the tree would pair one version's digest with another's passport. Linux (renameat2)
and macOS (renamex_np) exchange two folders in one system call; where neither the system nor the file system can (NFS,
the lower layer of an overlay), the release is refused rather than risked.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from repo.lib import files
from repo.lib.refusal import Refusal

# Outside deploy/releases and ignored by Git: nobody sees what a killed run leaves there, and the next run removes it.
STAGED = Path("deploy/build/release")


def replace(folder: Path, content: Mapping[str, bytes]) -> None:
    """Make `content` (file name -> bytes) all that `folder` holds. The caller keeps a second writer out."""
    shutil.rmtree(STAGED, ignore_errors=True)
    STAGED.mkdir(parents=True)
    for name, data in content.items():
        files.write(STAGED / name, data)
    if folder.exists():
        exchange(STAGED, folder)
        shutil.rmtree(STAGED, ignore_errors=True)  # the former release
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        STAGED.rename(folder)


def exchange(one: Path, other: Path) -> None:
    """Swap two folders of one file system atomically."""
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    here = -100  # AT_FDCWD: paths are relative to the current directory
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(first, second, 2)  # RENAME_SWAP
        else:
            failed = library.renameat2(here, first, here, second, 2)  # RENAME_EXCHANGE
    except AttributeError:
        failed, reason = -1, "this system's C library has no such call"
    else:
        reason = os.strerror(ctypes.get_errno())
    if failed:
        raise Refusal(
            f"{other} cannot be replaced in one step here ({reason}); "
            "nothing was changed: run this in a clone on a local disk of Linux or macOS."
        )
