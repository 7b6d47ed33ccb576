"""`python -m core.languages update` writes the catalogs anew from the source; `build` makes what Django reads."""

from __future__ import annotations

import argparse
import sys

from django.conf import settings

from core.languages.catalogs import build, update


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m core.languages", description=__doc__)
    parser.add_argument("task", choices=("build", "update"))
    task = parser.parse_args().task
    if task == "build":
        for path in build():
            sys.stdout.write(f"{path}\n")
        return 0
    # Django's lexer of templates asks whether it debugs.
    settings.configure()
    for language, lacking in update().items():
        sys.stdout.write(f"{language}: {lacking or 'no'} sentences lack a translation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
