"""A dataset of TensorFlow Datasets as a folder of photos: `tfds:NAME`."""

from pathlib import Path
from typing import Any, Final

from edge_core.errors import DatasetError, RuntimeMissingError
from edge_core.files import folder_written_whole
from edge_core.progress import Track, silently

PREFIX: Final = "tfds:"


def export(name: str, cache: Path, *, track: Track = silently) -> Path:
    """Writes the pictures of a dataset into the cache as `SPLIT/CLASS/NUMBER.jpg`, as they were encoded, once.

    Args:
        name: Name for `tensorflow_datasets.builder`, such as `beans` or `cifar10:3.0.2`.

    Raises:
        RuntimeMissingError: Tensorflow-datasets is not installed.
        DatasetError: There is no such dataset, it cannot be had, or it has no `image` with a `label` of named classes.
    """
    folder = cache / "datasets" / f"tfds-{_as_name(name)}"
    if folder.is_dir():
        return folder
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_datasets":
            raise
        raise RuntimeMissingError(
            f"{PREFIX}{name} needs tensorflow-datasets; install it with: pip install tensorflow-datasets"
        ) from error
    with folder_written_whole(folder) as beside:
        try:
            builder = tfds.builder(name)
            builder.download_and_prepare()
            labels = [_as_name(label) for label in builder.info.features["label"].names]
            raw = {"image": tfds.decode.SkipDecoding()}
            for split in builder.info.splits:
                rows = tfds.as_numpy(builder.as_dataset(split=split, decoders=raw, shuffle_files=False))
                for number, row in enumerate(track(rows, f"Writing {name} {split}")):
                    _write(beside / split, labels, number, row)
        except OSError:  # a full disk, say
            raise
        except Exception as error:  # TFDS raises what its parts raise
            raise DatasetError(f"{PREFIX}{name} cannot be had: {' '.join(str(error).split())[:300]}") from error
    return folder


def _write(folder: Path, labels: list[str], number: int, row: dict[str, Any]) -> None:
    if 0 <= int(row["label"]) < len(labels):  # -1 where a test's labels are secret
        data = bytes(row["image"])
        kind = "png" if data.startswith(b"\x89PNG") else "jpg"
        path = folder / labels[int(row["label"])] / f"{number:06}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _as_name(text: str) -> str:
    return text.replace("/", "-").replace(":", "-").lstrip(".")
