from .decoding import read_image as read_image
from .folders import list_pictures as list_pictures
from .open import (
    check_output as check_output,
    check_specs as check_specs,
    open_labeled_pictures as open_labeled_pictures,
    open_pictures as open_pictures,
    open_source as open_source,
    open_sources as open_sources,
)
from .photos import Photos as Photos
from .scenes import Scenes as Scenes
from .source import ImageSource as ImageSource, LabeledPictures as LabeledPictures
