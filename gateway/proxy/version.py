"""Which release this is."""

from importlib.metadata import PackageNotFoundError, version


def code_version() -> str:
    """The installed version of Quartermaster, or `source` if it runs from a checkout."""
    try:
        return version("quartermaster")
    except PackageNotFoundError:
        return "source"
