"""Lines: what one line cannot hold, and what becomes of it when a platform sends it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from crm_api.core.text import FROM_OUTSIDE, Caption, Line, Prose, as_line

BREAKS = ["\n", "\r\n", "\r", "\t", "\x0b", "\x07", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029"]


@pytest.mark.parametrize("kind", [Line, Caption], ids=["Line", "Caption"])
@pytest.mark.parametrize("sign", BREAKS, ids=ascii)
def test_a_line_is_one_line(kind, sign):
    line = TypeAdapter(kind)
    with pytest.raises(ValidationError, match="string_pattern_mismatch"):
        line.validate_python(f"王{sign}小明")
    assert line.validate_python(f"王{sign}小明", context=FROM_OUTSIDE) == "王 小明"


@pytest.mark.parametrize(
    "text", ["王小明", "王\u3000小明", "Zoë  O'Hara", "👩\u200d🍼", "x" * 200, "\u00a0x\u00ad"], ids=ascii
)
def test_every_other_sign_is_taken(text):
    assert TypeAdapter(Line).validate_python(text) == text.strip()
    assert as_line(text) == text


def test_what_stands_around_it_is_trimmed():
    assert TypeAdapter(Line).validate_python(" \r\n王小明\t\u2028") == "王小明"


def test_longer_text_keeps_its_lines():
    assert TypeAdapter(Prose).validate_python("一\n\t二\u2028三") == "一\n\t二\u2028三"


def test_a_line_of_nothing_but_breaks_is_empty():
    for context in (None, FROM_OUTSIDE):
        with pytest.raises(ValidationError, match="string_too_short"):
            TypeAdapter(Line).validate_python("\n\u2028", context=context)
