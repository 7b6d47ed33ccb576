"""Staff pages of the catalog."""

from catalog.admin.offered import CatalogImportAdmin, CatalogModelAdmin
from catalog.admin.reviews import AccessRequestAdmin, GrantAdmin, ReviewAdmin

__all__ = ["AccessRequestAdmin", "CatalogImportAdmin", "CatalogModelAdmin", "GrantAdmin", "ReviewAdmin"]
