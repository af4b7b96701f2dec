"""For type checkers: ``__init__.py`` imports a name only when it is first used."""

from peftlab.errors import PeftlabError as PeftlabError
from peftlab.inject import adapter_layers as adapter_layers
from peftlab.inject import adapters as adapters
from peftlab.inject import disabled as disabled
from peftlab.inject import switch as switch
from peftlab.inject import trainable_report as trainable_report
from peftlab.loading import load as load
from peftlab.merging import merge as merge
from peftlab.merging import remove as remove
from peftlab.merging import unmerge as unmerge
from peftlab.methods.adalora import AdaLoRAConfig as AdaLoRAConfig
from peftlab.methods.bitfit import BitFitConfig as BitFitConfig
from peftlab.methods.bottleneck import BottleneckConfig as BottleneckConfig
from peftlab.methods.dora import DoRAConfig as DoRAConfig
from peftlab.methods.fusion import FusionConfig as FusionConfig
from peftlab.methods.ia3 import IA3Config as IA3Config
from peftlab.methods.lora import LoRAConfig as LoRAConfig
from peftlab.methods.partial import PartialConfig as PartialConfig
from peftlab.methods.pissa import PiSSAConfig as PiSSAConfig
from peftlab.methods.prefix import PrefixConfig as PrefixConfig
from peftlab.methods.prompt import PromptConfig as PromptConfig
from peftlab.methods.subspace import SubspaceConfig as SubspaceConfig
from peftlab.quantization.linear import dequantize_model as dequantize_model
from peftlab.quantization.linear import quantize_model as quantize_model
from peftlab.quantization.loading import load_nf4 as load_nf4
from peftlab.saving import save as save
from peftlab.targets import match_targets as match_targets
from peftlab.verbs import apply as apply

__version__: str
__all__: list[str]
