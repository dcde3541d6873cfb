"""Foreign checkpoints to bundles: mmcls, mmpretrain, Facebook's, timm's and torchvision's ConvNeXt in any size.

Nothing in a checkpoint is ever executed. `read_checkpoint` gives what is in one, `import_checkpoint` writes it as a bundle.
"""

from bin_daemon.model.importing.bundling import Chosen, check_free, import_checkpoint
from bin_daemon.model.importing.checkpoint import Checkpoint, read_checkpoint

__all__ = ["Checkpoint", "Chosen", "check_free", "import_checkpoint", "read_checkpoint"]
