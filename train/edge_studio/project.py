"""A project: a folder of photos that every command can read, and beside it what was made of them.

FOLDER/NAME/CLASS/photo.jpg     the photos, as `edge-train fit FOLDER/NAME` takes them
FOLDER/NAME.runs/RUN/           run folders of `edge-train fit`
FOLDER/NAME.exports/FILE.tflite files of `edge-convert export`
FOLDER/NAME.updates/            files of `edge-convert publish`, for boards that look for updates
FOLDER/NAME.inbox/              frames that boards have sent, not yet among the photos
FOLDER/NAME.bin/                what was deleted, and the journal by which it is undone
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.data.photo_folder import LITTER, NEGATIVES_FOLDER, nfc
from edge_core.errors import OutputError, SettingsError

NAME_CHARACTERS: Final = 64
NAME_BYTES: Final = 200
"""Bytes of a name in UTF-8; file systems allow 255, and what is written beside it has a longer one."""

_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
"""What a name cannot hold on one of the disks that a project may be copied to."""


@dataclass(frozen=True)
class Project:
    """A project by its name; all that belongs to it lies in `root`.

    Attributes:
        root: Folder of the projects.
        name: Name of the project.
    """

    root: Path
    name: str

    @property
    def photos(self) -> Path:
        """Folder with one subfolder a class."""
        return self.root / self.name

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self._beside("runs")

    @property
    def exports(self) -> Path:
        """Folder of the .tflite files."""
        return self._beside("exports")

    @property
    def updates(self) -> Path:
        """Folder of what is published for boards."""
        return self._beside("updates")

    @property
    def inbox(self) -> Path:
        """Folder of frames that are not yet labeled."""
        return self._beside("inbox")

    @property
    def bin(self) -> Path:
        """Folder of deleted photos."""
        return self._beside("bin")

    def make(self) -> None:
        """Makes the folder of the photos.

        Raises:
            SettingsError: A project of that name is there.
            OutputError: The folder cannot be made.
        """
        try:
            self.photos.mkdir(parents=True)
        except FileExistsError:
            raise SettingsError(f"there is a project {self.name!r} already; choose another name") from None
        except OSError as error:
            raise OutputError(f"{self.photos} cannot be made: {error.strerror or error}") from error

    def _beside(self, kind: str) -> Path:
        return self.root / f"{self.name}.{kind}"


def check_name(name: str, what: str) -> str:
    """Returns a name, in NFC and without space around it, that a folder may have on any disk.

    Args:
        name: Name as a person typed it.
        what: What it is to name, "class" for one.

    Raises:
        SettingsError: It is empty, too long, hidden, or holds what a folder's name may not hold.
    """
    text = nfc(name).strip()
    if not text:
        raise SettingsError(f"the name of a {what} is empty; type at least one letter")
    if len(text) > NAME_CHARACTERS or len(text.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        raise SettingsError(f"the name of a {what} has {len(text)} characters; {NAME_CHARACTERS} is the most")
    odd = sorted(_FORBIDDEN & set(text)) + [one for one in text if unicodedata.category(one) in ("Cc", "Cs", "Cf")]
    if odd:
        raise SettingsError(f"the name of a {what} cannot hold {odd[0]!r}; use letters, digits, spaces, - and _")
    if text.startswith(".") or text.endswith(".") or text.casefold() in LITTER:
        raise SettingsError(f"a {what} cannot be called {text!r}: such folders are passed over; choose another name")
    return text


def check_class(name: str) -> str:
    """Returns the name of a class; `NEGATIVES_FOLDER` is one, for photos of none of the classes.

    Raises:
        SettingsError: It cannot be the name of a class.
    """
    return name if name == NEGATIVES_FOLDER else check_name(name, "class")


def check_project_name(name: str) -> str:
    """Returns the name of a project, which has no dot: what lies beside its photos has one.

    Raises:
        SettingsError: It cannot be the name of a project.
    """
    text = check_name(name, "project")
    if "." in text:
        raise SettingsError("the name of a project cannot hold '.'; use letters, digits, spaces, - and _")
    return text


def is_project_name(name: str) -> bool:
    """Whether a folder of that name is a project's."""
    try:
        return check_project_name(name) == name
    except SettingsError:
        return False
