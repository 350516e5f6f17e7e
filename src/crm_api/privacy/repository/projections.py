"""What is shown of subject exports and erasures."""

from crm_api.customers.repository import CUSTOMER
from crm_api.db.projections import Projection, columns, eq, eq_ref, extend, many, ref
from crm_api.privacy.models import Erasure, ErasureState, ExportState, SubjectExport
from crm_api.privacy.tables import erasures, subject_exports

_TIMES = ("started_at", "finished_at", "version", "created_at", "updated_at")

SUBJECT_EXPORT = Projection(
    "SubjectExport",
    table=subject_exports,
    model=SubjectExport,
    scope="privacy:read",
    description="A copy of all that is kept about a customer, on its way or ready.",
    fields={
        **columns("id", "state", "total", "processed", "rows", "size_bytes", "sha256", "error", "expires_at", *_TIMES),
        "customer_id": ref("customer_id", "Customer"),
    },
    filters={"customer_id": eq_ref("customer_id", "Customer"), "state": eq("state", ExportState)},
)

ERASURE = Projection(
    "Erasure",
    table=erasures,
    model=Erasure,
    scope="privacy:read",
    description="An erasure: waiting, under way, or done; what remains of it is its proof.",
    fields={
        **columns("id", "state", "reason", "note", "due_at", "covers", "total", "processed", "counts", "error"),
        **columns("swept_at", *_TIMES),
        "customer_id": ref("customer_id", "Customer"),
    },
    filters={"customer_id": eq_ref("customer_id", "Customer"), "state": eq("state", ErasureState)},
)

extend(
    CUSTOMER,
    relations={
        "subject_exports": many(
            "SubjectExport", on=lambda p, c: c.c.customer_id == p.c.id, description="Copies made of their data."
        ),
        "erasures": many("Erasure", on=lambda p, c: c.c.customer_id == p.c.id, description="Erasures asked for."),
    },
)
