"""Templates to pages, and pages of errors."""

from importlib import resources
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from edge_core.errors import EdgeError
from edge_studio.project import Project
from edge_studio.studio import Studio

_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("edge_studio.pages"),
    autoescape=True,
    # A name that is misspelled in a template is an error instead of an empty text.
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# One segment of a path: the slash in a name is escaped, too, which Jinja's urlencode leaves.
_ENVIRONMENT.filters["segment"] = lambda text: quote(text, safe="")

STATIC: Final = resources.files("edge_studio") / "static"


def page(studio: Studio, template: str, title: str, project: Project | None = None, **values: object) -> Response:
    """A page of the studio.

    Args:
        studio: Studio whose tabs are shown.
        template: Name of the template, which extends base.html.
        title: Title of the page.
        project: Project whose page it is, if it is one's.
        values: What the template shows; text is escaped. `tab` is the title of the tab that a page belongs to, where it
            has another one itself.
    """
    values = {"tab": title} | values
    text = _ENVIRONMENT.get_template(template).render(
        title=title, project=project.name if project else "", tabs=studio.tabs, **values
    )
    return HTMLResponse(text)


def error_page(studio: Studio, error: EdgeError | str, status: int) -> Response:
    """A page that says in one line what is wrong."""
    response = page(studio, "error.html", "This did not work", message=" ".join(str(error).split()))
    response.status_code = status
    return response


def wants_page(request: Request) -> bool:
    """Whether an answer is for a person's eyes: not of the API, and asked for as HTML."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
