"""PyTorch's side of `wattgrad recipe speakers`: the same network, data, split and budget, on one thread.

    python speakers_torch.py TEXT [SEED…]   prints the accuracy for each seed, their mean and standard deviation
"""

import math
import re
import statistics
import sys
import time
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)

SPEAKERS, HELD_BACK, WORDS, CONTEXT, BATCH = 10, 5, 3000, 48, 32
PADDING, UNKNOWN, START, END, MASK, SPECIAL = 0, 1, 2, 3, 4, 5
WIDTH, HEADS, LAYERS = 128, 4, 2
PRETRAINING, FINE_TUNING, RATE = 500, 250, 1e-3


def words_of(text):
    return re.findall(r"[a-z']+|[^\sa-z']", text.lower())


def speeches_of(text):
    for block in re.split(r"\n\s*\n", text):
        match = re.match(r"\s*([^\n:]+):\n([\s\S]+)$", block)
        if match:
            yield match[1], words_of(match[2])


def by_count(items, number):
    """The most frequent items; of equally frequent ones, those that appear first."""
    return [item for item, _ in Counter(items).most_common(number)]


def read(path):
    speeches = list(speeches_of(open(path, encoding="utf-8").read()))
    speakers = by_count((name for name, _ in speeches), SPEAKERS)
    seen, training, validation, texts = Counter(), [], [], []
    for name, words in speeches:
        seen[name] += 1
        is_held_back = name in speakers and seen[name] % HELD_BACK == 0
        if name in speakers:
            (validation if is_held_back else training).append((words, speakers.index(name)))
        if not is_held_back:
            texts.append(words)
    ids = {word: SPECIAL + i for i, word in enumerate(by_count((w for t in texts for w in t), WORDS))}

    def encode(words):
        return [START, *(ids.get(word, UNKNOWN) for word in words[: CONTEXT - 2]), END]

    labelled = [[(encode(words), label) for words, label in part] for part in (training, validation)]
    return [encode(words) for words in texts], *labelled, SPECIAL + len(ids)


def padded(texts):
    tokens = torch.tensor([text + [PADDING] * (CONTEXT - len(text)) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    return tokens, lengths


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.inner, self.outer = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, 1e-12), nn.LayerNorm(WIDTH, 1e-12)

    def forward(self, x, mask):
        n, t, _ = x.shape
        q, k, v = (f(x).view(n, t, HEADS, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(n, t, WIDTH)
        x = self.norm1(x + self.out(mixed))
        return self.norm2(x + self.outer(F.gelu(self.inner(x))))


class Bert(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.words, self.positions, self.types = (nn.Embedding(n, WIDTH) for n in (vocabulary, CONTEXT, 2))
        for table in (self.words, self.positions, self.types):
            nn.init.normal_(table.weight, std=0.02)
        self.norm = nn.LayerNorm(WIDTH, 1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.dense, self.dense_norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH, 1e-12)
        self.bias = nn.Linear(WIDTH, vocabulary).bias
        self.pooler, self.classifier = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, SPEAKERS)

    def encode(self, tokens, lengths):
        mask = (torch.arange(CONTEXT) < lengths[:, None])[:, None, None]
        x = self.norm(self.words(tokens) + self.positions.weight + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def masked(self, tokens, lengths):
        hidden = self.dense_norm(F.gelu(self.dense(self.encode(tokens, lengths))))
        return hidden @ self.words.weight.T + self.bias

    def speaker(self, tokens, lengths):
        return self.classifier(torch.tanh(self.pooler(self.encode(tokens, lengths)[:, 0])))


def hide(tokens, vocabulary):
    chosen = (torch.rand(tokens.shape) < 0.15) & (tokens != PADDING) & (tokens != START) & (tokens != END)
    labels = torch.where(chosen, tokens, -100)
    share = torch.rand(tokens.shape)
    random = torch.randint(vocabulary, tokens.shape)
    hidden = torch.where(share < 0.8, MASK, torch.where(share < 0.9, random, tokens))
    return torch.where(chosen, hidden, tokens), labels


def batches(length, steps):
    """Numbers of samples, shuffled anew in each epoch, without the rest that fills no batch."""
    order = []
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(length).tolist()
        yield [order.pop() for _ in range(BATCH)]


def train(parameters, rate, steps, length, loss_of):
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    warmup = math.ceil(steps / 10)
    for step, rows in enumerate(batches(length, steps), 1):
        part = step / warmup if step < warmup else (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate * part
        optimizer.zero_grad()
        loss = loss_of(rows)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1)
        optimizer.step()
    return loss.item()


def run(data, seed):
    texts, training, validation, vocabulary = data
    torch.manual_seed(seed)
    model = Bert(vocabulary)

    def masked_loss(rows):
        tokens, lengths = padded([texts[i] for i in rows])
        hidden, labels = hide(tokens, vocabulary)
        return F.cross_entropy(model.masked(hidden, lengths).flatten(0, 1), labels.flatten())

    def speaker_loss(rows):
        logits = model.speaker(*padded([training[i][0] for i in rows]))
        return F.cross_entropy(logits, torch.tensor([training[i][1] for i in rows]))

    def parameters_without(*names):
        return [p for name, p in model.named_parameters() if not name.startswith(names)]

    pretraining = parameters_without("pooler", "classifier")
    loss = train(pretraining, RATE, PRETRAINING, len(texts), masked_loss)
    fine_tuning = parameters_without("dense", "bias")
    train(fine_tuning, RATE, FINE_TUNING, len(training), speaker_loss)
    with torch.no_grad():
        chosen = model.speaker(*padded([text for text, _ in validation])).argmax(1)
    labels = torch.tensor([label for _, label in validation])
    return (chosen == labels).float().mean().item(), loss


def main():
    data = read(sys.argv[1])
    labels = [label for _, label in data[2]]
    print(f"{len(data[0])} texts, {len(data[1])} + {len(data[2])} labelled, vocabulary {data[3]}, "
          f"majority {Counter(labels).most_common(1)[0][1] / len(labels):.4f}", flush=True)
    scores = []
    for seed in map(int, sys.argv[2:] or ["0"]):
        start = time.process_time()
        score, loss = run(data, seed)
        scores.append(score)
        print(f"seed {seed}: accuracy {score:.4f}, last masked loss {loss:.3f}, "
              f"{time.process_time() - start:.0f} s of processor time", flush=True)
    spread = statistics.stdev(scores) if len(scores) > 1 else 0
    print(f"mean {statistics.mean(scores):.4f}, standard deviation {spread:.4f}")


main()
