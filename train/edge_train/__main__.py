"""The `edge-train` command, `python -m edge_train`: the way in that also works where NumPy or OpenCV does not."""

from collections.abc import Sequence

from edge_device.command_line.entry import run_command


def main() -> None:
    """Runs a command."""
    run_command("edge-train", "edge_train.cli", doctor=_doctor)


def _doctor(arguments: Sequence[str]) -> int:
    from edge_train.doctor.training_doctor import main as doctor

    return doctor(arguments)


if __name__ == "__main__":
    main()
