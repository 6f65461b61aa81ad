"""Routes of the live page that take pictures, and that list, fetch and acknowledge snapshots."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_device.sinks.inbox.snapshot_store import SnapshotStore
from edge_device.sinks.web.feed import to_json
from edge_device.sinks.web.routes import Shown, asked_for


def kept_routes(cameras: Mapping[str, Shown]) -> list[Route]:
    """The routes for what there is; `Guard` lets in only who may write.

    A picture is taken of the camera that a request names; snapshots are listed and fetched whichever took them.
    """
    every = [one.view.kept for one in cameras.values() if one.view.kept]
    stores = {id(one.store): one.store for one in every if one.store}
    routes = (
        [Route("/api/collect", _collect(cameras), methods=["POST"])] if any(one.collection for one in every) else []
    )
    return routes + (_snapshot_routes(cameras, list(stores.values())) if stores else [])


def _collect(cameras: Mapping[str, Shown]) -> Callable[[Request], Response]:
    def collect(request: Request) -> Response:
        label, kept = request.query_params.get("label", ""), asked_for(cameras, request).view.kept
        if kept is None or not kept.ask(label):
            return _json({"error": f"{label!r} is not a label of this page"}, 400)
        return _json(kept.to_json(), 202)

    return collect


def _snapshot_routes(cameras: Mapping[str, Shown], stores: Sequence[SnapshotStore]) -> list[Route]:
    # Not async: Starlette runs these in a thread of their own, as they wait for the disk.
    def listed(request: Request) -> Response:
        found = sorted((one for store in stores for one in store.snapshots()), key=lambda one: one.name)
        return _json({"snapshots": [one.to_json() for one in found]})

    def ask(request: Request) -> Response:
        kept = asked_for(cameras, request).view.kept
        if kept is None or kept.store is None:
            return _json({"error": "this camera keeps no snapshots"}, 404)
        kept.store.ask(kept.camera)
        return _json({"asked": True}, 202)

    def acknowledge(request: Request) -> Response:
        there = sum(store.acknowledge(request.path_params["key"]) for store in stores) > 0
        return _json({"removed": there}, 200 if there else 404)

    def fetch(suffix: Literal[".jpg", ".json"], media_type: str) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            for store in stores:
                if (content := store.read(request.path_params["key"], suffix)) is not None:
                    return Response(content, media_type=media_type)
            return _json({"error": "there is no such snapshot"}, 404)

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
