from .evaluation import Evaluation as Evaluation, evaluate as evaluate
from .hub import card as card, find_for as find_for, load as load, names as names, names_for as names_for
from .palette import PaletteSegmenter as PaletteSegmenter
from .training import SegmenterSettings as SegmenterSettings, train_segmenter as train_segmenter
from .unet import UNetSegmenter as UNetSegmenter
