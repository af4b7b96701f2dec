from peftlab.memory.presets import PRESETS
from peftlab.memory.settings import Settings
