"""Routes of a project's inbox: fetched from the boards, shown in groups, labeled many at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError
from edge_core.images import encode_jpeg, read_picture
from edge_core.preprocess import Frame
from edge_studio.api.json_routes import Fields, error_response, reading, writing
from edge_studio.devices.board_list import StudioBoard
from edge_studio.devices.likeness_groups import FrameEmbedder, group_frames
from edge_studio.jobs.export_list import exported_files
from edge_studio.photos.thumbnails import shrunk
from edge_studio.project import Project
from edge_studio.studio import Studio, StudioPart

THUMBNAIL: Final = 240
"""Pixels of a frame's longer side in the groups."""

_QUALITY: Final = 85


def inbox_part(studio: Studio) -> StudioPart:
    """Everything below /api/p/PROJECT/inbox."""
    routes = InboxRoutes(studio)
    base = "/api/p/{project}/inbox"
    return StudioPart(
        [
            reading(base, routes.listed),
            writing(f"{base}/fetch", routes.fetch),
            writing(f"{base}/label", routes.label),
            writing(f"{base}/drop", routes.drop),
            Route(f"{base}/picture", routes.picture),
        ]
    )


class InboxRoutes:
    """What the routes answer; features of the frames are kept from one answer to the next."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._embedders: dict[str, tuple[str, FrameEmbedder]] = {}

    def listed(self, request: Request) -> JsonObject:
        """The frames in groups that look alike."""
        project = self._project(request)
        frames = {one.key: one for one in self._studio.inbox(project).frames()}
        paths = {key: project.inbox / f"{key}.jpg" for key in frames}
        names = self._studio.fleet.board_names(project)

        def told(key: str) -> JsonObject:
            return asdict(frames[key]) | {"board_name": names.get(frames[key].board, "a board that is gone")}

        groups = group_frames(paths, self._embedder(project))
        return {
            "count": len(frames),
            "groups": [{"label": group.label, "frames": [told(key) for key in group.keys]} for group in groups],
        }

    def fetch(self, request: Request, fields: Fields) -> JsonObject:
        """Fetches from all boards at once; one that cannot be reached does not hold up the others."""
        project = self._project(request)
        inbox = self._studio.inbox(project)

        def one(board: StudioBoard) -> tuple[int, str]:
            try:
                return inbox.fetch(board).pictures, ""
            except (EdgeError, OSError) as error:
                return 0, f"{board.name}: {error}"

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(one, self._studio.fleet.boards.of(project.name)))
        if fetched := sum(count for count, _ in found):
            self._studio.hub.publish(project.name, "inbox", {"fetched": fetched})
        return {"fetched": fetched, "errors": [reason for _, reason in found if reason]}

    def label(self, request: Request, fields: Fields) -> JsonObject:
        """Puts frames among the photos of a class."""
        project = self._project(request)
        done = self._studio.inbox(project).label(fields.texts("keys"), fields.text("label"))
        self._studio.hub.publish(project.name, "photos", {})
        return {
            "added": list(done.added),
            "known": done.known,
            "refused": [{"key": key, "reason": reason} for key, reason in done.refused],
        }

    def drop(self, request: Request, fields: Fields) -> JsonObject:
        """Throws frames away."""
        return {"dropped": self._studio.inbox(self._project(request)).drop(fields.texts("keys"))}

    def picture(self, request: Request) -> Response:
        """A frame, small or whole."""
        try:
            path = self._studio.inbox(self._project(request)).picture(request.query_params.get("key", ""))
            data = path.read_bytes() if "whole" in request.query_params else _small(read_picture(path))
        except (EdgeError, OSError) as error:
            return error_response(error, 404)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    def _project(self, request: Request) -> Project:
        return self._studio.project(request.path_params["project"])

    def _embedder(self, project: Project) -> FrameEmbedder:
        """That of the newest file that was exported; its features are kept as long as it is the newest."""
        files = exported_files(project)
        digest = files[0].digest if files else ""
        if project.name not in self._embedders or self._embedders[project.name][0] != digest:
            photos = [project.photos / one.path for one in self._studio.photo_store(project).index().photos]
            model = project.exports / files[0].name if files else None
            self._embedders[project.name] = digest, FrameEmbedder(model, photos)
        return self._embedders[project.name][1]


def _small(frame: Frame) -> bytes:
    return encode_jpeg(shrunk(frame, THUMBNAIL), _QUALITY)
