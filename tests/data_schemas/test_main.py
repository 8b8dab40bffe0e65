"""The command line: help is there before anything heavy is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.data_schemas.examples import verb
from tests.support.specimens import DATASET_NAME

HEAVY = {"polars", "pandera", "rich", "numpy", "dvc", "yaml", "torch"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ingest", "--help"], ["validate", "--help"], ["describe", "--help"], ["new", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['data_schemas', *{arguments}]\n"
        "try:\n    runpy.run_module('data_schemas', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end:\n    print(end.code, sorted({HEAVY} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("0 []")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["ingest", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["describe", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["validate", DATASET_NAME, "--table", "nowhere.csv"], "nowhere.csv is not a file"),
        (["validate", f"data_schemas/{DATASET_NAME}/", "--table", "nowhere.csv"], "nowhere.csv is not a file"),
    ],
)
@pytest.mark.usefixtures("handlers_kept")
def test_a_wrong_name_is_one_sentence_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb(*arguments) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert (printed.out, len(printed.err.strip().splitlines())) == ("", 1)
