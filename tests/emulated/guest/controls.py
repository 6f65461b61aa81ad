"""`--control` on a camera of the kernel: what the command says it set is read back by another program, control by
control."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.emulated.guest import vivid
from tests.emulated.guest.commands import Forked, Tell, edge_run
from tests.emulated.guest.live import WatchedLive

WANTED: Final[Mapping[str, tuple[str, str, int]]] = {
    "brightness": ("200", "Brightness", 200),
    "Horizontal-Flip": ("on", "Horizontal Flip", 1),
    "gain_automatic": ("false", "Gain, Automatic", 0),
    "gain": ("77", "Gain", 77),
    "test_pattern": ("100% Red", "Test Pattern", 7),
    "integer_32_bits": ("-5", "Integer 32 Bits", -5),
    "menu": ("Menu Item 4", "Menu", 4),
    "integer_menu": ("42", "Integer Menu", 8),
    "bitmask": ("0x80402000", "Bitmask", 0x80402000 - (1 << 32)),
}
"""What a user writes, the control's name and its value; what the driver calls it, and the number that it then holds."""

REFUSED: Final[Mapping[str, str]] = {
    "brightness=999": "cannot be '999'",
    "menu=nonsense": "cannot be 'nonsense'",
    "brigthness=1": "has no control",
    "read_only_integer_32_bits=1": "has no control",
}


def wrong_controls(model: Path, tell: Tell) -> list[str]:
    """What is wrong with the controls of vivid as the command sets them; empty if nothing is."""
    return [*_set_and_set_again(model, tell), *_refused(model, tell)]


def _set_and_set_again(model: Path, tell: Tell) -> list[str]:
    """After the start, and after the camera was pulled out and has forgotten all."""
    controls = [part for name, (value, _, _) in WANTED.items() for part in ("--control", f"{name}={value}")]
    wrong = []
    with WatchedLive(model, "--source", "/dev/video0", *controls, "--threads", "1", tell=tell) as live:
        if not live.next_frames(1):
            return ["no frame came"]
        wrong += _others("after the start", tell)
        vivid.unbind()
        live.notice("trying to open it again")
        live.wait_until_released("/dev/video0")
        vivid.bind()
        with vivid.Node("vid-cap") as camera:
            tell(f"after it was plugged in, brightness is {camera.value('Brightness')}")
        if not live.notice("is back", "is there") or not live.next_frames(1):
            return [*wrong, "it did not come back"]
        wrong += _others("after it came back", tell)
    return wrong


def _others(when: str, tell: Tell) -> list[str]:
    with vivid.Node("vid-cap") as camera:
        found = {driver: camera.value(driver) for _, driver, _ in WANTED.values()}
    tell(f"{when}: {found}")
    wanted = {driver: number for _, driver, number in WANTED.values()}
    return [f"{when} {name} is {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]


def _refused(model: Path, tell: Tell) -> list[str]:
    wrong = []
    for control, reason in REFUSED.items():
        tell(f"$ edge-run live --control {control}")
        process = Forked(edge_run, ["live", str(model), "--source", "/dev/video0", "--control", control])
        said = process.stderr.read()
        status = process.ended()
        tell(f"{said.strip()} (exit status {status})")
        if status != 2 or reason not in said:
            wrong.append(f"{control}: exit status {status}, {said.strip()!r}")
    return wrong
