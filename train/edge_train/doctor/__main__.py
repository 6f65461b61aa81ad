"""`python -m edge_train.doctor`, the same as `edge-train doctor`."""

import sys

from edge_train.doctor.training_doctor import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
