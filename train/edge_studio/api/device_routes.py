"""Routes of a project's boards, and of the device on this machine."""

import shlex
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, SettingsError
from edge_studio.api.json_routes import Fields, error_response, reading, writing
from edge_studio.devices.board_list import StudioBoard
from edge_studio.devices.board_state import live_page
from edge_studio.jobs.export_list import exported_file
from edge_studio.jobs.job import Job
from edge_studio.jobs.signing import public_key
from edge_studio.project import Project
from edge_studio.studio import Studio, StudioPart

_TEXTS: Final = ("name", "address", "token", "ssh", "model_file", "snapshot_folder", "update_folder")


def device_part(studio: Studio) -> StudioPart:
    """Everything below /api/p/PROJECT/boards."""
    fleet = studio.fleet

    def project_of(request: Request) -> Project:
        return studio.project(request.path_params["project"])

    def board_of(request: Request) -> StudioBoard:
        return fleet.boards.get(project_of(request).name, request.path_params["board"])

    def listed(request: Request) -> JsonObject:
        states = fleet.states(project_of(request))
        return {"boards": [board.to_json() | {"state": state.to_json()} for board, state in states]}

    def add(request: Request, fields: Fields) -> JsonObject:
        project = project_of(request)
        known = {name: fields.text(name, "") for name in _TEXTS}
        return {"board": fleet.add(StudioBoard("", project=project.name, **known)).to_json()}

    def start_here(request: Request, fields: Fields) -> JsonObject:
        project = project_of(request)
        file = exported_file(project, fields.text("file"))
        name = fields.text("name", "this machine")
        return {"board": fleet.start_here(project, file, fields.text("source"), studio.address, name).to_json()}

    def start(request: Request, fields: Fields) -> JsonObject:
        board = _local(board_of(request))
        return {"board": fleet.start_again(board, studio.address).to_json()}

    def stop(request: Request, fields: Fields) -> JsonObject:
        fleet.stop(_local(board_of(request)))
        return {}

    def remove(request: Request, fields: Fields) -> JsonObject:
        fleet.remove(board_of(request))
        return {}

    def deploy(request: Request, fields: Fields) -> JsonObject:
        project = project_of(request)
        return _job(fleet.deploy(board_of(request), project, exported_file(project, fields.text("file"))))

    def take_back(request: Request, fields: Fields) -> JsonObject:
        return _job(fleet.take_back(board_of(request), project_of(request)))

    def updates(request: Request) -> JsonObject:
        """Where boards look for what is published, and the options by which one does."""
        project = project_of(request)
        address = f"{studio.reachable}{fleet.site.path_of(project)}"
        return {
            "address": address,
            "words": shlex.join(["--key", "studio.key.pub", "--update-from", address]),
            "beyond": not studio.reachable.startswith(("http://127.", "http://localhost", "http://[::1]")),
        }

    def key(request: Request) -> Response:
        try:
            project_of(request)
            path = public_key(studio.state)
        except EdgeError as error:
            return error_response(error, 404)
        return FileResponse(path, filename="studio.key.pub", media_type="application/x-pem-file")

    def keep(request: Request, fields: Fields) -> JsonObject:
        live_page(board_of(request)).ask("/api/snapshots", "POST")
        return {}

    def picture(request: Request) -> Response:
        try:
            board = board_of(request)
            if not board.address:
                raise SettingsError(f"{board.name} has no live page")
            data = live_page(board).ask("/frame.jpg")
        except EdgeError as error:
            return error_response(error, 404)
        return Response(data or b"", media_type="image/jpeg", headers={"cache-control": "no-store"})

    base = "/api/p/{project}/boards"
    return StudioPart(
        [
            reading(base, listed),
            writing(base, add),
            writing(f"{base}/here", start_here),
            reading(f"{base}/updates", updates),
            Route(f"{base}/studio.key.pub", key),
            Route(f"{base}/{{board}}/frame.jpg", picture),
            writing(f"{base}/{{board}}/start", start),
            writing(f"{base}/{{board}}/stop", stop),
            writing(f"{base}/{{board}}/remove", remove),
            writing(f"{base}/{{board}}/deploy", deploy),
            writing(f"{base}/{{board}}/take-back", take_back),
            writing(f"{base}/{{board}}/keep", keep),
        ]
    )


def _local(board: StudioBoard) -> StudioBoard:
    """The same board if it is a device on this machine.

    Raises:
        SettingsError: It is another.
    """
    if not board.is_local:
        raise SettingsError(f"{board.name} is not on this machine: start and stop it there")
    return board


def _job(job: Job | None) -> JsonObject:
    return {"job": job.to_json() if job else None}
