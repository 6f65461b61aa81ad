"""The page of a project's photos."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_studio.pages.page_templates import page
from edge_studio.studio import Studio, StudioPart

FLAG_TITLES = {
    "unreadable": "Unreadable",
    "contradiction": "In several classes",
    "copy": "Copies",
    "near": "Near-duplicates",
    "burst": "Bursts",
    "suspect": "Is the label right?",
}


def photo_page_part(studio: Studio) -> StudioPart:
    """The grid of photos, and all that brings them in."""

    def photos(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(studio, "photos.html", "Photos", project, flags=FLAG_TITLES)

    return StudioPart([Route("/p/{project}/photos", photos)])
