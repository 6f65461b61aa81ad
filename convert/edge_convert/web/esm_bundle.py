"""ES modules as one script, for a page that is a single file: browsers load no module from `file://`.

Not a bundler for anybody's code: it knows the forms that this product's modules and LiteRT.js have, static imports and
exports of names, and refuses everything else. Every module becomes a function that returns what it exports.
"""

import re
from collections.abc import Mapping
from typing import Final

from edge_core.errors import SettingsError

_IMPORT: Final = re.compile(r'^import \{([^}]*)\} from "(\.[\w./-]+)";$', re.MULTILINE)
_IMPORT_ALL: Final = re.compile(r'^import \* as (\w+) from "(\.[\w./-]+)";$', re.MULTILINE)
_DECLARATION: Final = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const|let) ([\w$]+))", re.MULTILINE)
_LIST: Final = re.compile(r"^export \{([^}]*)\};?$", re.MULTILINE)
_LEFT: Final = re.compile(r"^(?:import|export)\b.*$|\bimport\s*\(|\bimport\.meta\b", re.MULTILINE)


def bundle(entry: str, modules: Mapping[str, str]) -> str:
    """The modules that `entry` needs, in the order in which they need each other, as one script.

    Args:
        entry: Name of the module that starts the page.
        modules: Code by name; imports are of `./NAME` or `../FOLDER/NAME`, names being unique over all folders.

    Raises:
        SettingsError: A module is missing, or has an import or export of a form that is not known.
    """
    placed: dict[str, str] = {}
    _place(entry, modules, placed, ())
    return '"use strict";\n' + "".join(placed.values())


def _place(name: str, modules: Mapping[str, str], placed: dict[str, str], above: tuple[str, ...]) -> None:
    """Puts a module behind those that it imports."""
    if name in placed:
        return
    if name in above or name not in modules:
        reason = "imports itself by way of others" if name in above else "is missing"
        raise SettingsError(f"the page's module {name} {reason}; install edge-mobilenet again")
    code = modules[name]
    for found in (*_IMPORT.finditer(code), *_IMPORT_ALL.finditer(code)):
        _place(_base(found[2]), modules, placed, (*above, name))
    placed[name] = _wrapped(name, code)


def _wrapped(name: str, code: str) -> str:
    exports = [(found[1], found[1]) for found in _DECLARATION.finditer(code)]
    for found in _LIST.finditer(code):
        exports += [_renamed(one, "as") for one in found[1].split(",") if one.strip()]
    code = _LIST.sub("", _DECLARATION.sub("", code))
    code = _IMPORT.sub(lambda found: f"const {{{_destructured(found[1])}}} = {_variable(found[2])};", code)
    code = _IMPORT_ALL.sub(lambda found: f"const {found[1]} = {_variable(found[2])};", code)
    if left := _LEFT.search(_without_comments(code)):
        raise SettingsError(f"the page's module {name} has {left[0]!r}, which a single file cannot have")
    returned = ", ".join(f"{outer}: {inner}" for inner, outer in exports)
    # Asynchronous, since a module may await at its top level; each ends before those that import it begin.
    return f"const {_variable(name)} = await (async () => {{\n{code}\nreturn {{ {returned} }};\n}})();\n"


def _destructured(names: str) -> str:
    pairs = (_renamed(one, "as") for one in names.split(",") if one.strip())
    return ", ".join(outer if outer == inner else f"{outer}: {inner}" for outer, inner in pairs)


def _renamed(text: str, word: str) -> tuple[str, str]:
    """`a as b` to (a, b); `a` to (a, a)."""
    first, _, second = (part.strip() for part in text.partition(f" {word} "))
    return first, second or first


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", _base(name).removesuffix(".js"))


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _without_comments(code: str) -> str:
    """Roughly: only to look for what must not be left, and JSDoc may speak of `import("./x.js")` types."""
    return re.sub(r"/\*[\s\S]*?\*/|^[ \t]*//.*$", "", code, flags=re.MULTILINE)
