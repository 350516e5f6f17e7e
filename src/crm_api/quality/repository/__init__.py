"""Access to what is wrong with customers, and to clean-ups."""

from crm_api.quality.repository.cleanups import QUALITY_CLEANUP, CleanupRepository
from crm_api.quality.repository.findings import QualityRepository

__all__ = ["QUALITY_CLEANUP", "CleanupRepository", "QualityRepository"]
