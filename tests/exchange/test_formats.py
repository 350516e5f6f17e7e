"""Workbooks and NDJSON: what is read from them, and what is refused before it is read."""

import io
import zipfile
from datetime import datetime

import pytest

from crm_api.core.errors import Invalid
from crm_api.exchange import xlsx
from crm_api.exchange.formats import BLOCK
from crm_api.exchange.ndjson import NdjsonReader
from crm_api.exchange.records import RecordReader
from crm_api.exchange.sniff import examine
from tests.exchange.files import ndjson, repacked, workbook


def read(data, sheet=None):
    """Return (header, rows with their numbers) as a job reads them."""
    found = examine(io.BytesIO(data), sheet)
    reader = RecordReader("utf-8", ",")
    for block in xlsx.text_blocks(io.BytesIO(data), found.sheet, len(found.header), found.line):
        reader.feed(block)
    reader.end()
    return found.header, [(int(each.cells[0]), each.cells[1:]) for each in reader.take(1_000_000)]


def refused(data, sheet=None):
    with pytest.raises(Invalid) as caught:
        examine(io.BytesIO(data), sheet)
    assert all(each.message_zh for each in caught.value.errors)
    return caught.value.errors[0].code


class TestWorkbook:
    def test_values_are_what_was_meant(self):
        def edit(book, page):
            page.write_datetime(1, 0, datetime(1990, 8, 15))  # noqa: DTZ001 - sheets know no zones
            page.write_datetime(1, 1, datetime(2026, 5, 4, 10, 20, 30))  # noqa: DTZ001
            page.write_formula(1, 5, "=1+1", None, 2)

        row = [None, None, 13812345678.0, 0.1, True, None, "  王小明\nx", 45292]
        header, found = read(workbook(list("abcdefgh"), row, edit=edit))
        assert header == list("abcdefgh")
        assert found == [
            (2, ["1990-08-15", "2026-05-04 10:20:30", "13812345678", "0.1", "true", "2", "  王小明\nx", "45292"])
        ]

    def test_title_blank_rows_and_merged_cells(self):
        def edit(_book, page):
            page.merge_range(0, 0, 0, 2, "2026 年会员表")
            page.merge_range(3, 0, 4, 0, "上海")

        header, found = read(
            workbook([], ["城市\n(选填)", "姓名", "手机号"], [], ["", "王", 1], ["", "李", 2], edit=edit)
        )
        assert header == ["城市 (选填)", "姓名", "手机号"]
        assert found == [(4, ["上海", "王", "1"]), (5, ["", "李", "2"])]

    def test_hidden_rows_count_and_what_stands_beside_the_table_does_not(self):
        def edit(_book, page):
            page.set_row(1, None, None, {"hidden": True})
            page.write(2, 5, "a note beside the table")

        _, found = read(workbook(["name", "mobile"], ["a", 1], ["b", 2], edit=edit))
        assert found == [(2, ["a", "1"]), (3, ["b", "2"])]

    def test_sheets(self):
        data = workbook(["x", "y"], [1, 2], sheet="说明", more={"会员": [["name", "mobile"], ["a", 1]]})
        assert examine(io.BytesIO(data)).sheets == ["说明", "会员"]
        assert read(data, "会员") == (["name", "mobile"], [(2, ["a", "1"])])
        assert refused(data, "nope") == "unknown_sheet"

        def hide(book, page):
            other = book.get_worksheet_by_name("会员")
            other.activate()
            other.set_first_sheet()
            page.hide()

        hidden = workbook(["x", "y"], sheet="secret", more={"会员": [["name", "mobile"]]}, edit=hide)
        assert examine(io.BytesIO(hidden)).sheet == "会员"

    def test_blocks_are_exact_and_nothing_is_lost_between_them(self):
        lines = [[n, "王" * 100] for n in range(12_000)]
        data = workbook(["n", "text"], *lines)
        blocks = list(xlsx.text_blocks(io.BytesIO(data), "Sheet1", 2, 2))
        assert {len(block) for block in blocks[:-1]} == {BLOCK}
        assert read(data)[1] == [(n + 2, [str(n), "王" * 100]) for n in range(12_000)]


GOOD = workbook(["name", "mobile"], ["a", 1])
BOMB = b"<worksheet>" + b" " * 50_000_000 + b"</worksheet>"
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<sst>&b;</sst>"
)


DAMAGED = {
    "a sheet of blanks": (lambda: repacked(GOOD, xl__worksheets__sheet1_xml=BOMB), "workbook_too_large"),
    "styles of 40 MB": (
        lambda: repacked(GOOD, xl__styles_xml=b"<a>" + b"x" * 40_000_000 + b"</a>"),
        "workbook_too_large",
    ),
    "2,100 parts": (lambda: repacked(GOOD, **{f"x{n}_xml": b"<a/>" for n in range(2_100)}), "workbook_too_large"),
    "entities in texts": (lambda: repacked(GOOD, xl__sharedStrings_xml=ENTITIES), "unreadable_workbook"),
    "entities elsewhere": (lambda: repacked(GOOD, docProps__core_xml=ENTITIES), "unreadable_workbook"),
    "broken workbook part": (lambda: repacked(GOOD, xl__workbook_xml=b"<workbook"), "unreadable_workbook"),
    "no sheets": (lambda: repacked(GOOD, xl__workbook_xml=b"<workbook/>"), "no_sheets"),
    "broken sheet": (lambda: repacked(GOOD, xl__worksheets__sheet1_xml=b"<worksheet><row"), "unreadable_workbook"),
    "cut off": (lambda: GOOD[:-40], "not_csv"),
    "empty sheet": (workbook, "empty_file"),
    "501 columns": (lambda: workbook([f"c{n}" for n in range(501)]), "too_many_columns"),
}


@pytest.mark.parametrize(("make", "code"), DAMAGED.values(), ids=DAMAGED)
def test_refused_before_it_is_read(make, code):
    assert refused(make()) == code


def test_a_zip_of_something_else():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("orders.csv", "a,b\n1,2\n")
    assert refused(data.getvalue()) == "not_csv"


def test_a_row_a_long_way_off():
    far = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c><c r="B1" t="inlineStr"><is><t>mobile</t></is></c>'
        b'</row><row r="999999999"><c r="A999999999"><v>1</v></c></row></sheetData></worksheet>'
    )
    data = repacked(GOOD, xl__worksheets__sheet1_xml=far)
    assert examine(io.BytesIO(data)).header == ["name", "mobile"]
    with pytest.raises(xlsx.TooManyRowsError):
        list(xlsx.text_blocks(io.BytesIO(data), "Sheet1", 2, 2))


class TestNdjson:
    def test_names_are_headers_wherever_they_come(self):
        data = ndjson({"name": "王", "mobile": 13812345678}, {"name": "李", "at": {"city": "上海"}, "tags": ["a", "b"]})
        found = examine(io.BytesIO(data))
        assert (found.format, found.header) == ("ndjson", ["name", "mobile", "at.city", "tags"])
        assert found.sample == [(1, ["王", "13812345678", "", ""]), (2, ["李", "", "上海", "a;b"])]

    def test_values(self):
        row = {"a": None, "b": True, "c": 1.0, "d": 1.5, "e": [], "f": [{"x": 1}], "g": {"h": {"i": {"j": {"k": 1}}}}}
        found = examine(io.BytesIO(ndjson(row)))
        assert dict(zip(found.header, found.sample[0][1], strict=True)) == {
            "a": "",
            "b": "true",
            "c": "1",
            "d": "1.5",
            "e": "",
            "f": '[{"x":1}]',
            "g.h.i.j": '{"k":1}',
        }

    def test_damage_stays_in_its_line_and_any_cut_gives_the_same(self):
        data = b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[1]\n{"a": "\xff"}\n{"b": 2, "a": 3}'
        whole = None
        for step in (1, 5, 1_000):
            reader, records = NdjsonReader(["a"]), []
            for start in range(0, len(data), step):
                reader.feed(data[start : start + step])
                records += reader.take(2)
            reader.end()
            records += reader.take(100)
            assert reader.offset == len(data)
            assert whole in {None, tuple((r.line, tuple(r.cells), r.fault) for r in records)}
            whole = tuple((r.line, tuple(r.cells), r.fault) for r in records)
        assert whole == (
            (1, ("1",), None),
            (3, (), "malformed_json"),
            (4, (), "malformed_json"),
            (5, (), "bad_encoding"),
            (6, ("3",), None),
        )

    def test_too_many_names(self):
        assert refused(ndjson({f"c{n}": n for n in range(501)})) == "too_many_columns"
