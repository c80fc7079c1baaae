"""AWS Certificate Manager where moto's differs from AWS: checks of an import, descriptions, and use."""
