"""Which method to use for a model, a GPU, a task and a number of examples; and why.

The rules are tables in ``rules``; ``ladder`` walks from the best method down to the first that
fits the GPU:

    shape = closest(7e9)
    print(describe(recommend(Need(shape, gpu_gib=24, task="generation", examples=5000))))
"""

from peftcourse.recommend.ladder import Need, Recommendation, recommend
from peftcourse.recommend.text import as_json, describe
from peftlab.memory.shapes import closest

__all__ = ["Need", "Recommendation", "as_json", "closest", "describe", "recommend"]
