"""Changes in trees of specimens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.repository import commit, git
from tests.support.specimens import MODEL

IMMUTABLE = (".git/objects", ".dvc/cache/files")  # never written in place, so a copy shares their bytes


def copy(source: Path, target: Path) -> Path:
    """A tree that may be changed; what is immutable in it is linked."""

    def link_or_copy(old: str, new: str) -> None:
        inner = Path(old).relative_to(source).as_posix()
        (os.link if inner.startswith(IMMUTABLE) else shutil.copy2)(old, new)

    shutil.copytree(source, target, copy_function=link_or_copy, symlinks=True)
    return target


def make_dvc() -> None:
    """All that DVC asks of a repository; its own `init` costs a second."""
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def append(path: Path | str, text: str = "\n# more\n") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a") as file:
        file.write(text)


def configure(root: Path, settings: dict[str, Any], model: Path = MODEL) -> None:
    """Change settings of model.yaml by dotted name; None deletes one."""
    path = root / model / "model.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in settings.items():
        *above, key = name.split(".")
        place = content
        for each in above:
            place = place[each]
        if value is None:
            del place[key]
        else:
            place[key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def store(root: Path, storage: str) -> None:
    """Where the bytes of weights and model.onnx live; a commit holds them or, with `dvc`, does not."""
    configure(root, {"storage": storage})
    path = root / MODEL / "dvc.yaml"
    if storage == "dvc":
        path.write_text(path.read_text().replace("cache: false", "cache: true"))
        git("rm", "-r", "--quiet", "--cached", str(MODEL / "weights"), str(MODEL / "model.onnx"), root=root)
        (root / MODEL / ".gitignore").write_text("/weights\n/model.onnx\n")  # as DVC writes it
    commit(root)
