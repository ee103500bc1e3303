"""Task templates: what is asked, how the oracle solves it, and how it is judged."""

from planact_envs.miniweb.templates import code, forum, shop
from planact_envs.miniweb.templates.base import Template

TEMPLATES: dict[str, Template] = {template.name: template for site in (shop, forum, code) for template in site.TEMPLATES}

__all__ = ["TEMPLATES", "Template"]
