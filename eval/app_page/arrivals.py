"""Uploads as they arrive: counted against the quota of all uploads together, while Gradio writes them."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fastapi import Request

from eval.app_page.folders import Folders, size
from eval.serving.admission import SECONDS, Refused

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
PARTS: ContextVar[str] = ContextVar("PARTS")  # the folder of the upload that is being read


def part_file(delete: bool) -> IO[bytes]:
    """What Gradio writes a file of an upload into, until it is whole. It leaves it behind after most faults."""
    return tempfile.NamedTemporaryFile(delete=delete, dir=PARTS.get())


@dataclass
class Arrivals:
    """All uploads of a run."""

    folders: Folders
    quota: int  # bytes of all of them
    arriving: int = 0  # bytes of uploads that have not ended
    ended: int = 0  # bytes of uploads that ended since the files were counted last
    disk: int = 0  # bytes of files when they were counted last
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def counted(self, request: Request, receive: Receive) -> AsyncIterator[Receive]:
        """Yields what an upload is read with. Both raise Refused; this for one that is announced as too large.

        What has not become a whole file at the end is deleted.
        """
        length = request.headers.get("content-length", "")
        await self._check(int(length) if length.isdecimal() and len(length) < 20 else 0)
        folder, mine = Path(tempfile.mkdtemp(dir=self.folders.parts)), 0

        async def read() -> MutableMapping[str, Any]:
            nonlocal mine
            try:
                async with asyncio.timeout(SECONDS):
                    message = await receive()
            except TimeoutError:
                raise Refused(408, "timeout", f"nothing of the upload arrived for {SECONDS} seconds") from None
            request.state.read = not message.get("more_body", False)
            mine += len(message.get("body", b""))
            self.arriving += len(message.get("body", b""))
            if self.disk + self.ended + self.arriving > self.quota:
                await self._check(0)
            return message

        PARTS.set(str(folder))
        try:
            yield read
            self.ended += mine
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.arriving -= mine

    async def _check(self, more: int) -> None:
        """Count the files, some of which may have been deleted. Raises Refused if there is no room for more bytes."""
        async with self.counting:
            ended = self.ended
            self.disk = await asyncio.to_thread(size, self.folders.uploads)
            self.ended -= ended
        if self.disk + self.ended + self.arriving + more > self.quota:
            limit = f"{self.quota:,} bytes (--upload-quota)"
            raise Refused(507, "quota", f"the uploads of all visitors may have {limit}; try again in an hour")
