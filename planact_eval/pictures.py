"""Screenshots of a run for a page that opens offline: read from the run's folder only, and as many as there is room for."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from planact.types import Observation
from planact_eval.episode_view import Text

MAX_PICTURES = 40_000_000  # bytes of all screenshots together, before base64; ours
MAX_PICTURE = 4_000_000  # bytes of one screenshot; ours
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Pictures:
    """Called with a page, gives (data: URI or "", why it is not shown or "")."""

    folder: Path  # the run's
    room: float = MAX_PICTURES
    largest: float = MAX_PICTURE
    shown: set[Path] = field(default_factory=set)

    def __call__(self, page: Observation) -> tuple[str, str]:
        if not page.screenshot:
            return "", ""
        path = inside(self.folder, page.screenshot)
        if path is None:
            return "", "the file is not in the run folder"
        if path in self.shown:  # a turn without effect stays on its page
            return "", "the same as above"
        size = path.stat().st_size
        if size > min(self.largest, self.room):
            return "", f"{size / 1e6:.1f} MB, left out; --full shows it"
        png = path.read_bytes()
        if not png.startswith(PNG):
            return "", "the file is no PNG"
        self.room -= size
        self.shown.add(path)
        return Text(f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"), ""


def inside(folder: Path, recorded: str) -> Path | None:
    """The file that was recorded as a page's screenshot, where it lies in `folder`; None when it does not, also by way of a link.

    The run folder may have moved since: what counts of the recorded path is what comes after the folder's name.
    """
    parts = Path(recorded).parts
    folder = folder.resolve()
    if "\0" in recorded or folder.name not in parts:
        return None
    after = parts[len(parts) - parts[::-1].index(folder.name) :]
    try:
        path = folder.joinpath(*after).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except OSError:  # a name that no file can have, or a loop of links
        return None
