"""Tiny models, one per architecture switch.

Each preset names a `model_type` of transformers and what its config changes against the base below. Keys with
an underscore steer the generator and never reach the config class: `_layout` ("new" as transformers 5 writes config.json, "old" as
checkpoints before it), `_extra` (fields that only an old file carries), `_dtype` (storage type of model.safetensors), `_tokens`
(prompt length T), `_sliding_window_pattern` (Gemma 3's old field), `_says_tied` (config.json says that head and embedding are one, although the
weights have both) and `_bf16` (also store logits computed in bfloat16).
The numbers are small on purpose but chosen so that every switch changes the logits: windows and original context lengths are
shorter than the prompt, and the RoPE bases put some frequencies on each side of every scaling threshold.
"""

BASE = dict(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
    tie_word_embeddings=False,
)


def _default(theta=10000.0):
    return dict(rope_type="default", rope_theta=theta)


LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN_ROPE = dict(rope_type="yarn", rope_theta=50.0, factor=4.0, original_max_position_embeddings=32)
DEEPSEEK_YARN = dict(
    rope_type="yarn",
    rope_theta=50.0,
    factor=8.0,
    original_max_position_embeddings=32,
    beta_fast=32,
    beta_slow=1,
)
LONGROPE = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    short_factor=[1.0, 1.1, 1.3, 1.5],
    long_factor=[1.2, 2.0, 4.0, 8.0],
)
MLA = dict(
    num_key_value_heads=4,
    num_hidden_layers=3,
    kv_lora_rank=16,
    q_lora_rank=None,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=6,
    n_routed_experts=8,
    n_shared_experts=2,
    num_experts_per_tok=3,
    moe_intermediate_size=12,
    first_k_dense_replace=1,
)
DEEPSEEK_V3 = MLA | dict(
    q_lora_rank=12,
    n_shared_experts=1,
    n_group=4,
    topk_group=2,
    norm_topk_prob=True,
    routed_scaling_factor=2.5,
    num_mtp_layers=0,
)
GEMMA2 = dict(
    num_hidden_layers=3,
    head_dim=12,
    query_pre_attn_scalar=20,
    sliding_window=8,
    attn_logit_softcapping=4.0,
    final_logit_softcapping=3.0,
    tie_word_embeddings=True,
)
GEMMA3 = dict(
    num_hidden_layers=4,
    head_dim=8,
    query_pre_attn_scalar=20,
    sliding_window=8,
    layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
    tie_word_embeddings=True,
    rope_parameters=dict(
        sliding_attention=_default(100.0),
        full_attention=dict(rope_type="linear", rope_theta=10000.0, factor=8.0),
    ),
)
OLMO3 = dict(
    num_hidden_layers=4,
    sliding_window=8,
    rope_parameters=dict(
        sliding_attention=_default(50.0),
        full_attention=YARN_ROPE | dict(factor=8.0, attention_factor=1.2),
    ),
)

PRESETS = {
    # Llama: heads, biases, tying, RoPE variants.
    "llama-mha": dict(model_type="llama", num_key_value_heads=4, _dtype="float32"),
    "llama-gqa": dict(model_type="llama", num_hidden_layers=3, _dtype="float16", _bf16=True),
    "llama-tied": dict(model_type="llama", tie_word_embeddings=True, num_key_value_heads=1),
    "llama-tied-own-head": dict(model_type="llama", num_hidden_layers=1, _says_tied=True),
    "llama-bias": dict(model_type="llama", attention_bias=True, mlp_bias=True),
    "llama-head-dim": dict(model_type="llama", head_dim=12),
    "llama-rope-linear": dict(
        model_type="llama", rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)
    ),
    "llama-rope-dynamic": dict(
        model_type="llama",
        max_position_embeddings=16,
        rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=4.0),
    ),
    "llama-rope-llama3": dict(model_type="llama", rope_parameters=LLAMA3_ROPE),
    "llama-rope-yarn": dict(model_type="llama", max_position_embeddings=128, rope_parameters=YARN_ROPE),
    "llama-rope-linear-old": dict(
        model_type="llama",
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0),
        _layout="old",
    ),
    "llama-rope-llama3-old": dict(model_type="llama", rope_parameters=LLAMA3_ROPE, _layout="old"),
    # Qwen2: biases on q, k, v; the window applies from max_window_layers on and only when its flag says so.
    "qwen2-tied": dict(model_type="qwen2", tie_word_embeddings=True, rope_parameters=_default(1000000.0)),
    "qwen2-window": dict(
        model_type="qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "qwen2-window-old": dict(
        model_type="qwen2",
        num_hidden_layers=3,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=2,
        rope_parameters=_default(1000000.0),
        _layout="old",
    ),
    "qwen2-window-off-old": dict(
        model_type="qwen2",
        use_sliding_window=False,
        max_window_layers=1,
        rope_parameters=_default(1000000.0),
        _layout="old",
        # Published configs carry a window beside the flag; transformers 5 would write null.
        _extra=dict(sliding_window=8),
    ),
    "qwen3": dict(model_type="qwen3", head_dim=12, rope_parameters=_default(1000000.0), _bf16=True),
    "qwen3-tied-window": dict(
        model_type="qwen3",
        num_hidden_layers=3,
        head_dim=8,
        attention_bias=True,
        tie_word_embeddings=True,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=1,
    ),
    "qwen3-yarn-old": dict(
        model_type="qwen3",
        head_dim=8,
        max_position_embeddings=128,
        rope_parameters=YARN_ROPE,
        _layout="old",
    ),
    # Gemma: windows on alternate layers, soft caps, scaled embeddings, norms that store w - 1.
    "gemma2": dict(model_type="gemma2", _bf16=True) | GEMMA2,
    "gemma2-old": dict(model_type="gemma2", _layout="old") | GEMMA2,
    "gemma2-no-caps": dict(model_type="gemma2")
    | GEMMA2
    | dict(attn_logit_softcapping=None, final_logit_softcapping=None, num_hidden_layers=2),
    "gemma3": dict(model_type="gemma3_text") | GEMMA3,
    "gemma3-old": dict(model_type="gemma3_text", _layout="old", _sliding_window_pattern=3)
    | GEMMA3
    | dict(num_hidden_layers=3, layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
    # OLMo: norms without weights and clipped projections; then norms after the blocks and on whole q and k.
    "olmo": dict(model_type="olmo", num_key_value_heads=4, clip_qkv=0.8),
    "olmo-no-clip": dict(model_type="olmo", clip_qkv=None, tie_word_embeddings=True),
    "olmo2": dict(model_type="olmo2", num_hidden_layers=3, rope_parameters=_default(500000.0), _bf16=True),
    "olmo2-mha-old": dict(
        model_type="olmo2", num_key_value_heads=4, rope_parameters=_default(500000.0), _layout="old"
    ),
    "olmo3": dict(model_type="olmo3") | OLMO3,
    "olmo3-old": dict(model_type="olmo3", _layout="old")
    | OLMO3
    | dict(
        num_key_value_heads=4,
        # transformers reads an old file's rope_theta for the full layers only; the window layers take the class default.
        rope_parameters=dict(
            sliding_attention=_default(500000.0),
            full_attention=YARN_ROPE | dict(rope_theta=500000.0, factor=8.0, attention_factor=1.2),
        ),
    ),
    # DeepSeek: latent attention, shared and routed experts.
    "deepseek-v2-greedy": dict(model_type="deepseek_v2", topk_method="greedy") | MLA,
    "deepseek-v2-grouped": dict(model_type="deepseek_v2")
    | MLA
    | dict(
        q_lora_rank=12,
        topk_method="group_limited_greedy",
        n_group=4,
        topk_group=2,
        routed_scaling_factor=4.0,
        max_position_embeddings=256,
        rope_parameters=DEEPSEEK_YARN | dict(mscale=0.707, mscale_all_dim=0.707),
    ),
    "deepseek-v2-yarn-old": dict(
        model_type="deepseek_v2", _layout="old", _extra=dict(scoring_func="softmax", moe_layer_freq=1, aux_loss_alpha=0.001)
    )
    | MLA
    | dict(
        topk_method="greedy",
        attention_bias=True,
        rope_parameters=DEEPSEEK_YARN | dict(mscale=1.0, mscale_all_dim=0.5),
    ),
    "deepseek-v3": dict(model_type="deepseek_v3") | DEEPSEEK_V3,
    "deepseek-v3-yarn-old": dict(
        model_type="deepseek_v3",
        _layout="old",
        _extra=dict(scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1, ep_size=1),
    )
    | DEEPSEEK_V3
    | dict(rope_parameters=DEEPSEEK_YARN | dict(mscale=1.0, mscale_all_dim=1.0)),
    "deepseek-v3-plain-q": dict(model_type="deepseek_v3")
    | DEEPSEEK_V3
    | dict(q_lora_rank=None, norm_topk_prob=False, num_hidden_layers=2, rope_interleave=False),
    # Mistral and Phi-3: a window on every layer; fused projections; long-context factors.
    "mistral": dict(model_type="mistral", num_hidden_layers=3, sliding_window=8),
    "mistral-no-window-old": dict(model_type="mistral", sliding_window=None, head_dim=12, _layout="old"),
    "phi3": dict(model_type="phi3", sliding_window=8),
    "phi3-partial": dict(
        model_type="phi3", rope_parameters=_default() | dict(partial_rotary_factor=0.5), tie_word_embeddings=True
    ),
    "phi3-longrope": dict(
        model_type="phi3",
        original_max_position_embeddings=16,
        max_position_embeddings=128,
        rope_parameters=LONGROPE | dict(original_max_position_embeddings=16),
    ),
    "phi3-longrope-old": dict(
        model_type="phi3",
        original_max_position_embeddings=16,
        max_position_embeddings=128,
        rope_parameters=LONGROPE | dict(original_max_position_embeddings=16),
        _layout="old",
    ),
    "phi3-longrope-short": dict(
        model_type="phi3",
        original_max_position_embeddings=64,
        max_position_embeddings=128,
        rope_parameters=LONGROPE | dict(original_max_position_embeddings=64),
        _tokens=20,
    ),
}
