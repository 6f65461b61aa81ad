"""The board and its operating system: sensors, systemd and the installed service."""
