"""The build step that puts the start-up files beside the package in site-packages.

    botocache.pth     Python 3.14 and earlier: a line that is executed at start
    botocache.start   Python 3.15 and later (PEP 829): an entry point called at start

setuptools has no setting for a file there: data files go below the prefix.
"""

from pathlib import Path

from setuptools.command.build_py import build_py

FILES = ("botocache.pth", "botocache.start")


class BuildWithStartup(build_py):
    """Setuptools' build_py, which also copies the start-up files."""

    def run(self) -> None:
        """Build the package and copy the start-up files."""
        super().run()
        if self.editable_mode:  # a checkout must not start the cache everywhere
            return
        for name in FILES:
            source = Path(__file__).with_name(name)
            self.copy_file(str(source), str(Path(self.build_lib, name)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:  # noqa: FBT001, FBT002 - setuptools' signature
        """Return the paths of all files that were built."""
        outputs = super().get_outputs(include_bytecode)
        if not self.editable_mode:
            outputs += [str(Path(self.build_lib, name)) for name in FILES]
        return outputs
