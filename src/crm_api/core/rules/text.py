"""The text form of rules: ``orders.count(last 90d) >= 3 and not tag:wholesale`` to the JSON tree, with places.

`read_text` turns text into the very JSON that clients may also send; `crm_api.core.rules.check` checks it as any
other, and names what is wrong by the characters it came from. The grammar is ``text.lark`` beside this module: LALR(1),
so reading takes time linear in the text; texts are at most `MAX_WRITTEN` characters, trees `MAX_DEPTH` levels.

What the text says more shortly than JSON needs the catalogue: ``tag:vip`` is ``contains`` because ``tags`` holds many
values, ``within 7d`` means the coming days of a date and the past ones of an instant.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crm_api.core.errors import FieldError, Invalid, Position
from crm_api.core.money import MAX_MINOR, currencies, minor_per_major
from crm_api.core.rules.catalogue import Aggregate, Op, RuleCatalogue, RuleCollection, RuleField, RuleType, result_field
from crm_api.core.rules.report import MESSAGES
from crm_api.core.rules.values import MAX_DEPTH, MAX_WRITTEN

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

    Syntax = Tree[Token]
    Part = Token | Syntax

Json = Any
Span = tuple[int, int]

SYMBOLS: Mapping[str, Op] = {
    "=": Op.EQ,
    "==": Op.EQ,
    "!=": Op.NE,
    "<>": Op.NE,
    "≠": Op.NE,
    ">": Op.GT,
    "after": Op.GT,
    ">=": Op.GTE,
    "≥": Op.GTE,
    "<": Op.LT,
    "before": Op.LT,
    "<=": Op.LTE,
    "≤": Op.LTE,
}

IN_TEXT: Mapping[Op, str] = {
    Op.EQ: "=",
    Op.NE: "!=",
    Op.GT: ">",
    Op.GTE: ">=",
    Op.LT: "<",
    Op.LTE: "<=",
    Op.NOT_IN: "not in",
    Op.CONTAINS_ANY: "contains any",
    Op.CONTAINS_ALL: "contains all",
    Op.STARTS_WITH: "starts with",
    Op.MISSING: "is missing",
}
"""How operators are written where the text form does not call them by their names."""

NOW: Json = {"days_ago": 0}


@dataclass(frozen=True, slots=True)
class Written:
    """A text that was read.

    Attributes:
        node: the JSON tree, not yet checked.
        places: JSON pointer into ``node`` → from which character to which it was written.
        text: as sent.

    """

    node: Json
    places: Mapping[str, Span]
    text: str

    def located(self, errors: Iterable[FieldError], pointer: str) -> list[FieldError]:
        """Return problems of the tree as problems of the text, which lies at the pointer."""
        return [self._located(error, pointer) for error in errors]

    def _located(self, error: FieldError, pointer: str) -> FieldError:
        inside = error.pointer.removeprefix(pointer)
        while inside and inside not in self.places:
            inside = inside.rpartition("/")[0]
        return _placed(replace(error, pointer=pointer), self.text, self.places[inside])


def _placed(error: FieldError, text: str, span: Span) -> FieldError:
    """Return the error with its place, which the messages tell too."""
    start, end = span
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return replace(
        error,
        message=f"{error.message} (line {line}, column {column})",
        message_zh=f"{error.message_zh}（第 {line} 行，第 {column} 列）",
        position=Position(start, end - start, line, column),
    )


class _Unreadable(Exception):
    """The text stops making sense at a place."""

    def __init__(self, code: str, span: Span, english: str, chinese: str) -> None:
        self.error, self.span = FieldError("", code, english, chinese), span


def read_text(text: str, catalogue: RuleCatalogue, pointer: str = "") -> Written:
    """Read the text form of a rule.

    Args:
        text: of at most `MAX_WRITTEN` characters.
        catalogue: what the rule may name; unknown names are left for the check.
        pointer: where the text lies in the request body.

    Raises:
        Invalid: code ``rule_invalid``, with one entry in ``errors`` that names the character.

    """
    try:
        if len(text) > MAX_WRITTEN:
            raise _refusal("rule_text_long", (MAX_WRITTEN, len(text)), limit=MAX_WRITTEN)
        builder = _Builder()
        node = builder.node(_parse(text), catalogue, "", 1)
    except _Unreadable as refusal:
        error = _placed(replace(refusal.error, pointer=pointer), text, refusal.span)
        raise Invalid(
            "The rule is not valid: see errors", zh="规则无效：详见 errors", code="rule_invalid", errors=[error]
        ) from None
    return Written(node, builder.places, text)


TEXT_MESSAGES: Mapping[str, tuple[str, str]] = {
    "rule_text_long": (
        "A rule in words has at most {limit} characters: send longer ones as JSON",
        "文字规则最多 {limit} 个字符：更长的请用 JSON",
    ),
    "rule_text_syntax": ("Expected {expected_en}, found {found_en}", "此处应为{expected_zh}，实际是{found_zh}"),
    "rule_text_escape": (
        'A text in quotes escapes like JSON: \\" \\\\ \\n \\u4e0a',
        '引号内按 JSON 转义：\\" \\\\ \\n \\u4e0a',
    ),
    "rule_text_decimals": (
        "{currency} has at most {digits} decimals",
        "{currency} 最多 {digits} 位小数",
    ),
    "rule_text_amount": ("The amount is too large", "金额过大"),
}


def _refusal(code: str, span: Span, **values: Any) -> _Unreadable:
    english, chinese = TEXT_MESSAGES.get(code) or MESSAGES[code]
    return _Unreadable(code, span, english.format(**values), chinese.format(**values))


# -- syntax ------------------------------------------------------------------------------------------------------------


@cache
def _parser() -> "Lark":
    """Compile the grammar, once a process (0.05 s); lark is not loaded by processes that read no text."""
    from lark import Lark  # noqa: PLC0415

    grammar = files(__package__).joinpath("text.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _parse(text: str) -> "Syntax":
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    try:
        return _parser().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(error, text) from None


_VALUE, _COMPARISON = (
    ("a value", "一个值"),
    ("a comparison such as = < in between contains exists", "比较，例如 = < in between contains exists"),
)
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "NUMBER": _VALUE,
    "SYMBOL": _COMPARISON,
    "NAME": ("a name", "名称"),
    "DURATION": ("a span such as 90d or 6h", "时长，例如 90d 或 6h"),
    "CURRENCY": ("a currency such as CNY", "货币，例如 CNY"),
    "_LPAR": ("'('", "“(”"),
    "_RPAR": ("')'", "“)”"),
    "_COMMA": ("','", "“,”"),
    "$END": ("the end", "结尾"),
}
_SUBSUMED: Mapping[str, frozenset[str]] = {
    "NAME": frozenset({"_BUCKET", "_SEQUENCE"}),
    "NUMBER": frozenset({"NAME", "STRING", "QUOTED", "UUID", "DATE", "INSTANT", "DURATION", "NOW", "TRUE", "FALSE"}),
    "SYMBOL": frozenset(
        {"_IN", "_NOT", "_BETWEEN", "_WITHIN", "_CONTAINS", "_STARTS", "_IS", "_COLON", "_LPAR"}
        | {"EXISTS", "MISSING", "BEFORE", "AFTER"}
    ),
}
"""What need not be listed beside a token, since its own line says it."""


def _unexpected(error: "UnexpectedInput", text: str) -> _Unreadable:
    """Say what the parser would have taken, and what stands there."""
    # Which of them there is depends on whether a token or a character was the surprise.
    names: set[str] = getattr(error, "accepts", None) or getattr(error, "allowed", None) or set()
    for general, special in _SUBSUMED.items():
        names = names - special if general in names else names
    shown = sorted(dict.fromkeys(_shown(name) for name in names))
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        end = len(text)
        return _syntax(shown, (end, end), ("the end of the text", "文本结尾"))
    start: int = getattr(error, "pos_in_stream", None) or 0
    length = len(token) if token is not None else 1
    found = text[start : start + min(length, 40)]
    return _syntax(shown, (start, start + length), (f"'{found}'", f"“{found}”"))


def _shown(name: str) -> tuple[str, str]:
    word = name.removeprefix("_").lower()
    return _EXPECTED.get(name, (f"'{word}'", f"“{word}”"))


def _syntax(expected: list[tuple[str, str]], span: Span, found: tuple[str, str]) -> _Unreadable:
    return _refusal(
        "rule_text_syntax",
        span,
        expected_en=" or ".join(english for english, _ in expected),
        expected_zh="或".join(chinese for _, chinese in expected),
        found_en=found[0],
        found_zh=found[1],
    )


# -- from syntax to JSON -----------------------------------------------------------------------------------------------


def _span(part: "Part") -> Span:
    place = part if isinstance(part, str) else part.meta
    return place.start_pos or 0, place.end_pos or 0


def _name(token: str) -> str:
    return str(token).strip("`")


_DURATION = re.compile(r"(\d+) ?(.)")


def _duration(token: str) -> tuple[str, int]:
    """Return unit and count: ``2 weeks`` are 14 days."""
    found = _DURATION.match(token)
    assert found is not None, token  # noqa: S101 - the grammar says so
    count, unit = int(found[1]), found[2].lower()
    if unit in {"h", "小"}:
        return "hours", count
    return "days", count * 7 if unit in {"w", "周"} else count


def many_of(name: str, scope: RuleCatalogue) -> RuleField | None:
    """Return the field that ``name:value`` speaks of; fields of many values may be named in the singular."""
    for each in (name, f"{name}s", f"{name[:-1]}ies" if name.endswith("y") else name):
        if each in scope.fields:
            return scope.fields[each]
    return None


class _Builder:
    """Builds JSON out of syntax, and remembers where each part of it was written."""

    def __init__(self) -> None:
        self.places: dict[str, Span] = {}

    def node(self, tree: "Syntax", scope: RuleCatalogue, at: str, depth: int) -> Json:
        """Build one node and all below it; recursion ends with the depth that rules may have."""
        self.places[at] = _span(tree)
        if depth > MAX_DEPTH:
            raise _refusal("rule_too_deep", _span(tree), limit=MAX_DEPTH)
        match tree.data:
            case "all" | "any" as kind:
                inside = f"{at}/{kind}"
                self.places[inside] = _span(tree)
                return {
                    kind: [
                        self.node(part, scope, f"{inside}/{index}", depth + 1)  # type: ignore[arg-type]
                        for index, part in enumerate(tree.children)
                    ]
                }
            case "not":
                return {"not": self.node(tree.children[0], scope, f"{at}/not", depth + 1)}  # type: ignore[arg-type]
            case "labelled":
                return self._labelled(tree, scope, at)
            case "sequence":
                return self._sequence(tree, scope, at, depth)
        return self._test(tree, scope, at, depth)

    # Leaves

    def _labelled(self, tree: "Syntax", scope: RuleCatalogue, at: str) -> Json:
        token, value = tree.children
        field = many_of(_name(token), scope)  # type: ignore[arg-type]
        self.places |= {f"{at}/field": _span(token), f"{at}/op": _span(token)}
        op = Op.CONTAINS if field is not None and field.type is RuleType.MULTI else Op.EQ
        name = _name(token) if field is None else field.name  # type: ignore[arg-type]
        return {"field": name, "op": op.value, "value": self._value(value, f"{at}/value")}

    def _test(self, tree: "Syntax", scope: RuleCatalogue, at: str, depth: int) -> Json:
        subject, verdict = tree.children
        if subject.data == "bucket":  # type: ignore[union-attr]
            return {**self._bucket(subject, at), **self._verdict(verdict, at, None)}  # type: ignore[arg-type]
        token, *arguments = subject.children  # type: ignore[union-attr]
        name = _name(token)  # type: ignore[arg-type]
        self.places[f"{at}/op"] = _span(verdict)
        if arguments or _is_figure(name, scope):
            head, result = self._figure(name, token, arguments, scope, at, depth)
        else:
            self.places[f"{at}/field"] = _span(token)
            head, result = {"field": name}, scope.fields.get(name)
        return {**head, **self._verdict(verdict, at, result)}  # type: ignore[arg-type]

    def _bucket(self, subject: "Syntax", at: str) -> dict[str, Json]:
        salt, of = subject.children
        self.places |= {f"{at}/bucket": _span(subject), f"{at}/op": _span(subject), f"{at}/bucket/of": _span(of)}
        return {"bucket": {"salt": self._value(salt, f"{at}/bucket/salt"), "of": _number(of)}}  # type: ignore[arg-type]

    def _sequence(self, tree: "Syntax", scope: RuleCatalogue, at: str, depth: int) -> Json:
        self.places[f"{at}/sequence"] = _span(tree)
        steps: list[Json] = []
        node: dict[str, Json] = {"sequence": steps}
        for part in tree.children:
            match part.data:  # type: ignore[union-attr]
                case "step":
                    steps.append(self._step(part, scope, f"{at}/sequence/{len(steps)}", depth))  # type: ignore[arg-type]
                case "span":
                    unit, count = _duration(str(part.children[0]))  # type: ignore[union-attr]
                    self.places[f"{at}/within"] = _span(part)
                    node["within"] = {unit: count}
                case _:
                    node["window"] = self._window(part, f"{at}/window")  # type: ignore[arg-type]
        return node

    def _step(self, tree: "Syntax", scope: RuleCatalogue, at: str, depth: int) -> Json:
        token, *condition = tree.children
        name = _name(token)  # type: ignore[arg-type]
        self.places |= {at: _span(tree), f"{at}/of": _span(token)}
        if not condition:
            return {"of": name}
        inside = scope.collections[name].inside if name in scope.collections else RuleCatalogue()
        where: Any = condition[0].children[0]  # type: ignore[union-attr]
        return {"of": name, "where": self.node(where, inside, f"{at}/where", depth + 1)}

    def _figure(
        self, name: str, token: "Part", arguments: "list[Part]", scope: RuleCatalogue, at: str, depth: int
    ) -> tuple[dict[str, Json], RuleField | None]:
        """Build ``collection.aggregate(field, window, where …)``; the field that stands for the figure comes along."""
        of, _dot, aggregate = name.rpartition(".")
        collection = scope.collections.get(of)
        self.places |= {f"{at}/aggregate": _span(token), f"{at}/of": _span(token)}
        head: dict[str, Json] = {"aggregate": aggregate, "of": of}
        for part in arguments[0].children if arguments else ():  # type: ignore[union-attr]
            match part.data:  # type: ignore[union-attr]
                case "measured":
                    head["of"] = f"{of}.{_name(part.children[0])}"  # type: ignore[arg-type, union-attr]
                    self.places[f"{at}/of"] = _span(part)
                case "where":
                    inside = RuleCatalogue() if collection is None else collection.inside
                    condition: Any = part.children[0]  # type: ignore[union-attr]
                    head["where"] = self.node(condition, inside, f"{at}/where", depth + 1)
                case _:
                    head["window"] = self._window(part, f"{at}/window")  # type: ignore[arg-type]
        return head, _result(aggregate, collection, head["of"])

    # What is asked of it

    def _verdict(self, verdict: "Syntax", at: str, field: RuleField | None) -> dict[str, Json]:
        kind, inside = str(verdict.data), f"{at}/value"
        self.places[inside] = _span(verdict)
        match kind:
            case "compare":
                symbol, value = verdict.children
                return {"op": SYMBOLS[str(symbol).lower()].value, "value": self._value(value, inside)}
            case "exists" | "missing":
                return {"op": kind}
            case "within":
                return self._within(verdict.children[0], inside, field)  # type: ignore[arg-type]
            case "between":
                return {"op": kind, "value": self._values(verdict, inside)}
            case "contains" | "starts_with":
                return {"op": kind, "value": self._value(verdict.children[0], inside)}
        return {"op": kind, "value": self._values(verdict.children[0], inside)}  # type: ignore[arg-type]

    def _values(self, tree: "Syntax", at: str) -> list[Json]:
        self.places[at] = _span(tree)
        return [self._value(each, f"{at}/{index}") for index, each in enumerate(tree.children)]

    def _value(self, tree: "Part", at: str) -> Json:
        self.places[at] = _span(tree)
        return _READ[tree.data](*tree.children)  # type: ignore[union-attr]

    def _within(self, tree: "Syntax", at: str, field: RuleField | None) -> dict[str, Json]:
        """Build ``within``; a date has no windows, so days around today become ``between``."""
        if field is None or field.type is not RuleType.DATE or tree.data not in {"span", "last", "next"}:
            return {"op": "within", "value": self._window(tree, at)}
        unit, count = _duration(str(tree.children[0]))
        back = [{f"{unit}_ago": count}, NOW]
        return {"op": "between", "value": back if tree.data == "last" else [NOW, {f"{unit}_ahead": count}]}

    def _window(self, tree: "Syntax", at: str) -> dict[str, Json]:
        self.places[at] = _span(tree)
        if tree.data in {"last", "next", "span"}:
            unit, count = _duration(str(tree.children[0]))
            return {"from": NOW, "to": {f"{unit}_ahead": count}} if tree.data == "next" else {f"last_{unit}": count}
        edges = {}
        for edge in tree.children:
            key = "from" if edge.data == "lower" else "to"  # type: ignore[union-attr]
            edges[key] = self._value(edge.children[0], f"{at}/{key}")  # type: ignore[union-attr]
        return edges


def _is_figure(name: str, scope: RuleCatalogue) -> bool:
    """Tell whether a name without brackets is an aggregate all the same: ``orders.count``."""
    of, _dot, aggregate = name.rpartition(".")
    return name not in scope.fields and of in scope.collections and aggregate in Aggregate.__members__.values()


def _result(aggregate: str, collection: RuleCollection | None, of: str) -> RuleField | None:
    """Return the field that stands for the figure, as far as the names are known."""
    if collection is None or aggregate not in Aggregate.__members__.values():
        return None
    measured = collection.inside.fields.get(of.partition(".")[2])
    return None if measured is None else result_field(Aggregate(aggregate), measured)


# -- single values -----------------------------------------------------------------------------------------------------


def _string(token: "Token") -> str:
    if token.startswith("“"):
        return str(token[1:-1])
    try:
        return str(json.loads(token))
    except ValueError:
        raise _refusal("rule_text_escape", _span(token)) from None


def _number(token: str) -> int | float:
    return int(token) if re.fullmatch(r"[+-]?\d+", token) else float(token)


def _money(number: "Token", currency: "Token") -> Json:
    """Read an amount in major units: ``12.5 CNY`` are 1250 fen."""
    if str(currency) not in currencies():
        raise _refusal("rule_currency_unknown", _span(currency))
    value = Decimal(str(number))
    if abs(value) > MAX_MINOR:
        raise _refusal("rule_text_amount", _span(number))
    factor = minor_per_major(str(currency))
    minor = value * factor
    if minor != int(minor):
        raise _refusal("rule_text_decimals", _span(number), currency=currency, digits=len(str(factor)) - 1)
    return {"amount": int(minor), "currency": str(currency)}


def _shift(way: str) -> Callable[[str], Json]:
    def read(token: str) -> Json:
        unit, count = _duration(token)
        return {f"{unit}_{way}": count}

    return read


_READ: Mapping[str, Callable[..., Json]] = {
    "string": _string,
    "word": _name,
    "number": _number,
    "money": _money,
    "time": str,
    "ago": _shift("ago"),
    "ahead": _shift("ahead"),
    "now": lambda _token: dict(NOW),
    "true": lambda _token: True,
    "false": lambda _token: False,
}
