# pyarrow makes its functions from a registry when it is imported, where no checker can read them
from typing import Any

def __getattr__(name: str) -> Any: ...
