"""Routes of the live page that take pictures, and that list, fetch and acknowledge snapshots."""

from collections.abc import Callable
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_device.sinks.web.feed import to_json
from edge_device.sinks.web.kept import KeptPictures


def kept_routes(kept: KeptPictures) -> list[Route]:
    """The routes for what there is; `Guard` lets in only who may write."""
    routes = []
    if kept.collection is not None:

        def collect(request: Request) -> Response:
            label = request.query_params.get("label", "")
            if not kept.ask(label):
                return _json({"error": f"{label!r} is not a label of this page"}, 400)
            return _json(kept.to_json(), 202)

        routes.append(Route("/api/collect", collect, methods=["POST"]))
    return routes + (_snapshot_routes(kept.store) if kept.store is not None else [])


def _snapshot_routes(store: SnapshotStore) -> list[Route]:
    # Not async: Starlette runs these in a thread of their own, as they wait for the disk.
    def listed(request: Request) -> Response:
        return _json({"snapshots": [one.to_json() for one in store.snapshots()]})

    def ask(request: Request) -> Response:
        store.ask()
        return _json({"asked": True}, 202)

    def acknowledge(request: Request) -> Response:
        there = store.acknowledge(request.path_params["key"])
        return _json({"removed": there}, 200 if there else 404)

    def fetch(suffix: Literal[".jpg", ".json"], media_type: str) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            content = store.read(request.path_params["key"], suffix)
            if content is None:
                return _json({"error": "there is no such snapshot"}, 404)
            return Response(content, media_type=media_type)

        return answer

    return [
        Route("/api/snapshots", listed, methods=["GET"]),
        Route("/api/snapshots", ask, methods=["POST"]),
        Route("/api/snapshots/{key:path}.jpg", fetch(".jpg", "image/jpeg")),
        Route("/api/snapshots/{key:path}.json", fetch(".json", "application/json")),
        Route("/api/snapshots/{key:path}/acknowledge", acknowledge, methods=["POST"]),
    ]


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")
