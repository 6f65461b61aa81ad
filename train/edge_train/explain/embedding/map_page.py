"""An embedding as a map to look at: one HTML page without requests, and its figures as CSV."""

import base64
import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_core.codec import JsonObject
from edge_core.data.photo_folder import Split
from edge_core.files import folder_written_whole
from edge_core.html import Html, Script, page, write_page
from edge_core.images import encode_jpeg
from edge_core.progress import Track, silently
from edge_train.explain.embedding.embed import Embedding, Layout, Near, cluster_count, clusters
from edge_train.explain.embedding.neighbors import NEIGHBORS, Numbers, Suspect, Vectors, nearest, suspects

PAGE_FILE: Final = "embedding.html"
CSV_FILE: Final = "photos.csv"
JPEG_QUALITY: Final = 75
SHOWN_NEIGHBORS: Final = 7
PRINTED_SUSPECTS: Final = 20
_SPLIT_NAMES: Final[dict[Split, str]] = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Map:
    """An embedding and all that is found in it.

    Attributes:
        embedding: The photos with their feature vectors.
        layout: Where they lie on the map.
        neighbors: Positions of the nearest ones of each photo, shape (photos, count).
        distances: Distances to the nearest photos.
        clusters: Number of the cluster of each photo, 0 the largest.
        suspects: Photos that are probably mislabeled.
        labels: Those of the scores, and others that the photos have.
    """

    embedding: Embedding
    layout: Layout
    neighbors: Numbers
    distances: Vectors
    clusters: npt.NDArray[np.int64]
    suspects: list[Suspect]
    labels: tuple[str, ...]

    @property
    def label_numbers(self) -> list[int]:
        """Of each photo, in `labels`; -1 for none."""
        return _label_numbers(self.embedding, self.labels)

    def to_json(self) -> JsonObject:
        """The figures: suspects with their files, clusters with what they hold."""
        photos = self.embedding.photos
        return {
            "photos": len(photos),
            "unusable": len(self.embedding.unusable),
            "left_out": self.embedding.left_out,
            "method": self.layout.method,
            "variance_shares": [round(share, 4) for share in self.layout.shares],
            "suspects": [
                {
                    "path": str(photos[one.photo].path),
                    "label": photos[one.photo].label,
                    "split": self.embedding.splits[one.photo],
                    "neighbours": self.labels[one.label],
                    "share": round(one.share, 4),
                }
                for one in self.suspects
            ],
            "clusters": [
                {
                    "photos": int((self.clusters == number).sum()),
                    "labels": {self.labels[label]: share for label, share in cluster["labels"]},
                }
                for number, cluster in enumerate(self._cluster_facts())
            ],
        }

    def _cluster_facts(self) -> list[JsonObject]:
        """Of each cluster its most central photo, and which labels its photos have, the most common first."""
        labels = np.array(self.label_numbers)
        facts = []
        for number in range(int(self.clusters.max()) + 1):
            members = np.flatnonzero(self.clusters == number)
            vectors = self.embedding.vectors[members]
            middle = members[(vectors @ vectors.mean(axis=0)).argmax()]
            known = labels[members][labels[members] >= 0]
            counts = np.bincount(known)
            common = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
            shares = [[int(label), round(float(counts[label] / len(members)), 3)] for label in common]
            facts.append({"middle": int(middle), "labels": shares})
        return facts

    def _page_data(self, folder: str) -> JsonObject:
        """What `embedding.js` reads; paths are told from `folder` on."""
        embedding, side = self.embedding, self.embedding.thumbnails.shape[1]
        return {
            "files": [_legible(os.path.relpath(photo.path, folder)) for photo in embedding.photos],
            "labels": [_legible(label) for label in self.labels],
            "label": self.label_numbers,
            "predicted": embedding.scores.argmax(axis=1).tolist(),
            "score": [round(score, 3) for score in embedding.scores.max(axis=1).tolist()],
            "splits": list(_SPLIT_NAMES.values()),
            "split": [[*_SPLIT_NAMES].index(split) if split else -1 for split in embedding.splits],
            "cluster": self.clusters.tolist(),
            "clusters": [{**facts, "labels": facts["labels"][:4]} for facts in self._cluster_facts()],
            "places": [[float(f"{place:.4g}") for place in axis] for axis in self.layout.places.T.tolist()],
            "neighbours": self.neighbors[:, :SHOWN_NEIGHBORS].tolist(),
            "suspects": [
                {"photo": one.photo, "label": one.label, "share": round(one.share, 2)} for one in self.suspects
            ],
            "side": side,
            "columns": _columns(len(embedding.photos)),
        }


def make_map(embedding: Embedding, layout: Layout, seed: int = 1, *, track: Track = silently) -> Map:
    """Finds neighbors, clusters and suspects; `seed` is of the clusters."""
    labels = (*embedding.labels, *sorted({photo.label for photo in embedding.photos} - {"", *embedding.labels}))
    neighbors, distances = nearest(embedding.vectors, embedding.vectors, NEIGHBORS, same=True, track=track)
    return Map(
        embedding,
        layout,
        neighbors,
        distances,
        clusters(embedding.vectors, cluster_count(embedding.photos), seed),
        suspects(_label_numbers(embedding, labels), neighbors),
        labels,
    )


def write_map(found: Map, title: str, out: Path) -> int:
    """Writes `embedding.html` and `photos.csv` into a new folder, whole or not at all.

    Returns:
        Bytes of the page.

    Raises:
        OutputError: `out` is there already, or cannot be written.
    """
    with folder_written_whole(out) as beside:
        write_page(beside / PAGE_FILE, render(found, title))
        _write_csv(beside / CSV_FILE, found)
    return (out / PAGE_FILE).stat().st_size


def render(found: Map, title: str) -> str:
    """The page."""
    embedding, shares = found.embedding, found.layout.shares
    folder = os.path.commonpath([photo.path.absolute().parent for photo in embedding.photos])
    how = {
        "pca": f"Principal components of what the last layer sees; the first two have {100 * sum(shares[:2]):.0f} % "
        f"of the variance.",
        "umap": "UMAP of what the last layer sees: who is beside whom can be believed, distances between groups "
        "cannot.",
    }[found.layout.method]
    sprite = base64.b64encode(encode_jpeg(sprite_of(embedding.thumbnails)[..., ::-1], JPEG_QUALITY)).decode()
    files = Path(__file__).parent
    script = Script(
        (files / "embedding.js").read_text("utf-8"),
        found._page_data(folder),
        (files / "embedding.css").read_text("utf-8"),
    )
    body = Template((files / "embedding.html").read_text("utf-8")).substitute(sprite=f"data:image/jpeg;base64,{sprite}")
    subtitle = f"{len(embedding.photos)} photos below {_legible(folder)}. {how}"
    return page(_legible(title), subtitle, Html(body), script=script)


def map_lines(found: Map) -> str:
    """The figures as text: how many photos, and the first suspects."""
    suspects = found.to_json()["suspects"]
    lines = [f"{len(found.embedding.photos)} photos, {found.clusters.max() + 1} clusters, {len(suspects)} suspects"]
    lines += [
        f"  {one['path']}: labeled {one['label']}, {100 * one['share']:.0f} % of the neighbors {one['neighbours']}"
        for one in suspects[:PRINTED_SUSPECTS]
    ]
    more = len(suspects) - PRINTED_SUSPECTS
    return "\n".join([*lines, f"  and {more} more in {CSV_FILE}"] if more > 0 else lines)


def nearest_lines(picture: Path, near: Sequence[Near]) -> str:
    """The photos near a picture as a table."""
    width = max([len(one.photo.label) for one in near], default=0)
    rows = [f"  {one.distance:.4f}  {one.photo.label:{width}}  {one.split or '-':5}  {one.photo.path}" for one in near]
    return "\n".join([str(picture), *rows])


def sprite_of(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """All thumbnails in rows, in a square as far as they fill it; uint8, shape (height, width, 3)."""
    count, side = thumbnails.shape[:2]
    columns = _columns(count)
    rows = -(-count // columns)
    # With the axes in this order the reshaping below makes one picture of all.
    sprite = np.zeros((rows, side, columns, side, 3), np.uint8)
    for number, picture in enumerate(thumbnails):
        sprite[number // columns, :, number % columns] = picture
    return sprite.reshape(rows * side, columns * side, 3)


def _columns(count: int) -> int:
    return int(np.ceil(np.sqrt(count)))


def _write_csv(path: Path, found: Map) -> None:
    embedding = found.embedding
    suspects = {one.photo: one for one in found.suspects}
    axes = [f"axis_{number + 1}" for number in range(found.layout.places.shape[1])]
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "path",
                "label",
                "split",
                "predicted",
                "predicted_score",
                "cluster",
                "neighbours",
                "share",
                "nearest",
                *axes,
            ]
        )
        for number, photo in enumerate(embedding.photos):
            best = int(embedding.scores[number].argmax())
            suspect = suspects.get(number)
            writer.writerow(
                [
                    photo.path,
                    photo.label,
                    embedding.splits[number],
                    embedding.labels[best],
                    f"{embedding.scores[number, best]:.4f}",
                    found.clusters[number] + 1,
                    found.labels[suspect.label] if suspect else "",
                    f"{suspect.share:.2f}" if suspect else "",
                    f"{found.distances[number, 0]:.4f}",
                    *(f"{place:.6g}" for place in found.layout.places[number]),
                ]
            )


def _label_numbers(embedding: Embedding, labels: tuple[str, ...]) -> list[int]:
    numbers = {label: number for number, label in enumerate(labels)}
    return [numbers.get(photo.label, -1) for photo in embedding.photos]


def _legible(text: str) -> str:
    """What UTF-8 cannot hold, as a file's name may, is written as `\\udc80`."""
    return text.encode("utf-8", "backslashreplace").decode()
