"""Task templates: what is asked, how the oracle solves it, and how it is judged."""

from planact_envs.miniweb.templates import (
    admin,
    admin_goods,
    admin_reports,
    code,
    code_groups,
    code_more,
    forum,
    forum_changes,
    forum_questions,
    map_routes,
    map_saved,
    shop,
    shop_long,
    shop_outlet,
    two_site,
    two_site_admin_map,
)
from planact_envs.miniweb.templates import map as map_site
from planact_envs.miniweb.templates.base import Template

SITES = (
    shop,
    forum,
    code,
    shop_long,
    shop_outlet,
    admin,
    admin_goods,
    admin_reports,
    forum_questions,
    forum_changes,
    two_site,
    two_site_admin_map,
    code_more,
    code_groups,
    map_site,
    map_routes,
    map_saved,
)
TEMPLATES: dict[str, Template] = {template.name: template for site in SITES for template in site.TEMPLATES}

__all__ = ["TEMPLATES", "Template"]
