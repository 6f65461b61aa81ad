"""Routes of the live page that teach the model."""

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.errors import EdgeError
from edge_device.sinks.web.feed import to_json
from edge_device.sinks.web.kept import LabelTeacher
from edge_device.sinks.web.routes import Shown, asked_for


def teach_routes(cameras: Mapping[str, Shown]) -> list[Route]:
    """The routes, where a camera's model may be taught; `Guard` lets in only who may write.

    Each answers with what the page is told then, or with the reason why not.
    """
    if not any(one.view.kept and one.view.kept.teacher for one in cameras.values()):
        return []

    def route(path: str, do: Callable[[LabelTeacher, Request], object], done: int) -> Route:
        # Not async: Starlette runs these in a thread of their own, as they wait for the disk.
        def answer(request: Request) -> Response:
            kept = asked_for(cameras, request).view.kept
            if kept is None or kept.teacher is None:
                return _json({"error": "the model of this camera is not taught here"}, 404)
            try:
                do(kept.teacher, request)
            except (EdgeError, OSError) as error:
                return _json({"error": str(error)}, 409)
            return _json(kept.to_json(), done)

        return Route(path, answer, methods=["POST"])

    return [
        route("/api/teach/labels", lambda teacher, request: teacher.name(request.query_params.get("label", "")), 201),
        route("/api/teach/undo", lambda teacher, request: teacher.undo(), 200),
        route("/api/teach", lambda teacher, request: teacher.start(), 202),
    ]


def _json(value: object, status: int) -> Response:
    return Response(to_json(value), status, media_type="application/json")
