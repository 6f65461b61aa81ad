"""The live page: what the camera sees and what the model makes of it, in a browser."""

from edge_device.sinks.web.address import TOKEN_VARIABLE, Address, parse_address, read_token
from edge_device.sinks.web.page import WebPage

__all__ = ["TOKEN_VARIABLE", "Address", "WebPage", "parse_address", "read_token"]
