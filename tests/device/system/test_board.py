"""What a board says of itself, read from file systems as boards have them."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_device.system.board import Readings, Sensors, decode_throttled, read_board, read_throttled

ZONE = "sys/class/thermal/thermal_zone"
FREQUENCY = "sys/devices/system/cpu/cpufreq/policy"

PI_4 = {
    "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/self/statm": b"30000 10000 4000 1 0 9000 0\n",
    f"{ZONE}0/type": b"cpu-thermal\n",
    f"{ZONE}0/temp": b"48312\n",
    f"{FREQUENCY}0/scaling_cur_freq": b"1500000\n",
    f"{FREQUENCY}0/scaling_governor": b"ondemand\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": b"50005\n",
}


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def never() -> int | None:
    raise AssertionError("vcgencmd was asked")


def test_a_raspberry_pi_is_read_whole(tmp_path: Path) -> None:
    root = tree(tmp_path, PI_4)
    board = read_board(root)
    assert (board.model, board.is_raspberry_pi) == ("Raspberry Pi 4 Model B Rev 1.4", True)
    assert Sensors(root, never).read() == Readings(
        temperature_c=48.312,
        throttled=("under-voltage", "throttled"),
        throttled_before=("under-voltage", "throttled"),
        clock_mhz=1500.0,
        governor="ondemand",
        memory_mb=10000 * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


def test_a_pc_names_its_maker_and_has_nothing_to_be_throttled_by(tmp_path: Path) -> None:
    names = {"sys/class/dmi/id/sys_vendor": b"Dell Inc.\n", "sys/class/dmi/id/product_name": b"OptiPlex 7010\n"}
    board = read_board(tree(tmp_path, names))
    assert (board.model, board.is_raspberry_pi) == ("Dell Inc. OptiPlex 7010", False)
    assert Sensors(tmp_path, never).read() == Readings()


def test_this_machine_is_read_without_an_error() -> None:
    board, readings = read_board(), Sensors().read()
    assert board.model
    assert board.bits == 64
    resident_kb = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    assert readings.memory_mb == pytest.approx(int(resident_kb.split()[1]) * 1024 / 1e6, rel=0.2)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{ZONE}0/type": b"acpitz", f"{ZONE}0/temp": b"27800"}, None),
        (
            {
                f"{ZONE}0/type": b"acpitz",
                f"{ZONE}0/temp": b"27800",
                f"{ZONE}1/type": b"x86_pkg_temp",
                f"{ZONE}1/temp": b"61000",
            },
            61.0,
        ),
        (
            {
                f"{ZONE}0/type": b"gpu-thermal",
                f"{ZONE}0/temp": b"90000",
                f"{ZONE}1/type": b"bigcore0-cpu-thermal",
                f"{ZONE}1/temp": b"55000",
                f"{ZONE}2/type": b"littlecore-cpu-thermal",
                f"{ZONE}2/temp": b"50500",
            },
            55.0,
        ),
        ({"sys/class/hwmon/hwmon2/name": b"k10temp", "sys/class/hwmon/hwmon2/temp1_input": b"43250"}, 43.25),
        ({"sys/class/hwmon/hwmon2/name": b"nvme", "sys/class/hwmon/hwmon2/temp1_input": b"43250"}, None),
        ({f"{ZONE}0/type": b"cpu-thermal", f"{ZONE}0/temp": b"-274000"}, None),
        ({f"{ZONE}0/type": b"cpu-thermal", f"{ZONE}0/temp": b""}, None),
    ],
)
def test_the_temperature_is_the_processors(tmp_path: Path, files: dict[str, bytes], expected: float | None) -> None:
    assert Sensors(tree(tmp_path, files)).read().temperature_c == expected


def test_vcgencmd_is_asked_where_the_kernel_does_not_tell_and_not_for_every_reading(tmp_path: Path) -> None:
    asked = []

    def vcgencmd() -> int:
        asked.append(1)
        return 0x80008

    sensors = Sensors(tree(tmp_path, {"proc/device-tree/model": PI_4["proc/device-tree/model"]}), vcgencmd)
    readings = [sensors.read() for _ in range(5)]
    assert len(asked) == 1
    assert {reading.throttled for reading in readings} == {("soft temperature limit",)}


def test_a_sensor_that_vanishes_is_no_error(tmp_path: Path) -> None:
    sensors = Sensors(tree(tmp_path, PI_4), never)
    for name in PI_4:
        (tmp_path / name).unlink()
    assert sensors.read() == Readings()


@given(content=st.binary(max_size=40) | st.integers().map(lambda number: str(number).encode()))
def test_nothing_that_a_file_can_hold_is_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("board")
    kinds = {f"{ZONE}0/type": b"cpu-thermal", "proc/device-tree/model": PI_4["proc/device-tree/model"]}
    readings = Sensors(tree(root, {name: content for name in PI_4} | kinds), never).read()
    assert readings.temperature_c is None or -40 < readings.temperature_c < 150
    assert readings.memory_mb >= 0


@given(st.integers(0, 2**32 - 1))
def test_every_throttle_bit_is_told_apart(value: int) -> None:
    now, before = decode_throttled(value)
    assert (len(now), len(before)) == ((value & 0xF).bit_count(), (value >> 16 & 0xF).bit_count())
    assert read_throttled(f"throttled={value:#x}\n") == value


@pytest.mark.parametrize("answer", ["", "error=1 error_msg=...", "throttled=", "throttled=0x1 0x2", "0x0"])
def test_another_answer_of_vcgencmd_is_none(answer: str) -> None:
    assert read_throttled(answer) is None
