"""A repository with one small lab."""

from pathlib import Path

import pytest

SOURCE = '''---
kernelspec:
  name: python3
  display_name: Python 3
---

# A small lab

+++

<!-- setup -->

```{code-cell} python
from peftcourse import check, progress
```

<!-- exercise: lora.delta -->

```{code-cell} python
def lora_delta(A, B, alpha):
    """The update."""
    ### BEGIN SOLUTION
    rank = A.shape[0]
    return alpha / rank * (B @ A)
    ### END SOLUTION
```

```{code-cell} python
check("lora.delta", lora_delta)
```

<!-- exercise: lora.count -->

```{code-cell} python
class Counter:
    def __init__(self, rank):
        ### BEGIN SOLUTION
        self.rank = rank
        ### END SOLUTION

    def count(self, d_in, d_out):
        ### BEGIN SOLUTION
        return self.rank * (d_in + d_out)
        ### END SOLUTION


def count(shapes, rank, layers):
    return layers * sum(Counter(rank).count(*shape) for shape in shapes)
```

```{code-cell} python
:tags: [other-tag]

check("lora.count", count)
```

<!-- exercise: lora.report -->

+++

<!-- answer: lora.report -->

+++

What is left to do?

```{code-cell} python
:tags: [nbval-ignore-output]

progress()
```
'''


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "99_small.md").write_text(SOURCE, encoding="utf-8")
    return tmp_path
