"""Which folders are gone after the next start: mounts as a Raspberry Pi, a container and a PC have them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_device.system.lasting import parse_mounts, why_not_lasting

PC = """\
25 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
26 25 0:5 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=1g
27 25 8:3 / /srv/my\\040photos rw shared:3 - ext4 /dev/sdb1 rw
28 26 8:4 / /tmp/disk rw shared:4 - ext4 /dev/sdc1 rw
29 25 0:6 / /over rw shared:5 - ext4 /dev/sdd1 rw
30 29 0:7 / /over rw shared:6 - tmpfs none rw
"""
PI = """\
20 1 0:20 / / rw,relatime - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/overlay,workdir=/x
21 20 179:2 / /media/root-ro ro,relatime - ext4 /dev/mmcblk0p2 ro
22 20 0:21 / /media/root-rw rw,relatime - tmpfs tmpfs-root rw
23 20 8:1 / /data rw,relatime - ext4 /dev/sda1 rw
"""
CONTAINER = "600 500 0:50 / / rw - overlay overlay rw,lowerdir=/var/l,upperdir=/var/lib/docker/u/diff,workdir=/w\n"


@pytest.mark.parametrize(
    ("mounts", "path", "reason"),
    [
        (PC, "/home/pi/unsure", ""),
        (PC, "/tmp/unsure", "/tmp is in memory"),
        (PC, "/tmpunsure", ""),
        (PC, "/tmp/disk/unsure", ""),
        (PC, "/srv/my photos/a", ""),
        (PC, "/over/a", "/over is in memory"),
        (PI, "/var/lib/edge-run/unsure", "/ is an overlay whose changes are in memory (tmpfs at /media/root-rw)"),
        (PI, "/data/unsure", ""),
        (CONTAINER, "/var/lib/edge-run", ""),
        ("", "/a", ""),
    ],
)
def test_what_is_in_memory_is_told_of(tmp_path: Path, mounts: str, path: str, reason: str) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    found = why_not_lasting(Path(path), tmp_path / "mountinfo")
    assert found.startswith(reason) if reason else found == ""


def test_without_a_list_of_mounts_nothing_is_said(tmp_path: Path) -> None:
    assert why_not_lasting(tmp_path, tmp_path / "none") == ""


@given(st.text())
def test_whatever_the_list_holds_it_is_read(text: str) -> None:
    parse_mounts(text)
    parse_mounts(f"1 2 3:4 / {text} rw - {text} x y")
