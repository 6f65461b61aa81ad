"""The pages of finished runs: the list, one run, two runs beside each other, labels in doubt."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_studio.jobs.export_list import finished_run, finished_runs
from edge_studio.pages.page_templates import page
from edge_studio.studio import Studio, StudioPart, Tab

TAB: Final = "Results"


def review_page_part(studio: Studio) -> StudioPart:
    """Pages that show what a run gets wrong, and why."""

    def runs(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(studio, "runs.html", TAB, project)

    def run(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        name = finished_run(project, request.path_params["run"]).name
        return page(studio, "run.html", f"Run {name}", project, run=name, tab=TAB)

    def compare(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(studio, "compare.html", "Two runs", project, runs=finished_runs(project), tab=TAB)

    def doubts(request: Request) -> Response:
        project = studio.project(request.path_params["project"])
        return page(studio, "doubts.html", "Is this label right?", project, tab=TAB)

    return StudioPart(
        [
            Route("/p/{project}/runs", runs),
            Route("/p/{project}/runs/{run}", run),
            Route("/p/{project}/compare", compare),
            Route("/p/{project}/doubts", doubts),
        ],
        [Tab(TAB, "runs")],
    )
