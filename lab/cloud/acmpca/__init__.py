"""AWS Private CA where moto's differs from AWS: validity, templates, usage modes, permissions."""
