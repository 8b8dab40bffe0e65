"""YAML as DVC, kustomize and Kubernetes read it, of which a few lines with aliases never stand for billions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from deploy.lib.passport import parse_yaml
from repo.lib.files import LOADER, dump_yaml, read_yaml
from repo.lib.refusal import Refusal

NUMBERS = {"1e-3": 0.001, "5e-06": 5e-06, "1e6": 1e6, "-2.5E3": -2500.0, "1.e2": 100.0, "+1e+2": 100.0}
HASHES = ["12e4567", "1234e56", "12345e678901", "123456789e01"]


def bomb(depth: int = 30) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text", [bomb(), "a: &a [*a]", f"vars: [model.yaml]\nstages:\n  {bomb(12).replace(chr(10), chr(10) + '  ')}"]
)
def test_a_bomb_is_refused_at_once_wherever_it_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(Refusal, match=r"its aliases make .* values of it"):
        read_yaml(path, "restore it")
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text.encode())
    with pytest.raises(yaml.YAMLError):
        list(yaml.load_all(f"b: 1\n---\n{text}", Loader=LOADER))


def test_a_few_aliases_are_as_good_as_ever() -> None:
    text = "base: &base {cpu: 1, memory: 2}\nin: {first: &first {<<: *base, cpu: 3}}\nlast: {<<: *first, memory: 4}\n"
    found = yaml.load(text, Loader=LOADER)  # noqa: S506 - a safe loader
    assert (found["in"]["first"], found["last"]) == ({"cpu": 3, "memory": 2}, {"cpu": 3, "memory": 4})


def test_a_key_that_is_there_twice_is_refused_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("a: 1\nb: {c: 1}\nd:\n  c: 1\n  e: 2\n  c: 3\n")
    with pytest.raises(Refusal, match=r"model\.yaml cannot be read \(line 6: the key 'c' is there twice\); fix it\.$"):
        read_yaml(path, "fix it")


def test_a_number_with_an_exponent_is_one_for_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("".join(f"- {number}\n" for number in NUMBERS))
    assert read_yaml(path, "fix it") == list(NUMBERS.values()) == list(YAML(typ="safe").load(path))


def test_text_stays_text_for_every_reader() -> None:
    content = {"texts": [*HASHES, *NUMBERS, "0", "1.5", "off", "2013-01", "e5", "1e"], "of": [1e-7, 1e22]}
    written = dump_yaml(content)
    for found in (yaml.load(written, Loader=LOADER), YAML(typ="safe").load(written), yaml.safe_load(written)):  # noqa: S506
        assert found == content
    unquoted = "".join(f"- {version}\n" for version in HASHES)  # as versions were once written
    assert yaml.load(unquoted, Loader=LOADER) == HASHES  # noqa: S506 - a safe loader
