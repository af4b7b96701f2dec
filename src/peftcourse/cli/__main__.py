"""``python -m peftcourse.cli`` is the command ``peftlab``."""

import sys

from peftcourse.cli import main

sys.exit(main())
