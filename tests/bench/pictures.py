"""Pictures of what people read: the model's report, the rehearsal's and the pull request's comment, wide and narrow.

python tests/bench/pictures.py [FOLDER] [--readme FOLDER]

They show what stands in build/ after `make rehearse`, by a headless Chromium. `--readme` writes the two small ones.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.chdir(ROOT)

from markdown_it import MarkdownIt  # noqa: E402 - after the path is set
from PIL import Image  # noqa: E402

from repo import required  # noqa: E402
from repo.lib.files import read_json, read_yaml, write  # noqa: E402
from repo.lib.refusal import Refusal  # noqa: E402
from tests.support.browser import NARROW, PROGRAM, WIDE, Browser, browser, needs_chromium  # noqa: E402

MODEL = "flight_delay"
BUILD, PICTURES = Path("models", MODEL, "build"), Path("deploy/build/pictures")
FIX = "make it with `make rehearse`"
SMALL, FIRST_SCREEN, LARGEST = 1000, 720, 150_000  # CSS pixels, and bytes, of a picture in README
MARKS = (
    ("✅", "#1a7f37", "✔"),
    ("❌", "#d1242f", "✘"),
    ("⚠️", "#9a6700", "▲"),
    ("⚪", "#59636e", "○"),
)  # fonts lack them
STYLE = """
body { font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; color: #1f2328;
  max-width: 860px; margin: 0 auto; padding: 16px; overflow-wrap: break-word; }
h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em; margin: 20px 0 12px; } h1 { font-size: 1.7em; }
h2 { font-size: 1.4em; } h3 { font-size: 1.15em; margin: 20px 0 12px; } p, ul { margin: 0 0 12px; }
code { background: #eff1f3; border-radius: 6px; padding: .2em .4em; font: 85% ui-monospace, monospace; }
pre { background: #f6f8fa; border-radius: 6px; padding: 12px; overflow: auto; } summary { cursor: pointer; }
table { display: block; width: max-content; max-width: 100%; overflow: auto; border-collapse: collapse; margin: 0; }
th, td { border: 1px solid #d1d9e0; padding: 5px 12px; } tr:nth-child(2n) { background: #f6f8fa; }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    parser.add_argument("--readme", type=Path, metavar="FOLDER", help="write comment.png and rehearsal.png for README")
    options = parser.parse_args()
    if PROGRAM is None:
        raise Refusal(f"Chromium is not on PATH; install it with `{needs_chromium.kwargs['reason']}`.")
    with tempfile.TemporaryDirectory() as temporary, browser() as opened:
        pages = found(Path(temporary))
        for name, page in pages.items():
            for width in (WIDE, NARROW):
                opened.open(page, width)
                save(options.folder / f"{name}-{width}.png", opened.picture())
        if options.readme:
            for name in ("comment", "rehearsal"):
                save(options.readme / f"{name}.png", small(opened, pages[name]))


def found(temporary: Path) -> dict[str, Path]:
    """The pages by name; the comment is put together as the workflow report.yml does."""
    rehearsals = sorted(Path("deploy/build/rehearsals", MODEL).glob("2*/report.html"))
    if not rehearsals:
        raise Refusal(f"deploy/build/rehearsals/{MODEL} has no report; {FIX}.")
    pages = {"model": BUILD / "report.html", "rehearsal": rehearsals[-1]}
    if not pages["model"].is_file():
        raise Refusal(f"{pages['model']} is missing; {FIX}.")
    parts = [BUILD / "report.md", BUILD / "contract.md", rehearsals[-1].with_name("report.md")]
    text = verdict(rehearsals[-1]) + "".join(part.read_text() for part in parts if part.is_file())
    # A chart that GitHub draws stays a line of text here.
    text = re.sub(r"(?s)```mermaid\n.*?\n```", "*(a chart, which GitHub draws)*", text)
    for sign, colour, letter in MARKS:
        text = text.replace(sign, f'<b style="color: {colour}">{letter}</b>')
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    write(temporary / "comment.html", f"{head}<style>{STYLE}</style>{body}")
    return pages | {"comment": temporary / "comment.html"}


def verdict(rehearsal: Path) -> str:
    """The comment's head, of a change to this model alone that ended as build/ says."""
    judged = read_yaml(BUILD / "passport.yaml", FIX, ("verdict",))["verdict"]
    rehearsed = read_json(rehearsal.with_name("rehearsal.json"), FIX, ("verdict",))["verdict"]
    results = {"plan": "success"} | dict.fromkeys(required.ASKED, "skipped")
    results["model"] = "success" if (judged, rehearsed) == ("pass", "promote") else "failure"
    plan = json.dumps({key: job == "model" for job, key in required.ASKED.items()})
    needs = {job: {"result": result, "outputs": {"plan": plan}} for job, result in results.items()}
    return required.markdown(required.judged(json.dumps(needs)))


def small(opened: Browser, page: Path) -> bytes:
    """Its first screen in 64 colours; one that is too large for README is refused."""
    opened.open(page, SMALL)
    picture = io.BytesIO()
    Image.open(io.BytesIO(opened.picture(FIRST_SCREEN))).quantize(64).save(picture, "PNG", optimize=True)
    if picture.tell() > LARGEST:
        raise Refusal(
            f"the small picture of {page.name} has {picture.tell():,} bytes; lower FIRST_SCREEN in {__file__}."
        )
    return picture.getvalue()


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(path)


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        sys.exit(f"pictures: {refusal}")
