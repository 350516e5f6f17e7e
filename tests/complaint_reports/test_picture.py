"""The Pareto picture: no database."""

from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from crm_api.complaint_reports.picture import TEXTS, bars, draw

SVG = "{http://www.w3.org/2000/svg}"


def read(drawn):
    return ET.fromstring(drawn)  # noqa: S314 - our own


def statistics(*counts, by="cause"):
    groups = [{"key": f"k{number}", "name": None, "cases": count} for number, count in enumerate(counts)]
    period = {"from_at": datetime(2026, 5, 1, tzinfo=UTC), "to_at": datetime(2026, 6, 1, tzinfo=UTC)}
    return {**period, "by": by, "groups": groups, "total": {"cases": sum(counts)}}


def test_the_line_ends_at_the_whole_and_the_tail_is_one_bar():
    found = bars(statistics(1, 9, *[2] * 12)["groups"], TEXTS["en"])
    assert [each.count for each in found] == [9, *[2] * 11, 3]
    assert (found[0].name, found[-1].name, found[-1].is_other) == ("k1", "other (2)", True)
    assert found[0].cumulative == pytest.approx(9 / 34)
    assert found[-1].cumulative == 1.0
    assert all(one.cumulative < other.cumulative for one, other in pairwise(found))


def test_it_says_in_words_what_it_shows():
    root = read(draw(statistics(6, 3, 1), "en"))
    assert root.findtext(f"{SVG}title") == "Cases by cause, 2026-05-01 to 2026-06-01"
    assert root.findtext(f"{SVG}desc") == "10 cases. The first 2 of 3 make up 90%: k0 6 (60%), k1 3 (90%), k2 1 (100%)."
    assert len(root.findall(f"{SVG}rect")) == 1 + 3
    assert len(root.findall(f"{SVG}circle")) == 3
    zh = read(draw(statistics(6, 3, 1, by="product"), "zh"))
    assert zh.findtext(f"{SVG}title") == "按商品统计的投诉，2026-05-01 至 2026-06-01"
    assert zh.get("lang") == "zh"


def test_names_that_are_odd_and_nothing_at_all_can_be_drawn():
    odd = statistics(2, 1)
    odd["groups"][0]["name"] = "a\x01<b>&" + "长" * 30
    odd["groups"][1]["key"] = None
    root = read(draw(odd, "zh"))
    words = [each.text for each in root.iter(f"{SVG}text")]
    assert "未填写" in words
    assert any(each.startswith("…长") for each in words)
    empty = read(draw(statistics(), "en"))
    assert empty.findtext(f"{SVG}desc") == "No cases were received from 2026-05-01 to 2026-06-01."
    assert empty.findall(f"{SVG}circle") == []


@pytest.mark.parametrize("counts", [(64, 4, 2, 1), (1,), (7, 7, 7), (123_456, 1)])
def test_both_sides_are_one_scale_and_cases_are_whole(counts):
    root = read(draw(statistics(*counts), "en"))
    _, first, *_ = root.findall(f"{SVG}rect")
    point, *_ = root.findall(f"{SVG}circle")
    corner = (float(first.get("x")) + float(first.get("width")), float(first.get("y")))
    assert (float(point.get("cx")), float(point.get("cy"))) == pytest.approx(corner, abs=0.2)
    (*ticks,) = (each.text for each in root.findall(f"{SVG}text") if each.get("x") == "56")
    assert [int(each) for each in ticks[:1]] == [0]
    assert len(ticks) <= 7


def test_fewer_bars_wanted_are_a_larger_rest():
    root = read(draw(statistics(6, 3, 1), "en", 1))
    assert root.findtext(f"{SVG}desc") == "10 cases. The first 2 of 3 make up 90%: k0 6 (60%), other (2) 4 (100%)."
