"""Clusters as a picture: a sample of customers along their first two principal components.

Written as SVG elements, not drawn by matplotlib: labels are Chinese, for which a server has no font to measure, and a
reader who cannot see the picture needs its title and description. Colours are those of Okabe & Ito (2008), which the
colour-blind can tell apart; the marks differ too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

_SVG: Final = "http://www.w3.org/2000/svg"
WIDTH, HEIGHT, MARGIN, LEGEND = 960, 600, 48, 330
"""Pixels: the whole picture, the room around the plot, and the legend on its right."""
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d1f")
_MARKS: Final = ("M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-3.6 -3.6H3.6V3.6H-3.6Z", "M0 -4.6L4.4 3.4H-4.4Z")
"""Circle, square, triangle: one set of colours each."""
_LINE, _LINES = 15, 3
_ROOM, _ROOM_OF_NAMES = 42, 36
"""Widths of a line of the legend, in narrow letters; names are bold."""
_WIDE: Final = 0x2E80
"""From this code point on letters are as wide as two Latin ones."""
_PARTS: Final = re.compile(r"\s+|[^\s\u2e80-\uffff]+[，。：；、）]?|[\u2e80-\uffff][，。：；、）]?")
"""A word, a Chinese letter (neither without the mark that follows), or space."""

TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Clusters of {name}",
        "description": "{shown} of {customers} customers along the two directions in which they differ most, "
        "a colour and mark per cluster: {clusters}.",
        "cluster": "{position} · {share} · {name}",
        "across": "first principal component ({share} of the variance)",
        "up": "second principal component ({share} of the variance)",
    },
    "zh": {
        "title": "客户聚类：{name}",
        "description": "在差异最大的两个方向上显示 {customers} 位客户中的 {shown} 位，每群一种颜色和标记：{clusters}。",
        "cluster": "{position} · {share} · {name}",
        "across": "第一主成分（方差的 {share}）",
        "up": "第二主成分（方差的 {share}）",
    },
}


def draw(
    picture: Mapping[str, Any], clusters: Sequence[Mapping[str, Any]], name: str, customers: int, lang: str
) -> bytes:
    """Draw the picture of a clustering.

    Args:
        picture: ``points`` (each x, y and the cluster's position), ``explained`` (two shares).
        clusters: each ``position``, ``name``, ``words`` (both in the language), ``share``.
        name: of the clustering.
        customers: how many were clustered.
        lang: ``en`` or ``zh``.

    Returns:
        SVG; the same for the same figures.

    """
    texts = TEXTS["zh" if lang == "zh" else "en"]
    named = [
        texts["cluster"].format(position=each["position"], name=each["name"], share=f"{each['share']:.0%}")
        for each in clusters
    ]
    root = ET.Element(
        "svg",
        {
            "xmlns": _SVG,
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "width": str(WIDTH),
            "height": str(HEIGHT),
            "role": "img",
            "aria-labelledby": "title description",
            "lang": "zh" if lang == "zh" else "en",
            "font-family": "system-ui, 'Noto Sans SC', 'PingFang SC', 'Microsoft YaHei', sans-serif",
            "font-size": "13",
            "fill": "#222222",
        },
    )
    title = texts["title"].format(name=name)
    _text(root, "title", title, id="title")
    described = texts["description"].format(
        shown=len(picture["points"]),
        customers=customers,
        clusters="; ".join(named) if lang != "zh" else "；".join(named),
    )
    _text(root, "desc", described, id="description")
    ET.SubElement(root, "rect", {"width": str(WIDTH), "height": str(HEIGHT), "fill": "#ffffff"})
    _text(root, "text", title, x=str(MARGIN), y="28", **{"font-size": "16", "font-weight": "600"})
    _axes(root, texts, picture["explained"])
    _points(root, picture["points"])
    _legend(root, clusters, named)
    ET.indent(root, " ")
    drawn: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return drawn


def _text(parent: ET.Element, tag: str, words: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = _printable(words)


def _printable(words: str) -> str:
    """Leave out what XML cannot carry: control characters in a shop's own texts."""
    return "".join(each for each in words if each.isprintable())


def _axes(root: ET.Element, texts: Mapping[str, str], explained: Sequence[float]) -> None:
    right, bottom = WIDTH - LEGEND, HEIGHT - MARGIN
    ET.SubElement(root, "path", {"d": f"M{MARGIN} {MARGIN}V{bottom}H{right}", "fill": "none", "stroke": "#888888"})
    across, up = (
        texts[key].format(share=f"{share:.0%}") for key, share in zip(("across", "up"), explained, strict=True)
    )
    middle, height = (MARGIN + right) // 2, (MARGIN + bottom) // 2
    _text(root, "text", across, x=str(middle), y=str(bottom + 30), **{"text-anchor": "middle"})
    turned = {"transform": f"translate(28 {height}) rotate(-90)", "text-anchor": "middle"}
    _text(root, "text", up, **turned)


def _points(root: ET.Element, points: Sequence[Sequence[float]]) -> None:
    """Place the points; both axes have one scale, so that distances are what they are."""
    across, up = [point[0] for point in points], [point[1] for point in points]
    room_x, room_y = WIDTH - LEGEND - MARGIN - 20, HEIGHT - 2 * MARGIN - 20
    scale = min(room_x / ((max(across) - min(across)) or 1), room_y / ((max(up) - min(up)) or 1))
    centre_x, centre_y = (max(across) + min(across)) / 2, (max(up) + min(up)) / 2
    groups: dict[int, ET.Element] = {}
    for x, y, given in sorted(points, key=lambda point: point[2]):
        position = int(given)
        colour = _COLOURS[(position - 1) % len(_COLOURS)]
        if position not in groups:
            shared = {"fill": colour, "fill-opacity": "0.55", "class": f"cluster-{position}"}
            groups[position] = ET.SubElement(root, "g", shared)
        at_x = (WIDTH - LEGEND + MARGIN) / 2 + (x - centre_x) * scale
        at_y = HEIGHT / 2 - (y - centre_y) * scale
        place = {"d": _mark(position), "transform": f"translate({at_x:.1f} {at_y:.1f})"}
        ET.SubElement(groups[position], "path", place)


def _mark(position: int) -> str:
    return _MARKS[(position - 1) % len(_MARKS)]


def _legend(root: ET.Element, clusters: Sequence[Mapping[str, Any]], named: Sequence[str]) -> None:
    x, y = WIDTH - LEGEND + 24, MARGIN + 8
    room = min((_LINES + 2) * _LINE, (HEIGHT - 2 * MARGIN) // len(clusters))
    lines = min(_LINES, room // _LINE - 1)
    for each, name in zip(clusters, named, strict=True):
        position = each["position"]
        colour = _COLOURS[(position - 1) % len(_COLOURS)]
        mark = {"d": _mark(position), "transform": f"translate({x} {y}) scale(1.4)", "fill": colour}
        ET.SubElement(root, "path", mark)
        _text(root, "text", _lines(name, _ROOM_OF_NAMES, 1)[0], x=str(x + 14), y=str(y + 5), **{"font-weight": "600"})
        for place, line in enumerate(_lines(each["words"], _ROOM, lines), 1):
            small = {"font-size": "12", "fill": "#555555"}
            _text(root, "text", line, x=str(x + 14), y=str(y + 5 + place * _LINE), **small)
        y += room


def _lines(words: str, room: int, most: int) -> list[str]:
    """Return a text in lines that are no wider than ``room``, the last one of ``most`` with what fits of the rest.

    Lines break at spaces, and between letters that stand for words.
    """
    lines, line = [], ""
    for part in _PARTS.findall(words):
        if _width(line + part) > room and line.strip():
            lines.append(line)
            line = ""
        line += part
    lines.append(line)
    if len(lines) > most or _width(lines[-1]) > room:
        last = "".join(lines[most - 1 :])
        while _width(last) >= room:
            last = last[:-1]
        lines = [*lines[: most - 1], last.rstrip() + "…"]
    return [each.strip() for each in lines]


def _width(words: str) -> int:
    return sum(2 if ord(each) >= _WIDE else 1 for each in words)
