"""Routes that try an exported file on pictures, and that put a picture among the photos."""

from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from edge_core.codec import JsonObject
from edge_studio.api.json_routes import reading, taking
from edge_studio.devices.inbox import note_origin
from edge_studio.devices.tried_frame import FileTrials
from edge_studio.jobs.export_list import exported_file, exported_files
from edge_studio.studio import Studio, StudioPart

PICTURE_BYTES: Final = 32 << 20
"""Bytes of a picture that is tried."""


def try_part(studio: Studio) -> StudioPart:
    """Everything below /api/p/PROJECT/try."""
    trials = FileTrials()

    def listed(request: Request) -> JsonObject:
        return {"files": [one.name for one in exported_files(studio.project(request.path_params["project"]))]}

    def look(request: Request, picture: bytes) -> JsonObject:
        project = studio.project(request.path_params["project"])
        query = request.query_params
        file = exported_file(project, query.get("file", ""))
        return trials.look(file, picture, search=query.get("search") == "1").to_json()

    def keep(request: Request, picture: bytes) -> JsonObject:
        project = studio.project(request.path_params["project"])
        query = request.query_params
        now, label = datetime.now(UTC), query.get("label", "")
        added = studio.photo_store(project).add(picture, f"{now:%Y%m%dT%H%M%S.%f}Z.jpg", label)
        if added.is_new:
            told = {"file": added.path, "label": label, "time": now.isoformat(), "camera": query.get("camera", "")}
            note_origin(project, told | {"why": "wrong", "model": query.get("file", "")})
            studio.hub.publish(project.name, "photos", {})
        return {"path": added.path if added.is_new else None}

    base = "/api/p/{project}/try"
    return StudioPart(
        [
            reading(base, listed),
            taking(base, PICTURE_BYTES, look),
            taking(f"{base}/keep", PICTURE_BYTES, keep),
        ],
        stop=trials.close,
    )
