"""What the texts of a camera's options mean, found out before anything is opened."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_core.errors import SettingsError
from edge_core.preprocess import InputSpec
from edge_device.frames.focus import Focus
from edge_device.frames.motion import MotionRule
from edge_device.frames.regions import WHOLE, Orientation, Region, covering, parse_region, parse_zones
from edge_device.inference.accelerator import parse_device
from edge_device.live.decisions import Rule, parse_smoothing, parse_thresholds
from edge_device.live.loop import LiveSettings
from edge_device.live.make_focus import make_focus
from edge_device.live.options import DecisionOptions, LiveOptions, SourceOptions
from edge_device.sources import CameraMode, Pictures, Source, parse_controls, redact


@dataclass(frozen=True)
class CameraPlan:
    """How a camera is opened and looked at.

    Attributes:
        name: Name of the source for people, without credentials.
        regions: Classified parts of the frame by the name of their zone.
        mode: What the camera is asked for.
        orientation: How the camera is turned.
        rule: How labels become decisions.
        focus: Finds what is classified; None: the regions, whole.
    """

    name: str
    regions: Mapping[str, Region]
    mode: CameraMode
    orientation: Orientation
    rule: Rule
    focus: Focus | None

    def covering(self, spec: InputSpec) -> int:
        """The shorter side in pixels that a frame needs for an input."""
        return covering(spec, list(self.regions.values()))


def planned(options: LiveOptions) -> CameraPlan:
    """The plan that options ask for.

    Raises:
        SettingsError: The text of an option is not what it should be, or two options contradict each other.
    """
    source = options.source
    regions = _regions(source)
    parse_device(options.model.device)
    return CameraPlan(
        name=redact(source.source),
        regions=regions,
        focus=make_focus(options, list(regions.values())),
        rule=_rule(options.decisions),
        mode=CameraMode(
            source.width,
            source.height,
            source.fps or source.max_fps,
            source.pixel_format,
            parse_controls(source.controls),
            source.tuning_file,
            source.buffers,
        ),
        orientation=Orientation(source.rotate, source.mirror),  # type: ignore[arg-type]
    )


def live_settings(options: LiveOptions, plan: CameraPlan, source: Source) -> LiveSettings:
    """How a loop looks at a source that is open."""
    return LiveSettings(
        count=options.decisions.top,
        regions=plan.regions,
        orientation=plan.orientation,
        rule=None if isinstance(source, Pictures) else plan.rule,  # a picture is no moment of a scene
        motion=MotionRule() if options.source.on_motion else None,
        max_fps=options.source.max_fps,
        frames=options.source.frames,
        focus=plan.focus,
    )


def _regions(source: SourceOptions) -> dict[str, Region]:
    if source.roi and source.zones:
        raise SettingsError("--roi is for one part of the frame, --zone for several by name; use one of both")
    named = {zone.name: zone.region for zone in parse_zones(source.zones)}
    return named or {"": parse_region(source.roi) if source.roi else WHOLE}


def _rule(decisions: DecisionOptions) -> Rule:
    common, by_label = parse_thresholds(decisions.thresholds)
    usual = Rule()
    return Rule(parse_smoothing(decisions.smoothing), usual.threshold if common is None else common, by_label)
