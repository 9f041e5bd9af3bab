from .open import open_source as open_source
from .photos import Photos as Photos
from .scenes import Scenes as Scenes
from .source import Batch as Batch, ImageSource as ImageSource
