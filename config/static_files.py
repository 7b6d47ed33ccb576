"""How static files are stored when they are collected."""

from __future__ import annotations

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # has no types
    """Gives each file a name with its digest and compresses it; our modules import each other by these names.

    Django can do so for every script (`support_js_module_import_aggregation`), but then `collectstatic` fails for
    vendored scripts that contain the words of an import. It raises MissingFileError for a module that does not exist.
    """

    patterns: tuple[Any, ...] = (
        *CompressedManifestStaticFilesStorage.patterns,
        (
            "qm/js/*.js",
            ((r"""(?P<matched>\b(?P<how>import|from) '(?P<url>\./[\w.]+)')""", "%(how)s '%(url)s'"),),
        ),
    )
