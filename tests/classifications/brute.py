"""Every class of every customer, reckoned in plain Python from the orders."""

from datetime import timedelta

import numpy as np

LEVELS = ("high", "mid", "low")


def quantile_edges(values):
    """Return where bands 2 to 5 begin: type-7 quantiles, rounded down, plus 1."""
    return [int(np.floor(cut)) + 1 for cut in np.percentile(values, (20, 40, 60, 80), method="linear")]


def tile(ranked):
    """Return name → 1 to 5 of names in rising order: as equal as can be, the first ones one larger."""
    size, over = divmod(len(ranked), 5)
    found, start = {}, 0
    for band in range(5):
        end = start + size + (band < over)
        found |= dict.fromkeys(ranked[start:end], band + 1)
        start = end
    return found


def band(value, edges):
    """Return 1 to 5: bands are half-open, [edge, next)."""
    return 1 + sum(value >= edge for edge in edges)


def level(value, high, mid, names=LEVELS):
    """Return the first name whose threshold is met."""
    return names[0] if value >= high else names[1] if value >= mid else names[2]


class Shop:
    """Orders of customers as they stand at a moment, with the definitions."""

    def __init__(self, histories, definitions, as_of):
        self.d, self.as_of = definitions, as_of
        self.orders = {name: [each for each in orders if each[0] < as_of] for name, orders in histories.items()}

    def within(self, name, dimension):
        days = self.d[dimension]["window_days"]
        since = None if days is None else self.as_of - timedelta(days=days)
        return [amount for at, amount in self.orders[name] if since is None or at >= since]

    def silent(self, name):
        return (self.as_of - max(at for at, _ in self.orders[name])) // timedelta(days=1)

    def scores(self, edges=None):
        """Return name → (r, f, m) of those with a purchase in the window."""
        measured = {
            name: (self.silent(name), len(bought), sum(bought))
            for name in sorted(self.orders)
            if (bought := self.within(name, "rfm"))
        }
        if self.d["rfm"]["scheme"] == "ntile":
            r = tile(sorted(measured, key=lambda name: (-measured[name][0], name)))
            f, m = (tile(sorted(measured, key=lambda name: (measured[name][at], name))) for at in (1, 2))
            return {name: (r[name], f[name], m[name]) for name in measured}
        given = self.d["rfm"]["edges"]
        edges = edges or (given and [given[axis] for axis in ("recency", "frequency", "monetary")])
        edges = edges or [quantile_edges([each[at] for each in measured.values()]) for at in range(3)]
        return {
            name: (6 - band(each[0], edges[0]), band(each[1], edges[1]), band(each[2], edges[2]))
            for name, each in measured.items()
        }

    def group(self, cell):
        groups = self.d["rfm"]["groups"]
        return next(
            group["key"]
            for group in groups
            if all(low <= score <= high for score, (low, high) in zip(cell, (group[x] for x in "rfm"), strict=True))
        )

    def grades(self):
        spent = {name: sum(self.within(name, "grade")) for name, orders in self.orders.items() if orders}
        total = sum(amount for amount in spent.values() if amount > 0)

        def grade(amount):
            if amount <= 0:
                return "D"
            share = sum(each for each in spent.values() if each > amount) / total
            return next((g for g, limit in zip("ABC", self.d["grade"]["shares"], strict=True) if share < limit), "D")

        return {name: grade(amount) for name, amount in spent.items()}

    def classes(self, potentials=None):
        """Return name → dimension → class, None where nothing can be said."""
        scores, grades = self.scores(), self.grades()
        return {
            name: self.of(name, grades.get(name), scores.get(name), (potentials or {}).get(name))
            for name in self.orders
        }

    def of(self, name, grade, cell, potential):
        d, number = self.d, len(self.orders[name])
        if not number:
            return dict.fromkeys(d) | {"lifecycle": "prospect"}
        silent, valued = self.silent(name), self.within(name, "value")
        average = round(sum(valued) / len(valued)) if valued else 0
        value = d["value"]["cells"][
            f"{level(len(valued), **d['value']['frequency'])}_{level(average, **d['value']['order_value'])}"
            if valued
            else "low_low"
        ]
        loyalty, activity, cycle = d["loyalty"], d["activity"], d["lifecycle"]
        often = len(self.within(name, "loyalty")) >= loyalty["purchases"]
        bought = "loyal" if number >= cycle["loyal_purchases"] else "repeat" if number > 1 else "first_purchase"
        return {
            "frequency": level(len(self.within(name, "frequency")), d["frequency"]["high"], d["frequency"]["mid"]),
            "amount": level(
                sum(self.within(name, "amount")), d["amount"]["large"], d["amount"]["mid"], ("large", "mid", "small")
            ),
            "loyalty": "lost" if silent > loyalty["lost_days"] else "loyal" if often else "regular",
            "value": value,
            "activity": level(-silent, -activity["active_days"], -activity["lost_days"], ("active", "dormant", "lost")),
            "value_potential": self.cell(value, potential),
            "grade": grade,
            "rfm": self.group(cell) if cell else None,
            "lifecycle": "lost"
            if silent > cycle["lost_days"]
            else "dormant"
            if cycle["active_days"] is not None and silent > cycle["active_days"]
            else bought,
        }

    def cell(self, value, potential):
        if not potential:
            return None
        d = self.d["value_potential"]
        points = sum(d[part][said] for part, said in potential.items())
        return f"{value}_{level(points, d['high'], d['mid'])}"
