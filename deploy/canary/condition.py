"""The conditions of an AnalysisTemplate, as far as this repository writes them: `len(result) > 0 && result[0] <= 4.6`.

Argo Rollouts takes a whole expression language and compiles it at the first measurement, in the middle of a canary.
Here anything but comparisons of `len(result)` or `result[0]` with a number, joined by `&&`, is refused at the start.
"""

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repo.lib.refusal import Refusal

OPERATORS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne}
OPERATORS |= {"<": operator.lt, ">": operator.gt}
COMPARISON = re.compile(
    r"\s*(?P<left>len\(\s*result\s*\)|result\[\s*0\s*\])"
    r"\s*(?P<operator>[<>=!]=|[<>])"
    r"\s*(?P<right>-?\d+(\.\d+)?([eE][+-]?\d+)?)\s*"
)
WORDS = ("len", "result")
GRAMMAR = "only comparisons of len(result) and result[0] with a number, joined by &&, are"


@dataclass(frozen=True)
class Comparison:
    """`len(result)` if `count`, else `result[0]`, compared with `limit`."""

    count: bool
    operator: str
    limit: float


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold, from left to right; the first that does not ends it."""

    text: str
    comparisons: tuple[Comparison, ...]

    def holds(self, result: Sequence[float]) -> bool:
        """Whether it holds for the values of a query's series.

        NaN fulfils no comparison but `!=`. IndexError if `result[0]` is asked of nothing: Argo Rollouts calls such a
        measurement an Error, which `len(result) > 0 &&` in front prevents.
        """
        return all(
            OPERATORS[each.operator](len(result) if each.count else result[0], each.limit) for each in self.comparisons
        )

    @property
    def limit(self) -> tuple[str, float] | None:
        """Operator and number of the last comparison of `result[0]`; None without one."""
        found = [(each.operator, each.limit) for each in self.comparisons if not each.count]
        return found[-1] if found else None


def parse(text: Any, where: str) -> Condition:
    """Read a condition; `where` names the object and field for the Refusal of anything outside the grammar."""
    if not isinstance(text, str) or not text.strip():
        raise Refusal(f"{where} holds no condition; write one like `len(result) > 0 && result[0] <= 4.6`.")
    comparisons = []
    for part in text.split("&&"):
        match = COMPARISON.fullmatch(part)
        if match is None:
            raise Refusal(f"{where}: `{_unknown(part)}` in `{text.strip()}` is not understood: {GRAMMAR}.")
        comparisons.append(Comparison(match["left"].startswith("len"), match["operator"], float(match["right"])))
    return Condition(text.strip(), tuple(comparisons))


def _unknown(part: str) -> str:
    """What of a part is outside the grammar: a name, `||`, another index, or else the whole part."""
    names = [name for name in re.findall(r"[A-Za-z_][\w.]*", re.sub(r"\d[\d.]*[eE]", "", part)) if name not in WORDS]
    signs = re.findall(r"\|\||\{\{.*?\}\}|result\[[^\]]*\]", part)
    other = [sign for sign in signs if not re.fullmatch(r"result\[\s*0\s*\]", sign)]
    return next(iter([*other, *names]), part.strip() or "&&")
