"""Routes of a project's photos: the list in windows, thumbnails, what comes in, what is moved."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, PictureError, SettingsError
from edge_core.progress import Track
from edge_studio.api.json_routes import Fields, error_response, json_response, reading, writing
from edge_studio.photos.archive_layout import labels_by_path
from edge_studio.photos.move_journal import Operation
from edge_studio.photos.photo_flags import FlagSet
from edge_studio.photos.photo_index import IndexedPhoto, PhotoIndex
from edge_studio.photos.photo_store import ArchiveImport, PhotoStore
from edge_studio.photos.uploads import ARCHIVE_BYTES, PICTURE_BYTES
from edge_studio.studio import Studio, StudioPart, Tab

WINDOW: Final = 1000
"""Photos in one answer, at most."""

REASONS: Final = 8
"""Reasons that an answer to an archive tells, each with the number of files and the first of them."""

_FOREVER: Final = "private, max-age=31536000, immutable"
"""For an address that names the version of what it shows."""


def photo_part(studio: Studio) -> StudioPart:
    """Everything below /api/p/PROJECT/ that has to do with photos."""
    routes = PhotoRoutes(studio)
    base = "/api/p/{project}"
    return StudioPart(
        [
            reading(f"{base}/photos", routes.listed),
            _picture(f"{base}/thumbnail", routes.store, lambda photos, photo: photos.thumbnails.get(photo)),
            _picture(f"{base}/preview", routes.store, lambda photos, photo: photos.thumbnails.preview(photo)),
            _receiving(f"{base}/upload", routes.store, PICTURE_BYTES, routes.upload),
            _receiving(f"{base}/archive", routes.store, ARCHIVE_BYTES, routes.upload_archive),
            writing(f"{base}/layout", lambda _, fields: {"labels": labels_by_path(fields.texts("paths"))}),
            writing(f"{base}/photos/move", routes.move),
            writing(f"{base}/photos/delete", routes.delete),
            writing(f"{base}/classes", routes.make_class),
            writing(f"{base}/classes/rename", routes.rename_class),
            writing(f"{base}/classes/delete", routes.delete_class),
            writing(f"{base}/undo", routes.undo),
            writing(f"{base}/bin/empty", routes.empty_bin),
        ],
        [Tab("Photos", "photos")],
    )


class PhotoRoutes:
    """What the routes answer; each change is told to all pages of its project."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def store(self, request: Request) -> PhotoStore:
        """The photos of the project that the address names."""
        return self._studio.photo_store(self._studio.project(request.path_params["project"]))

    def listed(self, request: Request) -> JsonObject:
        """A window of the photos."""
        photos = self.store(request)
        return listing(photos, photos.flags(), request)

    def move(self, request: Request, fields: Fields) -> JsonObject:
        """Gives photos another class."""
        return self._changed(request, self.store(request).move(fields.texts("paths"), fields.text("label")))

    def delete(self, request: Request, fields: Fields) -> JsonObject:
        """Moves photos to the bin."""
        return self._changed(request, self.store(request).delete(fields.texts("paths")))

    def make_class(self, request: Request, fields: Fields) -> JsonObject:
        """Makes an empty class."""
        label = self.store(request).make_class(fields.text("label"))
        return self._changed(request, None) | {"label": label}

    def rename_class(self, request: Request, fields: Fields) -> JsonObject:
        """Gives a class another name."""
        return self._changed(request, self.store(request).rename_class(fields.text("label"), fields.text("name")))

    def delete_class(self, request: Request, fields: Fields) -> JsonObject:
        """Moves a class to the bin."""
        return self._changed(request, self.store(request).delete_class(fields.text("label")))

    def undo(self, request: Request, fields: Fields) -> JsonObject:
        """Takes the last operation back."""
        return self._changed(request, self.store(request).undo())

    def empty_bin(self, request: Request, fields: Fields) -> JsonObject:
        """Removes for good what was deleted."""
        self.store(request).empty_bin()
        return self._changed(request, None)

    def upload(self, request: Request, file: Path, name: str, label: str) -> JsonObject:
        """Takes a picture in."""
        added = self.store(request).add(file.read_bytes(), name, label)
        self._tell(request, "photos", {})
        return {"path": added.path, "new": added.is_new, "also_in": added.also_in}

    def upload_archive(self, request: Request, file: Path, name: str, label: str) -> JsonObject:
        """Takes the pictures of an archive in."""
        track = _told_track(lambda done, total: self._tell(request, "import", {"done": done, "total": total}))
        found = self.store(request).add_archive(file, name, label, track)
        self._tell(request, "photos", {})
        return archive_json(found) | {"undo": _undo_title(self.store(request))}

    def _changed(self, request: Request, operation: Operation | None) -> JsonObject:
        """Tells all pages of the project, and the one that asked what can be undone."""
        self._tell(request, "photos", {})
        return {"title": operation.title if operation else "", "undo": _undo_title(self.store(request))}

    def _tell(self, request: Request, kind: str, value: JsonObject) -> None:
        self._studio.hub.publish(request.path_params["project"], kind, value)


def listing(store: PhotoStore, flags: FlagSet, request: Request) -> JsonObject:
    """A window of the photos that a page shows, and what there is in all.

    The query has `label` and `flag`, each empty for all, `start` and `count`.

    Raises:
        SettingsError: `start` or `count` is not a number.
    """
    index = store.index()
    query = request.query_params
    start, count = number_of(request, "start", 0), min(WINDOW, number_of(request, "count", WINDOW))
    photos = chosen(index, flags, query.get("label", ""), query.get("flag", ""))
    return {
        "version": index.version,
        "total": len(photos),
        "classes": [{"label": label, "count": number} for label, number in index.counts.items()],
        "flags": flags.counts(index.photos),
        "dropped": [{"path": item.path.name, "reason": item.reason} for item in index.dropped[:REASONS]],
        "dropped_count": len(index.dropped),
        "undo": _undo_title(store),
        "photos": [
            {"path": one.path, "label": one.label, "version": one.version, "flags": flags.of(one)}
            for one in photos[start : start + count]
        ],
    }


def chosen(index: PhotoIndex, flags: FlagSet, label: str, flag: str) -> list[IndexedPhoto]:
    """The photos of a class that have a flag; an empty text stands for all."""
    photos = index.photos
    if label:
        photos = tuple(one for one in photos if one.label == label)
    return flags.sorted_by(photos, flag) if flag else list(photos)


def archive_json(found: ArchiveImport) -> JsonObject:
    """What became of an archive: a line for each reason with the number of files and the first of them."""
    reasons: dict[str, list[str]] = {}
    for item in found.refused:
        reasons.setdefault(item.reason, []).append(str(item.path))
    lines = [
        f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
        for reason, paths in list(reasons.items())[:REASONS]
    ]
    if len(reasons) > REASONS:
        lines.append(f"and {len(reasons) - REASONS} other reasons")
    return {"added": found.added, "already": found.already, "refused": len(found.refused), "reasons": lines}


def _picture(
    path: str, store: Callable[[Request], PhotoStore], make: Callable[[PhotoStore, IndexedPhoto], bytes]
) -> Route:
    """A route that gives a JPEG made of the photo that `path` of the query names."""

    # Not async: Starlette runs it in a thread of its own, as it waits for the disk.
    def respond(request: Request) -> Response:
        try:
            photos = store(request)
            data = make(photos, photos.find(request.query_params.get("path", "")))
        except (EdgeError, OSError) as error:
            return error_response(error, 404)
        versioned = "version" in request.query_params
        return Response(data, media_type="image/jpeg", headers={"cache-control": _FOREVER if versioned else "no-cache"})

    return Route(path, respond, methods=["GET"])


def _receiving(
    path: str,
    store: Callable[[Request], PhotoStore],
    limit: int,
    take: Callable[[Request, Path, str, str], JsonObject],
) -> Route:
    """A route for PUT whose body is a file; the query has its `name` and its `label`.

    What is sent lies beside the photos until it has come whole. Only what `take` has put on the disk is confirmed.
    """

    async def respond(request: Request) -> Response:
        file: Path | None = None
        try:
            name, label = (request.query_params.get(key, "") for key in ("name", "label"))
            file = await run_in_threadpool(lambda: store(request).incoming())
            await _receive(request, file, limit, name)
            received = file
            return json_response(await run_in_threadpool(lambda: take(request, received, name, label)))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it
        except (EdgeError, OSError) as error:
            text = str(error).replace(str(file), name) if file else str(error)
            return error_response(PictureError(text))
        finally:
            # Also where it was refused or nobody waits any more: what was taken is among the photos by then.
            if file is not None:
                file.unlink(missing_ok=True)

    return Route(path, respond, methods=["PUT"])


async def _receive(request: Request, file: Path, limit: int, name: str) -> None:
    size = 0
    too_large = PictureError(f"{name} is larger than the {limit >> 20} MB that are taken")
    if _number(request.headers.get("content-length", "0")) > limit:
        raise too_large
    with file.open("wb") as opened:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            opened.write(part)


def _told_track(tell: Callable[[int, int], None]) -> Track:
    """Progress that tells pages of every 50th step."""

    def track(items, label, total=None):  # type: ignore[no-untyped-def]
        for number, item in enumerate(items, 1):
            yield item
            if number % 50 == 0 or number == total:
                tell(number, total or 0)

    return track


def _undo_title(store: PhotoStore) -> str:
    last = store.last()
    return last.title if last else ""


def number_of(request: Request, name: str, default: int) -> int:
    """A whole number of the query.

    Raises:
        SettingsError: It is something else.
    """
    return _number(request.query_params.get(name, str(default)))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise SettingsError(f"{text!r:.40} is not a number from 0")
    return int(text)
