"""Archives for tests."""

import io
import zipfile


def zipped(**members):
    """Return a .zip with these files: texts by their names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()
