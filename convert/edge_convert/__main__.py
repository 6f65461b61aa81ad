"""The `edge-convert` command, `python -m edge_convert`: the way in that also works where NumPy or OpenCV does not."""

from edge_device.command_line.entry import run_command


def main() -> None:
    """Runs a command."""
    run_command("edge-convert", "edge_convert.cli")


if __name__ == "__main__":
    main()
