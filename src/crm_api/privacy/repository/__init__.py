"""Access to subject exports and erasures, and to all that a customer owns."""

from crm_api.privacy.repository.erasing import ErasureRepository
from crm_api.privacy.repository.exports import ExportRepository
from crm_api.privacy.repository.holdings import Holdings
from crm_api.privacy.repository.projections import ERASURE, SUBJECT_EXPORT
from crm_api.privacy.repository.settings import PrivacySettingsRepository

__all__ = [
    "ERASURE",
    "SUBJECT_EXPORT",
    "ErasureRepository",
    "ExportRepository",
    "Holdings",
    "PrivacySettingsRepository",
]
