"""A short run of `tests.system.endurance`, which takes a million frames when it is started by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..programs import needs


@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs("mosquitto")
def test_memory_threads_and_descriptors_do_not_grow_while_everything_fails_in_turn() -> None:
    command = [sys.executable, "-m", "tests.system.endurance", "--frames", "60000", "--every", "20000"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3500, check=False, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
