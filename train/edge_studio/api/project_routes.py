"""Routes of the list of projects, and of what happens in one."""

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import SettingsError
from edge_studio.api.json_routes import Fields, error_response, reading, writing
from edge_studio.studio import Studio, StudioPart


def project_part(studio: Studio) -> StudioPart:
    """Lists and creates projects, and streams what happens in one as server-sent events."""

    def listed(request: Request) -> JsonObject:
        return {"projects": [project.name for project in studio.projects()]}

    def create(request: Request, fields: Fields) -> JsonObject:
        return {"project": studio.create(fields.text("name")).name}

    async def events(request: Request) -> Response:
        try:
            project = studio.project(request.path_params["project"])
        except SettingsError as error:
            return error_response(error, 404)
        return StreamingResponse(studio.hub.listen(project.name), media_type="text/event-stream")

    return StudioPart(
        [
            reading("/api/projects", listed),
            writing("/api/projects", create),
            Route("/api/p/{project}/events", events),
        ]
    )
