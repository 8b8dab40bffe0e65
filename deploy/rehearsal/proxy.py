"""A real weighted split: HAProxy in front of both servers, its weights changed while requests are under way."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from deploy.rehearsal import tool
from repo.lib.refusal import Refusal
from repo.lib.templates import template
from serving import serve

# Which arm a request went to; and that this arm, not HAProxy in its place, answered it.
ARM, ANSWERED = "x-rehearsal-arm", "x-rehearsal-answered"
SERVER_SECONDS = 4  # without an answer by then HAProxy answers, and names the arm, before the client gives up


class Proxy:
    """A running HAProxy."""

    def __init__(self, address: str, admin: int) -> None:
        self.address = address
        self._admin = admin  # the port that takes commands

    async def weigh(self, candidate: int) -> None:
        """Send this percentage of requests to the candidate from now on."""
        command = f"set server arms/champion weight {100 - candidate}; set server arms/candidate weight {candidate}\n"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._admin)
            writer.write(command.encode())
            answer = (await reader.read()).decode().strip()
            writer.close()
            await writer.wait_closed()
        except OSError as error:
            answer = str(error)
        if answer:
            raise Refusal(f"HAProxy did not take the weight {candidate}: {answer}")


def find() -> str | None:
    """The program; Debian keeps it in a folder that only root has on PATH."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def start(champion: str, candidate: str, folder: Path) -> Iterator[Proxy]:
    """Start one in front of two servers (http://host:port), all weight on the champion; `folder` is its own."""
    folder.mkdir()
    port, admin = serve.free_port(), serve.free_port()
    servers = {"champion": champion.removeprefix("http://"), "candidate": candidate.removeprefix("http://")}
    about = {"admin": admin, "port": port, "arm": ARM, "answered": ANSWERED, "seconds": SERVER_SECONDS}
    text = template(Path(__file__).with_name("haproxy.cfg.jinja")).render(about, **servers)
    (folder / "haproxy.cfg").write_text(text)
    command = [find() or "haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
    with tool.running(command, folder / "haproxy.log", lambda: _listens(port) and _listens(admin)):
        yield Proxy(f"http://127.0.0.1:{port}", admin)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
