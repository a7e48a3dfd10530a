"""The command `convert NETWORK OUT_DIR`: a PyTorch checkpoint to Flax, or any exported program."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rfp_jax._util.extras import needs_extra
from rfp_jax._util.npz import read_npz
from rfp_jax.convert._errors import ConversionError
from rfp_jax.convert._folder import convert_program
from rfp_jax.convert._onnx_errors import OnnxFileError, OnnxNodeError, UnsupportedOnnxError
from rfp_jax.convert._onnx_folder import convert_onnx

with needs_extra("Converting a network", "convert"):
    import tyro

    from rfp_jax.convert.flax._architectures import Name
    from rfp_jax.convert.flax._files import convert_file


@dataclass(frozen=True)
class Arguments:
    """Convert a network of PyTorch or ONNX to a folder that JAX uses.

    A checkpoint (.pth, .safetensors, .index.json) of SEN12MS, torchvision or timm becomes Flax
    variables (Orbax) and a manifest.json. PyTorch and Flax then compute the same random batch. The
    folder appears only if they agree.

    A program of torch.export (.pt2) or an ONNX file (.onnx), of any network, becomes what
    rfp_jax.convert.load reads.

    Attributes:
        checkpoint: a program ending in .pt2, a network ending in .onnx; or a state dict, or a dict
            that has one under model_state_dict, state_dict, state_dict_ema, model, model_ema, net
            or ema.
        out_dir: folder to write; it must not exist.
        arch: architecture of the checkpoint; recognized from its keys if not given.
        state_dict: which entry of a checkpoint to take, where several hold a state dict.
        check: .npz of inputs and outputs of your own network, to compare with as well; for ONNX,
            inputs by name, on which JAX and the runtime are compared. Programs and ONNX are
            compared anyway, so for them the file may be left out.
        example: compare JAX with the original on the example that is saved in a program, for ONNX
            on random numbers.
        sources: programs, submodules whose outputs become arguments, after the parameters: an
            embedding for instance, where token ids cannot be a source.
        inputs: ONNX, tensors that become arguments; by default the network's inputs.
        outputs: ONNX, tensors that are returned; by default the network's outputs.
        dtype: ONNX, the precision of all floating-point numbers.
    """

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="NETWORK")]
    out_dir: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT_DIR")]
    arch: Name | None = None
    state_dict: str | None = None
    check: tuple[Path, ...] | None = None
    example: bool = True
    sources: tuple[str, ...] | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    dtype: str | None = None


def main(arguments: Sequence[str] | None = None, prog: str = "rfp-jax convert") -> int:
    """Run the command.

    Args:
        arguments: of the command line; None takes this process's.
        prog: what help calls the command.

    Returns:
        The exit status: 0, or 1 after an error that was printed.
    """
    given = tyro.cli(Arguments, prog=prog, args=arguments)
    # Like Ctrl-C, a request to stop must unwind the stack, so that nothing half written remains.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        lines = _convert(given)
    except (ConversionError, OSError, *_refusals(given)) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    print("\n".join(f"{name:<20}{value}" for name, value in lines.items()))
    return 0


def _refusals(given: Arguments) -> tuple[type[Exception], ...]:
    """Return the errors with which a network of ONNX is refused."""
    if given.checkpoint.suffix != ".onnx":
        return ()
    return (OnnxFileError, OnnxNodeError, UnsupportedOnnxError, ValueError, TypeError)


def _convert(given: Arguments) -> dict[str, str]:
    """Convert, and say what came of it, by name."""
    if given.checkpoint.suffix == ".onnx":
        return _convert_onnx(given)
    _refuse(given, ("inputs", "outputs", "dtype"), "is of ONNX networks")
    if given.checkpoint.suffix == ".pt2":
        return _convert_program(given)
    _refuse(given, ("sources",), "is of .pt2 programs")
    manifest = convert_file(
        given.checkpoint,
        given.out_dir,
        given.arch,
        state_dict=given.state_dict,
        check=_example_file(given),
    )
    taken = {} if manifest.state_dict is None else {"state dict": manifest.state_dict}
    own = manifest.own_outputs
    compared = own and {
        "your outputs": f"{own['largest_difference']:.3g} from Flax's "
        f"({own['relative_difference']:.3g} relative)"
    }
    return {
        **taken,
        "architecture": manifest.architecture,
        "inputs, classes": f"{' + '.join(map(str, manifest.channels))}, {manifest.classes}",
        "largest difference": f"{manifest.largest_difference:.3g} of the outputs of PyTorch and "
        f"Flax on a random batch ({manifest.relative_difference:.3g} relative)",
        **(compared or {}),
        "written": str(given.out_dir),
    }


def _example_file(given: Arguments) -> Path | None:
    """Return the file of `--check`, if one is named."""
    if given.check is not None and not given.example:
        raise ConversionError("--check and --no-example contradict each other")
    if given.check and len(given.check) > 1:
        raise ConversionError(f"--check takes one .npz, not {len(given.check)}")
    return given.check[0] if given.check else None


def _refuse(given: Arguments, names: Sequence[str], reason: str) -> None:
    """Refuse options that would not be used."""
    for name in names:
        if getattr(given, name) is not None:
            raise ConversionError(f"--{name.replace('_', '-')} {reason}")


def _convert_onnx(given: Arguments) -> dict[str, str]:
    _refuse(given, ("arch", "state_dict"), "is of checkpoints; an ONNX network has its own")
    _refuse(given, ("sources",), "is of .pt2 programs; of an ONNX network --inputs names tensors")
    file = _example_file(given)
    example = None if file is None else read_npz(file)
    manifest = convert_onnx(
        given.checkpoint,
        given.out_dir,
        inputs=given.inputs,
        outputs=given.outputs,
        dtype=given.dtype,
        check=given.example,
        example=example,
    )
    return {
        "inputs": ", ".join(manifest["inputs"].values()),
        "outputs": ", ".join(manifest["outputs"].values()),
        "parameters": str(len(manifest["params"])),
        "compared": manifest["checked"],
        "written": str(given.out_dir),
    }


def _convert_program(given: Arguments) -> dict[str, str]:
    _refuse(given, ("arch", "state_dict"), "is of checkpoints; a .pt2 program has its own")
    if _example_file(given) is not None:
        raise ConversionError("--check of a file is of checkpoints; a .pt2 program has its own")
    manifest = convert_program(
        given.checkpoint, given.out_dir, sources=given.sources or (), check=given.example
    )
    sources = manifest["options"]["sources"]
    largest, relative = manifest["largest_difference"], manifest["relative_difference"]
    return {
        **({"sources": ", ".join(sources)} if sources else {}),
        "inputs": ", ".join(f"{name} {spec}" for name, spec in manifest["inputs"].items()),
        "parameters": str(len(manifest["params"])),
        "largest difference": "not checked"
        if largest is None
        else f"{largest:.3g} of the outputs of PyTorch and JAX on the saved example "
        f"({relative:.3g} relative)",
        "written": str(given.out_dir),
    }
