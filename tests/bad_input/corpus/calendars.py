"""Calendars that cannot be, and questions they cannot answer."""

from tests.bad_input.corpus.case import JSON, Bad, fields, invalid, raw

CALENDAR = {"name": "new", "weekly": {"1": [["09:00", "17:00"]]}}
DUE = {"start": "2026-11-20T16:30:00+08:00", "minutes": 60}
ELAPSED = {"start": "2026-11-20T16:30:00+08:00", "end": "2026-11-20T17:30:00+08:00"}
DAY = {"date": "2026-10-01", "intervals": []}
BACKWARDS = ["2026-11-20T17:00:00+08:00", "2026-11-20T16:00:00+08:00"]
NAMED = {"start": BACKWARDS[0], "end": BACKWARDS[1]}


def _conflict(name, method, path, code, body):
    pointer = "/name" if code == "duplicate" else None
    return Bad(f"calendar: {name}", method, path, 409, code, pointer, JSON, raw(body))


CASES = [
    *fields(
        "POST",
        "/v1/calendars",
        CALENDAR,
        [
            ("time_zone", "Mars/Olympus", "/time_zone", "unknown_time_zone"),
            ("weekly", {"8": []}, "/weekly/8", "unknown_choice"),
            ("weekly", {"1": [["9:00", "17:00"]]}, "/weekly/1/0/0", "bad_format"),
            ("weekly", {"1": [["09:00", "24:30"]]}, "/weekly/1/0/1", "bad_format"),
            ("weekly", {"1": [["09:00"]]}, "/weekly/1/0", "too_few"),
            ("weekly", {"1": [["09:00", "09:00"]]}, "/weekly/1", "bad_interval"),
            ("weekly", {"1": [["24:00", "09:00"]]}, "/weekly/1", "bad_interval"),
            ("weekly", {"1": [["09:00", "12:00"], ["11:00", "17:00"]]}, "/weekly/1", "intervals_overlap"),
            ("weekly", {"1": [["08:00", "12:00"], ["22:00", "09:00"]]}, "/weekly/1", "intervals_overlap"),
            ("exceptions", [DAY, DAY], "/exceptions", "date_repeated"),
            ("exceptions", [{**DAY, "date": "1969-12-31"}], "/exceptions/0/date", "out_of_range"),
            ("exceptions", [{**DAY, "date": "2026-02-30"}], "/exceptions/0/date", "invalid_date"),
            ("holidays", {"country": "ZZ"}, "/holidays/country", "unknown_choice"),
            ("holidays", {"country": "CN", "years": [2099]}, "/holidays/years/0", "holidays_unknown"),
            ("is_default", 1, "/is_default", "wrong_type"),
        ],
    ),
    _conflict("a name twice", "POST", "/v1/calendars", "duplicate", {**CALENDAR, "name": "x"}),
    _conflict("the default away", "PATCH", "/v1/calendars/{default_calendar}", "default_calendar", {"archived": True}),
    _conflict(
        "an archived default",
        "PATCH",
        "/v1/calendars/{calendar}",
        "calendar_archived",
        {"archived": True, "is_default": True},
    ),
    *invalid(
        "PATCH",
        "/v1/calendars/{calendar}",
        {
            "a default that is taken away": ({"is_default": False}, "/is_default", "unknown_choice"),
            "a name of nothing": ({"name": ""}, "/name", "too_short"),
        },
    ),
    *invalid(
        "POST",
        "/v1/calendars/{calendar}/holidays",
        {"years nobody has announced": ({"country": "CN", "years": [2026, 2098]}, "/years/1", "holidays_unknown")},
    ),
    *invalid(
        "POST",
        "/v1/calendars/{calendar}/due",
        {
            "a time without a zone": ({**DUE, "start": "2026-11-20T16:30:00"}, "/start", "invalid_time"),
            "a time of another century": ({**DUE, "start": "1969-11-20T16:30:00Z"}, "/start", "out_of_range"),
            "minutes run backwards": ({**DUE, "minutes": -1}, "/minutes", "out_of_range"),
            "half a minute": ({**DUE, "minutes": 0.5}, "/minutes", "wrong_type"),
            "a pause that ends first": ({**DUE, "pauses": [BACKWARDS]}, "/pauses/0", "ends_before_start"),
            "a named pause that ends first": ({**DUE, "pauses": [NAMED]}, "/pauses/0", "ends_before_start"),
            "a pause of one end": ({**DUE, "pauses": [BACKWARDS[:1]]}, "/pauses/0/1", "required"),
            "a pause without a start": ({**DUE, "pauses": [{"end": None}]}, "/pauses/0/start", "required"),
            "a pause of other names": ({**DUE, "pauses": [{**NAMED, "to": None}]}, "/pauses/0/to", "unknown_field"),
            "a pause in words": ({**DUE, "pauses": ["lunch"]}, "/pauses/0", "wrong_type"),
            "a pause that lasts": ({**DUE, "pauses": [[DUE["start"], None]]}, "/pauses/0", "pause_without_end"),
            "more than there is": ({**DUE, "minutes": 5_256_000}, "/minutes", "never_due"),
        },
    ),
    *invalid(
        "POST",
        "/v1/calendars/{calendar}/elapsed",
        {
            "an end before the start": ({**ELAPSED, "end": "2026-11-20T16:00:00+08:00"}, "/end", "ends_before_start"),
            "a pause that ends first": ({**ELAPSED, "pauses": [BACKWARDS]}, "/pauses/0", "ends_before_start"),
        },
    ),
]
