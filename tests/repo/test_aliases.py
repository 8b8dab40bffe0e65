"""A few lines of YAML whose aliases stand for billions of values are refused before anything walks them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.lib import release
from repo.lib.files import LOADER, read_yaml
from repo.lib.refusal import Refusal


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
        release.parse_yaml(text.encode())
    with pytest.raises(yaml.YAMLError):
        list(yaml.load_all(f"b: 1\n---\n{text}", Loader=LOADER))


def test_a_few_aliases_are_as_good_as_ever() -> None:
    text = "base: &base {cpu: 1, memory: 2}\nfirst: {<<: *base, cpu: 3}\nsecond: *base\n"
    found = yaml.load(text, Loader=LOADER)  # noqa: S506 - a safe loader
    assert found["first"] == {"cpu": 3, "memory": 2}
    assert found["second"] == {"cpu": 1, "memory": 2}
