"""The pages on which a file is tried, boards are looked after, and their frames are labeled."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.data.photo_folder import NEGATIVES_FOLDER
from edge_studio.jobs.export_list import exported_files
from edge_studio.pages.page_templates import page
from edge_studio.pages.work_pages import class_names
from edge_studio.studio import Studio, StudioPart, Tab


def device_page_part(studio: Studio) -> StudioPart:
    """The pages Try, Devices and Inbox."""

    def shown(template: str, title: str, request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(
            studio,
            template,
            title,
            project,
            classes=class_names(project),
            nothing=NEGATIVES_FOLDER,
            files=[one.name for one in exported_files(project)],
            chosen=request.query_params.get("file", ""),
        )

    def tried(request: Request) -> Response:
        return shown("try.html", "Try", request)

    def devices(request: Request) -> Response:
        return shown("devices.html", "Devices", request)

    def inbox(request: Request) -> Response:
        return shown("inbox.html", "Inbox", request)

    return StudioPart(
        [
            Route("/p/{project}/try", tried),
            Route("/p/{project}/devices", devices),
            Route("/p/{project}/inbox", inbox),
        ],
        tabs=[Tab("Try", "try"), Tab("Devices", "devices"), Tab("Inbox", "inbox")],
    )
