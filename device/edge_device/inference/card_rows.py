"""A model card as `edge-run show` and the live page have it: rows of a name and a line of text."""

from collections.abc import Iterable, Mapping
from typing import Any

from edge_core.artifact.card import ModelCard


def card_rows(card: ModelCard) -> dict[str, str]:
    """What is known of a model, row by row; rows of which nothing is known are left out."""
    rows = {
        "labels": f"{len(card.labels)}: {_few(card.labels)}",
        "input": f"{card.input.width}x{card.input.height} {card.input.color_order}, crop {card.input.crop}",
        "backbone": f"{card.backbone.name} {card.backbone.alpha}, from {card.backbone.weights}"
        if card.backbone
        else "",
        "dataset": f"{card.dataset.name}: "
        + ", ".join(f"{split} {sum(counts.values())}" for split, counts in card.dataset.counts.items())
        if card.dataset
        else "",
        "metrics": _few(f"{name} {estimate.percent()}" for name, estimate in card.metrics.items()),
        "training": _settings(card.training),
        "conversion": _settings(card.conversion),
        "taught": "; ".join(_lesson(entry) for entry in card.conversion.get("taught", [])),
        "versions": _settings(card.versions),
    }
    return {name: text for name, text in rows.items() if text}


def _lesson(entry: Mapping[str, Any]) -> str:
    """What one lesson changed, and when."""
    changes = [f"{label} by {count} frames" for label, count in entry["examples"].items()]
    changes += [f"{label} forgotten" for label in entry["forgotten"]]
    changes += [f"{old} renamed {new}" for old, new in entry["renamed"].items()]
    return f"{', '.join(changes)} on {entry['at'][:10]}"


def _few(values: Iterable[str], limit: int = 12) -> str:
    values = list(values)
    return ", ".join(values[:limit]) + (f", and {len(values) - limit} more" if len(values) > limit else "")


def _settings(fields: Mapping[str, Any]) -> str:
    return _few(
        f"{name} {in_words(value)}"
        for name, value in fields.items()
        # Tables and lists, such as the lessons of a model that was taught, have rows of their own or none.
        if not isinstance(value, dict | list) and value not in (None, "")
    )


def in_words(value: Any) -> str:
    """A setting or a figure for a person: yes and no, four digits of what is not whole."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return str(value)
