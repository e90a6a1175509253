"""The report: one HTML page that shows what a workspace holds. `page` puts it together."""
