"""HTML pages from the templates in a package; all that is put into one is escaped."""

import base64
import hashlib
from functools import partial
from importlib.resources import files


def resource(package: str, name: str) -> str:
    """Read a text that lies in a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def render(package: str, template: str, **content: object) -> str:
    """Fill a template.

    Args:
        package: where it lies, and what it imports.
        template: name of the file.
        content: what stands in it; escaped, unless it is `markupsafe.Markup`.

    Raises:
        jinja2.UndefinedError: the template asks for what is not there.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(partial(resource, package)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def digest(script: str) -> str:
    """Return the SHA-256 of a script, as a content security policy takes it.

    Examples:
        >>> digest("")
        '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
