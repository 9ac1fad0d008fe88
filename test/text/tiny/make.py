"""Trains two tiny tokenizers on this project's README and writes what the original libraries do with them.

Packages: tokenizers 0.23, transformers 5.24, jinja2, gguf 0.19.   python make.py   (in this folder)
bpe/: byte-level BPE with single digits (as SmolLM2's), chat templates; wordpiece/: BERT's, uncased; bpe.gguf: the former in the
header of a GGUF file. vectors.json: texts with ids (without and with special tokens) and decoded text; chats with their text.
"""
import json
import os
import random

from gguf import GGUFWriter
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

readme = open("../../../README.md", encoding="utf8").read()
more = "Äpfel, naïve café, 日本語 русский 🌍🚀 👩‍👩‍👧 ½ °C 3 33 333 3333 I'm you're it's WE'LL\n" * 3
texts = [
    "", " ", "\n\n  x", "Hello, world!", "The tensor's shape is [2, 3].", "  leading and trailing  ", "Tabs\tand\r\nnewlines",
    "Äpfel naïve café", "日本語のテキスト", "русский язык", "emoji 🌍🚀 and 👩‍👩‍👧", "3 33 333 3333 12345.678", "I'm you're it's WE'LL",
    "a\u0000b", "<|im_start|>user\nHi<|im_end|>", "e\u0301 \u00e9", "word" * 30, "¿Qué? «oui»", "x=1;y=2;//z", "\ufffd",
]
chats = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"},
     {"role": "user", "content": "Why \"2\"?\n"}],
]
default = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}"
    "{%- else %}{%- set system = 'Default.' %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}"
    "{{- '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}{%- for message in loop_messages %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
tool_use = "{{ tools | tojson }}{% for message in messages %}|{{ message.role }}:{{ message.content }}{% endfor %}"


def vectors(tokenizer):
    return [
        {
            "text": text,
            "ids": tokenizer.encode(text, add_special_tokens=False).ids,
            "special": tokenizer.encode(text).ids,
            "decoded": tokenizer.decode(tokenizer.encode(text).ids),
        }
        for text in texts
    ]


specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])
bpe.decoder = decoders.ByteLevel()
bpe.train_from_iterator([readme, more], trainers.BpeTrainer(
    vocab_size=700, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
fast = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=specials[0], eos_token=specials[2], pad_token=specials[2],
                               model_max_length=2048)
config = {"bos_token": specials[0], "eos_token": {"content": specials[2], "special": True}, "pad_token": specials[2],
          "model_max_length": 2048, "tokenizer_class": "GPT2Tokenizer", "clean_up_tokenization_spaces": False,
          "chat_template": [{"name": "default", "template": default}, {"name": "tool_use", "template": tool_use}]}
os.makedirs("bpe", exist_ok=True)
bpe.save("bpe/tokenizer.json")
json.dump(config, open("bpe/tokenizer_config.json", "w"), indent=1)
model = json.loads(bpe.to_str())["model"]

wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
wordpiece.normalizer = normalizers.BertNormalizer(lowercase=True)
wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
wordpiece.decoder = decoders.WordPiece()
wordpiece.train_from_iterator([readme, more], trainers.WordPieceTrainer(
    vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
wordpiece.post_processor = processors.TemplateProcessing(
    single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
os.makedirs("wordpiece", exist_ok=True)
wordpiece.save("wordpiece/tokenizer.json")
json.dump({f"{role}_token": f"[{role.upper()}]" for role in ("cls", "sep", "pad", "unk", "mask")},
          open("wordpiece/tokenizer_config.json", "w"))
pair = wordpiece.encode("What is a tensor?", "A handle.")

random.seed(1)
soup = [random.randrange(3, bpe.get_vocab_size()) for _ in range(400)]
json.dump({
    "bpe": vectors(bpe),
    "wordpiece": vectors(wordpiece),
    "pair": {"ids": pair.ids, "types": pair.type_ids},
    "soup": {"ids": soup, "decoded": bpe.decode(soup)},
    "chats": [{"messages": chat, "prompt": prompt, "text": fast.apply_chat_template(
        chat, chat_template=default, tokenize=False, add_generation_prompt=prompt)} for chat in chats for prompt in (True, False)],
}, open("vectors.json", "w"), ensure_ascii=False, separators=(",", ":"))

writer = GGUFWriter("bpe.gguf", "llama")
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
tokens = sorted(model["vocab"], key=model["vocab"].get)
writer.add_token_list(tokens)
writer.add_token_types([3 if token in specials else 1 for token in tokens])
writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
writer.add_bos_token_id(0)
writer.add_eos_token_id(2)
writer.add_add_bos_token(False)
writer.add_chat_template(default)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
