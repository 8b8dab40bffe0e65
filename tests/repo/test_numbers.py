"""Numbers of YAML 1.2, by which DVC, kustomize and Kubernetes read the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from repo.lib.files import LOADER, dump_yaml, read_yaml

NUMBERS = {"1e-3": 0.001, "5e-06": 5e-06, "1e6": 1e6, "-2.5E3": -2500.0, "1.e2": 100.0, "+1e+2": 100.0}
HASHES = ["12e4567", "1234e56", "12345e678901", "123456789e01"]


def test_a_number_with_an_exponent_is_one_for_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("".join(f"- {number}\n" for number in NUMBERS))
    assert read_yaml(path, "fix it") == list(NUMBERS.values()) == list(YAML(typ="safe").load(path))


@pytest.mark.parametrize("text", [*HASHES, *NUMBERS, "0", "1.5", "off", "2013-01", "e5", "1e"])
def test_text_stays_text_for_every_reader(text: str) -> None:
    written = dump_yaml({"version": text, "of": [1e-7, 1e22]})
    for found in (yaml.load(written, Loader=LOADER), YAML(typ="safe").load(written), yaml.safe_load(written)):  # noqa: S506
        assert found == {"version": text, "of": [1e-7, 1e22]}


@pytest.mark.parametrize("version", HASHES)
def test_a_version_that_was_written_without_quotes_stays_text(version: str) -> None:
    assert yaml.load(f"version: {version}\n", Loader=LOADER) == {"version": version}  # noqa: S506 - a safe loader
