"""What a board is doing, asked of its live page; and whether it runs what it was given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError
from edge_device.sinks.inbox.live_page import LivePage
from edge_studio.devices.board_list import StudioBoard

ANSWER_S: Final = 3.0
"""Seconds that a board may take to answer a page that waits for it."""

Verdict = Literal["", "waiting", "shadow", "trial", "runs", "refused"]


@dataclass(frozen=True)
class BoardState:
    """What a board is doing.

    Attributes:
        reached: Whether it has answered.
        reason: Why not, or why it is not well; empty if it is.
        health: State of its picture: "live", "late", "lost" ...
        top: Labels of the latest frame, best first, with their scores.
        familiarity: P-value that the latest frame is of the kind that the model knows; None if it cannot tell.
        known: Whether that is enough; None if it cannot tell.
        fps: Frames classified a second.
        model: File name of the model that runs.
        digest: Digest of that model, hexadecimal.
        temperature_c: Temperature of the processor; None if it is not known.
        updates: Whether it looks for published models.
        verdict: What has become of the file that it was given last; empty if it was given none.
        told: The same in words.
        collects: Whether it keeps snapshots, as far as its page tells.
    """

    reached: bool
    reason: str = ""
    health: str = ""
    top: tuple[tuple[str, float], ...] = ()
    familiarity: float | None = None
    known: bool | None = None
    fps: float = 0.0
    model: str = ""
    digest: str = ""
    temperature_c: float | None = None
    updates: bool = False
    verdict: Verdict = ""
    told: str = ""
    collects: bool = False

    def to_json(self) -> JsonObject:
        return asdict(self)


def live_page(board: StudioBoard, timeout_s: float = ANSWER_S) -> LivePage:
    """A board's live page."""
    return LivePage(board.address, board.token or None, timeout_s)


def read_state(board: StudioBoard) -> BoardState:
    """Asks a board; one that cannot be reached is told of, not raised."""
    if not board.address:
        return BoardState(False, "it has no live page that could be asked; it is reached by ssh alone")
    try:
        told = live_page(board).latest()
    except EdgeError as error:
        return BoardState(False, str(error))
    try:
        return _state(board, told)
    except (KeyError, TypeError, ValueError, AttributeError):
        return BoardState(False, f"{board.address} answers as no live page of this version does")


def _state(board: StudioBoard, told: JsonObject) -> BoardState:
    status: JsonObject = told["status"] or {}
    results = told["results"]
    latest = results[0] if results else {}
    verdict, words = _verdict(board, status, told["notices"])
    return BoardState(
        reached=True,
        reason=str(told["health"]["reason"]),
        health=str(told["health"]["state"]),
        top=tuple((str(one["label"]), float(one["score"])) for one in latest.get("top", ())),
        familiarity=latest.get("familiarity"),
        known=latest.get("known"),
        fps=float(status.get("fps") or 0.0),
        model=str(status.get("model", "")),
        digest=str(status.get("model_sha256", "")),
        temperature_c=status.get("temperature_c"),
        updates=bool(status.get("update")),
        verdict=verdict,
        told=words,
        collects=bool((told.get("kept") or {}).get("snapshots")),
    )


def _verdict(board: StudioBoard, status: JsonObject, notices: list[Mapping[str, object]]) -> tuple[Verdict, str]:
    """What has become of the file that a board was given last, and the same in words."""
    if not board.deployed or not status:
        return "", ""
    update: JsonObject = status.get("update") or {}
    told, phase = str(update.get("told", "")), update.get("phase")
    # Only where what the board says names the digest does it speak of this file.
    of_this = board.deployed[:12] in told
    if status.get("model_sha256") == board.deployed:
        if phase == "trial":
            return "trial", f"{board.deployed_name} runs on trial: {told}"
        return "runs", f"{board.deployed_name} runs" + (f": {told}" if of_this else "")
    if phase == "shadow" and of_this:
        return "shadow", f"{board.deployed_name} runs beside the model: {told}"
    if not update and (notice := _not_taken(notices)):
        return "refused", notice
    if "taken back" in told or (of_this and "refused" in told):
        return "refused", told
    return "waiting", f"it has not taken {board.deployed_name} yet" + (f"; {told}" if told else "")


def _not_taken(notices: list[Mapping[str, object]]) -> str:
    """The last notice of a device that has refused the file put in its model's place; empty if there is none."""
    texts = [str(one.get("text", "")) for one in notices]
    return next((text for text in reversed(texts) if "the new model is not taken" in text), "")
