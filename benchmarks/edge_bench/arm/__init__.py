"""64-bit Arm machines emulated by QEMU: Debian's own packages and kernel, PyPI's aarch64 wheels, no board."""
