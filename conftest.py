"""For every test: what runs a notebook unattended leaves no file beside it and draws no bars.

pytest reads this file for `pytest --nbval solutions` and the like too, and kernels inherit the
environment.
"""

import os

os.environ |= {"PEFTLAB_PROGRESS": "off", "TQDM_DISABLE": "1"}
