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
    routes = DeviceRoutes(studio)
    base = "/api/p/{project}/boards"
    return StudioPart(
        [
            reading(base, routes.listed),
            writing(base, routes.add),
            writing(f"{base}/here", routes.start_here),
            reading(f"{base}/updates", routes.updates),
            Route(f"{base}/studio.key.pub", routes.key),
            Route(f"{base}/{{board}}/frame.jpg", routes.picture),
            writing(f"{base}/{{board}}/start", routes.start),
            writing(f"{base}/{{board}}/stop", routes.stop),
            writing(f"{base}/{{board}}/remove", routes.remove),
            writing(f"{base}/{{board}}/deploy", routes.deploy),
            writing(f"{base}/{{board}}/take-back", routes.take_back),
            writing(f"{base}/{{board}}/keep", routes.keep),
        ]
    )


class DeviceRoutes:
    """What the routes answer."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._fleet = studio, studio.fleet

    def listed(self, request: Request) -> JsonObject:
        """The boards of a project, and what each is doing."""
        states = self._fleet.states(self._project(request))
        return {"boards": [board.to_json() | {"state": state.to_json()} for board, state in states]}

    def add(self, request: Request, fields: Fields) -> JsonObject:
        """Adds a board."""
        project = self._project(request)
        known = {name: fields.text(name, "") for name in _TEXTS}
        return {"board": self._fleet.add(StudioBoard("", project=project.name, **known)).to_json()}

    def start_here(self, request: Request, fields: Fields) -> JsonObject:
        """Starts a device on this machine."""
        project = self._project(request)
        file, source = exported_file(project, fields.text("file")), fields.text("source")
        name = fields.text("name", "this machine")
        return {"board": self._fleet.start_here(project, file, source, self._studio.address, name).to_json()}

    def start(self, request: Request, fields: Fields) -> JsonObject:
        """Starts a device on this machine again."""
        return {"board": self._fleet.start_again(_local(self._board(request)), self._studio.address).to_json()}

    def stop(self, request: Request, fields: Fields) -> JsonObject:
        """Ends a device on this machine."""
        self._fleet.stop(_local(self._board(request)))
        return {}

    def remove(self, request: Request, fields: Fields) -> JsonObject:
        """Forgets a board."""
        self._fleet.remove(self._board(request))
        return {}

    def deploy(self, request: Request, fields: Fields) -> JsonObject:
        """Gives a board a file."""
        project = self._project(request)
        return _job(self._fleet.deploy(self._board(request), project, exported_file(project, fields.text("file"))))

    def take_back(self, request: Request, fields: Fields) -> JsonObject:
        """Has a board go back to the model before."""
        return _job(self._fleet.take_back(self._board(request), self._project(request)))

    def updates(self, request: Request) -> JsonObject:
        """Where boards look for what is published, and the options by which one does."""
        reachable = self._studio.reachable
        address = f"{reachable}{self._fleet.site.path_of(self._project(request))}"
        return {
            "address": address,
            "words": shlex.join(["--key", "studio.key.pub", "--update-from", address]),
            "beyond": not reachable.startswith(("http://127.", "http://localhost", "http://[::1]")),
        }

    def key(self, request: Request) -> Response:
        """The public key of the studio."""
        try:
            self._project(request)
            path = public_key(self._studio.state)
        except EdgeError as error:
            return error_response(error, 404)
        return FileResponse(path, filename="studio.key.pub", media_type="application/x-pem-file")

    def keep(self, request: Request, fields: Fields) -> JsonObject:
        """Has a board keep its next frame for the inbox."""
        live_page(self._board(request)).ask("/api/snapshots", "POST")
        return {}

    def picture(self, request: Request) -> Response:
        """What a board sees: nothing, status 204, while it starts anew or is away, which is no error of the page."""
        try:
            board = self._board(request)
            if not board.address:
                raise SettingsError(f"{board.name} has no live page")
        except EdgeError as error:
            return error_response(error, 404)
        try:
            data = live_page(board).ask("/frame.jpg")
        except EdgeError:
            return Response(status_code=204, headers={"cache-control": "no-store"})
        return Response(data or b"", media_type="image/jpeg", headers={"cache-control": "no-store"})

    def _project(self, request: Request) -> Project:
        return self._studio.project(request.path_params["project"])

    def _board(self, request: Request) -> StudioBoard:
        return self._fleet.boards.get(self._project(request).name, request.path_params["board"])


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
