"""What all tests share: the verbs' environment, a tree of specimens as current directory, and the end of a run."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from repo.lib import command
from tests.support import forks, repository, specimens
from tests.support.process import signals_kept

command.prepare_environment()  # before any import of torch or onnxruntime, which read it once
repository.isolate()
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and tests ask what it does


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect and run in a tree of the engine and untrained specimens: relative paths never lead to the repository."""
    if session.config.pluginmanager.hasplugin("dsession"):
        return  # this process hands the tests out to workers, which start where it is
    folder = tempfile.mkdtemp(prefix="specimens-")
    session.config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.chdir(specimens.lay_out(Path(folder, "tree")))
    gc.disable()


def pytest_collection_finish() -> None:
    """What is collected lives to the end: to look for garbage in it would take a quarter of the collection's time."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of an xdist_group in one process: xdist 3.8 notes the group where pytest 9.2 no longer looks."""
    if getattr(config.option, "loadgroup", False):
        from _pytest.nodeid import coerce_node_id

        for item in items:
            item._id = coerce_node_id(getattr(item, "_nodeid", item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With STRICT set, as .ci/run does, a test that is skipped for want of a tool that is not optional is a failure."""
    report = yield
    if report.skipped and os.environ.get("STRICT") and not _reason(report).startswith("optional: "):
        report.outcome, report.longrepr = "failed", f"skipped in strict mode: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """End by saying what the run cost, and what this machine could not prove and what to install."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("not proven on this machine")
        for reason, tests in reasons.most_common():
            terminalreporter.line(f"{tests} tests: {reason}")
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in spent)
    terminalreporter.line(f"{seconds:.0f} CPU seconds so far, of all processes that have ended and this one")


def _reason(report: pytest.TestReport) -> str:
    found = report.longrepr
    return str(found[2] if isinstance(found, tuple) else found).removeprefix("Skipped: ")


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Make a folder of this name once a session, whichever of the processes asks first."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent

    def find(name: str, make: Callable[[Path], object]) -> Path:
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / f"{name}.made").exists():
                shutil.rmtree(shared / name, ignore_errors=True)  # of a try that failed
                make(shared / name)
                (shared / f"{name}.made").touch()
        return shared / name

    return find


@pytest.fixture(scope="session")
def workshop(once: Once) -> Path:
    """A repository in which the specimen was trained, judged and committed. Copy it before you change it."""
    return once("workshop", specimens.make_workshop)


@pytest.fixture(scope="session")
def frameworks(once: Once, workshop: Path) -> Path:
    """A repository with a model of each framework that is not shipped."""
    return once("frameworks", lambda root: specimens.make_frameworks(root, workshop))


@pytest.fixture(scope="session")
def built(workshop: Path) -> Path:
    """The specimen's build folder."""
    return workshop / specimens.MODEL / "build"


@pytest.fixture(scope="session")
def forked(once: Once, workshop: Path) -> Path:
    return once("forked", lambda root: forks.make_fork(root, workshop))


@pytest.fixture
def handlers_kept() -> Iterator[None]:
    with signals_kept():
        yield
