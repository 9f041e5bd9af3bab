from .by_class import LabeledByClass as LabeledByClass
from .captioned import Captioned as Captioned
from .combining import pick_classes as pick_classes
from .decoding import read_image as read_image
from .domains import LabelMaps as LabelMaps, find_edges as find_edges
from .folders import list_pictures as list_pictures
from .idx import IdxPictures as IdxPictures
from .open import (
    check_output as check_output,
    check_specs as check_specs,
    open_inputs as open_inputs,
    open_labeled_pictures as open_labeled_pictures,
    open_pairs as open_pairs,
    open_pictures as open_pictures,
    open_source as open_source,
    open_sources as open_sources,
    open_training_data as open_training_data,
)
from .pairs import Paired as Paired, Unpaired as Unpaired
from .photos import Photos as Photos
from .points import MIXTURES as MIXTURES, Points as Points
from .scenes import Scenes as Scenes
from .source import (
    CaptionedPictures as CaptionedPictures,
    ImageSource as ImageSource,
    LabeledPictures as LabeledPictures,
    PicturePairs as PicturePairs,
)
from .stacked import StackedDigits as StackedDigits
