"""Writes small LoRA adapters and what peft computes with them.

    python generate.py [--out out]

The model is goldens/models/out/llama-gqa. Each case becomes a folder:

    adapter_config.json, adapter_model.safetensors      as peft saves them
    golden.safetensors                                  input_ids [T] i64 and logits [T, V] f32 of the adapted model, not merged

Adapters are random, large enough to move the logits.
"""

import argparse
import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "models" / "out" / "llama-gqa"
CASES = {
    "plain": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"]),
    "patterns": dict(
        r=4,
        lora_alpha=6,
        use_rslora=True,
        target_modules=["k_proj", "o_proj", "gate_proj", "embed_tokens"],
        rank_pattern={"gate_proj": 2},
        alpha_pattern={"o_proj": 3, "layers.1.self_attn.k_proj": 5},
        modules_to_save=["lm_head"],
    ),
}


def write_case(name, settings, out):
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "lora_" in key:
                weight.copy_(0.3 * torch.randn_like(weight))
            elif "modules_to_save" in key:
                weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(out)
    (out / "README.md").unlink()
    config = json.loads((out / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "made-up/llama-gqa"
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    golden = load_file(BASE / "golden.safetensors")
    ids = golden["input_ids"]
    with torch.no_grad():
        logits = model(ids[None]).logits[0].float()
    save_file(dict(input_ids=ids, logits=logits), out / "golden.safetensors")
    moved = float((logits - golden["logits"]).abs().max())
    print(f"{name}: {sorted(p.name for p in out.iterdir())}, logits moved by up to {moved:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "out")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for name, settings in CASES.items():
        write_case(name, settings, out / name)


if __name__ == "__main__":
    main()
