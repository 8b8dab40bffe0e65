"""How every stage turns `python -m <stage> <verb> <noun>` into a call, an exit code and, when refused, one sentence."""

import argparse
import atexit
import errno
import gc
import importlib
import io
import locale
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from repo.lib.refusal import Ended, Refusal

STAGES = ("repo", "data_schemas", "models", "serving", "deploy")
# The one place where the environment of every verb, and of every process it starts, is set.
ENVIRONMENT = {
    # Telemetry is off unless a person sets these otherwise.
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.32 uploads from Linux, too, and keeps a device id under ~/.cache
    "OTEL_SDK_DISABLED": "true",  # bentoml traces to nowhere at 15 % of its CPU otherwise
    # Training and inference run on one thread: other counts give other bits, and slow each other down on busy cores.
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # The same bits on every x86-64 machine: library code paths are not chosen by the processor's extensions.
    "MKL_CBWR": "COMPATIBLE",
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
}


@dataclass(frozen=True)
class Verb:
    """One row of a stage's table: `<stage>/<name>.py` must define `main(options) -> int` (the exit code)."""

    name: str
    summary: str
    arguments: Sequence[tuple[str, dict[str, Any]]] = ()
    alone: bool = False  # it writes into the tree what another verb reads, so one at a time; not so with --push


SINCE = ("--since", {"default": "main", "metavar": "BASE", "help": "the change is all that differs (default: main)"})


def noun(text: str) -> str:
    """The folder that a person names as the shell completes it (models/wait_time/), a cluster as wait-time."""
    parts = PurePath(text).parts
    known = len(parts) == 1 or (len(parts) == 2 and parts[0] in ("data_schemas", "models"))
    return parts[-1].replace("-", "_") if known else text


def prepare_environment() -> None:
    """Set ENVIRONMENT where a person has not set it, and let child processes find this environment's tools first."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # .absolute(), not .resolve(): the interpreter of a virtual environment is a link out of it.
    tools = str(Path(sys.executable).absolute().parent)
    if tools not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = tools + os.pathsep + os.environ.get("PATH", "")
    # What is imported lives to the end: to look for garbage among it, and to take it apart at the exit, would take a
    # third of the time of a verb that imports torch or pandera.
    gc.set_threshold(50_000, 30, 30)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def environment_of_tests() -> dict[str, str]:
    """For a pytest whose verdict counts: what a person set for runs of their own must not choose the tests."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}


def use_utf8() -> None:
    """Read files and other programs as UTF-8 whatever the locale; what an output cannot show is printed as `?`.

    A terminal gets the encoding of its locale, other output UTF-8 unless PYTHONIOENCODING says otherwise. Python
    chooses how it reads once, at its start: a process that chose otherwise starts again, so only `__main__` calls this.
    """
    utf8 = sys.flags.utf8_mode or "utf8" in sys._xoptions or locale.getencoding().lower() in ("utf-8", "utf8")
    if not utf8:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very command
    os.environ["PYTHONUTF8"] = "1"
    chosen = os.environ.pop("PYTHONIOENCODING", None)  # what child processes print is read here, as UTF-8
    of_terminal = None if chosen or locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX") else locale.getencoding()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=of_terminal if stream.isatty() else None, errors="replace")


def working(on: str) -> AbstractContextManager[object]:
    """A spinner while something without steps takes longer than two seconds; nothing where no person watches."""
    from rich.console import Console

    return Console(stderr=True).status(on)


def parser(stage: str, verbs: Sequence[Verb]) -> argparse.ArgumentParser:
    """The command line of a stage; the chosen verb's name becomes `verb`."""
    parser = argparse.ArgumentParser(prog=f"python -m {stage}", allow_abbrev=False)
    table = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for verb in verbs:
        row = table.add_parser(verb.name, help=verb.summary, description=verb.summary, allow_abbrev=False)
        for flag, settings in verb.arguments:
            row.add_argument(flag, **settings)
    return parser


def run(stage: str, verbs: Sequence[Verb], arguments: Sequence[str] | None = None, lock: Path | None = None) -> int:
    """Run one verb and return its exit code; the verb's module is imported only once it is chosen.

    With `lock` verbs that work alone do, but for the stages that DVC starts: they run below the verb that holds it.
    """
    options = parser(stage, verbs).parse_args(arguments)
    alone = any(verb.alone for verb in verbs if verb.name == options.verb) and not getattr(options, "push", None)
    try:
        if not (Path("pyproject.toml").is_file() and Path(stage, "__main__.py").is_file()):
            raise Refusal(f"{Path.cwd()} is not the root of the repository; change to it and run again.")
        prepare_environment()
        # A verb that is asked to end unwinds like an interrupted one, so that no server or half-written file is left.
        for ending in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(ending) != signal.SIG_IGN:  # as under nohup
                signal.signal(ending, end_on_signal)
        below = "DVC_STAGE" in os.environ  # DVC sets it for every stage
        with _exclusive(lock, stage) if lock and alone and not below else nullcontext():
            code = int(importlib.import_module(f"{stage}.{options.verb}").main(options))
            sys.stdout.flush()  # here, where a fault of it has a sentence
            return code
    except Refusal as refusal:
        print(f"{stage} {options.verb}: {refusal}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in STAGES:
            raise
        text = f"the package {error.name} is missing; `make env`, then `source .venv/bin/activate`, and run again."
        print(f"{stage} {options.verb}: {text}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output has enough of it, as `head` has; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        text = f"{error.filename or 'the output'}: {error.strerror}; fix that path and run again."
        print(f"{stage} {options.verb}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{stage} {options.verb}: interrupted; nothing half-written was left.", file=sys.stderr)
        return 130


def end_on_signal(number: int, _: object) -> None:
    raise Ended(128 + number)


def _exclusive(lock: Path, stage: str) -> AbstractContextManager[None]:
    from repo.lib.files import exclusive  # it imports yaml, which `--help` need not

    return exclusive(lock, f"`python -m {stage}`")
