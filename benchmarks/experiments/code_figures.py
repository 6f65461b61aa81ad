"""Figures about the code itself: `python benchmarks/experiments/code_figures.py [--json]`.

Siblings a folder, names that occur twice, long parameter lists, complexity, `Any`, comments, docstrings, and entries
under Args and Attributes that are no thought by themselves.
"""

import argparse
import ast
import io
import itertools
import json
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = sorted(
    path.parent
    for folder in ("device", "train", "convert", "benchmarks")
    for path in (ROOT / folder).glob("*/__init__.py")
)
MAX_PARAMETERS: Final = 8
MAX_COMPLEXITY: Final = 10
BRANCHES: Final = (
    ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.Assert, ast.comprehension, ast.match_case, ast.With,
)  # fmt: skip
LEANING: Final = re.compile(
    r"^(of|by|from|for|to|as|with|in|at|on|than|after|before|between|beside|inside|see|likewise|asked|whose|while|until|since)\b"
    r"|\b(of|about|on|in|to|with|from) (it|them|these|those)[.;,]?$",
    re.IGNORECASE,
)
"""An entry that begins with a preposition, or ends in a pronoun, says nothing without what stands elsewhere."""
ENTRY: Final = re.compile(r"^    (\*{0,2}\w[\w, *]*?)(?: \([^)]*\))?: (.*)$")

Function = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parameter_count(function: Function) -> int:
    """Parameters without `self`; a command's, which are its options, count, too."""
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def complexity(function: Function) -> int:
    """McCabe's, with a point for every `and` and `or`."""
    inner = [node for node in ast.walk(function) if isinstance(node, BRANCHES) and not isinstance(node, ast.With)]
    operators = [node for node in ast.walk(function) if isinstance(node, ast.BoolOp)]
    return 1 + len(inner) + sum(len(node.values) - 1 for node in operators)


def entries(docstring: str) -> Iterator[str]:
    """What is said of each name under Args and Attributes."""
    section = False
    for line in docstring.splitlines():
        if re.match(r"^\w[\w ]*:$", line):
            section = line in ("Args:", "Attributes:")
        elif section and (found := ENTRY.match(line)):
            yield found[2]


def is_fragment(text: str) -> bool:
    return len(text.split()) < 3 or bool(LEANING.search(text))


def constant_text_lines(tree: ast.Module) -> int:
    """Lines of the strings that stand beneath constants and say what they are, which `ast` takes for no docstring."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef)]
    return sum(
        text.end_lineno - text.lineno + 1
        for body in bodies
        for constant, text in itertools.pairwise(body)
        if isinstance(constant, ast.Assign | ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
        and text.end_lineno is not None
    )


def figures() -> dict[str, float | int | list[str]]:
    names: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    lines = comments = texts = anys = documented = documentable = 0
    all_functions: list[Function] = []
    all_entries: list[str] = []
    for path in modules():
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        names[path.stem] += not path.stem.startswith("__")
        classes.update(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name[0] != "_")
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        lines += len(
            {token.start[0] for token in tokens if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER)}
        )
        texts += constant_text_lines(tree)
        comments += sum(token.type == tokenize.COMMENT for token in tokens)
        anys += sum(token.type == tokenize.NAME and token.string == "Any" for token in tokens)
        all_functions += functions(tree)
        for node in (one for one in ast.walk(tree) if isinstance(one, DOCUMENTED)):
            if isinstance(node, ast.Module) or node.name[0] != "_":
                documentable += 1
                documented += ast.get_docstring(node) is not None
            all_entries += entries(ast.get_docstring(node) or "")
    folders = {path.parent for path in modules()}
    siblings = {
        str(folder.relative_to(ROOT)): sum(
            one.suffix == ".py" or (one.is_dir() and one.name != "__pycache__") for one in folder.iterdir()
        )
        for folder in folders
    }
    largest = max(siblings, key=lambda name: siblings[name])
    fragments = [entry for entry in all_entries if is_fragment(entry)]
    return {
        "largest number of siblings in a folder": siblings[largest],
        "that folder": [largest],
        "module names that occur twice": [name for name, count in names.items() if count > 1 and name != "cli"],
        "class names that occur twice": [name for name, count in classes.items() if count > 1],
        f"functions with more than {MAX_PARAMETERS} parameters": sum(
            parameter_count(f) > MAX_PARAMETERS for f in all_functions
        ),
        f"functions of complexity over {MAX_COMPLEXITY}, percent": round(
            100 * sum(complexity(one) > MAX_COMPLEXITY for one in all_functions) / len(all_functions), 2
        ),
        "Any per 1,000 lines of code": round(1e3 * anys / lines, 1),
        "comments per 100 lines of code": round(1e2 * comments / lines, 2),
        "the same with texts beneath constants": round(1e2 * (comments + texts) / lines, 2),
        "entries under Args and Attributes": len(all_entries),
        "fragments among them, percent": round(100 * len(fragments) / len(all_entries), 1),
        "docstring coverage, percent": round(100 * documented / documentable, 1),
        "lines of code": lines,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    parser.add_argument("--fragments", metavar="PART", help="List the fragments in files whose path contains PART.")
    options = parser.parse_args()
    if options.fragments:
        for file in modules():
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, DOCUMENTED) and options.fragments in str(file):
                    for entry in entries(ast.get_docstring(node) or ""):
                        if is_fragment(entry):
                            print(f"{file.relative_to(ROOT)}: {entry}")
    elif options.json:
        print(json.dumps(figures(), indent=2))
    else:
        for name, value in figures().items():
            print(f"{name:<50}  {', '.join(value) if isinstance(value, list) else value}")
