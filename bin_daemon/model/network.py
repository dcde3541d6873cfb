"""Build a bundle's network with torch and timm: for the torch engine, the export and training."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import timm
import torch

from bin_daemon.errors import ModelError
from bin_daemon.model.weights import read_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bin_daemon.model.architecture import ArchitectureInfo
    from bin_daemon.model.bundle import Bundle


def build_network(architecture: ArchitectureInfo, num_labels: int) -> torch.nn.Module:
    """The network with fresh weights, in eval mode; never downloads. ModelError when timm does not know it."""
    arguments: dict[str, Any] = {**architecture.kwargs, "pretrained": False, "num_classes": num_labels}
    try:
        network: torch.nn.Module = timm.create_model(architecture.name, **arguments)
    except Exception as error:  # noqa: BLE001 - timm raises whatever a wrong argument leads to
        raise ModelError(
            f"timm {timm.__version__} cannot build {architecture.name} with {dict(architecture.kwargs)}: {error}",
            hint="mend architecture in bundle.json, or update timm",
        ) from None
    _set_norm_eps(network, architecture)
    return network.eval()


def load_network(bundle: Bundle) -> torch.nn.Module:
    """The bundle's network with its weights, in eval mode; ModelError when names or shapes do not match, or not finite."""
    architecture = bundle.metadata.architecture
    network = _without_weights(architecture, len(bundle.metadata.labels))
    weights = {name: torch.from_numpy(array) for name, array in read_weights(bundle.weights_path).items()}
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        _check_tensor(bundle, name, tuple(tensor.shape), weights.get(name))
    if unknown := sorted(weights.keys() - wanted.keys()):
        raise ModelError(
            f"{bundle.weights_path}: {len(unknown)} tensors that {architecture.name} lacks, first {unknown[0]}",
            hint=_HINT,
        )
    network.load_state_dict({name: weights[name].to(tensor.dtype) for name, tensor in wanted.items()}, assign=True)
    return network


def _without_weights(architecture: ArchitectureInfo, num_labels: int) -> torch.nn.Module:
    """As `build_network`, without memory for tensors: fresh weights would cost 350 MB and seconds, and are replaced at once.

    Older timm cannot build that way, and a tensor that no weight file holds would stay empty: then they are made all the same.
    """
    with contextlib.suppress(ModelError):
        with torch.device("meta"):
            network = build_network(architecture, num_labels)
        filled = network.state_dict().keys()
        if all(name in filled for name, _ in (*network.named_parameters(), *network.named_buffers())):
            return network
    return build_network(architecture, num_labels)


_HINT = "the weights belong to another architecture: mend bundle.json or make the bundle again"


def _check_tensor(bundle: Bundle, name: str, wanted: tuple[int, ...], found: torch.Tensor | None) -> None:
    if found is None:
        raise ModelError(
            f"{bundle.weights_path}: {name} is missing for {bundle.metadata.architecture.name}", hint=_HINT
        )
    if tuple(found.shape) != wanted:
        raise ModelError(
            f"{bundle.weights_path}: {name} is {tuple(found.shape)}, {bundle.metadata.architecture.name} wants {wanted}",
            hint=_HINT,
        )


def _set_norm_eps(network: torch.nn.Module, architecture: ArchitectureInfo) -> None:
    for name, eps in architecture.norm_eps.items():
        try:
            norm = network.get_submodule(name)
        except AttributeError:
            norm = None
        if norm is None or not hasattr(norm, "eps"):
            raise ModelError(
                f"norm_eps: {architecture.name} has no norm {name!r}", hint="mend architecture in bundle.json"
            )
        norm.eps = eps  # type: ignore[assignment] # every norm layer has a float eps


def weights_of(network: torch.nn.Module) -> dict[str, NDArray[np.generic]]:
    """A network's weights as arrays on the CPU, ready for `bin_daemon.model.bundle.write_bundle`."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
