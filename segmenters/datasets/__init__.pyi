from .by_class import LabeledByClass as LabeledByClass
from .combining import pick_classes as pick_classes
from .decoding import read_image as read_image
from .domains import find_edges as find_edges
from .folders import list_pictures as list_pictures
from .idx import IdxPictures as IdxPictures
from .open import (
    check_output as check_output,
    check_specs as check_specs,
    open_labeled_pictures as open_labeled_pictures,
    open_pictures as open_pictures,
    open_source as open_source,
    open_sources as open_sources,
    open_training_data as open_training_data,
)
from .photos import Photos as Photos
from .points import MIXTURES as MIXTURES, Points as Points
from .scenes import Scenes as Scenes
from .source import ImageSource as ImageSource, LabeledPictures as LabeledPictures
from .stacked import StackedDigits as StackedDigits
