"""Networks of `transformers`, small and with random weights, as the library writes them.

Where the input is token ids the embedding is the source: a token is no number that could be scaled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from torch import nn

from benchmarks.zoo.entry import Builder
from benchmarks.zoo.taken_over import Joined, behind, library, taken_over

_ATTENTION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_SMALL = {**_ATTENTION, "intermediate_size": 64}
_WORDS = {**_SMALL, "vocab_size": 100}
_CAUSAL = {**_WORDS, "use_cache": False}
_GROUPED = {**_CAUSAL, "num_key_value_heads": 2}
_IMAGE = {"image_size": 32, "patch_size": 8, "num_channels": 12}
_STAGES = {"num_channels": 12, "hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1]}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_TWO_SIDES = {
    "vocab_size": 100,
    "d_model": 32,
    "use_cache": False,
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 64 for side in ("encoder", "decoder")},
}


def _made(name: str, config: str, options: Mapping[str, Any]) -> nn.Module:
    return library("transformers", name, library("transformers", config, **options))


def _ids() -> np.ndarray:
    return np.random.default_rng(0).integers(3, 90, (2, 7))


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _inputs(
    classes: tuple[str, str],
    places: Sequence[str],
    inputs: Callable[[], Mapping[str, np.ndarray]],
    options: Mapping[str, Any],
    pick: Callable[[Any], Any] = itemgetter("logits"),
) -> Builder:
    """One output of named inputs; the sources are what submodules give."""
    return functools.partial(
        behind, functools.partial(_made, *classes, options), places, inputs, pick
    )


def _words(name: str, config: str, embedding: str, options: Mapping[str, Any]) -> Builder:
    """Logits of token ids."""
    return _inputs((name, config), [embedding], lambda: {"input_ids": _ids()}, options)


def _image(
    name: str, config: str, options: Mapping[str, Any], key: str = "logits", size: int = 32
) -> Builder:
    """Ten channels of one source, two of another."""

    def make() -> nn.Module:
        return Joined(_made(name, config, options), key)

    return functools.partial(taken_over, make, [(1, 10, size, size), (1, 2, size, size)])


def _signal(name: str, config: str, shape: tuple[int, ...], options: Mapping[str, Any]) -> Builder:
    """One source: a wave, or its spectrum."""

    def make() -> nn.Module:
        return First(_made(name, config, options))

    return functools.partial(taken_over, make, [shape])


class First(nn.Module):
    """The logits of a network of one input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Any) -> Any:
        return self.network(source)["logits"]


BUILDERS: dict[str, Builder] = {
    f"transformers: {name}": builder
    for name, builder in {
        "BERT": _words(
            "BertForSequenceClassification", "BertConfig", "bert.embeddings.word_embeddings", _WORDS
        ),
        "DistilBERT": _words(
            "DistilBertForSequenceClassification", "DistilBertConfig",
            "distilbert.embeddings.word_embeddings",
            {"vocab_size": 100, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
        ),
        "RoBERTa": _words(
            "RobertaForSequenceClassification", "RobertaConfig",
            "roberta.embeddings.word_embeddings", _WORDS,
        ),
        "ALBERT": _words(
            "AlbertForSequenceClassification", "AlbertConfig",
            "albert.embeddings.word_embeddings", {**_WORDS, "embedding_size": 16},
        ),
        "ELECTRA": _words(
            "ElectraForSequenceClassification", "ElectraConfig",
            "electra.embeddings.word_embeddings", {**_WORDS, "embedding_size": 16},
        ),
        "ModernBERT": _words(
            "ModernBertForSequenceClassification", "ModernBertConfig",
            "model.embeddings.tok_embeddings",
            {**_WORDS, **_SPECIAL, "cls_token_id": 1, "sep_token_id": 2},
        ),
        "GPT-2": _words(
            "GPT2LMHeadModel", "GPT2Config", "transformer.wte",
            {"vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 4, "use_cache": False},
        ),
        "OPT": _words(
            "OPTForCausalLM", "OPTConfig", "model.decoder.embed_tokens",
            {**_CAUSAL, "word_embed_proj_dim": 32, "ffn_dim": 64},
        ),
        "GPT-NeoX": _words("GPTNeoXForCausalLM", "GPTNeoXConfig", "gpt_neox.embed_in", _CAUSAL),
        "Phi": _words("PhiForCausalLM", "PhiConfig", "model.embed_tokens", _CAUSAL),
        "Llama": _words("LlamaForCausalLM", "LlamaConfig", "model.embed_tokens", _GROUPED),
        "Qwen2": _words("Qwen2ForCausalLM", "Qwen2Config", "model.embed_tokens", _GROUPED),
        "Gemma 2": _words(
            "Gemma2ForCausalLM", "Gemma2Config", "model.embed_tokens", {**_GROUPED, "head_dim": 8}
        ),
        "Mixtral (mixture of experts)": _words(
            "MixtralForCausalLM", "MixtralConfig", "model.embed_tokens",
            {**_GROUPED, "num_local_experts": 4,
             "experts_implementation": "batched_mm"},  # PyTorch's grouped_mm knows no float64
        ),
        "Mamba": _words(
            "MambaForCausalLM", "MambaConfig", "backbone.embeddings",
            {**_CAUSAL, "state_size": 4},
        ),
        "T5": _inputs(
            ("T5ForConditionalGeneration", "T5Config"), ["encoder.embed_tokens"],
            lambda: {"input_ids": _ids(), "decoder_input_ids": _ids()},
            {"vocab_size": 100, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
             "num_heads": 4, "use_cache": False},
        ),
        "BART": _inputs(
            ("BartForConditionalGeneration", "BartConfig"),
            ["model.encoder.embed_tokens", "model.decoder.embed_tokens"],
            lambda: {"input_ids": _ids(), "decoder_input_ids": _ids()},
            {**_TWO_SIDES, "max_position_embeddings": 32},
        ),
        "Whisper": _inputs(
            ("WhisperForConditionalGeneration", "WhisperConfig"),
            ["model.encoder.conv1", "model.decoder.embed_tokens"],
            lambda: {"input_features": _numbers(2, 16, 40), "decoder_input_ids": _ids()},
            {**_TWO_SIDES, **_SPECIAL, "num_mel_bins": 16, "max_source_positions": 20,
             "decoder_start_token_id": 1},
        ),
        "CLIP": _inputs(
            ("CLIPModel", "CLIPConfig"),
            ["text_model.embeddings.token_embedding", "vision_model.embeddings.patch_embedding"],
            lambda: {"input_ids": _ids(), "pixel_values": _numbers(2, 3, 32, 32)},
            {"text_config": {**_WORDS, **_SPECIAL, "projection_dim": 16},
             "vision_config": {**_SMALL, "image_size": 32, "patch_size": 8}, "projection_dim": 16},
            lambda output: output["logits_per_image"].diagonal()[:, None],  # of each pair
        ),
        "Wav2Vec2": _signal(
            "Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", (2, 800),
            {**_SMALL, "conv_dim": [16, 16, 16], "conv_stride": [5, 2, 2],
             "conv_kernel": [10, 3, 3], "num_feat_extract_layers": 3,
             "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4},
        ),
        "Audio Spectrogram Transformer": _signal(
            "ASTForAudioClassification", "ASTConfig", (2, 64, 32),
            {**_SMALL, "max_length": 64, "num_mel_bins": 32},
        ),
        "ViT": _image("ViTForImageClassification", "ViTConfig", {**_SMALL, **_IMAGE}),
        "DINOv2": _image("Dinov2ForImageClassification", "Dinov2Config", {**_ATTENTION, **_IMAGE}),
        "CLIP vision": _image(
            "CLIPVisionModelWithProjection", "CLIPVisionConfig", {**_SMALL, **_IMAGE},
            "image_embeds",
        ),
        "ConvNeXt V2": _image("ConvNextV2ForImageClassification", "ConvNextV2Config", _STAGES),
        "SegFormer": _image(
            "SegformerForSemanticSegmentation", "SegformerConfig",
            {**_STAGES, "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 32}, size=64,
        ),
    }.items()
}  # fmt: skip
"""Models by name, the library first."""
