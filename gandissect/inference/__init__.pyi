from .bench import Bench as Bench
from .upsampling import upsample as upsample
