"""Routes whose handlers take a request and return JSON: read within limits, run in a thread, errors in one line."""

import json
from collections.abc import Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_core.codec import JsonObject
from edge_core.errors import EdgeError, SettingsError

BODY_BYTES: Final = 4 << 20
"""Bytes of a body of JSON: 20,000 paths of photos."""


class Fields:
    """The fields of a JSON object that a page has sent, each checked when it is asked for."""

    def __init__(self, values: JsonObject) -> None:
        self.values = values

    def text(self, name: str, default: str | None = None) -> str:
        """A field of text.

        Raises:
            SettingsError: It is not there, and has no default, or is no text.
        """
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise SettingsError(f"the field {name!r} should be text, not {value!r:.40}")
        return value

    def texts(self, name: str) -> list[str]:
        """A field with a list of text.

        Raises:
            SettingsError: It is not there, or holds something else.
        """
        value = self.values.get(name)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise SettingsError(f"the field {name!r} should be a list of text, not {value!r:.40}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """A field that is true or false.

        Raises:
            SettingsError: It is something else.
        """
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise SettingsError(f"the field {name!r} should be true or false, not {value!r:.40}")
        return value


def reading(path: str, answer: Callable[[Request], JsonObject]) -> Route:
    """A route for GET whose handler runs in a thread and returns a JSON object, or raises an `EdgeError`."""

    async def respond(request: Request) -> Response:
        return await _answered(lambda: answer(request))

    return Route(path, respond, methods=["GET"])


def writing(path: str, answer: Callable[[Request, Fields], JsonObject], method: str = "POST") -> Route:
    """A route that changes something; its handler gets the fields of the request's JSON object, and runs in a
    thread."""

    async def respond(request: Request) -> Response:
        try:
            fields = await read_fields(request)
        except EdgeError as error:
            return error_response(error)
        return await _answered(lambda: answer(request, fields))

    return Route(path, respond, methods=[method])


def taking(path: str, limit: int, answer: Callable[[Request, bytes], JsonObject]) -> Route:
    """A route for POST whose body is a file of `limit` bytes at most; its handler runs in a thread."""

    async def respond(request: Request) -> Response:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > limit:
                return error_response(SettingsError(f"it has more than the {limit >> 20} MB that are taken"))
        return await _answered(lambda: answer(request, bytes(data)))

    return Route(path, respond, methods=["POST"])


async def read_fields(request: Request) -> Fields:
    """The fields of a request's body; none of an empty one.

    Raises:
        SettingsError: The body is too large, or is not a JSON object.
    """
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_BYTES:
            raise SettingsError(f"the request has more than {BODY_BYTES >> 20} MB; choose fewer photos at once")
    try:
        values = json.loads(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the request is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError("the request should be a JSON object")
    return Fields(values)


def json_response(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def error_response(error: Exception, status: int = 400) -> Response:
    """One line that says what is wrong, as the commands print it."""
    return json_response({"error": " ".join(str(error).split())}, status)


async def _answered(answer: Callable[[], JsonObject]) -> Response:
    try:
        return json_response(await run_in_threadpool(answer))
    except (EdgeError, OSError) as error:
        return error_response(error)
