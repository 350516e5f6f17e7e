"""Classifications in GraphQL."""

from typing import Annotated, Any

from pydantic import Field

from crm_api.classifications.definitions import Dimension
from crm_api.classifications.models import (
    ClassificationUpdate,
    CustomerPotentialSet,
    ScoringRunCreate,
    TransitionCell,
    TransitionsAsked,
    TransitionsBasis,
)
from crm_api.classifications.scoring import ScoringService
from crm_api.classifications.service import ClassificationService, PotentialService
from crm_api.db.projections import eq, eq_ref
from crm_api.web.graphql.parts import Call, Computed, GraphQLParts, Mutation, connection, get


async def _score(call: Call) -> dict[str, Any]:
    return {"scoring_run": await ScoringService(call.unit).start(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    dimension, expected = call.extra["dimension"], call.version
    done = await ClassificationService(call.unit).update(dimension, call.data, expected_version=expected)
    return {"classification": done}


async def _judge(call: Call) -> dict[str, Any]:
    done = await PotentialService(call.unit).set(call.id, call.data, expected_version=call.version)
    return {"potential": done}


async def _transitions(call: Call) -> dict[str, Any]:
    found = await ClassificationService(call.unit).transitions(call.data)
    cells = [TransitionCell.model_validate(each) for each in found["cells"]]
    return {"basis": found["basis"], "customers": found["customers"], "classes": found["classes"], "cells": cells}


GRAPHQL = GraphQLParts(
    queries={
        "scoring_run": get("ScoringRun", description="A scoring run by id."),
        "scoring_runs": connection("ScoringRun", description="Scoring runs, newest first."),
        "classification": get(
            "Classification",
            by={"dimension": eq("dimension", Dimension, description="Which.")},
            description="A classification's definition.",
        ),
        "classifications": connection("Classification", description="All classifications with their definitions."),
        "classification_versions": connection(
            "ClassificationVersion", description="Definitions as they were, newest first."
        ),
        "class_log": connection("ClassLogEntry", description="Changes of customers' classes, newest first."),
        "period_scores": connection("PeriodScore", description="Scores as they were at the end of periods."),
        "customer_potential": get(
            "CustomerPotential",
            by={"customer_id": eq_ref("customer_id", "Customer")},
            description="What staff think a customer may become.",
        ),
        "transitions": Computed(
            _transitions,
            input=TransitionsAsked,
            payload={
                "basis": Annotated[TransitionsBasis, Field(description="By the log, or by the orders of then.")],
                "customers": Annotated[int, Field(description="All customers; the cells add up to it.")],
                "classes": Annotated[list[str], Field(description="Every class in the matrix, best first.")],
                "cells": Annotated[list[TransitionCell], Field(description="Only cells with somebody in it.")],
            },
            description="How customers moved between the classes of a dimension: the conversion matrix.",
        ),
    },
    mutations={
        "scoring_start": Mutation(
            _score,
            input=ScoringRunCreate,
            payload={"scoring_run": "ScoringRun"},
            description="Score all customers in every classification.",
        ),
        "classification_update": Mutation(
            _update,
            input=ClassificationUpdate,
            versioned=True,
            extra={"dimension": Annotated[Dimension, Field(description="Which classification.")]},
            payload={"classification": "Classification"},
            description="Change a definition or its contact limits.",
        ),
        "customer_potential_set": Mutation(
            _judge,
            target="Customer",
            input=CustomerPotentialSet,
            versioned=True,
            payload={"potential": "CustomerPotential"},
            description="Judge what a customer may become.",
        ),
    },
)
