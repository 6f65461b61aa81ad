"""`edge-train doctor`."""

from typing import Annotated

import typer

from edge_train.doctor.training_doctor import main as examine_computer


# Takes what it is given as it is; `__main__` hands it on before anything of this is imported.
def doctor(options: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Find out what keeps this computer from training, or from training on its GPU.

    Example: edge-train doctor
    """
    raise SystemExit(examine_computer(options or []))
