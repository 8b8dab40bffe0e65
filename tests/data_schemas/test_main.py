"""The command line: help is there before anything heavy is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data_schemas.__main__ import VERBS
from tests.data_schemas.examples import verb
from tests.support.specimens import DATASET_NAME

HEAVY = {"polars", "pandera", "rich", "numpy", "dvc", "yaml", "torch"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import runpy, sys\n"
        f"for words in {[[], *[[each.name] for each in VERBS]]}:\n"
        "    sys.argv = ['data_schemas', *words, '--help']\n"
        "    try:\n        runpy.run_module('data_schemas', run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as end:\n        assert end.code == 0\n"
        f"print(sorted({HEAVY} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("usage: ") == 1 + len(VERBS)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["ingest", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["describe", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["validate", f"data_schemas/{DATASET_NAME}/", "--table", "nowhere.csv"], "nowhere.csv is not a file"),
        (["validate", DATASET_NAME, "--table", "t.xlsx"], "neither .csv nor .parquet"),
        (["validate", DATASET_NAME], f"python -m data_schemas ingest {DATASET_NAME}"),
        (["describe", DATASET_NAME], f"python -m data_schemas ingest {DATASET_NAME}"),
    ],
)
@pytest.mark.usefixtures("tree", "handlers_kept")
def test_what_is_not_there_is_one_sentence_and_exit_code_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.xlsx").touch()
    assert verb(*words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.out, len(printed.err.strip().splitlines())) == ("", 1)
