"""Programs beside Python: where they are, and what a test says that has to do without one."""

import os
import shutil
import subprocess
from types import TracebackType
from typing import AnyStr

import pytest

_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

BY_DEPS = "`make deps` installs it"
"""How the reason of a skipped test ends where the Makefile can help."""


def program(*names: str) -> str | None:
    """The path of the first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name, path=_PLACES))), None)


def missing(name: str) -> str:
    """Why a test is skipped for want of a program."""
    return f"{name} is not installed; {BY_DEPS}"


def needs(name: str, *others: str) -> pytest.MarkDecorator:
    """Marks a test that is skipped where neither this program nor one of the others is installed."""
    return pytest.mark.skipif(program(name, *others) is None, reason=missing(name))


class Started(subprocess.Popen[AnyStr]):
    """A process that does not outlive the `with` block that it is used in, whatever ends that: a failed test, a time
    limit."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)
