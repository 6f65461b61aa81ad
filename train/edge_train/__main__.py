"""The `edge-train` command, `python -m edge_train`: the way in that also works where NumPy or OpenCV does not."""

from __future__ import annotations

from edge_device.command_line.entry import run_command

TYPE_CHECKING = False  # as in edge_device/command_line/entry.py
if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Runs a command."""
    run_command("edge-train", "edge_train.cli", doctor=_doctor)


def _doctor(arguments: Sequence[str]) -> int:
    from edge_train.doctor.training_doctor import main as doctor

    return doctor(arguments)


if __name__ == "__main__":
    main()
