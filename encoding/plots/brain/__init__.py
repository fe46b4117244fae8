"""Interactive brain map: data, viewer and export."""
