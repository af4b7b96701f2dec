"""``python -m peftlab`` is the command ``peftlab``."""

import sys

from peftlab.cli import main

sys.exit(main())
