"""Log-probabilities of real GGUF files by transformers, for the test that compares entrace with them.

    python generate.py FOLDER [NAME ...]        writes NAME.json beside this file

FOLDER holds the files that MODELS names. Their tensors are dequantised to float32 by the package `gguf` and become the weights of a model
of transformers, whose configuration stands here: nothing but the tensors is taken from the file, so that what entrace reads from its
metadata is checked as well. Everything is float32 on the CPU.

text:       what was tokenised, by sentencepiece or `tokenizers` from the file's own vocabulary.
token_ids:  its tokens, the beginning token included where the model has one.
logprobs:   the log-probability of every token but the first, given those before it.
"""

import json
import pathlib
import sys

import gguf
import numpy as np
import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as sp
import torch
from gguf import quants
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.initialization import no_init_weights

TEXT = (
    "Question: Lena buys 12 pencils and gives a third of them to her brother.  How many does she keep?\n\n"
    "Answer: A third of 12 is 4, so she keeps 12 - 4 = 8 pencils. Número: ocho, 八."
)
QWEN = dict(
    model_type="qwen2",
    vocab_size=151936,
    max_position_embeddings=32768,
    rms_norm_eps=1e-6,
    num_key_value_heads=2,
    rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
    tie_word_embeddings=False,
    use_sliding_window=False,
)
MODELS = {
    "gemma270m": dict(
        file="gemma-3-270m-q4_k_m.gguf",
        model_type="gemma3_text",
        vocab_size=262144,
        hidden_size=640,
        intermediate_size=2048,
        num_hidden_layers=18,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=256,
        query_pre_attn_scalar=256,
        max_position_embeddings=32768,
        sliding_window=512,
        layer_types=["full_attention" if layer % 6 == 5 else "sliding_attention" for layer in range(18)],
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=10000.0),
            full_attention=dict(rope_type="default", rope_theta=1000000.0),
        ),
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
    ),
    "qwen0.5b": dict(
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
    )
    | QWEN,
    "qwen1.5b": dict(
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
    )
    | QWEN,
}


def encode_sentencepiece(reader):
    """The vocabulary as a SentencePiece model of the kind that the scores were trained for."""
    field = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    proto = sp.ModelProto()
    proto.trainer_spec.model_type = sp.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = True
    proto.trainer_spec.unk_id = field("unknown_token_id")
    proto.trainer_spec.bos_id = field("bos_token_id")
    proto.trainer_spec.eos_id = field("eos_token_id")
    proto.trainer_spec.pad_id = field("padding_token_id")
    for role in ("unk", "bos", "eos", "pad"):
        setattr(proto.trainer_spec, f"{role}_piece", field("tokens")[getattr(proto.trainer_spec, f"{role}_id")])
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    kinds = zip(field("tokens"), field("scores"), field("token_type"))
    for token, score, kind in kinds:
        if kind == sp.ModelProto.SentencePiece.CONTROL and token == proto.trainer_spec.unk_piece:
            kind = sp.ModelProto.SentencePiece.UNKNOWN
        proto.pieces.add(piece=token.replace(" ", "▁"), score=score, type=kind)
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
    return [field("bos_token_id")] + processor.encode(TEXT)


def encode_qwen(reader):
    field = lambda name: reader.fields[f"tokenizer.ggml.{name}"].contents()
    vocab = {token: i for i, token in enumerate(field("tokens"))}
    merges = [tuple(merge.split(" ")) for merge in field("merges")]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    split = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer.encode(TEXT).ids


def load(reader, fields):
    config = AutoConfig.for_model(**{k: v for k, v in fields.items() if k != "file"})
    with no_init_weights():
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    arch = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == config.model_type.removesuffix("_text"))
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    weights = {}
    for name, _ in model.named_parameters():
        tensor = tensors[names.get_name(name, try_suffixes=(".weight", ".bias"))]
        numbers = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        numbers = numbers.reshape(list(reversed(tensor.shape.tolist())))
        if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
            numbers = numbers - 1
        weights[name] = torch.from_numpy(np.ascontiguousarray(numbers))
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    return model.eval()


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    for name in sys.argv[2:] or MODELS:
        fields = MODELS[name]
        reader = gguf.GGUFReader(folder / fields["file"])
        ids = encode_sentencepiece(reader) if name.startswith("gemma") else encode_qwen(reader)
        model = load(reader, fields)
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
        logprobs = [round(rows[i - 1, ids[i]].item(), 6) for i in range(1, len(ids))]
        golden = dict(file=fields["file"], text=TEXT, token_ids=ids, logprobs=logprobs)
        (pathlib.Path(__file__).parent / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")
        print(f"{name}: {len(ids)} tokens, {-sum(logprobs) / len(logprobs):.3f} nats a token", flush=True)


main()
