"""A trained model on new text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.data.document import Document
from model.data.subwords import encode
from model.training.checkpoint import load_network
from model.training.device import resolve_device


class Extractor:
    """A checkpoint, ready to find entities and relations.

    >>> extractor = Extractor(Path("runs/trials/…/checkpoint"))
    >>> extractor([Document("1", (("Ada", "Lovelace", "lived", "in", "London", "."),))])
    """

    def __init__(self, checkpoint: Path, device: str = "auto") -> None:
        """Raises ValueError where the folder is no checkpoint."""
        self.network, self._tokenizer = load_network(checkpoint)
        self.network.to(resolve_device(device))

    def __call__(self, documents: Sequence[Document]) -> list[Document]:
        """The documents with what was found in them; entities and relations that they come with are not looked at."""
        return self.network.extract(encode(documents, self._tokenizer))
