"""The pages on which a project is trained and exported."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.data.photo_folder import NEGATIVES_FOLDER, is_litter
from edge_studio.jobs.commands import EXPORT, TRAIN, hardware
from edge_studio.jobs.export_list import finished_runs
from edge_studio.pages.page_templates import page
from edge_studio.project import Project
from edge_studio.studio import Studio, StudioPart, Tab


def work_part(studio: Studio) -> StudioPart:
    """The training page and the export page."""

    def train(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(
            studio,
            "train.html",
            "Train",
            project,
            classes=class_names(project),
            hardware=hardware(),
            form=TRAIN.fields,
        )

    def export(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(
            studio,
            "export.html",
            "Export",
            project,
            runs=finished_runs(project),
            form=EXPORT.fields,
        )

    return StudioPart(
        [Route("/p/{project}/train", train), Route("/p/{project}/export", export)],
        tabs=[Tab("Train", "train"), Tab("Export", "export")],
    )


def class_names(project: Project) -> list[str]:
    """The classes of a project, without the folder of pictures that show none of them."""
    folders = [child.name for child in project.photos.iterdir() if child.is_dir() and not is_litter(child.name)]
    return sorted(name for name in folders if name != NEGATIVES_FOLDER)
