"""How long work tells that it goes on, without knowing whether anyone looks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Passes items through and shows how many have gone by (`edge_device.command_line.console.track` draws a bar)."""

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]: ...


def silently(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The `Track` that shows nothing, which libraries use unless told otherwise."""
    del label, total
    yield from items


def tracked(track: Track, label: str, work: Callable[[], T]) -> T:
    """The result of work that has no steps, shown by `track` as a single step that takes as long as the work."""
    (result,) = track((work() for _ in range(1)), label, 1)
    return result
