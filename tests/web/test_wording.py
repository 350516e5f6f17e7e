"""What our own models refuse is told in both languages."""

import ast
from pathlib import Path

import crm_api
from crm_api.web.validation import _KNOWN


def refusals():
    """Return the types of the PydanticCustomErrors that our models raise, with the file of each."""
    for path in Path(crm_api.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "PydanticCustomError":
                kind = node.args[0]
                if isinstance(kind, ast.Constant):
                    yield path.name, kind.value


def test_every_refusal_has_a_chinese_text():
    found = set(refusals())
    assert len(found) > 5
    assert {(file, kind) for file, kind in found if kind not in _KNOWN} == set()
