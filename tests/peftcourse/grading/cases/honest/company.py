"""What stands in an answer cell beside the answer: prints, magics, checks, scratch work."""

from __future__ import annotations

from functools import partial

from grading.cases.honest import base
from grading.cases.notebooks import RIGHT, solved

# What is peculiar is one answer; a few others show that it harms none of them.
case = partial(base.case, whole=False)
CASES = [
    case(
        "prints",
        solved(
            delta="print('hello')\n"
            + RIGHT["lora.delta"].replace("    rank", "    print(A, B)\n    rank"),
            count=RIGHT["lora.count"].replace(
                "    return", "    for i in range(3000):\n        print('layer', i)\n    return"
            ),
        ),
    ),
    case(
        "warnings and stderr",
        solved(
            delta="import sys, warnings, logging\nwarnings.warn('old', DeprecationWarning)\n"
            + RIGHT["lora.delta"].replace(
                "    rank",
                "    warnings.warn('careful')\n    sys.stderr.write('error\\n')\n"
                "    logging.error('bad')\n    rank",
            ),
            init=RIGHT["lora.init"].replace("    A =", "    torch.range(0, 3)\n    A ="),
        ),
    ),
    case(
        "magics",
        solved()
        .prepend("lora.delta", "%%time")
        .prepend("lora.init", "%matplotlib inline\n!ls -la\n?torch.empty")
        .append("lora.forward", "%time LoRALinear(nn.Linear(3, 4), 2, 8)\nLoRALinear?")
        .append("lora.count", "files = !ls\nlora_parameters??"),
    ),
    case(
        "scratch calls that need the notebook",
        solved()
        .append("lora.inject", "inject(model, ['q_proj'], lambda layer: layer)")
        .append("lora.count", "print(lora_parameters([w.shape for w in weights], 8, 2) / total)")
        .append("lora.delta", "lora_delta(torch.ones(2, 3), torch.ones(4, 3), 8)")
        .prepend("lora.loss", "logits = model(ids).logits"),
    ),
    case(
        "checks and hints",
        solved()
        .append("lora.delta", 'check("lora.delta", lora_delta)\nhint("lora.delta")')
        .prepend("lora.init", "from peftcourse.exercises import check, hint")
        .prepend("lora.count", "import peftlab\nimport matplotlib.pyplot as plt"),
    ),
    case(
        "asserts",
        solved()
        .append(
            "lora.delta", "assert lora_delta(torch.ones(2, 3), torch.ones(4, 2), 8).shape == (4, 3)"
        )
        .append("lora.count", "assert lora_parameters([(4, 4)], 2, 1) == 17, 'hm'"),
    ),
    case("main guard", solved().append("lora.delta", "if __name__ == '__main__':\n    test()")),
    case(
        "writes files",
        solved(
            save="import os, tempfile\nfrom torch import load\n\n\n"
            "def adapter_state(model, kind):\n    state = {}\n"
            "    for path, m in model.named_modules():\n        if isinstance(m, kind):\n"
            "            state[path + '.A'], state[path + '.B'] = m.A.data, m.B.data\n"
            "    with tempfile.TemporaryDirectory() as folder:\n"
            "        file = os.path.join(folder, 'state.pt')\n        torch.save(state, file)\n"
            "        return load(file)",
            delta=RIGHT["lora.delta"].replace(
                "    rank",
                "    with open('/tmp/log.txt', 'a') as f:\n        f.write('called\\n')\n    rank",
            ),
            count=RIGHT["lora.count"].replace(
                "    return", "    print(shapes, file=open('log.txt', 'a'))\n    return"
            ),
        ),
    ),
]
