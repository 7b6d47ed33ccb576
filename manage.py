#!/usr/bin/env python
"""Quartermaster's commands. `demo` starts everything on this machine; all others are Django's."""

import os
import sys


def main() -> None:
    """Run the command named first on the command line."""
    if sys.argv[1:2] == ["demo"]:
        from config.launcher.demo import main as demo

        sys.exit(demo(sys.argv[2:]))

    from config.launcher.local import adopt_demo_environment

    adopt_demo_environment()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
