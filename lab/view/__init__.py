"""The path as one page in a browser: `server` serves it, `scene` says what is on it, `page.html` draws it."""
