"""Options that several commands have, and what reads them."""

import re
import sys
from getpass import getpass
from pathlib import Path

import typer

from edge_bench.results.report import BenchReport
from edge_core.errors import ReportError


def parse_share(text: str, option: str) -> float:
    """`2%` or `0.02`.

    Raises:
        typer.BadParameter: Neither.
    """
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,6})?)\s*(%?)", text, re.ASCII)
    if not match:
        raise typer.BadParameter(f"{text!r} is no share such as 2%", param_hint=option)
    return float(match[1]) / (100 if match[2] else 1)


def ask_password_of(host: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on", param_hint="--ask-password")
    return getpass(f"Password of {host}: ")


def read_report(path: Path) -> BenchReport:
    try:
        return BenchReport.from_json(path.read_text("utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except (ReportError, UnicodeDecodeError) as error:
        raise ReportError(f"{path}: {error}") from error
