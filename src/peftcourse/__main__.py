"""``python -m peftcourse`` is the command ``peftlab``."""

import sys

from peftcourse.cli import main

sys.exit(main())
