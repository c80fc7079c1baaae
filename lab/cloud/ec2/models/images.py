"""Images where moto is slow: it makes the 1,300 that it knows of a Region when the first call of any kind comes."""

from moto.ec2 import models as moto
from moto.ec2.models.amis import Ami


class ImageBackend(moto.EC2Backend):
    """A part of the EC2 backend."""

    _images: dict[str, Ami] | None = None

    @property
    def amis(self) -> dict[str, Ami]:
        """Image id → image, made when first asked for."""
        if self._images is None:
            self._images = {}
            super()._load_amis()
        return self._images

    @amis.setter
    def amis(self, value: object) -> None:
        """Leave for later what moto's constructor gives."""

    def _load_amis(self) -> None:
        pass
