"""The command line: help is there before anything heavy is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.data_schemas.examples import REPOSITORY

HEAVY = {"polars", "pandera", "rich", "numpy", "dvc", "yaml", "torch"}


@pytest.mark.parametrize("arguments", [["--help"], ["ingest", "--help"], ["validate", "--help"], ["profile", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['data_schemas', *{arguments}]\n"
        "try:\n    runpy.run_module('data_schemas', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end:\n    print(end.code, sorted({HEAVY} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("0 []")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "trains"], "there is no dataset 'trains'"),
        (["ingest", "trains"], "there is no dataset 'trains'"),
        (["profile", "trains"], "there is no dataset 'trains'"),
        (["validate", "flights", "--table", "nowhere.csv"], "nowhere.csv is no file"),
    ],
)
def test_a_wrong_name_is_one_sentence_and_exit_code_2(arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "data_schemas", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
