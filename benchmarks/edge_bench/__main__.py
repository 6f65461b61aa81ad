"""The `edge-bench` command, `python -m edge_bench`: the way in that also works where NumPy or OpenCV does not."""

from edge_device.command_line.entry import run_command


def main() -> None:
    """Runs a command."""
    run_command("edge-bench", "edge_bench.cli")


if __name__ == "__main__":
    main()
