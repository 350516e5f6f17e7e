"""Access to what closes a case: settings, tellings, ratings, corrective actions."""

from crm_api.closing.repository.actions import ActionRepository
from crm_api.closing.repository.cases import CaseRepository
from crm_api.closing.repository.projections import CLOSING_SETTINGS, CORRECTIVE_ACTION, RATING, TELLING
from crm_api.closing.repository.ratings import RatingRepository, find_rating
from crm_api.closing.repository.settings import ClosingSettingsRepository
from crm_api.closing.repository.tellings import TellingRepository

__all__ = [
    "CLOSING_SETTINGS",
    "CORRECTIVE_ACTION",
    "RATING",
    "TELLING",
    "ActionRepository",
    "CaseRepository",
    "ClosingSettingsRepository",
    "RatingRepository",
    "TellingRepository",
    "find_rating",
]
