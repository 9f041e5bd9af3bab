from .attributes import Attributes as Attributes
from .captions import VOCABULARY as VOCABULARY, Caption as Caption, word_indices as word_indices
