from .explain import Explanation as Explanation, explain as explain
from .importing import (
    ImportResult as ImportResult,
    import_checkpoint as import_checkpoint,
    import_network as import_network,
)
