from .attributes import Attributes as Attributes
