"""Photo sets that have a name: downloaded once, checked, and unpacked into class folders."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_core.errors import DatasetError
from edge_core.files import folder_written_whole
from edge_core.progress import Track, silently
from edge_train.data.download import Place, fetch, unpack

Say = Callable[[str], None]
"""Takes a line for a person, as `edge_device.command_line.console.say` does."""

ABOUT_FILE: Final = "ABOUT.txt"


@dataclass(frozen=True)
class NamedSet:
    """A public photo set.

    Attributes:
        name: That `edge-train fit` takes.
        url: Address of the archive.
        sha256: SHA-256 of the archive, hexadecimal.
        hash_source: Who published that hash.
        mib: Size of the archive, for the one who waits.
        license: License in words, with a link; it is shown whenever the set is used.
        place: Where in the folder a member of the archive belongs, `CLASS/photo.jpg` or `LICENSE.txt`.
    """

    name: str
    url: str
    sha256: str
    hash_source: str
    mib: int
    license: str
    place: Place


def _flowers(member: str) -> str | None:
    """`flower_photos/roses/7.jpg` to `roses/7.jpg`; the photographers' names, which CC BY asks for, stay with them."""
    match = re.fullmatch(r"(?:\./)?flower_photos/(\w+/\w+\.jpg|LICENSE\.txt)", member)
    return match and match[1]


def _cats_dogs(member: str) -> str | None:
    """`PetImages/Cat/7.jpg` to `cat/7.jpg`; the license beside them."""
    match = re.fullmatch(r"PetImages/(Cat|Dog)/(\d+\.jpg)", member)
    return f"{match[1].lower()}/{match[2]}" if match else member if member == "MSR-LA - 3467.docx" else None


def _oxford_pets(member: str) -> str | None:
    """`images/american_bulldog_7.jpg` to `american_bulldog/american_bulldog_7.jpg`; breeds of cats begin upper case."""
    match = re.fullmatch(r"(?:\./)?images/((\w+)_\d+\.jpg)", member)
    return f"{match[2]}/{match[1]}" if match else None


NAMED_SETS: Final = {
    one.name: one
    for one in (
        NamedSet(
            name="flowers",
            url="https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
            sha256="4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
            hash_source="TensorFlow Datasets, tf_flowers/checksums.tsv",
            mib=218,
            license="photos by many, CC BY 2.0 (https://creativecommons.org/licenses/by/2.0), names in LICENSE.txt",
            place=_flowers,
        ),
        NamedSet(
            name="cats_dogs",
            url="https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
            sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
            hash_source="GoMLX, examples/dogsvscats (DownloadChecksum)",
            mib=787,
            license="Microsoft Research license agreement, in MSR-LA - 3467.docx "
            "(https://www.microsoft.com/en-us/download/details.aspx?id=54765)",
            place=_cats_dogs,
        ),
        NamedSet(
            name="oxford_pets",
            url="https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            hash_source="TensorFlow Datasets, oxford_iiit_pet/checksums.tsv",
            mib=755,
            license="Oxford-IIIT Pet, CC BY-SA 4.0 (https://www.robots.ox.ac.uk/~vgg/data/pets)",
            place=_oxford_pets,
        ),
    )
}
"""The hashes are those that others publish, not our own: a set that its host replaced is refused, not trained on."""


def obtain(
    known: NamedSet, cache: Path, data_dir: Path | None = None, *, track: Track = silently, say: Say = lambda line: None
) -> Path:
    """The folder of a named set, with one subfolder per class.

    Args:
        known: The set to obtain.
        cache: Where it is kept from the first use on, as `datasets/NAME`.
        data_dir: A folder that has the set already, as `NAME/CLASS/photo.jpg`; then nothing is downloaded.
        track: Receives the progress of each step.
        say: Function that is given the license.

    Raises:
        DatasetError: It is not in `data_dir`, cannot be downloaded, or is not what it should be.
        OutputError: The cache cannot be written.
    """
    if data_dir is not None:
        if not (data_dir / known.name).is_dir():
            raise DatasetError(f"{data_dir} has no {known.name}/; without --data-dir it is downloaded, {known.mib} MiB")
        return data_dir / known.name
    folder = cache / "datasets" / known.name
    say(f"{known.name}: {known.license}")
    if folder.is_dir():
        return folder
    archive = cache / "downloads" / f"{known.name}-{known.url.rsplit('/', 1)[-1]}"
    try:
        if not archive.is_file():
            fetch(known.url, archive, known.sha256, track=track)
        with folder_written_whole(folder) as beside:
            unpack(archive, beside, known.place, label=f"Unpacking {archive.name}", track=track)
            about = f"{known.name}\n{known.license}\nfrom {known.url}\nSHA-256 {known.sha256}, as published by "
            (beside / ABOUT_FILE).write_text(f"{about}{known.hash_source}\n", "utf-8")
    except DatasetError as error:
        raise DatasetError(
            f"{known.name} cannot be had from {known.url}: {error}; "
            f"with its photos in DIR/{known.name}/CLASS/, say --data-dir DIR"
        ) from error
    archive.unlink()
    return folder
