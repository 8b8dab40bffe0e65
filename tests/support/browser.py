"""A headless Chromium, which measures pages and draws them: DevTools protocol over a pipe, so no port is open."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="apt-get install --no-install-recommends chromium")
WIDE, NARROW = 1280, 420  # CSS pixels: a laptop's window, and a telephone
SECONDS = 60.0  # that an answer may take
OPTIONS = (
    *("--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
)
# Elements and texts that end beyond the window, and a drawing's texts beyond the drawing, which cuts them: tag, place
# and first words. What is folded is opened before.
BEYOND = """
document.querySelectorAll("details").forEach(each => each.open = true);
const page = {left: 0, right: document.documentElement.clientWidth}, found = [];
const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
for (let node = nodes.currentNode; node; node = nodes.nextNode()) {
  const element = node.nodeType == Node.TEXT_NODE ? node.parentElement : node, range = document.createRange();
  range.selectNode(node);
  const box = (node === element ? node : range).getBoundingClientRect();
  const drawing = element.closest("svg text") ? element.closest("svg").getBoundingClientRect() : page;
  if (box.width && (box.right > drawing.right + 0.5 || box.left < drawing.left - 0.5))
    found.push(`${element.tagName} to ${Math.round(box.right)}: ${node.textContent.trim().slice(0, 40)}`);
}
found
"""


class Browser:
    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer, self._rest, self._count = reader, writer, b"", 0
        self._session: dict[str, str] = {}
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        self._ask("Page.enable")

    def open(self, page: Path, width: int, height: int = 900) -> None:
        """Return once the page is loaded, in a window of this size in CSS pixels."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        found = self._ask("Page.navigate", url=page.absolute().as_uri())
        assert "errorText" not in found, f"{page}: {found['errorText']}"
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, script: str) -> Any:
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def beyond(self) -> list[str]:
        """What of the open page is wider than the window."""
        found: list[str] = self.evaluate(BEYOND)
        return found

    def picture(self, height: int | None = None) -> bytes:
        """PNG of the open page, as high as the page unless a height in CSS pixels is given."""
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        return base64.b64decode(self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters} | self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            pass
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        """The next answer or event."""
        end = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, end - time.monotonic()))
            content = os.read(self._reader, 1 << 20) if ready else b""
            assert content, "Chromium ended or gives no answer"
            self._rest += content
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def browser() -> Iterator[Browser]:
    """One Chromium with a profile of its own; both are gone at the end."""
    assert PROGRAM is not None
    asked, answers = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = [*OPTIONS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        script = f'exec "$0" "$@" 3<&{asked[0]} 4>&{answers[1]}'  # it reads 3 and writes 4
        process = subprocess.Popen(
            ["bash", "-c", script, PROGRAM, *options],
            pass_fds=(asked[0], answers[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": profile},
        )
        os.close(asked[0])
        os.close(answers[1])
        try:
            yield Browser(answers[0], asked[1])
        finally:
            os.close(asked[1])  # at its end Chromium ends as well
            os.close(answers[0])
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
