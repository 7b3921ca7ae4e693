"""Documents to sub-word vectors, by a transformer without pooler.

Source: JEREX (arXiv 2102.05980), section 3; MRE, section 4. As in the released code there are no marks around or
between sentences unless `special_tokens` is set.

Shape letters: W windows, L sub-words of a window, T sub-words of all documents, D encoder width.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast

from model import embedded
from model.batch import WindowGroup, Windows
from model.data.subwords import Layout
from model.settings import BuiltinSettings, EncoderSettings, ExtendedPositionSettings, WindowSettings


def load_tokenizer(settings: EncoderSettings) -> PreTrainedTokenizerFast:
    """The tokenizer that belongs to the encoder."""
    if settings.name == embedded.RANDOM:
        return _random_tokenizer()
    source = _source(settings)
    try:
        return AutoTokenizer.from_pretrained(source, use_fast=True)
    except OSError as error:
        raise embedded.EncoderNotFound(
            f"the encoder {settings.name!r} cannot be had ({str(error).splitlines()[0]}); without a hub there are "
            f"{', '.join(embedded.EMBEDDED)} and folders of weights"
        ) from error


def _source(settings: EncoderSettings) -> str:
    problem = embedded.check(settings.name)
    if problem is not None:
        raise embedded.EncoderNotFound(problem)
    return str(embedded.locate(settings.name)) if settings.name in embedded.EMBEDDED else settings.name


class Encoder(nn.Module):
    """The transformer, cut to its first layers if so set, for documents of any length."""

    def __init__(
        self, settings: EncoderSettings, vocabulary: dict[str, Any], config: dict[str, Any] | None = None
    ) -> None:
        """`vocabulary`: from `vocabulary_of`. `config`: that of a saved encoder, whose weights will be loaded by the
        caller; None: the pretrained weights."""
        super().__init__()
        self.settings = settings
        self.transformer = _pretrained(settings, vocabulary) if config is None else _from_config(config)
        layers = _layers(self.transformer)
        self.marks = vocabulary["marks"] if settings.special_tokens else ([], [])
        self.padding = vocabulary["padding"]
        positions = embedded.usable_positions(self.config.to_dict())
        if positions is None:
            raise ValueError(f"the encoder {settings.name!r} does not say how many positions it has")
        self.max_positions = positions
        shape = embedded.Shape(self.config.model_type, len(layers), self.window)
        if misfits := embedded.misfits(settings, shape):
            raise ValueError("; ".join(f"encoder.{'.'.join(path)}: {message}" for path, message in misfits))
        del layers[settings.layers or len(layers) :]
        self.config.num_hidden_layers = len(layers)
        if isinstance(settings.positions, ExtendedPositionSettings):
            self.max_positions = max(self.max_positions, settings.positions.rows)
            _extend_positions(self.transformer, settings.positions, self.max_positions)
        self._freeze()

    @property
    def config(self) -> Any:
        """The transformer's configuration; saved with a checkpoint."""
        return self.transformer.config

    @property
    def width(self) -> int:
        return self.config.hidden_size

    @property
    def window(self) -> int:
        """Sub-words that are encoded at once, marks not counted."""
        return self.max_positions - sum(len(mark) for mark in self.marks)

    @property
    def layout(self) -> Layout:
        """How it takes documents, on the device where it is."""
        positions = self.settings.positions
        return Layout(
            size=self.window,
            overlap=positions.overlap if isinstance(positions, WindowSettings) else None,
            before=tuple(self.marks[0]),
            after=tuple(self.marks[1]),
            padding=self.padding,
            padded=next(self.parameters()).device.type != "cpu",
        )

    def train(self, mode: bool = True) -> Encoder:
        """A frozen encoder has no dropout, so that the vectors of a document are always the same."""
        return super().train(mode and self.settings.train)

    def _freeze(self) -> None:
        if not self.settings.train:
            self.requires_grad_(False).eval()
        elif self.settings.frozen_layers:
            self.transformer.embeddings.requires_grad_(False)
            for layer in _layers(self.transformer)[: self.settings.frozen_layers]:
                layer.requires_grad_(False)

    def forward(self, windows: Windows) -> Tensor:
        """The sub-words of all documents as windows -> their vectors, end to end: x_TD."""
        x = [
            self.transformer(input_ids=group.ids_WL, attention_mask=self._mask(group)).last_hidden_state.flatten(0, 1)
            for group in windows.groups
        ]
        return (torch.cat(x) if len(x) > 1 else x[0]).index_select(0, windows.taken_T)

    def _mask(self, windows: WindowGroup) -> Tensor | None:
        """None where nothing is padded: attention has faster ways without a mask.

        A mask [W, 1, 1, L] is taken as it is. One of [W, L] is looked at by transformers, whether there is a 0 in it,
        for which a GPU has to be waited for.
        """
        if windows.real_WL is None:
            return None
        if self.config.model_type in _TAKE_MASKS_AS_THEY_ARE and self.config._attn_implementation == "sdpa":
            return windows.real_WL[:, None, None, :]
        return windows.real_WL.long()


_TAKE_MASKS_AS_THEY_ARE = ("bert", "electra", "roberta", "xlm-roberta")
"""Encoders with global attention in every layer, of which transformers passes a mask of four dimensions on."""


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What the encoder needs to know of its vocabulary: its size, the padding id, the marks around a sequence."""
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    return {
        "size": len(tokenizer),
        "padding": tokenizer.pad_token_id or 0,
        "marks": ([first] if first is not None else [], [last] if last is not None else []),
    }


def _pretrained(settings: EncoderSettings, vocabulary: dict[str, Any]) -> nn.Module:
    if settings.name == embedded.RANDOM:
        return _from_config({**embedded.RANDOM_CONFIG, "vocab_size": vocabulary["size"]})
    source = _source(settings)
    config = AutoConfig.from_pretrained(source)
    return AutoModel.from_pretrained(source, config=config, use_safetensors=True, **_no_pooler(config)).float()


def _from_config(config: dict[str, Any]) -> nn.Module:
    loaded = AutoConfig.for_model(**config)
    return AutoModel.from_config(loaded, **_no_pooler(loaded)).float()


def _no_pooler(config: Any) -> dict[str, bool]:
    """An encoder may come with a pooler, which nobody reads."""
    return {"add_pooling_layer": False} if config.model_type in ("bert", "mpnet", "roberta", "xlm-roberta") else {}


def _layers(transformer: Any) -> nn.ModuleList:
    for path in ("encoder.layer", "encoder.layers", "layers", "transformer.layer"):
        part = transformer
        for name in path.split("."):
            part = getattr(part, name, None)
        if isinstance(part, nn.ModuleList):
            return part
    raise ValueError(f"no list of layers is known in an encoder of type {type(transformer).__name__}")


def _extend_positions(transformer: Any, settings: ExtendedPositionSettings, rows: int) -> None:
    """Replace the position table by a longer one: the first rows are copied, the others drawn."""
    embeddings = transformer.embeddings
    trained = embeddings.position_embeddings.weight.data
    if rows > len(trained):
        new = torch.randn(rows, trained.shape[1])
        if settings.initial == "trained":
            new = new * trained.std() + trained.mean()
        new[: len(trained)] = trained
        embeddings.position_embeddings = nn.Embedding.from_pretrained(new, freeze=False)
        embeddings.register_buffer("position_ids", torch.arange(rows)[None], persistent=False)
        embeddings.register_buffer("token_type_ids", torch.zeros(1, rows, dtype=torch.long), persistent=False)
        transformer.config.max_position_embeddings = rows


def _random_tokenizer() -> PreTrainedTokenizerFast:
    """A cased WordPiece vocabulary of the built-in corpus: its frequent words, and all characters for the others."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    from model.data import builtin

    documents, _, _ = builtin.generate(BuiltinSettings(train=50, dev=1, test=1))
    words = Counter(word for document in documents for word in document.words)
    characters = sorted({character for word in words for character in word})
    pieces = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        *characters,
        *(f"##{character}" for character in characters),
        *(word for word, n in sorted(words.items(), key=lambda item: (-item[1], item[0])) if n >= 5 and len(word) > 1),
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))  # pyright: ignore[reportCallIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def quiet_libraries() -> None:
    """Keep progress bars and advice of the libraries out of trials' logs. Called before anything is loaded."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
