"""PyTorch's side of train.mjs, on one thread; speaks the protocol of contender.mjs.

    python train_torch.py WORKLOAD WEIGHTS   (the file also holds the batch, as batch.x and batch.y)
"""

import json
import resource
import sys
import time

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.set_num_interop_threads(1)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(784, 256), nn.Linear(256, 128), nn.Linear(128, 10)])

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )
        self.classifier = nn.Sequential(nn.Linear(3136, 512), nn.ReLU(), nn.Identity(), nn.Linear(512, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(128, 384, bias=False)
        self.proj = nn.Linear(128, 128, bias=False)

    def forward(self, x):
        q, k, v = (part.view(16, 128, 4, 32).transpose(1, 2) for part in self.qkv(x).split(128, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(mixed.transpose(1, 2).reshape(16, 128, 128))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1 = nn.LayerNorm(128)
        self.attn = Attention()
        self.ln2 = nn.LayerNorm(128)
        self.fc = nn.Linear(128, 512)
        self.proj = nn.Linear(512, 128)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.proj(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(65, 128)
        self.pos = nn.Embedding(128, 128)
        self.blocks = nn.Sequential(*(Block() for _ in range(4)))
        self.norm = nn.LayerNorm(128)
        self.head = nn.Linear(128, 65, bias=False)

    def forward(self, x):
        h = self.tok(x) + self.pos(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(h))).view(-1, 65)


def main():
    workload, path = sys.argv[1:3]
    tensors = load_file(path)
    x, y = tensors.pop("batch.x"), tensors.pop("batch.y").long().view(-1)
    model = {"mlp": Mlp, "cnn": Cnn, "gpt": Gpt}[workload]()
    model.load_state_dict(tensors)
    rule = torch.optim.AdamW if workload == "gpt" else torch.optim.Adam
    optimizer = rule(model.parameters(), lr=1e-3)
    if workload == "gpt":
        x = x.long()

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    print(json.dumps({"ready": True, "note": f"PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        steps = json.loads(line)["steps"]
        start, cpu = time.perf_counter(), time.process_time()
        losses = [step() for _ in range(steps)]
        ms = (time.perf_counter() - start) * 1e3
        cpu_ms = (time.process_time() - cpu) * 1e3
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        answer = {"ms": ms, "cpuMs": cpu_ms, "losses": losses, "rssMB": rss}
        print(json.dumps(answer), flush=True)


main()
