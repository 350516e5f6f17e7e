"""Headers: keys, idempotency, versions, content types, languages."""

from tests.bad_input.corpus.case import JSON, Bad, raw

CUSTOMERS = "/v1/customers"
PERSON = raw({"name": "x"})


def _authorization(name: str, value: str | bytes) -> Bad:
    return Bad(
        f"authorization: {name}", "GET", CUSTOMERS, 401, "unauthenticated", None, {"authorization": value}, key=False
    )


def _create(
    name: str, status: int, code: str, pointer: str | None, headers: dict[str, str | bytes], error: str | None = None
) -> Bad:
    return Bad(name, "POST", CUSTOMERS, status, code, pointer, {**JSON, **headers}, PERSON, error)


def _if_match(value: str | bytes, status: int = 422, pointer: str | None = "/header/if-match") -> Bad:
    code = "invalid" if status == 422 else "precondition_failed"
    return Bad(
        f"if-match: {value!r}",
        "PATCH",
        "/v1/customers/{customer}",
        status,
        code,
        pointer,
        {**JSON, "if-match": value},
        raw({"notes": "changed"}),
    )


CASES = [
    Bad("no key", "GET", CUSTOMERS, 401, "unauthenticated", key=False),
    _authorization("empty", ""),
    _authorization("scheme alone", "Bearer"),
    _authorization("scheme and blank", "Bearer "),
    _authorization("another scheme", "Basic Y3JtOmNybQ=="),
    _authorization("a key without its scheme", "crm_0123456789"),
    _authorization("unknown key", "Bearer crm_" + "A" * 43),
    _authorization("too short", "Bearer crm_"),
    _authorization("too long", "Bearer crm_" + "A" * 5000),
    _authorization("SQL", "Bearer crm_' OR '1'='1"),
    _authorization("latin-1", b"Bearer crm_\xff\xfe"),
    _authorization("UTF-8", "Bearer crm_密钥".encode()),
    _authorization("NUL", b"Bearer crm_\x00\x00"),
    _authorization("two keys", "Bearer crm_a, Bearer crm_b"),
    _authorization("upper-case prefix", "Bearer CRM_" + "A" * 43),
    _authorization("a JSON web token", "Bearer eyJhbGciOiJub25lIn0.e30."),
    Bad("key in the query", "GET", "/v1/customers?api_key=crm_x", 401, "unauthenticated", key=False),
    Bad("no key on a write", "POST", CUSTOMERS, 401, "unauthenticated", None, JSON, PERSON, key=False),
    Bad("no key and a broken body", "POST", CUSTOMERS, 401, "unauthenticated", None, JSON, b"", key=False),
    _create("idempotency-key: empty", 422, "invalid", "/header/idempotency-key", {"idempotency-key": ""}),
    _create("idempotency-key: blank inside", 422, "invalid", "/header/idempotency-key", {"idempotency-key": "a b"}),
    _create(
        "idempotency-key: too long",
        422,
        "invalid",
        "/header/idempotency-key",
        {"idempotency-key": "k" * 256},
        "too_long",
    ),
    _create(
        "idempotency-key: not ASCII", 422, "invalid", "/header/idempotency-key", {"idempotency-key": "钥匙".encode()}
    ),
    _create(
        "idempotency-key: latin-1",
        422,
        "invalid",
        "/header/idempotency-key",
        {"idempotency-key": b"\xe9"},
        "bad_format",
    ),
    _create(
        "idempotency-key: NUL", 422, "invalid", "/header/idempotency-key", {"idempotency-key": b"a\x00b"}, "bad_format"
    ),
    _create(
        "idempotency-key: line end", 422, "invalid", "/header/idempotency-key", {"idempotency-key": "a\n"}, "bad_format"
    ),
    _create(
        "idempotency-key: used for something else",
        422,
        "idempotency_key_reused",
        "/header/idempotency-key",
        {"idempotency-key": "used"},
    ),
    _if_match("yesterday"),
    _if_match('"yesterday"'),
    _if_match(""),
    _if_match('""'),
    _if_match('"-1"'),
    _if_match('"1.5"'),
    _if_match('"1'),
    _if_match('1"'),
    _if_match('"1", "2"'),
    _if_match('"99999999999999999999"'),
    _if_match("9" * 101),
    _if_match("٣".encode()),
    _if_match(b'"\x00"'),
    _if_match('"0"', 412, None),
    _if_match('"7"', 412, None),
    _if_match('W/"7"', 412, None),
    _if_match("999999999", 412, None),
    *(
        Bad(
            f"content-type: {name}",
            "POST",
            CUSTOMERS,
            415,
            "unsupported_media_type",
            "/header/content-type",
            {"content-type": value},
            PERSON,
        )
        for name, value in {
            "text": "text/plain",
            "form": "application/x-www-form-urlencoded",
            "multipart": "multipart/form-data; boundary=x",
            "XML": "application/xml",
            "nonsense": "nonsense",
            "only a parameter": "; charset=utf-8",
            "JSON lines": "application/jsonl",
            "another charset": "application/json; charset=gbk",
            "UTF-16": "application/json; charset=utf-16",
            "NUL": b"application/json\x00",
            "UTF-8 bytes": "应用/json".encode(),
            "two": "application/json, text/plain",
        }.items()
    ),
    Bad("content-type: none", "POST", CUSTOMERS, 415, "unsupported_media_type", "/header/content-type", {}, PERSON),
    Bad(
        "content-type: upload as JSON",
        "POST",
        "/v1/imports",
        415,
        "unsupported_media_type",
        "/header/content-type",
        JSON,
        b"{}",
    ),
    Bad(
        "content-type: upload without",
        "POST",
        "/v1/imports",
        415,
        "unsupported_media_type",
        "/header/content-type",
        {},
        b"x",
    ),
    Bad(
        "content-encoding: gzip",
        "POST",
        CUSTOMERS,
        415,
        "unsupported_media_type",
        "/header/content-encoding",
        {**JSON, "content-encoding": "gzip"},
        b"\x1f\x8b\x08\x00",
    ),
    Bad(
        "content-encoding: br",
        "POST",
        "/v1/imports",
        415,
        "unsupported_media_type",
        "/header/content-encoding",
        {"content-type": "multipart/form-data; boundary=x", "content-encoding": "br"},
        b"--x--",
    ),
    _create("content-length: more than the limit", 413, "body_too_large", None, {"content-length": "10000000"}),
    _create("content-length: beyond 64 bits", 413, "body_too_large", None, {"content-length": "9" * 30}),
    _create("content-length: 5,000 digits", 413, "body_too_large", None, {"content-length": "9" * 5000}),
    _create("content-length: negative", 400, "bad_content_length", "/header/content-length", {"content-length": "-1"}),
    _create("content-length: text", 400, "bad_content_length", "/header/content-length", {"content-length": "many"}),
    _create(
        "content-length: hexadecimal", 400, "bad_content_length", "/header/content-length", {"content-length": "0x10"}
    ),
    _create(
        "content-length: Arabic digits",
        400,
        "bad_content_length",
        "/header/content-length",
        {"content-length": "١٢".encode()},
    ),
    _create("content-length: empty", 400, "bad_content_length", "/header/content-length", {"content-length": ""}),
    Bad(
        "accept-language: nonsense and no key",
        "GET",
        CUSTOMERS,
        401,
        "unauthenticated",
        None,
        {"x-nothing": "1"},
        key=False,
    ),
]
