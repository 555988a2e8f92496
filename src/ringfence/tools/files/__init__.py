"""Keep files: `from ringfence.tools.files import Files`, a field of a plugin.

Drivers `local`, a folder, and `memory`, for tests. Importing this package loads no driver.
"""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.files.contract import (
    BadContentType,
    BadName,
    Content,
    FileChanged,
    FileExists,
    FileMissing,
    Files,
    FileTooLarge,
    Listing,
    StorageFailure,
    StorageFull,
    Stored,
    TooLargeToRead,
)

SPEC = ToolSpec(
    name="files",
    contract=Files,
    package="ringfence.tools.files",
    default_driver="local",
)

__all__ = [
    "SPEC",
    "BadContentType",
    "BadName",
    "Content",
    "FileChanged",
    "FileExists",
    "FileMissing",
    "FileTooLarge",
    "Files",
    "Listing",
    "StorageFailure",
    "StorageFull",
    "Stored",
    "TooLargeToRead",
]
