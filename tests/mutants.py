"""`make mutants`: breaks the contracts in many small ways, one at a time, and tells which breaks no test notices.

Every operator, number, condition and statement of the listed functions is changed in turn (operators after DeMillo,
Lipton and Sayward, "Hints on test data selection", IEEE Computer 11, 1978). A changed module exists in memory alone, in
a copy of this process that runs the contract's own test files up to the first failure. Exit status 1 if a mutant
survives that is not in `EQUIVALENT`.
"""

import argparse
import ast
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PROCESSOR_S: Final = 60
"""Processor time that a mutant's tests may take; one that loops for ever is killed by it."""

MEMORY_BYTES: Final = 6 << 30
"""Address space that a mutant's tests may take: some ask for all that there is."""

EXAMPLES: Final = 25
"""Number of hypothesis examples for each property."""

SLOW_S: Final = 0.1
"""Processor time from which on a test comes last: quick ones kill nearly all mutants."""

OWN: Final = ("edge_", "tests", "test_", "conftest")
"""How the names of modules begin that every copy of this process imports itself; all others it finds loaded."""


@dataclass(frozen=True)
class Part:
    """Functions of one module that belong to a contract.

    Attributes:
        module: import path of the module.
        names: functions, classes and constants to break; a class stands for its methods and defaults.
    """

    module: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """What must hold, and the tests that say so.

    Attributes:
        parts: the code that the contract is made of.
        tests: test files, relative to the repository, the quickest first.
        conftest: whether they take fixtures of a conftest.py; to load it takes longer than most tests.
    """

    parts: tuple[Part, ...]
    tests: tuple[str, ...]
    conftest: bool = False


CONTRACTS: Final[dict[str, Contract]] = {
    "preprocess": Contract(
        (
            Part(
                "edge_core.preprocess",
                (
                    *("PAD_LEVEL", "InputSpec", "preprocess", "_CONVERSIONS", "_largest_inside"),
                    *("_centered", "_shrink", "_halvings", "_check_frame"),
                    *("parse_levels", "_checked_levels"),
                ),
            ),
        ),
        ("tests/core/test_preprocess.py",),
    ),
    "seal": Contract(
        (
            Part(
                "edge_core.artifact.seal",
                (
                    *("_FORM", "_LONGEST", "_before_digest", "_message", "seal", "read_seal", "check_seal"),
                    "_holds_golden_vectors",
                ),
            ),
            Part("edge_device.inference.verify", ("_check_signature",)),
        ),
        ("tests/core/test_seal.py", "tests/device/inference/test_verify.py"),
        conftest=True,
    ),
    "golden vectors": Contract(
        (
            Part(
                "edge_core.artifact.golden",
                ("QUANTIZED", "STEPS", "FLOAT", "tolerance_of", "GoldenVectors", "read_golden", "_parse", "to_jpeg"),
            ),
            Part("edge_device.inference.verify", ("record", "sealed", "verify", "replay", "_first", "Verification")),
        ),
        ("tests/core/test_seal.py", "tests/device/inference/test_verify.py"),
        conftest=True,
    ),
    "gate": Contract(
        (
            Part("edge_convert.gate.gate_comparison", ("Comparison", "compare", "artifact_scores", "full_size_scores")),
            Part("edge_convert.gate.limits", ("Limits", "doubt_of", "first_reason")),
            Part("edge_core.statistics", ("accuracy", "paired_difference", "_paired", "mcnemar", "photos_to_tell")),
        ),
        ("tests/convert/test_gate.py", "tests/core/test_intervals.py"),
    ),
    "decisions": Contract(
        (
            Part(
                "edge_device.live.decisions",
                (
                    *("Rule", "Decider.__init__", "Decider.update", "Decider.lost", "Decider.leave", "Decider.relabel"),
                    *("Decider._passes", "Decider._keeps", "parse_thresholds"),
                ),
            ),
        ),
        ("tests/device/live/test_decisions.py",),
    ),
    "smoothing": Contract(
        (
            Part(
                "edge_device.live.decisions", ("Decider._smooth", "Decider._vote", "Decider._begin", "parse_smoothing")
            ),
        ),
        ("tests/device/live/test_decisions.py",),
    ),
    "label order": Contract(
        (
            Part("edge_device.inference.classifier", ("top", "Classifier")),
            Part("edge_core.data.photo_folder", ("natural_key", "labels_of", "label_counts", "_by_name")),
            Part("edge_core.artifact.card", ("check_labels",)),
            Part("edge_core.artifact.container", ("complete", "read_card")),
            Part("edge_device.inference.interpreter", ("Interpreter",)),
        ),
        (
            *("tests/device/inference/test_classifier.py", "tests/core/test_tflite_file.py"),
            *("tests/core/test_card.py", "tests/core/test_photos.py", "tests/device/teaching/test_teach.py"),
        ),
        conftest=True,
    ),
    "card": Contract(
        (
            Part(
                "edge_core.artifact.card", ("ModelCard", "check_labels", "_is_utf8", "_typed", "_backbone", "_dataset")
            ),
        ),
        ("tests/core/test_card.py",),
    ),
    "tflite metadata": Contract(
        (
            Part(
                "edge_core.artifact.metadata",
                ("describe", "attach", "_without_front", "_moved", "_read_root", "_tables", "_entry_name", "_Front"),
            ),
            Part(
                "edge_core.artifact.flatbuffer",
                (
                    *("is_tflite", "Flatbuffer.__init__", "Flatbuffer.root", "Flatbuffer.optional_field"),
                    *("Flatbuffer.uint", "Flatbuffer.target", "Flatbuffer.length", "Flatbuffer.tables"),
                    *("Flatbuffer.data", "Flatbuffer._int"),
                ),
            ),
            Part("edge_core.artifact.container", ("without_archive", "opened_archive", "read_entry", "has_entry")),
        ),
        ("tests/core/test_tflite_file.py",),
    ),
    "familiarity": Contract(
        (
            Part(
                "edge_core.artifact.familiarity",
                ("STRANGE", "STRANGE_WEIGHT", "Term", "Detector", "parse_detector", "_check", "_terms"),
            ),
        ),
        ("tests/core/test_familiarity.py",),
    ),
}

EQUIVALENT: Final[dict[tuple[str, str, str], str]] = {
    (
        "edge_core.artifact.seal",
        "_LONGEST: Final = 512",
        "512  ->  513",
    ): "a bound on how far from the end a seal begins; the longest has 295 bytes",
    (
        "edge_core.artifact.familiarity",
        "rest = min([number + product / length for number, product in zip(self._beside[0], beside, strict=True)])",
        "True  ->  False",
    ): "the lists that are zipped are both of one property, a number for each row",
    (
        "edge_core.artifact.flatbuffer",
        'if struct.unpack_from("<H", self._bytes, vtable)[0] <= 4 + 2 * number:',
        "4  ->  5",
    ): "all that a vtable holds has two bytes, so its size is even",
    (
        "edge_core.data.photo_folder",
        "(0, int(part)) if part.isdecimal() else (1, part.casefold())",
        "1  ->  2",
    ): "numbers sort before text, whatever number says so",
    (
        "edge_device.live.decisions",
        "self._known = 0.0",
        "0.0  ->  1.0",
    ): "the first frame's weight is 1, so that nothing is left of it",
    (
        "edge_device.live.decisions",
        "if isinstance(smoothing, Exponential) and self._seen_s() < smoothing.seconds:",
        "self._seen_s() < smoothing.seconds  ->  self._seen_s() <= smoothing.seconds",
    ): "the first side has a millionth of a second that no constant has",
}
"""Mutants that no test can tell from the original, by module, line of source and change, each with the reason."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        part: the functions that the change is one of.
        number: position of the change among all of the part.
        line: line number of the change in the module.
        source: that line, without its indentation.
        change: the code before and after.
    """

    part: Part
    number: int
    line: int
    source: str
    change: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by in `EQUIVALENT`."""
        return self.part.module, self.source, self.change

    def __str__(self) -> str:
        return f"{self.part.module}:{self.line}  {self.change}"


# fmt: off
COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult,
}
# fmt: on
OPPOSITES: Final = {"min": "max", "max": "min", "any": "all", "all": "any", "argmax": "argmin", "argmin": "argmax"} | {
    "won": "lost",
    "lost": "won",
}
"""Names of functions and attributes that are easily taken for each other."""


def changes(node: ast.AST) -> Iterator[ast.AST | None]:
    """What a node could become; None: the statement is left out."""
    match node:
        case ast.Compare(ops=[first, *rest]):
            yield ast.Compare(node.left, [COMPARISONS[type(first)](), *rest], node.comparators)
        case ast.BinOp(op=ast.Mult(), right=ast.Constant(value=1)):
            pass  # a division by one is the same
        case ast.BinOp(op=operator) if type(operator) in ARITHMETIC and not (_text(node.left) or _text(node.right)):
            yield ast.BinOp(node.left, ARITHMETIC[type(operator)](), node.right)
        case ast.AugAssign(op=operator) if type(operator) in ARITHMETIC:
            yield ast.AugAssign(node.target, ARITHMETIC[type(operator)](), node.value)
        case ast.BoolOp(op=operator):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Slice(step=ast.UnaryOp()):
            yield ast.Slice(node.lower, node.upper, None)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in OPPOSITES and isinstance(node.ctx, ast.Load):
            other = OPPOSITES[name]
            yield (
                ast.Name(other, node.ctx) if isinstance(node, ast.Name) else ast.Attribute(node.value, other, node.ctx)
            )
        case (
            ast.Expr(value=ast.Call())
            | ast.Raise()
            | ast.Assign(targets=[ast.Subscript() | ast.Attribute()])
            | ast.AugAssign()
        ):
            yield None
        case ast.If(test=test) if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


@dataclass(frozen=True)
class Site:
    """A place in a syntax tree, and what to put there.

    Attributes:
        before: the node that is there.
        after: the node to put there; None leaves the statement out.
        put: puts a node there.
    """

    before: ast.AST
    after: ast.AST | None
    put: Callable[[ast.AST], None]

    def __str__(self) -> str:
        return f"{_line(self.before)}  ->  {'nothing' if self.after is None else _line(self.after)}"


def sites(tree: ast.Module, names: Sequence[str]) -> Iterator[Site]:
    """Every change of the named definitions, in the order of the source.

    Raises:
        LookupError: a definition is not there: renamed, and no longer broken.
    """
    found = [(path, definition) for path, definition in _definitions(tree, "") if path in names]
    if missing := set(names) - {path for path, _ in found}:
        raise LookupError(f"not defined: {', '.join(sorted(missing))}")
    for _, definition in found:
        yield from _below(definition)


def _definitions(parent: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in parent.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name, node
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{node.name}.")


def _below(parent: ast.AST) -> Iterator[Site]:
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for place, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or isinstance(node, ast.JoinedStr):  # formatted text is wording
                continue

            def put(after: ast.AST, field: str = field, value: Any = value, place: int = place) -> None:
                if isinstance(value, list):
                    value[place] = after
                else:
                    setattr(parent, field, after)

            yield from (Site(node, after, put) for after in changes(node))
            if not isinstance(node, ast.Raise):
                yield from _below(node)


def _line(node: ast.AST) -> str:
    """A node's source in one line; of a compound statement its head."""
    copy = ast.fix_missing_locations(deepcopy(node))
    return ast.unparse(copy).split("\n")[0]


def mutants(part: Part) -> list[Mutant]:
    """All mutants of a part."""
    lines = _source(part.module).splitlines()
    found = []
    for number, site in enumerate(sites(_tree(part.module), part.names)):
        line = getattr(site.before, "lineno", 1)
        found.append(Mutant(part, number, line, lines[line - 1].strip(), str(site)))
    return found


def _tree(module: str) -> ast.Module:
    return ast.parse(_source(module))


def _source(module: str) -> str:
    """A module's source; nothing is imported, or the tests would find the original loaded."""
    package, *below = module.split(".")
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *below).with_suffix(".py").read_text("utf-8")


def mutated(mutant: Mutant) -> ast.Module:
    """The module's syntax tree with the change in it."""
    tree = _tree(mutant.part.module)
    site = next(islice(sites(tree, mutant.part.names), mutant.number, None))
    site.put(ast.Pass() if site.after is None else site.after)
    return ast.fix_missing_locations(tree)


class _Importer(MetaPathFinder, Loader):
    """Gives one module its mutant, wherever it is imported."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module, self._code = module, code

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        spec.loader = self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))  # noqa: S102 - the repository's own code, but for the change


class _Plugin:
    """A pytest plugin: no test that cannot see the mutant, slow ones last; few examples, always the same ones."""

    def __init__(self, times: Path) -> None:
        """Takes the processor times of an earlier run from a file, where that is, and writes those of this one."""
        self._times = times
        self._before: dict[str, float] = json.loads(times.read_text()) if times.exists() else {}
        self._now: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        # A command is a process of its own, which loads the unchanged module.
        seeing = [item for item in items if "command" not in item.fixturenames]
        items[:] = sorted(seeing, key=lambda item: self._before.get(item.nodeid, 0.0) > SLOW_S)

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        # After a conftest.py, and before the tests: those with settings of their own take the rest from these.
        # No search for the simplest example that fails.
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutants", deadline=None, max_examples=EXAMPLES, phases=phases, derandomize=True, database=None
        )
        settings.load_profile("mutants")

    def pytest_runtest_setup(self, item: Any) -> None:
        self._now[item.nodeid] = -time.process_time()

    def pytest_runtest_teardown(self, item: Any) -> None:
        self._now[item.nodeid] += time.process_time()

    def pytest_sessionfinish(self) -> None:
        if not self._before:
            self._times.write_text(json.dumps(self._now))


def run_tests(contract: Contract, mutant: Mutant | None, times: Path) -> int:
    """Starts the tests of a contract in a copy of this process; its process id. Its exit status is pytest's.

    The unchanged code is held to the same limits, so that no mutant counts as killed for what the tests need anyway.
    """
    importer = None
    if mutant is not None:
        importer = _Importer(mutant.part.module, compile(mutated(mutant), mutant.part.module, "exec"))
    if child := os.fork():
        return child
    status = 3
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        if importer is not None:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            sys.meta_path.insert(0, importer)
        status = _pytest(contract, _Plugin(times))
    except BaseException:  # noqa: BLE001 - whatever it is, this copy of the process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _pytest(contract: Contract, *plugins: object, collect: bool = False) -> int:
    import pytest

    # Plain assertions: to rewrite them takes as long as all else before the first test.
    fixed = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "--assert=plain"]
    fixed += [
        option for option, asked in (("--collect-only", collect), ("--noconftest", not contract.conftest)) if asked
    ]
    return int(pytest.main([*fixed, *contract.tests], plugins=plugins))


def load_libraries(contract: Contract) -> None:
    """Loads what the tests of a contract import, but for what is tested: it would take seconds for each mutant."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        _pytest(contract, collect=True)
    for name in [name for name in sys.modules if name.startswith(OWN)]:
        del sys.modules[name]


@dataclass(frozen=True)
class Count:
    """What became of the mutants of a contract."""

    made: int
    killed: int
    equivalent: int
    survivors: tuple[Mutant, ...]


def judged(contract: Contract, chosen: Sequence[Mutant], at_once: int, tell: Callable[[str], None]) -> Count:
    """Runs the tests of a contract on each of its mutants, several at once.

    Raises:
        ChildProcessError: The tests fail without any change.
    """
    with TemporaryDirectory() as scratch:
        times = Path(scratch) / "times.json"
        for _ in range(2):  # in their own order, which tells how long each takes, then in that of the mutants' runs
            if status := os.waitpid(run_tests(contract, None, times), 0)[1]:
                raise ChildProcessError(f"status {status} without any change: pytest {' '.join(contract.tests)}")
        return _judged(partial(run_tests, contract, times=times), chosen, at_once, tell)


def _judged(
    start: Callable[[Mutant], int], chosen: Sequence[Mutant], at_once: int, tell: Callable[[str], None]
) -> Count:
    waiting, running, statuses = list(chosen), dict[int, Mutant](), dict[Mutant, int]()
    while waiting or running:
        while waiting and len(running) < at_once:
            mutant = waiting.pop(0)
            running[start(mutant)] = mutant
        process, status = os.wait()
        mutant = running.pop(process)
        statuses[mutant] = status
        if status == 0:
            tell(f"  survived: {mutant}")
    survived = [mutant for mutant in chosen if statuses[mutant] == 0]
    alike = [mutant for mutant in survived if mutant.key in EQUIVALENT]
    left = tuple(mutant for mutant in survived if mutant not in alike)
    return Count(len(chosen), len(chosen) - len(survived), len(alike), left)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    known = ", ".join(CONTRACTS)
    parser.add_argument("contracts", nargs="*", help=f"contracts between commas, of {known}; all by default")
    parser.add_argument("--each", type=int, default=0, help="mutants of each contract, evenly spread; all by default")
    parser.add_argument(
        "--at-once", type=int, default=os.cpu_count() or 1, help="processes; as many as cores by default"
    )
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    options = parser.parse_args(arguments)
    wanted = [name.strip() for names in options.contracts for name in names.split(",")]
    if unknown := set(wanted) - set(CONTRACTS):
        parser.error(f"no such contract: {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    counts = {}
    for name in wanted or CONTRACTS:
        contract = CONTRACTS[name]
        found = list(chain(*map(mutants, contract.parts)))
        chosen = found[:: max(1, len(found) // options.each)][: options.each] if options.each else found
        print(f"{name}: {len(chosen)} of {len(found)} mutants", flush=True)
        if options.list:
            print("\n".join(f"  {mutant}" for mutant in chosen))
            continue
        load_libraries(contract)
        began = time.monotonic()
        try:
            counts[name] = judged(contract, chosen, options.at_once, partial(print, flush=True))
        except ChildProcessError as error:
            print(f"error: {error}")
            return 1
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    print(table(counts))
    return 1 if any(count.survivors for count in counts.values()) else 0


def table(counts: Mapping[str, Count]) -> str:
    """One line for each contract, and one for all of them."""
    rows = [(name, count.made, count.killed, count.equivalent, len(count.survivors)) for name, count in counts.items()]
    total = ("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])) if rows else ()
    lines = [f"{'contract':<16} {'made':>6} {'killed':>7} {'equivalent':>11} {'survived':>9}"]
    lines += [f"{name:<16} {made:>6} {killed:>7} {alike:>11} {left:>9}" for name, made, killed, alike, left in rows]
    return "\n".join([*lines, "{:<16} {:>6} {:>7} {:>11} {:>9}".format(*total)] if rows else lines)


if __name__ == "__main__":
    sys.exit(main())
