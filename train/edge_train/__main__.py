"""The `edge-train` command, `python -m edge_train`: the way in that also works where NumPy or OpenCV does not."""

import sys


def main() -> None:
    """Runs a command. `doctor` is begun before anything is imported that it may find broken."""
    if sys.argv[1:2] == ["doctor"]:
        from edge_train.doctor.training_doctor import main as doctor

        raise SystemExit(doctor(sys.argv[2:]))
    try:
        from edge_train.cli import app
    except (ImportError, SystemError, AttributeError, ValueError) as error:
        # SystemError, AttributeError and ValueError: extensions that were built for another NumPy.
        reason = " ".join(str(error).split())
        print(f"error: {reason}; edge-train doctor tells what is wrong and how to mend it", file=sys.stderr)
        raise SystemExit(2) from None
    app(prog_name="edge-train")


if __name__ == "__main__":
    main()
