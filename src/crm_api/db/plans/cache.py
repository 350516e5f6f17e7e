"""Where plans are kept.

A plan may depend on a little more than the text of the request: which optional arguments were given, what
``@include`` said, how many rows a page has. While planning, the compiler may learn such things only by asking
(`Trace.ask`), and the answers lead to the plan: they form a decision tree, which the next request walks in a
microsecond or two. Values as such never reach the SQL text.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from crm_api.db.plans.selection import Value, Variables
from crm_api.db.projections import on_change

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_SHAPES: Final = 64
"""Most plans kept for one text; more means that a client varies page sizes wildly, and we start over."""

Question = Callable[[Variables], Hashable]


class Trace:
    """The questions asked while a plan was made, with their answers for this request's variables."""

    def __init__(self, variables: Variables) -> None:
        """Answer from these variables."""
        self._variables = variables
        self._known: dict[Hashable, Any] = {}
        self.steps: list[tuple[Question, Hashable]] = []

    def ask(self, value: Value, about: str, classify: Callable[[Any], Any]) -> Any:
        """Return ``classify(value)``, remembering that the plan depends on it.

        Args:
            value: the argument.
            about: names the question, so that the same one is asked only once.
            classify: its answer must be hashable and come from a small set.

        """
        if value.ident is None:
            return classify(value.read({}))
        ident = (value.ident, about)
        if ident not in self._known:
            read = value.read
            answer = self._known[ident] = classify(read(self._variables))
            self.steps.append((lambda variables: classify(read(variables)), answer))
        return self._known[ident]

    def given(self, value: Value) -> bool:
        """Tell whether the argument has a value other than null."""
        return bool(self.ask(value, "given", _is_given))


def _is_given(value: Any) -> bool:
    return value is not None


class _Node(Generic[V]):
    __slots__ = ("branches", "question")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.branches: dict[Hashable, _Node[V] | V] = {}


class Shapes(Generic[V]):
    """All plans of one text."""

    __slots__ = ("_root", "count")

    def __init__(self) -> None:
        """Start empty."""
        self._root: _Node[V] | V | None = None
        self.count = 0

    def find(self, variables: Variables) -> V | None:
        """Return the plan for these variables, or None when it has yet to be made."""
        node = self._root
        while isinstance(node, _Node):
            node = node.branches.get(node.question(variables))
        return node

    def add(self, trace: Trace, plan: V) -> None:
        """Keep a plan under the answers that led to it."""
        if self.count >= MAX_SHAPES:
            self._root, self.count = None, 0
        self.count += 1
        if not trace.steps:
            self._root = plan
            return
        if not isinstance(self._root, _Node):
            self._root = _Node(trace.steps[0][0])
        node = self._root
        for (_, answer), (question, _) in zip(trace.steps, trace.steps[1:], strict=False):
            below = node.branches.get(answer)
            if not isinstance(below, _Node):
                below = node.branches[answer] = _Node(question)
            node = below
        node.branches[trace.steps[-1][1]] = plan


class LRU(Generic[K, V]):
    """A bounded mapping that forgets what was not used for longest."""

    def __init__(self, entries: int, *, weight: int | None = None) -> None:
        """Bound the number of entries and, if given, their total weight (bytes, say)."""
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._most = entries
        self._most_weight = weight
        self._weight = 0

    def get(self, key: K) -> V | None:
        """Return and refresh an entry."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 0) -> None:
        """Add an entry, dropping the oldest as needed; one heavier than the whole bound is not kept."""
        if self._most_weight is not None and weight > self._most_weight:
            return
        self._drop(key)
        self._entries[key] = (value, weight)
        self._weight += weight
        while len(self._entries) > self._most or (self._most_weight is not None and self._weight > self._most_weight):
            self._drop(next(iter(self._entries)))

    def _drop(self, key: K) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._weight -= found[1]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight(self) -> int:
        """Total weight of what is kept."""
        return self._weight


def plan_cache(entries: int) -> "LRU[Hashable, Shapes[Any]]":
    """Return a cache of plans that empties itself when a projection changes."""
    cache: LRU[Hashable, Shapes[Any]] = LRU(entries)
    on_change(cache.clear)
    return cache
