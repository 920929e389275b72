from pathlib import Path
PAGE = Path("docs/DIFFERENCES.md")
def page() -> str: return ""
