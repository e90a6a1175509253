"""What a page says of itself: `page` (title, date, language, links), `licences`."""
