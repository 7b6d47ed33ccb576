"""`python -m launcher` runs the demo, as `manage.py demo` does."""

import sys

from launcher.demo import main

sys.exit(main(sys.argv[1:]))
