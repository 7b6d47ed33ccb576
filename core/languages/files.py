"""Where catalogs are, and which of them are not built. Needs nothing beside Python."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = (
    "accounts", "audit", "billing", "catalog", "deployments", "directory", "exports", "gateway", "privacy", "tenants",
)  # fmt: skip
# Whose catalog is `locale/`.
COMMON = ""
ROOMS = (*APPS, COMMON)
# Those that people can choose beside English, as Django names their folders.
LANGUAGES = ("zh_Hans",)


def catalog_path(room: str, language: str, root: Path = ROOT) -> Path:
    """Where the catalog of an app is, or the common one."""
    return root / room / "locale" / language / "LC_MESSAGES" / "django.po"


def stale_catalogs(root: Path = ROOT) -> list[Path]:
    """Catalogs that are newer than the `.mo` file beside them, or have none."""
    paths = [catalog_path(room, language, root) for language in LANGUAGES for room in ROOMS]
    return [path for path in paths if path.exists() and not _is_built(path)]


def _is_built(path: Path) -> bool:
    built = path.with_suffix(".mo")
    return built.exists() and built.stat().st_mtime_ns > path.stat().st_mtime_ns
