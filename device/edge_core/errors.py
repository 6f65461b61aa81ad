"""Every error this project raises on purpose.

    EdgeError
    ├── PictureError         (ValueError)    a picture file that cannot be decoded, or only in part
    ├── DatasetError         (ValueError)    a photo folder that cannot be trained or tested on
    ├── WeightsError         (OSError)       pretrained weights that cannot be had, or are not what they should be
    ├── RunFolderError       (ValueError)    a folder that `edge-train fit` did not write whole
    ├── CardError            (ValueError)    a model card that cannot be understood
    ├── ModelFormatError     (ValueError)    a file that is no complete .tflite
    │   └── SealError                        a file that is not the one that was sealed
    ├── KeyFileError         (ValueError)    a file that holds no key to sign or to verify with
    ├── InputSpecError       (ValueError)    an input specification that makes no sense
    ├── SettingsError        (ValueError)    settings that contradict each other or the network
    ├── WorkerLostError      (ConnectionError)  one of several machines that train together is gone
    ├── HostError            (ConnectionError)  a board that cannot be reached, or not be measured on
    ├── UpdateError          (ValueError)    a published model that is refused
    ├── RuntimeMissingError  (ImportError)   no interpreter, or an extra that is not installed
    ├── AcceleratorError     (OSError)       an accelerator that is missing, hangs, or is gone
    ├── SourceError          (OSError)       a camera, video or folder that gives no frames
    ├── OutputError          (OSError)       a result that cannot be written
    ├── ReportError          (ValueError)    a benchmark's report that cannot be understood
    └── CheckFailedError     (AssertionError)  the input was usable, the answer is no

A command prints the message on one line and ends with `exit_status`: 1 for a failed check, 2 for unusable input. So a
message says what is wrong, with the value, and what to do.
"""

from typing import Final

_JOINERS: Final = "\u200c\u200d\xa0"


def printable(text: str) -> str:
    """A text from outside as it may go to a terminal: what would move the cursor or begin a line is escaped.

    Names of files, labels and devices may hold control characters. Joiners, which scripts and emoji need, stay.
    """
    return "".join(
        character if character.isprintable() or character in _JOINERS else ascii(character)[1:-1] for character in text
    )


class EdgeError(Exception):
    """Base of every error raised on purpose; `exit_status` is what a command ends with."""

    exit_status = 2


class PictureError(EdgeError, ValueError):
    """A picture file that cannot be decoded, or only in part."""


class DatasetError(EdgeError, ValueError):
    """A photo folder that cannot be trained or tested on."""


class WeightsError(EdgeError, OSError):
    """Pretrained weights that cannot be had, or are not what they should be."""


class RunFolderError(EdgeError, ValueError):
    """A folder that `edge-train fit` did not write, or not whole."""


class CardError(EdgeError, ValueError):
    """A model card that cannot be understood."""


class ModelFormatError(EdgeError, ValueError):
    """A file that is no complete .tflite: not one at all, without metadata, or with metadata that contradicts it."""


class SealError(ModelFormatError):
    """A file that is not the one that was sealed: damaged, cut, or changed."""


class KeyFileError(EdgeError, ValueError):
    """A file that holds no key to sign or to verify with."""


class InputSpecError(EdgeError, ValueError):
    """An input specification that makes no sense."""


class SettingsError(EdgeError, ValueError):
    """Settings that contradict each other, or that a network cannot be trained with."""


class WorkerLostError(EdgeError, ConnectionError):
    """One of several machines that train together cannot be reached, or no longer.

    Attributes:
        comes_back: Whether it was there before, so that it may be waited for.
    """

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later

    def __init__(self, message: str, comes_back: bool = False) -> None:
        super().__init__(message)
        self.comes_back = comes_back


class HostError(EdgeError, ConnectionError):
    """A board that cannot be reached over SSH, that lacks what a measurement needs, or that is gone."""


class UpdateError(EdgeError, ValueError):
    """A published model, or what is published of it, that is refused: not the vendor's, not whole, or not good
    enough."""

    exit_status = 1


class RuntimeMissingError(EdgeError, ImportError):
    """No TFLite interpreter, or a part of this package whose extra is not installed."""


class AcceleratorError(EdgeError, OSError):
    """An accelerator that is not there, does not answer, or is gone."""


class SourceError(EdgeError, OSError):
    """A camera, video or picture folder that gives no frames."""


class OutputError(EdgeError, OSError):
    """A result that cannot be written where it was asked for."""


class ReportError(EdgeError, ValueError):
    """A benchmark's report that cannot be understood."""


class CheckFailedError(EdgeError, AssertionError):
    """The input was usable and the answer is no: too much accuracy lost, say."""

    exit_status = 1
