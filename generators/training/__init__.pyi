from .families import FAMILIES as FAMILIES, RECIPES as RECIPES
from .gan import GANTask as GANTask
from .settings import GANSettings as GANSettings, TrainingSettings as TrainingSettings
from .train import make_task as make_task, train_generator as train_generator
