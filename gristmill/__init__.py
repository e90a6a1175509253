"""gristmill: raw web crawl in, a data mixture proven to train a better model out."""
