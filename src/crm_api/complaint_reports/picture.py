"""The Pareto picture of causes: a bar for each group, the largest first, and the share they come to together.

Written as SVG elements, as the clusters' picture is: labels are Chinese, for which a server has no font to measure,
and a reader who cannot see the picture needs its title and description. Colours are those of Okabe & Ito (2008), which
the colour-blind can tell apart.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

_SVG: Final = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT = 960, 560
"""Pixels."""
LEFT, RIGHT, TOP, BOTTOM = 64, 64, 64, 150
"""Room around the plot: for numbers on both sides, the title above, slanted names below."""
BARS: Final = 12
"""Most bars; what is beyond is one more, "other", at the end."""
_BAR, _OTHER, _LINE, _GRID = "#0072b2", "#999999", "#d55e00", "#dddddd"
_ROOM: Final = 22
"""Width of a name, in narrow letters."""
_WIDE: Final = 0x2E80
"""From this code point on letters are as wide as two Latin ones."""
_VITAL: Final = 0.8

_BY: Final[Mapping[str, tuple[str, str]]] = {
    "cause": ("cause", "原因"),
    "category": ("category", "类别"),
    "product": ("product", "商品"),
    "batch": ("batch", "批次"),
    "staff": ("staff member", "员工"),
    "store": ("store", "门店"),
    "channel": ("channel", "渠道"),
    "severity": ("severity", "严重等级"),
    "kind": ("kind", "类型"),
    "day": ("day", "日"),
    "week": ("week", "周"),
    "month": ("month", "月"),
    "quarter": ("quarter", "季度"),
    "year": ("year", "年"),
}
TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Cases by {by}, {start} to {end}",
        "none": "No cases were received from {start} to {end}.",
        "description": "{cases} cases. The first {vital} of {groups} make up {share}: {bars}.",
        "bar": "{name} {count} ({cumulative})",
        "across": "cases",
        "up": "together",
        "unknown": "not said",
        "other": "other ({count})",
        "comma": ", ",
    },
    "zh": {
        "title": "按{by}统计的投诉，{start} 至 {end}",
        "none": "{start} 至 {end} 期间没有投诉。",
        "description": "共 {cases} 件。{groups} 项中的前 {vital} 项合计占 {share}：{bars}。",
        "bar": "{name} {count} 件（{cumulative}）",
        "across": "件数",
        "up": "累计占比",
        "unknown": "未填写",
        "other": "其他（{count} 项）",
        "comma": "，",
    },
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        name: below it.
        count: its height.
        cumulative: share of this and all before it.
        is_other: whether it stands for all groups that have no bar of their own.

    """

    name: str
    count: int
    cumulative: float
    is_other: bool = False


def bars(groups: Sequence[Mapping[str, Any]], texts: Mapping[str, str], most: int = BARS) -> list[Bar]:
    """Return the bars of groups: the ``most`` largest first, the rest as one at the end; the last ends at 100 %."""
    ranked = sorted(groups, key=lambda each: -each["cases"])
    whole, so_far, found = sum(each["cases"] for each in ranked), 0, []
    for each in ranked[:most]:
        so_far += each["cases"]
        found.append(Bar(each["name"] or each["key"] or texts["unknown"], each["cases"], so_far / whole))
    rest = ranked[most:]
    if rest:
        found.append(Bar(texts["other"].format(count=len(rest)), whole - so_far, 1.0, is_other=True))
    return found


def draw(statistics: Mapping[str, Any], lang: str, most: int = BARS) -> bytes:
    """Draw the groups of statistics.

    Args:
        statistics: a `models.ComplaintStatistics` with all its groups, as plain values.
        lang: ``en`` or ``zh``.
        most: bars wanted; there are never more than `BARS`, and one for the rest.

    Returns:
        SVG; the same for the same figures.

    """
    lang = "zh" if lang == "zh" else "en"
    texts = TEXTS[lang]
    period = {"start": f"{statistics['from_at']:%Y-%m-%d}", "end": f"{statistics['to_at']:%Y-%m-%d}"}
    title = texts["title"].format(by=_BY[statistics["by"]][lang == "zh"], **period)
    shown = bars(statistics["groups"], texts, min(most, BARS))
    described = _described(shown, statistics, texts) if shown else texts["none"].format(**period)
    root = ET.Element(
        "svg",
        {
            "xmlns": _SVG,
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "width": str(WIDTH),
            "height": str(HEIGHT),
            "role": "img",
            "aria-labelledby": "title description",
            "lang": lang,
            "font-family": "system-ui, 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif",
            "font-size": "13",
            "fill": "#222222",
        },
    )
    _text(root, "title", title, id="title")
    _text(root, "desc", described, id="description")
    ET.SubElement(root, "rect", {"width": str(WIDTH), "height": str(HEIGHT), "fill": "#ffffff"})
    _text(root, "text", title, x=str(LEFT), y="28", **{"font-size": "16", "font-weight": "600"})
    if shown:
        # One scale on both sides, as Juran draws it: the line leaves from the corner of the first bar.
        whole = sum(each.count for each in shown)
        _axes(root, whole, texts)
        _bars(root, shown, whole)
        _line(root, shown)
    else:
        _text(root, "text", described, x=str(WIDTH // 2), y=str(HEIGHT // 2), **{"text-anchor": "middle"})
    ET.indent(root, " ")
    drawn: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return drawn


def _described(shown: Sequence[Bar], statistics: Mapping[str, Any], texts: Mapping[str, str]) -> str:
    """Return the picture in words: how few groups make up most, and every bar."""
    sizes = sorted((each["cases"] for each in statistics["groups"]), reverse=True)
    shares = [so_far / sum(sizes) for so_far in itertools.accumulate(sizes)]
    vital = next(place for place, share in enumerate(shares, 1) if share >= _VITAL)
    told = [
        texts["bar"].format(name=each.name, count=each.count, cumulative=f"{each.cumulative:.0%}") for each in shown
    ]
    return texts["description"].format(
        cases=statistics["total"]["cases"],
        vital=vital,
        groups=len(sizes),
        share=f"{shares[vital - 1]:.0%}",
        bars=texts["comma"].join(told),
    )


def _axes(root: ET.Element, whole: int, texts: Mapping[str, str]) -> None:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for fifth in range(6):
        y = _y(fifth / 5)
        ET.SubElement(root, "path", {"d": f"M{LEFT} {y:.1f}H{right}", "stroke": _GRID, "fill": "none"})
        _text(root, "text", f"{fifth * 20}%", x=str(right + 8), y=f"{y + 4:.1f}", fill=_LINE)
    for count in range(0, whole + 1, _step(whole)):
        y = _y(count / whole)
        _text(root, "text", str(count), x=str(LEFT - 8), y=f"{y + 4:.1f}", **{"text-anchor": "end"})
    ET.SubElement(root, "path", {"d": f"M{LEFT} {TOP}V{bottom}H{right}V{TOP}", "stroke": "#888888", "fill": "none"})
    _text(root, "text", texts["across"], x=str(LEFT), y=str(TOP - 10), **{"text-anchor": "end"})
    _text(root, "text", texts["up"], x=str(right), y=str(TOP - 10), fill=_LINE)


def _step(whole: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20 … that divides the axis into at most six."""
    step, factors = 1, itertools.cycle((2, 2.5, 2))
    while whole > 6 * step:
        step = round(step * next(factors))
    return step


def _bars(root: ET.Element, shown: Sequence[Bar], whole: int) -> None:
    for place, each in enumerate(shown):
        x, width = _x(place, len(shown))
        y = _y(each.count / whole)
        shape = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{width:.1f}", "height": f"{HEIGHT - BOTTOM - y:.1f}"}
        ET.SubElement(root, "rect", {**shape, "fill": _OTHER if each.is_other else _BAR})
        middle = x + width / 2
        _text(root, "text", str(each.count), x=f"{middle:.1f}", y=f"{y - 5:.1f}", **{"text-anchor": "middle"})
        slanted = f"translate({middle + 4:.1f} {HEIGHT - BOTTOM + 16}) rotate(-35)"
        _text(root, "text", _short(each.name), transform=slanted, **{"text-anchor": "end"})


def _line(root: ET.Element, shown: Sequence[Bar]) -> None:
    points = []
    for place, each in enumerate(shown):
        x, width = _x(place, len(shown))
        points.append((x + width, _y(each.cumulative)))
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    ET.SubElement(root, "path", {"d": path, "fill": "none", "stroke": _LINE, "stroke-width": "2"})
    for x, y in points:
        ET.SubElement(root, "circle", {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": "3.5", "fill": _LINE})


def _x(place: int, of: int) -> tuple[float, float]:
    """Return where a bar begins and how wide it is."""
    step = (WIDTH - LEFT - RIGHT) / of
    width = min(step * 0.7, 80)
    return LEFT + step * place + (step - width) / 2, width


def _y(share: float) -> float:
    """Return the height of a share of the whole axis."""
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _short(name: str) -> str:
    """Return what fits below a bar: of a path its end, which tells most."""
    if _width(name) <= _ROOM:
        return name
    kept = name
    while _width(kept) >= _ROOM:
        kept = kept[1:]
    return "…" + kept


def _width(words: str) -> int:
    return sum(2 if ord(each) >= _WIDE else 1 for each in words)


def _text(parent: ET.Element, tag: str, words: str, **attributes: str) -> None:
    # XML cannot carry control characters, which a shop's own names may have.
    ET.SubElement(parent, tag, attributes).text = "".join(each for each in words if each.isprintable())
