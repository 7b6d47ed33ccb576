#!/usr/bin/env python
"""Quartermaster's commands. `demo` starts everything on this machine; all others are Django's."""

import os
import sys


def main() -> None:
    """Run the command named first on the command line."""
    if sys.argv[1:2] == ["demo"]:
        from launcher.demo import main as demo

        sys.exit(demo(sys.argv[2:]))

    from launcher.local import adopt_demo_environment

    adopt_demo_environment()
    if sys.argv[1:2] == ["migrate"] and "DATABASE_OWNER_URL" in os.environ:
        os.environ["DATABASE_URL"] = os.environ["DATABASE_OWNER_URL"]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
    from django.core.management import execute_from_command_line

    from core.scope import platform_scope

    with platform_scope(f"manage.py {' '.join(sys.argv[1:2])}", is_routine=True):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
