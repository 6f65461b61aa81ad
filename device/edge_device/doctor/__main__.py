"""`python -m edge_device.doctor`, the same as `edge-run doctor`."""

import sys

from edge_device.doctor.command import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
