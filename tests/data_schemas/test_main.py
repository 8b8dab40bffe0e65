"""The command line: what is not there is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data_schemas.examples import verb
from tests.support.specimens import DATASET_NAME


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["validate", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["ingest", "specimen_trains"], "there is no dataset 'specimen_trains'"),
        (["validate", f"data_schemas/{DATASET_NAME}/", "--table", "nowhere.csv"], "nowhere.csv is not a file"),
        (["validate", DATASET_NAME, "--table", "t.xlsx"], "neither .csv nor .parquet"),
        (["validate", DATASET_NAME], f"python -m data_schemas ingest {DATASET_NAME}"),
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
