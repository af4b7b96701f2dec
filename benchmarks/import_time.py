"""What `import peftlab` costs beyond `import torch`.

    python -m benchmarks.import_time

Each pair starts two fresh interpreters, one that imports torch and one that imports torch, peftlab
and all of its methods; the difference of a pair is what peftlab adds, and the median is reported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from peftcourse.experiments import results

PAIRS = 9
# Naming the verbs and configurations imports what stands behind them.
STATEMENTS = {
    "torch": "import torch",
    "peftlab": "import torch, peftlab; [getattr(peftlab, name) for name in peftlab.__all__]",
}
TIMER = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def seconds(statement: str) -> float:
    """Time of the statement in a fresh interpreter."""
    command = [sys.executable, "-c", TIMER.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    for statement in STATEMENTS.values():  # fill the file cache
        seconds(statement)
    pairs = [{name: seconds(code) for name, code in STATEMENTS.items()} for _ in range(PAIRS)]
    added = statistics.median(pair["peftlab"] - pair["torch"] for pair in pairs)
    results.write(
        "results/import_time.json",
        what="Seconds to import torch, and torch with peftlab and everything it exports, each in "
        "a fresh interpreter; the difference is the median over pairs",
        command="python -m benchmarks.import_time",
        seeds=[],
        numbers={"beyond_torch_seconds": added, "pairs": pairs},
    )
    print(f"import peftlab takes {added:.3f} s beyond import torch -> results/import_time.json")


if __name__ == "__main__":
    main()
