"""What is known of the image without a builder: its base, its user, its switches, and what it copies."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from repo.lib.command import ENVIRONMENT


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) in order, continued lines joined, comments left out."""
    lines = [line for line in Path("serving/Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


def all_of(name: str) -> list[str]:
    return [text for instruction, text in instructions() if instruction == name]


def test_the_base_is_pinned_by_a_digest_that_must_be_filled_in() -> None:
    """In its FROM line: Dependabot passes over a base that an ARG names."""
    base, *others = all_of("FROM")
    assert re.fullmatch(r"python:3\.11-slim@sha256:(fill-in-the-digest|[0-9a-f]{64}) AS base", base)
    assert others == ["base AS environment", "base"]
    assert all_of("ARG") == []


def test_it_runs_as_a_number_that_is_not_root_and_writes_only_to_tmp() -> None:
    (user,) = all_of("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert instructions().index(("USER", user)) > max(
        index for index, (name, _) in enumerate(instructions()) if name in ("COPY", "RUN")
    )
    assert environment()["BENTOML_HOME"].startswith("/tmp/")  # noqa: S108
    assert environment()["HOME"] == "/tmp"  # noqa: S108
    assert "PYTHONOPTIMIZE" not in environment()  # it crashes bentoml
    for name in ("BENTOML_DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY", "OTEL_SDK_DISABLED", "OMP_NUM_THREADS"):
        assert environment()[name] == ENVIRONMENT[name]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for text in all_of("ENV") for pair in shlex.split(text))


def test_it_installs_the_lock_by_hash_and_neither_compiler_nor_git() -> None:
    text = " ".join(all_of("RUN"))
    for flag in ("--require-hashes", "--only-binary :all:", "--no-cache-dir"):
        assert flag in text
    for word in ("apt", "gcc", "git", "torch", "curl", "wget"):
        assert word not in re.split(r"[^a-z]+", text)
    assert "://" not in text.replace("http://127.0.0.1:3000", "")  # itself, while it is built
    assert not all_of("ADD")
    lock = Path("requirements/serving.txt").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)
    assert {"bentoml", "onnxruntime", "numpy", "msgspec", "uvloop", "httptools"} <= set(names)
    assert not {"torch", "polars", "pandera", "onnx", "dvc", "pandas"} & set(names)
    assert lock.count("--hash=sha256:") >= len(names)
    assert "://" not in lock


def test_what_it_copies_and_starts_is_in_a_built_bento(bento: Path) -> None:
    assert (bento / "src" / "requirements.txt").is_file()
    assert "--requirement /requirements.txt" in " ".join(all_of("RUN"))
    assert all_of("COPY") == [
        "src/requirements.txt /requirements.txt",
        ". /bento",
        "--from=environment /environment /environment",
        "--from=environment /bytecode /bytecode",
        "--from=environment /bento /bento",
    ]
    (command,) = all_of("CMD")
    assert command.startswith('["python", "-m", "bentoml", "serve", "/bento"')
    assert command.endswith('"--timeout-keep-alive", "3700"]')  # longer than a proxy keeps idle connections
    assert not all_of("ENTRYPOINT")


def test_what_it_removes_exists_and_is_imported_by_nothing_served() -> None:
    removed = [
        *("onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/tools"),
        *("numpy/distutils", "numpy/f2py", "tzdata/zoneinfo"),
    ]
    script = "import sys, onnxruntime, uvicorn, bentoml; print(onnxruntime.__file__, *sys.modules)"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    place, *modules = printed.split()
    for path in removed:
        assert path in " ".join(all_of("RUN"))
        assert (Path(place).parents[1] / path).is_dir(), path
        assert path.replace("/", ".") not in modules
