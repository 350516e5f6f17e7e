"""Texts of the documentation that follow from what a projection declares; the same on REST and in GraphQL."""

from crm_api.db.projections import Filter, Projection


def filter_text(projection: Projection, name: str, how: Filter) -> str:
    """Return what a filter does: its own words, or those of the field it is named after; "" if there are none."""
    field = projection.model.model_fields.get(name)
    if how.description or field is None or not field.description:
        return how.description
    return f"Only with this value. {field.description}"
