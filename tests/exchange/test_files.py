"""Reading files: what they are, their records, and what is refused at once."""

import csv
import io
import random
from zoneinfo import ZoneInfo

import pytest

from crm_api.core.errors import Invalid
from crm_api.exchange.kinds import KINDS, Setting
from crm_api.exchange.records import MAX_LINE_BYTES, LineTooLongError, RecordReader
from crm_api.exchange.rules import require
from crm_api.exchange.sniff import examine, examine_and_convert

HEADER = "platform,order_id,customer_id,placed_at,status,total,currency"


SETTING = Setting(ZoneInfo("Asia/Shanghai"))


def match_columns(kind, header, mapping):
    return require(KINDS[kind].match(SETTING, header, mapping, {}))


def codes(error: Invalid) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in error.errors]


class TestEncoding:
    @pytest.mark.parametrize(
        ("data", "encoding", "header"),
        [
            ("姓名,手机号\n王小明,1\n".encode(), "utf-8", ["姓名", "手机号"]),
            ("姓名,手机号\n王小明,1\n".encode("utf-8-sig"), "utf-8", ["姓名", "手机号"]),
            ("姓名,手机号\n王小明,1\n".encode("gb18030"), "gb18030", ["姓名", "手机号"]),
            ("name,mobile\n王小明,1\n李雷,2\n".encode("gbk"), "gb18030", ["name", "mobile"]),
            (b"name,mobile\nwang,1\n", "utf-8", ["name", "mobile"]),
            ("name,mobile\n𠮷野,1\n".encode("gb18030"), "gb18030", ["name", "mobile"]),
            # One broken row among Chinese ones does not turn the file into GB18030 gibberish.
            (b"name,mobile\n" + "王小明,1\n".encode() * 4 + b"\xff\xfe,2\n", "utf-8", ["name", "mobile"]),
        ],
    )
    def test_is_recognised(self, data, encoding, header):
        found = examine(io.BytesIO(data))
        assert (found.encoding, found.header) == (encoding, header)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
    def test_utf_16_is_stored_as_utf_8(self, encoding):
        text = "\ufeff" * (encoding == "utf-16-be") + "姓名\t手机号\r\n王小明\t1\r\n"
        examined = examine_and_convert(io.BytesIO(text.encode(encoding)))
        assert (examined.format.encoding, examined.format.delimiter) == ("utf-16", "\t")
        assert examined.format.header == ["姓名", "手机号"]
        examined.file.seek(0)
        assert examined.file.read().decode("utf-8-sig") == text.lstrip("\ufeff")
        examined.file.close()

    def test_late_in_a_large_file(self):
        data = b"name,mobile\n" + b"wang,1\n" * 400_000 + "王小明,2\n".encode("gb18030") * 3
        assert examine(io.BytesIO(data)).encoding == "gb18030"


class TestDelimiter:
    @pytest.mark.parametrize("sign", [",", ";", "\t"])
    def test_is_recognised(self, sign):
        found = examine(io.BytesIO(f'name{sign}"mobile,tel;fax"\nx{sign}y\n'.encode()))
        assert (found.delimiter, found.header) == (sign, ["name", "mobile,tel;fax"])

    def test_blank_lines_and_empty_columns_around_the_header(self):
        found = examine(io.BytesIO(b"\r\n\r\n name , mobile ,,\r\nx,y,,\r\n"))
        assert (found.header, found.line) == (["name", "mobile"], 4)


REFUSED = {
    "empty": (b"", "empty_file"),
    "only white space": (b" \r\n\n", "empty_file"),
    "only a byte order mark": (b"\xef\xbb\xbf", "no_header"),
    "Excel": (b"PK\x03\x04\x14\x00", "not_csv"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", "old_workbook"),
    "encrypted Excel": (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "encrypted_workbook"),
    "gzip": (b"\x1f\x8b\x08\x00", "not_csv"),
    "PDF": (b"%PDF-1.7\n", "not_csv"),
    "picture": (b"\x89PNG\r\n\x1a\n", "not_csv"),
    "binary": (b"a\x00b\x01\nc", "not_csv"),
    "JSON": (b'[{"order_id": 1}]', "not_csv"),
    "HTML": (b"<html><body>", "not_csv"),
    "UTF-16 cut": ("name,mobile\nx,y\n".encode("utf-16")[:-1], "unsupported_encoding"),
    "UTF-32": ("name,mobile\n".encode("utf-32"), "unsupported_encoding"),
    "UTF-16 without mark": ("name,mobile\n".encode("utf-16-le"), "not_csv"),
    "Latin-1": ("name,mobile\nM\xfcller,1\nGr\xf6\xdfe,2\nZo\xe9,3\n".encode("latin-1"), "unsupported_encoding"),
    "old Macintosh": (b"name,mobile\rx,y\r", "unsupported_line_ends"),
    "header of commas": (b",,,\n1,2,3,4\n", "no_header"),
    "header with an open quote": (b'"name,mobile\nx,y\n', "no_header"),
    "ragged header": (b"name,mobile\n1,2,3\n4,5,6\n", "ragged_header"),
    "one endless line": (b"x" * (2 * 1024 * 1024), "no_header"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED)
def test_refused_at_once(data, code):
    with pytest.raises(Invalid) as caught:
        examine(io.BytesIO(data))
    assert codes(caught.value) == [("/file", code)]
    assert all(each.message_zh for each in caught.value.errors)


class TestColumns:
    def test_our_own_names_in_any_case(self):
        header = HEADER.upper().split(",")
        assert match_columns("orders", header, {}) == dict(zip(header, HEADER.split(","), strict=True))

    def test_chinese_names(self):
        found = match_columns("customers", ["姓名", "手机号", "生日", "标签", "备注", "积分"], {})
        assert found == {"姓名": "name", "手机号": "mobile", "生日": "birthday", "标签": "tags", "备注": "notes"}

    def test_a_header_can_be_ignored(self):
        assert match_columns("customers", ["name", "mobile", "email"], {"email": ""}) == {
            "name": "name",
            "mobile": "mobile",
        }

    @pytest.mark.parametrize("header", ["手机号(必填)", "＊手机号", "*手机号*", " Mobile_Phone ", "手机号（必填）"])
    def test_decorated_headers(self, header):
        assert match_columns("customers", [header], {}) == {header: "mobile"}

    def test_mapping_wins_over_a_guess(self):
        found = match_columns("customers", ["name", "nick", "mobile"], {"nick": "name"})
        assert found == {"nick": "name", "mobile": "mobile"}

    @pytest.mark.parametrize(
        ("header", "mapping", "wanted"),
        [
            (HEADER.replace(",currency", ""), {}, [("/file", "missing_column")]),
            ("1,2,3", {}, [("/file", "missing_column")] * 6),
            (HEADER + ",total", {}, [("/file", "duplicate_column")]),
            (HEADER + ",金额", {}, [("/file", "duplicate_column")]),
            (HEADER, {"nowhere": "total"}, [("/mapping/nowhere", "unknown_header")]),
            (HEADER, {"total": "nothing"}, [("/mapping/total", "unknown_column")]),
            (HEADER + ",a,b", {"a": "channel", "b": "channel"}, [("/mapping", "duplicate_column")]),
            (HEADER + ",a/b~", {"a/b~": "nothing"}, [("/mapping/a~1b~0", "unknown_column")]),
            (",".join(f"c{n}" for n in range(501)), {}, [("/file", "too_many_columns")]),
        ],
    )
    def test_faults(self, header, mapping, wanted):
        with pytest.raises(Invalid) as caught:
            match_columns("orders", header.split(","), mapping)
        assert codes(caught.value) == wanted

    @pytest.mark.parametrize("header", [["name"], ["name", "platform"], ["name", "external_id", "city"]])
    def test_customers_need_something_to_be_known_by(self, header):
        with pytest.raises(Invalid) as caught:
            match_columns("customers", header, {})
        assert {code for _, code in codes(caught.value)} == {"missing_column"}


def read(data: bytes, step: int, limit: int, encoding: str = "utf-8") -> tuple[list, RecordReader]:
    reader, records = RecordReader(encoding, ","), []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while taken := reader.take(limit):
            records += taken
    reader.end()
    while taken := reader.take(limit):
        records += taken
    return records, reader


class TestRecords:
    def test_damage_stays_in_its_row(self):
        data = b'a,b\n"x\ny",2\n\n3,"stray\n4,5\n6,7\xff\n8,"9"9\n10,11'
        for step in (1, 3, 1000):
            records, reader = read(data, step, 10)
            assert [(each.line, each.cells, each.fault) for each in records] == [
                (1, ["a", "b"], None),
                (2, ["x\ny", "2"], None),
                (5, [], "malformed_row"),
                (6, ["4", "5"], None),
                (7, [], "bad_encoding"),
                (8, [], "malformed_row"),
                (9, ["10", "11"], None),
            ]
            assert (reader.offset, reader.line) == (len(data), 10)

    def test_any_cut_gives_the_same_records_and_any_offset_can_be_resumed(self):
        pick = random.Random(7)
        signs = ['"', ",", "\n", "\r\n", "a", "王", " ", "1", '""']
        for _ in range(150):
            data = "".join(pick.choices(signs, k=pick.randrange(1, 60))).encode()
            whole, _ = read(data, len(data), 1000)
            cut, reader = read(data, pick.randrange(1, 9), pick.randrange(1, 4))
            assert cut == whole
            assert reader.offset == len(data)
            first = RecordReader("utf-8", ",")
            first.feed(data)
            first.end()
            head = first.take(2)
            rest = RecordReader("utf-8", ",", offset=first.offset, line=first.line)
            rest.feed(data[first.offset :])
            rest.end()
            assert head + rest.take(1000) == whole

    def test_well_formed_files_read_as_the_csv_module_reads_them(self):
        pick = random.Random(11)
        for encoding in ("utf-8", "gb18030"):
            rows = [["".join(pick.choices('ab",\n王; ', k=5)) for _ in range(3)] for _ in range(300)]
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            records, _ = read(text.getvalue().encode(encoding), 64, 50, encoding)
            assert [each.cells for each in records] == rows

    def test_a_quote_never_closed_costs_one_row(self):
        data = b'1,"open\n' + b"2,3\n" * 5000
        records, _ = read(data, 4096, 100)
        assert [each.fault for each in records].count("malformed_row") == 1
        assert len(records) == 5001

    def test_an_endless_line_is_no_csv(self):
        with pytest.raises(LineTooLongError):
            RecordReader("utf-8", ",").feed(b"x" * (MAX_LINE_BYTES + 1))

    def test_a_long_row(self):
        records, _ = read(b"1," + b"x" * 200_000 + b"\n2,3\n", 4096, 10)
        assert [(each.cells, each.fault) for each in records] == [([], "row_too_long"), (["2", "3"], None)]
