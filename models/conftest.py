"""The environment of the verbs for every test, also for `pytest models/<name>/test_behaviour.py` by itself."""

import os
from pathlib import Path

from repo.lib import command

ROOT = Path(__file__).parents[1]

# Before any import of torch or onnxruntime: they read the environment once. Paths of verbs start at the root.
os.chdir(ROOT)
command.prepare_environment()


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """The tests of a model find its own packages."""
    from models.lib import config, packages

    if module_path.is_relative_to(ROOT / "models") and (name := module_path.parent.name) in config.names():
        packages.activate(config.load(name, check_columns=False))
