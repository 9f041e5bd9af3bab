from .decoding import read_image as read_image
from .open import open_pictures as open_pictures, open_source as open_source
from .photos import Photos as Photos
from .scenes import Scenes as Scenes
from .source import ImageSource as ImageSource, LabeledPictures as LabeledPictures
