"""The page that lists the projects."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_studio.pages.page_templates import page
from edge_studio.studio import Studio, StudioPart


def home_part(studio: Studio) -> StudioPart:
    """The first page: the projects, and a form that creates one."""

    def home(request: Request) -> Response:
        return page(studio, "home.html", "Studio", projects=studio.projects(), folder=str(studio.settings.folder))

    return StudioPart([Route("/", home)])
