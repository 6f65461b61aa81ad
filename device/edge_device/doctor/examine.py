"""All examinations, one after the other; one that fails is itself a finding."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from edge_device.doctor import hardware as devices
from edge_device.doctor import software, system
from edge_device.doctor.findings import Finding, Report
from edge_device.doctor.machine_facts import Host

Examination = Callable[[Host], Iterator[Finding]]

EXAMINATIONS: Final[dict[str, Examination]] = {
    "board": system.board,
    "system": system.system,
    "python": system.python,
    "numpy": software.numpy,
    "opencv": software.opencv,
    "runtimes": software.runtimes,
    "cameras": devices.cameras,
    "in-use": devices.in_use,
    "coral": devices.coral,
    "throttling": system.supply,
    "temperature": system.temperature,
    "disk": system.disk,
    "memory": system.memory,
    "clock": system.clock,
    "journal": system.journal,
}


def examine(
    host: Host | None = None, model: str | None = None, tell: Callable[[str], None] = lambda name: None
) -> Report:
    """Looks at everything; takes seconds on a PC and up to a minute on a small board.

    Args:
        host: The system; this one by default.
        model: A file that is run with every interpreter, too.
        tell: Gets the name of what is looked at next.
    """
    examinations = dict(EXAMINATIONS)
    if model is not None:
        examinations["model"] = partial(software.model, path=model)
    return look(examinations, host or Host(), tell)


def look(examinations: Mapping[str, Examination], host: Host, tell: Callable[[str], None]) -> Report:
    """Makes examinations in order; `tell` gets the name of each before it begins."""
    findings: list[Finding] = []
    for name, examination in examinations.items():
        tell(name)
        try:
            findings += examination(host)
        except Exception as error:  # noqa: BLE001 - the next one may well find what is wrong
            text = f"this could not be looked at: {type(error).__name__}: {error}"
            findings.append(Finding(name, "warning", text, "report it, please"))
    return Report(tuple(findings))
