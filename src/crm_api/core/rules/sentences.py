"""A rule as a sentence people read, in English and Chinese, said so that it cannot mean anything else.

A missing value fails every test, so ``not`` of a test also takes the customers without a value: the sentence says so
("is not Shanghai, or not known"), and ``ne`` says the opposite ("is known and is not Shanghai").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from crm_api.core.rules.catalogue import RuleCatalogue, RuleCollection, RuleField, RuleType
from crm_api.core.rules.text import NOW
from crm_api.core.rules.written import PLAIN, money_text

Json = Any

MAX_LISTED = 20
"""Values of a list that a sentence names; the rest it counts."""

_PHRASES = Formatter()
_TIMES = frozenset({RuleType.DATE, RuleType.INSTANT})
_NEVER_MISSING = frozenset({"count", "sum"})


@dataclass(frozen=True, slots=True)
class _Language:
    """The phrases of one language; ``{f}`` is what is tested, ``{v}`` the value.

    Attributes:
        plain: operator → phrase, and the phrase when it is negated.
        times: the same for dates and instants, where they differ.
        many: the same for fields of many values, which are never missing: none is none.
        unknown: added to negated tests of what can be missing.
        figures: aggregate → phrase; ``{c}`` the collection, ``{f}`` the field, ``{w}`` window and condition.
        windows: keys of a window → phrase; ``{w}`` the window, ``{x}`` the condition of an aggregate.
        shifts: ``days_ago`` … → phrase.
        sequence: the steps in order, and that they were not; ``{s}`` the steps, ``{w}`` length and window.
        words: all else.
        apart: whether a space stands between its own script and Latin letters or digits, as Chinese is set.

    """

    plain: Mapping[str, tuple[str, str]]
    times: Mapping[str, tuple[str, str]]
    many: Mapping[str, tuple[str, str]]
    unknown: str
    figures: Mapping[str, str]
    windows: Mapping[str, str]
    shifts: Mapping[str, str]
    sequence: tuple[str, str]
    words: Mapping[str, str]
    apart: bool = False


_ENGLISH = _Language(
    plain={
        "eq": ("{f} is {v}", "{f} is not {v}"),
        "ne": ("{f} is known and is not {v}", "{f} is {v}"),
        "in": ("{f} is one of {v}", "{f} is none of {v}"),
        "not_in": ("{f} is known and is none of {v}", "{f} is one of {v}"),
        "gt": ("{f} is more than {v}", "{f} is not more than {v}"),
        "gte": ("{f} is at least {v}", "{f} is less than {v}"),
        "lt": ("{f} is less than {v}", "{f} is at least {v}"),
        "lte": ("{f} is at most {v}", "{f} is more than {v}"),
        "between": ("{f} is from {a} to {b}", "{f} is not from {a} to {b}"),
        "within": ("{f} is {v}", "{f} is not {v}"),
        "contains": ("{f} contains {v}", "{f} does not contain {v}"),
        "starts_with": ("{f} starts with {v}", "{f} does not start with {v}"),
        "exists": ("{f} is known", "{f} is not known"),
        "missing": ("{f} is not known", "{f} is known"),
    },
    times={
        "gt": ("{f} is after {v}", "{f} is not after {v}"),
        "gte": ("{f} is not before {v}", "{f} is before {v}"),
        "lt": ("{f} is before {v}", "{f} is not before {v}"),
        "lte": ("{f} is not after {v}", "{f} is after {v}"),
    },
    many={
        "contains": ("{f} include {v}", "{f} do not include {v}"),
        "contains_any": ("{f} include at least one of {v}", "{f} include none of {v}"),
        "contains_all": ("{f} include all of {v}", "{f} do not include all of {v}"),
        "exists": ("there are {f}", "there are no {f}"),
        "missing": ("there are no {f}", "there are {f}"),
    },
    unknown=" (or is not known)",
    figures={
        "count": "number of {c}{w}",
        "sum": "sum of {f} over {c}{w}",
        "avg": "average {f} of {c}{w}",
        "min": "lowest {f} of {c}{w}",
        "max": "highest {f} of {c}{w}",
        "min_time": "earliest {f} of {c}{w}",
        "max_time": "latest {f} of {c}{w}",
        "first": "{f} of the earliest of {c}{w}",
        "last": "{f} of the latest of {c}{w}",
    },
    windows={
        "last_days": "in the last {n} days",
        "last_hours": "in the last {n} hours",
        "from": "from {a} on",
        "to": "before {b}",
        "both": "from {a} until before {b}",
        "window": " {w}",
        "where": " (only where {x})",
        "window+where": " {w} (only where {x})",
    },
    shifts={
        "days_ago": "{n} days ago",
        "days_ahead": "{n} days from now",
        "hours_ago": "{n} hours ago",
        "hours_ahead": "{n} hours from now",
        "today": "today",
        "now": "now",
    },
    sequence=("{s} came in this order{w}", "{s} did not come in this order{w}"),
    words={
        "bucket": "bucket among {n} by {v}",
        "then": ", then ",
        "days": "within {n} days of the first",
        "hours": "within {n} hours of the first",
        "times": " {x}",
        "and": ", and ",
        "or": ", or ",
        "not": "not ({x})",
        "group": "({x})",
        "all": "everything goes",
        "any": "nothing goes",
        "everyone": "everyone",
        "no one": "no one",
        "true": "{f}: yes",
        "false": "{f}: no",
        "list": ", ",
        "more": " and {n} more",
        "quote": "“{x}”",
    },
)
_CHINESE = _Language(
    plain={
        "eq": ("{f}为{v}", "{f}不为{v}"),
        "ne": ("{f}已知且不为{v}", "{f}为{v}"),
        "in": ("{f}为{v}之一", "{f}不是{v}中的任何一个"),
        "not_in": ("{f}已知且不是{v}中的任何一个", "{f}为{v}之一"),
        "gt": ("{f}大于{v}", "{f}不大于{v}"),
        "gte": ("{f}不少于{v}", "{f}少于{v}"),
        "lt": ("{f}少于{v}", "{f}不少于{v}"),
        "lte": ("{f}不超过{v}", "{f}超过{v}"),
        "between": ("{f}在{a}到{b}之间", "{f}不在{a}到{b}之间"),
        "within": ("{f}在{v}", "{f}不在{v}"),
        "contains": ("{f}包含{v}", "{f}不包含{v}"),
        "starts_with": ("{f}以{v}开头", "{f}不以{v}开头"),
        "exists": ("{f}已知", "{f}未知"),
        "missing": ("{f}未知", "{f}已知"),
    },
    times={
        "gt": ("{f}晚于{v}", "{f}不晚于{v}"),
        "gte": ("{f}不早于{v}", "{f}早于{v}"),
        "lt": ("{f}早于{v}", "{f}不早于{v}"),
        "lte": ("{f}不晚于{v}", "{f}晚于{v}"),
    },
    many={
        "contains": ("{f}含{v}", "{f}不含{v}"),
        "contains_any": ("{f}至少含{v}之一", "{f}不含{v}中的任何一个"),
        "contains_all": ("{f}同时含{v}", "{f}不同时含{v}"),
        "exists": ("有{f}", "没有{f}"),
        "missing": ("没有{f}", "有{f}"),
    },
    unknown="（或未知）",
    figures={
        "count": "{c}数量{w}",
        "sum": "{c}的{f}合计{w}",
        "avg": "{c}的平均{f}{w}",
        "min": "{c}的最小{f}{w}",
        "max": "{c}的最大{f}{w}",
        "min_time": "{c}的最早{f}{w}",
        "max_time": "{c}的最晚{f}{w}",
        "first": "最早一条{c}的{f}{w}",
        "last": "最近一条{c}的{f}{w}",
    },
    windows={
        "last_days": "近 {n} 天",
        "last_hours": "近 {n} 小时",
        "from": "{a} 起",
        "to": "{b} 之前",
        "both": "{a} 起至 {b} 之前",
        "window": "（{w}）",
        "where": "（仅限{x}）",
        "window+where": "（{w}，仅限{x}）",
    },
    shifts={
        "days_ago": "{n} 天前",
        "days_ahead": "{n} 天后",
        "hours_ago": "{n} 小时前",
        "hours_ahead": "{n} 小时后",
        "today": "今天",
        "now": "现在",
    },
    sequence=("依次发生了{s}{w}", "没有依次发生{s}{w}"),
    words={
        "bucket": "按{v}分成 {n} 组的组号",
        "then": "、然后",
        "days": "自第一步起 {n} 天内",
        "hours": "自第一步起 {n} 小时内",
        "times": "（{x}）",
        "and": "，且",
        "or": "，或",
        "not": "并非（{x}）",
        "group": "（{x}）",
        "all": "不限",
        "any": "均不符合",
        "everyone": "所有客户",
        "no one": "没有客户",
        "true": "{f}：是",
        "false": "{f}：否",
        "list": "、",
        "more": "等 {n} 项",
        "quote": "“{x}”",
    },
    apart=True,
)


def rule_sentence(document: Json, catalogue: RuleCatalogue, names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a checked rule as a sentence without its full stop: ``{"en": …, "zh": …}``.

    Args:
        document: a node, a node in its envelope, or a step of a sequence.
        catalogue: how fields and collections are called; what it does not know is called by its name.
        names: UUID in lower case → what people call that thing; others are said as they are.

    """
    root = document.get("where", document) if "version" in document else document
    english, chinese = (
        _Speaker(language, number, names or {}).root(root, catalogue)
        for number, language in enumerate((_ENGLISH, _CHINESE))
    )
    return {"en": english[:1].upper() + english[1:], "zh": chinese}


class _Speaker:
    def __init__(self, language: _Language, number: int, names: Mapping[str, str]) -> None:
        self.say, self.number, self.names = language, number, names

    def _fill(self, phrase: str, **given: str) -> str:
        """Put values into a phrase."""
        if not self.say.apart:
            return phrase.format(**given)
        said = ""
        for literal, name, _format, _conversion in _PHRASES.parse(phrase):
            for piece in (literal, given[name] if name else ""):
                said += f" {piece}" if said and piece and _meet(said[-1], piece[0]) else piece
        return said

    def root(self, node: Json, scope: RuleCatalogue) -> str:
        words = self.say.words
        match node:
            case {"all": []}:
                return words["everyone"]
            case {"any": []}:
                return words["no one"]
            case {"of": _} if "aggregate" not in node:
                return self._step(node, scope)
        return self.node(node, scope)

    def node(self, node: Json, scope: RuleCatalogue, *, negated: bool = False) -> str:
        match node:
            case {"all": parts} | {"any": parts} if negated:
                # One part says by itself what its negation is; of several, the whole is negated.
                only = parts[0] if len(parts) == 1 else None
                joined = self._fill(self.say.words["not"], x=self.node(node, scope))
                return joined if only is None else self.node(only, scope, negated=True)
            case {"all": parts}:
                return self._joined(parts, scope, "and", "all")
            case {"any": parts}:
                return self._joined(parts, scope, "or", "any")
            case {"not": part}:
                return self.node(part, scope, negated=not negated)
        return self._leaf(node, scope, negated=negated)

    def _leaf(self, node: Json, scope: RuleCatalogue, *, negated: bool) -> str:
        match node:
            case {"aggregate": _}:
                return self._figure(node, scope, negated=negated)
            case {"bucket": {"salt": salt, "of": of}}:
                what = self._fill(
                    self.say.words["bucket"], n=str(int(of)), v=self._fill(self.say.words["quote"], x=salt)
                )
                return self._test(what, node, None, negated=negated, missing=False)
            case {"sequence": steps}:
                return self._sequence(node, steps, scope, negated=negated)
        field = scope.fields.get(node["field"])
        return self._test(self._label(field, node["field"]), node, field, negated=negated, missing=True)

    def _joined(self, parts: Sequence[Json], scope: RuleCatalogue, word: str, empty: str) -> str:
        said = [self.node(part, scope) if len(parts) == 1 else self._part(part, scope) for part in parts]
        if not said:
            return self.say.words[empty]
        whole = said[0]
        for each in said[1:]:
            whole = self._fill("{a}" + self.say.words[word] + "{b}", a=whole, b=each)
        return whole

    def _part(self, node: Json, scope: RuleCatalogue) -> str:
        said = self.node(node, scope)
        return self._fill(self.say.words["group"], x=said) if _joins(node) else said

    def _label(self, entry: RuleField | RuleCollection | None, name: str) -> str:
        if entry is None:
            return name
        label = (entry.description, entry.description_zh or entry.description)[self.number]
        # "Latest purchase" inside a sentence; "RFM cell" stays.
        return label[:1].lower() + label[1:] if label[1:2].islower() else label

    # Figures

    def _figure(self, node: Json, scope: RuleCatalogue, *, negated: bool) -> str:
        of, _dot, measured = node["of"].partition(".")
        collection = scope.collections.get(of)
        inside = RuleCatalogue() if collection is None else collection.inside
        field = inside.fields.get(measured)
        timed = field is not None and field.type in _TIMES and node["aggregate"] in {"min", "max"}
        figure = self._fill(
            self.say.figures[f"{node['aggregate']}{'_time' if timed else ''}"],
            c=self._label(collection, of),
            f=self._label(field, measured),
            w=self._rows(node, inside),
        )
        missing = node["aggregate"] not in _NEVER_MISSING
        return self._test(figure, node, field, negated=negated, missing=missing)

    def _rows(self, node: Json, inside: RuleCatalogue) -> str:
        """Say which rows count: those of a window, those that meet a condition, or both."""
        given = [key for key in ("window", "where") if key in node]
        if not given:
            return ""
        said = {
            "w": self._window(node["window"]) if "window" in node else "",
            "x": self.node(node["where"], inside) if "where" in node else "",
        }
        return self._fill(self.say.windows["+".join(given)], **said)

    def _sequence(self, node: Json, steps: Sequence[Json], scope: RuleCatalogue, *, negated: bool) -> str:
        said = self.say.words["then"].join(self._step(step, scope) for step in steps)
        times = [self.say.words[unit].format(n=int(count)) for unit, count in node.get("within", {}).items()]
        times += [self._window(node["window"])] if "window" in node else []
        when = self.say.words["times"].format(x=self.say.words["list"].join(times)) if times else ""
        return self._fill(self.say.sequence[negated], s=said, w=when)

    def _step(self, step: Json, scope: RuleCatalogue) -> str:
        collection = scope.collections.get(step["of"])
        inside = RuleCatalogue() if collection is None else collection.inside
        return self._label(collection, step["of"]) + self._rows(step, inside)

    def _window(self, window: Json) -> str:
        phrases = self.say.windows
        match window:
            case {"last_days": count}:
                return phrases["last_days"].format(n=int(count))
            case {"last_hours": count}:
                return phrases["last_hours"].format(n=int(count))
        edges = {key: self._value(window[name], None) for key, name in (("a", "from"), ("b", "to")) if name in window}
        return self._fill(phrases["both" if len(edges) > 1 else next(iter(window))], **edges)

    # Tests

    def _test(self, what: str, node: Json, field: RuleField | None, *, negated: bool, missing: bool) -> str:
        op, value = node["op"], node.get("value")
        many = field is not None and field.type is RuleType.MULTI
        phrases = self._phrases(field)
        tail = self.say.unknown if negated and missing and not many and op not in {"exists", "missing"} else ""
        if isinstance(value, bool):
            return self._fill(self.say.words[str(value != negated).lower()], f=what) + tail
        said = phrases[op][negated]
        if op == "between":
            ends = (self._value(each, field) for each in value)
            return self._fill(said, f=what, **dict(zip("ab", ends, strict=True))) + tail
        if op == "within":
            return self._fill(said, f=what, v=self._window(value)) + tail
        return self._fill(said, f=what, v=self._values(value, field)) + tail

    def _phrases(self, field: RuleField | None) -> Mapping[str, tuple[str, str]]:
        if field is not None and field.type in _TIMES:
            return {**self.say.plain, **self.say.times}
        if field is not None and field.type is RuleType.MULTI:
            return {**self.say.plain, **self.say.many}
        return {**self.say.many, **self.say.plain}

    def _values(self, value: Json, field: RuleField | None) -> str:
        if not isinstance(value, list):
            return self._value(value, field)
        said = self.say.words["list"].join(self._value(each, field) for each in value[:MAX_LISTED])
        rest = len(value) - MAX_LISTED
        return said if rest <= 0 else said + self.say.words["more"].format(n=rest)

    def _value(self, value: Json, field: RuleField | None) -> str:
        match value:
            case None:
                return ""
            case str():
                called = {} if field is None or not self.say.apart else field.labels_zh
                said = self.names.get(value.lower()) or called.get(value)
                plain = said is None and PLAIN.fullmatch(value)
                return value if plain else self.say.words["quote"].format(x=said or value)
            case {"amount": amount, "currency": currency}:
                return f"{money_text(int(amount), currency)} {currency}"
            case dict() if value == NOW:
                return self.say.shifts["today" if field is not None and field.type is RuleType.DATE else "now"]
            case dict():
                ((key, count),) = value.items()
                return self.say.shifts[key].format(n=int(count))
        return str(value)


def _meet(one: str, other: str) -> bool:
    """Tell whether Chinese meets a Latin letter or a digit."""
    return any(
        "\u4e00" <= left <= "\u9fff" and right.isascii() and right.isalnum()
        for left, right in ((one, other), (other, one))
    )


def _joins(node: Json) -> bool:
    """Tell whether a node's sentence joins several, so that it needs brackets beside others."""
    match node:
        case {"all": [only]} | {"any": [only]}:
            return _joins(only)
        case {"all": parts} | {"any": parts}:
            return len(parts) > 1
        case {"sequence": _} | {"not": {"sequence": _}}:
            return True
    return False
