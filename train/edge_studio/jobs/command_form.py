"""What a page offers of a command, read from the command's own typed parameters: its defaults, ranges and choices are
written there alone."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from edge_core.errors import SettingsError

FormValue = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True)
class FormField:
    """An option of a command, as a page offers it.

    Attributes:
        flag: How the option is typed, `--image-size`.
        negation: How an option that is on by default is turned off, `--no-mirror`; empty if it cannot be.
        default: Value of the option if nobody has chosen another; its type is that of the option's values.
        least: Smallest value of a number; None if there is none.
        most: Largest value of a number; None if there is none.
        choices: Texts that may be chosen; empty for any text.
    """

    flag: str
    negation: str
    default: FormValue
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: object) -> FormValue:
        """Returns a value of this option, as JSON has it, in the option's own type.

        Raises:
            SettingsError: It is of another type, out of range, or not one of the choices.
        """
        found = _typed(name, type(self.default), value)
        # The default may lie outside the range: 0 stands for the usual size.
        if isinstance(found, int | float) and found != self.default:
            self._check_range(name, found)
        for one in found if isinstance(found, tuple) else (found,):
            if self.choices and one not in self.choices:
                raise SettingsError(f"the {_spoken(name)} {one!r} is not one of {', '.join(self.choices)}")
        return found

    def words(self, value: FormValue) -> list[str]:
        """The option with a value as a terminal takes it; nothing where the value is the default."""
        if value == self.default:
            return []
        if isinstance(value, bool):
            return [self.flag if value else self.negation]
        if isinstance(value, tuple):
            return [word for one in value for word in (self.flag, one)]
        return [self.flag, f"{value:g}" if isinstance(value, float) else str(value)]

    def _check_range(self, name: str, value: float) -> None:
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            bounds = [f"at least {self.least:g}"] if self.least is not None else []
            bounds += [f"at most {self.most:g}"] if self.most is not None else []
            raise SettingsError(f"the {_spoken(name)} is {value:g}; it should be {' and '.join(bounds)}")


@dataclass(frozen=True)
class CommandForm:
    """The options of a command that a page offers.

    Attributes:
        fields: The options by their names in the command, `image_size`.
    """

    fields: Mapping[str, FormField]

    def read(self, form: Mapping[str, object]) -> dict[str, FormValue]:
        """The values that a form holds; what it leaves out has its default, what it should not hold is refused.

        Args:
            form: Values as JSON has them.

        Raises:
            SettingsError: A value is of the wrong type or out of range, or there is no such option.
        """
        for name in form:
            if name not in self.fields:
                raise SettingsError(f"there is no option {name!r}; there are {', '.join(self.fields)}")
        return {
            name: field.check(name, form[name]) if name in form else field.default
            for name, field in self.fields.items()
        }

    def words(self, values: Mapping[str, FormValue]) -> list[str]:
        """The options with these values as a terminal takes them, as far as they differ from the defaults."""
        return [word for name, field in self.fields.items() for word in field.words(values[name])]


def offer(
    command: Callable[..., None],
    names: Iterable[str],
    unset: Mapping[str, FormValue] | None = None,
    choices: Mapping[str, Iterable[str]] | None = None,
) -> CommandForm:
    """A form of some options of a command.

    Args:
        command: Function of the command, with typer's annotations.
        names: Names of the options that are offered, in the order in which they are typed.
        unset: What a page shows for an option that has no default of its own: 0 for the usual size.
        choices: Texts that a page offers for options that take any text.
    """
    hints = get_type_hints(command, include_extras=True)
    defaults = inspect.signature(command).parameters
    return CommandForm(
        {
            name: _field(name, hints[name], (unset or {}).get(name, defaults[name].default), (choices or {}).get(name))
            for name in names
        }
    )


def _field(name: str, hint: object, default: object, choices: Iterable[str] | None) -> FormField:
    kind, info = get_args(hint)[0], next(one for one in get_args(hint) if isinstance(one, OptionInfo))
    plain = next((one for one in get_args(kind) if one is not NoneType), kind) if get_origin(kind) is not list else kind
    # In an annotation typer takes the first of the option's names for its default.
    spelled = next((one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)), "")
    flag, _, negation = (spelled or f"--{name.replace('_', '-')}").partition("/")
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        default, choices = str(default), choices or [one.value for one in plain]
    if not isinstance(default, str | int | float | tuple):
        raise TypeError(f"{name} has no default that a page could show")
    return FormField(flag, negation, default, info.min, info.max, tuple(choices or ()))


def _typed(name: str, kind: type[FormValue], value: object) -> FormValue:
    if not isinstance(value, int | float) or _is_finite(value):
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if kind is tuple and isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        # bool is an int to isinstance, so the type itself is compared.
        if type(value) is kind and isinstance(value, str | int | bool):
            return value
    raise SettingsError(f"the {_spoken(name)} is {value!r:.40}; it should be of the type {kind.__name__}")


def _is_finite(value: float) -> bool:
    """Whether a float can hold it: Python reads NaN from JSON, and integers of any length."""
    return -sys.float_info.max <= value <= sys.float_info.max


def _spoken(name: str) -> str:
    return name.replace("_", " ")
