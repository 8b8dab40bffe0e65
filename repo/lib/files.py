"""Files that are whole or absent: hashing, atomic writes and the lock that keeps two runs apart."""

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from repo.lib.refusal import Refusal

# libyaml where PyYAML was built with it: ten times as fast.
SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ANCHOR = re.compile(rb"(?:^|[\s,\[{:-])&[\w-]")  # libyaml's; not the && of a condition
LARGEST = 100_000  # values in one document, once every alias stands for what it names
# Numbers of YAML 1.2 (by which DVC, kustomize and Kubernetes read) that YAML 1.1, so PyYAML, takes for text.
EXPONENT = r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"
FLOAT = "tag:yaml.org,2002:float"


class LOADER(SAFE):  # type: ignore[misc]
    """A safe loader that refuses a key that is there twice, and a few lines whose aliases stand for billions of values.

    The latter before anything walks them.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        text = stream.encode() if isinstance(stream, str) else stream
        self.anchored = not isinstance(text, bytes) or ANCHOR.search(text)

    def construct_document(self, node: yaml.Node) -> Any:
        if self.anchored and (count := _expanded(node, {})) > LARGEST:
            raise yaml.YAMLError(f"its aliases make {count:.0e} values of it, more than {LARGEST:,}; write them out")
        self.flat: set[int] = set()
        return super().construct_document(node)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """DVC and kustomize refuse a key that is there twice, of which PyYAML would take the last."""
        if id(node) in self.flat:  # holds what it merges by now, and may replace it
            return
        self.flat.add(id(node))
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.YAMLError(f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice")
                seen.add((key.tag, key.value))
        super().flatten_mapping(node)


class DUMPER(yaml.SafeDumper):
    """Writes text that any reader would take for a number, such as the version 12345e678901, in quotes."""


# Seven characters or more without a sign or a point are a commit or a version that was once written without quotes.
LOADER.add_implicit_resolver(FLOAT, re.compile(rf"(?=.*[-+.]|.{{1,6}}$){EXPONENT}$"), list("-+0123456789"))
DUMPER.add_implicit_resolver(FLOAT, re.compile(rf"{EXPONENT}$"), list("-+0123456789"))


def dump_yaml(content: Any) -> str:
    """YAML of plain values, in the order of the keys."""
    return yaml.dump(content, Dumper=DUMPER, sort_keys=False, width=120)


def _expanded(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node holds with its aliases put in; endless where it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is known
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = parts if isinstance(node, yaml.CollectionNode) else []
        known[id(node)] = 1 + sum(_expanded(each, known) for each in inner)
    return known[id(node)]


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over the sorted (path, content hash) pairs: a rename or an edit changes it, a time stamp does not."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        digest.update(f"{path.as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # here, because what goes wrong with the temporary file names that one
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")  # which Git ignores
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted keys: equal content gives equal bytes. NaN and infinity are refused (ValueError)."""
    write(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, fix: str, keys: Iterable[str] = ()) -> Any:
    """Read JSON that the command `fix` makes; a Refusal if the file is missing or broken.

    With `keys` it must be a mapping that has them.
    """
    return _read(path, json.loads, f"make it with `{fix}`", keys)


def read_yaml(path: Path, fix: str, keys: Iterable[str] = ()) -> Any:
    """Read YAML; the Refusal ends in `fix`. `keys`: as in `read_json`."""
    return _read(path, lambda content: yaml.load(content, Loader=LOADER), fix, keys)  # noqa: S506 - a safe loader


def _read(path: Path, parse: Callable[[bytes], Any], fix: str, keys: Iterable[str]) -> Any:
    try:
        content = parse(path.read_bytes())
        for key in keys:
            if not isinstance(content, dict) or key not in content:
                raise ValueError(f"{key} is missing")
        return content
    except FileNotFoundError:
        raise Refusal(f"{path} is missing; {fix}.") from None
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise Refusal(f"{path} cannot be read ({' '.join(str(error).split())}); {fix}.") from None


@contextmanager
def exclusive(path: Path, work: str) -> Iterator[None]:
    """Hold the lock file `path` for the block; refuse at once if another process holds it. Freed even by a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise Refusal(
                f"{work} is already running (process {file.read().strip() or 'unknown'}); wait for it."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
