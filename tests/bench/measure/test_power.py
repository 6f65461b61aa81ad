from pathlib import Path

import pytest

from edge_bench.measure.power import Log, find_meter
from edge_core.errors import SettingsError


def write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{number}\n")


def test_counters_of_the_processor_are_differences_and_may_start_anew(tmp_path: Path) -> None:
    package = tmp_path / "sys/class/powercap/intel-rapl:0"
    write(package / "energy_uj", 9_000_000)
    write(package / "max_energy_range_uj", 10_000_000)
    write(tmp_path / "sys/class/powercap/intel-rapl:0:0/energy_uj", 5)  # a part of the package, not to be added
    meter = find_meter(tmp_path)
    assert meter is not None and "RAPL" in meter.source
    begin = meter.sample()
    write(package / "energy_uj", 1_000_000)  # 2 J later, past its range
    end = meter.sample()
    assert end.value - begin.value == pytest.approx(2)
    (package / "energy_uj").unlink()
    assert meter.sample().value == end.value
    write(package / "energy_uj", 2_000_000)
    assert meter.sample().value - end.value == pytest.approx(1)


def test_a_power_sensor_of_the_board_is_preferred(tmp_path: Path) -> None:
    write(tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj", 0)
    for number, microwatts in enumerate((3_000_000, 1_500_000), 1):
        write(tmp_path / f"sys/class/hwmon/hwmon2/power{number}_input", microwatts)
    meter = find_meter(tmp_path)
    assert meter is not None and "hwmon" in meter.source
    assert meter.mean_watts(meter.sample(), meter.sample()) == pytest.approx(4.5)


def test_nothing_measures_power(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None


def test_a_log_is_integrated_between_its_readings(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    path.write_text("time,watts,volts\n1001,4,5\n1000,2,5\n1002,4,5\n")
    log = Log(path)
    assert log.mean_watts(1000.5, 1001.5) == pytest.approx((0.5 * 3.5 + 0.5 * 4) / 1)
    assert log.mean_watts(999, 1001) is None and log.mean_watts(1001, 1003) is None


@pytest.mark.parametrize(
    "text", ["", "time;watts\n1;2\n", "time,watts\n1,much\n", "time,watts\n1\n", "time,watts\n1,nan\n"]
)
def test_a_log_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "meter.csv"
    path.write_text(text)
    with pytest.raises(SettingsError, match="no log with the columns time and watts"):
        Log(path)
    with pytest.raises(SettingsError, match="No such file"):
        Log(tmp_path / "none.csv")
