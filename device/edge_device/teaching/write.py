"""A taught file takes its place, and the one before it can come back."""

import os
from pathlib import Path

from edge_core.artifact.seal import check_seal
from edge_core.errors import OutputError
from edge_core.files import written_whole
from edge_device.teaching.teach import Taught


def previous_file(path: Path) -> Path:
    """Where the file that was replaced is kept: `flowers.previous.tflite` beside `flowers.tflite`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_taught(taught: Taught, out: Path) -> Path | None:
    """Writes a taught file whole or not at all, on the disk when this returns; a file that was there is kept as
    `previous_file` says.

    Returns:
        The file that was kept; None where there was none.

    Raises:
        OutputError: A file cannot be written; what was there is still there.
    """
    kept = previous_file(out) if out.exists() else None
    # The copy first, so that the old content is at one of the two places at any moment.
    if kept:
        with written_whole(kept, durable=True) as beside:
            beside.write_bytes(out.read_bytes())
    with written_whole(out, durable=True) as beside:
        beside.write_bytes(taught.artifact)
    return kept


def undo(path: Path) -> None:
    """Brings the file back that was replaced last; undoing once more brings back the taught one.

    Raises:
        OutputError: Nothing was replaced, or the files cannot be exchanged.
        ModelFormatError: The file that was kept is damaged.
    """
    kept = previous_file(path)
    if not kept.is_file():
        raise OutputError(f"there is no {kept.name} beside {path}, so nothing was taught that could be undone")
    check_seal(kept)
    content, before = path.read_bytes() if path.exists() else None, kept.read_bytes()
    if content is None:
        with written_whole(path, durable=True) as beside:
            beside.write_bytes(before)
        os.unlink(kept)
        return
    # Both are written before either takes its place: on a disk that is full, neither content is lost.
    with written_whole(kept, durable=True) as kept_beside:
        kept_beside.write_bytes(content)
        with written_whole(path, durable=True) as beside:
            beside.write_bytes(before)
