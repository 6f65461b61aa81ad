"""The `edge-run` command, `python -m edge_device`: the way in that also works where NumPy or OpenCV does not."""

from __future__ import annotations

from edge_device.command_line.entry import run_command

TYPE_CHECKING = False  # as in edge_device/command_line/entry.py
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Runs a command."""
    run_command("edge-run", "edge_device.cli", doctor=_doctor, in_child=False)


def _doctor(arguments: Sequence[str]) -> int:
    from edge_device.doctor.command import main as doctor

    return doctor(arguments)


if __name__ == "__main__":
    main()
