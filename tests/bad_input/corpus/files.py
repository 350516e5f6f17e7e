"""Uploads: forms and files that are refused at once. (Wrong rows in good files: test_rows.py.)"""

import gzip

from tests.bad_input.corpus.case import Bad

BOUNDARY = "corpus"
ORDERS = b"platform,order_id,customer_id,placed_at,status,total,currency\n"
ROW = b"taobao,A-1,b1,2026-05-04,completed,29.33,CNY\n"
Part = tuple[str, bytes | str] | tuple[str, bytes | str, str]


def form(*parts: Part) -> bytes:
    """Return a multipart body."""
    lines = []
    for name, value, *file in parts:
        shown = f'; filename="{file[0]}"' if file else ""
        content = value if isinstance(value, bytes) else value.encode()
        lines.append(
            b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
            % (BOUNDARY.encode(), name.encode(), shown.encode(), content)
        )
    return b"".join(lines) + f"--{BOUNDARY}--\r\n".encode()


def _upload(
    name: str,
    body: bytes,
    pointer: str | None,
    error: str | None,
    status: int = 422,
    code: str = "invalid",
    boundary: str = f"; boundary={BOUNDARY}",
) -> Bad:
    return Bad(
        f"upload: {name}",
        "POST",
        "/v1/imports",
        status,
        code,
        pointer,
        {"content-type": f"multipart/form-data{boundary}"},
        body,
        error,
    )


def _file(
    name: str, content: bytes, error: str, pointer: str = "/file", mapping: str | None = None, kind: str = "orders"
) -> Bad:
    parts: list[Part] = [("kind", kind), ("file", content, "orders.csv")]
    if mapping is not None:
        parts.append(("mapping", mapping))
    return _upload(name, form(*parts), pointer, error)


FILE: Part = ("file", ORDERS + ROW, "orders.csv")

CASES = [
    _upload("empty form", form(), "/file", "required"),
    _upload("no file", form(("kind", "orders")), "/file", "required"),
    _upload("file as text", form(("kind", "orders"), ("file", ORDERS + ROW)), "/file", "required"),
    _upload("no kind", form(FILE), "/kind", "required"),
    _upload("unknown kind", form(FILE, ("kind", "dreams")), "/kind", "unknown_choice"),
    _upload("kind empty", form(FILE, ("kind", "")), "/kind", "unknown_choice"),
    _upload("kind twice", form(FILE, ("kind", "orders"), ("kind", "customers")), "/kind", "duplicate"),
    _upload("kind as a file", form(("kind", b"orders", "kind.txt"), ("file", "x")), "/kind", "unknown_choice"),
    _upload("two files", form(FILE, ("kind", "orders"), FILE), None, None, 400, "malformed_body"),
    _upload("unknown field", form(FILE, ("kind", "orders"), ("colour", "1")), "/colour", "unknown_field"),
    _upload("dry_run as a number", form(FILE, ("kind", "orders"), ("dry_run", "1")), "/dry_run", "unknown_choice"),
    _upload("unknown mode", form(FILE, ("kind", "orders"), ("mode", "replace")), "/mode", "unknown_choice"),
    _upload(
        "matched by a name", form(FILE, ("kind", "customers"), ("match_by", "name")), "/match_by", "unknown_choice"
    ),
    _upload("orders matched", form(FILE, ("kind", "orders"), ("match_by", "mobile")), "/match_by", "unknown_choice"),
    _upload("refunds updated", form(FILE, ("kind", "refunds"), ("mode", "update_only")), "/mode", "unknown_choice"),
    _upload("defaults are no JSON", form(FILE, ("kind", "orders"), ("defaults", "x")), "/defaults", "bad_format"),
    _upload(
        "a default for no column",
        form(FILE, ("kind", "orders"), ("defaults", '{"tax": "1"}')),
        "/defaults/tax",
        "unknown_column",
    ),
    _upload(
        "a default that cannot be",
        form(FILE, ("kind", "orders"), ("defaults", '{"currency": "RMB"}')),
        "/defaults/currency",
        "unknown_currency",
    ),
    _upload("a sheet of a CSV file", form(FILE, ("kind", "orders"), ("sheet", "x")), "/sheet", "no_sheets"),
    _upload(
        "20 fields",
        form(FILE, ("kind", "orders"), *((f"f{n}", "x") for n in range(20))),
        None,
        None,
        400,
        "malformed_body",
    ),
    _upload("a field of 1 MB", form(FILE, ("kind", "x" * 1_000_000)), None, None, 400, "malformed_body"),
    _upload("no boundary", form(FILE, ("kind", "orders")), None, None, 400, "malformed_body", ""),
    _upload("another boundary", form(FILE, ("kind", "orders")), None, None, 400, "malformed_body", "; boundary=other"),
    Bad(
        "upload: bad Idempotency-Key",
        "POST",
        "/v1/imports",
        422,
        "invalid",
        "/header/idempotency-key",
        {"content-type": f"multipart/form-data; boundary={BOUNDARY}", "idempotency-key": "a b"},
        form(FILE, ("kind", "orders")),
    ),
    _upload("no parts", b"", "/file", "required"),
    _upload("noise", b"\x00\xff" * 500, None, None, 400, "malformed_body"),
    _upload("mapping is no JSON", form(FILE, ("kind", "orders"), ("mapping", "a=b")), "/mapping", "bad_format"),
    _upload("mapping is a list", form(FILE, ("kind", "orders"), ("mapping", "[]")), "/mapping", "bad_format"),
    _upload("mapping to numbers", form(FILE, ("kind", "orders"), ("mapping", '{"a": 1}')), "/mapping", "bad_format"),
    _upload(
        "mapping with NUL", form(FILE, ("kind", "orders"), ("mapping", r'{"a": "\u0000"}')), "/mapping", "bad_format"
    ),
    _upload(
        "mapping with a lone surrogate",
        form(FILE, ("kind", "orders"), ("mapping", r'{"a": "\ud800"}')),
        "/mapping",
        "bad_format",
    ),
    _upload("mapping deep", form(FILE, ("kind", "orders"), ("mapping", "[" * 60_000)), "/mapping", "bad_format"),
    _upload(
        "mapping with a key twice",
        form(FILE, ("kind", "orders"), ("mapping", '{"a": "order_id", "a": "total"}')),
        "/mapping",
        "bad_format",
    ),
    _upload("mapping as a file", form(("mapping", b"{}", "m.json"), ("kind", "orders")), "/file", "required"),
    _file(
        "mapping of a header that is not there", ORDERS + ROW, "unknown_header", "/mapping/nope", '{"nope": "order_id"}'
    ),
    _file(
        "mapping to a column that is not there", ORDERS + ROW, "unknown_column", "/mapping/total", '{"total": "tax"}'
    ),
    _file(
        "mapping of two headers to one column",
        ORDERS + ROW,
        "duplicate_column",
        "/mapping",
        '{"total": "status", "status": "status"}',
    ),
    _file("empty file", b"", "empty_file"),
    _file("blank file", b"\n\n \n", "empty_file"),
    _file("column missing", b"platform,order_id\ntaobao,1\n", "missing_column"),
    _file(
        "header twice",
        b"platform,platform,order_id,customer_id,placed_at,status,total,currency\n" + b"a," + ROW,
        "duplicate_column",
    ),
    _file("NUL in the header", b"plat\x00form," + ORDERS + ROW, "not_csv"),
    _file("a spreadsheet", b"PK\x03\x04" + b"\x00" * 200, "not_csv"),
    _file("an old spreadsheet", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 200, "old_workbook"),
    _file("gzip", gzip.compress(ORDERS + ROW), "not_csv"),
    _file("a picture", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "not_csv"),
    _file("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not_csv"),
    _file("UTF-32", (ORDERS + ROW).decode().encode("utf-32"), "unsupported_encoding"),
    _file(
        "neither UTF-8 nor GB18030",
        ORDERS + b"taobao,\xff\xff\xff,b1,2026-05-04,completed,29.33,CNY\n",
        "unsupported_encoding",
    ),
    _file("JSON", b'[{"order_id": 1}]', "not_csv"),
    _file("HTML", b"<html><body>Not found</body></html>", "not_csv"),
    _file("1,000 columns", b",".join(b"c%d" % n for n in range(1000)) + b"\n1\n", "too_many_columns"),
    Bad("upload: cancelled twice", "POST", "/v1/imports/{cancelled}/cancel", 409, "import_ended"),
    Bad("upload: taken back while it waits", "POST", "/v1/imports/{import}/undo", 409, "import_running"),
    Bad("upload: another shop's taken back", "POST", "/v1/imports/{foreign}/undo", 404, "not_found"),
    Bad("upload: errors of another shop's", "GET", "/v1/imports/{foreign}/errors.csv", 404, "not_found"),
    Bad("upload: another shop's cancelled", "POST", "/v1/imports/{foreign}/cancel", 404, "not_found"),
]
