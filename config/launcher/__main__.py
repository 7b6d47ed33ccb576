"""`python -m config.launcher` runs the demo, as `manage.py demo` does."""

import sys

from config.launcher.demo import main

sys.exit(main(sys.argv[1:]))
