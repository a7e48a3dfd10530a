"""The networks of the paper's experiments, as Flax Linen modules that take one array per source.

Inputs are [batch, height, width, channels]. Inference is the default: batch normalization uses its
running statistics and dropout is off unless `train=True`.
"""

from rfp_jax._util.extras import needs_extra

with needs_extra("The networks of the paper", "models"):
    from rfp_jax.models._densenet import DenseNet121
    from rfp_jax.models._resnet import FusionResNet18, ResNet50
    from rfp_jax.models._smallnet import SmallNet
    from rfp_jax.models._vgg import VGG16

__all__ = ["VGG16", "DenseNet121", "FusionResNet18", "ResNet50", "SmallNet"]
