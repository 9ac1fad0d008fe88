"""
PyTorch's and peft's side of lora.mjs, which wrote the base's float32 weights, the adapter before and after its steps and the tokens into a
directory: repeats the steps, and loads the adapter that wattgrad trained.

    pip install torch==2.15.0 peft==0.21.2 transformers==5.24.0
    python test/peers/lora_torch.py DIRECTORY        # prints JSON
"""

import json
import pathlib
import sys
import time

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

directory = pathlib.Path(sys.argv[1])
data = json.loads((directory / "windows.json").read_text())
torch.set_num_threads(2)

config = LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
    max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0, tie_word_embeddings=True,
)


def base():
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(load_file(directory / "model.safetensors"), strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model


def loss_of(model, window):
    ids = torch.tensor(window)
    logits = model(input_ids=ids[None, :-1]).logits
    return torch.nn.functional.cross_entropy(logits[0], ids[1:])


model = PeftModel.from_pretrained(base(), str(directory / "start"), is_trainable=True)
model.train()
parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=data["settings"]["lr"], weight_decay=0)
losses, seconds = [], []
for window in data["windows"]:
    start = time.time()
    loss = loss_of(model, window)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    seconds.append(time.time() - start)

ours = PeftModel.from_pretrained(base(), str(directory / "end"))
ours.eval()
with torch.no_grad():
    after = [loss_of(each.eval(), data["windows"][0]).item() for each in (model, ours)]
print(json.dumps({"losses": losses, "seconds": seconds, "lossOfTheirAdapter": after[0], "lossOfOurAdapter": after[1]}))
