"""`data.dvc`, the committed pointer that pins a dataset's version; DVC reads it, too."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from data_schemas.lib import datasets
from repo.lib import files
from repo.lib.refusal import Refusal


@dataclass(frozen=True)
class Version:
    """What DVC records of a folder. Equal hash, equal names and bytes."""

    hash: str  # 32 hex digits and ".dir"
    size: int  # bytes
    nfiles: int
    quarantined: int = field(default=0, compare=False)  # rows of the source that broke the contract and are not in it

    @property
    def short(self) -> str:
        return self.hash[:12]


def path(dataset: str) -> Path:
    return datasets.folder(dataset) / "data.dvc"


def hashes(folder: Path) -> dict[str, str]:
    """MD5 of each file below a folder, by relative path; DVC's content address. No folder, no files."""
    return {
        file.relative_to(folder).as_posix(): hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def measure(folder: Path) -> Version:
    """The version that `dvc add` would record: the MD5 of its JSON listing, sorted by path."""
    listing = [{"md5": value, "relpath": name} for name, value in hashes(folder).items()]
    content = json.dumps(listing, sort_keys=True).encode()
    size = sum((folder / entry["relpath"]).stat().st_size for entry in listing)
    return Version(f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir", size, len(listing))


def pinned(dataset: str) -> Version | None:
    """The committed version; None before the first ingest. A broken pointer is refused."""
    pointer = path(dataset)
    if not pointer.exists():
        return None
    content = files.read_yaml(pointer, f"restore it with `git checkout -- {pointer}`")
    try:
        output, meta = content["outs"][0], content.get("meta") or {}
        return Version(str(output["md5"]), int(output["size"]), int(output["nfiles"]), int(meta.get("quarantined", 0)))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError):
        raise Refusal(
            f"{pointer} is not a DVC pointer to a folder; restore it with `git checkout -- {pointer}`."
        ) from None


def demand(dataset: str) -> Version:
    """The committed version; refused where nothing is pinned."""
    if (version := pinned(dataset)) is None:
        fix = f"pin the data with `python -m data_schemas ingest {dataset}`, and commit it"
        raise Refusal(f"{path(dataset)} is missing; {fix}.")
    return version


def pin(dataset: str, version: Version) -> None:
    """Write the pointer as `dvc add` would, byte for byte; DVC leaves `meta` to us and keeps it."""
    output = {"md5": version.hash, "size": version.size, "nfiles": version.nfiles, "hash": "md5", "path": "data"}
    meta = {"meta": {"quarantined": version.quarantined}} if version.quarantined else {}
    files.write(path(dataset), files.dump_yaml({"outs": [output], **meta}))
