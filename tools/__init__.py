"""What an agent may call."""

from ludus.tools.base import Tool, ToolError, ToolResult, tool
from ludus.tools.calculator import calculator

__all__ = ["TOOLS", "Tool", "ToolError", "ToolResult", "tool"]

TOOLS: dict[str, Tool] = {calculator.name: calculator}
"""By name, as configurations write them."""
