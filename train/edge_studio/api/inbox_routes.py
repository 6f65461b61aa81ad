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
from edge_studio.devices.inbox import AddPhoto
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
    embedders: dict[str, tuple[str, FrameEmbedder]] = {}

    def project_of(request: Request) -> Project:
        return studio.project(request.path_params["project"])

    def embedder_of(project: Project) -> FrameEmbedder:
        """Of the newest file that was exported; its features are kept as long as it is the newest."""
        files = exported_files(project)
        digest = files[0].digest if files else ""
        if project.name not in embedders or embedders[project.name][0] != digest:
            photos = [project.photos / one.path for one in studio.photo_store(project).index().photos]
            embedders[project.name] = digest, FrameEmbedder(project.exports / files[0].name if files else None, photos)
        return embedders[project.name][1]

    def listed(request: Request) -> JsonObject:
        project = project_of(request)
        inbox = studio.inbox(project)
        frames = {one.key: one for one in inbox.frames()}
        paths = {key: project.inbox / f"{key}.jpg" for key in frames}
        names = {board.id: board.name for board in studio.fleet.boards.of(project.name)}
        return {
            "count": len(frames),
            "groups": [
                {
                    "label": group.label,
                    "frames": [
                        asdict(frames[key]) | {"board_name": names.get(frames[key].board, "a board that is gone")}
                        for key in group.keys
                    ],
                }
                for group in group_frames(paths, embedder_of(project))
            ],
        }

    def fetch(request: Request, fields: Fields) -> JsonObject:
        """Fetches from all boards at once; one that cannot be reached does not hold up the others."""
        project = project_of(request)
        inbox = studio.inbox(project)

        def one(board: StudioBoard) -> tuple[int, str]:
            try:
                return inbox.fetch(board).pictures, ""
            except (EdgeError, OSError) as error:
                return 0, f"{board.name}: {error}"

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(one, studio.fleet.boards.of(project.name)))
        if fetched := sum(count for count, _ in found):
            studio.hub.publish(project.name, "inbox", {"fetched": fetched})
        return {"fetched": fetched, "errors": [reason for _, reason in found if reason]}

    def label(request: Request, fields: Fields) -> JsonObject:
        project = project_of(request)
        names = {board.id: board.name for board in studio.fleet.boards.of(project.name)}
        done = studio.inbox(project).label(fields.texts("keys"), fields.text("label"), adding(studio, project), names)
        studio.hub.publish(project.name, "photos", {})
        return {
            "added": list(done.added),
            "known": done.known,
            "refused": [{"key": key, "reason": reason} for key, reason in done.refused],
        }

    def drop(request: Request, fields: Fields) -> JsonObject:
        return {"dropped": studio.inbox(project_of(request)).drop(fields.texts("keys"))}

    def picture(request: Request) -> Response:
        try:
            path = studio.inbox(project_of(request)).picture(request.query_params.get("key", ""))
            data = path.read_bytes() if "whole" in request.query_params else _small(read_picture(path))
        except (EdgeError, OSError) as error:
            return error_response(error, 404)
        return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    base = "/api/p/{project}/inbox"
    return StudioPart(
        [
            reading(base, listed),
            writing(f"{base}/fetch", fetch),
            writing(f"{base}/label", label),
            writing(f"{base}/drop", drop),
            Route(f"{base}/picture", picture),
        ]
    )


def adding(studio: Studio, project: Project) -> AddPhoto:
    """What adds a picture to a project's photos."""

    def add(data: bytes, name: str, label: str) -> str | None:
        added = studio.photo_store(project).add(data, name, label)
        return added.path if added.is_new else None

    return add


def _small(frame: Frame) -> bytes:
    return encode_jpeg(shrunk(frame, THUMBNAIL), _QUALITY)
