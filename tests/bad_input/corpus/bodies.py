"""Bodies that are no usable JSON: encoding, depth, numbers, NUL, surrogates, size."""

from tests.bad_input.corpus.case import JSON, Bad

CUSTOMERS = "/v1/customers"
DEEP = 100_000
MEGABYTES = 1_000_000
LINE_BREAKS = {"line feed": "\n", "tab": "\t", "escape": "\x1b", "next line": "\x85", "line separator": "\u2028"}


def _body(
    name: str,
    body: bytes,
    status: int = 400,
    code: str = "malformed_body",
    pointer: str | None = None,
    *,
    path: str = CUSTOMERS,
    method: str = "POST",
    error: str | None = None,
) -> Bad:
    return Bad(f"body: {name}", method, path, status, code, pointer, JSON, body, error)


CASES = [
    _body("empty", b"", 422, "invalid", "", error="required"),
    _body("blank", b"  \r\n\t "),
    _body("cut short", b'{"name": "x"'),
    _body("cut inside text", b'{"name": "x'),
    _body("two values", b'{"name": "x"} {"name": "y"}'),
    _body("trailing comma", b'{"name": "x",}'),
    _body("single quotes", b"{'name': 'x'}"),
    _body("comment", b'{"name": "x"} // x'),
    _body("unquoted key", b'{name: "x"}'),
    _body("a number as key", b'{1: "x"}'),
    _body("byte order mark", b'\xef\xbb\xbf{"name": "x"}'),
    _body("UTF-16", '{"name": "x"}'.encode("utf-16")),
    _body("UTF-32", '{"name": "x"}'.encode("utf-32")),
    _body("GB18030", '{"name": "王小明"}'.encode("gb18030")),
    _body("latin-1", '{"name": "é"}'.encode("latin-1")),
    _body("invalid UTF-8: continuation alone", b'{"name": "\x80"}'),
    _body("invalid UTF-8: overlong", b'{"name": "\xc0\xaf"}'),
    _body("invalid UTF-8: beyond Unicode", b'{"name": "\xf5\x80\x80\x80"}'),
    _body("invalid UTF-8: cut short", b'{"name": "\xe7\x8e"}'),
    _body("lone surrogate as bytes", b'{"name": "\xed\xa0\x80"}'),
    _body("surrogate pair as bytes", b'{"name": "\xed\xa0\xbd\xed\xb8\x80"}'),
    _body("lone high surrogate, escaped", rb'{"name": "\ud800"}'),
    _body("lone low surrogate, escaped", rb'{"name": "\udc00"}'),
    _body("surrogates the wrong way round", rb'{"name": "\udc00\ud800"}'),
    _body("lone surrogate in a key", rb'{"name": "x", "\ud800": 1}'),
    _body("bad escape", rb'{"name": "\x41"}'),
    _body("short escape", rb'{"name": "\u12"}'),
    _body("raw control character", b'{"name": "a\x01b"}'),
    _body("raw NUL", b'{"name": "a\x00b"}'),
    _body("NUL before", b'\x00{"name": "x"}'),
    _body("NUL after", b'{"name": "x"}\x00'),
    _body("raw line end in text", b'{"name": "a\nb"}'),
    _body("escaped NUL", rb'{"name": "a\u0000b"}', 422, "invalid", "/name", error="nul_character"),
    _body(
        "escaped NUL, upper case", rb'{"name": "x", "notes": "\u0000"}', 422, "invalid", "/notes", error="nul_character"
    ),
    _body(
        "escaped NUL deep",
        rb'{"name": "x", "contact_points": [{"kind": "email", "value": "\u0000"}]}',
        422,
        "invalid",
        "/contact_points/0/value",
        error="nul_character",
    ),
    _body("escaped NUL in a key", rb'{"name": "x", "a\u0000b": 1}', 422, "invalid", "", error="nul_character"),
    _body(
        "escaped NUL in a tag", rb'{"name": "x", "tags": ["\u0000"]}', 422, "invalid", "/tags/0", error="nul_character"
    ),
    *(
        _body(
            f"escaped {name} in a line",
            b'{"name": "a\\u%04xb"}' % ord(sign),
            422,
            "invalid",
            "/name",
            error="bad_format",
        )
        for name, sign in LINE_BREAKS.items()
    ),
    _body("NaN", b'{"name": NaN}'),
    _body("Infinity", b'{"name": Infinity}'),
    _body("minus Infinity", b'{"name": -Infinity}'),
    _body(
        "Infinity by exponent",
        b'{"points": 1e400, "reason": "x"}',
        400,
        "malformed_body",
        path="/v1/loyalty/accounts/{customer}/adjustments",
    ),
    _body("hexadecimal", b'{"name": 0x10}'),
    _body("leading zero", b'{"birthday": {"month": 01, "day": 1}}'),
    _body("plus sign", b'{"birthday": {"month": +1, "day": 1}}'),
    _body("bare point", b'{"birthday": {"month": .5, "day": 1}}'),
    _body("True", b'{"name": True}'),
    _body("undefined", b'{"name": undefined}'),
    _body("array", b"[]", 422, "invalid", "", error="wrong_type"),
    _body("null", b"null", 422, "invalid", "", error="wrong_type"),
    _body("text", b'"x"', 422, "invalid", "", error="wrong_type"),
    _body("number", b"1", 422, "invalid", "", error="wrong_type"),
    _body("true", b"true", 422, "invalid", "", error="wrong_type"),
    _body("key twice", b'{"name": "a", "name": "b"}', 400, "duplicate_key", "/name"),
    _body("key twice, once escaped", rb'{"name": "a", "n\u0061me": "b"}', 400, "duplicate_key", "/name"),
    _body(
        "key twice, deep",
        b'{"name": "a", "contact_points": [{"kind": "email", "value": "a@example.com", "kind": "mobile"}]}',
        400,
        "duplicate_key",
        "/contact_points/0/kind",
    ),
    _body("key twice with the same value", b'{"name": "a", "name": "a"}', 400, "duplicate_key", "/name"),
    _body("66 levels", b'{"name": ' + b"[" * 65 + b"]" * 65 + b"}", 400, "too_deep"),
    _body("deep arrays", b"[" * DEEP + b"]" * DEEP, 400, "too_deep"),
    _body("deep arrays, left open", b"[" * DEEP, 400, "too_deep"),
    _body("deep objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "too_deep"),
    _body("deep objects, left open", b'{"a":' * DEEP, 400, "too_deep"),
    _body("deep mixture", b'[{"a":' * (DEEP // 2), 400, "too_deep"),
    _body("deep in a field", b'{"name": "x", "preferences": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400, "too_deep"),
    _body(
        "deep rule",
        b'{"name": "x", "rule": ' + b'{"not":' * DEEP + b"1" + b"}" * DEEP + b"}",
        400,
        "too_deep",
        path="/v1/segments",
    ),
    _body(
        "deep, a bracket in text before", b'{"name": "]]]]", "a": ' + b"[" * 100 + b"]" * 100 + b"}", 400, "too_deep"
    ),
    _body("10 MB of blanks", b" " * (10 * MEGABYTES), 413, "body_too_large"),
    _body("10 MB of text", b'{"name": "' + b"a" * (10 * MEGABYTES) + b'"}', 413, "body_too_large"),
    _body(
        "10 MB to an order",
        b'{"a": "' + b"a" * (10 * MEGABYTES) + b'"}',
        413,
        "body_too_large",
        path="/v1/orders/taobao/T1",
        method="PUT",
    ),
    _body("10 MB to a webhook", b"x" * (10 * MEGABYTES), 413, "body_too_large", path="/v1/inbound/{source}"),
    _body(
        "10 MB to an operation without body",
        b"x" * (10 * MEGABYTES),
        413,
        "body_too_large",
        path="/v1/segments/{segment}/evaluate",
    ),
    _body("one byte over the limit", b" " * (2 * 1024 * 1024 + 1), 413, "body_too_large"),
    _body("a name of 2 MB", b'{"name": "' + b"a" * (2 * MEGABYTES) + b'"}', 422, "invalid", "/name", error="too_long"),
    _body(
        "2^63",
        b'{"name": "x", "birthday": {"month": 9223372036854775808, "day": 1}}',
        422,
        "invalid",
        "/birthday/month",
    ),
    _body(
        "10^400 in digits",
        b'{"name": "x", "birthday": {"month": 1' + b"0" * 400 + b', "day": 1}}',
        400,
        "malformed_body",
    ),
    _body(
        "10^5000 in digits",
        b'{"name": "x", "birthday": {"month": 1' + b"0" * 5000 + b', "day": 1}}',
        400,
        "malformed_body",
    ),
]
