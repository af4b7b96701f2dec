"""For every test: what runs a notebook unattended leaves no file beside it and draws no bars.

pytest reads this file for `pytest --nbval solutions` and the like too, and kernels inherit the
environment. What is slow by nature is left to `make test-full`.
"""

import os

import pytest

# The same as peftcourse.labs.execute.ENVIRONMENT, without importing it for every test.
os.environ |= {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PEFTLAB_PROGRESS": "off",
    "PEFTLAB_VERDICTS": "plain",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `full`, unless `-m` asks for it, and put slow files first.

    Processes that share out the files then end at about the same time.
    """
    if "full" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("full")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if not item.get_closest_marker("full")]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
