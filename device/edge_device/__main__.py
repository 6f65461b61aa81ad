"""The `edge-run` command, `python -m edge_device`: the way in that also works where NumPy or OpenCV does not."""

import sys

from edge_device.system.interrupts import end_on_signals


def main() -> None:
    """Runs a command. `doctor` is begun before anything is imported that it may find broken."""
    if sys.argv[1:2] == ["doctor"]:
        from edge_device.doctor.command import main as doctor

        raise SystemExit(doctor(sys.argv[2:]))
    end_on_signals()
    try:
        from edge_device.cli import app
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except (ImportError, SystemError, AttributeError, ValueError) as error:
        # SystemError, AttributeError and ValueError: extensions that were built for another NumPy.
        reason = " ".join(str(error).split())
        print(f"error: {reason}; edge-run doctor tells what is wrong and how to mend it", file=sys.stderr)
        raise SystemExit(2) from None
    app(prog_name="edge-run")


if __name__ == "__main__":
    main()
