from .evaluation import Evaluation as Evaluation, evaluate as evaluate
from .hub import card as card, load as load, names as names
from .palette import PaletteSegmenter as PaletteSegmenter
from .training import SegmenterSettings as SegmenterSettings, train_segmenter as train_segmenter
from .unet import UNetSegmenter as UNetSegmenter
