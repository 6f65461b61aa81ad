"""What teaches the model of a camera from its live page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_core.errors import SettingsError
from edge_core.files import require_writable
from edge_device.live.cameras.run_host import RunHost
from edge_device.live.configuration.checks import teach_conflict
from edge_device.live.make_sinks import shared_collection
from edge_device.live.options import LiveOptions

if TYPE_CHECKING:
    from edge_device.sinks.inbox.collection import Collection
    from edge_device.teaching.teacher import Teacher


@dataclass(frozen=True)
class CameraTeacher:
    """What a camera's page teaches with.

    Attributes:
        teacher: Teaches the model, for all cameras with this model.
        collection: Class folders that the pictures of this camera are taken into.
    """

    teacher: "Teacher"
    collection: "Collection"


def taught_folder(options: LiveOptions) -> Path:
    """Photo folder that pictures are taken into to teach the model."""
    return options.sinks.collect or options.file.with_name(f"{options.file.stem}-taught")


def make_teacher(options: LiveOptions, host: RunHost, written: Callable[[], None]) -> CameraTeacher | None:
    """What teaches the model that the options name; None where nobody asks for it.

    Args:
        options: What is run, and whether it may be taught.
        host: The process, with what its cameras share.
        written: Called when the file was replaced.

    Raises:
        SettingsError: The options contradict each other.
        ModelFormatError: The file cannot be taught, with the reason.
        OutputError: The file cannot be replaced, or nothing can be written beside it.
    """
    if not options.sinks.teach:
        return None
    if reason := teach_conflict(options):
        raise SettingsError(reason)
    from edge_device.teaching.teach import require_teachable
    from edge_device.teaching.teacher import Teacher

    require_writable(options.file)
    require_teachable(options.file)
    collection = shared_collection(host.shared, taught_folder(options))
    found = host.shared.once(("teacher", options.file.resolve()), lambda: Teacher(options.file))
    found.learn_from(collection)
    found.written.append(written)
    return CameraTeacher(found, collection)
