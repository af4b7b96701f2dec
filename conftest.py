"""For every test: what runs a notebook unattended leaves no file beside it and draws no bars.

pytest reads this file for `pytest --nbval solutions` and the like too, and kernels inherit the
environment.
"""

import os

# The same as peftcourse.labs.execute.ENVIRONMENT, without importing it for every test.
os.environ |= {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PEFTLAB_PROGRESS": "off",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
}
