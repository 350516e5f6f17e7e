"""Access to follow-up plans and tasks."""

from crm_api.complaints.repository import COMPLAINT
from crm_api.followups.repository.effects import EffectRepository
from crm_api.followups.repository.planning import Fact, PlanningRepository
from crm_api.followups.repository.projections import FOLLOW_UP, FOLLOW_UP_PLAN, FOLLOW_UP_PLAN_VERSION
from crm_api.followups.repository.tasks import PlanRepository, TaskRepository
from crm_api.interactions.repository import INTERACTION

__all__ = [
    "COMPLAINT",
    "FOLLOW_UP",
    "FOLLOW_UP_PLAN",
    "FOLLOW_UP_PLAN_VERSION",
    "INTERACTION",
    "EffectRepository",
    "Fact",
    "PlanRepository",
    "PlanningRepository",
    "TaskRepository",
]
